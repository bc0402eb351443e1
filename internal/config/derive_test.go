package config

import (
	"fmt"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"lessor/dhcp4"
	"lessor/internal/wire"
)

// TestDerive runs the transcripts of testdata/derive: facts, and what is decided.
func TestDerive(t *testing.T) {
	datadriven.RunTest(t, "testdata/derive", func(t *testing.T, d *datadriven.TestData) string {
		l := wire.Link{ID: 7, Name: "eth0"}
		var f Facts
		for _, arg := range d.CmdArgs {
			for _, v := range arg.Vals {
				switch arg.Key {
				case "name":
					l.Name = v
				case "addr":
					a, bits, _ := strings.Cut(v, "/")
					p := dhcp4.Prefix{Addr: dhcp4.MustParseAddr(a)}
					fmt.Sscan(bits, &p.Bits)
					l.Addrs = append(l.Addrs, p)
				case "gateway":
					f.Gateway = dhcp4.MustParseAddr(v)
				case "neighbours":
					f.Neighbours = append(f.Neighbours, dhcp4.MustParseAddr(v))
				case "dns":
					f.Resolvers = append(f.Resolvers, dhcp4.MustParseAddr(v))
				case "forwarding":
					f.Forwarding = v == "on"
				default:
					t.Fatalf("%s: unknown fact %s", d.Pos, arg.Key)
				}
			}
		}
		got, err := ForLink(l, f)
		if err != nil {
			return "error: " + err.Error() + "\n"
		}
		check(t, d.Pos, l, f, got)
		out := got.YAML + "\n"
		for _, s := range got.Said {
			out += s + "\n"
		}
		for _, s := range got.Warnings {
			out += "warning: " + s + "\n"
		}
		return out
	})
}

// check holds what is true of every derived configuration: the text makes the same
// policy, without a warning, and no address that is in use is given out.
func check(t *testing.T, pos string, l wire.Link, f Facts, d *Derived) {
	cfg, ps := Parse("again.yaml", []byte(d.YAML))
	if cfg == nil || len(ps) > 0 {
		t.Errorf("%s: the text is refused or doubted: %v", pos, ps)
		return
	}
	if !d.Config.Policy().Careful || cfg.Policy().Careful {
		t.Errorf("%s: a start without a file is careful, one with a file is not", pos)
	}
	if cfg.Summary() != d.Config.Summary() || cfg.Addresses() == 0 || cfg.Addresses() > maxDerivedPool {
		t.Errorf("%s: %s and %s", pos, cfg.Summary(), d.Config.Summary())
	}
	for _, sn := range []dhcp4.Addr{f.Gateway, l.Addrs[0].Addr} {
		if s := cfg.Policy().SubnetOf(sn); s != nil && s.PoolOf(sn) != nil {
			t.Errorf("%s: %s is in the pool", pos, sn)
		}
	}
	for _, a := range append(f.Neighbours, f.Resolvers...) {
		if s := cfg.Policy().SubnetOf(a); s != nil && s.PoolOf(a) != nil {
			t.Errorf("%s: %s is in the pool", pos, a)
		}
	}
	for _, n := range cfg.Policy().Networks {
		for _, s := range n.Subnets {
			for _, p := range s.Pools {
				if !s.Prefix.IsHost(p.Range.First) || !s.Prefix.IsHost(p.Range.Last) {
					t.Errorf("%s: pool %s of %s", pos, p.Range, s.Prefix)
				}
			}
		}
	}
}
