package event

import (
	"encoding/hex"
	"strconv"
	"unicode"
	"unicode/utf8"

	"lessor/dhcp4"
)

// MaxText is the most octets that Text and Hex return.
const MaxText = 255

// Text makes text from the network fit for a log line, a table and a terminal:
// at most MaxText octets, and whatever is not printable (control characters,
// escape sequences, bidirectional marks, broken UTF-8) is written as a backslash
// sequence. A cut is marked with "…". It is never used as a format.
func Text(b []byte) string {
	const mark = "…"
	out := make([]byte, 0, min(len(b), MaxText))
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		var one [12]byte
		piece := one[:0]
		switch {
		case r == utf8.RuneError && n <= 1:
			piece = append(piece, '\\', 'x', hexDigit(b[0]>>4), hexDigit(b[0]&15))
		case r == '\\':
			piece = append(piece, `\\`...)
		case unicode.IsPrint(r):
			piece = append(piece, b[:n]...)
		case r < 0x80:
			piece = append(piece, '\\', 'x', hexDigit(b[0]>>4), hexDigit(b[0]&15))
		default:
			quoted := strconv.AppendQuoteRuneToASCII(nil, r)
			piece = append(piece, quoted[1:len(quoted)-1]...)
		}
		room := MaxText - len(mark)
		if len(b) == n {
			room = MaxText
		}
		if len(out)+len(piece) > room {
			return string(out) + mark
		}
		out, b = append(out, piece...), b[n:]
	}
	return string(out)
}

func hexDigit(n byte) byte { return "0123456789abcdef"[n&15] }

// Hex writes b as pairs of digits with colons, cut and marked at MaxText octets.
func Hex(b []byte) string {
	const most = (MaxText - 3 + 1) / 3
	cut := len(b) > most
	if cut {
		b = b[:most]
	}
	out := make([]byte, 0, 3*len(b)+3)
	for i := range b {
		if i > 0 {
			out = append(out, ':')
		}
		out = hex.AppendEncode(out, b[i:i+1])
	}
	if cut {
		out = append(out, "…"...)
	}
	return string(out)
}

// HW writes a hardware address; types other than Ethernet are named by their
// number: "6/02:00:5e:10:00:01".
func HW(htype uint8, hw []byte) string {
	if len(hw) == 0 {
		return ""
	}
	if htype == 1 {
		return Hex(hw)
	}
	return strconv.Itoa(int(htype)) + "/" + Hex(hw)
}

// Client is the one label of a client: its hardware address, unless it chose a
// client identifier that says something else.
func Client(htype uint8, hw, clientID []byte) string {
	if len(clientID) == 0 || len(hw) > 0 && len(clientID) == len(hw)+1 &&
		clientID[0] == htype && string(clientID[1:]) == string(hw) {
		return HW(htype, hw)
	}
	return "id/" + Hex(clientID)
}

var typeNames = [...]string{
	dhcp4.Discover: "DISCOVER", dhcp4.Offer: "OFFER", dhcp4.Request: "REQUEST", dhcp4.Decline: "DECLINE",
	dhcp4.Ack: "ACK", dhcp4.Nak: "NAK", dhcp4.Release: "RELEASE", dhcp4.Inform: "INFORM",
}

// TypeName is the name of a message type as RFC 2131 writes it, without DHCP in
// front; types that the protocol does not have are "other".
func TypeName(t dhcp4.MessageType) string {
	if int(t) < len(typeNames) && typeNames[t] != "" {
		return typeNames[t]
	}
	return "other"
}
