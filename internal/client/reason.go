package client

// Reason says why something happened, or why something was ignored. The table in
// this file is the one place for names and texts.
type Reason uint8

// The reasons. None is the zero Reason.
const (
	None Reason = iota

	// Why the state changed, or why what is on the interface goes.
	Started
	LinkDown
	NetworkChanged
	Resumed
	ClockStepped
	MACChanged
	RouterAnswered
	RouterSilent
	Offered
	Acknowledged
	Refused
	AddressFree
	AddressTaken
	Defended
	NoAnswer
	RenewalTime
	RebindingTime
	Expired
	AskedRenew
	AskedRebind
	AskedRelease
	Stopped
	PauseOver
	IPv6OnlyNetwork

	// Why a message is none for us.
	Malformed
	NotReply
	OtherHardware
	OtherXID
	OtherClientID
	BOOTP
	UnknownType
	ForceRenew
	NotExpected
	NoServerID
	OtherServer
	ServerDenied
	OtherAddress
	AddressAvoided
	ServerSilent
	NotRapid
	LeaseOver

	// Why an OFFER or ACK is no lease that a host can use.
	LeaseTooLong
	LeaseNoServer
	LeaseBadServer
	LeaseNoTime
	LeaseZeroTime
	LeaseBadAddress
	LeaseBadMask
	LeaseNotHost

	// Why an option is not used.
	OptionLength
	OptionMalformed
	OptionUnsafe
	OptionBadAddress
	OptionDisorder
	OptionTooSmall
	OptionTooMany
	RouteForbidden
	RouteReplaced
	RouteTooWide
	RouteBadDestination
	RouteNoGateway
	RouteTwice

	NumReasons
)

type reasonText struct{ id, text string }

var reasons = [NumReasons]reasonText{
	None:            {"", ""},
	Started:         {"started", "the interface is up and has carrier"},
	LinkDown:        {"link-down", "the interface is down or has no carrier"},
	NetworkChanged:  {"network-changed", "another network may be behind the interface"},
	Resumed:         {"resumed", "the machine was suspended and runs again"},
	ClockStepped:    {"clock-stepped", "the wall clock moved by more than a minute against the boot clock: the machine may have been paused"},
	MACChanged:      {"mac-changed", "the interface has another hardware address"},
	RouterAnswered:  {"router-answered", "the remembered router answers: this is its network"},
	RouterSilent:    {"router-silent", "no remembered router answers: this is another network"},
	Offered:         {"offered", "an offer was chosen"},
	Acknowledged:    {"ack", "the server acknowledged the address"},
	Refused:         {"nak", "the server refused the address"},
	AddressFree:     {"address-free", "nobody answers for the address"},
	AddressTaken:    {"address-taken", "another host uses the address"},
	Defended:        {"defended", "another host used the address once, and was told that it is ours"},
	NoAnswer:        {"no-answer", "no server answers"},
	RenewalTime:     {"renewal-time", "T1 has come: the server is asked to extend the lease"},
	RebindingTime:   {"rebinding-time", "T2 has come: any server is asked to extend the lease"},
	Expired:         {"expired", "the lease has ended"},
	AskedRenew:      {"asked-renew", "the user asked to renew"},
	AskedRebind:     {"asked-rebind", "the user asked to rebind"},
	AskedRelease:    {"asked-release", "the user asked to release the address"},
	Stopped:         {"stopped", "the program ends"},
	PauseOver:       {"pause-over", "the pause is over"},
	IPv6OnlyNetwork: {"ipv6-only", "the network prefers that this host does without IPv4"},

	Malformed:      {"malformed", "it cannot be read as a DHCP message"},
	NotReply:       {"not-a-reply", "op is not BOOTREPLY"},
	OtherHardware:  {"other-hardware", "chaddr is not this interface's"},
	OtherXID:       {"other-xid", "the transaction id is not the one of our question"},
	OtherClientID:  {"other-client-id", "it carries another client identifier than ours"},
	BOOTP:          {"bootp", "it has no message type"},
	UnknownType:    {"unknown-type", "the message type is none of a server's"},
	ForceRenew:     {"forcerenew", "FORCERENEW without authentication is never followed"},
	NotExpected:    {"not-expected", "no such answer is expected in this state"},
	NoServerID:     {"no-server-id", "it does not say which server it is from"},
	OtherServer:    {"other-server", "it is from another server than the chosen one"},
	ServerDenied:   {"server-denied", "the server is not one of those that are allowed"},
	OtherAddress:   {"other-address", "it is for another address than the one asked for"},
	ServerSilent:   {"server-silent", "the server did not answer the REQUEST for its last offer: others come first"},
	AddressAvoided: {"address-avoided", "the address was in use by another host a short time ago"},
	NotRapid:       {"not-rapid", "an acknowledgement at once was not asked for, or is not marked as such"},
	LeaseOver:      {"lease-over", "the lease had ended before the answer came"},

	LeaseTooLong:    {"too-long", "the message is longer than 4096 octets"},
	LeaseNoServer:   {"no-server-id", "there is no server identifier"},
	LeaseBadServer:  {"bad-server-id", "the server identifier is not the address of one host"},
	LeaseNoTime:     {"no-lease-time", "there is no lease time"},
	LeaseZeroTime:   {"zero-lease-time", "the lease time is 0"},
	LeaseBadAddress: {"bad-address", "the address is none that a host can have"},
	LeaseBadMask:    {"bad-mask", "the subnet mask is no mask, or shorter than 8 bits"},
	LeaseNotHost:    {"not-a-host", "the address is the subnet's own or its broadcast address"},

	OptionLength:        {"bad-length", "its length is not right"},
	OptionMalformed:     {"bad-form", "its value cannot be read"},
	OptionUnsafe:        {"unsafe-text", "its text has characters that do not belong there"},
	OptionBadAddress:    {"bad-value-address", "an address in it is none that a host can have"},
	OptionDisorder:      {"bad-order", "the times are not in the order T1, T2, end"},
	OptionTooSmall:      {"too-small", "the value is too small"},
	OptionTooMany:       {"too-many", "it has more entries than are taken"},
	RouteForbidden:      {"routes-refused", "routes by this option are switched off"},
	RouteReplaced:       {"replaced", "another option stands in its place"},
	RouteTooWide:        {"route-too-wide", "the route is wider than is allowed"},
	RouteBadDestination: {"bad-destination", "no route can lead there"},
	RouteNoGateway:      {"no-gateway", "the gateway is not on the link"},
	RouteTwice:          {"route-twice", "there is a route to the same destination already"},
}

// String is the reason's stable name, for logs, JSON and counters. Text says it in words.
func (r Reason) String() string {
	if r < NumReasons {
		return reasons[r].id
	}
	return "unknown"
}

// Text says in a few words what the reason is.
func (r Reason) Text() string {
	if r < NumReasons {
		return reasons[r].text
	}
	return "a reason of a newer version"
}
