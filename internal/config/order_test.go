package config

import (
	"math/rand/v2"
	"regexp"
	"slices"
	"testing"

	"go.yaml.in/yaml/v4"
)

const orderText = `interfaces: [eth0]
options: {domain-name-servers: [192.0.2.55]}
shared-networks:
  - name: a
    subnets:
      - {subnet: 198.18.1.0/24, pools: [198.18.1.50-198.18.1.60, 198.18.1.10-198.18.1.20]}
      - {subnet: 198.18.0.0/24, valid-lifetime: 2h, reservations: [{hw-address: 02:00:5e:10:00:05, ip-address: 198.18.0.5, hostname: five}]}
  - {name: b, subnets: [{subnet: 198.18.2.0/24, pools: [{pool: 198.18.2.0/28, exclude: [198.18.2.3, 198.18.2.5]}]}]}
subnets:
  - subnet: 192.0.2.0/24
    pools: [192.0.2.50-192.0.2.59, {pool: 192.0.2.100-192.0.2.109, valid-lifetime: 200s, options: {ntp-servers: 192.0.2.101}}, 192.0.2.200]
    reservations:
      - {hw-address: 02:00:5e:10:00:01, ip-address: 192.0.2.10, hostname: one}
      - {client-id: 01:02:00:5e:10:00:02, ip-address: 192.0.2.200}
      - {hw-address: [02:00:5e:10:00:03, 02:00:5e:10:00:04], hostname: three}
  - {subnet: 198.51.100.0/24}
  - {subnet: 203.0.113.0/24, pools: [{pool: 203.0.113.9, exclude: 203.0.113.9}]}
`

// orderFaults has what order might hide: overlaps and what is there twice.
const orderFaults = orderText + `  - {subnet: 198.51.100.0/25, name: x, pools: [198.51.100.1-198.51.100.9, 198.51.100.9-198.51.100.12, 198.51.100.11]}
  - subnet: 198.51.99.0/24
    name: x
    reservations:
      - {hw-address: 02:00:5e:10:00:01, ip-address: 192.0.2.10}
      - {hw-address: 02:00:5e:10:00:01, ip-address: 198.51.99.1}
`

// TestOrder: nothing depends on the order of networks, subnets, pools and reservations:
// neither what a configuration decides nor what is found wrong with it.
func TestOrder(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 5))
	for _, text := range []string{orderText, orderFaults, Reference()} {
		was, problems := Parse("f.yaml", []byte(text))
		want := findings(problems)
		if text == orderFaults && (was != nil || len(problems.Errors()) < 5) || text == orderText && (was == nil || len(want) < 4) {
			t.Fatalf("%v", problems)
		}
		for range 40 {
			var root yaml.Node
			if err := yaml.Load([]byte(text), &root); err != nil {
				t.Fatal(err)
			}
			shuffle(rng, root.Content[0])
			out, err := yaml.Dump(&root)
			if err != nil {
				t.Fatal(err)
			}
			is, problems := Parse("f.yaml", out)
			if got := findings(problems); !slices.Equal(got, want) || (is == nil) != (was == nil) {
				t.Fatalf("%q and then %q\n%s", want, got, out)
			}
			if was != nil {
				sameDecisions(t, string(out), was, is, true)
				sameDecisions(t, string(out), is, was, true)
				if d := Diff(was, is); len(d) > 0 {
					t.Fatalf("%+v\n%s", d, out)
				}
			}
		}
	}
}

// findings are the problems without their positions. Which of two is named first follows
// from the positions too, so of errors only the id counts.
func findings(ps Problems) (all []string) {
	place := regexp.MustCompile(`[0-9]+:[0-9]+`)
	for _, p := range ps {
		text := p.Severity.String() + " " + p.ID
		if p.Severity == Warning {
			text += " " + place.ReplaceAllString(p.Text, "")
		}
		all = append(all, text)
	}
	slices.Sort(all)
	return all
}

func shuffle(rng *rand.Rand, n *yaml.Node) {
	for i := 0; i+1 < len(n.Content) && n.Kind == yaml.MappingNode; i += 2 {
		if list := n.Content[i+1]; slices.Contains([]string{"subnets", "shared-networks", "pools", "reservations"}, n.Content[i].Value) && list.Kind == yaml.SequenceNode {
			rng.Shuffle(len(list.Content), func(i, j int) { list.Content[i], list.Content[j] = list.Content[j], list.Content[i] })
			for _, c := range list.Content {
				shuffle(rng, c)
			}
		}
	}
}
