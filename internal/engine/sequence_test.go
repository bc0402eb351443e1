package engine_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"lessor/dhcp4"
	"lessor/internal/engine"
	"lessor/internal/event"
	"lessor/internal/lease"
	"lessor/internal/policy"
	"lessor/internal/server"
	"lessor/internal/store"
	"lessor/internal/store/memory"
	"lessor/internal/store/pebble"
	"lessor/internal/wire"
)

const sequenceConfig = `
interfaces: [eth0]
valid-lifetime: 60
conflict-check: off
subnets:
  - subnet: 192.0.2.0/24
    pools: [192.0.2.100-192.0.2.103]
    reservations:
      - hw-address: 06:00:00:00:00:02
        ip-address: 192.0.2.50
`

type silentLog struct{}

func (silentLog) Say(event.ID, ...slog.Attr) {}

// sequence is a server, its store and six stations, one of them hostile, that octets
// drive: each pair of them is one input.
type sequence struct {
	*oracle
	policy  *policy.Policy
	keep    store.Store // what survives in memory; nil: the store is on disk
	mem     *vfs.MemFS
	disk    *platter
	boot    byte
	serving *engine.Serving
	job     *engine.Job // that the store was given and has not done
	offered [6]dhcp4.Addr
	bound   [6]dhcp4.Addr
	xid     uint32
	last    wire.Packet
}

const trueStart = int64(1_790_000_000) * lease.Second

func newSequence(t testing.TB, p *policy.Policy, onDisk bool) *sequence {
	s := &sequence{policy: p, oracle: &oracle{t: t, now: trueStart, base: trueStart - 1000*lease.Second, asked: map[uint32]int64{},
		durable: map[dhcp4.Addr]lease.Binding{}, leased: map[dhcp4.Addr]held{}, promises: map[dhcp4.Addr]held{}}}
	if s.keep = memory.New(); onDisk {
		s.keep, s.mem = nil, vfs.NewCrashableMem()
	}
	s.begin()
	return s
}

func (s *sequence) instant() lease.Instant { return lease.Instant{M: s.now - s.base, W: s.now} }

// begin starts a server over what the last one left.
func (s *sequence) begin() {
	s.t.Helper()
	st := s.keep
	if s.mem != nil {
		var err error
		if st, err = pebble.Open("/state/db", pebble.Options{FS: s.mem, HistoryRetention: -1}); err != nil {
			s.fail("open: %v", err)
		}
	}
	s.disk = &platter{Store: st, o: s.oracle}
	var err error
	s.serving, _, err = engine.LoadServing(s.t.Context(), s.disk, s.instant(), lease.BootID{1 + s.boot}, [16]byte{7}, silentLog{})
	if err != nil {
		s.fail("load: %v", err)
	}
	s.send(s.serving.Begin(s.instant(), s.policy, s.disk.Recovery()))
	s.serving.SetLinks(s.instant(), []wire.Link{{ID: 1, Name: "eth0", MAC: wire.MAC{2, 0, 0, 0, 0, 1}, MTU: 1500,
		Addrs: []dhcp4.Prefix{{Addr: serverAddr, Bits: 24}}}})
	s.started = true
	s.settle()
	s.started = false
}

// crash ends the server at once, with a power cut and another boot, or by a kill. Of what
// the store had not done all or nothing has come to the disk.
func (s *sequence) crash(arg byte) {
	s.t.Helper()
	if s.job != nil && arg&1 != 0 {
		s.job.Run(s.t.Context(), s.disk, s.serving, direct)
	}
	if arg&2 != 0 && s.disk.half != nil && s.keep != nil {
		if err := s.keep.Commit(s.t.Context(), s.keep.Mark(), s.disk.half, make([]store.Result, len(s.disk.half))); err != nil {
			s.fail("commit: %v", err)
		}
		s.committed(s.disk.half, s.disk.halfAt)
	}
	s.job = nil
	if s.mem != nil {
		cut := s.mem.CrashClone(vfs.CrashCloneCfg{})
		s.disk.Store.Close()
		s.mem = cut
	}
	if arg&4 != 0 {
		s.boot++
		s.rebooted()
		s.now += int64(arg) * lease.Second
		s.base = s.now - int64(arg)*lease.Second/2
	}
	s.begin()
}

func direct(f func()) bool { f(); return true }

// settle is the rest of a round.
func (s *sequence) settle() {
	s.t.Helper()
	s.send(s.serving.Settle(s.instant()))
	if s.job == nil {
		s.job = s.serving.Next(s.instant(), true)
	}
	s.serving.Call(s.instant(), func(_ lease.Instant, core *server.Core, _ *server.Effects) { s.look(core) })
	s.send(s.serving.Settle(s.instant()))
}

