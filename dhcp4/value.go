package dhcp4

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"strconv"
	"strings"
)

// maxValue limits the value of one configured option. No packet that a network
// can carry in one piece has room for more.
const maxValue = 1400

// AppendValue appends to dst the wire form of option d as a configuration gives
// it: words has one word for each item of a list or field of a record, and one
// word for everything else. Items without spaces of their own may also stand in
// one word, with commas or spaces between them. The error says what the option
// takes; dst is not changed then.
func (d *Def) AppendValue(dst []byte, words []string) ([]byte, error) {
	out, err := d.encode(dst, words)
	if err == nil && d.Type != TypeNone && !d.Valid(out[len(dst):]) {
		err = errForm
	}
	if err == nil && len(out)-len(dst) > maxValue {
		return nil, fmt.Errorf("%s: %d octets are more than fit in a packet; at most %d are allowed", d.Name, len(out)-len(dst), maxValue)
	}
	switch {
	case err == errForm:
		return nil, fmt.Errorf("%s takes %s", d.Name, d.Takes())
	case err != nil:
		return nil, fmt.Errorf("%s takes %s: %w", d.Name, d.Takes(), err)
	}
	return out, nil
}

// errForm says only that the value has not the form that Takes describes.
var errForm = errors.New("wrong form")

// Takes says in words, with an example, what a configuration gives as value.
func (d *Def) Takes() string {
	many := d.List || d.Type == TypeRoutes
	switch {
	case d.Type == TypeRecord:
		return "the fields " + strings.TrimPrefix(d.Layout(), "record: ")
	case d.Pairs:
		return "pairs of IPv4 addresses, such as 198.18.0.0, 192.0.2.1"
	case many && manyTakes[d.Type] != "":
		return manyTakes[d.Type]
	case oneTakes[d.Type] != "":
		return oneTakes[d.Type]
	default:
		return d.Layout()
	}
}

var manyTakes = [len(typeNames)]string{
	TypeUint8:  "numbers from 0 to 255",
	TypeUint16: "numbers from 0 to 65535",
	TypeAddr:   "one or more IPv4 addresses, such as 192.0.2.1",
	TypeFQDN:   "one or more domain names, such as example.net",
	TypeRoutes: "one or more routes, such as 198.18.0.0/16 via 192.0.2.1",
	TypeTuples: "one or more texts",
}

var oneTakes = [len(typeNames)]string{
	TypeNone:          "no value; it is not for configuration",
	TypeFlag:          "only true",
	TypeUint8:         "a number from 0 to 255",
	TypeUint16:        "a number from 0 to 65535",
	TypeUint32:        "a number from 0 to 4294967295",
	TypeInt32:         "a number from -2147483648 to 2147483647",
	TypeBool:          "true or false",
	TypeAddr:          "one IPv4 address, such as 192.0.2.1",
	TypeString:        "text of printable characters",
	TypeBinary:        "octets in hexadecimal, such as 01:02:0a, or text in single quotes",
	TypeFQDN:          "one domain name, such as example.net",
	TypeClientFQDN:    "flags, two result codes and a domain name",
	TypeSubOptions:    "sub-options in hexadecimal, such as 1=c0:00:02:01, or all octets as 01:04:c0:00:02:01",
	TypeSIPServers:    "domain names only, or IPv4 addresses only",
	TypeVendorClasses: "an enterprise number and classes in hexadecimal, such as 3561 01:02",
	TypeVendorOptions: "an enterprise number and its sub-options, such as 3561 1=01:02",
	TypeAddrGroups:    "groups of IPv4 addresses; a space between the addresses of one server, a list of servers",
	TypeDNR:           "resolvers, such as 1 dns.example.net 192.0.2.53 alpn=dot alpn=h2 port=853 dohpath=/dns-query{?dns}",
}

// encode appends the value; its errors do not say which option it is.
func (d *Def) encode(dst []byte, words []string) ([]byte, error) {
	switch d.Type {
	case TypeNone:
		return nil, errForm
	case TypeFlag:
		if len(words) == 0 || len(words) == 1 && (words[0] == "true" || words[0] == "") {
			return dst, nil
		}
		return nil, errForm
	case TypeString:
		if len(words) != 1 {
			return nil, errForm
		}
		return appendString(dst, words[0])
	case TypeBinary:
		return appendBinary(dst, strings.Join(words, ":"))
	case TypeClientFQDN:
		return appendClientFQDN(dst, split(words))
	case TypeRoutes:
		return eachWord(dst, words, appendRoute)
	case TypeRecord:
		return d.appendRecord(dst, words)
	case TypeSubOptions:
		return appendSubOptions(dst, split(words), d.Code == OptDHCPAgentOptions)
	case TypeSIPServers:
		return appendSIPServers(dst, split(words))
	case TypeVendorClasses:
		return eachWord(dst, words, appendVendorClasses)
	case TypeVendorOptions:
		return eachWord(dst, words, appendVendorOptions)
	case TypeAddrGroups:
		return eachWord(dst, words, appendAddrGroup)
	case TypeTuples:
		return eachText(dst, words)
	case TypeDNR:
		return eachWord(dst, words, appendResolver)
	default:
		items := split(words)
		if len(items) == 0 || len(items) > 1 && !d.List {
			return nil, errForm
		}
		if d.Compress {
			return appendNames(dst, items)
		}
		return appendItems(dst, d.Type, items)
	}
}

