package policy

import (
	"strconv"

	"lessor/dhcp4"
)

// Placeholders are the names that templates of option values may use: the address that
// the client gets, what the client and its relay agents say of it, and the name of its subnet.
var Placeholders = []string{"address", "hw-address", "client-id", "hostname", "circuit-id", "remote-id", "subscriber-id",
	"giaddr", "interface", "subnet"}

// maxFilled is the most octets of a value that a template gives.
const maxFilled = 255

// Filler fills in the templates of option values. What clients and relay agents say may
// be hostile and ends in shells, file names and zone files, so little of it survives: in a host
// name letters, digits, hyphens and dots, elsewhere also _ : / (anything else makes
// it hexadecimal). A Filler keeps its memory, so that filling in allocates nothing. The zero Filler
// is ready.
type Filler struct {
	facts   *Facts
	addr    dhcp4.Addr
	name    bool // a host name is being made
	missing bool // a placeholder had no value
	value   func(name string, dst []byte) []byte
	scratch [maxFilled]byte
}

// isName reports whether the value of option code is a domain name in text.
func isName(code dhcp4.Code) bool { return code == dhcp4.OptHostName || code == dhcp4.OptDomainName }

// Append appends v's template, filled in for a client at address a, to dst. It reports
// false, and dst as it was, when there is nothing to send: a placeholder has no value for this
// client, or the result is not what the option may hold.
func (f *Filler) Append(dst []byte, v *Value, facts *Facts, a dhcp4.Addr) ([]byte, bool) {
	if f.value == nil {
		f.value = f.append
	}
	f.facts, f.addr, f.name, f.missing = facts, a, isName(v.Code), false
	out := v.Template.Append(dst, f.value)
	f.facts = nil
	made := out[len(dst):]
	if f.missing || len(made) == 0 || len(made) > maxFilled || f.name && !ValidHostName(made) {
		return dst, false
	}
	return out, true
}

// append appends the value of a placeholder.
func (f *Filler) append(name string, dst []byte) []byte {
	start := len(dst)
	switch name {
	case "address":
		dst = f.ipv4(dst, f.addr)
	case "giaddr":
		dst = f.ipv4(dst, f.facts.GIAddr)
	case "hw-address":
		dst = f.octets(dst, f.facts.HW)
	case "client-id":
		dst = f.text(dst, f.facts.ClientID)
	case "hostname":
		dst = f.text(dst, f.clientName())
	case "circuit-id":
		dst = f.agent(dst, dhcp4.AgentCircuitID)
	case "remote-id":
		dst = f.agent(dst, dhcp4.AgentRemoteID)
	case "subscriber-id":
		dst = f.agent(dst, dhcp4.AgentSubscriberID)
	case "interface":
		dst = f.word(dst, f.facts.Interface)
	case "subnet":
		if f.facts.Network != nil {
			if s := f.facts.Network.Contains(f.addr); s != nil {
				dst = f.word(dst, s.Name)
			}
		}
	}
	f.missing = f.missing || len(dst) == start
	return dst
}

// ipv4 writes an address; in a host name its dots would make labels.
func (f *Filler) ipv4(dst []byte, a dhcp4.Addr) []byte {
	if a == 0 {
		return dst
	}
	sep := byte('.')
	if f.name {
		sep = '-'
	}
	for i, b := range a.As4() {
		if i > 0 {
			dst = append(dst, sep)
		}
		dst = strconv.AppendUint(dst, uint64(b), 10)
	}
	return dst
}

// octets writes an address of hardware.
func (f *Filler) octets(dst, b []byte) []byte {
	sep := byte(':')
	if f.name {
		sep = '-'
	}
	for i, c := range b {
		if i > 0 {
			dst = append(dst, sep)
		}
		dst = append(dst, hexDigits[c>>4], hexDigits[c&15])
	}
	return dst
}

const hexDigits = "0123456789abcdef"

// clientName is the host name that the client sent.
func (f *Filler) clientName() []byte {
	if f.facts.View == nil {
		return nil
	}
	name, _ := f.facts.View.Get(dhcp4.OptHostName, f.scratch[:0])
	return name
}

func (f *Filler) agent(dst []byte, sub uint8) []byte {
	val, _ := f.facts.AgentOption(sub)
	return f.text(dst, val)
}

// text writes text from the network.
func (f *Filler) text(dst, b []byte) []byte {
	for len(b) > 0 && b[len(b)-1] == 0 { // some clients send a C string
		b = b[:len(b)-1]
	}
	b = b[:min(len(b), maxFilled)]
	for _, c := range b {
		if c < ' ' || c > '~' || !f.name && !plain(c) {
			for _, c := range b {
				dst = append(dst, hexDigits[c>>4], hexDigits[c&15])
			}
			return dst
		}
	}
	if !f.name {
		return append(dst, b...)
	}
	return appendLabels(dst, b)
}

// word writes a name of the configuration.
func (f *Filler) word(dst []byte, s string) []byte {
	if !f.name {
		return append(dst, s...)
	}
	whole := append(dst, s...)
	return appendLabels(dst, whole[len(dst):])
}

// appendLabels writes b as a piece of a host name: what no host name has becomes a
// hyphen, several of them one, and none at the ends. dst may end where b begins.
func appendLabels(dst, b []byte) []byte {
	start := len(dst)
	for _, c := range b {
		switch {
		case isAlnum(c) || c == '.':
			dst = append(dst, c)
		case len(dst) > start && dst[len(dst)-1] != '-':
			dst = append(dst, '-')
		}
	}
	for len(dst) > start && dst[len(dst)-1] == '-' {
		dst = dst[:len(dst)-1]
	}
	return dst
}

func isAlnum(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

func plain(c byte) bool {
	return isAlnum(c) || c == '-' || c == '.' || c == '_' || c == ':' || c == '/'
}

// ValidHostName reports whether b is a host name, with a domain or without: labels of 1 to
// 63 letters, digits and hyphens, none of the last at an end, at most 253 octets
// (RFC 1123 2.1, RFC 1035 2.3.4).
func ValidHostName(b []byte) bool {
	if len(b) == 0 || len(b) > 253 {
		return false
	}
	label := 0
	for i, c := range b {
		switch {
		case c == '.':
			if label == 0 || b[i-1] == '-' {
				return false
			}
			label = 0
			continue
		case c == '-' && label == 0, c != '-' && !isAlnum(c):
			return false
		}
		if label++; label > 63 {
			return false
		}
	}
	return label > 0 && b[len(b)-1] != '-'
}
