// Package event turns what happens into log lines with stable message ids: one
// table of messages, one encoder for text from the network, and a log that never
// makes the server wait.
package event

import (
	"fmt"
	"log/slog"
	"strings"
)

// ID is the stable name of a message. Programs may look for it; it never changes
// its meaning.
type ID uint8

// The messages. None is the zero ID.
const (
	None ID = iota

	ServerStarted
	ServerStopping
	ServerStopped
	ZeroConfig
	ServerSeen
	ServersUnknown
	MemoryOnly

	ConfigApplied
	ConfigRefused

	LinkReady
	LinkLost
	LinkMissing
	LinkFailed

	LeaseAck
	LeaseNak
	LeaseReleased
	LeaseDeclined
	LeaseConflict
	LeaseExpired
	LeaseOverridden

	PacketDrop
	PoolFull
	Alarm
	Overload
	OverloadEnded

	StoreLoaded
	StoreDamaged
	StoreFailed
	StoreRetry
	StoreSlow
	StoreHealed

	RelayStarted
	RelayStopped
	RelayDrop
	AgentInfoOmitted
	SendFailed
	ServerUnreachable
	ServerDownstream
	GIAddrMissing

	Suppressed
	PanicRecovered
	WatchdogLate
	TraceFailed

	numIDs
)

// Message is one row of the table: what a message id means and what to do.
type Message struct {
	Name    string
	Level   slog.Level
	Text    string // the fixed text of the line
	Meaning string
	Action  string
}

