package run

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"lessor/dhcp4"
	"lessor/internal/client"
	"lessor/internal/lease"
)

var (
	bootOne = lease.BootID{1}
	bootTwo = lease.BootID{2}
	noon    = lease.Instant{M: 5000 * second, W: 1_790_000_000 * second}
)

// ack is an ACK of addr for lifetime seconds.
func ack(addr string, lifetime uint32, more ...dhcp4.Option) []byte {
	h := dhcp4.Header{Op: 2, HType: 1, HLen: 6, XID: 7, YIAddr: dhcp4.MustParseAddr(addr)}
	copy(h.CHAddr[:], clientMAC[:])
	opts := append([]dhcp4.Option{
		{Code: dhcp4.OptDHCPMessageType, Data: []byte{byte(dhcp4.Ack)}},
		{Code: dhcp4.OptDHCPServerIdentifier, Data: []byte{192, 0, 2, 1}},
		{Code: dhcp4.OptDHCPLeaseTime, Data: []byte{byte(lifetime >> 24), byte(lifetime >> 16), byte(lifetime >> 8), byte(lifetime)}},
		{Code: dhcp4.OptSubnetMask, Data: []byte{255, 255, 255, 0}},
	}, more...)
	b, _ := dhcp4.AppendMessage(nil, &h, opts, nil, 1472)
	return b
}

// remembered is a lease of addr that began at start.
func remembered(t testing.TB, addr string, lifetime uint32, start int64, now lease.Instant) client.Remembered {
	t.Helper()
	var v dhcp4.View
	if err := v.Parse(ack(addr, lifetime)); err != nil {
		t.Fatal(err)
	}
	l, _, why := client.ReadLease(&client.Config{}, &v, serverMAC, nil)
	if why != client.None {
		t.Fatal(why.Text())
	}
	l.Start, l.Obtained = start, now.W-(now.M-start)
	l.T1, l.T2, l.End = after(start, uint32(l.T1)), after(start, uint32(l.T2)), after(start, lifetime)
	return client.Remembered{Router: dhcp4.MustParseAddr("192.0.2.1"), RouterMAC: serverMAC, OwnMAC: clientMAC, Lease: l}
}

func later(now lease.Instant, d time.Duration) lease.Instant {
	return lease.Instant{M: now.M + int64(d), W: now.W + int64(d)}
}

// TestLeaseFile: what is written is read again, within the boot to the nanosecond.
func TestLeaseFile(t *testing.T) {
	in := []client.Remembered{
		remembered(t, "192.0.2.52", 3600, noon.M-100*second, noon),
		remembered(t, "198.51.100.7", lease.Infinite, noon.M-9*second, noon),
		remembered(t, "203.0.113.9", 60, noon.M-1000*second, noon), // has ended
	}
	text := EncodeLeases(in, bootOne, noon)
	if len(text) > MaxLeaseFile || !json.Valid(text) || !bytes.Contains(text, []byte(`"address": "192.0.2.52/24"`)) {
		t.Errorf("%s", text)
	}
	out, problem := DecodeLeases(text, &client.Config{}, bootOne, later(noon, 10*time.Second))
	if problem != "" || len(out) != len(in) {
		t.Fatalf("%d leases, %q", len(out), problem)
	}
	for i := range in {
		a, b := &in[i], &out[i]
		if a.Router != b.Router || a.RouterMAC != b.RouterMAC || a.OwnMAC != b.OwnMAC || a.Lease.ServerMAC != b.Lease.ServerMAC ||
			a.Lease.Addr != b.Lease.Addr || a.Lease.Start != b.Lease.Start || a.Lease.T1 != b.Lease.T1 || a.Lease.T2 != b.Lease.T2 ||
			a.Lease.End != b.Lease.End || a.Lease.Obtained != b.Lease.Obtained || !bytes.Equal(a.Lease.ACK, b.Lease.ACK) {
			t.Errorf("written %+v\nread %+v", a, b)
		}
	}
}

