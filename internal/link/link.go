// Package link moves DHCP and ARP messages over interfaces: an AF_PACKET socket
// to receive and to send frames, UDP to hold port 67 and for what is routed,
// netlink to learn which interfaces are ready. memnet, beside it, keeps the same
// contract in memory; one conformance suite holds both to it.
package link

import (
	"context"

	"lessor/internal/wire"
)

// Batch is what one Receive brought. The packets' Data lies in memory of the batch
// and is valid until the batch is given to Receive again.
type Batch struct {
	Packets []wire.Packet
	ARPs    []wire.ARP
	Dropped uint64                // frames that the socket lost for want of room since the last batch (SO_RXQ_OVFL, PACKET_STATISTICS)
	Bad     [NumBadReasons]uint64 // frames refused by the frame checks since the last batch, by reason
	// (private: buffers)
}

// BadReason says why a frame was not a DHCP message for us.
type BadReason uint8

const NumBadReasons = 16 // the table of reasons and their names is to be written

// Port is the socket set of one interface. Receive is called by one goroutine;
// Send and SendARP by one other; Close by any. After Close every pending and
// later call returns net.ErrClosed.
type Port interface {
	// Receive blocks until there is at least one message and returns all that are
	// waiting, up to the batch's capacity (64). A network that went down is an error.
	Receive(b *Batch) error
	// Send sends all messages in order, with as few system calls as it can. Messages that
	// the kernel refuses do not stop the later ones; the first such error is
	// returned, wrapped with what was attempted, and failed counts them.
	Send(out []wire.Send) (failed int, err error)
	SendARP(as []wire.ARP) error
	Close() error
}

// Net is where ports come from: the kernel, or memnet.
type Net interface {
	// Watch reports, at once and after every change, the links of names that are ready
	// to be served; it ends with ctx. missing are the names for which no interface
	// exists at all, each with the existing name closest to it ("" if none is close).
	Watch(ctx context.Context, names []string, changed func(ready []wire.Link, missing []Missing)) error
	// Open opens the socket set on a ready link, for the server's port 67. Errors
	// carry what to do: port taken (by whom, if /proc tells), no capability.
	Open(l wire.Link) (Port, error)
}

// Missing is a configured interface that does not exist.
type Missing struct{ Name, DidYouMean string }
