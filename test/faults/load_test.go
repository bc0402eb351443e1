package faults

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"lessor/dhcp4"
	"lessor/internal/control"
	"lessor/internal/netlab"
	"lessor/internal/wire"
	"lessor/test/e2e"
)

// promise is what one address's holder was promised on the wire.
type promise struct {
	mac   wire.MAC
	until int64 // the latest end, Unix seconds: when the REQUEST was sent, plus the lease time
	acks  int
}

// load is a crowd of clients in a closed loop: a fixed number of exchanges is
// outstanding, and as soon as one is acknowledged the next begins. An exchange is a
// new client's DISCOVER to ACK, or the renewal of a client that was served before. It
// belongs to one goroutine.
type load struct {
	station *e2e.Station
	renew   float64       // share of exchanges that are renewals, 0 to 1
	retry   time.Duration // a message without an answer is repeated after that
	rand    *rand.Rand

	promises map[dhcp4.Addr]*promise
	holders  []dhcp4.Addr // keys of promises, in the order of their first ACK
	wrong    []string     // promises that should not have been made

	acks, naks int
	full       int // ACKs of the full lease time
	short      int // ACKs of less: the remaining time
	lost       int // messages that had to be repeated
	slowest    time.Duration
	onAck      func()

	// cut, if not nil, says when promises are not counted any more; late counts the ACKs
	// that come then.
	cut  *powerCutter
	late int

	// newest makes the last ACK count instead of the one that promised most.
	newest bool

	// byXID, if not nil, takes the end that each ACK promises.
	byXID map[uint32]int64

	next  int // number of the next new client
	seq   uint32
	slots []slot
	out   [][]byte
}

// slot is one outstanding exchange.
type slot struct {
	xid     uint32
	mac     wire.MAC
	addr    dhcp4.Addr // asked for; 0 while discovering
	server  dhcp4.Addr
	renewal bool
	begun   time.Time
	sent    time.Time // the first REQUEST, in whole seconds what the promise counts from
	due     time.Time
	frame   []byte

	afterCut bool // the REQUEST was first sent when the power was gone
}

func (s *site) newLoad(outstanding int, renew float64) *load {
	return &load{station: s.station, renew: renew, retry: time.Second, rand: rand.New(rand.NewPCG(1, 2)),
		promises: map[dhcp4.Addr]*promise{}, slots: make([]slot, outstanding), next: 1}
}

// run keeps the exchanges going until stop says so. It is asked after each ACK and at
// least every 2 ms.
func (l *load) run(stop func() bool) error {
	for i := range l.slots {
		l.begin(i)
	}
	for !stop() {
		if err := l.step(2*time.Millisecond, stop); err != nil {
			return err
		}
	}
	return nil
}

// drain reads what still arrives, without beginning anything new.
func (l *load) drain(quiet time.Duration) error {
	return l.hear(quiet, func() bool { return true })
}

func (l *load) step(wait time.Duration, stop func() bool) error {
	now := time.Now()
	for i := range l.slots {
		if s := &l.slots[i]; !now.Before(s.due) {
			l.lost++
			s.due = now.Add(l.retry)
			l.out = append(l.out, s.frame)
		}
	}
	err := l.station.Send(l.out)
	l.out = l.out[:0]
	if err != nil {
		return err
	}
	return l.hear(wait, stop)
}

func (l *load) hear(wait time.Duration, stop func() bool) error {
	return l.station.Receive(wait, func(b []byte) { l.frame(b, stop) })
}

// begin starts the next exchange on a slot.
func (l *load) begin(i int) {
	s := &l.slots[i]
	now := time.Now()
	*s = slot{begun: now, sent: now, due: now.Add(l.retry), xid: l.xid(i), afterCut: l.powerless()}
	var m e2e.Msg
	if len(l.holders) > 4*len(l.slots) && l.rand.Float64() < l.renew {
		s.addr, s.renewal = l.holders[l.rand.IntN(len(l.holders))], true
		s.mac = l.promises[s.addr].mac
		m = e2e.Rebind(s.mac, s.xid, s.addr)
	} else {
		s.mac = e2e.TestMAC(l.next)
		l.next++
		m = e2e.Discover(s.mac, s.xid)
	}
	s.frame = m.Frame()
	l.out = append(l.out, s.frame)
}

// powerless reports whether the power is gone by now.
func (l *load) powerless() bool { return l.cut != nil && l.cut.ended.Load() }

// xid is a new transaction id that leads back to the slot.
func (l *load) xid(i int) uint32 {
	l.seq++
	return l.seq<<8 | uint32(i)
}

