package control

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"

	"lessor/dhcp4"
	"lessor/internal/lease"
	"lessor/internal/local"
	"lessor/internal/policy"
	"lessor/internal/server"
	"lessor/internal/wire"
)

// Question is a message that somebody wants to have explained, and how it comes to the
// server. What is zero is made up to fit: see Packet.
type Question struct {
	Message   []byte     // the DHCP message; a server identifier of 0.0.0.0 in it stands for this server's
	Interface string     // it comes in by; "": the one that fits, see link
	Unicast   bool       // the client sent it to the server alone, as a renewal
	Src, Dst  dhcp4.Addr // of the IP packet
	SrcMAC    wire.MAC   // of the frame
	DstMAC    wire.MAC
	SrcPort   uint16
}

// Explanation is how a server would answer a message, step by step.
type Explanation struct {
	Message   string     `json:"message"` // its type and client, in words
	Interface string     `json:"interface"`
	Steps     []Step     `json:"steps"`
	Check     dhcp4.Addr `json:"asks-for,omitzero"` // the server would first ask whether anybody has it; the rest is what follows a silence
	Answer    *Answer    `json:"answer,omitempty"`  // none: the client would get none
}

// Step is one thing that was looked at, in the order in which the server does it.
type Step struct {
	Stage   string     `json:"stage"`            // network, class, reservation, address, lease, option, delivery, write, alarm, answer
	Verdict string     `json:"verdict"`          // yes, no, failed, noted
	Name    string     `json:"name,omitempty"`   // what was looked at
	Address dhcp4.Addr `json:"address,omitzero"` //
	Code    uint8      `json:"code,omitempty"`   // of an option
	Level   string     `json:"level,omitempty"`  // of the configuration, of an option or a lifetime
	Reason  string     `json:"reason,omitempty"` // an id that "lessor error" explains
	Text    string     `json:"text"`             // the rest, in words
	Detail  string     `json:"detail,omitempty"` // of a class test: the values that it read, or why it had no answer
	File    string     `json:"file,omitempty"`   // where the configuration says so
	Line    int32      `json:"line,omitempty"`
	Column  int32      `json:"column,omitempty"`
}

// Answer is the message that the client would get.
type Answer struct {
	Type    string     `json:"type"` // OFFER, ACK, NAK
	Address dhcp4.Addr `json:"address,omitzero"`
	Durable bool       `json:"after-the-disk"` // it would wait until the lease is durable
	Data    string     `json:"data"`           // the message in hexadecimal, which "lessor dissect" reads
}

// Gets reports whether the client would get what it asks for.
func (x *Explanation) Gets() bool { return x.Answer != nil && x.Answer.Type != "NAK" }

// Explain asks core how it would answer q, which changes nothing.
func Explain(core *server.Core, now lease.Instant, p *policy.Policy, q *Question) (*Explanation, error) {
	pkt, l, err := q.Packet(core.Links(), p)
	if err != nil {
		return nil, err
	}
	var tr server.Trace
	var fx server.Effects
	core.Explain(now, &pkt, &tr, &fx)
	x := &Explanation{Message: describe(pkt.Data), Interface: l.Name, Check: tr.Check}
	for i := range tr.Steps {
		x.Steps = append(x.Steps, fromStep(&tr.Steps[i], p.File))
	}
	if n := len(fx.Replies); n > 0 {
		r := &fx.Replies[n-1]
		x.Answer = &Answer{Type: r.Type.String(), Durable: r.After != 0, Data: hex.EncodeToString(r.Data)}
		if len(r.Data) >= 20 {
			x.Answer.Address = dhcp4.AddrFromBytes(r.Data[16:])
		}
	}
	return x, nil
}

func fromStep(s *server.Step, file string) Step {
	o := Step{Stage: s.Stage.String(), Verdict: s.Verdict.String(), Name: s.Name, Address: s.Addr, Code: uint8(s.Code),
		Reason: s.Reason.String(), Text: s.Text, Detail: s.Detail}
	if s.Pos != (policy.Pos{}) {
		o.File, o.Line, o.Column = file, s.Pos.Line, s.Pos.Col
	}
	if s.Stage == server.StageOption && (s.Code == dhcp4.OptSubnetMask || s.Level != 0) || s.Stage == server.StageLease {
		o.Level = s.Level.String()
	}
	return o
}

