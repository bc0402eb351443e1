package client

import (
	"encoding/binary"
	"strings"

	"lessor/dhcp4"
	"lessor/internal/wire"
)

// DefaultParams is option 55 unless Config.Params says otherwise: what Settings are
// read from. The classless routes stand before the options that they replace (RFC
// 3442).
var DefaultParams = []dhcp4.Code{
	dhcp4.OptClasslessStaticRoute, dhcp4.OptMSClasslessStaticRoute, dhcp4.OptSubnetMask, dhcp4.OptRouters, dhcp4.OptStaticRoutes,
	dhcp4.OptBroadcastAddress, dhcp4.OptInterfaceMTU, dhcp4.OptDomainNameServers, dhcp4.OptDomainName, dhcp4.OptDomainSearch,
	dhcp4.OptHostName, dhcp4.OptNTPServers, dhcp4.OptDHCPLeaseTime, dhcp4.OptDHCPServerIdentifier, dhcp4.OptDHCPRenewalTime,
	dhcp4.OptDHCPRebindingTime, dhcp4.OptV4CaptivePortal, dhcp4.OptTCode,
}

const (
	htypeEthernet = 1
	maxFrameMTU   = 1500 // no DHCP message needs more, and not every relay agent forwards more
	minFrameMTU   = 576  // what every host takes (RFC 2131 2)
	ipUDPHeaders  = 28
)

// message is what differs from one message of ours to the next.
type message struct {
	typ       dhcp4.MessageType
	xid       uint32
	secs      uint16
	ciaddr    dhcp4.Addr
	requested dhcp4.Addr // option 50; 0: none
	server    dhcp4.Addr // option 54; 0: none
	text      string     // option 56, "" for none
	broadcast bool       // the flag may be set: the client has no address yet
}

// composer writes messages with what is the same in all of them.
type composer struct {
	c         *Config
	link      wire.Link
	clientID  []byte // option 61; nil: none
	params    []byte
	userClass []byte
	fqdn      []byte
	values    []byte // scratch for the values of one message
	opts      []dhcp4.Option
}

func newComposer(c *Config) composer {
	w := composer{c: c, values: make([]byte, 0, 64), opts: make([]dhcp4.Option, 0, 24+len(c.Options))}
	for _, code := range c.params() {
		w.params = append(w.params, byte(code))
	}
	for _, class := range c.UserClass {
		if n := len(class); 0 < n && n <= 255 {
			w.userClass = append(append(w.userClass, byte(n)), class...)
		}
	}
	w.fqdn = appendFQDN(nil, c.FQDN)
	return w
}

// params are the options to ask for: none that is refused anyway, and 108 when an
// answer would be followed (RFC 8925 3.1).
func (c *Config) params() []dhcp4.Code {
	wanted := c.Params
	if wanted == nil {
		wanted = DefaultParams
	}
	out := make([]dhcp4.Code, 0, len(wanted))
	for _, code := range wanted {
		if c.NoRoutes && (code == dhcp4.OptClasslessStaticRoute || code == dhcp4.OptMSClasslessStaticRoute || code == dhcp4.OptStaticRoutes) {
			continue
		}
		out = append(out, code)
	}
	return c.withIPv6Only(out)
}

func (c *Config) withIPv6Only(codes []dhcp4.Code) []dhcp4.Code {
	if !c.IPv6Only {
		return codes
	}
	for _, code := range codes {
		if code == dhcp4.OptV6OnlyPreferred {
			return codes
		}
	}
	return append(codes[:len(codes):len(codes)], dhcp4.OptV6OnlyPreferred)
}

// setLink says whose hardware address the messages carry.
func (w *composer) setLink(l wire.Link) {
	w.link = l
	switch w.c.Identifier {
	case IdentifierMAC:
		w.clientID = append(append(w.clientID[:0], htypeEthernet), l.MAC[:]...)
	case IdentifierFixed:
		w.clientID = w.c.ClientID
	default:
		w.clientID = nil
	}
}

// mtu is the longest IP datagram that is announced and sent.
func (w *composer) mtu() int {
	if w.link.MTU == 0 {
		return maxFrameMTU
	}
	return min(max(w.link.MTU, minFrameMTU), maxFrameMTU)
}

