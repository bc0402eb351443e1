package client_test

import (
	"bytes"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"lessor/dhcp4"
	"lessor/internal/client"
	"lessor/internal/lease"
	"lessor/internal/wire"
)

// TestTranscripts runs the conversations of testdata: each command is one input to
// the machine, or time that passes, and what follows "----" is everything that came
// out, each line with the seconds since the start. Run with -rewrite to write the
// outputs anew, and read the difference.
//
//	config         a new machine, without memory: see parseConfig; full prints all options
//	               of messages from here on, else only those that make the difference
//	restart        a new machine with the memory of the last one, like after kill -9
//	link           up [mac= mtu= id=], down or changed
//	resume, renew, rebind, release, stop
//	time +5s       time passes; ticks come when they are due. wall=+2h steps the wall clock
//	               first, sleep gives no tick: the machine is suspended
//	offer, ack, nak, reply
//	               a reply to the last message: see newReply
//	arp            reply IP MAC, request SENDER TARGET MAC, probe TARGET MAC
//	status, memory, watched
func TestTranscripts(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		if filepath.Ext(path) != ".txt" {
			return
		}
		h := newHarness(t)
		datadriven.RunTest(t, path, h.run)
	})
}

// harness is one machine with its clocks and what it last sent.
type harness struct {
	t       *testing.T
	m       *client.Machine
	c       client.Config
	start   int64
	now     lease.Instant
	e       client.Effects
	out     bytes.Buffer
	link    wire.Link
	xids    []uint32
	last    dhcp4.View // the last message sent
	lastXID uint32
	full    bool
}

var (
	secret = [16]byte{1, 2, 3, 4}
	ownMAC = wire.MAC{2, 0, 0x5e, 0x10, 0, 1}
)

func newHarness(t *testing.T) *harness {
	h := &harness{t: t, start: 1000e9}
	h.now = lease.Instant{M: h.start, W: time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC).UnixNano()}
	h.link = wire.Link{ID: 7, Name: "eth0", MAC: ownMAC, MTU: 1500}
	h.m = client.New(h.c, secret, nil)
	return h
}

func (h *harness) run(t *testing.T, d *datadriven.TestData) string {
	h.t = t
	h.out.Reset()
	kinds := map[string]client.InputKind{"resume": client.InputResume, "renew": client.InputRenew, "rebind": client.InputRebind,
		"release": client.InputRelease, "stop": client.InputStop}
	switch d.Cmd {
	case "config":
		h.c, h.full = parseConfig(t, d), d.HasArg("full")
		h.m = client.New(h.c, secret, nil)
		h.xids = nil
		return "ok\n"
	case "restart":
		if len(d.CmdArgs) > 0 {
			h.c = parseConfig(t, d)
		}
		h.m = client.New(h.c, secret, slices.Clone(h.m.Memory()))
		return "ok\n"
	case "link":
		h.setLink(d)
	case "time":
		h.pass(d)
	case "offer", "ack", "nak", "reply":
		h.handle(&client.Input{Kind: client.InputPacket, Packet: h.newReply(d)})
	case "arp":
		h.handle(&client.Input{Kind: client.InputARP, ARP: newARP(t, d)})
	case "status":
		h.status()
	case "memory":
		h.memory()
	case "watched":
		for _, a := range h.m.AppendWatched(nil) {
			fmt.Fprintln(&h.out, a)
		}
	default:
		kind, ok := kinds[d.Cmd]
		if !ok {
			t.Fatalf("%s: unknown command %q", d.Pos, d.Cmd)
		}
		h.handle(&client.Input{Kind: kind})
	}
	if h.out.Len() == 0 {
		return "silence\n"
	}
	return h.out.String()
}