// store lets the store do what it was given.
func (s *sequence) store(fail bool) {
	s.t.Helper()
	if s.job == nil {
		return
	}
	s.disk.fail = fail
	j := s.job
	s.job = nil
	j.Run(s.t.Context(), s.disk, s.serving, direct)
	s.disk.fail = false
	s.send(s.serving.Answered(s.instant(), j))
	s.settle()
}

// send judges what leaves, and lets the stations hear it.
func (s *sequence) send(out engine.Out) {
	s.t.Helper()
	for i := range out.Replies {
		r := &out.Replies[i]
		s.reply(r)
		var v dhcp4.View
		if v.Parse(r.Data) != nil || v.HLen() != 6 {
			continue
		}
		n := int(v.CHAddr()[5]) % 6
		switch v.MessageType() {
		case dhcp4.Offer:
			s.offered[n] = v.YIAddr()
		case dhcp4.Ack:
			s.bound[n] = v.YIAddr()
		case dhcp4.Nak:
			s.naked(n, &v)
		}
	}
}

// naked checks that a NAK is not for a holder who asked for what it holds (I3).
func (s *sequence) naked(n int, v *dhcp4.View) {
	s.t.Helper()
	var q dhcp4.View
	if q.Parse(s.last.Data) != nil || q.XID() != v.XID() || q.GIAddr() != 0 {
		return
	}
	a := q.CIAddr()
	if a == 0 {
		a, _ = q.Addr(dhcp4.OptDHCPRequestedAddress)
	}
	key, hw := keyOf(q.HType(), q.CHAddr(), nil)
	if p, ok := s.promises[a]; ok && n < 5 && p.key == key && p.hw == hw && p.end > s.now {
		s.fail("%s, which holds %v, is refused it (I3)", key, a)
	}
	s.bound[n] = 0
}

// packet lets station n send a message.
func (s *sequence) packet(n int, t dhcp4.MessageType, ciaddr dhcp4.Addr, spoil byte, opts ...dhcp4.Option) {
	s.xid++
	h := dhcp4.Header{Op: 1, HType: 1, HLen: 6, XID: s.xid, CIAddr: ciaddr}
	mac := wire.MAC{6, 0, 0, 0, 0, byte(n)}
	if n == 5 {
		mac[0] = 0x0e // its identities are its own
	}
	copy(h.CHAddr[:], mac[:])
	opts = append([]dhcp4.Option{{Code: dhcp4.OptDHCPMessageType, Data: []byte{byte(t)}}}, opts...)
	data, _ := dhcp4.AppendMessage(nil, &h, opts, nil, 576)
	if n == 5 {
		data[int(spoil)*len(data)/256] ^= spoil | 1
		data[28] = 0x0e
	}
	p := wire.Packet{Link: 1, Data: data, SrcMAC: mac, DstMAC: wire.BroadcastMAC, Dst: dhcp4.Broadcast, SrcPort: 68}
	if ciaddr != 0 && t != dhcp4.Request || ciaddr != 0 && spoil&1 == 0 {
		p.Src, p.Dst, p.DstMAC = ciaddr, serverAddr, wire.MAC{2, 0, 0, 0, 0, 1}
	}
	s.receive(p)
}

func (s *sequence) receive(p wire.Packet) {
	s.t.Helper()
	if len(p.Data) >= 8 {
		if xid := binary.BigEndian.Uint32(p.Data[4:]); s.asked[xid] == 0 {
			s.asked[xid] = s.now
		}
	}
	s.last = wire.Packet{Link: p.Link, Data: bytes.Clone(p.Data), SrcMAC: p.SrcMAC, DstMAC: p.DstMAC, Src: p.Src, Dst: p.Dst, SrcPort: p.SrcPort}
	s.serving.Packet(s.instant(), &p)
	s.settle()
}

// input is one step: op says which, arg the rest.
func (s *sequence) input(op, arg byte) {
	s.t.Helper()
	n := int(arg) % 6
	sid := addrOption(dhcp4.OptDHCPServerIdentifier, serverAddr)
	some := dhcp4.Addr(0xc0000264) + dhcp4.Addr(arg>>3&7) // around the pool
	want := addrOption(dhcp4.OptDHCPRequestedAddress, some)
	s.trail = append(s.trail, fmt.Sprintf("%d: input %d %d", s.now/1e9, op%20, arg))
	switch op % 20 {
	case 0, 1:
		s.packet(n, dhcp4.Discover, 0, arg)
	case 2, 3:
		s.packet(n, dhcp4.Request, 0, arg, sid, addrOption(dhcp4.OptDHCPRequestedAddress, s.offered[n]))
	case 4:
		s.packet(n, dhcp4.Request, 0, arg, addrOption(dhcp4.OptDHCPServerIdentifier, serverAddr+1), addrOption(dhcp4.OptDHCPRequestedAddress, s.offered[n]))
	case 5:
		s.packet(n, dhcp4.Request, s.bound[n], arg)
	case 6:
		s.packet(n, dhcp4.Request, 0, arg, addrOption(dhcp4.OptDHCPRequestedAddress, s.bound[n]))
	case 7:
		s.packet(n, dhcp4.Request, 0, arg, want)
	case 8:
		s.packet(n, dhcp4.Request, some, arg)
	case 9:
		s.packet(n, dhcp4.Release, s.bound[n], arg, sid)
	case 10:
		s.packet(n, dhcp4.Decline, 0, arg, sid, addrOption(dhcp4.OptDHCPRequestedAddress, s.bound[n]))
	case 11:
		s.packet(n, dhcp4.Inform, some, arg)
	case 12:
		if s.last.Data != nil {
			s.receive(s.last) // a copy
		}
	case 13:
		s.pass(int64(arg) * lease.Second / 8)
	case 14:
		s.pass(int64(arg) * lease.Second)
	case 15, 16, 17:
		s.store(false)
	case 18:
		s.store(arg&1 != 0)
	case 19:
		s.crash(arg)
	}
}

