package faults

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lessor/dhcp4"
	"lessor/internal/control"
	"lessor/internal/netlab"
	"lessor/test/e2e"
)

// The file system of the store, 16 MiB, is filled to the last octet while the server
// runs. No ACK leaves that is not durable; new clients get nothing, holders the time
// that is left to them; health and log say why. When there is room again, service
// resumes without a restart, and no lease has been harmed (I17).
func TestDiskFull(t *testing.T) {
	s := newSite(t)
	d := s.newDisk(t, 16)
	n := s.start(t)
	l := s.newLoad(16, 0)
	l.bind(t, 300)
	before := s.leases(t, true)
	l.mustHold(t, "before", before)

	filler := d.fill(t)
	failed := s.loadUntilFailed(t, n, l)
	l.mustHold(t, "when the disk is full", s.leases(t, true))
	s.mustServeHoldersOnly(t, l, "no space left on device")

	check(t, filler.Truncate(0))
	check(t, filler.Close())
	s.mustHeal(t, n, l, time.Now())
	s.mustBeUnharmed(t, n, l, before)
	t.Logf("%d ACKs, the first failure after %d of them", l.acks, failed)
	if got := len(n.lines("STORE_FAILED")); got != 1 {
		t.Errorf("STORE_FAILED was logged %d times", got)
	}
}

// A server that is killed while its disk is full starts on it all the same: the leases
// can be read, holders are answered, and service resumes when there is room.
func TestStartOnAFullDisk(t *testing.T) {
	s := newSite(t)
	d := s.newDisk(t, 16)
	n := s.start(t)
	l := s.newLoad(16, 0)
	l.bind(t, 300)
	filler := d.fill(t)
	s.loadUntilFailed(t, n, l)
	n.Kill()
	before := s.leases(t, false)
	l.mustHold(t, "in the store of the killed server", before)

	n = s.start(t)
	if bad := n.lines("STORE_DAMAGED"); len(bad) > 0 {
		t.Errorf("a full disk is taken for a damaged store: %v", bad)
	}
	s.mustServeHoldersOnly(t, l, "no space left on device")
	check(t, filler.Truncate(0))
	check(t, filler.Close())
	s.mustHeal(t, n, l, time.Now())
	s.mustBeUnharmed(t, n, l, before)
}

// fill makes a file that takes all the room there is.
func (d *disk) fill(t *testing.T) *os.File {
	t.Helper()
	f := try(d.open("filler", os.O_CREATE|os.O_WRONLY))(t)
	chunk := make([]byte, 1<<20)
	for len(chunk) > 0 {
		_, err := f.Write(chunk)
		switch {
		case errors.Is(err, unix.ENOSPC):
			chunk = chunk[:len(chunk)/2]
		case err != nil:
			t.Fatal(err)
		}
	}
	check(t, f.Sync())
	return f
}

// loadUntilFailed lets new clients come until the server says that it cannot commit,
// and returns the number of ACKs until then. Every ACK of that time is one of the full
// lease and, as later checks see, durable.
func (s *site) loadUntilFailed(t *testing.T, n *server, l *load) (acks int) {
	t.Helper()
	end := time.Now().Add(20 * time.Second)
	looked := time.Time{}
	is := false
	check(t, l.run(func() bool {
		if time.Since(looked) > 20*time.Millisecond {
			looked = time.Now()
			is = strings.Contains(n.Output(), `"STORE_FAILED"`)
		}
		return is || time.Now().After(end)
	}))
	if !is {
		t.Fatalf("after %d ACKs the server has not failed to commit", l.acks)
	}
	since := time.Now()
	st, code := s.status(t)
	if code != 3 || st.Healthy || time.Since(since) > time.Second {
		t.Errorf("%s after the failure the status is %d, healthy %t", time.Since(since), code, st.Healthy)
	}
	check(t, l.drain(50*time.Millisecond))
	if l.short > 0 || l.naks > 0 {
		t.Errorf("new clients got %d ACKs of less than the full time and %d NAKs", l.short, l.naks)
	}
	return l.acks
}

