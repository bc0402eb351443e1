package link_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"lessor/dhcp4"
	"lessor/internal/link"
	"lessor/internal/wire"
)

var subnet = dhcp4.Prefix{Addr: dhcp4.MustParseAddr("198.18.0.1"), Bits: 24}

// ready makes eth0 with an address and returns it once Watch reports it.
func ready(t testing.TB, b *bed) (wire.Link, *kernelPeer) {
	t.Helper()
	peer := b.Add("eth0").(*kernelPeer)
	b.SetAddrs("eth0", subnet)
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	var l wire.Link
	if err := b.Net().Watch(ctx, []string{"eth0"}, func(ready []wire.Link, _ []link.Missing) {
		if len(ready) == 1 {
			l = ready[0]
			cancel()
		}
	}); err != nil || l.ID == 0 {
		t.Fatalf("eth0 does not get ready: %v", err)
	}
	return l, peer
}

func open(t testing.TB, b *bed, l wire.Link) link.Port {
	t.Helper()
	p, err := b.Net().Open(l)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

// TestKernelSender lets the peer's own UDP send, as a relay agent would: checksums
// are unfinished on veth, no "port unreachable" comes back, and no socket of ours
// queues anything in the host's UDP.
func TestKernelSender(t *testing.T) {
	b := newBed(t)
	l, peer := ready(t, b)
	p := open(t, b, l)
	peer.SetAddrs(dhcp4.Prefix{Addr: subnet.Addr + 1, Bits: 24})
	var c *net.UDPConn
	b.far.do(t, func() (err error) {
		c, err = net.DialUDP("udp4", nil, &net.UDPAddr{IP: net.IP{198, 18, 0, 1}, Port: 67})
		return err
	})
	defer c.Close()
	for i := range 3 {
		data := bytes.Repeat([]byte{byte(i)}, 301)
		if _, err := c.Write(data); err != nil {
			t.Fatal(err) // ECONNREFUSED: the server's kernel answered
		}
		var batch link.Batch
		for len(batch.Packets) == 0 {
			if err := p.Receive(&batch); err != nil {
				t.Fatal(err)
			}
			if batch.Bad != [link.NumBadReasons]uint64{} {
				t.Fatalf("refused: %v", batch.Bad)
			}
		}
		if q := batch.Packets[0]; !bytes.Equal(q.Data, data) || q.Src != subnet.Addr+1 || q.Dst != subnet.Addr || q.SrcMAC != peer.MAC() {
			t.Errorf("received %+v", q)
		}
	}
	if err := c.SetReadDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 10)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the peer reads: %v", err)
	}
	b.server.do(t, func() error {
		table, err := os.ReadFile("/proc/thread-self/net/udp")
		if !strings.Contains(string(table), ":0043 ") || strings.Count(string(table), " 00000000:00000000 ") != 1 {
			t.Errorf("UDP sockets: %s", table)
		}
		return err
	})
}

// TestPortHolder: another program has port 67.
func TestPortHolder(t *testing.T) {
	b := newBed(t)
	l, _ := ready(t, b)
	dir := t.TempDir()
	cmd := exec.Command("dnsmasq", "--keep-in-foreground", "--no-resolv", "--no-hosts", "--conf-file=/dev/null", "--port=0", "--user=root",
		"--interface=eth0", "--dhcp-range=198.18.0.50,198.18.0.60", "--dhcp-leasefile="+dir+"/leases", "--pid-file="+dir+"/pid")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	b.server.do(t, cmd.Start)
	defer func() {
		cmd.Process.Kill()
		cmd.Wait()
	}()
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		var table []byte
		b.server.do(t, func() (err error) { table, err = os.ReadFile("/proc/thread-self/net/udp"); return err })
		if strings.Contains(string(table), ":0043 ") {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("dnsmasq does not take port 67: %s", out.String())
		}
	}
	_, err := b.Net().Open(l)
	var taken *link.PortTakenError
	want := fmt.Sprintf("port 67 on eth0 is used by dnsmasq (pid %d): stop it, or choose another interface", cmd.Process.Pid)
	if !errors.As(err, &taken) || err.Error() != want || !errors.Is(err, unix.EADDRINUSE) {
		t.Errorf("%v\nwant %s", err, want)
	}
}

