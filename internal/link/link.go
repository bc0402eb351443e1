// Package link moves DHCP, ARP and ICMP echo messages over interfaces: AF_PACKET sockets to
// receive and to send frames, a UDP socket to hold port 67 or 68, a raw IP socket for
// what is routed, netlink to learn which interfaces are ready. memnet, beside it,
// keeps the same contract in memory; the suite in linktest holds both to it.
package link

import (
	"context"
	"fmt"

	"lessor/dhcp4"
	"lessor/internal/wire"
)

// BatchSize is the most messages that one Receive brings.
const BatchSize = 64

// Port is the socket set of one interface. Receive is called by one goroutine;
// Send, SendARP and SendEcho by one other; Close by any. After Close every pending and
// later call returns net.ErrClosed.
//
// A port brings what is for this host: UDP datagrams to port 67 whose IP
// destination is an address of the host or a broadcast address, and the ARP
// messages that tell who has an address (replies, announcements and probes;
// ordinary ARP requests are left in the kernel), and answers to the echo requests that
// SendEcho sends, from wherever they come. Fragments, frames with a VLAN id,
// frames for other hosts and frames that this host sent are left in the kernel.
type Port interface {
	// Receive blocks until there is something to report and returns all that is
	// waiting, up to BatchSize messages. A batch may be without messages when it
	// only counts frames that were refused or lost. An interface that went down or
	// away is ErrDown, once: the port is then to be closed and, when Watch says so
	// or some time has passed, opened again.
	Receive(b *Batch) error

	// Send sends all messages in order, with as few system calls as it can. Messages that
	// the kernel refuses do not stop the later ones; the first such error is
	// returned, wrapped with what was attempted, and failed counts them. A full
	// transmit queue is waited for, 100 ms in all; what is then left has failed.
	// The messages' Data is not kept.
	Send(out []wire.Send) (failed int, err error)

	// SendARP sends all messages in order, each to its To, with the same rules as Send;
	// the first error is returned.
	SendARP(as []wire.ARP) error

	// SendEcho sends all messages in order by the host's routes, with the same rules as Send;
	// failed counts those that the kernel refused, of which the first error is returned.
	SendEcho(es []wire.Echo) (failed int, err error)

	// Close ends all pending and later calls with net.ErrClosed. The second and
	// later calls of Close return net.ErrClosed too.
	Close() error
}

// Net is where ports come from: the kernel, or memnet.
type Net interface {
	// Watch reports, at once and after every change, the links of names that are ready
	// to be served; it ends with ctx and then returns nil. missing are the names that
	// waiting alone does not help: no interface has that name, or the one that has it
	// cannot be used (Missing.Reason).
	//
	// A name stays with the interface that had it first: when that is renamed it is
	// served under its new name, until it goes away or another interface takes the
	// configured name. An interface that went down, lost its carrier or was replaced
	// is reported absent before it is reported ready again, however short that was.
	//
	// changed is called by the goroutine that called Watch; what it is given is
	// never changed afterwards.
	Watch(ctx context.Context, names []string, changed func(ready []wire.Link, missing []Missing)) error

	// Open opens the socket set on a ready link, for the server's port 67. Errors
	// carry what to do: PortTakenError, PrivilegeError. ErrDown says that the link has
	// gone or gone down since it was reported.
	Open(l wire.Link) (Port, error)
}

// Missing is a configured interface that does not exist or cannot be used.
type Missing struct {
	Name       string
	DidYouMean string // the existing name closest to it, "" if none is close
	Reason     string // "": there is no such interface; else why it cannot be used
}

// String is a warning for people, without a full stop at its end.
func (m Missing) String() string {
	switch {
	case m.Reason != "":
		return fmt.Sprintf("interface %q cannot be used: %s", m.Name, m.Reason)
	case m.DidYouMean != "":
		return fmt.Sprintf("interface %q is not there; did you mean %s? waiting for it", m.Name, m.DidYouMean)
	}
	return fmt.Sprintf("interface %q is not there; waiting for it", m.Name)
}

// ClientPort is the socket set of a DHCP client on one interface. It is a Port with
// these differences: it brings UDP datagrams to port 68 whose frame is for this
// interface or a broadcast, whatever their IP destination, since a client is answered at
// an address that it does not have yet; it brings no echoes; and it brings ARP messages only
// about watched addresses. A change of the interface's MTU does not matter to it.
type ClientPort interface {
	Port

	// WatchARP replaces the watched addresses, at most MaxWatched: every ARP message
	// whose sender has one of them comes in, and every probe (sender address zero) for
	// one of them. It may be called by the goroutine that sends. The slice is not kept.
	WatchARP(addrs []dhcp4.Addr) error
}

// MaxWatched bounds the watched addresses of a ClientPort.
const MaxWatched = 32

// ClientNet is where a client's ports come from: the kernel, or memnet.
type ClientNet interface {
	// WatchClient reports, at once and after every change, the interface called name: l
	// when it is up and has carrier, with or without addresses, nil when not; m when
	// waiting alone does not help, else nil. An interface that lost its carrier, went down,
	// was replaced or got another hardware address is reported absent before it is reported
	// ready again, however short that was. It ends with ctx and then returns nil. changed is called
	// by the goroutine that called WatchClient.
	WatchClient(ctx context.Context, name string, changed func(l *wire.Link, m *Missing)) error

	// OpenClient opens the socket set for port 68; errors are those of Net.Open.
	OpenClient(l wire.Link) (ClientPort, error)
}
