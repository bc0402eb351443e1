package link_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"lessor/dhcp4"
	"lessor/internal/link"
	"lessor/internal/wire"
)

const (
	workerSocket = 3 // the file descriptor that the worker is started with
	workerUID    = 65534
	workerEnv    = "LESSOR_LINK_WORKER"
)

// TestMain is also the worker of TestUnprivileged.
func TestMain(m *testing.M) {
	if os.Getenv(workerEnv) == "" {
		os.Exit(m.Run())
	}
	if err := worker(); err != nil {
		fmt.Println("worker:", err)
		os.Exit(1)
	}
}

// clientReady makes eth0 without an address and returns it once WatchClient reports it.
func clientReady(t testing.TB, b *bed) (wire.Link, *kernelPeer) {
	t.Helper()
	peer := b.Add("eth0").(*kernelPeer)
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	var l wire.Link
	if err := b.kernel.WatchClient(ctx, "eth0", func(now *wire.Link, _ *link.Missing) {
		if now != nil {
			l = *now
			cancel()
		}
	}); err != nil || l.ID == 0 {
		t.Fatalf("eth0 does not get ready: %v", err)
	}
	return l, peer
}

// offer is a reply to an address that is not ours yet.
func offer(to wire.MAC, data string) []byte {
	return link.AppendFrame(nil, wire.MAC{2, 0, 0x5e, 0x20, 0, 7}, 1, &wire.Send{MAC: to, Src: subnet.Addr + 4, Dst: subnet.Addr + 99,
		SrcPort: 67, DstPort: 68, Data: []byte(data)})
}

// TestUnprivileged: sockets that a privileged process opened serve one with another user
// and no capability, to which they were sent, for everything that a client does.
func TestUnprivileged(t *testing.T) {
	b := newBed(t)
	l, peer := clientReady(t, b)
	b.SetAddrs("eth0", subnet)
	peer.SetAddrs(dhcp4.Prefix{Addr: subnet.Addr + 1, Bits: 24})
	var files []*os.File
	b.server.do(t, func() (err error) { files, err = b.kernel.OpenClientFiles(l); return err })
	out := startWorker(t, b, l, files)
	line := func(want string) {
		t.Helper()
		got, err := out.ReadString('\n')
		if err != nil {
			rest, _ := io.ReadAll(out)
			t.Fatalf("the worker says %q (%v) %s, want %s", got, err, rest, want)
		}
		if got = strings.TrimSpace(got); got != want {
			t.Fatalf("the worker says %s, want %s", got, want)
		}
	}
	line("user 65534, no capabilities")
	line("eth0 is ready")
	line("sent")
	for _, want := range []string{"raw", "routed"} {
		f := receiveData(t, peer, want)
		if f.SrcMAC != l.MAC || f.SrcPort != 68 || f.DstPort != 67 || want == "routed" && (f.DstMAC != peer.MAC() || f.Dst != subnet.Addr+1) {
			t.Errorf("%s: arrived %+v", want, f)
		}
	}
	about := link.AppendARP(nil, peer.MAC(), &wire.ARP{Op: 2, SenderMAC: peer.MAC(), SenderIP: subnet.Addr + 1})
	peer.Send(offer(l.MAC, "not watching"))
	line("not watching: 0 ARP")
	line("watching")
	peer.Send(about)
	peer.Send(offer(l.MAC, "watching"))
	line("watching: 1 ARP")
	line("not watching any more")
	peer.Send(about)
	peer.Send(offer(l.MAC, "the end"))
	line("the end: 0 ARP")
	line("port 68 is its own")
}

func receiveData(t *testing.T, peer *kernelPeer, data string) link.Frame {
	t.Helper()
	for {
		f, ok := peer.Receive(2 * time.Second)
		if !ok {
			t.Fatalf("%q was not sent", data)
		}
		if d := link.Decode(f); string(d.Data) == data {
			return d
		}
	}
}

