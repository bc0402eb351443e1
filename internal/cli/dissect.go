package cli

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"strings"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"lessor/dhcp4"
)

// maxDissect limits what is read of a file that is no capture.
const maxDissect = 16 << 20

const dissectLong = `Print DHCP packets field by field, each with its offset; lines that begin with "!"
show what is wrong. The packets come from

  FILE   a capture (pcap or pcapng: Ethernet, Linux "any", raw IP), of which the UDP
         datagrams of ports 67 and 68 are shown; a text of hexadecimal; or the octets
         of one packet
  HEX    the hexadecimal itself, with or without spaces, colons and 0x
  -      standard input, any of the above

Hexadecimal may have offsets and characters around it, as hexdump -C, xxd, tcpdump -x
and Wireshark write it, and may begin at the Ethernet, IP or DHCP header.

The exit code is 3 when a packet is malformed.`

func newDissect(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "dissect [FILE|HEX|-]",
		Short: "Print DHCP packets from a capture, a file or hexadecimal",
		Long:  dissectLong,
		Example: `  lessor dissect trouble.pcap
  lessor dissect trouble.pcap -o jsonl
  tcpdump -i eth0 -w - port 67 or port 68 | lessor dissect -
  lessor dissect 01:01:06:00:39:03:f3:26:…`,
		RunE: func(_ *cobra.Command, args []string) error {
			d := newDissector(g)
			err := d.read(args)
			if closeErr := d.close(); err == nil {
				err = closeErr
			}
			if err != nil {
				return err
			}
			return d.verdict()
		},
		Args: cobra.ArbitraryArgs,
	}
}

// dissected is one packet as it is printed.
type dissected struct {
	datagram
	number  int
	time    time.Time // zero: not from a capture
	problem string    // why it is malformed, with the position; empty: it is not
}

// dissector prints packets as they are read and counts them.
type dissector struct {
	g         *globals
	list      *lister[*dissected] // nil: text
	w         *bufio.Writer
	name      string // of the input, for messages
	frames    int    // in the capture
	packets   int
	malformed int
	first     string                 // the first malformed packet
	take      func(*dissected) error // gets the packets instead of printing them
}

func newDissector(g *globals) *dissector {
	d := &dissector{g: g, w: bufio.NewWriter(g.stdout)}
	if g.output != "table" && g.output != "wide" {
		d.list = newLister(g, dissectColumns(g))
	}
	return d
}

func (d *dissector) close() error {
	if d.list != nil {
		return d.list.close()
	}
	return d.w.Flush()
}

// verdict is the error that gives the exit code after all has been printed.
func (d *dissector) verdict() error {
	switch {
	case d.packets == 0:
		return exitf(ExitNotFound, "no DHCP packet in %s: %d frames, none of them UDP on port 67 or 68 over IPv4", d.name, d.frames)
	case d.malformed > 0:
		return exitf(ExitBad, "%d of %d malformed; packet %s", d.malformed, d.packets, d.first)
	}
	return nil
}

// read finds out what the arguments name and prints the packets in it.
func (d *dissector) read(args []string) error {
	switch {
	case len(args) == 0 && typedAt(d.g.stdin):
		return &ExitError{Code: ExitUsage, Err: errors.New("nothing to dissect"), Hint: "Give a file, hexadecimal, or - to type or paste hexadecimal here (end it with Ctrl-D)."}
	case len(args) == 0 || len(args) == 1 && args[0] == "-":
		d.name = "standard input"
		return d.stream(d.g.stdin)
	case len(args) == 1:
		f, err := os.Open(args[0])
		if err == nil {
			defer f.Close()
			d.name = args[0]
			if st, err := f.Stat(); err == nil && st.IsDir() {
				return exitf(ExitUsage, "%s is a directory; give one file", args[0])
			}
			return d.stream(f)
		}
		if !errors.Is(err, fs.ErrNotExist) && !strings.Contains(err.Error(), "file name too long") {
			return &ExitError{Code: ExitFailed, Err: err}
		}
	}
	text := strings.Join(args, " ")
	d.name = "the argument"
	if b, bad := hexLine(text); bad == "" && len(b) > 0 {
		return d.packet(&dissected{datagram: fromBytes(b)})
	} else if len(args) > 1 || looksHex(text) {
		return exitf(ExitUsage, "%q is not hexadecimal", bad)
	}
	return &ExitError{Code: ExitNotFound, Err: fmt.Errorf("there is no file %s, and it is not hexadecimal either", shorten(printable(text), 80)),
		Hint: "Give a capture, a file of octets or hexadecimal, the hexadecimal itself, or - for standard input."}
}

