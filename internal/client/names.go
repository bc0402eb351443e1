package client

import (
	"bytes"
	"slices"

	"lessor/dhcp4"
)

// Limits of names: labels as in RFC 1035 2.3.4, and the text of a name of 255 octets.
const (
	maxLabel = 63
	maxName  = 253
)

// name reads an option that is one domain name as text, "" when it is none. A dot at
// its end goes.
func (r *reader) name(code dhcp4.Code) string {
	val, ok := r.text(code)
	if !ok {
		return ""
	}
	val = bytes.TrimSuffix(val, []byte("."))
	if !isName(val) {
		r.refuse(code, OptionUnsafe)
		return ""
	}
	return string(val)
}

// isName reports whether b is a host or domain name that is safe in a file, an
// environment or a terminal: labels of letters, digits and hyphens (RFC 1123 2.1),
// no hyphen first or last in one, and not in the form of an address.
func isName(b []byte) bool {
	if len(b) == 0 || len(b) > maxName {
		return false
	}
	labels, digits := 0, false
	for label := range bytes.SplitSeq(b, []byte(".")) {
		if !isLabel(label) {
			return false
		}
		labels++
		digits = !slices.ContainsFunc(label, func(c byte) bool { return c < '0' || c > '9' })
	}
	return labels == 1 || !digits
}

func isLabel(b []byte) bool {
	if len(b) == 0 || len(b) > maxLabel || b[0] == '-' || b[len(b)-1] == '-' {
		return false
	}
	return !slices.ContainsFunc(b, func(c byte) bool { return !isLetterOrDigit(c) && c != '-' })
}

func isLetterOrDigit(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

// search reads option 119, at most MaxServers names (RFC 3397). A name of other
// characters is left out; a value that is no list of names is left out as a whole.
func (r *reader) search() (list []string) {
	const code = dhcp4.OptDomainSearch
	val, ok := r.get(code)
	if !ok {
		return nil
	}
	if !dhcp4.Lookup(code).Valid(val) {
		r.refuse(code, OptionMalformed)
		return nil
	}
	for pos := 0; pos < len(val); {
		var name []byte
		if name, pos, ok = readName(val, pos); !ok {
			r.refuse(code, OptionMalformed)
			return nil
		}
		switch {
		case !isName(name):
			r.refuse(code, OptionUnsafe)
		case slices.Contains(list, string(name)):
		case len(list) == MaxServers:
			r.refuse(code, OptionTooMany)
			return list
		default:
			list = append(list, string(name))
		}
	}
	return list
}

// readName reads the labels at pos (RFC 1035 4.1.4) and says where the octets after
// them start. Pointers point into msg itself, and before the labels that they end,
// so that there is no loop. A label that has a dot inside gives no name, because its
// text would be two labels. That msg is Valid bounds the work for all of its names.
func readName(msg []byte, pos int) (name []byte, after int, ok bool) {
	name = make([]byte, 0, maxName)
	start := pos
	for pos < len(msg) {
		n := int(msg[pos])
		switch {
		case n == 0:
			return name, max(after, pos+1), true
		case n >= 0xc0:
			if pos+1 >= len(msg) {
				return nil, 0, false
			}
			to := n&0x3f<<8 | int(msg[pos+1])
			if to >= start {
				return nil, 0, false
			}
			// The first pointer ends the name here; the others lie before it.
			after = max(after, pos+2)
			pos, start = to, to
		case n > maxLabel || pos+1+n > len(msg) || len(name)+1+n > maxName+1:
			return nil, 0, false
		default:
			label := msg[pos+1 : pos+1+n]
			if bytes.IndexByte(label, '.') >= 0 {
				label = []byte("?") // not safe, whatever it is
			}
			if len(name) > 0 {
				name = append(name, '.')
			}
			name = append(name, label...)
			pos += 1 + n
		}
	}
	return nil, 0, false
}