// startWorker starts this program as another user in the server's namespace, sends it the
// files, closes them here, and returns what it prints.
func startWorker(t *testing.T, b *bed, l wire.Link, files []*os.File) *bufio.Reader {
	t.Helper()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	theirs := os.NewFile(uintptr(pair[1]), "worker")
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = []string{workerEnv + "=1"}
	cmd.Dir = "/"
	cmd.ExtraFiles = []*os.File{theirs}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: workerUID, Gid: workerUID}}
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	b.server.do(t, cmd.Start)
	t.Cleanup(func() {
		late := time.AfterFunc(5*time.Second, func() { cmd.Process.Kill() })
		defer late.Stop()
		if t.Failed() {
			cmd.Process.Kill()
		}
		if err := cmd.Wait(); err != nil && !t.Failed() {
			t.Errorf("the worker ended with %v", err)
		}
	})
	theirs.Close()
	defer unix.Close(pair[0])
	text, err := json.Marshal(l)
	if err != nil {
		t.Fatal(err)
	}
	var fds []int
	for _, f := range files {
		fd := int(f.Fd())
		if err := unix.SetNonblock(fd, false); err != nil { // as other ways of passing files do
			t.Fatal(err)
		}
		fds = append(fds, fd)
	}
	if err := unix.Sendmsg(pair[0], text, unix.UnixRights(fds...), nil, 0); err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		f.Close()
	}
	return bufio.NewReader(out)
}

// worker is the unprivileged process.
func worker() error {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return err
	}
	for _, set := range []string{"CapInh", "CapPrm", "CapEff", "CapAmb"} {
		if !strings.Contains(string(status), set+":\t0000000000000000\n") {
			return fmt.Errorf("capabilities: %s", status)
		}
	}
	fmt.Printf("user %d, no capabilities\n", os.Getuid())
	l, files, err := takeFiles()
	if err != nil {
		return err
	}
	k := link.NewKernel()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := k.WatchClient(ctx, "eth0", func(now *wire.Link, m *link.Missing) {
		if now != nil && now.ID == l.ID && now.MAC == l.MAC {
			fmt.Println("eth0 is ready")
			cancel()
		}
	}); err != nil {
		return err
	}
	p, err := k.ClientPort(l, files)
	if err != nil {
		return err
	}
	s := wire.Send{Link: l.ID, Src: subnet.Addr, Dst: subnet.Addr + 1, SrcPort: 68, DstPort: 67, Data: []byte("routed")}
	raw := s
	raw.Raw, raw.MAC, raw.Data = true, wire.BroadcastMAC, []byte("raw")
	if _, err := p.Send([]wire.Send{raw, s}); err != nil {
		return err
	}
	if err := p.SendARP([]wire.ARP{{Op: 1, SenderMAC: l.MAC, TargetIP: subnet.Addr + 1}}); err != nil {
		return err
	}
	fmt.Println("sent") // the answer to the question is not heard: nothing is watched
	return errors.Join(hear(p), p.Close(), free(k, l))
}

// hear receives while addresses are watched and not.
func hear(p link.ClientPort) error {
	if err := upTo(p, "not watching"); err != nil {
		return err
	}
	if err := p.WatchARP([]dhcp4.Addr{subnet.Addr + 1}); err != nil {
		return err
	}
	fmt.Println("watching")
	if err := upTo(p, "watching"); err != nil {
		return err
	}
	if err := p.WatchARP(nil); err != nil {
		return err
	}
	fmt.Println("not watching any more")
	return upTo(p, "the end")
}

// upTo receives until a message with this payload.
func upTo(p link.Port, data string) error {
	arps := 0
	for {
		var b link.Batch
		if err := p.Receive(&b); err != nil {
			return err
		}
		arps += len(b.ARPs)
		for _, q := range b.Packets {
			if string(q.Data) == data {
				fmt.Printf("%s: %d ARP\n", data, arps)
				return nil
			}
		}
	}
}

