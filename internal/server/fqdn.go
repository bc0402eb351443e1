package server

import (
	"bytes"

	"lessor/dhcp4"
	"lessor/internal/policy"
)

// Flags of option 81 (RFC 4702 2.1).
const (
	fqdnS = 1 << iota // the server updates the A record
	fqdnO             // the server does not do as the client wants with S
	fqdnE             // the name is labels as in DNS messages, not ASCII
	fqdnN             // the server updates nothing
)

// rcode is what a server puts in both fields that once held results (RFC 4702 2.2).
const rcode = 255

// maxFQDN is the longest name in text that is answered: with its lengths it fits into an
// option that need not be split.
const maxFQDN = 250

// putFQDN answers a client that sends its name in option 81: with the name that the
// configuration gives it, else with its own, and that no DNS records are updated
// (RFC 4702 4). A name that is no host name gets no answer.
func (c *Core) putFQDN(q *request) {
	r := &c.reply
	if n := q.view.Len(dhcp4.OptFQDN); n < 3 || n > len(r.saidBuf) {
		return
	}
	said, _ := q.view.Get(dhcp4.OptFQDN, r.saidBuf[:0])
	flags := byte(fqdnN) | said[0]&fqdnE
	if said[0]&fqdnS != 0 {
		flags |= fqdnO
	}
	name, whole := append(r.nameBuf[:0], c.setting(q, dhcp4.OptHostName)...), false
	if len(name) == 0 {
		if name, whole = clientFQDN(r.nameBuf[:0], said); len(name) == 0 && len(said) > 3 {
			return
		}
	}
	name, whole = c.qualify(q, name, whole)
	if len(name) > maxFQDN || len(name) > 0 && !policy.ValidHostName(name) {
		return
	}
	out := append(r.fqdn[:0], flags, rcode, rcode)
	if flags&fqdnE == 0 {
		out = append(out, name...)
	} else {
		out = appendLabels(out, name, whole)
	}
	r.add(dhcp4.OptFQDN, out)
}

// qualify completes a name of one label with the client's domain. whole says of a name
// that it needs no domain; one with a dot does not.
func (c *Core) qualify(q *request, name []byte, whole bool) ([]byte, bool) {
	if len(name) == 0 || whole || bytes.IndexByte(name, '.') >= 0 {
		return name, len(name) > 0
	}
	domain := bytes.TrimSuffix(c.setting(q, dhcp4.OptDomainName), []byte("."))
	if len(domain) == 0 || len(name)+1+len(domain) > maxFQDN {
		return name, false
	}
	return append(append(name, '.'), domain...), true
}

// clientFQDN appends the name that said, the value of the client's option 81, holds as
// text, and reports whether it ends with the root. A name that is none gives nothing.
func clientFQDN(dst, said []byte) (name []byte, whole bool) {
	b := said[3:]
	if said[0]&fqdnE == 0 {
		b = bytes.TrimRight(b, "\x00")
		whole = bytes.HasSuffix(b, []byte("."))
		b = bytes.TrimSuffix(b, []byte("."))
		if !policy.ValidHostName(b) || len(b) > maxFQDN {
			return nil, false
		}
		return append(dst, b...), whole
	}
	for len(b) > 0 {
		n := int(b[0])
		if n == 0 {
			whole = len(b) == 1
			break
		}
		if n > 63 || len(b) < 1+n {
			return nil, false
		}
		if len(dst) > 0 {
			dst = append(dst, '.')
		}
		dst = append(dst, b[1:1+n]...)
		b = b[1+n:]
	}
	if len(b) > 1 || !policy.ValidHostName(dst) || len(dst) > maxFQDN {
		return nil, false
	}
	return dst, whole
}

// appendLabels writes a host name as labels (RFC 1035 3.1), with the root's if it is whole.
func appendLabels(dst, name []byte, whole bool) []byte {
	for len(name) > 0 {
		label, rest, _ := bytes.Cut(name, []byte("."))
		dst = append(append(dst, byte(len(label))), label...)
		name = rest
	}
	if whole {
		dst = append(dst, 0)
	}
	return dst
}