// describe names a message and its client.
func describe(b []byte) string {
	var v dhcp4.View
	if v.Parse(b) != nil {
		return "a message that cannot be read"
	}
	text := v.MessageType().String()
	if !v.Has(dhcp4.OptDHCPMessageType) {
		text = "BOOTP message"
	}
	if hw := v.CHAddr(); len(hw) > 0 {
		text += " of " + net.HardwareAddr(hw).String()
	}
	if a := v.GIAddr(); a != 0 {
		text += ", passed on by " + a.String()
	}
	return text
}

// errNoLink says that no interface is served at present.
var errNoLink = errors.New("the server has no interface that is ready, so no packet would reach it")

// Packet is the packet that brings the message to a server with these links. What q leaves
// open is as it is for an honest client: a relayed message comes from its agent to our address, a
// unicast one from ciaddr, through a router if that is in no subnet of the link; any
// other is a broadcast of the client's.
func (q *Question) Packet(links []wire.Link, p *policy.Policy) (wire.Packet, *wire.Link, error) {
	l, err := q.link(links, p)
	if err != nil {
		return wire.Packet{}, nil, err
	}
	var v dhcp4.View
	pkt := wire.Packet{Link: l.ID, Data: q.Message, Src: q.Src, Dst: q.Dst, SrcMAC: q.SrcMAC, DstMAC: q.DstMAC, SrcPort: q.SrcPort}
	if v.Parse(q.Message) != nil {
		return pkt, l, nil // that is what the server is to say
	}
	pkt.Data = ours(&v, l.Addrs[0].Addr)
	router := wire.MAC{2}
	us, from, srcMAC, dst, dstMAC, port := l.Addrs[0].Addr, v.CIAddr(), router, dhcp4.Broadcast, wire.BroadcastMAC, uint16(dhcp4.ClientPort)
	onLink := holds(l, v.CIAddr())
	if hw := v.CHAddr(); len(hw) == 6 {
		srcMAC = wire.MAC(hw)
	}
	switch {
	case v.GIAddr() != 0:
		from, srcMAC, dst, dstMAC, port = v.GIAddr(), router, us, l.MAC, dhcp4.ServerPort
	case q.Unicast:
		if dst, dstMAC = us, l.MAC; !onLink {
			srcMAC = router
		}
	}
	for _, f := range []struct{ is, usual *dhcp4.Addr }{{&pkt.Src, &from}, {&pkt.Dst, &dst}} {
		if *f.is == 0 {
			*f.is = *f.usual
		}
	}
	for _, f := range []struct{ is, usual *wire.MAC }{{&pkt.SrcMAC, &srcMAC}, {&pkt.DstMAC, &dstMAC}} {
		if *f.is == (wire.MAC{}) {
			*f.is = *f.usual
		}
	}
	if pkt.SrcPort == 0 {
		pkt.SrcPort = port
	}
	return pkt, l, nil
}

// link is the interface that the message comes in by: the one that is named; else the one on
// which the relay agent, or the address that the client has, is; else, of what a relay agent or a
// router brings, the first, and of what a client sends to all, the first that is in a network.
func (q *Question) link(links []wire.Link, p *policy.Policy) (*wire.Link, error) {
	if len(links) == 0 {
		return nil, errNoLink
	}
	if q.Interface != "" {
		i := slices.IndexFunc(links, func(l wire.Link) bool { return l.Name == q.Interface })
		if i < 0 {
			return nil, fmt.Errorf("the server has no interface %q that is ready", q.Interface)
		}
		return &links[i], nil
	}
	var from dhcp4.Addr
	routed := q.Unicast
	var v dhcp4.View
	if v.Parse(q.Message) == nil {
		if from = v.CIAddr(); v.GIAddr() != 0 {
			from, routed = v.GIAddr(), true
		}
	}
	fits := func(l wire.Link) bool { return routed || p.NetworkOfLink(&l) != nil }
	if on := func(l wire.Link) bool { return holds(&l, from) }; slices.ContainsFunc(links, on) {
		fits = on
	}
	return &links[max(slices.IndexFunc(links, fits), 0)], nil
}