// free says whether this process, which may not open sockets, held the port alone.
func free(k *link.Kernel, l wire.Link) error {
	var rights *link.PrivilegeError
	if _, err := k.OpenClient(l); !errors.As(err, &rights) {
		return fmt.Errorf("open without capabilities: %w", err)
	}
	table, err := os.ReadFile("/proc/self/net/udp")
	if strings.Contains(string(table), ":0044 ") {
		return fmt.Errorf("after Close: %s", table)
	}
	fmt.Println("port 68 is its own")
	return err
}

// takeFiles receives the link and its sockets.
func takeFiles() (l wire.Link, files []*os.File, err error) {
	buf, oob := make([]byte, 4096), make([]byte, 256)
	n, oobn, _, _, err := unix.Recvmsg(workerSocket, buf, oob, 0)
	if err != nil {
		return l, nil, err
	}
	if err := json.Unmarshal(buf[:n], &l); err != nil {
		return l, nil, err
	}
	msgs, err := unix.ParseSocketControlMessage(oob[:oobn])
	if err != nil || len(msgs) != 1 {
		return l, nil, fmt.Errorf("%d control messages: %w", len(msgs), err)
	}
	fds, err := unix.ParseUnixRights(&msgs[0])
	for _, fd := range fds {
		files = append(files, os.NewFile(uintptr(fd), "passed"))
	}
	return l, files, err
}

// TestClientFiles: what does not fit is refused, and nothing stays open.
func TestClientFiles(t *testing.T) {
	b := newBed(t)
	l, _ := clientReady(t, b)
	list := func() int {
		fds, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(fds)
	}
	before := list()
	for range 5 {
		var files []*os.File
		b.server.do(t, func() (err error) { files, err = b.kernel.OpenClientFiles(l); return err })
		if _, err := b.kernel.OpenClient(l); err == nil {
			t.Fatal("opened twice")
		}
		if _, err := b.kernel.ClientPort(l, files[:3]); err == nil {
			t.Fatal("a port of three sockets")
		}
		files[3].Close()
		p, err := b.kernel.OpenClient(l)
		if err != nil {
			t.Fatalf("the port is not free: %v", err)
		}
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
		b.server.do(t, func() (err error) { files, err = b.kernel.OpenClientFiles(l); return err })
		files[1].Close()
		if _, err := b.kernel.ClientPort(l, files); err == nil {
			t.Fatal("a port of a closed socket")
		}
	}
	if after := list(); after > before {
		t.Errorf("%d files before, %d after", before, after)
	}
}

// TestClientCapabilities opens with the two capabilities that the error names, and with
// fewer gets that error.
func TestClientCapabilities(t *testing.T) {
	b := newBed(t)
	l, _ := clientReady(t, b)
	const both = 1<<unix.CAP_NET_RAW | 1<<unix.CAP_NET_BIND_SERVICE
	for _, caps := range []uint32{0, 1 << unix.CAP_NET_RAW, 1 << unix.CAP_NET_BIND_SERVICE, both} {
		err := withCaps(b, caps, func() error {
			p, err := b.kernel.Kernel.OpenClient(l)
			if err != nil {
				return err
			}
			return p.Close()
		})
		var rights *link.PrivilegeError
		if caps == both {
			if err != nil {
				t.Errorf("with both: %v", err)
			}
		} else if want := "needs CAP_NET_RAW and CAP_NET_BIND_SERVICE, and CAP_NET_ADMIN to configure"; !errors.As(err, &rights) || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("capabilities %#x: %v", caps, err)
		}
	}
}

// withCaps runs f on a thread of the server's namespace that has these capabilities and no
// others.
func withCaps(b *bed, caps uint32, f func() error) error {
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
			return f()
		}()
	}()
	return <-done
}

