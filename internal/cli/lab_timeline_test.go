package cli

import (
	"bytes"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"lessor/dhcp4"
	"lessor/internal/netlab"
	"lessor/internal/wire"
)

var (
	clientMAC = wire.MAC{2, 0, 0x5e, 0, 0, 1}
	serverMAC = wire.MAC{2, 0, 0x5e, 0, 0, 2}
	labStart  = time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)
)

// labFrame is a message of the lab's two machines, after some seconds.
func labFrame(seconds float64, typ dhcp4.MessageType, h dhcp4.Header, src, dst string, opts ...dhcp4.Option) *netlab.Frame {
	f := &netlab.Frame{Time: labStart.Add(time.Duration(seconds * 1e9)), SrcMAC: clientMAC, DstMAC: serverMAC,
		Src: dhcp4.MustParseAddr(src), Dst: dhcp4.MustParseAddr(dst)}
	if h.Op == 2 {
		f.SrcMAC, f.DstMAC = serverMAC, clientMAC
	}
	h.HType, h.HLen = 1, 6
	opts = append([]dhcp4.Option{{Code: dhcp4.OptDHCPMessageType, Data: []byte{byte(typ)}}}, opts...)
	f.Payload, _ = dhcp4.AppendMessage(nil, &h, opts, nil, 576)
	return f
}

// labARP is an ARP message on the lab's switch.
func labARP(seconds float64, op uint16, from wire.MAC, sender, target dhcp4.Addr) *netlab.Frame {
	return &netlab.Frame{Time: labStart.Add(time.Duration(seconds * 1e9)), From: "printer", SrcMAC: from,
		ARP: &wire.ARP{Op: op, SenderMAC: from, SenderIP: sender, TargetIP: target}}
}

// The check of an address shows as it happens: probe, answer, DECLINE; ordinary ARP
// does not show.
func TestLabTimelineConflict(t *testing.T) {
	addr, other := dhcp4.MustParseAddr("198.18.0.142"), dhcp4.MustParseAddr("198.18.0.7")
	var b bytes.Buffer
	l := timeline{w: &b, width: 80, start: labStart, client: clientMAC, state: "REQUESTING"}
	l.frame(labARP(1, 1, clientMAC, 0, addr))
	l.frame(labARP(1.1, 2, serverMAC, other, 0))
	l.frame(labARP(1.1, 2, serverMAC, addr, 0))
	l.frame(labFrame(1.2, dhcp4.Decline, dhcp4.Header{Op: 1}, "0.0.0.0", "255.255.255.255",
		dhcp4.Option{Code: dhcp4.OptDHCPRequestedAddress, Data: addr.Append(nil)}))
	l.frame(labARP(1.3, 2, serverMAC, addr, 0))
	l.frame(labARP(1.4, 1, clientMAC, addr, addr))
	want := `   1.000  ● CHECKING   asks by ARP whether anybody has the address
   1.000    ARP probe ─────────────▸  who has 198.18.0.142?
   1.100    ◂─────────────────── ARP  198.18.0.142 is mine, says the printer
   1.200    DECLINE ───────────────▸  198.18.0.142 is taken
   1.200  ● INIT       somebody has the address: asks again in 10 s
   1.400    ARP ───────────────────▸  198.18.0.142 is mine
`
	if b.String() != want {
		t.Errorf("got:\n%s\nwant:\n%s", b.String(), want)
	}
}

// Messages show the client's states, each once; what comes from the network is quoted.
func TestLabTimeline(t *testing.T) {
	addr := dhcp4.MustParseAddr("198.18.0.142")
	var b bytes.Buffer
	l := timeline{w: &b, start: labStart, client: clientMAC}
	l.header()
	l.frame(labFrame(0.001, dhcp4.Discover, dhcp4.Header{Op: 1}, "0.0.0.0", "255.255.255.255"))
	l.frame(labFrame(0.002, dhcp4.Offer, dhcp4.Header{Op: 2, YIAddr: addr}, "198.18.0.1", "198.18.0.142",
		dhcp4.Option{Code: dhcp4.OptDHCPLeaseTime, Data: []byte{0, 0, 0, 20}}))
	l.frame(labFrame(10, dhcp4.Request, dhcp4.Header{Op: 1, CIAddr: addr}, "198.18.0.142", "198.18.0.1"))
	l.frame(labFrame(12, dhcp4.Request, dhcp4.Header{Op: 1, CIAddr: addr}, "198.18.0.142", "198.18.0.1"))
	l.frame(labFrame(12.5, dhcp4.Nak, dhcp4.Header{Op: 2}, "198.18.0.1", "198.18.0.142",
		dhcp4.Option{Code: dhcp4.OptDHCPMessage, Data: []byte("no\x1b[31m")}))
	want := ` seconds    client           servers
   0.001  ● SELECTING  asks every server on the link
   0.001    DISCOVER ──────────────▸  any address?                             0.0.0.0 → 255.255.255.255
   0.002    ◂───────────────── OFFER  198.18.0.142 for 20 s                    198.18.0.1 → 198.18.0.142

  10.000  ● RENEWING   half of the lease is over: asks its server alone
  10.000    REQUEST ───────────────▸  198.18.0.142?                            198.18.0.142 → 198.18.0.1
  12.000    REQUEST ───────────────▸  198.18.0.142?                            198.18.0.142 → 198.18.0.1
  12.500    ◂─────────────────── NAK  no: "no\x1b[31m"                         198.18.0.1 → 198.18.0.142
  12.500  ● INIT       the address must not be used any more
`
	if b.String() != want {
		t.Errorf("got:\n%s\nwant:\n%s", b.String(), want)
	}
	if l.messages != 5 {
		t.Errorf("%d messages counted, want 5", l.messages)
	}
}

// On a terminal of 80 columns every line of the story fits.
func TestLabTimelineFitsEightyColumns(t *testing.T) {
	addr := dhcp4.MustParseAddr("198.18.0.142")
	var b bytes.Buffer
	l := timeline{w: &b, width: 80, start: labStart, client: clientMAC}
	l.lab(labStart, "%s has %s and serves %s", "server-1", "198.18.0.1", "198.18.0.100-198.18.0.119")
	l.lab(labStart, "the pool of %s becomes %s (SIGHUP)", "server-1", "198.18.0.120-198.18.0.139")
	times := []dhcp4.Option{{Code: dhcp4.OptDHCPLeaseTime, Data: []byte{0, 0, 0, 20}},
		{Code: dhcp4.OptDHCPRenewalTime, Data: []byte{0, 0, 0, 10}}, {Code: dhcp4.OptDHCPRebindingTime, Data: []byte{0, 0, 0, 17}}}
	l.frame(labFrame(10, dhcp4.Ack, dhcp4.Header{Op: 2, YIAddr: addr}, "198.18.0.1", "198.18.0.142", times...))
	l.frame(labFrame(10, dhcp4.Nak, dhcp4.Header{Op: 2}, "198.18.0.1", "198.18.0.142",
		dhcp4.Option{Code: dhcp4.OptDHCPMessage, Data: []byte(strings.Repeat("long ", 40))}))
	l.frame(labARP(11, 1, clientMAC, 0, addr))
	l.frame(labARP(11, 2, serverMAC, addr, addr))
	l.gone(labStart.Add(time.Minute), addr.Netip())
	for line := range strings.Lines(b.String()) {
		if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > 80 {
			t.Errorf("%d columns: %s", n, line)
		}
	}
}