// parseConfig reads "fast", "detection=announce" and so on.
func parseConfig(t *testing.T, d *datadriven.TestData) (c client.Config) {
	for _, a := range d.CmdArgs {
		val := strings.Join(a.Vals, ",")
		switch a.Key {
		case "full":
		case "fast":
			c.Fast = true
		case "detection":
			c.Detection = map[string]client.Detection{"probe": client.DetectProbe, "announce": client.DetectAnnounce, "off": client.DetectOff}[val]
		case "id":
			c.Identifier = client.IdentifierNone
			if val != "none" {
				c.Identifier, c.ClientID = client.IdentifierFixed, unhex(t, val)
			}
		case "host":
			c.HostName = val
		case "fqdn":
			c.FQDN = val
		case "user-class":
			c.UserClass = a.Vals
		case "vendor-class":
			c.VendorClass = val
		case "option":
			code, data, _ := strings.Cut(val, ":")
			c.Options = append(c.Options, dhcp4.Option{Code: dhcp4.Code(atoi(t, code)), Data: unhex(t, data)})
		case "params":
			c.Params = []dhcp4.Code{}
			for _, v := range a.Vals {
				c.Params = append(c.Params, dhcp4.Code(atoi(t, v)))
			}
		case "request":
			c.Request = dhcp4.MustParseAddr(val)
		case "lifetime":
			c.Lifetime = uint32(atoi(t, val))
		case "allow":
			c.Allow = append(c.Allow, prefix(t, val))
		case "deny":
			c.Deny = append(c.Deny, prefix(t, val))
		case "select":
			c.SelectTimeout = int64(duration(t, val))
		case "rapid":
			c.RapidCommit = true
		case "ipv6-only":
			c.IPv6Only = true
		case "no-routes":
			c.NoRoutes = true
		case "broadcast":
			c.Broadcast = true
		default:
			t.Fatalf("%s: unknown setting %q", d.Pos, a.Key)
		}
	}
	return c
}

func (h *harness) setLink(d *datadriven.TestData) {
	in := client.Input{}
	for _, a := range d.CmdArgs {
		switch a.Key {
		case "up":
			in.Kind = client.InputLinkUp
		case "down":
			in.Kind = client.InputLinkDown
		case "changed":
			in.Kind = client.InputNetworkChanged
		case "mac":
			h.link.MAC = mac(h.t, a.Vals[0])
		case "mtu":
			h.link.MTU = atoi(h.t, a.Vals[0])
		case "id":
			h.link.ID = wire.LinkID(atoi(h.t, a.Vals[0]))
		}
	}
	in.Link = h.link
	h.handle(&in)
}

func (h *harness) pass(d *datadriven.TestData) {
	step := int64(duration(h.t, strings.TrimPrefix(d.CmdArgs[0].Key, "+")))
	var wall string
	d.MaybeScanArgs(h.t, "wall", &wall)
	if wall != "" {
		h.now.W += int64(duration(h.t, strings.TrimPrefix(wall, "+")))
	}
	end := h.now.M + step
	for i := 0; !d.HasArg("sleep"); i++ {
		at := h.m.NextTick()
		if at > end {
			break
		}
		if i > 100_000 {
			h.t.Fatal("the machine keeps asking for ticks")
		}
		h.forward(at)
		h.handle(&client.Input{Kind: client.InputTick})
	}
	h.forward(end)
}

func (h *harness) forward(at int64) {
	if at > h.now.M {
		h.now.W += at - h.now.M
		h.now.M = at
	}
}

func (h *harness) handle(in *client.Input) {
	h.m.Handle(h.now, in, &h.e)
	for i := range h.e.List {
		h.effect(&h.e.List[i])
	}
	h.e.Reset()
}

func (h *harness) effect(f *client.Effect) {
	elapsed := float64(h.now.M-h.start) / 1e9
	fmt.Fprintf(&h.out, "%.3f ", elapsed)
	switch f.Kind {
	case client.EffectSend:
		h.sent(&f.Send)
	case client.EffectARP:
		a := &f.ARP
		to := "all"
		if a.To != (wire.MAC{}) {
			to = macText(a.To)
		}
		fmt.Fprintf(&h.out, "arp to %s: who has %s, tell %s", to, a.TargetIP, a.SenderIP)
		if a.SenderMAC != h.link.MAC || a.Op != 1 || a.Link != h.link.ID || a.TargetMAC != (wire.MAC{}) {
			fmt.Fprintf(&h.out, " WRONG %+v", a)
		}
	case client.EffectConfigure:
		l := f.Lease
		fmt.Fprintf(&h.out, "configure %s from %s for %s", l.Addr, l.Server, h.ahead(l.End))
	case client.EffectDeconfigure:
		fmt.Fprintf(&h.out, "deconfigure: %s", f.Reason)
	case client.EffectSave:
		fmt.Fprintf(&h.out, "save")
	case client.EffectEvent:
		h.event(&f.Event)
	}
	fmt.Fprintln(&h.out)
}

func (h *harness) xid(x uint32) string {
	i := slices.Index(h.xids, x)
	if i < 0 {
		i = len(h.xids)
		h.xids = append(h.xids, x)
	}
	return "x" + strconv.Itoa(i+1)
}

