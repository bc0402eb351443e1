package client

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"lessor/dhcp4"
	"lessor/internal/client/run"
	"lessor/test/e2e"
)

// payload is the message of r, unpadded: it ends with END.
func (r reply) payload() []byte {
	h := dhcp4.Header{Op: 2, HType: 1, HLen: 6, XID: r.XID, CIAddr: r.CIAddr, YIAddr: r.YIAddr}
	copy(h.CHAddr[:], r.CHAddr[:])
	opts := []dhcp4.Option{{Code: dhcp4.OptDHCPMessageType, Data: []byte{byte(r.Type)}}}
	if r.ServerID != 0 {
		opts = append(opts, dhcp4.Option{Code: dhcp4.OptDHCPServerIdentifier, Data: r.ServerID.Append(nil)})
	}
	b, _ := dhcp4.AppendMessage(nil, &h, append(opts, r.Options...), nil, 1400)
	for b[len(b)-1] == 0 {
		b = b[:len(b)-1]
	}
	return b
}

// frame is a payload in a frame that goes where r goes.
func (p *puppet) frame(r reply, payload []byte) []byte {
	return e2e.UDPFrame(p.mac, r.DstMAC, p.addr, r.Dst, dhcp4.ServerPort, dhcp4.ClientPort, payload)
}

// raw sends frames as they are.
func (p *puppet) raw(frames ...[]byte) {
	p.t.Helper()
	check(p.t, p.st.Send(frames))
}

// set is r with options in place of those of the same code; one without data goes.
func (r reply) set(opts ...dhcp4.Option) reply {
	kept := slices.Clone(r.Options)
	for _, o := range opts {
		kept = slices.DeleteFunc(kept, func(k dhcp4.Option) bool { return k.Code == o.Code })
		if o.Data != nil {
			kept = append(kept, o)
		}
	}
	r.Options = kept
	return r
}

func lifetime(seconds uint32) dhcp4.Option {
	return dhcp4.Option{Code: dhcp4.OptDHCPLeaseTime, Data: binary.BigEndian.AppendUint32(nil, seconds)}
}

// ignoredSum is how many replies the client has ignored, by its own count.
func (s *stage) ignoredSum() (sum uint64) {
	s.t.Helper()
	for _, n := range s.status().Ignored {
		sum += n
	}
	return sum
}

// status asks the running client.
func (s *stage) status() *run.Status {
	s.t.Helper()
	return try(parseStatus(s.control("status")))(s.t)
}

// processes are the ids of the client's two processes, as seen from outside.
func (s *stage) processes() (parent, worker int) {
	s.t.Helper()
	parent = s.client.Proc().PID()
	for _, kid := range try(children(parent))(s.t) { // its worker, and hooks
		env, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", kid))
		if err == nil && strings.Contains(string(env), "LESSOR_CLIENT_WORKER=") {
			worker = kid
		}
	}
	if worker == 0 {
		s.t.Fatalf("the client's parent %d has no worker", parent)
	}
	return parent, worker
}

// children are the processes that pid has started and that live.
func children(pid int) (kids []int, err error) {
	tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil {
		return nil, err
	}
	for _, task := range tasks {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/children", pid, task.Name()))
		if err != nil {
			return nil, err
		}
		for _, f := range strings.Fields(string(b)) {
			kid, err := strconv.Atoi(f)
			if err != nil {
				return nil, err
			}
			kids = append(kids, kid)
		}
	}
	return kids, nil
}

// stillAlive expects the same two processes, and that they answer the next good request
// within two seconds; it says how long that took.
func (s *stage) stillAlive(p *puppet, a dhcp4.Addr, life uint32, parent, worker int) {
	s.t.Helper()
	if now, w := s.processes(); now != parent || w != worker {
		s.t.Errorf("the client's processes were %d and %d and are %d and %d", parent, worker, now, w)
	}
	start := time.Now()
	s.extend(p, a, life)
	if took := time.Since(start); took > 2*time.Second {
		s.t.Errorf("the next good request took %s", took)
	} else {
		s.t.Logf("alive: the next good request took %s", took.Round(time.Millisecond))
	}
}

// extend lets the client renew, and its server agree.
func (s *stage) extend(p *puppet, a dhcp4.Addr, life uint32) {
	s.t.Helper()
	s.control("renew")
	v := s.requests("RENEWING")
	p.send(p.to(v, dhcp4.Ack, a, life))
	s.state("bound", "ack", 2*time.Second)
}

