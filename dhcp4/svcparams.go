package dhcp4

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Service parameters of encrypted resolvers (RFC 9463 5.1; RFC 9460 2.2): key and
// length of two octets each and a value, ascending by key.
const (
	svcALPN    = 1 // protocols, each with its length in one octet (RFC 9460 7.1)
	svcPort    = 3 // two octets
	svcDoHPath = 7 // a URI template (RFC 9461 5)
)

// appendSvcParams takes "alpn=dot", once for each protocol, "port=853" and
// "dohpath=/dns-query{?dns}" in any order, or "svc=" with all of it in hexadecimal.
func appendSvcParams(dst []byte, words []string) ([]byte, error) {
	var alpn, port, path []byte
	for _, w := range words {
		key, text, _ := strings.Cut(w, "=")
		var err error
		switch {
		case key == "svc" && len(words) == 1:
			return appendBinary(dst, text)
		case text == "":
			return nil, fmt.Errorf("%q has no value", w)
		case key == "alpn":
			alpn, err = appendShort(alpn, func(dst []byte) ([]byte, error) { return appendString(dst, text) })
		case key == "port" && port == nil:
			var n uint64
			n, err = number(text, 16)
			port = binary.BigEndian.AppendUint16(nil, uint16(n))
		case key == "dohpath" && path == nil:
			path, err = appendString(nil, text)
		default:
			return nil, fmt.Errorf("%q is not one of alpn=, port=, dohpath= (the last two once), or svc= alone", w)
		}
		if err != nil {
			return nil, err
		}
	}
	if alpn == nil {
		return nil, errors.New("alpn= is missing, such as alpn=dot")
	}
	dst = appendSvcParam(dst, svcALPN, alpn)
	dst = appendSvcParam(dst, svcPort, port)
	return appendSvcParam(dst, svcDoHPath, path), nil
}

func appendSvcParam(dst []byte, key uint16, val []byte) []byte {
	if val == nil {
		return dst
	}
	dst = binary.BigEndian.AppendUint16(dst, key)
	return append(binary.BigEndian.AppendUint16(dst, uint16(len(val))), val...)
}

// showSvcParams is the way back: words with a space before each, or all octets after
// "svc=" where words would not give them again.
func showSvcParams(dst, b []byte) []byte {
	if out, ok := svcWords(dst, b); ok {
		return out
	}
	return appendHex(append(dst, " svc="...), b, 255)
}

func svcWords(dst, b []byte) (out []byte, ok bool) {
	for last := 0; len(b) > 0; {
		if len(b) < 4 || len(b) < 4+int(binary.BigEndian.Uint16(b[2:])) {
			return dst, false
		}
		key, val := int(binary.BigEndian.Uint16(b)), b[4:4+int(binary.BigEndian.Uint16(b[2:]))]
		b = b[4+len(val):]
		if key <= last || last == 0 && key != svcALPN || len(val) == 0 {
			return dst, false
		}
		last = key
		switch {
		case key == svcALPN:
			for len(val) > 0 {
				n := 1 + int(val[0])
				if n == 1 || len(val) < n || !plainWord(val[1:n]) {
					return dst, false
				}
				dst = append(append(dst, " alpn="...), val[1:n]...)
				val = val[n:]
			}
		case key == svcPort && len(val) == 2:
			dst = strconv.AppendUint(append(dst, " port="...), uint64(binary.BigEndian.Uint16(val)), 10)
		case key == svcDoHPath && plainWord(val):
			dst = append(append(dst, " dohpath="...), val...)
		default:
			return dst, false
		}
	}
	return dst, true
}

// plainWord reports whether b stands in a list as one word.
func plainWord(b []byte) bool {
	for _, c := range b {
		if c <= ' ' || c > '~' || c == ',' || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}
