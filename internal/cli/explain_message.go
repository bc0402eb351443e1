package cli

import (
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"

	"lessor/dhcp4"
	"lessor/internal/control"
	"lessor/internal/wire"
)

// messageKind is a message as users name it, and what it must carry.
type messageKind struct {
	name    string
	typ     dhcp4.MessageType
	request bool // option 50 is needed
	ciaddr  bool // ciaddr is needed
	server  bool // it names the server
	unicast bool // it goes to the server alone
}

var kinds = []messageKind{
	{name: "discover", typ: dhcp4.Discover},
	{name: "request", typ: dhcp4.Request, request: true, server: true},
	{name: "init-reboot", typ: dhcp4.Request, request: true},
	{name: "renew", typ: dhcp4.Request, ciaddr: true, unicast: true},
	{name: "rebind", typ: dhcp4.Request, ciaddr: true},
	{name: "inform", typ: dhcp4.Inform, ciaddr: true},
	{name: "decline", typ: dhcp4.Decline, request: true, server: true},
	{name: "release", typ: dhcp4.Release, ciaddr: true, server: true, unicast: true},
}

func kindNames() (names []string) {
	for _, k := range kinds {
		names = append(names, k.name)
	}
	return names
}

func messageKinds() string { return strings.Join(kindNames(), "|") }

// question makes the message of the flags.
func (f *explainFlags) question(g *globals) (*control.Question, error) {
	given := f.pcap != "" || f.hex != ""
	made := f.hw != "" || f.clientID != ""
	switch {
	case f.pcap != "" && f.hex != "":
		return nil, exitf(ExitUsage, "--pcap and --hex exclude each other")
	case given && (made || f.relay != "" || len(f.options) > 0):
		return nil, exitf(ExitUsage, "--pcap and --hex give the whole message: the other flags about it have no place beside them")
	case f.packet != 0 && f.pcap == "":
		return nil, exitf(ExitUsage, "--packet goes with --pcap")
	case given:
		return f.captured(g)
	case !made:
		return nil, &ExitError{Code: ExitUsage, Err: errors.New("which client?"), Hint: "Name it with --hw-address ADDRESS or --client-id HEX, or give a message with --pcap or --hex."}
	}
	return f.compose()
}

// compose makes the message.
func (f *explainFlags) compose() (*control.Question, error) {
	i := slices.IndexFunc(kinds, func(k messageKind) bool { return k.name == f.message })
	if i < 0 {
		return nil, wrongValue("message", f.message, messageKinds())
	}
	k := kinds[i]
	h := dhcp4.Header{Op: 1, XID: 0x4c65737a}
	if f.hw != "" {
		hw, err := net.ParseMAC(f.hw)
		if err != nil || len(hw) > 16 {
			return nil, wrongValue("hw-address", f.hw, "an Ethernet address such as 02:00:5e:10:00:01")
		}
		h.HType, h.HLen = 1, uint8(len(hw))
		copy(h.CHAddr[:], hw)
	}
	var request dhcp4.Addr
	for _, a := range []struct {
		flag, text string
		to         *dhcp4.Addr
		need       bool
	}{{"relay", f.relay, &h.GIAddr, f.circuit+f.remote+f.selection != "" && !k.ciaddr && f.iface == ""}, {"ciaddr", f.ciaddr, &h.CIAddr, k.ciaddr}, {"request", f.request, &request, k.request}} {
		switch {
		case a.text != "":
			var err error
			if *a.to, err = dhcp4.ParseAddr(a.text); err != nil {
				return nil, wrongValue(a.flag, a.text, "an IPv4 address such as 192.0.2.77")
			}
		case a.need && a.flag == "relay":
			return nil, &ExitError{Code: ExitUsage, Err: errors.New("relay information comes from a relay agent: name it with --relay ADDRESS"),
				Hint: "For a switch that adds it without relaying, name the interface with --interface."}
		case a.need:
			return nil, exitf(ExitUsage, "a message of kind %q names an address: --%s ADDRESS", k.name, a.flag)
		}
	}
	opts := []dhcp4.Option{{Code: dhcp4.OptDHCPMessageType, Data: []byte{byte(k.typ)}}}
	if k.server {
		opts = append(opts, dhcp4.Option{Code: dhcp4.OptDHCPServerIdentifier, Data: make([]byte, 4)})
	}
	if request != 0 && !k.ciaddr {
		opts = append(opts, dhcp4.Option{Code: dhcp4.OptDHCPRequestedAddress, Data: request.Append(nil)})
	}
	opts, err := f.carried(opts)
	if err != nil {
		return nil, err
	}
	agent, err := f.agent()
	if err != nil {
		return nil, err
	}
	msg, left := dhcp4.AppendMessage(nil, &h, opts, agent, 1472)
	if left > 0 {
		return nil, exitf(ExitUsage, "the options have no room in one message")
	}
	return &control.Question{Message: msg, Interface: f.iface, Unicast: k.unicast && h.GIAddr == 0}, nil
}

