package server_test

import (
	"bytes"
	"testing"

	"lessor/dhcp4"
	"lessor/internal/config"
	"lessor/internal/server"
	"lessor/internal/wire"
)

// TestTable3 holds what RFC 2131 table 3 says of the fields and options of OFFER,
// ACK and NAK, with the deviations of docs/protocol.md.
func TestTable3(t *testing.T) {
	h := newHarness(t)
	c, problems := config.Parse("lessor.yaml", []byte(`
interfaces: [eth0]
conflict-check: off
options: {domain-name: example.net}
subnets:
  - subnet: 198.18.0.0/24
    pools: [198.18.0.100-198.18.0.109]
`))
	if c == nil {
		t.Fatal(problems)
	}
	h.core.SetPolicy(h.now, c.Policy(), &h.e)
	h.core.SetLinks(h.now, []wire.Link{{ID: 1, Name: "eth0", MTU: 1500, MAC: wire.MAC{2, 0, 0, 0, 0xff, 1},
		Addrs: []dhcp4.Prefix{{Addr: dhcp4.MustParseAddr("198.18.0.1"), Bits: 24}}}}, &h.e)

	var yiaddr dhcp4.Addr
	for _, step := range []struct {
		name   string
		typ    dhcp4.MessageType
		wanted string // "offered" for what the OFFER named
		sid    string
		ciaddr string
		want   dhcp4.MessageType
		lease  bool
		yiaddr bool
	}{
		{"DISCOVER", dhcp4.Discover, "", "", "", dhcp4.Offer, true, true},
		{"SELECTING", dhcp4.Request, "offered", "198.18.0.1", "", dhcp4.Ack, true, true},
		{"RENEWING", dhcp4.Request, "", "", "offered", dhcp4.Ack, true, true},
		{"INFORM", dhcp4.Inform, "", "", "198.18.0.20", dhcp4.Ack, false, false},
		{"wrong network", dhcp4.Request, "10.0.0.1", "", "", dhcp4.Nak, false, false},
	} {
		p := newPacket(t, step.typ)
		p.h.XID, p.h.Secs, p.h.Hops = 0xcafe0001, 7, 3
		p.h.Flags = 0x7fff // the reserved bits: ignored, but sent back as they came
		p.h.SIAddr, p.h.YIAddr = dhcp4.MustParseAddr("203.0.113.1"), dhcp4.MustParseAddr("203.0.113.2")
		copy(p.h.CHAddr[6:], "behindhlen")
		text := func(s string) string {
			if s == "offered" {
				return yiaddr.String()
			}
			return s
		}
		if step.wanted != "" {
			p.set("req", text(step.wanted))
		}
		if step.sid != "" {
			p.set("sid", step.sid)
		}
		if step.ciaddr != "" {
			p.set("ciaddr", text(step.ciaddr))
			p.set("from", text(step.ciaddr))
		}
		p.set("id", "ff00112233")
		p.set("params", "15,50,55,57,51,54")
		p.set("max", "1000")
		pkt := p.packet()
		h.e.Reset()
		h.core.Handle(h.now, &pkt, &h.e)
		if len(h.e.Replies) != 1 || h.e.Replies[0].Type != step.want {
			t.Fatalf("%s: replies %+v, want one %v", step.name, h.e.Replies, step.want)
		}
		if step.want == dhcp4.Offer {
			yiaddr = checkReply(t, step.name, &p.h, &h.e.Replies[0], true, true)
		} else {
			checkReply(t, step.name, &p.h, &h.e.Replies[0], step.lease, step.yiaddr)
		}
	}
}

