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

// BenchmarkClientStart is the time from the start of a client's process to the address on the
// interface, of "lessor client --once --fast --conflict-detection off" and of "udhcpc -n -q", in
// turn, against the same "lessor serve": at most twice as long. Neither checks the address,
// and neither remembers one. Read the ratio of the medians.
func BenchmarkClientStart(b *testing.B) {
	l := must(netlab.New(b.TempDir()))(b)
	defer func() { check(b, l.Close()) }()
	server, client := must(l.Host("server"))(b), must(l.Host("client"))(b)
	check(b, l.Wire(server, "eth0", client, "eth0"))
	check(b, server.AddAddr("eth0", "198.18.0.1/16"))
	conf := filepath.Join(server.Root, "lessor.yaml")
	check(b, os.WriteFile(conf, []byte(lessorConfig), 0o644))
	serve := must(server.Start(netlab.Spec{Args: []string{lessor, "serve", "-c", conf, "--state", filepath.Join(server.Root, "state"), "--log-format", "json"}}))(b)
	check(b, serve.WaitOutput("LINK_READY", 10*time.Second))

	added, done := make(chan netlink.AddrUpdate, 64), make(chan struct{})
	defer close(done)
	check(b, client.Do(func() error { return netlink.AddrSubscribe(added, done) }))
	leases, control := filepath.Join(client.Root, "leases"), filepath.Join(client.Root, "control.sock")
	ours := &clientRun{args: []string{lessor, "client", "eth0", "--once", "--fast", "--conflict-detection", "off", "-q", "--lease-file", leases, "--control", control},
		state: []string{leases, leases + ".undo"}}
	theirs := &clientRun{args: []string{must(netlab.Udhcpc.Find())(b), "-n", "-q", "-i", "eth0"}}

	for b.Loop() {
		for _, c := range []*clientRun{ours, theirs} {
			for range 3 {
				c.once(b, client, added)
			}
		}
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(ours.median().Microseconds())/1000, "lessor-ms")
	b.ReportMetric(float64(theirs.median().Microseconds())/1000, "udhcpc-ms")
	b.ReportMetric(float64(ours.median())/float64(theirs.median()), "ratio")
}

// once starts the client and waits until the interface has an address; then everything is
// as it was before.
func (c *clientRun) once(b *testing.B, h *netlab.Host, added <-chan netlink.AddrUpdate) {
	b.Helper()
	for _, f := range c.state {
		if err := os.Remove(f); err != nil && !os.IsNotExist(err) {
			b.Fatal(err)
		}
	}
	begun := time.Now()
	p := must(h.Start(netlab.Spec{Args: c.args}))(b)
	limit := time.After(10 * time.Second)
	for there := false; !there; {
		select {
		case u := <-added:
			there = u.NewAddr && u.LinkAddress.IP.To4() != nil
		case <-limit:
			b.Fatalf("%s got no address:\n%s", c.args[0], p.Output())
		}
	}
	c.took = append(c.took, time.Since(begun))
	if err, ended := p.Wait(10 * time.Second); !ended || err != nil {
		b.Fatalf("%q ended: %t, %v:\n%s", c.args, ended, err, p.Output())
	}
	for _, a := range h.Addrs("eth0") {
		check(b, h.DelAddr("eth0", a.String()))
	}
	for len(added) > 0 { // what was taken away
		<-added
	}
}