// frame takes in one frame.
func (l *load) frame(b []byte, stop func() bool) {
	f, ok := netlab.DecodeFrame(b)
	if !ok {
		return
	}
	v, ok := f.View()
	if !ok || v.Op() != 2 {
		return
	}
	i := int(v.XID() & 0xff)
	if i >= len(l.slots) {
		return
	}
	s := &l.slots[i]
	switch v.MessageType() {
	case dhcp4.Offer:
		if s.xid == v.XID() && s.addr == 0 {
			s.addr = v.YIAddr()
			s.server, _ = v.Addr(dhcp4.OptDHCPServerIdentifier)
			s.xid, s.sent, s.afterCut = l.xid(i), time.Now(), l.powerless()
			m := e2e.Select(s.mac, s.xid, s.addr, s.server)
			s.frame, s.due = m.Frame(), s.sent.Add(l.retry)
			l.out = append(l.out, s.frame)
		}
	case dhcp4.Ack:
		if s.xid != v.XID() {
			return // of a copy; what it repeats has been counted
		}
		l.acked(s, &v)
		if s.xid = 0; !stop() {
			l.begin(i)
		}
	case dhcp4.Nak:
		l.naks++
	}
}

// acked notes what an ACK promises.
func (l *load) acked(s *slot, v *dhcp4.View) {
	life, _ := v.Uint32(dhcp4.OptDHCPLeaseTime)
	if l.cut != nil && l.cut.begun.Load() {
		if l.late++; s.afterCut && life == lifetime {
			l.wrong = append(l.wrong, fmt.Sprintf("%s was promised for the full time after the power was gone", v.YIAddr()))
		}
		return
	}
	l.acks++
	if life == lifetime {
		l.full++
	} else {
		l.short++
	}
	l.slowest = max(l.slowest, time.Since(s.begun))
	addr, until := v.YIAddr(), s.sent.Unix()+int64(life)
	p := l.promises[addr]
	if p == nil {
		p = &promise{mac: s.mac}
		l.promises[addr] = p
		l.holders = append(l.holders, addr)
	}
	if p.mac != s.mac {
		l.wrong = append(l.wrong, fmt.Sprintf("%s was promised to %x and to %x", addr, p.mac, s.mac))
	}
	if p.until = max(p.until, until); l.newest {
		p.until = until
	}
	if l.byXID != nil {
		l.byXID[v.XID()] = until
	}
	p.acks++
	if l.onAck != nil {
		l.onAck()
	}
}

// missing compares what was promised with what is stored, and returns what is not
// there, or there for another client or for less time.
func (l *load) missing(stored map[string]control.Lease) (wrong []string) {
	for addr, p := range l.promises {
		got, ok := stored[addr.String()]
		mac := fmt.Sprintf("%02x:%02x:%02x:%02x:%02x:%02x", p.mac[0], p.mac[1], p.mac[2], p.mac[3], p.mac[4], p.mac[5])
		switch {
		case !ok:
			wrong = append(wrong, fmt.Sprintf("%s is gone", addr))
		case got.HWAddress != mac:
			wrong = append(wrong, fmt.Sprintf("%s belongs to %s, was promised to %s", addr, got.HWAddress, mac))
		case got.State != "active":
			wrong = append(wrong, fmt.Sprintf("%s is %s", addr, got.State))
		case got.Expires == nil || got.Expires.Unix() < p.until:
			wrong = append(wrong, fmt.Sprintf("%s ends at %v, was promised until %s", addr, got.Expires, time.Unix(p.until, 0).UTC()))
		}
	}
	return append(wrong, l.wrong...)
}

// mustHold fails the test when anything that was promised is not in stored.
func (l *load) mustHold(t *testing.T, when string, stored map[string]control.Lease) {
	t.Helper()
	if wrong := l.missing(stored); len(wrong) > 0 {
		t.Fatalf("%s: of %d leases acknowledged, %d are wrong: %q", when, len(l.promises), len(wrong), wrong[:min(5, len(wrong))])
	}
}

// bind gives n new clients their leases.
func (l *load) bind(t *testing.T, n int) {
	t.Helper()
	end := time.Now().Add(20 * time.Second)
	want := len(l.promises) + n
	check(t, l.run(func() bool { return len(l.promises) >= want || time.Now().After(end) }))
	if len(l.promises) < want {
		t.Fatalf("%d of %d clients were bound within 20 s", len(l.promises)-want+n, n)
	}
	check(t, l.drain(20*time.Millisecond))
}
