package dhcp4

import "testing"

// benchReply is a reply as a server with a usual configuration writes it.
var (
	benchHeader = Header{Op: 2, HType: 1, HLen: 6, XID: 0x1234, YIAddr: MustParseAddr("192.0.2.100"), CHAddr: [16]byte{2, 0, 0x5e, 0x10, 0, 1}}
	benchReply  = []Option{
		{OptDHCPMessageType, []byte{5}},
		{OptDHCPServerIdentifier, []byte{192, 0, 2, 1}},
		{OptDHCPLeaseTime, []byte{0, 0, 0xa8, 0xc0}},
		{OptSubnetMask, []byte{255, 255, 255, 0}},
		{OptRouters, []byte{192, 0, 2, 1}},
		{OptDomainNameServers, []byte{192, 0, 2, 53, 198, 51, 100, 53}},
		{OptDomainName, []byte("example.net")},
		{OptDHCPRenewalTime, []byte{0, 0, 0x54, 0x60}},
		{OptDHCPRebindingTime, []byte{0, 0, 0x93, 0xa8}},
		{OptDHCPClientIdentifier, []byte{1, 2, 0, 0x5e, 0x10, 0, 1}},
	}
)

// benchRequest is a REQUEST as a usual client sends it.
func benchRequest() []byte {
	b, _ := AppendMessage(nil, &Header{Op: 1, HType: 1, HLen: 6, XID: 0x1234, CHAddr: benchHeader.CHAddr, SName: []byte{}, File: []byte{}}, []Option{
		{OptDHCPMessageType, []byte{3}},
		{OptDHCPClientIdentifier, []byte{1, 2, 0, 0x5e, 0x10, 0, 1}},
		{OptDHCPRequestedAddress, []byte{192, 0, 2, 100}},
		{OptDHCPServerIdentifier, []byte{192, 0, 2, 1}},
		{OptHostName, []byte("client-1")},
		{OptDHCPMaxMessageSize, []byte{5, 0xdc}},
		{OptDHCPParameterRequestList, []byte{1, 3, 6, 15, 26, 28, 42, 51, 58, 59, 119, 121}},
	}, nil, 576)
	return b
}

func BenchmarkParse(b *testing.B) {
	msg := benchRequest()
	var v View
	b.ReportAllocs()
	for b.Loop() {
		if v.Parse(msg) != nil {
			b.Fatal("does not parse")
		}
	}
}

func BenchmarkParseMalformed(b *testing.B) {
	msg := append(benchRequest()[:offOptions], 53, 1, 1, 12, 200)
	var v View
	b.ReportAllocs()
	for b.Loop() {
		if v.Parse(msg) == nil {
			b.Fatal("parses")
		}
	}
}

func BenchmarkParseAndAppend(b *testing.B) {
	msg := benchRequest()
	dst := make([]byte, 0, 1500)
	var v View
	b.ReportAllocs()
	for b.Loop() {
		if v.Parse(msg) != nil || v.MessageType() != Request {
			b.Fatal("not a REQUEST")
		}
		id, _ := v.Get(OptDHCPClientIdentifier, nil)
		h := benchHeader
		h.XID, h.CHAddr = v.XID(), v.CHAddr16()
		benchReply[9].Data = id
		out, dropped := AppendMessage(dst, &h, benchReply, nil, 548)
		if dropped != 0 || len(out) < MinReply {
			b.Fatal("incomplete")
		}
	}
}
