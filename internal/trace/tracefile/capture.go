package tracefile

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"

	"lessor/internal/trace"
)

// captured is one DHCP or ARP frame of a capture.
type captured struct {
	at      int64 // wall clock of the machine that captured it, nanoseconds since the Unix epoch
	segment int   // index of the capture's segment
	frame   trace.Frame
}

// capture is what was read of captures: the frames in the order of the files, and the
// segments that they were captured on, one for each interface of each file.
type capture struct {
	frames   []captured
	segments []string
	notes    []string
}

// source reads one frame: its octets, what is known of it, the link type, and the number and
// name of the interface in the file.
type source func() (b []byte, ci gopacket.CaptureInfo, link layers.LinkType, ifname string, err error)

// read reads a capture in pcap or pcapng format to its end.
func (c *capture) read(name string, r io.Reader) error {
	br := bufio.NewReaderSize(r, 1<<16)
	next, err := open(br)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	var skipped [numSkips]int
	links := map[layers.LinkType]int{}
	segments := map[string]int{}
	frames := 0
	for {
		b, ci, linkType, ifname, err := next()
		if errors.Is(err, io.EOF) {
			break
		}
		if errors.Is(err, io.ErrUnexpectedEOF) {
			c.note("%s: the last frame is cut short; the capture was not ended properly", name)
			break
		}
		if err != nil {
			return fmt.Errorf("%s: after frame %d: %w", name, frames, err)
		}
		frames++
		if linkType != layers.LinkTypeEthernet {
			links[linkType]++
			continue
		}
		f := captured{at: ci.Timestamp.UnixNano()}
		if s := parseFrame(b, ci.CaptureLength < ci.Length, &f.frame); s != skipNone {
			skipped[s]++
			continue
		}
		seg, ok := segments[ifname]
		if !ok {
			seg = len(c.segments)
			segments[ifname] = seg
			c.segments = append(c.segments, segmentName(name, ifname))
		}
		f.segment, f.frame.Link = seg, c.segments[seg]
		c.frames = append(c.frames, f)
	}
	c.tell(name, frames, skipped, links)
	return nil
}

func segmentName(file, ifname string) string {
	if file = filepath.Base(file); ifname == "" {
		return file
	}
	return file + ":" + ifname
}

func (c *capture) note(format string, args ...any) {
	c.notes = append(c.notes, fmt.Sprintf(format, args...))
}

// tell notes what of a capture cannot be judged.
func (c *capture) tell(name string, frames int, skipped [numSkips]int, links map[layers.LinkType]int) {
	if n := skipped[skipCut]; n > 0 {
		c.note("%s: DHCP frames cut short: %d. They are left out; capture whole frames (tcpdump -s 0)", name, n)
	}
	if n := skipped[skipVLAN]; n > 0 {
		c.note("%s: frames of VLANs: %d. They are left out, for a server does not get them; capture on the VLAN's own interface", name, n)
	}
	if n := skipped[skipDamaged]; n > 0 {
		c.note("%s: DHCP frames with a wrong length or checksum: %d. They are left out, as the server leaves them", name, n)
	}
	other := 0
	for _, n := range links {
		other += n
	}
	if other > 0 {
		c.note("%s: frames that are not Ethernet: %d of %d. They are left out; capture on one interface, not on \"any\"", name, other, frames)
	}
}

// open finds out the format of a capture.
func open(br *bufio.Reader) (source, error) {
	magic, err := br.Peek(4)
	if err != nil {
		return nil, errors.New("no capture: it is shorter than 4 octets")
	}
	switch string(magic) {
	case "\xa1\xb2\xc3\xd4", "\xd4\xc3\xb2\xa1", "\xa1\xb2\x3c\x4d", "\x4d\x3c\xb2\xa1":
		p, err := pcapgo.NewReader(br)
		if err != nil {
			return nil, fmt.Errorf("not a readable pcap file: %w", err)
		}
		return func() ([]byte, gopacket.CaptureInfo, layers.LinkType, string, error) {
			b, ci, err := p.ReadPacketData()
			return b, ci, p.LinkType(), "", err
		}, nil
	case "\x0a\x0d\x0d\x0a":
		p, err := pcapgo.NewNgReader(br, pcapgo.NgReaderOptions{WantMixedLinkType: true})
		if err != nil {
			return nil, fmt.Errorf("not a readable pcapng file: %w", err)
		}
		return func() (b []byte, ci gopacket.CaptureInfo, t layers.LinkType, ifname string, err error) {
			b, ci, err = p.ReadPacketData()
			if err != nil {
				return nil, ci, 0, "", err
			}
			if i, err := p.Interface(ci.InterfaceIndex); err == nil {
				t, ifname = i.LinkType, i.Name
			}
			return b, ci, t, ifname, nil
		}, nil
	}
	return nil, fmt.Errorf("no capture: it begins with %x, neither pcap nor pcapng", magic)
}