var messages = [numIDs]Message{
	ServerStarted:  {"SERVER_STARTED", slog.LevelInfo, "serving", "The configuration is loaded, the bindings are read, and packets are answered on every interface that is ready.", "Nothing."},
	ServerStopping: {"SERVER_STOPPING", slog.LevelInfo, "stopping", "A signal asked the server to end. What is being committed is finished and answered first.", "Nothing."},
	ServerStopped:  {"SERVER_STOPPED", slog.LevelInfo, "stopped", "Everything is on disk and closed.", "Nothing."},

	ZeroConfig:     {"ZERO_CONFIG", slog.LevelWarn, "no configuration file: serving what the interface itself says", "The subnet, the pool and the options were taken from the interface and this machine. Before that Lessor asked whether another DHCP server answers on the link.", "Nothing. \"lessor config init --interface eth0\" writes the same as a file."},
	ServerSeen:     {"SERVER_SEEN", slog.LevelWarn, "another DHCP server answers on this link", "A server without a configuration file asks before it serves, as a client would, and another server offered an address. It serves only with --beside then.", "Find the other server by its hardware address, and stop one of the two; or give each a pool of its own, in files with \"authoritative: false\"."},
	ServersUnknown: {"SERVERS_UNKNOWN", slog.LevelWarn, "whether another DHCP server answers on the link is not known", "A server without a configuration file asks before it serves, as a client would. That could not be done; the line says why.", "Make sure that no other DHCP server is there, for example with \"lessor client eth0 --dry-run\"."},
	MemoryOnly:     {"MEMORY_ONLY", slog.LevelWarn, "leases are kept in memory only and are all forgotten when the server ends", "The server was started with --memory.", "Leave --memory out where leases matter."},

	ConfigApplied: {"CONFIG_APPLIED", slog.LevelInfo, "configuration in force", "A configuration was read and is in force from now on. No binding was ended by it.", "Nothing."},
	ConfigRefused: {"CONFIG_REFUSED", slog.LevelError, "configuration refused, the one before stays in force", "The configuration could not be read or has errors. Nothing of it was applied.", "Correct the file where the line says, try it with \"lessor config check\", and reload again."},

	LinkReady:   {"LINK_READY", slog.LevelInfo, "interface is served", "The interface is up and has an address; its clients are served from now on.", "Nothing."},
	LinkLost:    {"LINK_LOST", slog.LevelWarn, "interface is not served any more", "The interface went down, lost its address or is gone. It is served again within two seconds of being ready.", "If this was not meant, look at the interface: \"ip link show\", \"ip address show\"."},
	LinkMissing: {"LINK_MISSING", slog.LevelWarn, "no such interface, waiting for it", "An interface that the configuration names does not exist.", "Correct the name if it is misspelt; the line names the closest one that exists. Else wait: it is served as soon as it appears."},
	LinkFailed:  {"LINK_FAILED", slog.LevelError, "interface cannot be served, trying again", "The sockets of an interface could not be opened, or failed. Lessor goes on trying twice a second; the line is written once.", "Do what the error says: give the capabilities, or stop the program that holds port 67."},

	LeaseAck:        {"LEASE_ACK", slog.LevelInfo, "lease", "A client was given a lease, or its lease was extended. The line is written when the lease is on disk.", "Nothing."},
	LeaseNak:        {"LEASE_NAK", slog.LevelInfo, "refused", "A client asked for an address that it may not have, and was told so. The reason says why.", "Nothing, unless it repeats: then look whether the client asks for an address of another network."},
	LeaseReleased:   {"LEASE_RELEASED", slog.LevelInfo, "released", "A client gave its address back before the end of its lease.", "Nothing."},
	LeaseDeclined:   {"LEASE_DECLINED", slog.LevelWarn, "declined", "A client found that another host uses the address it was given. The address is out for the probation time (decline-probation-period).", "Look for a host with that address set by hand."},
	LeaseConflict:   {"LEASE_CONFLICT", slog.LevelWarn, "address is in use", "A host answered for an address that should have been free. The address is out for the probation time.", "Look for the host with that address set by hand; if it answered by ARP, its hardware address is in the line."},
	LeaseExpired:    {"LEASE_EXPIRED", slog.LevelDebug, "lease ended", "A lease ran out; its address is free for others.", "Nothing."},
	LeaseOverridden: {"LEASE_OVERRIDDEN", slog.LevelWarn, "lease ended by the operator", "\"lessor leases release\" ended a binding. The client does not know: it goes on using the address until it renews.", "Nothing."},

	PacketDrop:    {"PACKET_DROP", slog.LevelDebug, "dropped", "A message was not answered. The reason says why; each reason is counted.", "Look up the reason in the table below."},
	PoolFull:      {"POOL_FULL", slog.LevelWarn, "no address left", "A client without an address asked for one, and none is free.", "Make the pool larger, or leases shorter."},
	Alarm:         {"ALARM", slog.LevelWarn, "needs a look", "Something that should not happen did. The reason says what.", "Look up the reason in the table below."},
	Overload:      {"OVERLOAD", slog.LevelWarn, "more messages than can be handled, renewals first", "The queue is deep. New clients (DISCOVER) are dropped first, renewals last, so that who has an address keeps it.", "Look for the source of the flood: \"lessor status\" shows counts by message and reason."},
	OverloadEnded: {"OVERLOAD_ENDED", slog.LevelInfo, "all messages are handled again", "The queue is short again.", "Nothing."},

	StoreLoaded:  {"STORE_LOADED", slog.LevelInfo, "bindings read", "The bindings on disk are in memory.", "Nothing."},
	StoreDamaged: {"STORE_DAMAGED", slog.LevelError, "the lease store was damaged, serving carefully", "Part of the store could not be read. It was put aside under the name in the line; what could be read is in use. For one longest lease time Lessor probes before it offers and adopts clients it does not know.", "Keep the files that were put aside, and look at the disk. If there is a backup, compare it."},
	StoreFailed:  {"STORE_FAILED", slog.LevelError, "the lease store cannot commit, nothing new is promised", "A write or a sync failed. No ACK that rests on it was sent. Holders are answered with the time that is left to them, new clients get nothing.", "Make room on the disk or repair it. Service resumes by itself within ten seconds after that."},
	StoreRetry:   {"STORE_RETRY", slog.LevelDebug, "the lease store still cannot be written", "A new store was tried and could not be written. The next try is a second later.", "See STORE_FAILED."},
	StoreSlow:    {"STORE_SLOW", slog.LevelError, "a commit takes very long, replies are waiting for it", "The disk has not answered a sync for a second or more.", "Look at the disk: a failing device, or another program that writes much."},
	StoreHealed:  {"STORE_HEALED", slog.LevelInfo, "the lease store commits again", "The store is whole again: leases are given as usual.", "Nothing."},

	RelayStarted:      {"RELAY_STARTED", slog.LevelInfo, "relaying", "The relay agent's sockets are open: requests of every interface that is ready go to the servers.", "Nothing."},
	RelayStopped:      {"RELAY_STOPPED", slog.LevelInfo, "relaying no more", "A signal asked the relay agent to end. Its sockets are closed.", "Nothing."},
	RelayDrop:         {"RELAY_DROP", slog.LevelDebug, "not relayed", "The relay agent dropped a message. The reason says why; each reason is counted, and has a line once in ten seconds.", "Look up the reason in the table below."},
	AgentInfoOmitted:  {"AGENT_INFO_OMITTED", slog.LevelWarn, "relayed without option 82", "A request had no room for the option 82 that the relay agent should add (RFC 3046 2.1). It was relayed without it. The line is written once in ten seconds.", "Make circuit-id, remote-id and subscriber-id shorter, or the MTU towards the servers larger."},
	SendFailed:        {"SEND_FAILED", slog.LevelWarn, "a message could not be sent", "The kernel refused a message. The count is that of all since the start; the line is written once in ten seconds.", "Do what the error says: mostly there is no route to the server."},
	ServerUnreachable: {"SERVER_UNREACHABLE", slog.LevelWarn, "no route to a server", "The relay agent's host has no route to a server. Its requests go to the other servers only.", "Add a route: \"ip route get\" shows which one is used."},
	ServerDownstream:  {"SERVER_DOWNSTREAM", slog.LevelWarn, "a server is on a link with clients", "A server of the relay agent has an address on the link of one of its downstream interfaces. Answers that come by such an interface are dropped, since any client could send them.", "Take the interface out of downstream: its clients reach the server by themselves."},
	GIAddrMissing:     {"GIADDR_MISSING", slog.LevelWarn, "giaddr is no address of this host", "Servers send their answers to giaddr. This host does not have that address, so that they do not arrive.", "Add the address to an interface (a loopback address will do), or correct giaddr."},

	Suppressed:     {"LOG_SUPPRESSED", slog.LevelWarn, "lines left out", "More than 100 lines a second of one kind, or more than the log could write. The count says how many were left out.", "Nothing. The counters of \"lessor status\" hold all of them."},
	PanicRecovered: {"PANIC_RECOVERED", slog.LevelError, "a fault in Lessor, one input was dropped", "The program met a state it should never be in. It dropped the input that led there and went on.", "Report it with the stack in the line."},
	WatchdogLate:   {"WATCHDOG_LATE", slog.LevelError, "the server did not answer its watchdog in time", "The loop that answers packets is stuck or starved. systemd restarts the unit when it lasts.", "Look at the machine's load; if it repeats, report it."},
	TraceFailed:    {"TRACE_FAILED", slog.LevelError, "the trace ends here, serving goes on", "The file of --trace could not be written, or its disk is too slow. Nothing later is written to it, and its end says so if there is room for that. Leases are not touched by it.", "Make room and start the server again, or trace to another disk. \"lessor verify\" judges what is there."},
}