// pass lets time pass, in steps in which the server does what is due.
func (s *sequence) pass(d int64) {
	s.t.Helper()
	for end := s.now + d; s.now < end; {
		s.now = min(end, max(s.now+1, s.base+min(s.serving.Due(s.instant()), lease.Never-max(s.base, 0))))
		s.serving.Tick(s.instant())
		s.settle()
	}
}

// failedRelease is a lease that is given back while the disk fails, is asked for again, and
// a crash that brings the release back.
var failedRelease = []byte{0, 15, 0, 0, 0, 2, 0, 15, 0, 9, 0, 18, 1, 0, 0, 2, 0, 15, 0, 19, 2, 15, 0, 0, 1, 2, 1, 15, 0}

// TestFailedReleaseComesBack: what a failed commit was to write may be there after a crash
// (I2c), so meanwhile nobody is promised what it takes away.
func TestFailedReleaseComesBack(t *testing.T) {
	s := playSequence(t, mustPolicy(t, sequenceConfig), failedRelease)
	if s.acks != 2 {
		t.Errorf("%d ACKs, want one for each station: %q", s.acks, s.trail)
	}
}

// FuzzSequence looks for a sequence of packets, pauses, answers of the store and crashes
// after which the server breaks what it has promised. The first octet says whether the
// store is on a disk.
func FuzzSequence(f *testing.F) {
	p := mustPolicy(f, sequenceConfig)
	f.Add([]byte{0, 0, 1, 2, 1, 15, 0, 5, 1, 15, 0, 19, 4, 5, 1, 15, 0, 9, 1, 15, 0, 0, 2, 2, 2, 15, 0})
	f.Add([]byte{1, 0, 0, 2, 0, 15, 0, 0, 1, 2, 1, 19, 1, 5, 0, 15, 0, 19, 7, 6, 0, 15, 0})
	f.Add([]byte{0, 0, 0, 2, 0, 18, 1, 14, 2, 15, 0, 5, 0, 15, 0, 19, 2, 0, 3, 2, 3, 15, 0, 14, 200, 0, 4, 2, 4, 15, 0})
	f.Add([]byte{0, 0, 0, 0, 1, 0, 3, 0, 4, 0, 5, 2, 0, 2, 1, 2, 3, 2, 4, 2, 5, 15, 0, 10, 1, 15, 0, 12, 0, 13, 8, 7, 9, 8, 17, 11, 3, 14, 90, 0, 2, 2, 2, 16, 0})
	f.Add(failedRelease)
	f.Fuzz(func(t *testing.T, octets []byte) {
		if len(octets) >= 3 && len(octets) <= 600 {
			playSequence(t, p, octets)
		}
	})
}

func playSequence(t testing.TB, p *policy.Policy, octets []byte) *sequence {
	s := newSequence(t, p, octets[0]%16 == 1)
	for i := 1; i+1 < len(octets); i += 2 {
		s.input(octets[i], octets[i+1])
	}
	s.crash(0)
	if s.mem != nil {
		s.disk.Store.Close()
	}
	return s
}

// TestRandomSequences plays random octets, and checks that they come to what FuzzSequence
// is to look at: the fuzzer starts from nothing better.
func TestRandomSequences(t *testing.T) {
	p := mustPolicy(t, sequenceConfig)
	rng := rand.New(rand.NewPCG(6, 6))
	acks, crashes := 0, 0
	for range 200 {
		octets := make([]byte, 401)
		for i := range octets {
			octets[i] = byte(rng.Uint32())
		}
		for _, l := range playSequence(t, p, octets).trail {
			if strings.Contains(l, dhcp4.Ack.String()+" 192") {
				acks++
			}
			if strings.Contains(l, "input 19 ") {
				crashes++
			}
		}
	}
	if acks < 500 || crashes < 1000 {
		t.Errorf("only %d ACKs and %d crashes", acks, crashes)
	}
}