// carried adds the options that the client sends.
func (f *explainFlags) carried(opts []dhcp4.Option) ([]dhcp4.Option, error) {
	if f.clientID != "" {
		id, err := hex.DecodeString(strings.NewReplacer(":", "", "-", "").Replace(strings.TrimPrefix(f.clientID, "0x")))
		if err != nil || len(id) < 2 || len(id) > 255 {
			return nil, wrongValue("client-id", f.clientID, "2 to 255 octets in hexadecimal such as 01:02:00:5e:10:00:01")
		}
		opts = append(opts, dhcp4.Option{Code: dhcp4.OptDHCPClientIdentifier, Data: id})
	}
	var asked []byte
	for _, name := range f.ask {
		code, _, err := optionArg("request-option", name)
		if err != nil {
			return nil, err
		}
		asked = append(asked, byte(code))
	}
	if len(asked) > 0 {
		opts = append(opts, dhcp4.Option{Code: dhcp4.OptDHCPParameterRequestList, Data: asked})
	}
	for _, text := range f.options {
		name, value, ok := strings.Cut(text, "=")
		if !ok {
			return nil, wrongValue("option", text, "NAME=VALUE, such as vendor-class-identifier=PXEClient or 224=0a:0b")
		}
		code, d, err := optionArg("option", name)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(opts, func(o dhcp4.Option) bool { return o.Code == code }) || code == dhcp4.OptDHCPAgentOptions {
			return nil, exitf(ExitUsage, "--option cannot set option %d%s: it is set already, or has a flag of its own", code, nameOf(d))
		}
		if d == nil {
			d = &dhcp4.Def{Code: code, Name: fmt.Sprintf("option %d", code), Type: dhcp4.TypeBinary}
		}
		data, err := d.AppendValue(nil, []string{value})
		if err != nil {
			return nil, &ExitError{Code: ExitUsage, Err: fmt.Errorf("--option %s: %w", shorten(text, 60), err)}
		}
		opts = append(opts, dhcp4.Option{Code: code, Data: data})
	}
	return opts, nil
}

// agent is the value of option 82, nil for none.
func (f *explainFlags) agent() ([]byte, error) {
	var agent []byte
	for _, sub := range []struct {
		flag, text string
		code       uint8
	}{{"circuit-id", f.circuit, dhcp4.AgentCircuitID}, {"remote-id", f.remote, dhcp4.AgentRemoteID}, {"link-selection", f.selection, dhcp4.AgentLinkSelection}} {
		if sub.text == "" {
			continue
		}
		b := []byte(sub.text)
		if sub.code == dhcp4.AgentLinkSelection {
			a, err := dhcp4.ParseAddr(sub.text)
			if err != nil {
				return nil, wrongValue(sub.flag, sub.text, "the address of a subnet such as 198.18.8.0")
			}
			b = a.Append(nil)
		} else if digits, ok := strings.CutPrefix(sub.text, "0x"); ok {
			var err error
			if b, err = hex.DecodeString(digits); err != nil {
				return nil, wrongValue(sub.flag, sub.text, "text, or octets such as 0x0004000a")
			}
		}
		if len(b) > 255 {
			return nil, exitf(ExitUsage, "--%s has %d octets, and 255 have room", sub.flag, len(b))
		}
		agent = append(append(agent, sub.code, byte(len(b))), b...)
	}
	return agent, nil
}

// errTaken ends the reading of a capture when the packet was found.
var errTaken = errors.New("found")

// captured takes the message from a capture or from hexadecimal.
func (f *explainFlags) captured(g *globals) (*control.Question, error) {
	d := newDissector(g)
	var found *dissected
	d.take = func(p *dissected) error {
		if f.packet == p.number || f.packet == 0 && (f.hex != "" || fromClient(p.payload)) {
			found = p
			return errTaken
		}
		return nil
	}
	var err error
	if f.hex != "" {
		b, bad := hexLine(f.hex)
		if bad != "" || len(b) == 0 {
			return nil, wrongValue("hex", shorten(f.hex, 40), "a message in hexadecimal")
		}
		d.name = "--hex"
		err = d.packet(&dissected{datagram: fromBytes(b)})
	} else {
		var file *os.File
		if file, err = os.Open(f.pcap); err != nil {
			return nil, &ExitError{Code: ExitNotFound, Err: err}
		}
		defer file.Close()
		d.name = f.pcap
		err = d.stream(file)
	}
	switch {
	case found != nil:
	case err != nil:
		return nil, err
	case f.packet != 0:
		return nil, exitf(ExitNotFound, "%s has no packet %d: there are %d", d.name, f.packet, d.packets)
	default:
		return nil, exitf(ExitNotFound, "%s has no message of a client", d.name)
	}
	return questionOf(f, &found.datagram), nil
}

// fromClient reports whether b is a message that a client or its relay agent sends.
func fromClient(b []byte) bool {
	var v dhcp4.View
	return v.Parse(b) == nil && v.Op() == 1
}

// questionOf takes over what the frame said.
func questionOf(f *explainFlags, d *datagram) *control.Question {
	q := &control.Question{Message: d.payload, Interface: f.iface}
	for _, a := range []struct {
		text string
		to   *dhcp4.Addr
		port *uint16
	}{{d.src, &q.Src, &q.SrcPort}, {d.dst, &q.Dst, new(uint16)}} {
		if addr, port, ok := strings.Cut(a.text, ":"); ok {
			if ip, err := dhcp4.ParseAddr(addr); err == nil {
				*a.to = ip
			}
			fmt.Sscan(port, a.port)
		}
	}
	for _, m := range []struct {
		text string
		to   *wire.MAC
	}{{d.srcMAC, &q.SrcMAC}, {d.dstMAC, &q.DstMAC}} {
		if hw, err := net.ParseMAC(m.text); err == nil && len(hw) == 6 {
			*m.to = wire.MAC(hw)
		}
	}
	q.Unicast = q.Dst != 0 && q.Dst != dhcp4.Broadcast
	return q
}