// Message is the row of id.
func (id ID) Message() *Message {
	if id >= numIDs {
		id = None
	}
	return &messages[id]
}

// String is the stable name of id.
func (id ID) String() string { return id.Message().Name }

// Catalogue is docs/messages.md: every message and every reason, from the tables
// of the program. server, client and relay yield id and text of each reason of the three.
func Catalogue(server, client, relay func(yield func(id, text string) bool)) string {
	var b strings.Builder
	b.WriteString("# Messages\n\nEvery line of the log carries one of these ids in its field `id`. This page is made from the\n" +
		"table in `internal/event/messages.go`; a test compares the two.\n\n" +
		"Fields: `id`, `client` (one label for a client: its hardware address, or its client identifier if that says\n" +
		"something else), `hw-address`, `client-id`, `hostname`, `xid`, `message`, `interface`, `giaddr`, `subnet`, `address`, `reason`, `lifetime`, `took`.\n" +
		"Text from the network is at most 255 octets, with everything that is not printable as a backslash\nsequence. " +
		"There are at most 100 lines a second of one message and reason.\n")
	for id := None + 1; id < numIDs; id++ {
		m := id.Message()
		fmt.Fprintf(&b, "\n## %s\n\n%s: \"%s\". %s\n\nWhat to do: %s\n", m.Name, m.Level, m.Text, m.Meaning, m.Action)
	}
	table := func(reasons func(yield func(id, text string) bool)) {
		b.WriteString("\n| reason | meaning |\n|---|---|\n")
		reasons(func(id, text string) bool {
			fmt.Fprintf(&b, "| `%s` | %s |\n", id, text)
			return true
		})
	}
	b.WriteString("\n## Reasons\n\nWhy a message was dropped or refused, and what an alarm is about.\n")
	table(server)
	b.WriteString("\n## Reasons of the client\n\nWhy the state of `lessor client` changed, why a message did not count, and why an option of a lease is not used.\n")
	table(client)
	b.WriteString("\n## Reasons of the relay agent\n\nWhy `lessor relay` dropped a message, or relayed a request without option 82.\n")
	table(relay)
	return b.String()
}
