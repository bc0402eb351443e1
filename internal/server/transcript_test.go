package server_test

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"net"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"lessor/dhcp4"
	"lessor/internal/config"
	"lessor/internal/lease"
	"lessor/internal/pool"
	"lessor/internal/server"
	"lessor/internal/wire"
)

// TestTranscripts runs the conversations of testdata: each command is one input to
// the core, and what follows "----" is everything that came out. Run with -rewrite
// to write the outputs anew, and read the difference.
//
//	config         a configuration file, put in force
//	links          one interface a line: NAME ADDR/BITS... [mac=] [mtu=]
//	time +5s       time passes; ticks come when they are due. wall=+1h steps the wall clock too,
//	               quiet counts the ARP questions of that time instead of printing them
//	discover …     a packet: also request, decline, release, inform, bootp, raw
//	arp            a station speaks: IP MAC [link]
//	commit         what is pending becomes durable. Without "manual" each command commits
//	manual, auto   switch that
//	fail, heal     the store fails: what is pending is taken back; it works again
//	restart        a new core, with what is durable; boot=other for another boot
//	operator-release ADDR [now]
//	leases, pools, counters
func TestTranscripts(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		if strings.Contains(path, "rapid") || filepath.Ext(path) != ".txt" {
			return
		}
		h := newHarness(t)
		datadriven.RunTest(t, path, h.run)
	})
}

type harness struct {
	t       *testing.T
	core    *server.Core
	now     lease.Instant
	boot    lease.BootID
	mark    lease.Mark
	e       server.Effects
	out     bytes.Buffer
	manual  bool
	pending []lease.Change
	lastRev uint64
	store   map[dhcp4.Addr]lease.Binding
	links   []wire.Link
	conf    *config.Config
	quiet   bool
	asked   int
	echoes  map[dhcp4.Addr]wire.Echo // the last echo request for each address
}

var secret = [16]byte{1, 2, 3, 4}

func newHarness(t *testing.T) *harness {
	h := &harness{t: t, store: map[dhcp4.Addr]lease.Binding{}, echoes: map[dhcp4.Addr]wire.Echo{}, boot: lease.BootID{1}}
	h.now = lease.Instant{M: 1000e9, W: time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC).UnixNano()}
	h.core = server.New(secret, h.boot)
	return h
}

func (h *harness) run(t *testing.T, d *datadriven.TestData) string {
	h.t = t
	h.out.Reset()
	switch d.Cmd {
	case "config":
		c, problems := config.Parse("lessor.yaml", []byte(d.Input))
		if c == nil {
			return fmt.Sprint(problems)
		}
		h.conf = c
		h.core.SetPolicy(h.now, c.Policy(), &h.e)
	case "links":
		h.setLinks(d)
	case "time":
		h.pass(d)
	case "arp":
		h.arp(d)
	case "echo":
		h.echo(d)
	case "commit":
		h.commit()
	case "manual":
		h.manual = true
	case "auto":
		h.manual = false
	case "fail":
		h.core.Rollback(h.now, h.pending)
		h.pending = nil
		h.core.SetStoreFailing(true)
	case "heal":
		h.core.SetStoreFailing(false)
	case "restart":
		h.restart(d)
	case "operator-release":
		a := dhcp4.MustParseAddr(d.CmdArgs[0].Key)
		if err := h.core.Release(h.now, a, d.HasArg("now"), &h.e); err != nil {
			fmt.Fprintln(&h.out, "error:", err)
		}
	case "leases":
		h.leases()
	case "pools":
		h.pools()
	case "counters":
		h.counters()
	default:
		h.packets(d)
	}
	h.flush()
	if h.out.Len() == 0 {
		return "silence\n"
	}
	return h.out.String()
}

