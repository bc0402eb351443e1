package config

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"

	"lessor/dhcp4"
	"lessor/internal/lease"
)

// Readers of single values. Each reports what is wrong at the value's position
// and returns false.

// text returns the scalar n as it is written. YAML's guesses at numbers, times and
// booleans are not used.
func (p *parser) text(n *yaml.Node, what string) (string, bool) {
	if n.Kind != yaml.ScalarNode || isNull(n) {
		p.errorf(n, "type", "", "expected %s, but this is %s", what, shape(n))
		return "", false
	}
	return n.Value, true
}

// list returns the items of a list; one value stands for a list of one.
func list(n *yaml.Node) []*yaml.Node {
	if n.Kind == yaml.SequenceNode {
		return n.Content
	}
	return []*yaml.Node{n}
}

func (p *parser) boolean(n *yaml.Node) (value, ok bool) {
	s, ok := p.text(n, "true or false")
	if !ok {
		return false, false
	}
	switch strings.ToLower(s) {
	case "true":
		return true, true
	case "false":
		return false, true
	}
	fix := "write true or false"
	switch strings.ToLower(s) {
	case "yes", "on", "1":
		fix = "write true"
	case "no", "off", "0":
		fix = "write false"
	}
	p.errorf(n, "boolean", fix, "%s is neither true nor false", quotable(s))
	return false, false
}

// word reads one of a few words.
func (p *parser) word(n *yaml.Node, words ...string) (string, bool) {
	s, ok := p.text(n, strings.Join(words, " or "))
	if !ok {
		return "", false
	}
	for _, w := range words {
		if s == w {
			return w, true
		}
	}
	p.errorf(n, "choice", "write "+strings.Join(words, " or "), "%s is not a value of this key", quotable(s))
	return "", false
}

func (p *parser) addr(n *yaml.Node, what string) (dhcp4.Addr, bool) {
	s, ok := p.text(n, what)
	if !ok {
		return 0, false
	}
	a, err := dhcp4.ParseAddr(strings.TrimSpace(s))
	if err != nil {
		p.errorf(n, "address", "write "+what, "%s is not an IPv4 address", quotable(s))
		return 0, false
	}
	if !a.IsUnicastHost() {
		p.errorf(n, "address", "", "%s cannot be the address of a host", a)
		return 0, false
	}
	return a, true
}

// units of durations, longest first, in seconds.
var units = []struct {
	sign    string
	seconds uint64
}{{"w", 604800}, {"d", 86400}, {"h", 3600}, {"m", 60}, {"s", 1}}

// parseDuration reads "12h", "1h30m", "2d", seconds, or "infinite".
func parseDuration(s string) (seconds uint32, ok bool) {
	if s == "infinite" {
		return lease.Infinite, true
	}
	var total uint64
	rest, unit := s, 0
	for rest != "" {
		digits := len(rest) - len(strings.TrimLeft(rest, "0123456789"))
		n, err := strconv.ParseUint(rest[:digits], 10, 32)
		if err != nil {
			return 0, false
		}
		rest = rest[digits:]
		if rest == "" && digits == len(s) {
			total = n // a plain number is seconds
			break
		}
		for ; unit < len(units) && !strings.HasPrefix(rest, units[unit].sign); unit++ {
		}
		if unit == len(units) {
			return 0, false
		}
		total += n * units[unit].seconds
		rest = rest[1:]
		unit++
	}
	if s == "" || total >= uint64(lease.Infinite) {
		return 0, false
	}
	return uint32(total), true
}

// formatDuration is the shortest way to write seconds that parseDuration reads.
func formatDuration(seconds uint32) string {
	if seconds == lease.Infinite {
		return "infinite"
	}
	if seconds == 0 {
		return "0"
	}
	var b strings.Builder
	rest := uint64(seconds)
	for _, u := range units[1:] {
		if n := rest / u.seconds; n > 0 {
			fmt.Fprintf(&b, "%d%s", n, u.sign)
			rest %= u.seconds
		}
	}
	return b.String()
}