// append writes m (RFC 2131 4.4.1, table 5).
func (w *composer) append(dst []byte, m *message) []byte {
	h := dhcp4.Header{Op: 1, HType: htypeEthernet, HLen: 6, XID: m.xid, Secs: m.secs, CIAddr: m.ciaddr}
	copy(h.CHAddr[:], w.link.MAC[:])
	if m.broadcast && w.c.Broadcast {
		h.Flags = dhcp4.FlagBroadcast
	}
	w.values, w.opts = w.values[:0], w.opts[:0]
	w.add(dhcp4.OptDHCPMessageType, append(w.values, byte(m.typ)))
	w.addAddr(dhcp4.OptDHCPServerIdentifier, m.server)
	w.addAddr(dhcp4.OptDHCPRequestedAddress, m.requested)
	w.addBytes(dhcp4.OptDHCPClientIdentifier, w.clientID)
	if m.typ == dhcp4.Discover || m.typ == dhcp4.Request {
		w.wishes(m)
	} else if m.text != "" {
		w.addBytes(dhcp4.OptDHCPMessage, []byte(m.text))
	}
	dst, _ = dhcp4.AppendMessage(dst, &h, w.opts, nil, w.mtu()-ipUDPHeaders)
	return dst
}

// wishes adds what only DISCOVER and REQUEST carry.
func (w *composer) wishes(m *message) {
	c := w.c
	if c.Lifetime != 0 {
		w.add(dhcp4.OptDHCPLeaseTime, binary.BigEndian.AppendUint32(w.values, c.Lifetime))
	}
	w.add(dhcp4.OptDHCPMaxMessageSize, binary.BigEndian.AppendUint16(w.values, uint16(w.mtu())))
	if m.typ == dhcp4.Discover && c.RapidCommit {
		w.opts = append(w.opts, dhcp4.Option{Code: dhcp4.OptRapidCommit})
	}
	w.addBytes(dhcp4.OptVendorClassIdentifier, []byte(c.VendorClass))
	w.addBytes(dhcp4.OptUserClass, w.userClass)
	if w.fqdn != nil { // in place of option 12 (RFC 4702 3.1)
		w.addBytes(dhcp4.OptFQDN, w.fqdn)
	} else {
		w.addBytes(dhcp4.OptHostName, []byte(c.HostName))
	}
	for _, o := range c.Options {
		if !sentByUs(o.Code) {
			w.opts = append(w.opts, o)
		}
	}
	w.addBytes(dhcp4.OptDHCPParameterRequestList, w.params)
}

// sentByUs reports whether the client alone decides about an option of its messages.
func sentByUs(c dhcp4.Code) bool {
	switch c {
	case dhcp4.OptPad, dhcp4.OptEnd, dhcp4.OptDHCPOptionOverload, dhcp4.OptDHCPAgentOptions, dhcp4.OptDHCPMessageType,
		dhcp4.OptDHCPServerIdentifier, dhcp4.OptDHCPRequestedAddress, dhcp4.OptDHCPLeaseTime, dhcp4.OptDHCPClientIdentifier,
		dhcp4.OptDHCPMaxMessageSize, dhcp4.OptDHCPParameterRequestList, dhcp4.OptRapidCommit:
		return true
	}
	return false
}

// add takes a value that was appended to w.values.
func (w *composer) add(code dhcp4.Code, values []byte) {
	w.opts = append(w.opts, dhcp4.Option{Code: code, Data: values[len(w.values):]})
	w.values = values
}

func (w *composer) addAddr(code dhcp4.Code, a dhcp4.Addr) {
	if a != 0 {
		w.add(code, a.Append(w.values))
	}
}

func (w *composer) addBytes(code dhcp4.Code, val []byte) {
	if len(val) > 0 {
		w.opts = append(w.opts, dhcp4.Option{Code: code, Data: val})
	}
}

// FQDN option flags (RFC 4702 2.1): the server is asked to enter the address in DNS,
// and the name is in the form of DNS messages.
const fqdnFlags = 0x01 | 0x04

// appendFQDN appends the value of option 81. A name without a dot is a host's name
// that the server completes; it has no empty label at its end (RFC 4702 2.3.1). The
// result is nil for a name that DNS cannot express.
func appendFQDN(dst []byte, name string) []byte {
	if name == "" {
		return nil
	}
	whole := strings.Contains(name, ".")
	name = strings.TrimSuffix(name, ".")
	dst = append(dst, fqdnFlags, 0, 0)
	for label := range strings.SplitSeq(name, ".") {
		if len(label) == 0 || len(label) > maxLabel {
			return nil
		}
		dst = append(append(dst, byte(len(label))), label...)
	}
	if whole {
		dst = append(dst, 0)
	}
	if len(dst)-3 > 255 {
		return nil
	}
	return dst
}
