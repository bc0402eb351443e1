package link

import "lessor/internal/wire"

// Batch is what one Receive brought. The packets' Data lies in memory of the batch
// and is valid until the batch is given to Receive again. The zero Batch is ready
// for use; a batch belongs to one goroutine and serves one port at a time.
type Batch struct {
	Packets []wire.Packet
	ARPs    []wire.ARP
	Echoes  []wire.Echo           // answers only
	Dropped uint64                // frames that the socket lost for want of room since the last batch (PACKET_STATISTICS)
	Bad     [NumBadReasons]uint64 // frames refused by the frame checks since the last batch, by reason

	rx *rxRing // the kernel port's buffers
}

// Reset empties b and keeps its memory.
func (b *Batch) Reset() {
	b.Packets, b.ARPs, b.Echoes = b.Packets[:0], b.ARPs[:0], b.Echoes[:0]
	b.Dropped = 0
	b.Bad = [NumBadReasons]uint64{}
}

// Identity is whose frames a port takes: what Add needs to know of the interface
// and the host.
type Identity struct {
	Link wire.LinkID
	MAC  wire.MAC
	Port uint16 // UDP destination port

	// Locals are the host's addresses, of which a datagram must name one. nil is for a
	// client: it is answered at an address that it does not have yet, so the frame alone
	// says whose it is.
	Locals *Locals
}

// Addressed reports whether a frame to mac can be for a port of this identity.
func (id *Identity) Addressed(mac wire.MAC) bool {
	return id.Locals != nil || mac == id.MAC || mac == wire.BroadcastMAC
}

// ours reports whether p is for this host.
func (id *Identity) ours(p *wire.Packet) bool {
	if id.Locals != nil {
		return id.Locals.Ours(p.Dst)
	}
	return id.Addressed(p.DstMAC)
}

// Add checks frame and appends what it holds to b, or counts why it is refused.
// The packet's Data lies in frame.
func (b *Batch) Add(id *Identity, frame []byte, aux Aux) {
	typ, bad := etherType(frame, aux, id.MAC)
	switch {
	case bad != BadNone:
	case typ == etherTypeIPv4 && id.Locals != nil && isICMP(frame):
		e := wire.Echo{Link: id.Link}
		if bad = ParseEcho(frame, &e); bad == BadNone {
			if e.Reply && id.Locals.Ours(e.Dst) {
				b.Echoes = append(b.Echoes, e)
				return
			}
			bad = BadNotOurs
		}
	case typ == etherTypeIPv4:
		p := wire.Packet{Link: id.Link}
		if bad = ParseFrame(frame, aux, id.Port, &p); bad == BadNone {
			if id.ours(&p) {
				b.Packets = append(b.Packets, p)
				return
			}
			bad = BadNotOurs
		}
	case typ == etherTypeARP:
		a := wire.ARP{Link: id.Link}
		if bad = ParseARP(frame, &a); bad == BadNone {
			if id.Addressed(wire.MAC(frame[:6])) {
				b.ARPs = append(b.ARPs, a)
				return
			}
			bad = BadNotOurs
		}
	default:
		bad = BadEtherType
	}
	b.Bad[bad]++
}

// something reports whether the batch has anything to tell.
func (b *Batch) something() bool {
	return len(b.Packets) != 0 || len(b.ARPs) != 0 || len(b.Echoes) != 0 || b.Dropped != 0 || b.Bad != [NumBadReasons]uint64{}
}
