package link

// BadReason says why a frame was not a message for us. The zero value says that
// it is one.
type BadReason uint8

// The reasons, in the order in which a frame is checked.
const (
	BadNone      BadReason = iota
	BadTruncated           // shorter than its headers, or longer than the receive buffer
	BadVLAN                // belongs to a VLAN, so to a sub-interface
	BadOwn                 // our own frame, come back
	BadEtherType           // neither IPv4 nor ARP
	BadIPHeader            // IP version or header length
	BadIPLength            // IP total length
	BadIPSum               // IP header checksum
	BadFragment            // a piece of a datagram
	BadProtocol            // neither UDP nor ICMP
	BadUDPLength           // UDP length field differs from the IP payload
	BadPort                // for another port
	BadUDPSum              // UDP checksum
	BadNotOurs             // the IP destination, or for a client the frame's, is neither ours nor a broadcast address
	BadARP                 // not a whole ARP message for IPv4 over Ethernet
	BadICMP                // no echo message of our form
	badUnused              // room for one more
)

// NumBadReasons is the size of a table indexed by BadReason.
const NumBadReasons = int(badUnused) + 1

// badReasons are the names for metrics and logs, and what each means.
var badReasons = [NumBadReasons]struct{ name, text string }{
	BadNone:      {"none", "nothing is wrong"},
	BadTruncated: {"truncated", "the frame ends before its headers do"},
	BadVLAN:      {"vlan", "the frame belongs to a VLAN: serve the VLAN's own interface"},
	BadOwn:       {"own-frame", "a frame that this host sent came back: there may be a loop in the network"},
	BadEtherType: {"ethertype", "the frame holds neither IPv4 nor ARP"},
	BadIPHeader:  {"ip-header", "the IP version is not 4 or the header length does not fit"},
	BadIPLength:  {"ip-length", "the IP total length does not fit the frame"},
	BadIPSum:     {"ip-checksum", "the IP header checksum is wrong"},
	BadFragment:  {"fragment", "the frame is a fragment of an IP datagram"},
	BadProtocol:  {"protocol", "the IP datagram is neither UDP nor ICMP"},
	BadUDPLength: {"udp-length", "the UDP length does not match the IP datagram"},
	BadPort:      {"udp-port", "the UDP datagram is for another port"},
	BadUDPSum:    {"udp-checksum", "the UDP checksum is wrong"},
	BadNotOurs:   {"not-ours", "the message is addressed to another host"},
	BadARP:       {"arp", "the frame is not a whole ARP message for IPv4 over Ethernet"},
	BadICMP:      {"icmp", "the ICMP message is not an answer to a question of ours"},
	badUnused:    {"unused", "never counted"},
}

// String is the reason's stable name, for metrics and logs.
func (r BadReason) String() string {
	if int(r) >= NumBadReasons {
		return "unknown"
	}
	return badReasons[r].name
}

// Text says in a few words what was wrong.
func (r BadReason) Text() string {
	if int(r) >= NumBadReasons {
		return "unknown"
	}
	return badReasons[r].text
}
