package server_test

import (
	"encoding/binary"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"lessor/dhcp4"
	"lessor/internal/wire"
)

var messageTypes = map[string]dhcp4.MessageType{
	"discover": dhcp4.Discover, "request": dhcp4.Request, "decline": dhcp4.Decline,
	"release": dhcp4.Release, "inform": dhcp4.Inform, "bootp": 0, "offer": dhcp4.Offer, "ack": dhcp4.Ack,
}

// packets handles one packet that the command line describes:
//
//	hw=N|MAC (default 1)  chaddr; the source of the frame too unless mac= says otherwise
//	id=HEX req=ADDR sid=ADDR lease=SECONDS host=TEXT params=1,3,6 max=N agent=HEX opt=CODE:HEX
//	ciaddr= giaddr= xid= bcast rapid htype=N
//	from=ADDR to=ADDR mac=  the packet's source and destination; with to= the frame is unicast
//	on=LINK times=N sport=N text=CODE:TEXT
func (h *harness) packets(d *datadriven.TestData) {
	typ, ok := messageTypes[d.Cmd]
	if !ok {
		h.t.Fatalf("%s: no such command", d.Cmd)
	}
	p := newPacket(h.t, typ)
	for _, arg := range d.CmdArgs {
		p.set(arg.Key, strings.Join(arg.Vals, ","))
	}
	for range max(1, p.times) {
		pkt := p.packet()
		if p.times > 1 {
			h.core.Handle(h.now, &pkt, &h.e)
		} else {
			explained(h.t, h.core, h.now, &pkt, &h.e)
		}
	}
}

type packet struct {
	t     *testing.T
	typ   dhcp4.MessageType
	h     dhcp4.Header
	opts  []dhcp4.Option
	agent []byte
	meta  wire.Packet
	macIs bool
	times int
}

func newPacket(t *testing.T, typ dhcp4.MessageType) *packet {
	p := &packet{t: t, typ: typ}
	p.h = dhcp4.Header{Op: 1, HType: 1, HLen: 6, XID: 0x1001}
	p.meta = wire.Packet{Link: 1, Dst: dhcp4.Broadcast, DstMAC: wire.BroadcastMAC, SrcPort: 68}
	if typ != 0 {
		p.opts = append(p.opts, dhcp4.Option{Code: dhcp4.OptDHCPMessageType, Data: []byte{byte(typ)}})
	}
	p.set("hw", "1")
	return p
}

func (p *packet) opt(c dhcp4.Code, data []byte) {
	p.opts = append(p.opts, dhcp4.Option{Code: c, Data: data})
}

func (p *packet) set(key, val string) {
	addr := func() dhcp4.Addr { return dhcp4.MustParseAddr(val) }
	switch key {
	case "hw":
		m := mac(p.t, val)
		copy(p.h.CHAddr[:], m[:])
		if !p.macIs {
			p.meta.SrcMAC = m
		}
	case "mac":
		p.meta.SrcMAC, p.macIs = mac(p.t, val), true
	case "id":
		p.opt(dhcp4.OptDHCPClientIdentifier, unhex(p.t, val))
	case "req":
		p.opt(dhcp4.OptDHCPRequestedAddress, addr().Append(nil))
	case "sid":
		p.opt(dhcp4.OptDHCPServerIdentifier, addr().Append(nil))
	case "lease":
		p.opt(dhcp4.OptDHCPLeaseTime, binary.BigEndian.AppendUint32(nil, uint32(atoi(p.t, val))))
	case "max":
		p.opt(dhcp4.OptDHCPMaxMessageSize, binary.BigEndian.AppendUint16(nil, uint16(atoi(p.t, val))))
	case "host":
		p.opt(dhcp4.OptHostName, []byte(val))
	case "params":
		var codes []byte
		for _, s := range strings.Split(val, ",") {
			codes = append(codes, byte(atoi(p.t, s)))
		}
		p.opt(dhcp4.OptDHCPParameterRequestList, codes)
	case "opt":
		code, data, _ := strings.Cut(val, ":")
		p.opt(dhcp4.Code(atoi(p.t, code)), unhex(p.t, data))
	case "agent":
		p.agent = unhex(p.t, val)
	case "rapid":
		p.opt(dhcp4.OptRapidCommit, nil)
	case "bcast":
		p.h.Flags = dhcp4.FlagBroadcast
	case "ciaddr":
		p.h.CIAddr = addr()
	case "giaddr":
		p.h.GIAddr = addr()
		p.meta.Src, p.meta.SrcPort = addr(), 67
		p.meta.Dst, p.meta.DstMAC = dhcp4.MustParseAddr("198.18.0.1"), wire.MAC{2, 0, 0, 0, 0xff, 1}
		p.meta.SrcMAC, p.macIs = wire.MAC{2, 0, 0, 0, 0xee, 1}, true
	case "xid":
		p.h.XID = uint32(atoi(p.t, val))
	case "htype":
		p.h.HType = byte(atoi(p.t, val))
	case "hlen":
		p.h.HLen = byte(atoi(p.t, val))
	case "op":
		p.h.Op = byte(atoi(p.t, val))
	case "from":
		p.meta.Src = addr()
	case "to":
		p.meta.Dst, p.meta.DstMAC = addr(), wire.MAC{2, 0, 0, 0, 0xff, 1}
	case "on":
		p.meta.Link = wire.LinkID(atoi(p.t, val))
	case "sport":
		p.meta.SrcPort = uint16(atoi(p.t, val))
	case "text": // an option with text: CODE:TEXT
		code, data, _ := strings.Cut(val, ":")
		p.opt(dhcp4.Code(atoi(p.t, code)), []byte(data))
	case "times":
		p.times = atoi(p.t, val)
	default:
		p.t.Fatalf("%s: no such packet argument", key)
	}
}

func (p *packet) packet() wire.Packet {
	m := p.meta
	m.Data, _ = dhcp4.AppendMessage(nil, &p.h, p.opts, p.agent, 1472)
	return m
}
