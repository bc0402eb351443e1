package client_test

import (
	"encoding/binary"
	"encoding/hex"
	"net"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"lessor/dhcp4"
	"lessor/internal/wire"
)

// macOf is the hardware address of the host with address a in all transcripts.
func macOf(a dhcp4.Addr) wire.MAC {
	b := a.As4()
	return wire.MAC{2, 0xaa, b[0], b[1], b[2], b[3]}
}

// newReply makes a packet: offer ADDR, ack ADDR, nak, or reply type=N. Without more it
// is a good answer of 192.0.2.1 to the last message. Arguments change that:
//
//	server=ADDR lease=SECONDS mask=BITS router=ADDR t1= t2= msg=TEXT
//	xid=other chaddr=MAC id=HEX op=N hlen=N from=MAC
//	no=54,51,1,3  options left out;  opt=119:0361..  options added;  cut=N  octets kept
func (h *harness) newReply(d *datadriven.TestData) *wire.Packet {
	t := h.t
	types := map[string]dhcp4.MessageType{"offer": dhcp4.Offer, "ack": dhcp4.Ack, "nak": dhcp4.Nak, "reply": 0}
	a := map[string]string{"server": "192.0.2.1", "lease": "3600", "mask": "24", "router": "192.0.2.1"}
	hd := dhcp4.Header{Op: 2, HType: 1, HLen: 6, XID: h.lastXID, GIAddr: 0}
	copy(hd.CHAddr[:], h.link.MAC[:])
	var more []dhcp4.Option
	for i, arg := range d.CmdArgs {
		val := strings.Join(arg.Vals, ",")
		switch {
		case i == 0 && len(arg.Vals) == 0:
			hd.YIAddr = dhcp4.MustParseAddr(arg.Key)
		case arg.Key == "opt":
			code, data, _ := strings.Cut(val, ":")
			more = append(more, dhcp4.Option{Code: dhcp4.Code(atoi(t, code)), Data: unhex(t, data)})
		default:
			a[arg.Key] = val
		}
	}
	typ := types[d.Cmd]
	if a["type"] != "" {
		typ = dhcp4.MessageType(atoi(t, a["type"]))
	}
	if a["xid"] != "" {
		hd.XID ^= 0x55
	}
	if a["chaddr"] != "" {
		m := mac(t, a["chaddr"])
		copy(hd.CHAddr[:], m[:])
	}
	if a["op"] != "" {
		hd.Op = uint8(atoi(t, a["op"]))
	}
	if a["hlen"] != "" {
		hd.HLen = uint8(atoi(t, a["hlen"]))
	}
	server := dhcp4.MustParseAddr(a["server"])
	opts := replyOptions(t, typ, server, a)
	for _, no := range strings.Split(a["no"], ",") {
		opts = slices.DeleteFunc(opts, func(o dhcp4.Option) bool { return strconv.Itoa(int(o.Code)) == no })
	}
	data, _ := dhcp4.AppendMessage(nil, &hd, append(opts, more...), nil, 60000)
	if a["cut"] != "" {
		data = data[:atoi(t, a["cut"])]
	}
	p := &wire.Packet{Link: h.link.ID, Data: data, SrcMAC: macOf(server), DstMAC: h.link.MAC, Src: server, Dst: hd.YIAddr, SrcPort: 67}
	if a["from"] != "" {
		p.SrcMAC = mac(t, a["from"])
	}
	return p
}

func replyOptions(t *testing.T, typ dhcp4.MessageType, server dhcp4.Addr, a map[string]string) []dhcp4.Option {
	number := func(s string) []byte {
		n, err := strconv.ParseUint(s, 10, 32)
		if err != nil {
			t.Fatal(err)
		}
		return binary.BigEndian.AppendUint32(nil, uint32(n))
	}
	opts := []dhcp4.Option{{Code: 53, Data: []byte{byte(typ)}}, {Code: 54, Data: server.Append(nil)}}
	if a["id"] != "" {
		opts = append(opts, dhcp4.Option{Code: 61, Data: unhex(t, a["id"])})
	}
	if a["msg"] != "" {
		opts = append(opts, dhcp4.Option{Code: 56, Data: []byte(a["msg"])})
	}
	if typ == dhcp4.Nak {
		return opts
	}
	opts = append(opts, dhcp4.Option{Code: 51, Data: number(a["lease"])},
		dhcp4.Option{Code: 1, Data: dhcp4.Prefix{Bits: atoi(t, a["mask"])}.Mask().Append(nil)},
		dhcp4.Option{Code: 3, Data: dhcp4.MustParseAddr(a["router"]).Append(nil)})
	if a["t1"] != "" {
		opts = append(opts, dhcp4.Option{Code: 58, Data: number(a["t1"])})
	}
	if a["t2"] != "" {
		opts = append(opts, dhcp4.Option{Code: 59, Data: number(a["t2"])})
	}
	return opts
}

func newARP(t *testing.T, d *datadriven.TestData) *wire.ARP {
	addr := func(i int) dhcp4.Addr { return dhcp4.MustParseAddr(d.CmdArgs[i].Key) }
	from := func(i int) wire.MAC {
		if len(d.CmdArgs) > i {
			return mac(t, d.CmdArgs[i].Key)
		}
		return macOf(addr(1))
	}
	switch d.CmdArgs[0].Key {
	case "reply":
		return &wire.ARP{Link: 7, Op: 2, SenderIP: addr(1), SenderMAC: from(2), TargetMAC: ownMAC}
	case "request":
		return &wire.ARP{Link: 7, Op: 1, SenderIP: addr(1), TargetIP: addr(2), SenderMAC: from(3)}
	case "probe":
		return &wire.ARP{Link: 7, Op: 1, TargetIP: addr(1), SenderMAC: from(2)}
	}
	t.Fatalf("%s: unknown ARP message", d.Pos)
	return nil
}

func atoi(t *testing.T, s string) int {
	t.Helper()
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func duration(t *testing.T, s string) time.Duration {
	t.Helper()
	d, err := time.ParseDuration(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func prefix(t *testing.T, s string) dhcp4.Prefix {
	t.Helper()
	if !strings.Contains(s, "/") {
		s += "/32"
	}
	p, err := dhcp4.ParsePrefix(s)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// mac reads an address; a number is the last octet of one.
func mac(t *testing.T, s string) wire.MAC {
	t.Helper()
	if len(s) <= 3 {
		return wire.MAC{2, 0, 0x5e, 0x10, 0, byte(atoi(t, s))}
	}
	hw, err := net.ParseMAC(s)
	if err != nil || len(hw) != 6 {
		t.Fatalf("MAC %q: %v", s, err)
	}
	return wire.MAC(hw)
}

func macText(m wire.MAC) string { return net.HardwareAddr(m[:]).String() }

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