// checkReply compares one reply with the table and returns its yiaddr.
func checkReply(t *testing.T, name string, asked *dhcp4.Header, r *server.Reply, withLease, withYIAddr bool) dhcp4.Addr {
	t.Helper()
	var v dhcp4.View
	if err := v.Parse(r.Data); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	ch := v.CHAddr16()
	for what, ok := range map[string]bool{
		"op is BOOTREPLY":                 v.Op() == 2,
		"htype and hlen as received":      v.HType() == asked.HType && v.HLen() == asked.HLen,
		"hops and secs are 0":             r.Data[3] == 0 && r.Data[8] == 0 && r.Data[9] == 0,
		"xid as received":                 v.XID() == asked.XID,
		"flags as received":               v.Flags() == asked.Flags,
		"reserved flags are ignored":      r.MAC == wire.MAC(asked.CHAddr[:6]),
		"giaddr as received":              v.GIAddr() == asked.GIAddr,
		"chaddr as received, all of it":   ch == asked.CHAddr,
		"ciaddr as received in an ACK":    v.CIAddr() == asked.CIAddr || r.Type != dhcp4.Ack,
		"ciaddr 0 in OFFER and NAK":       v.CIAddr() == 0 || r.Type == dhcp4.Ack,
		"yiaddr":                          (v.YIAddr() != 0) == withYIAddr,
		"siaddr is 0":                     v.SIAddr() == 0,
		"sname and file are empty":        bytes.Count(r.Data[44:236], []byte{0}) == 192,
		"a server identifier":             v.Has(dhcp4.OptDHCPServerIdentifier),
		"a lease time where there is one": v.Has(dhcp4.OptDHCPLeaseTime) == withLease,
		"no requested address":            !v.Has(dhcp4.OptDHCPRequestedAddress),
		"no parameter request list":       !v.Has(dhcp4.OptDHCPParameterRequestList),
		"no maximum size":                 !v.Has(dhcp4.OptDHCPMaxMessageSize),
		"the client identifier":           v.Has(dhcp4.OptDHCPClientIdentifier),
		"a message in a NAK alone":        v.Has(dhcp4.OptDHCPMessage) == (r.Type == dhcp4.Nak),
		"parameters, but not in a NAK":    v.Has(dhcp4.OptDomainName) == (r.Type != dhcp4.Nak),
		"END is the last option":          bytes.TrimRight(r.Data, "\x00")[len(bytes.TrimRight(r.Data, "\x00"))-1] == 255,
	} {
		if !ok {
			t.Errorf("%s: %v breaks the table: %s", name, r.Type, what)
		}
	}
	return v.YIAddr()
}

// TestOverloadedFields holds RFC 2131 4.1 paragraph 6 for messages that are written
// over old memory: which fields are used, where options begin and end, what fills the
// rest, and that no option runs from one field into the next.
func TestOverloadedFields(t *testing.T) {
	opts := []dhcp4.Option{{Code: dhcp4.OptDHCPMessageType, Data: []byte{2}}, {Code: dhcp4.OptDHCPServerIdentifier, Data: make([]byte, 4)},
		{Code: dhcp4.OptDHCPLeaseTime, Data: make([]byte, 4)}}
	for n := range 200 {
		more := append(opts[:3:3], dhcp4.Option{Code: dhcp4.OptHostName, Data: bytes.Repeat([]byte{'h'}, 1+n%63)},
			dhcp4.Option{Code: dhcp4.OptDomainName, Data: bytes.Repeat([]byte{'d'}, 1+n)})
		limit := 300 + n%5*20
		old := bytes.Repeat([]byte{0xa5}, 2048)
		out, _ := dhcp4.AppendMessage(old[:0], &dhcp4.Header{Op: 2}, more, nil, limit)
		options := walkField(t, "options", out[240:])
		used := byte(0)
		if i := bytes.IndexByte(options, byte(dhcp4.OptDHCPOptionOverload)); i >= 0 {
			used = out[240+bytes.Index(out[240:], []byte{byte(dhcp4.OptDHCPOptionOverload), 1})+2]
		}
		for _, f := range []struct {
			name  string
			bit   byte
			field []byte
		}{{"file", 1, out[108:236]}, {"sname", 2, out[44:108]}} {
			if used&f.bit != 0 {
				if codes := walkField(t, f.name, f.field); len(codes) == 0 {
					t.Errorf("%s is said to hold options and holds none", f.name)
				}
			} else if bytes.Count(f.field, []byte{0}) != len(f.field) {
				t.Errorf("%s is not said to hold options, and is not empty: %x", f.name, f.field)
			}
		}
		if used > 3 {
			t.Errorf("option 52 is %d", used)
		}
	}
}

// walkField checks one field that holds options, from its first octet to the PADs
// behind END, and returns the codes.
func walkField(t *testing.T, name string, field []byte) (codes []byte) {
	t.Helper()
	for i := 0; i < len(field); {
		switch code := field[i]; {
		case code == 255:
			if rest := field[i+1:]; bytes.Count(rest, []byte{0}) != len(rest) {
				t.Errorf("%s: not PAD behind END: %x", name, rest)
			}
			return codes
		case code == 0:
			t.Errorf("%s: PAD before END at octet %d", name, i)
			return codes
		case i+1 >= len(field) || i+2+int(field[i+1]) > len(field):
			t.Errorf("%s: option %d runs past the field", name, code)
			return codes
		default:
			codes = append(codes, code)
			i += 2 + int(field[i+1])
		}
	}
	t.Errorf("%s has no END: %x", name, field)
	return codes
}
