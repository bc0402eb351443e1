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
	labClient = wire.MAC{2, 0, 0x5e, 0, 0, 1}
	labServer = wire.MAC{2, 0, 0x5e, 0, 0, 2}
	labStart  = time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)
)

// labFrame is a message of the lab's two machines, after some seconds.
func labFrame(seconds float64, typ dhcp4.MessageType, h dhcp4.Header, src, dst string, opts ...dhcp4.Option) *netlab.Frame {
	f := &netlab.Frame{Time: labStart.Add(time.Duration(seconds * 1e9)), SrcMAC: labClient, DstMAC: labServer,
		Src: dhcp4.MustParseAddr(src), Dst: dhcp4.MustParseAddr(dst)}
	if h.Op == 2 {
		f.SrcMAC, f.DstMAC = labServer, labClient
	}
	h.HType, h.HLen = 1, 6
	opts = append([]dhcp4.Option{{Code: dhcp4.OptDHCPMessageType, Data: []byte{byte(typ)}}}, opts...)
	f.Payload, _ = dhcp4.AppendMessage(nil, &h, opts, nil, 576)
	return f
}

// Messages show the client's states, each once; what comes from the network is quoted.
func TestLabTimeline(t *testing.T) {
	addr := dhcp4.MustParseAddr("198.18.0.142")
	var b bytes.Buffer
	l := timeline{w: &b, start: labStart, client: labClient}
	l.header()
	l.frame(labFrame(0.001, dhcp4.Discover, dhcp4.Header{Op: 1}, "0.0.0.0", "255.255.255.255"))
	l.frame(labFrame(0.002, dhcp4.Offer, dhcp4.Header{Op: 2, YIAddr: addr}, "198.18.0.1", "198.18.0.142",
		dhcp4.Option{Code: dhcp4.OptDHCPLeaseTime, Data: []byte{0, 0, 0, 20}}))
	l.frame(labFrame(10, dhcp4.Request, dhcp4.Header{Op: 1, CIAddr: addr}, "198.18.0.142", "198.18.0.1"))
	l.frame(labFrame(12, dhcp4.Request, dhcp4.Header{Op: 1, CIAddr: addr}, "198.18.0.142", "198.18.0.1"))
	l.frame(labFrame(12.5, dhcp4.Nak, dhcp4.Header{Op: 2}, "198.18.0.1", "198.18.0.142",
		dhcp4.Option{Code: dhcp4.OptDHCPMessage, Data: []byte("no\x1b[31m")}))
	want := ` seconds    dhclient          lessor
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
	l := timeline{w: &b, width: 80, start: labStart, client: labClient}
	l.lab(labStart, "lessor serves %s, leases of 20 s", labFirst)
	l.lab(labStart, "the pool becomes %s (SIGHUP)", labSecond)
	times := []dhcp4.Option{{Code: dhcp4.OptDHCPLeaseTime, Data: []byte{0, 0, 0, 20}},
		{Code: dhcp4.OptDHCPRenewalTime, Data: []byte{0, 0, 0, 10}}, {Code: dhcp4.OptDHCPRebindingTime, Data: []byte{0, 0, 0, 17}}}
	l.frame(labFrame(10, dhcp4.Ack, dhcp4.Header{Op: 2, YIAddr: addr}, "198.18.0.1", "198.18.0.142", times...))
	l.frame(labFrame(10, dhcp4.Nak, dhcp4.Header{Op: 2}, "198.18.0.1", "198.18.0.142",
		dhcp4.Option{Code: dhcp4.OptDHCPMessage, Data: []byte(strings.Repeat("long ", 40))}))
	l.gone(labStart.Add(time.Minute), addr.Netip())
	for line := range strings.Lines(b.String()) {
		if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > 80 {
			t.Errorf("%d columns: %s", n, line)
		}
	}
}
