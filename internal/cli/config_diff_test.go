package cli

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"lessor/dhcp4"
	"lessor/internal/clock"
	"lessor/internal/lease"
	"lessor/internal/store"
	"lessor/internal/store/pebble"
)

// storeOf makes the state directory of a stopped server with leases that run, from
// "address last-octet-of-the-hardware-address".
func storeOf(t *testing.T, leases ...string) string {
	t.Helper()
	times, err := clock.New()
	if err != nil {
		t.Fatal(err)
	}
	dir, now := t.TempDir(), times.Now()
	st, err := pebble.Open(filepath.Join(dir, "db"), pebble.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for i, text := range leases {
		addr, last, _ := strings.Cut(text, " ")
		b := lease.Binding{Addr: dhcp4.MustParseAddr(addr), State: lease.Bound, HType: 1, HW: []byte{2, 0, 0x5e, 0x10, 0, last[0] - '0'},
			Hostname: []byte("host" + last), Lifetime: 3600, Grace: 67, Start: now.W / 1e9, Renewed: now.W / 1e9, Until: now.W/1e9 + 3600,
			Boot: times.BootID(), Rev: uint64(i + 1)}
		b.End, b.Free = lease.Deadlines(now.M, b.Lifetime, b.Grace)
		res := make([]store.Result, 1)
		err := st.Commit(t.Context(), lease.Mark{W: now.W, M: now.M, Boot: times.BootID()}, []lease.Change{{After: b}}, res)
		if err != nil || res[0].Outcome != store.Durable {
			t.Fatal(err, res)
		}
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

const diffBefore = `interfaces: [eth0]
subnets:
  - subnet: 192.0.2.0/24
    name: office
    pools: [192.0.2.50-192.0.2.200]
    reservations:
      - {hw-address: 02:00:5e:10:00:01, ip-address: 192.0.2.10, hostname: printer}
      - {hw-address: 02:00:5e:10:00:09, ip-address: 192.0.2.11, hostname: nas}
  - {subnet: 198.51.100.0/24, name: lab, pools: [198.51.100.50-198.51.100.60], reservations: [{hw-address: 02:00:5e:10:00:08, ip-address: 198.51.100.8}]}
`

const diffAfter = `interfaces: [eth0]
options: {routers: 192.0.2.99}
subnets:
  - subnet: 192.0.2.0/24
    name: office
    pools: [{pool: 192.0.2.50-192.0.2.100, exclude: 192.0.2.60}]
    reservations:
      - {hw-address: 02:00:5e:10:00:01, ip-address: 192.0.2.12, hostname: printer}
      - {hw-address: 02:00:5e:10:00:07, ip-address: 192.0.2.70}
`

func TestConfigDiff(t *testing.T) {
	state := storeOf(t, "192.0.2.10 1", "192.0.2.50 2", "192.0.2.60 3", "192.0.2.70 4", "192.0.2.150 5", "198.51.100.50 6", "192.0.2.11 9", "192.0.2.99 0")
	from, to := writeTemp(t, diffBefore), writeTemp(t, diffAfter)
	code, out, errOut := run(t, nil, nil, "config", "diff", from, to, "--store", state, "--exit-code")
	want := []string{
		"~ subnet office: other options: routers",
		"~ pool 192.0.2.50-192.0.2.100: it was 192.0.2.50-192.0.2.200, and shrinks by 101 addresses to 50",
		"- subnet lab: the subnet 198.51.100.0/24 is removed (" + from + ":9)",
		"> reservation printer: its client moves from 192.0.2.10 to 192.0.2.12 (" + from + ":7 -> " + to + ":8)",
		"- reservation nas: 192.0.2.11 in office is reserved no more",
		"- reservation 02:00:5e:10:00:08: 198.51.100.8 is in no subnet any more",
		"+ reservation 02:00:5e:10:00:07: 192.0.2.70 in office",
		"! lease 192.0.2.10 (host1) moves to 192.0.2.12 at its next renewal (" + to + ":8)",
		"! lease 192.0.2.11 (host9) ends at its next renewal: the address is in no pool of office",
		"! lease 192.0.2.60 (host3) ends at its next renewal: the pool excludes the address",
		"! lease 192.0.2.70 (host4) ends at its next renewal: the address is reserved for another client at " + to + ":9",
		"! lease 192.0.2.99 (host0) ends at its next renewal: the address is that of the network, a router or a server",
		"! lease 192.0.2.150 (host5) ends at its next renewal: the address is in no pool of office",
		"! lease 198.51.100.50 (host6) ends at its next renewal: no subnet has the address any more",
		"1 lease moves, 6 leases end at their renewals, 1 reservation leaves its subnet, 1 pool has fewer addresses",
	}
	for _, w := range want {
		if !strings.Contains(out, w) {
			t.Errorf("no line %q", w)
		}
	}
	if code != ExitBad || errOut != "" || strings.Contains(out, "192.0.2.50 (") || strings.Count(out, "\n") != len(want) {
		t.Errorf("code %d, %s\n%s", code, errOut, out)
	}
	if code, out, _ := run(t, nil, nil, "config", "diff", to, from, "--store", state); code != ExitOK || !strings.Contains(out, "= lease 192.0.2.150 (host5) stays") {
		t.Errorf("the other way round: code %d\n%s", code, out)
	}
	if code, out, _ := run(t, nil, nil, "config", "diff", from, from, "--store", state, "--exit-code"); code != ExitOK || out != "no subnet, pool or reservation changes\n" {
		t.Errorf("the same: code %d\n%s", code, out)
	}
	var d configDiff
	if code, out, _ := run(t, nil, nil, "config", "diff", from, to, "--store", state, "-o", "json"); code != ExitOK || json.Unmarshal([]byte(out), &d) != nil {
		t.Errorf("code %d\n%s", code, out)
	}
	if len(d.Leases) != 7 || len(d.Changes) != 7 || d.Leases[0].Fate != "moves" || d.Leases[0].MovesTo.String() != "192.0.2.12" || d.Leases[0].Renews == nil {
		t.Errorf("%+v", d)
	}
}

func TestConfigDiffRefuses(t *testing.T) {
	good, bad := writeTemp(t, diffBefore), writeTemp(t, diffBefore+"colour: blue\n")
	for _, c := range []struct {
		args string
		code int
		err  string
	}{
		{good + " " + bad, ExitBad, "unknown-key"},
		{good + " " + good + ".none", ExitNotFound, "no such file"},
		{"", ExitUsage, "usage"},
		{good + " " + good + " --store /nonexistent", ExitNoAccess, "no store"},
		{good + " " + good + " --no-leases -o csv", ExitUsage, "csv"},
	} {
		code, out, errOut := run(t, quiet(t), nil, append([]string{"config", "diff"}, strings.Fields(c.args)...)...)
		if code != c.code || out != "" || !strings.Contains(errOut, c.err) {
			t.Errorf("config diff %s: code %d, %s, %s", c.args, code, out, errOut)
		}
	}
	if code, out, _ := run(t, quiet(t), nil, "config", "diff", good, good, "--no-leases"); code != ExitOK || out == "" {
		t.Errorf("without leases: code %d, %s", code, out)
	}
}

// TestLeasesShowMoves: a lease whose client's reservation names another address says so.
func TestLeasesShowMoves(t *testing.T) {
	state, name := storeOf(t, "192.0.2.50 1", "192.0.2.51 2"), writeTemp(t, diffBefore)
	code, out, _ := run(t, quiet(t), nil, "--config", name, "leases", "--store", state, "-o", "jsonl")
	if code != ExitOK || strings.Count(out, `"moves-to":"192.0.2.10"`) != 1 {
		t.Errorf("code %d\n%s", code, out)
	}
	if code, out, _ := run(t, quiet(t), nil, "--config", name, "leases", "--store", state, "-o", "wide"); code != ExitOK || !strings.Contains(out, "MOVES-TO") || strings.Count(out, "192.0.2.10") != 1 {
		t.Errorf("code %d\n%s", code, out)
	}
	// A lease becomes a reservation, and moves nowhere.
	code, out, errOut := run(t, quiet(t), nil, "--config", name, "reservations", "from", "192.0.2.51", "--store", state)
	if code != ExitOK || !strings.Contains(out, "reservation/host2 added ("+name+":9)") || strings.Contains(out, "moves") {
		t.Errorf("code %d\n%s\n%s", code, out, errOut)
	}
	code, out, errOut = run(t, quiet(t), nil, "--config", name, "reservations", "add", "192.0.2.53", "--hw-address", "02:00:5e:10:00:03", "--store", storeOf(t, "192.0.2.52 3"))
	if code != ExitOK || !strings.Contains(out, "; 192.0.2.52 (host3) moves to 192.0.2.53 at its next renewal") {
		t.Errorf("code %d\n%s\n%s", code, out, errOut)
	}
}
