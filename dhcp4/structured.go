package dhcp4

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Configuration text to wire form for the types that are made of others. decode.go
// is the way back.

// appendRoute takes "198.18.0.0/16 via 192.0.2.1"; "default" is 0.0.0.0/0, and the
// word in the middle may be "-" (Kea) or missing.
func appendRoute(dst []byte, f []string) ([]byte, error) {
	if len(f) == 3 && (f[1] == "via" || f[1] == "-") {
		f = []string{f[0], f[2]}
	}
	if len(f) != 2 {
		return nil, fmt.Errorf("%q is not a route", strings.Join(f, " "))
	}
	if f[0] == "default" {
		f[0] = "0.0.0.0/0"
	}
	p, err := ParsePrefix(f[0])
	if err != nil {
		return nil, err
	}
	router, err := ParseAddr(f[1])
	if err != nil {
		return nil, err
	}
	net := p.Addr.As4()
	dst = append(dst, byte(p.Bits))
	dst = append(dst, net[:(p.Bits+7)/8]...)
	return router.Append(dst), nil
}

// appendRecord takes one item for each field; the last field takes the rest when
// it is a list. A single word holds all fields with commas between them.
func (d *Def) appendRecord(dst []byte, words []string) (out []byte, err error) {
	items, last := words, len(d.Fields)-1
	if len(words) == 1 {
		n := len(d.Fields) // a text at the end may have commas itself
		if d.Fields[last].Many {
			n = -1
		}
		items = strings.SplitN(words[0], ",", n)
		for i := range items {
			items[i] = strings.TrimSpace(items[i])
		}
	}
	if len(items) <= last || len(items) > len(d.Fields) && !d.Fields[last].Many {
		return nil, errForm
	}
	out = dst
	for i, item := range items {
		f := d.Fields[min(i, last)]
		if item == "" && f.Type == TypeString {
			continue
		}
		if out, err = appendItem(out, f.Type, item); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func appendClientFQDN(dst []byte, items []string) ([]byte, error) {
	if len(items) < 3 || len(items) > 4 {
		return nil, errForm
	}
	start := len(dst)
	dst, err := appendItems(dst, TypeUint8, items[:3])
	if err != nil || len(items) == 3 {
		return dst, err
	}
	if dst[start]&flagEncoding == 0 {
		return appendString(dst, items[3])
	}
	return appendName(dst, items[3], !strings.HasSuffix(items[3], "."))
}

// appendSubOptions takes "1=aa:bb" items, or all octets in hexadecimal. The
// agent's sub-options may be given by name.
func appendSubOptions(dst []byte, items []string, agent bool) ([]byte, error) {
	if len(items) == 1 && !strings.Contains(items[0], "=") {
		return appendBinary(dst, items[0])
	}
	var err error
	for _, item := range items {
		add := appendSubOptionText
		if agent {
			add = appendAgentText
		}
		if dst, err = add(dst, item); err != nil {
			return nil, err
		}
	}
	return dst, nil
}

// appendSubOptionText takes "1=aa:bb".
func appendSubOptionText(dst []byte, item string) ([]byte, error) {
	name, text, ok := strings.Cut(item, "=")
	code, err := number(name, 8)
	if !ok || err != nil {
		return nil, fmt.Errorf("%q is not a sub-option such as 1=aa:bb", item)
	}
	return appendShort(append(dst, byte(code)), func(dst []byte) ([]byte, error) {
		return appendBinary(dst, text)
	})
}

// appendAgentText takes "circuit-id=aa:bb", with numbers and addresses as such.
func appendAgentText(dst []byte, item string) ([]byte, error) {
	name, text, _ := strings.Cut(item, "=")
	for i := range agentTable {
		d := &agentTable[i]
		if d.Name != name {
			continue
		}
		t := d.Type
		if t.size() == 0 || strings.Contains(text, ":") {
			t = TypeBinary
		}
		return appendShort(append(dst, byte(d.Code)), func(dst []byte) ([]byte, error) {
			return appendItem(dst, t, text)
		})
	}
	return appendSubOptionText(dst, item)
}

// appendShort appends what add appends, with its length in one octet before it.
func appendShort(dst []byte, add func([]byte) ([]byte, error)) ([]byte, error) {
	at := len(dst)
	dst, err := add(append(dst, 0))
	if err != nil {
		return nil, err
	}
	n := len(dst) - at - 1
	if n > 255 {
		return nil, fmt.Errorf("a part of %d octets is too long, 255 is the most", n)
	}
	dst[at] = byte(n)
	return dst, nil
}

func appendSIPServers(dst []byte, items []string) ([]byte, error) {
	if len(items) == 0 {
		return nil, errForm
	}
	if _, err := ParseAddr(items[0]); err == nil {
		return appendItems(append(dst, 1), TypeAddr, items)
	}
	return appendItems(append(dst, 0), TypeFQDN, items)
}

func appendVendorClasses(dst []byte, f []string) ([]byte, error) {
	return appendVendor(dst, f, func(dst []byte, class string) ([]byte, error) {
		return appendShort(dst, func(dst []byte) ([]byte, error) { return appendBinary(dst, class) })
	})
}

func appendVendorOptions(dst []byte, f []string) ([]byte, error) {
	return appendVendor(dst, f, appendSubOptionText)
}

// appendVendor takes an enterprise number and its items.
func appendVendor(dst []byte, f []string, add func([]byte, string) ([]byte, error)) ([]byte, error) {
	if len(f) == 0 {
		return nil, errForm
	}
	enterprise, err := number(f[0], 32)
	if err != nil {
		return nil, err
	}
	dst = binary.BigEndian.AppendUint32(dst, uint32(enterprise))
	return appendShort(dst, func(dst []byte) (out []byte, err error) {
		out = dst
		for _, item := range f[1:] {
			if out, err = add(out, item); err != nil {
				return nil, err
			}
		}
		return out, nil
	})
}

func appendAddrGroup(dst []byte, f []string) ([]byte, error) {
	return appendShort(dst, func(dst []byte) ([]byte, error) { return appendItems(dst, TypeAddr, f) })
}

// appendResolver takes a priority, a name, addresses and service parameters.
func appendResolver(dst []byte, f []string) ([]byte, error) {
	if len(f) < 2 {
		return nil, errForm
	}
	priority, err := strconv.ParseUint(f[0], 10, 16)
	if err != nil {
		return nil, fmt.Errorf("%q is not a priority from 0 to 65535", f[0])
	}
	at := len(dst)
	dst = binary.BigEndian.AppendUint16(append(dst, 0, 0), uint16(priority))
	dst, err = appendShort(dst, func(dst []byte) ([]byte, error) { return appendName(dst, f[1], false) })
	if err != nil {
		return nil, err
	}
	addrs, params := f[2:], []string(nil)
	for i, w := range addrs {
		if strings.Contains(w, "=") {
			addrs, params = addrs[:i], addrs[i:]
			break
		}
	}
	if len(addrs) == 0 && len(params) > 0 {
		return nil, errors.New("service parameters need an address before them")
	}
	if len(addrs) > 0 {
		if dst, err = appendAddrGroup(dst, addrs); err != nil {
			return nil, err
		}
		if len(params) > 0 {
			if dst, err = appendSvcParams(dst, params); err != nil {
				return nil, err
			}
		}
	}
	binary.BigEndian.PutUint16(dst[at:], uint16(len(dst)-at-2))
	return dst, nil
}