func (h *harness) setLinks(d *datadriven.TestData) {
	h.links = nil
	for i, line := range strings.Split(strings.TrimSpace(d.Input), "\n") {
		l := wire.Link{ID: wire.LinkID(i + 1), MTU: 1500, MAC: wire.MAC{2, 0, 0, 0, 0xff, byte(i + 1)}}
		for j, f := range strings.Fields(line) {
			key, val, ok := strings.Cut(f, "=")
			switch {
			case j == 0:
				l.Name = f
			case key == "mtu":
				l.MTU = atoi(h.t, val)
			case key == "mac":
				l.MAC = mac(h.t, val)
			case !ok:
				a, bits, _ := strings.Cut(f, "/")
				l.Addrs = append(l.Addrs, dhcp4.Prefix{Addr: dhcp4.MustParseAddr(a), Bits: atoi(h.t, bits)})
			}
		}
		h.links = append(h.links, l)
	}
	h.core.SetLinks(h.now, h.links, &h.e)
}

func (h *harness) pass(d *datadriven.TestData) {
	step, err := time.ParseDuration(strings.TrimPrefix(d.CmdArgs[0].Key, "+"))
	if err != nil {
		h.t.Fatal(err)
	}
	var wall string
	d.MaybeScanArgs(h.t, "wall", &wall)
	if wall != "" {
		w, err := time.ParseDuration(strings.TrimPrefix(wall, "+"))
		if err != nil {
			h.t.Fatal(err)
		}
		h.now.W += int64(w)
	}
	h.quiet, h.asked = d.HasArg("quiet"), 0
	defer func() {
		if h.quiet && h.asked > 0 {
			fmt.Fprintf(&h.out, "asked by ARP %d times\n", h.asked)
		}
		h.quiet = false
	}()
	end := h.now.M + int64(step)
	for range 1_000_000 {
		at := h.core.NextTick()
		if at > end {
			break
		}
		at = max(at, h.now.M)
		h.now.W += at - h.now.M
		h.now.M = at
		h.core.Tick(h.now, &h.e)
		h.flush()
	}
	h.now.W += end - h.now.M
	h.now.M = end
}

func (h *harness) arp(d *datadriven.TestData) {
	m := wire.ARP{Link: 1, Op: 2, SenderIP: dhcp4.MustParseAddr(d.CmdArgs[0].Key), SenderMAC: mac(h.t, d.CmdArgs[1].Key)}
	h.core.HandleARP(h.now, &m, &h.e)
}

// echo answers the last echo request for an address, with a word a wrong way.
func (h *harness) echo(d *datadriven.TestData) {
	m := h.echoes[dhcp4.MustParseAddr(d.CmdArgs[0].Key)]
	m.Reply, m.Src, m.Dst = true, m.Dst, m.Src
	for _, wrong := range d.CmdArgs[1:] {
		switch wrong.Key {
		case "token":
			m.Token++
		case "id":
			m.ID++
		case "seq":
			m.Seq++
		case "source":
			m.Src++
		case "to":
			m.Dst++
		case "question":
			m.Reply = false
		default:
			h.t.Fatalf("echo: %s", wrong.Key)
		}
	}
	h.core.HandleEcho(h.now, &m, &h.e)
}

func (h *harness) restart(d *datadriven.TestData) {
	var boot string
	d.MaybeScanArgs(h.t, "boot", &boot)
	if boot != "" {
		h.boot[0]++
		h.now.M = 5e9
	}
	h.core = server.New(secret, h.boot)
	addrs := make([]dhcp4.Addr, 0, len(h.store))
	for a := range h.store {
		addrs = append(addrs, a)
	}
	sort.Slice(addrs, func(i, j int) bool { return addrs[i] < addrs[j] })
	for _, a := range addrs {
		b := h.store[a]
		lease.Resume(&b, h.mark, h.now, h.boot)
		h.core.Restore(&b)
	}
	h.core.SetPolicy(h.now, h.conf.Policy(), &h.e)
	h.core.SetLinks(h.now, h.links, &h.e)
	if d.HasArg("careful") {
		h.core.SetCareful(h.now)
	}
	h.pending = nil
}

