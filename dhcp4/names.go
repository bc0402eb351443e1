package dhcp4

import "strconv"

var messageTypes = [...]string{
	Discover: "DISCOVER", Offer: "OFFER", Request: "REQUEST", Decline: "DECLINE",
	Ack: "ACK", Nak: "NAK", Release: "RELEASE", Inform: "INFORM",
	9: "FORCERENEW", 10: "LEASEQUERY", 11: "LEASEUNASSIGNED", 12: "LEASEUNKNOWN",
	13: "LEASEACTIVE", 14: "BULKLEASEQUERY", 15: "LEASEQUERYDONE",
	16: "ACTIVELEASEQUERY", 17: "LEASEQUERYSTATUS", 18: "TLS",
}

// String returns the type's name without DHCP before it, such as DISCOVER; 0 is
// BOOTP, a message without a type.
func (t MessageType) String() string {
	switch {
	case t == 0:
		return "BOOTP"
	case int(t) < len(messageTypes):
		return messageTypes[t]
	default:
		return "type-" + strconv.Itoa(int(t))
	}
}

// String returns the option's name in the registry, or option-N.
func (c Code) String() string {
	if d := Lookup(c); d != nil {
		return d.Name
	}
	return "option-" + strconv.Itoa(int(c))
}
