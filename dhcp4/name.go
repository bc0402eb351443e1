package dhcp4

import (
	"errors"
	"fmt"
	"strconv"
)

// Limits of domain names (RFC 1035 2.3.4).
const (
	maxLabel = 63
	maxName  = 255 // octets of a whole name, lengths and the final zero included
)

// maxLabels limits the labels and pointers that are read from one option's value, so that many
// short pointers to one long name stay cheap.
const maxLabels = 4096

// nameReader reads domain names out of one value, within which compression
// pointers point (RFC 1035 4.1.4, RFC 3397 2).
type nameReader struct {
	msg    []byte
	labels int // and pointers, read so far
}

// next reads the name at pos, appends its text to dst, and returns where the
// octets after the name start. partial allows a name to end with msg, without the
// final zero. whole is false then. ok is false when there is no name; dst may
// have grown all the same.
//
// A pointer must point before the place where the current run of labels began,
// so every pointer goes further back than the one before it and a loop cannot be.
func (r *nameReader) next(dst []byte, pos int, partial bool) (out []byte, after int, whole, ok bool) {
	start, total, after := pos, 0, -1
	first := len(dst)
	for {
		if pos >= len(r.msg) {
			return dst, len(r.msg), false, partial && after < 0 && total > 0
		}
		n := int(r.msg[pos])
		switch {
		case n == 0:
			if after < 0 {
				after = pos + 1
			}
			if total == 0 {
				dst = append(dst, '.')
			}
			return dst, after, true, true
		case n&0xc0 == 0xc0:
			if pos+1 >= len(r.msg) {
				return dst, 0, false, false
			}
			target := n&0x3f<<8 | int(r.msg[pos+1])
			if target >= start {
				return dst, 0, false, false
			}
			if after < 0 {
				after = pos + 2
			}
			pos, start = target, target
			if r.labels++; r.labels > maxLabels {
				return dst, 0, false, false
			}
		case n > maxLabel || pos+1+n > len(r.msg):
			return dst, 0, false, false
		default:
			r.labels++
			total += n + 1
			if total+1 > maxName || r.labels > maxLabels {
				return dst, 0, false, false
			}
			if len(dst) > first {
				dst = append(dst, '.')
			}
			dst = appendLabel(dst, r.msg[pos+1:pos+1+n])
			pos += 1 + n
		}
	}
}

// appendLabel writes a label as text: letters, digits, hyphen and underscore as
// they are, every other octet as \DDD (RFC 1035 5.1).
func appendLabel(dst, label []byte) []byte {
	for _, c := range label {
		if plainInName(c) {
			dst = append(dst, c)
		} else {
			dst = append(dst, '\\', '0'+c/100, '0'+c/10%10, '0'+c%10)
		}
	}
	return dst
}

func plainInName(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_'
}

// appendName writes the name s as labels, without compression, with the final
// zero unless s is partial. \DDD stands for one octet.
func appendName(dst []byte, s string, partial bool) ([]byte, error) {
	start := len(dst)
	if s == "." {
		return append(dst, 0), nil
	}
	at := len(dst) // of the length octet of the label being written
	dst = append(dst, 0)
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '.' && i == len(s)-1:
			continue
		case c == '.':
			if dst[at] == 0 {
				return nil, fmt.Errorf("domain name %q has an empty label", s)
			}
			at = len(dst)
			dst = append(dst, 0)
			continue
		case c == '\\':
			n, err := escaped(s[i+1:])
			if err != nil {
				return nil, fmt.Errorf("domain name %q: %w", s, err)
			}
			c = n
			i += 3
		case !plainInName(c):
			return nil, fmt.Errorf("domain name %q: %q is not a letter, digit, hyphen or underscore; write an international name in its xn-- form", s, c)
		}
		if dst[at] == maxLabel {
			return nil, fmt.Errorf("domain name %q has a label of more than %d letters", s, maxLabel)
		}
		dst[at]++
		dst = append(dst, c)
	}
	if dst[at] == 0 {
		return nil, fmt.Errorf("domain name %q has an empty label", s)
	}
	if !partial {
		dst = append(dst, 0)
	}
	if len(dst)-start > maxName {
		return nil, fmt.Errorf("domain name %q is longer than %d octets", s, maxName)
	}
	return dst, nil
}

// appendNames writes a list of names as one value, in which the end of a name is a pointer
// to an earlier place with the same end (RFC 3397 2, RFC 1035 4.1.4). No pointer leads to
// another one, which is allowed but not understood by all clients.
func appendNames(dst []byte, names []string) ([]byte, error) {
	start := len(dst)
	places := map[string]int{} // labels up to the final zero, and where they are
	for _, s := range names {
		whole, err := appendName(nil, s, false)
		if err != nil {
			return nil, err
		}
		end := 0 // of what is written out
		for ; whole[end] != 0; end += 1 + int(whole[end]) {
			if _, ok := places[string(whole[end:])]; ok {
				break
			}
		}
		at := len(dst) - start
		dst = append(dst, whole[:end]...)
		if whole[end] != 0 {
			to := places[string(whole[end:])]
			dst = append(dst, 0xc0|byte(to>>8), byte(to))
			continue
		}
		dst = append(dst, 0)
		for i := 0; whole[i] != 0 && at+i < 1<<14; i += 1 + int(whole[i]) {
			places[string(whole[i:])] = at + i
		}
	}
	return dst, nil
}

var errEscape = errors.New(`\ must be followed by three digits, at most 255`)

func escaped(s string) (byte, error) {
	if len(s) < 3 {
		return 0, errEscape
	}
	n, err := strconv.ParseUint(s[:3], 10, 8)
	if err != nil {
		return 0, errEscape
	}
	return byte(n), nil
}

// AppendName appends to dst the domain name that starts at pos of val, the whole value
// of an option, as text: labels with dots between them, what is not a letter, digit,
// hyphen or underscore as \DDD, "." for the root. It returns where the octets after the
// name start. partial allows a name to end with val, without the final zero (RFC 4702
// 2.3.2). ok is false when there is no name. The cost is bounded by the longest name.
func AppendName(dst, val []byte, pos int, partial bool) (out []byte, after int, ok bool) {
	r := nameReader{msg: val}
	out, after, _, ok = r.next(dst, pos, partial)
	return out, after, ok
}