// transparent lets the switch carry every frame: a Linux bridge checks IP headers itself
// where its packets can be filtered, and would keep the worst from us.
func (s *stage) transparent() {
	s.t.Helper()
	const script = `set -e
echo 0 > /proc/sys/net/bridge/bridge-nf-call-iptables
for b in $(ip -o link show type bridge | cut -d: -f2); do ip link set "$b" type bridge mcast_snooping 0; done`
	_, err := s.sw.Host().Run(context.Background(), "sh", "-c", script)
	check(s.t, err)
}

// lie is a frame that says something wrong about itself.
type lie struct {
	what  string
	frame []byte
}

// resum writes the IP header checksum anew, as far as the header's length lets it.
func resum(f []byte) {
	ihl := min(max(int(f[14]&15)*4, 20), len(f)-14)
	f[24], f[25] = 0, 0
	var sum uint32
	for i := 14; i+1 < 14+ihl; i += 2 {
		sum += uint32(binary.BigEndian.Uint16(f[i:]))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	binary.BigEndian.PutUint16(f[24:], ^uint16(sum))
}

// lies are changes of a good frame of which none leaves it good: each length that a
// header has too short, too long and by a little, headers that others read differently,
// fragments, and frames that are for somebody else.
func lies(good []byte) (all []lie) {
	add := func(what string, change func(f []byte)) {
		f := slices.Clone(good)
		change(f)
		all = append(all, lie{what, f})
	}
	set16 := func(at int, v int) func(f []byte) {
		return func(f []byte) { binary.BigEndian.PutUint16(f[at:], uint16(v)); resum(f) }
	}
	ip, udp := len(good)-14, len(good)-34
	for ihl := range 16 {
		if ihl != 5 {
			add(fmt.Sprintf("IHL %d", ihl), func(f []byte) { f[14] = 0x40 | byte(ihl); resum(f) })
		}
	}
	for _, n := range []int{0, 1, 19, 20, 27, 28, ip - 8, ip - 1, ip + 1, ip + 8, 0x7fff, 0xffff} {
		add(fmt.Sprintf("IP total length %d of %d", n, ip), set16(16, n))
	}
	for _, n := range []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, udp - 1, udp + 1, udp + 300, 0x7fff, 0xffff} {
		add(fmt.Sprintf("UDP length %d of %d", n, udp), set16(38, n))
	}
	for _, n := range []int{1, 8, 300, 1000} {
		add(fmt.Sprintf("IP and UDP length %d beyond the frame", n), func(f []byte) {
			binary.BigEndian.PutUint16(f[38:], uint16(udp+n))
			set16(16, ip+n)(f)
		})
	}
	add("IP version 6", func(f []byte) { f[14] = 0x65; resum(f) })
	add("IP checksum", func(f []byte) { f[24] ^= 1 })
	add("UDP checksum", func(f []byte) { f[40], f[41] = 0xde, 0xad })
	add("more fragments", func(f []byte) { f[20] |= 0x20; resum(f) })
	add("fragment offset", func(f []byte) { f[21] = 1; resum(f) })
	add("TCP", func(f []byte) { f[23] = 6; resum(f) })
	add("to port 67", func(f []byte) { f[37] = 67 })
	add("to another host", func(f []byte) { copy(f, []byte{2, 9, 9, 9, 9, 9}) })
	add("to a group", func(f []byte) { copy(f, []byte{1, 0, 0x5e, 0, 0, 1}) })
	for n := 15; n < len(good); n += 7 {
		all = append(all, lie{fmt.Sprintf("%d of %d octets", n, len(good)), slices.Clone(good[:n])})
	}
	tagged := slices.Concat(good[:12], []byte{0x81, 0, 0, 10}, good[12:])
	return append(all, lie{"VLAN 10", tagged})
}