// TestClientHolder: another DHCP client has port 68.
func TestClientHolder(t *testing.T) {
	b := newBed(t)
	l, _ := clientReady(t, b)
	dir := t.TempDir()
	cmd := exec.Command("dhclient", "-d", "-sf", "/bin/true", "-cf", "/dev/null", "-lf", dir+"/leases", "-pf", dir+"/pid", "eth0")
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
		if strings.Contains(string(table), ":0044 ") {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("dhclient does not take port 68: %s", out.String())
		}
	}
	_, err := b.kernel.OpenClient(l)
	var taken *link.PortTakenError
	want := fmt.Sprintf("port 68 on eth0 is used by dhclient (pid %d), so another DHCP client runs here: stop it, or choose another interface", cmd.Process.Pid)
	if !errors.As(err, &taken) || err.Error() != want || !errors.Is(err, unix.EADDRINUSE) {
		t.Errorf("%v\nwant %s", err, want)
	}
}

// TestClientMTU: the MTU grows while a port is open, and messages that only now fit come in
// whole, up to the longest that a client takes.
func TestClientMTU(t *testing.T) {
	b := newBed(t)
	l, peer := clientReady(t, b)
	p, err := b.kernel.OpenClient(l)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	grow := func(name string) func() error {
		return func() error {
			i, err := netlink.LinkByName(name)
			if err != nil {
				return err
			}
			return netlink.LinkSetMTU(i, 9000)
		}
	}
	b.server.do(t, grow("eth0"))
	b.far.do(t, grow(peer.name))
	late := time.AfterFunc(5*time.Second, func() { p.Close() })
	defer late.Stop()
	for _, n := range []int{300, 1473, 4096} {
		peer.Send(offer(l.MAC, strings.Repeat("x", n)))
		var batch link.Batch
		if err := p.Receive(&batch); err != nil || len(batch.Packets) != 1 || len(batch.Packets[0].Data) != n {
			t.Errorf("%d octets: %v, received %d messages, refused %v", n, err, len(batch.Packets), batch.Bad)
		}
	}
}

// TestClientFlood: 100,000 replies, faster than any network brings them, cost no memory:
// what is not received in time is lost in a small buffer of the kernel, and what is
// received allocates nothing.
func TestClientFlood(t *testing.T) {
	b := newBed(t)
	l, peer := clientReady(t, b)
	p, err := b.kernel.OpenClient(l)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	f := offer(l.MAC, strings.Repeat("x", 548))
	const n = 100_000
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		write := func(fd uintptr) bool { // peer.Send allocates
			_, err := unix.Write(int(fd), f)
			return err != unix.EAGAIN
		}
		for range n {
			if err := peer.raw.Write(write); err != nil {
				t.Error(err)
				return
			}
		}
		peer.Send(offer(l.MAC, "the end"))
	}()
	var batch link.Batch
	got, lost := 0, uint64(0)
	var before, after runtime.MemStats
	late := time.AfterFunc(20*time.Second, func() { p.Close() })
	defer late.Stop()
	start := time.Now()
	for over := false; !over; {
		if err := p.Receive(&batch); err != nil {
			t.Fatalf("%v after %d and %d lost", err, got, lost)
		}
		if got == 0 {
			runtime.ReadMemStats(&before)
		}
		got += len(batch.Packets)
		lost += batch.Dropped
		over = got+int(lost) >= n || slices.ContainsFunc(batch.Packets, func(q wire.Packet) bool { return string(q.Data) == "the end" })
	}
	<-sent
	runtime.ReadMemStats(&after)
	t.Logf("%d replies in %v: %d received, %d lost; %d octets allocated meanwhile", n, time.Since(start).Round(time.Millisecond), got, lost, after.TotalAlloc-before.TotalAlloc)
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 64<<10 {
		t.Errorf("%d octets were allocated", grown)
	}
	if got == 0 {
		t.Error("nothing was received")
	}
}