// typedAt reports whether r is a terminal, where nobody may be typing.
func typedAt(r io.Reader) bool {
	f, ok := r.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// looksHex reports whether most of a text is hexadecimal, so that its author
// meant it to be.
func looksHex(s string) bool {
	n := 0
	for _, c := range s {
		if strings.ContainsRune("0123456789abcdefABCDEF:", c) {
			n++
		}
	}
	return len(s) >= 16 && n*10 >= len(s)*9
}

// stream reads a capture, hexadecimal text or the octets of one packet.
func (d *dissector) stream(r io.Reader) error {
	br := bufio.NewReader(r)
	magic, err := br.Peek(4)
	if len(magic) == 0 && err != nil {
		if err != io.EOF {
			return exitf(ExitFailed, "%s: %w", d.name, err)
		}
		return exitf(ExitFailed, "%s is empty", d.name)
	}
	switch string(magic) {
	case "\xa1\xb2\xc3\xd4", "\xd4\xc3\xb2\xa1", "\xa1\xb2\x3c\x4d", "\x4d\x3c\xb2\xa1":
		return d.pcap(br)
	case "\x0a\x0d\x0d\x0a":
		return d.pcapng(br)
	}
	b, err := io.ReadAll(io.LimitReader(br, maxDissect+1))
	if err != nil {
		return exitf(ExitFailed, "%s: %w", d.name, err)
	}
	if len(b) > maxDissect {
		return exitf(ExitFailed, "%s is no capture, and too long for anything else (more than %d MiB)", d.name, maxDissect>>20)
	}
	if !isText(b) {
		return d.packet(&dissected{datagram: fromBytes(b)})
	}
	packets, err := hexText(b)
	if err != nil {
		return exitf(ExitFailed, "%s: %w", d.name, err)
	}
	for _, p := range packets {
		if err := d.packet(&dissected{datagram: fromBytes(p)}); err != nil {
			return err
		}
	}
	return nil
}

func (d *dissector) pcap(r io.Reader) error {
	p, err := pcapgo.NewReader(r)
	if err != nil {
		return exitf(ExitFailed, "%s: not a readable pcap file: %w", d.name, err)
	}
	link := int(p.LinkType())
	return d.capture(func() ([]byte, gopacket.CaptureInfo, int, error) {
		b, ci, err := p.ReadPacketData()
		return b, ci, link, err
	})
}

func (d *dissector) pcapng(r io.Reader) error {
	p, err := pcapgo.NewNgReader(r, pcapgo.NgReaderOptions{WantMixedLinkType: true})
	if err != nil {
		return exitf(ExitFailed, "%s: not a readable pcapng file: %w", d.name, err)
	}
	return d.capture(func() ([]byte, gopacket.CaptureInfo, int, error) {
		b, ci, err := p.ReadPacketData()
		link := -1
		if len(ci.AncillaryData) > 0 {
			if t, ok := ci.AncillaryData[0].(layers.LinkType); ok {
				link = int(t)
			}
		}
		return b, ci, link, err
	})
}

// capture prints the DHCP packets of a capture, frame by frame.
func (d *dissector) capture(next func() ([]byte, gopacket.CaptureInfo, int, error)) error {
	unknown := make(map[int]int)
	for {
		b, ci, link, err := next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return exitf(ExitFailed, "%s: after frame %d: %w", d.name, d.frames, err)
		}
		d.frames++
		dg, ok := fromFrame(link, b)
		if !ok {
			if !knownLink(link) {
				unknown[link]++
			}
			continue
		}
		if err := d.packet(&dissected{datagram: dg, time: ci.Timestamp}); err != nil {
			return err
		}
	}
	for link, n := range unknown {
		d.g.say("%d frames of link type %d were left out: dissect reads Ethernet, Linux \"any\" and raw IP", n, link)
	}
	return nil
}

func knownLink(link int) bool {
	switch link {
	case linkNull, linkEthernet, linkRaw, linkRaw12, linkRaw14, linkLoop, linkSLL, linkIPv4, linkSLL2:
		return true
	}
	return false
}

// packet prints one packet.
func (d *dissector) packet(p *dissected) error {
	d.packets++
	p.number = d.packets
	if d.take != nil {
		return d.take(p)
	}
	var v dhcp4.View
	if err := v.Parse(p.payload); err != nil {
		p.problem = err.Error()
	}
	if p.fault != "" {
		p.problem = fmt.Sprintf("octet %d of the frame: %s", p.faultAt, p.fault)
	}
	if p.problem != "" {
		if d.malformed++; d.malformed == 1 {
			d.first = fmt.Sprintf("%d: %s", p.number, p.problem)
		}
	}
	if d.list != nil {
		return d.list.add(p)
	}
	return d.text(p)
}