// holds reports whether a is in a subnet of the link.
func holds(l *wire.Link, a dhcp4.Addr) bool {
	return slices.ContainsFunc(l.Addrs, func(p dhcp4.Prefix) bool { return p.Contains(a) })
}

// ours is the message with us in the place of a server identifier of 0.0.0.0.
func ours(v *dhcp4.View, us dhcp4.Addr) []byte {
	for in := range v.Instances {
		if in.Code == dhcp4.OptDHCPServerIdentifier && len(in.Data) == 4 && dhcp4.AddrFromBytes(in.Data) == 0 {
			out := append([]byte(nil), v.Bytes()...)
			us.Append(out[:in.Offset+2])
			return out
		}
	}
	return v.Bytes()
}

// values are q as parameters of a request, whose names the socket's users see.
func (q *Question) values() url.Values {
	v := url.Values{"message": {hex.EncodeToString(q.Message)}}
	set := func(name, text string) {
		if text != "" {
			v.Set(name, text)
		}
	}
	addr := func(name string, a dhcp4.Addr) {
		if a != 0 {
			v.Set(name, a.String())
		}
	}
	mac := func(name string, m wire.MAC) {
		if m != (wire.MAC{}) {
			v.Set(name, net.HardwareAddr(m[:]).String())
		}
	}
	set("interface", q.Interface)
	if q.Unicast {
		v.Set("unicast", "true")
	}
	addr("source", q.Src)
	addr("destination", q.Dst)
	mac("source-mac", q.SrcMAC)
	mac("destination-mac", q.DstMAC)
	if q.SrcPort != 0 {
		v.Set("source-port", fmt.Sprint(q.SrcPort))
	}
	return v
}

// questionOf reads what values writes.
func questionOf(v url.Values) (q *Question, err error) {
	q = &Question{Interface: v.Get("interface"), Unicast: v.Get("unicast") == "true"}
	if q.Message, err = hex.DecodeString(v.Get("message")); err != nil {
		return nil, fmt.Errorf("message: %w", err)
	}
	for name, a := range map[string]*dhcp4.Addr{"source": &q.Src, "destination": &q.Dst} {
		if text := v.Get(name); text != "" {
			if *a, err = dhcp4.ParseAddr(text); err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
		}
	}
	for name, m := range map[string]*wire.MAC{"source-mac": &q.SrcMAC, "destination-mac": &q.DstMAC} {
		if text := v.Get(name); text != "" {
			hw, err := net.ParseMAC(text)
			if err != nil || len(hw) != 6 {
				return nil, fmt.Errorf("%s: %q is no Ethernet address", name, text)
			}
			*m = wire.MAC(hw)
		}
	}
	if text := v.Get("source-port"); text != "" {
		if _, err := fmt.Sscan(text, &q.SrcPort); err != nil {
			return nil, fmt.Errorf("source-port: %w", err)
		}
	}
	return q, nil
}

// explain answers how the server would answer a message.
func (s *Server) explain(w http.ResponseWriter, r *http.Request) {
	q, err := questionOf(r.URL.Query())
	if err != nil {
		local.Refuse(w, http.StatusBadRequest, err)
		return
	}
	var x *Explanation
	var refused error
	err = s.e.Do(r.Context(), func(now lease.Instant, core *server.Core, _ *server.Effects) {
		x, refused = Explain(core, now, s.e.Policy(), q)
	})
	switch {
	case err != nil:
		local.Refuse(w, http.StatusServiceUnavailable, err)
	case refused != nil:
		local.Refuse(w, http.StatusConflict, refused)
	default:
		local.Answer(w, x)
	}
}

// Explain asks how the server would answer a message. Nothing changes by it.
func (c *Client) Explain(ctx context.Context, q *Question) (x *Explanation, err error) {
	x = &Explanation{}
	return x, c.get(ctx, http.MethodPost, "/v1/explain", q.values(), x)
}