// flush prints what came out and, unless told otherwise, commits it.
func (h *harness) flush() {
	for i := range h.e.Events {
		h.event(&h.e.Events[i])
	}
	asked := 0
	h.asked += len(h.e.Probes)
	for _, p := range h.e.Probes {
		if h.quiet {
			break
		}
		if len(h.e.Probes) > 4 {
			asked++
			continue
		}
		fmt.Fprintf(&h.out, "ask who has %s, tell %s\n", p.TargetIP, p.SenderIP)
	}
	if asked > 0 {
		fmt.Fprintf(&h.out, "ask who has %d addresses\n", asked)
	}
	for _, m := range h.e.Echoes {
		fmt.Fprintf(&h.out, "ping %s from %s\n", m.Dst, m.Src)
		h.echoes[m.Dst] = m
	}
	for i := range h.e.Changes {
		h.change(&h.e.Changes[i])
	}
	for i := range h.e.Replies {
		h.reply(&h.e.Replies[i])
	}
	h.pending = append(h.pending, cloneChanges(h.e.Changes)...)
	h.lastRev += uint64(len(h.e.Changes))
	h.e.Reset()
	if !h.manual {
		h.commit()
	}
}

func cloneChanges(cs []lease.Change) []lease.Change {
	out := make([]lease.Change, len(cs))
	clone := func(b lease.Binding) lease.Binding {
		b.HW, b.ClientID = bytes.Clone(b.HW), bytes.Clone(b.ClientID)
		b.Hostname, b.Agent = bytes.Clone(b.Hostname), bytes.Clone(b.Agent)
		return b
	}
	for i, c := range cs {
		out[i] = lease.Change{CompareOnly: c.CompareOnly, Before: clone(c.Before), After: clone(c.After)}
	}
	return out
}

func (h *harness) commit() {
	for i := range h.pending {
		c := &h.pending[i]
		if c.CompareOnly {
			continue
		}
		if c.After.State == 0 {
			delete(h.store, c.After.Addr)
			continue
		}
		h.store[c.After.Addr] = c.After
	}
	h.mark = lease.Mark{W: h.now.W, M: h.now.M, Boot: h.boot}
	h.pending = nil
	h.core.Durable(h.lastRev)
}

var eventNames = map[server.EventKind]string{
	server.EventDrop: "drop", server.EventBound: "bound", server.EventRenewed: "renewed",
	server.EventReleased: "released", server.EventDeclined: "declined", server.EventConflict: "conflict",
	server.EventNak: "nak", server.EventExpired: "expired", server.EventAlarm: "alarm",
}

func (h *harness) event(ev *server.Event) {
	fmt.Fprintf(&h.out, "event %s", eventNames[ev.Kind])
	if ev.Reason != server.None {
		fmt.Fprintf(&h.out, " %s", ev.Reason)
	}
	if ev.Addr != 0 && ev.Kind != server.EventDrop {
		fmt.Fprintf(&h.out, " %s", ev.Addr)
	}
	fmt.Fprintln(&h.out)
}

func (h *harness) change(c *lease.Change) {
	if c.CompareOnly {
		fmt.Fprintf(&h.out, "compare %s\n", c.Before.Addr)
		return
	}
	b := &c.After
	fmt.Fprintf(&h.out, "store %s", h.binding(b))
	if c.Before.Addr != 0 && c.Before.Start == b.Start && c.Before.State == b.State {
		fmt.Fprint(&h.out, " (same possession)")
	}
	fmt.Fprintln(&h.out)
}

var stateNames = map[lease.State]string{lease.Bound: "bound", lease.Released: "released", lease.Declined: "declined"}

func (h *harness) binding(b *lease.Binding) string {
	s := fmt.Sprintf("%s %s hw %x", b.Addr, stateNames[b.State], b.HW)
	if b.ClientID != nil {
		s += fmt.Sprintf(" id %x", b.ClientID)
	}
	if b.Hostname != nil {
		s += fmt.Sprintf(" host %q", b.Hostname)
	}
	if b.GIAddr != 0 {
		s += fmt.Sprintf(" via %s agent %x", b.GIAddr, b.Agent)
	}
	return s + " end " + h.ahead(b.End) + " free " + h.ahead(b.Free)
}

func (h *harness) ahead(m int64) string {
	if m == 1<<63-1 {
		return "never"
	}
	return time.Duration(m - h.now.M).String()
}