// text writes a packet as text, "!" lines in the colour of bad news.
func (d *dissector) text(p *dissected) error {
	if p.number > 1 {
		d.w.WriteByte('\n')
	}
	if head := p.head(d.g); head != "" {
		d.w.WriteString(paint(d.g.colored, dim, head))
		d.w.WriteByte('\n')
	}
	if p.fault != "" {
		fmt.Fprintln(d.w, paint(d.g.colored, bad, fmt.Sprintf("!frame %d  %s", p.faultAt, p.fault)))
	}
	dump := dhcp4.AppendDump(nil, p.payload)
	for i, line := range bytes.Split(bytes.TrimSuffix(dump, []byte("\n")), []byte("\n")) {
		s := plain
		switch {
		case i == 0:
			s = bold
		case line[0] == '!':
			s = bad
		}
		d.w.WriteString(paint(d.g.colored, s, string(line)))
		d.w.WriteByte('\n')
	}
	return d.w.Flush()
}

// head is the line about the frame; empty when nothing is known of it.
func (p *dissected) head(g *globals) string {
	var parts []string
	if !p.time.IsZero() {
		parts = append(parts, p.stamp(g))
	}
	if p.src != "" {
		parts = append(parts, p.src+" > "+p.dst)
	}
	switch {
	case p.srcMAC != "" && p.dstMAC != "":
		parts = append(parts, p.srcMAC+" > "+p.dstMAC)
	case p.srcMAC != "":
		parts = append(parts, "from "+p.srcMAC)
	}
	if p.note != "" {
		parts = append(parts, strings.TrimSpace(p.note))
	}
	if len(parts) == 0 && p.number == 1 {
		return ""
	}
	return fmt.Sprintf("packet %d  %s", p.number, strings.Join(parts, "  "))
}

// stamp is the packet's time to the microsecond.
func (p *dissected) stamp(g *globals) string {
	if p.time.IsZero() {
		return ""
	}
	t := p.time.Local()
	if g.utc {
		t = t.UTC()
	}
	return t.Format("2006-01-02T15:04:05.000000Z07:00")
}

// MarshalJSON gives the packet's place, the frame's facts, and under message what
// dhcp4.AppendJSON says.
func (p *dissected) MarshalJSON() ([]byte, error) {
	out := struct {
		Packet    int             `json:"packet"`
		Time      string          `json:"time,omitempty"`
		Source    string          `json:"source,omitempty"`
		Dest      string          `json:"destination,omitempty"`
		SourceMAC string          `json:"source-mac,omitempty"`
		DestMAC   string          `json:"destination-mac,omitempty"`
		Note      string          `json:"note,omitempty"`
		Problem   string          `json:"problem,omitempty"`
		Message   json.RawMessage `json:"message"`
	}{p.number, "", p.src, p.dst, p.srcMAC, p.dstMAC, strings.TrimSpace(p.note), p.problem, dhcp4.AppendJSON(nil, p.payload)}
	if !p.time.IsZero() {
		out.Time = p.time.UTC().Format(time.RFC3339Nano)
	}
	return json.Marshal(out)
}

// dissectColumns are the columns of CSV: one line for each packet.
func dissectColumns(g *globals) []column[*dissected] {
	header := func(f func(v *dhcp4.View) string) func(*dissected) cell {
		return func(p *dissected) cell {
			var v dhcp4.View
			if v.Parse(p.payload) != nil {
				return cell{}
			}
			return cell{text: f(&v)}
		}
	}
	return []column[*dissected]{
		{name: "PACKET", cell: func(p *dissected) cell { return cell{text: fmt.Sprint(p.number)} }},
		{name: "TIME", cell: func(p *dissected) cell { return cell{text: p.stamp(g)} }},
		{name: "SOURCE", cell: func(p *dissected) cell { return cell{text: p.src} }},
		{name: "DESTINATION", cell: func(p *dissected) cell { return cell{text: p.dst} }},
		{name: "TYPE", cell: header(func(v *dhcp4.View) string { return v.MessageType().String() })},
		{name: "XID", cell: header(func(v *dhcp4.View) string { return fmt.Sprintf("0x%08x", v.XID()) })},
		{name: "CHADDR", cell: header(func(v *dhcp4.View) string { return net.HardwareAddr(v.CHAddr()).String() })},
		{name: "CIADDR", cell: header(func(v *dhcp4.View) string { return v.CIAddr().String() })},
		{name: "YIADDR", cell: header(func(v *dhcp4.View) string { return v.YIAddr().String() })},
		{name: "GIADDR", cell: header(func(v *dhcp4.View) string { return v.GIAddr().String() })},
		{name: "PROBLEM", cell: func(p *dissected) cell { return cell{text: p.problem} }},
	}
}
