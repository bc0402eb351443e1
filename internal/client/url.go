package client

import (
	"bytes"
	"strings"

	"lessor/dhcp4"
)

// maxText limits a URL and a time zone: what an option has room for without parts.
const maxText = 255

// noPortal is the URI that says that there is no captive portal (RFC 8910 2).
const noPortal = "urn:ietf:params:capport:unrestricted"

// url reads the URL of a captive portal, "" when it is none that can be shown and
// opened without a thought.
func (r *reader) url(code dhcp4.Code) string {
	val, ok := r.text(code)
	if !ok || string(val) == noPortal {
		return ""
	}
	if !isURL(val) {
		r.refuse(code, OptionUnsafe)
		return ""
	}
	return string(val)
}

// isURL reports whether b is a URL with scheme http or https, a host that is a name
// or an IPv4 address, perhaps a port, and then characters that mean nothing to a
// shell, a file or a terminal; "&" only behind a "?", "%" only before two
// hexadecimal digits. There is no user before the host: that is a place to pretend to
// be another host.
func isURL(b []byte) bool {
	if len(b) > maxText {
		return false
	}
	rest, ok := bytes.CutPrefix(b, []byte("https://"))
	if !ok {
		rest, ok = bytes.CutPrefix(b, []byte("http://"))
	}
	if !ok {
		return false
	}
	end := bytes.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	host, port, hasPort := strings.Cut(string(rest[:end]), ":")
	if hasPort && !isPort(port) {
		return false
	}
	if _, err := dhcp4.ParseAddr(host); err != nil && !isName([]byte(host)) {
		return false
	}
	return isURLPath(rest[end:])
}

// isURLPath reports whether b can stand behind the host: path, query and fragment.
func isURLPath(b []byte) bool {
	query := false
	for i, c := range b {
		switch {
		case isLetterOrDigit(c) || strings.IndexByte("-._~/:@=+,#", c) >= 0:
		case c == '?':
			query = true
		case c == '&' && query:
		case c == '%' && i+2 < len(b) && isHex(b[i+1]) && isHex(b[i+2]):
		default:
			return false
		}
	}
	return true
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

func isPort(s string) bool {
	n := 0
	for _, c := range []byte(s) {
		if c < '0' || c > '9' || n > 65535 {
			return false
		}
		n = 10*n + int(c-'0')
	}
	return 0 < n && n <= 65535
}

// timeZone reads the name of a time zone, such as Europe/Zurich or Etc/GMT+5.
func (r *reader) timeZone(code dhcp4.Code) string {
	val, ok := r.text(code)
	if !ok {
		return ""
	}
	if !isTimeZone(val) {
		r.refuse(code, OptionUnsafe)
		return ""
	}
	return string(val)
}

// isTimeZone reports whether b can be the name of a time zone. Such a name becomes
// a path below the directory of time zones, so that no part of it starts with a dot.
func isTimeZone(b []byte) bool {
	if len(b) > maxText {
		return false
	}
	for part := range bytes.SplitSeq(b, []byte("/")) {
		if len(part) == 0 || !isLetterOrDigit(part[0]) {
			return false
		}
		for _, c := range part {
			if !isLetterOrDigit(c) && strings.IndexByte("-+._", c) < 0 {
				return false
			}
		}
	}
	return true
}
