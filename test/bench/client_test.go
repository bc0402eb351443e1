package bench

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"lessor/internal/netlab"
)

// clientRun is one way to get an address.
type clientRun struct {
	args  []string
	state []string // files to remove before each run: every run is a first start
	took  []time.Duration
}

// median of what the runs took.
func (c *clientRun) median() time.Duration {
	sorted := slices.Sorted(slices.Values(c.took))
	return sorted[len(sorted)/2]
}

// clientRace is our client and udhcpc on the same host, with the same "lessor serve".
type clientRace struct {
	host         *netlab.Host
	added        chan netlink.AddrUpdate
	ours, theirs *clientRun
}

// newClientRace makes a race that lives as long as the test. Neither client checks the address,
// and neither remembers one.
func newClientRace(tb testing.TB) *clientRace {
	tb.Helper()
	l := must(netlab.New(tb.TempDir()))(tb)
	tb.Cleanup(func() { check(tb, l.Close()) })
	server, client := must(l.Host("server"))(tb), must(l.Host("client"))(tb)
	check(tb, l.Wire(server, "eth0", client, "eth0"))
	check(tb, server.AddAddr("eth0", "198.18.0.1/16"))
	conf := filepath.Join(server.Root, "lessor.yaml")
	check(tb, os.WriteFile(conf, []byte(lessorConfig), 0o644))
	serve := must(server.Start(netlab.Spec{Args: []string{lessor, "serve", "-c", conf, "--state", filepath.Join(server.Root, "state"), "--log-format", "json"}}))(tb)
	check(tb, serve.WaitOutput("LINK_READY", 10*time.Second))

	r := &clientRace{host: client, added: make(chan netlink.AddrUpdate, 64)}
	done := make(chan struct{})
	tb.Cleanup(func() { close(done) })
	check(tb, client.Do(func() error { return netlink.AddrSubscribe(r.added, done) }))
	leases, control := filepath.Join(client.Root, "leases"), filepath.Join(client.Root, "control.sock")
	r.ours = &clientRun{args: []string{lessor, "client", "eth0", "--once", "--fast", "--conflict-detection", "off", "-q", "--lease-file", leases, "--control", control},
		state: []string{leases, leases + ".undo"}}
	r.theirs = &clientRun{args: []string{must(netlab.Udhcpc.Find())(tb), "-n", "-q", "-i", "eth0"}}
	return r
}

// round starts each client three times.
func (r *clientRace) round(tb testing.TB) {
	for _, c := range []*clientRun{r.ours, r.theirs} {
		for range 3 {
			c.once(tb, r.host, r.added)
		}
	}
}

// ratio is how many times as long as udhcpc our client needs.
func (r *clientRace) ratio() float64 { return float64(r.ours.median()) / float64(r.theirs.median()) }

// BenchmarkClientStart is the time from the start of a client's process to the address on the
// interface, of "lessor client --once --fast --conflict-detection off" and of "udhcpc -n -q", in
// turn, against the same "lessor serve". Read the ratio of the medians.
func BenchmarkClientStart(b *testing.B) {
	r := newClientRace(b)
	for b.Loop() {
		r.round(b)
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(r.ours.median().Microseconds())/1000, "lessor-ms")
	b.ReportMetric(float64(r.theirs.median().Microseconds())/1000, "udhcpc-ms")
	b.ReportMetric(r.ratio(), "ratio")
}

// TestClientStart: what BenchmarkClientStart measures is at most twice as long as udhcpc.
func TestClientStart(t *testing.T) {
	r := newClientRace(t)
	for range 3 {
		r.round(t)
	}
	t.Logf("lessor client %s, udhcpc %s, ratio %.2f", r.ours.median(), r.theirs.median(), r.ratio())
	if r.ratio() > 2 {
		t.Errorf("lessor client needs %.2f times as long as udhcpc, want at most 2", r.ratio())
	}
}

// once starts the client and waits until the interface has an address; then everything is
// as it was before.
func (c *clientRun) once(tb testing.TB, h *netlab.Host, added <-chan netlink.AddrUpdate) {
	tb.Helper()
	for _, f := range c.state {
		if err := os.Remove(f); err != nil && !os.IsNotExist(err) {
			tb.Fatal(err)
		}
	}
	begun := time.Now()
	p := must(h.Start(netlab.Spec{Args: c.args}))(tb)
	limit := time.After(10 * time.Second)
	for there := false; !there; {
		select {
		case u := <-added:
			there = u.NewAddr && u.LinkAddress.IP.To4() != nil
		case <-limit:
			tb.Fatalf("%s got no address:\n%s", c.args[0], p.Output())
		}
	}
	c.took = append(c.took, time.Since(begun))
	if err, ended := p.Wait(10 * time.Second); !ended || err != nil {
		tb.Fatalf("%q ended: %t, %v:\n%s", c.args, ended, err, p.Output())
	}
	for _, a := range h.Addrs("eth0") {
		check(tb, h.DelAddr("eth0", a.String()))
	}
	for len(added) > 0 { // what was taken away
		<-added
	}
}
