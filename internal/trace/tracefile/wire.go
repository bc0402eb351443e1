package tracefile

import (
	"bytes"
	"cmp"
	"slices"

	"lessor/dhcp4"
	"lessor/internal/lease"
	"lessor/internal/trace"
	"lessor/internal/wire"
)

// sameFrame is how long one frame may take from one capture to another, in nanoseconds.
const sameFrame = 20_000_000

// frames gives each server the frames that it sent or was handed, in the order of time.
func (m *Merge) frames() map[*origin][]trace.Entry {
	ports := m.ports()
	on := m.segmentsOf(ports)
	out := map[*origin][]trace.Entry{}
	type place struct {
		s       *origin
		segment int
	}
	last := map[place]int64{}
	left := make([]int, len(m.capture.segments))
	for i := range m.capture.frames {
		c := &m.capture.frames[i]
		used := false
		for _, s := range m.servers {
			at := place{s, c.segment}
			after, ok := last[at]
			if !ok {
				after = -1 << 62
			}
			t := s.axis.at(c.at, after)
			last[at] = max(after, t)
			if f := s.frame(c, t, ports[s], on[at.segment]); f != nil {
				out[s] = append(out[s], trace.Entry{T: t, Host: s.name, Now: s.instant(t, c.at), Body: f})
				used = true
			}
		}
		if !used {
			left[c.segment]++
		}
	}
	for i, name := range m.capture.segments {
		if len(on[i]) == 0 && len(m.servers) > 0 {
			m.note("%s: nothing in it is from or for the Ethernet address of an interface that a trace says is served; its %d frames are left out", name, left[i])
		}
	}
	for s, es := range out {
		slices.SortStableFunc(es, func(a, b trace.Entry) int { return cmp.Compare(a.T, b.T) })
		out[s] = m.once(es)
	}
	return out
}

// instant are the clocks of the server's machine at t.
func (s *origin) instant(t, wall int64) lease.Instant {
	base := int64(0)
	for _, r := range s.runs {
		if r.from <= t || base == 0 {
			base = r.from - r.first.M
		}
	}
	return lease.Instant{M: t - base, W: wall}
}

// ports are the interfaces of each server, in the order in which it said so.
func (m *Merge) ports() map[*origin][]port {
	out := map[*origin][]port{}
	for _, s := range m.servers {
		for _, r := range s.runs {
			for i := range r.entries {
				b, ok := r.entries[i].Body.(*trace.Served)
				if !ok {
					continue
				}
				for _, l := range b.Links {
					out[s] = append(out[s], port{l, r.entries[i].T})
				}
			}
		}
	}
	return out
}

// segmentsOf finds out which hardware addresses of servers each segment of the captures has.
func (m *Merge) segmentsOf(ports map[*origin][]port) []map[wire.MAC]bool {
	known := map[wire.MAC]bool{}
	for _, ps := range ports {
		for _, p := range ps {
			known[p.link.MAC] = true
		}
	}
	on := make([]map[wire.MAC]bool, len(m.capture.segments))
	for i := range on {
		on[i] = map[wire.MAC]bool{}
	}
	for i := range m.capture.frames {
		c := &m.capture.frames[i]
		for _, mac := range []wire.MAC{c.frame.SrcMAC, c.frame.DstMAC} {
			if known[mac] {
				on[c.segment][mac] = true
			}
		}
	}
	return on
}

// frame is c as the server sees it: sent by it, handed to it, or nil.
func (s *origin) frame(c *captured, t int64, ports []port, on map[wire.MAC]bool) *trace.Frame {
	var at *port
	for i := range ports {
		p := &ports[i]
		if p.from > t && at != nil {
			break
		}
		mac := p.link.MAC
		if c.frame.SrcMAC == mac || c.frame.DstMAC == mac || c.frame.DstMAC.IsMulticast() && on[mac] {
			at = p
		}
	}
	if at == nil {
		return nil
	}
	f := c.frame
	f.LinkID, f.Sent = at.link.ID, c.frame.SrcMAC == at.link.MAC
	switch {
	case f.ARP != nil:
		a := *f.ARP
		a.Link = at.link.ID
		f.ARP = &a
	case f.Sent && f.SrcPort != portServer, !f.Sent && f.DstPort != portServer:
		return nil
	case !f.Sent && !mine(f.Dst, ports):
		return nil
	}
	return &f
}

// mine reports whether a host with these interfaces takes a datagram to a for its own.
func mine(a dhcp4.Addr, ports []port) bool {
	if a == dhcp4.Broadcast {
		return true
	}
	for i := range ports {
		for _, p := range ports[i].link.Addrs {
			if b, ok := p.BroadcastAddr(); a == p.Addr || ok && a == b {
				return true
			}
		}
	}
	return false
}

// once leaves out what a second capture holds of the same frames.
func (m *Merge) once(es []trace.Entry) []trace.Entry {
	if len(m.capture.segments) < 2 {
		return es
	}
	type copyOf struct {
		frame *trace.Frame
		t     int64
		by    []string // segments that have it
	}
	var recent []copyOf
	out := es[:0]
	for _, e := range es {
		f := e.Body.(*trace.Frame)
		for len(recent) > 0 && recent[0].t < e.T-sameFrame {
			recent = recent[1:]
		}
		i := slices.IndexFunc(recent, func(c copyOf) bool {
			return !slices.Contains(c.by, f.Link) && same(c.frame, f)
		})
		if i >= 0 {
			recent[i].by = append(recent[i].by, f.Link)
			continue
		}
		recent = append(recent, copyOf{f, e.T, []string{f.Link}})
		out = append(out, e)
	}
	return out
}

func same(a, b *trace.Frame) bool {
	if a.SrcMAC != b.SrcMAC || a.DstMAC != b.DstMAC || a.Sent != b.Sent || a.Src != b.Src || a.Dst != b.Dst ||
		a.SrcPort != b.SrcPort || a.DstPort != b.DstPort || (a.ARP == nil) != (b.ARP == nil) {
		return false
	}
	return bytes.Equal(a.Payload, b.Payload) && (a.ARP == nil || *a.ARP == *b.ARP)
}