// split cuts words at commas and spaces.
func split(words []string) (items []string) {
	for _, w := range words {
		items = append(items, strings.FieldsFunc(w, func(r rune) bool { return r == ',' || r == ' ' })...)
	}
	return items
}

// eachWord appends each item of words. Items have spaces inside; commas part them.
func eachWord(dst []byte, words []string, add func([]byte, []string) ([]byte, error)) (out []byte, err error) {
	out = dst
	for _, w := range words {
		for _, item := range strings.Split(w, ",") {
			if out, err = add(out, strings.Fields(item)); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

func appendItems(dst []byte, t Type, items []string) (out []byte, err error) {
	out = dst
	for _, item := range items {
		if out, err = appendItem(out, t, item); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// appendItem appends one value of a type that is not made of others.
func appendItem(dst []byte, t Type, s string) ([]byte, error) {
	switch t {
	case TypeUint8, TypeUint16, TypeUint32:
		n, err := number(s, t.size()*8)
		if err != nil {
			return nil, err
		}
		b := binary.BigEndian.AppendUint32(nil, uint32(n))
		return append(dst, b[4-t.size():]...), nil
	case TypeInt32:
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil || n < math.MinInt32 || n > math.MaxInt32 {
			return nil, fmt.Errorf("%q is not such a number", s)
		}
		return binary.BigEndian.AppendUint32(dst, uint32(int32(n))), nil
	case TypeBool:
		switch strings.ToLower(s) {
		case "true", "yes", "on", "1":
			return append(dst, 1), nil
		case "false", "no", "off", "0":
			return append(dst, 0), nil
		}
		return nil, fmt.Errorf("%q is neither", s)
	case TypeAddr:
		a, err := ParseAddr(s)
		if err != nil {
			return nil, err
		}
		return a.Append(dst), nil
	case TypeAddr6:
		a, err := netip.ParseAddr(s)
		if err != nil || !a.Is6() || a.Zone() != "" {
			return nil, fmt.Errorf("%q is not an IPv6 address", s)
		}
		return append(dst, a.AsSlice()...), nil
	case TypeFQDN:
		return appendName(dst, s, false)
	case TypeString:
		return appendString(dst, s)
	default:
		return appendBinary(dst, s)
	}
}

// number reads a decimal number, or a hexadecimal one after 0x, of so many bits.
func number(s string, bits int) (uint64, error) {
	base, digits := 10, s
	if h, ok := strings.CutPrefix(s, "0x"); ok {
		base, digits = 16, h
	}
	n, err := strconv.ParseUint(digits, base, bits)
	if err != nil {
		return 0, fmt.Errorf("%q is not a number from 0 to %d", s, uint64(1)<<bits-1)
	}
	return n, nil
}

// appendString takes text as it is. Control characters and NUL are refused: they
// end up in shells, logs and boot loaders of the clients.
func appendString(dst []byte, s string) ([]byte, error) {
	for _, r := range s {
		if r < ' ' || r == 0x7f {
			return nil, fmt.Errorf("%q has a control character", s)
		}
	}
	if s == "" {
		return nil, errors.New("the text is empty")
	}
	return append(dst, s...), nil
}

// appendBinary takes hexadecimal with or without colons and 0x, or text in single
// quotes.
func appendBinary(dst []byte, s string) ([]byte, error) {
	if n := len(s); n >= 2 && s[0] == '\'' && s[n-1] == '\'' {
		return append(dst, s[1:n-1]...), nil
	}
	h := strings.TrimPrefix(s, "0x")
	if strings.ContainsAny(h, ":- ") {
		parts := strings.FieldsFunc(h, func(r rune) bool { return r == ':' || r == '-' || r == ' ' })
		for i, p := range parts {
			if len(p) == 1 {
				parts[i] = "0" + p
			}
		}
		h = strings.Join(parts, "")
	}
	b, err := hex.DecodeString(h)
	if err != nil {
		return nil, fmt.Errorf("%q is not hexadecimal", s)
	}
	return append(dst, b...), nil
}

// eachText appends texts, each with its length in two octets.
func eachText(dst []byte, words []string) (out []byte, err error) {
	for _, w := range words {
		if len(w) > math.MaxUint16 {
			return nil, errors.New("a text is too long")
		}
		if dst, err = appendString(binary.BigEndian.AppendUint16(dst, uint16(len(w))), w); err != nil {
			return nil, err
		}
	}
	return dst, nil
}