func (h *harness) sent(s *wire.Send) {
	data := bytes.Clone(s.Data)
	if err := h.last.Parse(data); err != nil {
		h.t.Fatalf("what was sent does not parse: %v", err)
	}
	v := &h.last
	h.lastXID = v.XID()
	to := "all"
	switch {
	case !s.Raw:
		to = "kernel"
	case s.MAC != wire.BroadcastMAC:
		to = macText(s.MAC)
	}
	fmt.Fprintf(&h.out, "send %s to %s %s>%s %s secs %d", v.MessageType(), to, s.Src, s.Dst, h.xid(v.XID()), v.Secs())
	if s.SrcPort != 68 || s.DstPort != 67 || s.Link != h.link.ID {
		fmt.Fprintf(&h.out, " WRONG port %d>%d link %d", s.SrcPort, s.DstPort, s.Link)
	}
	if v.Op() != 1 || v.HType() != 1 || v.HLen() != 6 || v.Hops() != 0 || wire.MAC(v.CHAddr()) != h.link.MAC ||
		v.YIAddr() != 0 || v.SIAddr() != 0 || v.GIAddr() != 0 {
		fmt.Fprintf(&h.out, " WRONG header")
	}
	if v.Broadcast() {
		fmt.Fprint(&h.out, " bcast")
	}
	if v.CIAddr() != 0 {
		fmt.Fprintf(&h.out, " ciaddr %s", v.CIAddr())
	}
	for in := range v.Instances {
		switch in.Code {
		case 53:
		case 50, 54:
			fmt.Fprintf(&h.out, " %d=%s", in.Code, dhcp4.AddrFromBytes(in.Data))
		case 56:
			fmt.Fprintf(&h.out, " 56=%q", in.Data)
		case 57, 61, 55:
			if h.full {
				fmt.Fprintf(&h.out, " %d=%x", in.Code, in.Data)
			}
		default:
			fmt.Fprintf(&h.out, " %d=%x", in.Code, in.Data)
		}
	}
	if h.full {
		fmt.Fprintf(&h.out, " (%d octets)", len(s.Data))
	}
}

func (h *harness) event(ev *client.Event) {
	switch ev.Kind {
	case client.EventState:
		fmt.Fprintf(&h.out, "%s -> %s: %s", ev.From, ev.To, ev.Reason)
	case client.EventSent:
		fmt.Fprintf(&h.out, "  try %d", ev.Try)
		if ev.Wait != 0 {
			fmt.Fprintf(&h.out, ", next in %s", time.Duration(ev.Wait).Round(time.Millisecond))
		}
		if ev.XID != h.lastXID || ev.Type != h.last.MessageType() {
			fmt.Fprintf(&h.out, " WRONG %+v", ev)
		}
	case client.EventReceived:
		fmt.Fprintf(&h.out, "received %s %s from %s", ev.Type, ev.Addr, ev.Server)
		if ev.Text != nil {
			fmt.Fprintf(&h.out, " %q", ev.Text)
		}
	case client.EventIgnored:
		fmt.Fprintf(&h.out, "ignored %s", ev.Reason)
	case client.EventConflict:
		fmt.Fprintf(&h.out, "conflict %s with %s: %s", ev.Addr, macText(ev.MAC), ev.Reason)
	case client.EventOption:
		fmt.Fprintf(&h.out, "option %d not used: %s", ev.Option, ev.Reason)
	}
}

func (h *harness) ahead(m int64) string {
	if m == lease.Never {
		return "ever"
	}
	return time.Duration(m - h.now.M).Round(time.Millisecond).String()
}

func (h *harness) status() {
	fmt.Fprintf(&h.out, "%s", h.m.State())
	if l := h.m.Lease(); l != nil {
		fmt.Fprintf(&h.out, " %s from %s mac %s T1 in %s T2 in %s end in %s", l.Addr, l.Server, macText(l.ServerMAC),
			h.ahead(l.T1), h.ahead(l.T2), h.ahead(l.End))
	}
	if h.m.Configured() {
		fmt.Fprint(&h.out, " configured")
	}
	fmt.Fprintf(&h.out, " next tick in %s\n", h.ahead(h.m.NextTick()))
}

func (h *harness) memory() {
	for _, r := range h.m.Memory() {
		fmt.Fprintf(&h.out, "%s at %s, own %s: %s from %s, end in %s\n", r.Router, macText(r.RouterMAC), macText(r.OwnMAC),
			r.Lease.Addr, r.Lease.Server, h.ahead(r.Lease.End))
	}
	if len(h.m.Memory()) == 0 {
		fmt.Fprintln(&h.out, "empty")
	}
}