// TestHostileFrames: frames that lie about their lengths, hold a fragment, or are for another
// port, host or VLAN are never read as messages, in whatever state, though all else in
// them is what the client waits for. Its own count of ignored replies stays zero: they
// do not come that far.
func TestHostileFrames(t *testing.T) {
	t.Parallel()
	s := newStage(t, "--conflict-detection", "off")
	s.transparent()
	p := newPuppet(t, s.lab, s.sw, "server")
	check(t, s.client.Start())
	good, evil := firstPool.First, firstPool.First+9
	const short, long = 40, 77777
	send := func(r reply) {
		t.Helper()
		for _, way := range []reply{r, r.broadcast()} {
			for _, l := range lies(p.frame(way, way.payload())) {
				p.raw(l.frame)
			}
		}
	}
	v := s.hears(dhcp4.Discover, 20*time.Second)
	send(p.to(v, dhcp4.Offer, evil, long))
	p.send(p.to(v, dhcp4.Offer, good, short))
	v = s.requests("SELECTING")
	if got := e2e.Requested(v); got != good {
		t.Fatalf("the client took the offer of a lying frame: it asks for %s", got)
	}
	send(p.to(v, dhcp4.Ack, good, long))
	send(p.to(v, dhcp4.Nak, good, 0))
	p.send(p.to(v, dhcp4.Ack, good, short))
	l := s.awaitLine("configured", 2*time.Second, func(l *run.Line) bool { return l.Event == "configured" || l.Reason == "nak" })
	if l.Config == nil || l.Config.Valid > short {
		t.Fatalf("the client took the answer of a lying frame: %+v", l)
	}
	parent, worker := s.processes()
	s.control("renew")
	v = s.requests("RENEWING")
	send(p.to(v, dhcp4.Nak, good, 0))
	send(p.to(v, dhcp4.Ack, good, long))
	p.send(p.to(v, dhcp4.Ack, good, short+1))
	l = s.awaitLine("configured", 2*time.Second, func(l *run.Line) bool { return l.Event == "configured" || l.Reason == "nak" })
	if l.Config == nil || l.Config.Valid > short+1 {
		t.Fatalf("the client took the answer of a lying frame: %+v", l)
	}
	if n := s.ignoredSum(); n != 0 {
		t.Errorf("the client counts %d replies that it ignored: %v", n, s.status().Ignored)
	}
	s.stillAlive(p, good, short, parent, worker)
	s.stop()
}

// wrong is a reply that no client may act on, and why it says that it does not.
type wrong struct {
	what    string
	payload []byte
	reason  string
}

// wrongReplies are changes of a good OFFER or ACK that are somebody else's, or promise what
// no host can use.
func wrongReplies(good reply, server dhcp4.Addr) (all []wrong) {
	add := func(what, reason string, r reply) { all = append(all, wrong{what, r.payload(), reason}) }
	bytes := func(what, reason string, change func(b []byte)) {
		b := good.payload()
		change(b)
		all = append(all, wrong{what, b, reason})
	}
	changed := func(change func(r *reply)) reply { r := good; change(&r); return r }
	without := func(c dhcp4.Code) reply { return good.set(dhcp4.Option{Code: c}) }
	with := func(c dhcp4.Code, data ...byte) reply {
		return good.set(dhcp4.Option{Code: c, Data: append([]byte{}, data...)})
	}

	add("another transaction", "other-xid", changed(func(r *reply) { r.XID++ }))
	add("another chaddr", "other-hardware", changed(func(r *reply) { r.CHAddr[5]++ }))
	bytes("hlen 16", "other-hardware", func(b []byte) { b[2] = 16 })
	bytes("htype 6", "other-hardware", func(b []byte) { b[1] = 6 })
	bytes("a request", "not-a-reply", func(b []byte) { b[0] = 1 })
	bytes("no cookie", "malformed", func(b []byte) { b[236] = 0 })
	add("another client identifier", "other-client-id", with(dhcp4.OptDHCPClientIdentifier, 1, 2, 3, 4, 5, 6, 7))
	add("an empty client identifier", "other-client-id", with(dhcp4.OptDHCPClientIdentifier))
	add("no server identifier", "no-server-id", changed(func(r *reply) { r.ServerID = 0 }))
	for _, a := range []string{"127.0.0.1", "224.0.0.1", "255.255.255.255", "0.0.0.1"} {
		add("server identifier "+a, "bad-server-id", changed(func(r *reply) { r.ServerID = dhcp4.MustParseAddr(a) }))
	}
	add("FORCERENEW", "forcerenew", changed(func(r *reply) { r.Type = 9 }))
	for _, typ := range []dhcp4.MessageType{0, dhcp4.Discover, dhcp4.Request, dhcp4.Decline, dhcp4.Release, dhcp4.Inform, 10, 255} {
		add(fmt.Sprintf("type %d", typ), "unknown-type", changed(func(r *reply) { r.Type = typ }))
	}
	bytes("no type", "bootp", func(b []byte) { b[240] = 224 })
	add("no lease time", "no-lease-time", without(dhcp4.OptDHCPLeaseTime))
	add("lease time 0", "zero-lease-time", good.set(lifetime(0)))
	for _, n := range []int{0, 1, 3, 5, 255} {
		add(fmt.Sprintf("lease time of %d octets", n), "no-lease-time", with(dhcp4.OptDHCPLeaseTime, make([]byte, n)...))
	}
	for _, m := range [][]byte{{0, 0, 0, 0}, {254, 0, 0, 0}, {255, 0, 255, 0}, {0, 255, 255, 255}, {255, 255, 255, 1}} {
		add(fmt.Sprintf("mask %d", m), "bad-mask", with(dhcp4.OptSubnetMask, m...))
	}
	for a, reason := range map[string]string{"0.0.0.0": "bad-address", "0.1.2.3": "bad-address", "127.0.0.1": "bad-address", "224.0.0.1": "bad-address",
		"240.0.0.1": "bad-address", "255.255.255.255": "bad-address", server.String(): "bad-address", "198.18.0.0": "not-a-host", "198.18.0.255": "not-a-host"} {
		add("address "+a, reason, changed(func(r *reply) { r.YIAddr = dhcp4.MustParseAddr(a) }))
	}
	whole := good.payload()
	for n := range len(whole) - 1 { // the last option is whole, and END may be missing
		if n < 240 || !endsOption(whole[240:n]) {
			all = append(all, wrong{fmt.Sprintf("%d of %d octets", n, len(whole)), whole[:n], "malformed"})
		}
	}
	return all
}