// TestLeaseFileTimes: after a reboot the wall clock tells how much is left, and nothing it says
// gives a lease more than it had when the file was written.
func TestLeaseFileTimes(t *testing.T) {
	text := EncodeLeases([]client.Remembered{remembered(t, "192.0.2.52", 3600, noon.M-600*second, noon)}, bootOne, noon) // 3000 s left
	at := func(m, w time.Duration) lease.Instant { return lease.Instant{M: int64(m), W: noon.W + int64(w)} }
	for _, c := range []struct {
		name string
		boot lease.BootID
		now  lease.Instant
		left int64 // seconds
	}{
		{"the same boot", bootOne, later(noon, 1000*time.Second), 2000},
		{"the same boot, the wall clock was set", bootOne, lease.Instant{M: noon.M + 1000*second, W: 5}, 2000},
		{"the same boot, the boot clock goes backwards", bootOne, at(20*time.Second, 100*time.Second), 0},
		{"another boot at once", bootTwo, at(20*time.Second, 0), 3000},
		{"another boot later", bootTwo, at(20*time.Second, 1000*time.Second), 2000},
		{"another boot after the end", bootTwo, at(20*time.Second, 3000*time.Second), 0},
		{"another boot, years later", bootTwo, at(20*time.Second, 100_000*time.Hour), 0},
		{"another boot, the wall clock is behind", bootTwo, at(20*time.Second, -time.Second), 0},
		{"another boot, the wall clock says 1970", bootTwo, lease.Instant{M: second, W: 30 * second}, 0},
	} {
		out, problem := DecodeLeases(text, &client.Config{}, c.boot, c.now)
		if problem != "" || len(out) != 1 {
			t.Fatalf("%s: %d leases, %q", c.name, len(out), problem)
		}
		l := &out[0].Lease
		if left := max((l.End-c.now.M)/second, 0); left != c.left || l.T1-l.Start != 1800*second || l.End-l.Start != 3600*second {
			t.Errorf("%s: %d s are left, want %d (%+v)", c.name, left, c.left, l)
		}
	}
}

// TestI20LeaseFileReleased: what was given back stays given back, whatever time its ACK gave,
// in this boot and after another, and also when the file is written once more.
func TestI20LeaseFileReleased(t *testing.T) {
	for _, lifetime := range []uint32{3600, lease.Infinite} {
		m := remembered(t, "192.0.2.52", lifetime, noon.M-100*second, noon)
		m.Lease.T1, m.Lease.T2, m.Lease.End = noon.M, noon.M, noon.M // as the machine notes a RELEASE
		text := EncodeLeases([]client.Remembered{m}, bootOne, noon)
		now := later(noon, time.Minute)
		again, problem := DecodeLeases(text, &client.Config{}, bootOne, now)
		if problem != "" || len(again) != 1 || again[0].Lease.End > now.M || again[0].Lease.T1 > now.M || again[0].Lease.T2 > now.M {
			t.Fatalf("lease of %d s, same boot: %q, %+v", lifetime, problem, again)
		}
		text = EncodeLeases(again, bootOne, now)
		boot := lease.Instant{M: 7 * second, W: now.W + 20*second}
		if out, _ := DecodeLeases(text, &client.Config{}, bootTwo, boot); len(out) != 1 || out[0].Lease.End > boot.M {
			t.Errorf("lease of %d s, after another boot: %+v", lifetime, out)
		}
	}
}

// TestLeaseFileLies: a file that was changed by somebody gives no lease more time than its
// ACK does, and no ACK more trust than one from the network.
func TestLeaseFileLies(t *testing.T) {
	good := string(EncodeLeases([]client.Remembered{remembered(t, "192.0.2.52", 3600, noon.M, noon), remembered(t, "192.0.2.53", 3600, noon.M, noon)}, bootOne, noon))
	for _, c := range []struct {
		name, old, new string
		leases         int
		problem        bool
	}{
		{"nothing", "", "", 2, false},
		{"a start in the future", `"obtained-boot": 5000000000000`, `"obtained-boot": 9000000000000000000`, 2, false},
		{"a start long ago", `"obtained-boot": 5000000000000`, `"obtained-boot": -9000000000000000000`, 2, false},
		{"written long ago", `"written-boot": 5000000000000`, `"written-boot": -9223372036854775808`, 2, false},
		{"written in a far year", `"written": "20`, `"written": "97`, 2, false},
		{"another version", `"version": 1`, `"version": 2`, 0, true},
		{"no hardware address", `"hw-address": "02:00:5e:10:00:01"`, `"hw-address": "02:00:5e"`, 1, true},
		{"a field of another type", `"router": "192.0.2.1"`, `"router": 7`, 1, true},
		{"an ACK that is none", `"ack": "Ag`, `"ack": "Aw`, 2, false}, // op is not read here; see ReadLease
		{"an ACK that is cut", `"ack": "AgEG`, `"ack": "", "was": "AgEG`, 1, true},
	} {
		text := strings.Replace(good, c.old, c.new, 1)
		if c.old != "" && text == good {
			t.Fatalf("%s: %q is not in the file:\n%s", c.name, c.old, good)
		}
		out, problem := DecodeLeases([]byte(text), &client.Config{}, bootOne, noon)
		if len(out) != c.leases || (problem != "") != c.problem {
			t.Errorf("%s: %d leases, %q", c.name, len(out), problem)
		}
		for i := range out {
			if l := &out[i].Lease; l.End > noon.M+3600*second || l.Start > noon.M {
				t.Errorf("%s: a lease from %d to %d, now is %d", c.name, l.Start, l.End, noon.M)
			}
		}
	}
	if _, problem := DecodeLeases(bytes.Repeat([]byte(" "), MaxLeaseFile+1), &client.Config{}, bootOne, noon); problem == "" {
		t.Error("a file without end is read")
	}
}

