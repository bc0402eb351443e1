package e2e

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"lessor/dhcp4"
	"lessor/internal/netlab"
)

// Two servers that know nothing of each other, each with one address. Neither is
// authoritative: the other's addresses are not its business.
const oneAddressConfig = `
interfaces: [eth0]
valid-lifetime: 1h
authoritative: false
subnets:
  - {subnet: 198.18.0.0/24, pools: [198.18.0.%d-198.18.0.%d]}
`

// The client takes the first server's offer. The second server sees that, stays
// silent, and its only address goes to a second client at once (S3 to S5, I6). Nobody
// answers a REQUEST that names a third server.
func TestTwoServersOnOneLink(t *testing.T) {
	l := newLab(t)
	sw := try(l.Switch("lan"))(t)
	a, b, c := try(l.Host("a"))(t), try(l.Host("b"))(t), try(l.Host("clients"))(t)
	check(t, sw.Join(a, "eth0", "198.18.0.1/24"))
	check(t, sw.Join(b, "eth0", "198.18.0.2/24"))
	check(t, sw.Join(c, "eth0"))
	rec := record(t, sw)
	serve(t, a, fmt.Sprintf(oneAddressConfig, 100, 100))
	control := filepath.Join(b.Root, "control.sock")
	serve(t, b, fmt.Sprintf(oneAddressConfig, 101, 101), "--control", control)
	st := try(NewStation(c, "eth0"))(t)
	defer st.Close()
	idA, idB := dhcp4.MustParseAddr("198.18.0.1"), dhcp4.MustParseAddr("198.18.0.2")
	addrA, addrB := dhcp4.MustParseAddr("198.18.0.100"), dhcp4.MustParseAddr("198.18.0.101")

	one, two := TestMAC(1), TestMAC(2)
	discover := Discover(one, 0x11)
	check(t, st.Send([][]byte{discover.Frame()}))
	for host, want := range map[string]dhcp4.Addr{"a": addrA, "b": addrB} {
		f, _, err := rec.Wait(0, 3*time.Second, func(f *netlab.Frame) bool { return f.From == host && f.Type() == dhcp4.Offer })
		if err != nil {
			t.Fatalf("offer of %s: %v", host, err)
		}
		if v, _ := f.View(); v.YIAddr() != want {
			t.Errorf("%s offers %s, want %s", host, v.YIAddr(), want)
		}
	}

	ack := try(st.Exchange(Select(one, 0x12, addrA, idA), 2*time.Second))(t)
	if ack.Type() != dhcp4.Ack || ack.SrcMAC != a.MAC("eth0") {
		t.Fatalf("the REQUEST that names a was answered by %s", ack)
	}
	// It is free because the client chose, not because the next client needs it.
	wantNothingOffered(t, control)
	start := time.Now()
	got, err := st.Bind(two, 0x21, 2*time.Second)
	if err != nil {
		t.Fatalf("the second client: %v", err)
	}
	if got.Addr != addrB || got.Server != idB {
		t.Errorf("the second client got %s from %s, want %s from %s", got.Addr, got.Server, addrB, idB)
	}
	t.Logf("the second client was bound %s after the first", time.Since(start).Round(time.Millisecond))

	if f, err := st.Exchange(Select(TestMAC(3), 0x31, addrB, dhcp4.MustParseAddr("198.18.0.99")), time.Second); err == nil {
		t.Errorf("a REQUEST that names another server was answered: %s", f)
	}
	for _, f := range rec.Frames() {
		v, ok := f.View()
		if ok && v.XID() == 0x12 && f.From == "b" {
			t.Errorf("b answered the REQUEST that names a: %s", &f)
		}
	}
}

// wantNothingOffered expects that within a second the server at this control socket
// has no address on offer, and all of them free (I6).
func wantNothingOffered(t *testing.T, control string) {
	t.Helper()
	var status struct {
		Pools []struct{ Size, Free, Offered uint64 }
	}
	for end := time.Now().Add(time.Second); ; time.Sleep(20 * time.Millisecond) {
		out := try(exec.Command(lessor, "status", "-o", "json", "--connect", control).Output())(t)
		check(t, json.Unmarshal(out, &status))
		if p := status.Pools[0]; p.Offered == 0 && p.Free == p.Size {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("the server still has its address on offer: %s", out)
		}
	}
}