// duration reads a duration within limits; infinite is allowed when hi is
// lease.Infinite.
func (p *parser) duration(n *yaml.Node, key string, lo, hi uint32) (uint32, bool) {
	s, ok := p.text(n, "a duration such as 12h")
	if !ok {
		return 0, false
	}
	v, ok := parseDuration(strings.TrimSpace(s))
	switch {
	case !ok && hi == lease.Infinite:
		p.errorf(n, "duration", "write 12h, 90m, 43200 (seconds) or infinite", "cannot read %s as a duration", quotable(s))
	case !ok:
		p.errorf(n, "duration", "write 60s, 5m, 24h or a number of seconds", "cannot read %s as a duration", quotable(s))
	case v < lo:
		p.errorf(n, "duration-range", "", "%s cannot be shorter than %s", key, formatDuration(lo))
	case v > hi:
		p.errorf(n, "duration-range", "", "%s cannot be longer than %s", key, formatDuration(hi))
	default:
		return v, true
	}
	return 0, false
}

// addrRange reads "first-last", one address, or a prefix.
func (p *parser) addrRange(n *yaml.Node, id string) (r dhcp4.Range, ok bool) {
	const what = "a range such as 192.0.2.50-192.0.2.200 or 192.0.2.128/25"
	s, ok := p.text(n, what)
	if !ok {
		return r, false
	}
	if strings.Contains(s, "/") {
		pre, ok := p.parsePrefix(n, id, s, what)
		return pre.Range(), ok
	}
	first, last, isRange := strings.Cut(s, "-")
	if !isRange {
		last = first
	}
	a, errA := dhcp4.ParseAddr(strings.TrimSpace(first))
	b, errB := dhcp4.ParseAddr(strings.TrimSpace(last))
	switch {
	case errA == nil && errB == nil && a <= b:
		return dhcp4.Range{First: a, Last: b}, true
	case errA == nil && errB == nil:
		p.errorf(n, id, fmt.Sprintf("did you mean %s-%s?", b, a), "the range ends before it starts")
	default:
		fix := "write " + what
		if end, err := strconv.ParseUint(strings.TrimSpace(last), 10, 8); errA == nil && err == nil {
			fix = fmt.Sprintf("did you mean %s-%s?", a, a&^0xff|dhcp4.Addr(end))
		}
		p.errorf(n, id, fix, "%s is not a range of addresses", quotable(s))
	}
	return r, false
}

// parsePrefix reads a prefix without host bits.
func (p *parser) parsePrefix(n *yaml.Node, id, s, what string) (dhcp4.Prefix, bool) {
	s = strings.TrimSpace(s)
	pre, err := dhcp4.ParsePrefix(s)
	if err == nil {
		return pre, true
	}
	fix := "write " + what
	if a, errA := dhcp4.ParseAddr(s); errA == nil {
		fix = fmt.Sprintf("add the length of its prefix, such as %s/24", a)
	} else if np, errP := netip.ParsePrefix(s); errP == nil && np.Addr().Is4() {
		fix = fmt.Sprintf("did you mean %s?", np.Masked())
		p.errorf(n, id, fix, "%s has host bits set", quotable(s))
		return pre, false
	}
	p.errorf(n, id, fix, "%s is not an IPv4 prefix", quotable(s))
	return pre, false
}

// hwAddress reads an Ethernet address: six bytes in hexadecimal with colons,
// hyphens, or dots after every fourth digit.
func (p *parser) hwAddress(n *yaml.Node) ([]byte, bool) {
	const what = "a hardware address such as 02:00:5e:10:00:01"
	s, ok := p.text(n, what)
	if !ok {
		return nil, false
	}
	b, ok := parseOctets(s)
	switch {
	case !ok:
		p.errorf(n, "hw-address", "write "+what, "%s is not a hardware address", quotable(s))
	case len(b) != 6:
		p.errorf(n, "hw-address", "write "+what, "hardware address has %s, Ethernet needs 6", count(len(b), "byte"))
	case bytes.Equal(b, make([]byte, 6)):
		p.errorf(n, "hw-address", "", "a client whose hardware address is all zero is never served")
	case b[0]&1 != 0:
		p.errorf(n, "hw-address", "", "%s is a group address, which no client can have", formatOctets(b))
	default:
		return b, true
	}
	return nil, false
}