// endsOption reports whether options end with a whole one.
func endsOption(b []byte) bool {
	for len(b) >= 2 && len(b) >= 2+int(b[1]) {
		b = b[2+int(b[1]):]
	}
	return len(b) == 0
}

// ignores sends wrong replies and expects each to be counted once, as ignored for its
// reason, and nothing else to happen.
func (s *stage) ignores(p *puppet, way reply, ws []wrong) {
	s.t.Helper()
	before := s.status()
	want := map[string]uint64{}
	for _, w := range ws {
		p.raw(p.frame(way, w.payload))
		want[w.reason]++
	}
	var now *run.Status
	got := map[string]uint64{}
	for end := time.Now().Add(2 * time.Second); time.Now().Before(end) && !maps.Equal(got, want); {
		now = s.status()
		clear(got)
		for reason, n := range now.Ignored {
			if n -= before.Ignored[reason]; n != 0 {
				got[reason] = n
			}
		}
	}
	if !maps.Equal(got, want) {
		s.t.Errorf("%d wrong replies were ignored as %v, want %v", len(ws), got, want)
	}
	if now.State != before.State || now.Address != before.Address || len(now.Changes) != len(before.Changes) {
		s.t.Fatalf("wrong replies made %+v of %+v", now, before)
	}
}

// TestHostileReplies: replies that are for somebody else, promise an impossible address
// or mask, or end in the middle of an option, are ignored for their own reason and
// counted once, in SELECTING, REQUESTING and RENEWING; then the good one is taken.
func TestHostileReplies(t *testing.T) {
	t.Parallel()
	s := newStage(t, "--conflict-detection", "off")
	p := newPuppet(t, s.lab, s.sw, "server")
	check(t, s.client.Start())
	a := firstPool.First
	const life = 120

	s.state("selecting", "started", 20*time.Second)
	v := s.hears(dhcp4.Discover, 20*time.Second)
	offer := p.to(v, dhcp4.Offer, a, life)
	s.ignores(p, offer, wrongReplies(offer, p.addr))
	p.send(offer)
	v = s.requests("SELECTING")
	s.state("requesting", "offered", time.Second)

	ack := p.to(v, dhcp4.Ack, a, life)
	others := func(ack reply) []wrong {
		ws := wrongReplies(ack, p.addr)
		other, server := ack, ack
		other.YIAddr++
		server.ServerID++
		return append(ws, wrong{"for another address", other.payload(), "other-address"}, wrong{"from another server", server.payload(), "other-server"})
	}
	s.ignores(p, ack.broadcast(), others(ack))
	p.send(ack)
	s.uses(held{addr: a})
	parent, worker := s.processes()

	s.control("renew")
	v = s.requests("RENEWING")
	s.state("renewing", "asked-renew", time.Second)
	ack = p.to(v, dhcp4.Ack, a, life)
	s.ignores(p, ack, others(ack))
	if got := s.host.Addr("eth0"); got != a.Netip() {
		t.Fatalf("the address is now %s", got)
	}
	p.send(ack)
	s.state("bound", "ack", time.Second)
	s.stillAlive(p, a, life, parent, worker)
	s.stop()
}

// parseStatus reads what "client status -o json" wrote.
func parseStatus(text string) (*run.Status, error) {
	var one run.Status
	return &one, json.Unmarshal([]byte(text), &one)
}
