package server

import "lessor/dhcp4"

// Reason says why an input ended without a reply, or why a reply was a NAK. The
// table reasons feeds logs, metrics and documents.
type Reason uint8

// The reasons. None is the zero Reason.
const (
	None Reason = iota

	// The message cannot be read, or is none for a server.
	TooShort
	BadCookie
	Malformed
	NotARequest
	BOOTP
	UnknownType
	ServerMessage
	NoIdentity
	ClientIDTooLong
	BadHWAddress
	BadGIAddr
	BadCIAddr

	// It is not for us, or not from whom it says.
	UnknownLink
	UnknownRelay
	VirtualSubnet
	NoSubnet
	ForeignServer
	NoAddress
	NotOurServerID
	BadSource
	NotHolder

	// It is ours, and silence is the answer.
	ClassDrop
	NoRecord
	NotAuthoritative
	PoolFull
	NoPoolForClient
	RateLimited
	NewRateLimit
	AddressLimit
	ProbePending
	NoCheck
	StoreFailing
	LeaseEnding
	AnswerLate
	NoReplyPath

	// Why a NAK.
	NakNotAllowed
	NakWrongClass
	NakWrongNetwork
	NakBoundToOther
	NakReserved
	NakDeclined
	NakOnOffer
	NakBoundElsewhere

	// Alarms.
	AlarmReservedInUse
	AlarmProbeConflict
	AlarmDeclineLimit
	AlarmUnchecked
	AlarmClones

	NumReasons
)

type reasonText struct{ id, text string }

var reasons = [NumReasons]reasonText{
	None:              {"", ""},
	TooShort:          {"too-short", "fewer than the 240 octets that a DHCP message has at least"},
	BadCookie:         {"bad-cookie", "the magic cookie 99.130.83.99 is not there"},
	Malformed:         {"malformed", "an option runs past the end of its field, or hlen is over 16"},
	NotARequest:       {"not-a-request", "op is not BOOTREQUEST"},
	BOOTP:             {"bootp", "no message type: BOOTP clients are not served"},
	UnknownType:       {"unknown-type", "a message type that this server does not serve"},
	ServerMessage:     {"server-message", "a message type that only servers send"},
	NoIdentity:        {"no-identity", "neither a client identifier nor a hardware address"},
	ClientIDTooLong:   {"client-id-too-long", "the client identifier is longer than 255 octets"},
	BadHWAddress:      {"bad-hw-address", "the hardware address is a group address or our own"},
	BadGIAddr:         {"bad-giaddr", "giaddr is not an address that a relay agent can have"},
	BadCIAddr:         {"bad-ciaddr", "ciaddr is not an address that a host can have"},
	UnknownLink:       {"unknown-link", "the interface is not served any more"},
	UnknownRelay:      {"unknown-relay", "giaddr lies in no configured subnet and is not among the relays"},
	VirtualSubnet:     {"virtual-subnet", "a virtual network is asked for (RFC 6607), which is not supported"},
	NoSubnet:          {"no-subnet", "no configured subnet fits what the packet names: a link selection, a subnet selection, ciaddr, or the interface"},
	ForeignServer:     {"foreign-server", "the REQUEST names another server"},
	NoAddress:         {"no-address", "the message names no address where it has to"},
	NotOurServerID:    {"not-our-server-id", "the message must name this server and does not"},
	BadSource:         {"bad-source", "came through a router, and its IP source is not ciaddr"},
	NotHolder:         {"not-holder", "the client does not hold the address it speaks of"},
	ClassDrop:         {"class-drop", "the client is in the class DROP"},
	NoRecord:          {"no-record", "nothing is known of this client; RFC 2131 4.3.2 asks for silence"},
	NotAuthoritative:  {"not-authoritative", "would be a NAK, but this server is not authoritative"},
	PoolFull:          {"pool-full", "no address is left"},
	NoPoolForClient:   {"no-pool-for-client", "no pool of the network is for a client of these classes"},
	RateLimited:       {"rate-limited", "over the limit of bindings that answer no offer"},
	NewRateLimit:      {"rate-limit", "a configured rate-limit of new bindings is used up"},
	AddressLimit:      {"address-limit", "a configured address-limit is reached"},
	ProbePending:      {"probe-pending", "the offer waits for its conflict check"},
	NoCheck:           {"no-check", "no offer may leave unchecked now, and too many checks are under way"},
	StoreFailing:      {"store-failing", "the lease store cannot commit, so nothing new is promised"},
	LeaseEnding:       {"lease-ending", "less than a second is left of the lease and the store cannot commit"},
	AnswerLate:        {"answer-late", "the disk took so long that next to nothing was left of the lease"},
	NoReplyPath:       {"no-reply-path", "the client cannot be reached safely"},
	NakNotAllowed:     {"nak-not-allowed", "the configuration does not allow this client the address"},
	NakWrongClass:     {"nak-wrong-class", "the address is for clients of other classes"},
	NakWrongNetwork:   {"nak-wrong-network", "the address belongs to another network"},
	NakBoundToOther:   {"nak-bound-to-other", "the address is bound to another client"},
	NakReserved:       {"nak-reserved", "the address is reserved for another client"},
	NakDeclined:       {"nak-declined", "the address is out: somebody else uses it"},
	NakOnOffer:        {"nak-on-offer", "the address is on offer to another client"},
	NakBoundElsewhere: {"nak-bound-elsewhere", "the client holds another address"},

	AlarmReservedInUse: {"reserved-in-use", "a reserved address is still held by another client"},
	AlarmProbeConflict: {"probe-conflict", "somebody answers for an address that should be free"},
	AlarmDeclineLimit:  {"decline-limit", "the share of declined addresses that a pool may have is used up"},
	AlarmClones:        {"clones", "two hardware addresses use one client identifier in turn; if these are copies of one machine, set match-client-id: false"},
	AlarmUnchecked:     {"offered-unchecked", "no address was ready, so one was offered without a conflict check"},
}

// String is the stable id of r, for labels and logs.
func (r Reason) String() string {
	if r < NumReasons {
		return reasons[r].id
	}
	return "unknown"
}

// Text is one sentence for a person.
func (r Reason) Text() string {
	if r < NumReasons {
		return reasons[r].text
	}
	return ""
}

// Counters are plain numbers that only grow; they belong to the goroutine that
// owns the Core.
type Counters struct {
	Received  [dhcp4.Inform + 1]uint64 // by message type; 0: none or another
	Sent      [dhcp4.Inform + 1]uint64 // by message type
	Done      [dhcp4.Inform + 1]uint64 // by message type: believed, and by the protocol without a reply
	Dropped   [NumReasons]uint64       // by reason; for each packet one of Sent, Done and Dropped goes up by one
	Naks      [NumReasons]uint64       // by reason
	Alarms    [NumReasons]uint64
	Probes    uint64
	Unchecked uint64 // offers that left without a conflict check because none was ready
	Unfilled  uint64 // option values left out of a reply because their template had nothing for the client
	Recalled  uint64 // offers withdrawn because no other address was left
}

// CountLate takes back that a reply of type t was counted as sent: it waited too long for the
// store, and is dropped (AnswerLate).
func (c *Core) CountLate(t dhcp4.MessageType) {
	c.count.Sent[t]--
	c.count.Dropped[AnswerLate]++
}
