package relay

// Reason says why a message was not relayed, or was relayed without option 82. The table
// reasons feeds logs, metrics and documents.
type Reason uint8

// The reasons. None is the zero Reason.
const (
	None Reason = iota

	// The message cannot be read.
	TooShort
	BadCookie
	Malformed
	BadOp
	BOOTP
	BadHWAddress

	// Requests.
	NotDownstream
	Hops
	OwnGIAddr
	BadGIAddr
	UntrustedAgentInfo
	AgentInfoRefused
	NoSourcePort

	// Replies.
	ReplyFromClients
	NotOurGIAddr
	ForeignAgentInfo
	NoLink
	ReplyTooLong

	// Why option 82 was left out.
	RequestTooLong
	AgentInfoTooLong

	NumReasons
)

type reasonText struct{ id, text string }

var reasons = [NumReasons]reasonText{
	None:               {"", ""},
	TooShort:           {"too-short", "fewer than the 240 octets that a DHCP message has at least"},
	BadCookie:          {"bad-cookie", "the magic cookie 99.130.83.99 is not there"},
	Malformed:          {"malformed", "an option runs past the end of its field, or hlen is over 16"},
	BadOp:              {"bad-op", "op is neither BOOTREQUEST nor BOOTREPLY"},
	BOOTP:              {"bootp", "no message type: BOOTP is not relayed"},
	BadHWAddress:       {"bad-hw-address", "the hardware address is a group address or our own"},
	NotDownstream:      {"not-downstream", "a request by an interface that is not one of downstream"},
	Hops:               {"hops", "it has passed too many relay agents, or goes round in a loop"},
	OwnGIAddr:          {"own-giaddr", "a request with our own giaddr: our reflection, or a forgery"},
	BadGIAddr:          {"bad-giaddr", "giaddr is not an address that a relay agent can have"},
	UntrustedAgentInfo: {"untrusted-option-82", "a request with option 82 from an interface that is not trusted"},
	AgentInfoRefused:   {"option-82-refused", "a request with option 82, and the configuration says to drop those"},
	NoSourcePort:       {"no-source-port", "option 82 has no room, without which no answer comes to another port than 67"},
	ReplyFromClients:   {"reply-from-clients", "a reply by an interface with clients: a server of somebody's own"},
	NotOurGIAddr:       {"not-our-giaddr", "a reply whose giaddr is not ours"},
	ForeignAgentInfo:   {"foreign-option-82", "a reply whose option 82 this agent did not write"},
	NoLink:             {"no-link", "a reply without option 82, and several interfaces have its giaddr"},
	ReplyTooLong:       {"reply-too-long", "the reply does not fit the MTU of the client's interface"},
	RequestTooLong:     {"no-room", "relayed without option 82: the request would not fit the MTU towards the servers"},
	AgentInfoTooLong:   {"option-82-too-long", "relayed without option 82: it would be longer than 255 octets"},
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

// Counters are plain numbers that only grow; they belong to the goroutine that owns the
// Agent. Each message goes up in one of ToServers, ToClients and Dropped.
type Counters struct {
	Requests  uint64             // messages that could be read, with op BOOTREQUEST
	Replies   uint64             // the same with op BOOTREPLY
	ToServers uint64             // requests relayed; each leaves once for each server
	ToClients uint64             // replies relayed
	Dropped   [NumReasons]uint64 // by reason
	Omitted   [NumReasons]uint64 // requests relayed without option 82, by reason
}