// TestCapabilities opens and serves with the two capabilities that the error names,
// and with fewer gets that error.
func TestCapabilities(t *testing.T) {
	b := newBed(t)
	l, peer := ready(t, b)
	const both = 1<<unix.CAP_NET_RAW | 1<<unix.CAP_NET_BIND_SERVICE
	for _, caps := range []uint32{0, 1 << unix.CAP_NET_RAW, 1 << unix.CAP_NET_BIND_SERVICE} {
		_, err := openBy(b, l, caps)
		var priv *link.PrivilegeError
		file, ferr := os.Executable()
		if ferr != nil {
			t.Fatal(ferr)
		}
		want := "needs CAP_NET_RAW and CAP_NET_BIND_SERVICE: use the unit, or sudo setcap cap_net_raw,cap_net_bind_service=+ep " + file
		if !errors.As(err, &priv) || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("capabilities %#x: %v", caps, err)
		}
	}
	p := openWith(t, b, l, both)
	s := wire.Send{Raw: true, MAC: peer.MAC(), Src: subnet.Addr, Dst: subnet.Addr + 7, SrcPort: 67, DstPort: 68, Data: []byte("by right")}
	if failed, err := p.Send([]wire.Send{s}); failed != 0 || err != nil {
		t.Error(failed, err)
	}
	for {
		f, ok := peer.Receive(2 * time.Second)
		if !ok {
			t.Fatal("nothing was sent")
		}
		if string(link.Decode(f).Data) == "by right" {
			break
		}
	}
}

// openBy opens a port on a thread that has these capabilities and no others.
func openBy(b *bed, l wire.Link, caps uint32) (p link.Port, err error) {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // the thread, which loses its rights, ends with the goroutine
		done <- func() error {
			if err := unix.Setns(b.server.fd, unix.CLONE_NEWNET); err != nil {
				return err
			}
			h := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
			d := [2]unix.CapUserData{{Effective: caps, Permitted: caps}}
			if err := unix.Capset(&h, &d[0]); err != nil {
				return err
			}
			p, err = b.kernel.Kernel.Open(l)
			return err
		}()
	}()
	err = <-done
	return p, err
}