// clientID reads a client identifier: bytes in hexadecimal, or text in single
// quotes, as Kea writes it.
func (p *parser) clientID(n *yaml.Node) ([]byte, bool) {
	const what = `bytes such as 01:02:00:5e:10:00:01, or "'text'"`
	s, ok := p.text(n, what)
	if !ok {
		return nil, false
	}
	var b []byte
	if len(s) >= 2 && s[0] == '\'' && s[len(s)-1] == '\'' {
		b = []byte(s[1 : len(s)-1])
	} else if b, ok = parseOctets(s); !ok {
		p.errorf(n, "client-id", "write "+what, "%s is not a client identifier", quotable(s))
		return nil, false
	}
	if len(b) < 2 || len(b) > lease.MaxClientID {
		p.errorf(n, "client-id", "", "a client identifier has 2 to %d bytes, this one has %d", lease.MaxClientID, len(b))
		return nil, false
	}
	return b, true
}

// parseOctets reads hexadecimal bytes: "02:0:5e", "02-00-5e", "0200.5e10.0001",
// "0x02005e" or "02005e".
func parseOctets(s string) ([]byte, bool) {
	s = strings.TrimPrefix(strings.TrimSpace(s), "0x")
	for _, sep := range []string{":", "-"} {
		if !strings.Contains(s, sep) {
			continue
		}
		parts := strings.Split(s, sep)
		for i, part := range parts {
			if len(part) == 1 {
				parts[i] = "0" + part
			} else if len(part) != 2 {
				return nil, false
			}
		}
		s = strings.Join(parts, "")
		break
	}
	if parts := strings.Split(s, "."); len(parts) == 3 && len(parts[0]) == 4 && len(parts[1]) == 4 && len(parts[2]) == 4 {
		s = strings.Join(parts, "")
	}
	b, err := hex.DecodeString(s)
	return b, err == nil && len(b) > 0
}

// formatOctets is bytes in hexadecimal with colons.
func formatOctets(b []byte) string {
	const digits = "0123456789abcdef"
	out := make([]byte, 0, 3*len(b))
	for i, c := range b {
		if i > 0 {
			out = append(out, ':')
		}
		out = append(out, digits[c>>4], digits[c&15])
	}
	return string(out)
}

// hostname reads a host name, with a domain or without (RFC 1123 2.1).
func (p *parser) hostname(n *yaml.Node) (string, bool) {
	s, ok := p.text(n, "a host name")
	if !ok {
		return "", false
	}
	if len(s) > 253 {
		p.errorf(n, "hostname", "", "the host name has %d characters, 253 are the most", len(s))
		return "", false
	}
	for _, label := range strings.Split(s, ".") {
		if !isLabel(label) {
			p.errorf(n, "hostname", "use letters, digits and hyphens, at most 63 between dots", "%s is not a host name", quotable(s))
			return "", false
		}
	}
	return s, true
}

func isLabel(s string) bool {
	if s == "" || len(s) > 63 || s[0] == '-' || s[len(s)-1] == '-' {
		return false
	}
	for _, c := range []byte(s) {
		if c|0x20 < 'a' || c|0x20 > 'z' {
			if (c < '0' || c > '9') && c != '-' {
				return false
			}
		}
	}
	return true
}

// subnetName reads a stable name for a subnet.
func (p *parser) subnetName(n *yaml.Node) (string, bool) {
	s, ok := p.text(n, "a name")
	if !ok {
		return "", false
	}
	bad := len(s) == 0 || len(s) > 64
	for _, c := range []byte(s) {
		letter := c|0x20 >= 'a' && c|0x20 <= 'z' || c >= '0' && c <= '9'
		bad = bad || !letter && !strings.ContainsRune("._/-", rune(c))
	}
	if bad {
		p.errorf(n, "name", "use at most 64 letters, digits and . _ - /", "%s cannot be a name", quotable(s))
		return "", false
	}
	return s, true
}

// count is "1 byte", "2 bytes", "2 addresses".
func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	if strings.HasSuffix(what, "s") {
		what += "e"
	}
	return strconv.Itoa(n) + " " + what + "s"
}