// TestLeaseFileCut: of a file that was cut anywhere, the leases before the cut are used.
func TestLeaseFileCut(t *testing.T) {
	var in []client.Remembered
	for _, a := range []string{"192.0.2.52", "192.0.2.53", "192.0.2.54"} {
		in = append(in, remembered(t, a, 3600, noon.M, noon))
	}
	text := EncodeLeases(in, bootOne, noon)
	counts := map[int]bool{}
	for n := 1; n < len(text)-1; n++ {
		out, problem := DecodeLeases(text[:n], &client.Config{}, bootOne, noon)
		if problem == "" && n < len(bytes.TrimRight(text, "}\n")) {
			t.Fatalf("cut at %d of %d: nothing is said", n, len(text))
		}
		for i := range out {
			if out[i].Lease.Addr != in[i].Lease.Addr {
				t.Fatalf("cut at %d: lease %d is %v", n, i, out[i].Lease.Addr)
			}
		}
		counts[len(out)] = true
	}
	if len(counts) != 4 {
		t.Errorf("cuts leave %v leases", counts)
	}
}

// TestLeaseFileFull: as many leases with the longest ACK as are remembered fit in the file and
// through the socket between the processes.
func TestLeaseFileFull(t *testing.T) {
	m := remembered(t, "192.0.2.52", 3600, noon.M, noon)
	m.Lease.ACK = bytes.Repeat([]byte{255}, client.MaxACK)
	text := EncodeLeases(slices.Repeat([]client.Remembered{m}, client.MaxMemory+5), bootOne, noon)
	if len(text) > MaxLeaseFile {
		t.Errorf("%d octets", len(text))
	}
	for _, v := range []any{&request{Op: opWrite, Leases: text}, &message{Leases: text}} {
		if b, err := json.Marshal(v); err != nil || len(b) > maxMessage {
			t.Errorf("a message of %d octets, %v", len(b), err)
		}
	}
}

func FuzzDecodeLeases(f *testing.F) {
	good := EncodeLeases([]client.Remembered{remembered(f, "192.0.2.52", 3600, noon.M, noon), remembered(f, "192.0.2.53", lease.Infinite, noon.M, noon)}, bootOne, noon)
	f.Add(good)
	f.Add(good[:len(good)/2])
	f.Add([]byte(`{"version":1,"leases":[{}]}`))
	f.Add([]byte(`{"version":1,"boot-id":"","written":"2026-01-01T00:00:00Z","leases":[null,1,[]]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		for _, boot := range []lease.BootID{bootOne, bootTwo} {
			out, problem := DecodeLeases(text, &client.Config{}, boot, noon)
			if len(out) > client.MaxMemory || len(problem) > 1000 {
				t.Fatalf("%d leases, %q", len(out), problem)
			}
			for i := range out {
				l := &out[i].Lease
				if l.Start > noon.M || l.Lifetime != lease.Infinite && l.End > noon.M+int64(l.Lifetime)*second || l.T1 > l.T2 || l.T2 > l.End {
					t.Fatalf("lease %+v", l)
				}
			}
			again, problem := DecodeLeases(EncodeLeases(out, boot, noon), &client.Config{}, boot, noon)
			if problem != "" || len(again) != len(out) {
				t.Fatalf("what was read and written again: %d of %d leases, %q", len(again), len(out), problem)
			}
		}
	})
}