func (h *harness) reply(r *server.Reply) {
	var v dhcp4.View
	if err := v.Parse(r.Data); err != nil {
		h.t.Fatalf("reply does not parse: %v", err)
	}
	fmt.Fprintf(&h.out, "%s", r.Type)
	if v.YIAddr() != 0 {
		fmt.Fprintf(&h.out, " %s", v.YIAddr())
	}
	if r.Raw {
		fmt.Fprintf(&h.out, " frame to %s", net.HardwareAddr(r.MAC[:]))
	} else {
		fmt.Fprint(&h.out, " routed")
	}
	fmt.Fprintf(&h.out, " %s>%s:%d", r.Src, r.Dst, r.DstPort)
	if v.CIAddr() != 0 {
		fmt.Fprintf(&h.out, " ciaddr %s", v.CIAddr())
	}
	if v.SIAddr() != 0 {
		fmt.Fprintf(&h.out, " siaddr %s", v.SIAddr())
	}
	if len(v.SName()) > 0 {
		fmt.Fprintf(&h.out, " sname %q", v.SName())
	}
	if len(v.File()) > 0 {
		fmt.Fprintf(&h.out, " file %q", v.File())
	}
	if v.Broadcast() {
		fmt.Fprint(&h.out, " bcast")
	}
	for in := range v.Instances {
		switch in.Code {
		case 53:
		case dhcp4.OptDHCPMessage:
			fmt.Fprintf(&h.out, " 56=%q", in.Data)
		case 51, 58, 59:
			n, _ := v.Uint32(in.Code)
			fmt.Fprintf(&h.out, " %d=%d", in.Code, n)
		case 54:
			a, _ := v.Addr(54)
			fmt.Fprintf(&h.out, " 54=%s", a)
		default:
			fmt.Fprintf(&h.out, " %d=%x", in.Code, in.Data)
		}
	}
	if r.After > h.durableRev() {
		fmt.Fprintf(&h.out, " (waits)")
	}
	fmt.Fprintln(&h.out)
}

func (h *harness) durableRev() uint64 { return h.lastRev - uint64(len(h.pending)) }

func (h *harness) leases() {
	tab := h.core.Table()
	var all []string
	tab.Scan(0, 1<<20, func(s lease.Slot) {
		var b lease.Binding
		tab.Binding(s, &b)
		all = append(all, h.binding(&b))
	})
	sort.Strings(all)
	fmt.Fprintln(&h.out, strings.Join(all, "\n"))
}

func (h *harness) pools() {
	for _, p := range h.core.Pools() {
		fmt.Fprintf(&h.out, "%s %s size %d:", p.Subnet, p.Range, p.Size)
		sum := uint64(0)
		for s, n := range p.Count {
			sum += n
			if n > 0 {
				fmt.Fprintf(&h.out, " %s %d", pool.State(s), n)
			}
		}
		fmt.Fprintln(&h.out)
		if sum != p.Size {
			h.t.Fatalf("pool %s: the states sum up to %d, not %d", p.Range, sum, p.Size)
		}
	}
}

func (h *harness) counters() {
	c := h.core.Counters()
	for t, n := range c.Received {
		if n > 0 {
			fmt.Fprintf(&h.out, "received %s %d\n", dhcp4.MessageType(t), n)
		}
	}
	for t, n := range c.Sent {
		if n > 0 {
			fmt.Fprintf(&h.out, "sent %s %d\n", dhcp4.MessageType(t), n)
		}
	}
	for r, n := range c.Dropped {
		if n > 0 {
			fmt.Fprintf(&h.out, "dropped %s %d\n", server.Reason(r), n)
		}
	}
	fmt.Fprintf(&h.out, "probes %d unchecked %d recalled %d\n", c.Probes, c.Unchecked, c.Recalled)
	if c.Unfilled > 0 {
		fmt.Fprintf(&h.out, "unfilled %d\n", c.Unfilled)
	}
}

func atoi(t *testing.T, s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func mac(t *testing.T, s string) (m wire.MAC) {
	if len(s) <= 2 {
		return wire.MAC{2, 0, 0x5e, 0x10, 0, byte(atoi(t, s))}
	}
	hw, err := net.ParseMAC(s)
	if err != nil || len(hw) != 6 {
		t.Fatalf("MAC %q: %v", s, err)
	}
	return wire.MAC(hw)
}

func unhex(t *testing.T, s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