// mustServeHoldersOnly checks what the server does while it cannot commit: for new
// clients, for holders, and for whoever asks how it is.
func (s *site) mustServeHoldersOnly(t *testing.T, l *load, reason string) {
	t.Helper()
	for i := range 20 {
		mac := e2e.TestMAC(1<<20 + i)
		m := e2e.Discover(mac, 0x71000000+uint32(i))
		if i%2 == 1 {
			// One that asks outright, for a free address of the pool.
			m = e2e.Reboot(mac, 0x71000000+uint32(i), dhcp4.MustParseAddr("198.19.254.1")+dhcp4.Addr(i))
		}
		check(t, s.station.Send([][]byte{m.Frame()}))
	}
	s.mustNotAck(t, 0x71, 400*time.Millisecond)

	time.Sleep(1100 * time.Millisecond) // so that what is left is less than all
	holders := l.holders[:min(100, len(l.holders))]
	for i, a := range holders {
		p := l.promises[a]
		sent := time.Now()
		f, err := s.station.Exchange(e2e.Rebind(p.mac, 0x72000000+uint32(i), a), time.Second)
		if err != nil {
			t.Fatalf("the holder of %s: %v", a, err)
		}
		v, _ := f.View()
		life, _ := v.Uint32(dhcp4.OptDHCPLeaseTime)
		// Rounded down to whole seconds; the promise counts from the second in which the
		// REQUEST was sent, which the server may have received in the next.
		if left := p.until - sent.Unix(); v.MessageType() != dhcp4.Ack || v.YIAddr() != a || life >= lifetime || int64(life) > left+1 || int64(life) < left-2 {
			t.Fatalf("the holder of %s, to whom %d s are left, got %s", a, left, f)
		}
	}
	st, code := s.status(t)
	if why := strings.Join(st.Problems, "; "); code != 3 || st.Healthy || !strings.Contains(why, reason) {
		t.Errorf("the status is %d, healthy %t, and says %q, not why (%s)", code, st.Healthy, why, reason)
	}
	if r := s.run(t, "status", "--connect", s.socket); r.code != 3 || !strings.Contains(r.out, reason) {
		t.Errorf("lessor status ended with %d and wrote %q", r.code, r.out)
	}
	t.Logf("while the store fails: 20 new clients got nothing, %d holders the remaining time; status: %q", len(holders), st.Problems)
}

// mustNotAck listens for a while and fails the test on any ACK or NAK to a
// transaction whose id begins with an octet.
func (s *site) mustNotAck(t *testing.T, first byte, d time.Duration) {
	t.Helper()
	for end := time.Now().Add(d); time.Now().Before(end); {
		check(t, s.station.Receive(20*time.Millisecond, func(b []byte) {
			f, ok := netlab.DecodeFrame(b)
			if !ok {
				return
			}
			if v, ok := f.View(); ok && v.Op() == 2 && byte(v.XID()>>24) == first && (v.MessageType() == dhcp4.Ack || v.MessageType() == dhcp4.Nak) {
				t.Errorf("while the store fails a new client got %s", &f)
			}
		}))
	}
}

// mustHeal waits until a new client is served again, which must be so within 10 s of
// the repair.
func (s *site) mustHeal(t *testing.T, n *server, l *load, repaired time.Time) {
	t.Helper()
	for i := 0; ; i++ {
		if _, err := s.station.Bind(e2e.TestMAC(1<<20+1000+i), 0x73000000+uint32(2*i), 200*time.Millisecond); err == nil {
			break
		}
		if time.Since(repaired) > 10*time.Second {
			t.Fatalf("10 s after the repair no new client is served; status: %v", first(s.status(t)).Problems)
		}
	}
	took := time.Since(repaired)
	st, code := s.status(t)
	if code != 0 || !st.Healthy {
		t.Errorf("after healing the status is %d: %q", code, st.Problems)
	}
	if _, ended := n.Wait(time.Millisecond); ended {
		t.Error("the server ended")
	}
	t.Logf("a new client was served %d ms after the repair", took.Milliseconds())
	full := l.full
	l.bind(t, 50)
	if l.full < full+50 {
		t.Errorf("after healing only %d of 50 new clients got a full lease", l.full-full)
	}
}

func first[A, B any](a A, _ B) A { return a }

// mustBeUnharmed compares the leases of before with those of the running server and,
// after a kill, with those of the next one, together with all that was promised since.
func (s *site) mustBeUnharmed(t *testing.T, n *server, l *load, before map[string]control.Lease) {
	t.Helper()
	look := func(when string) {
		now := s.leases(t, true)
		for addr, b := range before {
			a := now[addr]
			if a.HWAddress != b.HWAddress || a.State != b.State || a.Expires == nil || a.Expires.Before(*b.Expires) || !a.Starts.Equal(*b.Starts) {
				t.Errorf("%s: %s was %s, is %s", when, addr, describe(b), describe(a))
			}
		}
		l.mustHold(t, when, now)
	}
	look("after healing")
	n.Kill()
	n = s.start(t)
	s.mustBeWhole(t, n)
	look("after healing and a restart")
	check(t, n.Stop(5*time.Second))
}

func describe(l control.Lease) string {
	return fmt.Sprintf("%s %s %v–%v", l.State, l.HWAddress, l.Starts, l.Expires)
}