func openWith(t *testing.T, b *bed, l wire.Link, caps uint32) link.Port {
	t.Helper()
	p, err := openBy(b, l, caps)
	if err != nil {
		t.Fatalf("with capabilities %#x: %v", caps, err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

// TestExplain: what an operator is told of interfaces that are not ready.
func TestExplain(t *testing.T) {
	b := newBed(t)
	explain := func(name, want string) {
		t.Helper()
		var got string
		for end := time.Now().Add(2 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
			b.server.do(t, func() (err error) { got, err = b.kernel.Explain(name); return err })
			if strings.Contains(got, want) && (want == "") == (got == "") {
				return
			}
		}
		t.Errorf("%s: %q, want %q", name, got, want)
	}
	b.Add("eth0")
	explain("eth0", "no IPv4 address")
	b.SetCarrier("eth0", false)
	explain("eth0", "no carrier")
	b.SetUp("eth0", false)
	explain("eth0", "down: ip link set eth0 up")
	explain("eth1", "did you mean eth0?")
	explain("lo", "loopback")
	b.SetUp("eth0", true)
	b.SetCarrier("eth0", true)
	b.SetAddrs("eth0", subnet)
	explain("eth0", "")
	ctx, cancel := context.WithCancel(context.Background())
	if err := b.Net().Watch(ctx, []string{"lo"}, func(ready []wire.Link, missing []link.Missing) {
		if len(ready) != 0 || len(missing) != 1 || !strings.Contains(missing[0].Reason, "loopback") {
			t.Errorf("ready %v, missing %v", ready, missing)
		}
		cancel()
	}); err != nil {
		t.Error(err)
	}
}

// TestFlood of netlink messages, more than its socket holds, leaves Watch with the
// truth.
func TestFlood(t *testing.T) {
	b := newBed(t)
	l, _ := ready(t, b)
	ctx, cancel := context.WithCancel(context.Background())
	state := make(chan []wire.Link, 10000)
	slow := make(chan bool)
	done := make(chan error)
	go func() {
		done <- b.Net().Watch(ctx, []string{"eth0"}, func(ready []wire.Link, _ []link.Missing) {
			state <- ready
			<-slow
		})
	}()
	<-state
	for i := range 2000 {
		b.SetAddrs("eth0", dhcp4.Prefix{Addr: subnet.Addr + dhcp4.Addr(i%200), Bits: 24})
	}
	close(slow)
	last := dhcp4.Prefix{Addr: subnet.Addr + 1999%200, Bits: 24}
	for end := time.After(5 * time.Second); ; {
		select {
		case r := <-state:
			if len(r) == 1 && r[0].ID == l.ID && len(r[0].Addrs) == 1 && r[0].Addrs[0] == last {
				cancel()
				if err := <-done; err != nil {
					t.Error(err)
				}
				return
			}
		case <-end:
			t.Fatal("the last state was not reported")
		}
	}
}

// TestPolicyRoute: the source address takes part in the choice of the way, so that a
// host with a rule for each of its providers answers by the right one.
func TestPolicyRoute(t *testing.T) {
	b := newBed(t)
	l, peer := ready(t, b)
	p := open(t, b, l)
	other := b.Add("eth1")
	side := dhcp4.Prefix{Addr: dhcp4.MustParseAddr("198.18.1.1"), Bits: 24}
	b.SetAddrs("eth1", side)
	router := dhcp4.Prefix{Addr: side.Addr + 1, Bits: 24}
	other.SetAddrs(router)
	peer.SetAddrs(dhcp4.Prefix{Addr: subnet.Addr + 1, Bits: 24})
	far := dhcp4.Prefix{Addr: dhcp4.MustParseAddr("203.0.113.0"), Bits: 24}
	b.AddRoute(far, subnet.Addr+1)
	b.server.do(t, func() error {
		gw := router.Addr.As4()
		dst := far.Addr.As4()
		from := side.Addr.As4()
		rule := netlink.NewRule()
		rule.Src, rule.Table = &net.IPNet{IP: from[:], Mask: net.CIDRMask(32, 32)}, 100
		return errors.Join(netlink.RuleAdd(rule),
			netlink.RouteAdd(&netlink.Route{Table: 100, Dst: &net.IPNet{IP: dst[:], Mask: net.CIDRMask(24, 32)}, Gw: gw[:]}))
	})
	for src, at := range map[dhcp4.Addr]*kernelPeer{subnet.Addr: peer, side.Addr: other.(*kernelPeer)} {
		s := wire.Send{Src: src, Dst: far.Addr + 5, SrcPort: 67, DstPort: 67, Data: []byte("from " + src.String())}
		if failed, err := p.Send([]wire.Send{s}); failed != 0 || err != nil {
			t.Fatal(failed, err)
		}
		for {
			f, ok := at.Receive(2 * time.Second)
			if !ok {
				t.Fatalf("what is from %s did not go by %s", src, at.name)
			}
			if bytes.Equal(link.Decode(f).Data, s.Data) {
				break
			}
		}
	}
}

// TestStall: what 20,000 requests a second bring while the process is held for
// 100 ms waits in the socket, with the rights of the unit alone (P13), or as much of
// it as the host's limit for socket buffers allows.
func TestStall(t *testing.T) {
	b := newBed(t)
	l, peer := ready(t, b)
	limit, err := os.ReadFile("/proc/sys/net/core/rmem_max")
	if err != nil {
		t.Fatal(err)
	}
	octets, err := strconv.Atoi(strings.TrimSpace(string(limit)))
	if err != nil {
		t.Fatal(err)
	}
	n := min(2000, 2*octets/1536) // the kernel doubles the limit, and counts a packet as up to 1.5 KiB
	p := openWith(t, b, l, 1<<unix.CAP_NET_RAW|1<<unix.CAP_NET_BIND_SERVICE)
	f := link.AppendFrame(nil, peer.MAC(), 1, &wire.Send{MAC: wire.BroadcastMAC, Dst: dhcp4.Broadcast, SrcPort: 68, DstPort: 67, Data: make([]byte, 300)})
	for range n {
		peer.Send(f)
	}
	got := 0
	var batch link.Batch
	late := time.AfterFunc(5*time.Second, func() { p.Close() })
	defer late.Stop()
	for got < n {
		if err := p.Receive(&batch); err != nil || batch.Dropped != 0 {
			t.Fatalf("%v after %d of %d, %d lost; net.core.rmem_max is %d", err, got, n, batch.Dropped, octets)
		}
		got += len(batch.Packets)
	}
}

// TestFiles: neither ports that were closed nor attempts that failed keep files open.
func TestFiles(t *testing.T) {
	b := newBed(t)
	l, _ := ready(t, b)
	files := func() int {
		list, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(list)
	}
	before := files()
	for range 20 {
		p := open(t, b, l)
		if _, err := b.Net().Open(l); err == nil {
			t.Fatal("opened twice")
		}
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if after := files(); after > before {
		t.Errorf("%d files before, %d after", before, after)
	}
}
