package config

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.yaml.in/yaml/v4"

	"lessor/dhcp4"
	"lessor/internal/lease"
	"lessor/internal/policy"
)

func TestLoadErrors(t *testing.T) {
	dir := t.TempDir()
	if cfg, ps := Load(filepath.Join(dir, "none.yaml")); cfg != nil || len(ps) != 1 || ps[0].ID != "config/file" || !strings.Contains(ps.Error(), "config init") {
		t.Errorf("a file that is not there: %v", ps)
	}
	if cfg, ps := Load(dir); cfg != nil || len(ps) != 1 || ps[0].ID != "config/file" {
		t.Errorf("a directory: %v", ps)
	}
	big := filepath.Join(dir, "big.yaml")
	if err := os.WriteFile(big, bytes.Repeat([]byte("# a comment\n"), MaxFile/12+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if cfg, ps := Load(big); cfg != nil || len(ps) != 1 || ps[0].ID != "config/too-large" {
		t.Errorf("a file that is too large: %v", ps)
	}
}

// TestCompiled holds that what the file of the first example of the documents says
// is what the server gets.
func TestCompiled(t *testing.T) {
	cfg, ps := Load("../../examples/lessor.yaml")
	if cfg == nil {
		t.Fatal(ps)
	}
	pol := cfg.Policy()
	sn := pol.SubnetOf(dhcp4.MustParseAddr("192.0.2.150"))
	if sn == nil || sn.Name != "192.0.2.0/24" || sn.Lifetimes != (policy.Lifetimes{Valid: 43200, Min: 43200, Max: 43200}) {
		t.Fatalf("subnet %+v", sn)
	}
	if len(sn.Pools) != 1 || sn.Pools[0].Range.String() != "192.0.2.100-192.0.2.199" {
		t.Errorf("pools %v", sn.Pools)
	}
	for code, want := range map[dhcp4.Code]string{1: "\xff\xff\xff\x00", 3: "\xc0\x00\x02\x01", 6: "\xc0\x00\x02\x35", 15: "example.net"} {
		if v, ok := sn.Pools[0].Options.Get(code); !ok || string(v) != want {
			t.Errorf("option %d is %q, want %q", code, v, want)
		}
	}
	r := sn.Network.Reservation(&policy.Keys{HType: 1, HW: []byte{2, 0, 0x5e, 0x10, 0, 1}})
	if r == nil || r.Addr != dhcp4.MustParseAddr("192.0.2.10") || r.Hostname != "printer" || r.Pos.Line != 9 {
		t.Errorf("reservation %+v", r)
	}
	if got := cfg.Interfaces(); len(got) != 1 || got[0] != "eth0" {
		t.Errorf("interfaces %v", got)
	}
	want := policy.Defaults()
	want.Interfaces = []string{"eth0"}
	if !equalSettings(pol.Settings, want) {
		t.Errorf("settings %+v, want the defaults", pol.Settings)
	}
	if cfg.LeaseDatabase != "" {
		t.Errorf("lease database %q, want the default", cfg.LeaseDatabase)
	}
}

func TestCompiledSettings(t *testing.T) {
	cfg, ps := Parse("f", []byte(`
interfaces: [eth0, eth1.5]
authoritative: false
nak-delivery: broadcast
server-identifier: 192.0.2.2
offer-lifetime: 2m
lease-grace: 30s
decline-probation-period: 1h
conflict-check: off
match-client-id: false
rapid-commit: true
lease-database: {path: /srv/leases/}
subnets: [{subnet: 192.0.2.0/24, name: lan, pools: [{pool: 192.0.2.128/25, exclude: 192.0.2.130, valid-lifetime: 2h}], valid-lifetime: 1h}]
`))
	if cfg == nil {
		t.Fatal(ps)
	}
	got, want := cfg.Policy().Settings, policy.Defaults()
	want.Interfaces = []string{"eth0", "eth1.5"}
	want.Authoritative, want.MatchClientID, want.ConflictCheck, want.RapidCommit = false, false, false, true
	want.NakDelivery, want.ServerIdentifier = policy.NakBroadcast, dhcp4.MustParseAddr("192.0.2.2")
	want.OfferLifetime, want.Grace, want.Probation = 120e9, 30, 3600e9
	if !equalSettings(got, want) {
		t.Errorf("settings %+v\nwant     %+v", got, want)
	}
	if cfg.LeaseDatabase != "/srv/leases" {
		t.Errorf("lease database %q", cfg.LeaseDatabase)
	}
	sn := cfg.Policy().Networks[0].Subnets[0]
	if sn.Name != "lan" || sn.Valid != 3600 || sn.Pools[0].Valid != 7200 || sn.Pools[0].Size() != 127 || sn.PoolOf(dhcp4.MustParseAddr("192.0.2.130")) != nil {
		t.Errorf("subnet %+v, pool %+v", sn, sn.Pools[0])
	}
}

func TestDurations(t *testing.T) {
	for text, want := range map[string]uint32{
		"0": 0, "45": 45, "45s": 45, "90m": 5400, "12h": 43200, "1d": 86400, "1w": 604800, "1h30m": 5400, "1w2d3h4m5s": 788645,
		"infinite": lease.Infinite, "4294967294": 4294967294, "010": 10,
	} {
		if got, ok := parseDuration(text); !ok || got != want {
			t.Errorf("%q: %d %v, want %d", text, got, ok, want)
		}
	}
	for _, text := range []string{"", "h", "12hours", "12 h", "-1", "+1", "1.5h", "1e3", "1h1h", "1m1h", "1h30", "0x10", "4294967295", "4294967296", "99999999999999999999h",
		"7102w", "Infinite", "12H", "١٢h"} {
		if got, ok := parseDuration(text); ok {
			t.Errorf("%q was read as %d", text, got)
		}
	}
	for _, s := range []uint32{0, 1, 59, 60, 61, 3600, 5400, 43200, 86400, 604800, 1 << 31, lease.Infinite - 1, lease.Infinite} {
		if got, ok := parseDuration(formatDuration(s)); !ok || got != s {
			t.Errorf("%d is written %q and read %d %v", s, formatDuration(s), got, ok)
		}
	}
}

func TestMinGrace(t *testing.T) {
	for lifetime, want := range map[uint32]uint32{4: 2, 6: 2, 2500: 2, 2501: 3, 3600: 3, 43200: 19, 86400: 36} {
		if got := MinGrace(lifetime); got != want {
			t.Errorf("lifetime %d: %d, want %d", lifetime, got, want)
		}
	}
}

// TestHugeFile holds that a file for a large site is read in bounded time; with a
// cost that grows with the square of its length it would take minutes.
func TestHugeFile(t *testing.T) {
	var b strings.Builder
	b.WriteString("interfaces: [eth0]\nsubnets:\n")
	const subnets, each = 500, 40
	for i := range subnets {
		base := dhcp4.MustParseAddr("198.18.0.0") + dhcp4.Addr(i)<<8
		fmt.Fprintf(&b, "  - subnet: %s/24\n    pools: [%s-%s]\n    options: {routers: %s}\n    reservations:\n", base, base+100, base+250, base+1)
		for j := range each {
			fmt.Fprintf(&b, "      - {hw-address: \"02:00:5e:%02x:%02x:%02x\", ip-address: %s, hostname: h%d-%d}\n", i>>8, i&255, j, base+dhcp4.Addr(10+j), i, j)
		}
	}
	block := b.String()
	var root yaml.Node
	if err := yaml.Load([]byte(block), &root); err != nil {
		t.Fatal(err)
	}
	// The same on a single line, as a program may write it.
	for _, text := range []string{block, flowText(root.Content[0])} {
		start := time.Now()
		cfg, ps := Parse("huge.yaml", []byte(text))
		if cfg == nil || len(ps) > 0 {
			t.Fatal(ps)
		}
		if got := cfg.Summary(); got != "500 subnets, 75500 addresses, 20000 reservations" {
			t.Errorf("%s", got)
		}
		if d := time.Since(start); d > time.Minute {
			t.Errorf("it took %v", d)
		}
	}
}

// flowText writes a tree on one line.
func flowText(n *yaml.Node) string {
	var parts []string
	switch n.Kind {
	case yaml.SequenceNode:
		for _, c := range n.Content {
			parts = append(parts, flowText(c))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case yaml.MappingNode:
		for i := 0; i < len(n.Content); i += 2 {
			parts = append(parts, n.Content[i].Value+": "+flowText(n.Content[i+1]))
		}
		return "{" + strings.Join(parts, ", ") + "}"
	}
	return n.Value
}

// TestBillionLaughs holds that a short file cannot stand for a huge one.
func TestBillionLaughs(t *testing.T) {
	var b strings.Builder
	b.WriteString("a0: &a0 [x, x, x, x, x, x, x, x, x]\n")
	for i := 1; i < 60; i++ {
		fmt.Fprintf(&b, "a%d: &a%d [*a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d]\n", i, i, i-1, i-1, i-1, i-1, i-1, i-1, i-1, i-1)
	}
	cfg, ps := Parse("f", []byte(b.String()))
	if cfg != nil || len(ps) == 0 || ps[0].ID != "config/anchor" {
		t.Errorf("%v", ps)
	}
	deep := strings.Repeat("[", 100000)
	if cfg, ps := Parse("f", []byte("a: "+deep)); cfg != nil || len(ps) != 1 || ps[0].ID != "config/syntax" {
		t.Errorf("%v", ps)
	}
}

func TestRenderInColour(t *testing.T) {
	_, ps := Parse("f", []byte("colour: blue\n"))
	var b strings.Builder
	if err := ps.WriteTerminal(&b, true); err != nil || !strings.HasPrefix(b.String(), "\x1b[1;31merror[config/unknown-key]\x1b[0m") {
		t.Errorf("%v %q", err, b.String())
	}
	if opened, closed := strings.Count(b.String(), "\x1b["), strings.Count(b.String(), sgrReset); opened != 2*closed {
		t.Errorf("%d sequences, %d ends", opened, closed)
	}
}

// A named pipe that nobody writes to is an empty file, not a wait for ever.
func TestLoadOfAPipeDoesNotWait(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if cfg, ps := Load(path); cfg != nil || len(ps) == 0 {
		t.Errorf("a pipe without a writer was taken for a configuration: %v", ps)
	}
}
