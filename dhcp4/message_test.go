package dhcp4

import (
	"encoding/binary"
	"testing"
)

// raw makes a message of the fixed part and these octets of options.
func raw(options ...byte) []byte {
	b := make([]byte, offOptions, offOptions+len(options))
	b[0], b[1], b[2] = 1, 1, 6
	binary.BigEndian.PutUint32(b[4:], 0xcafef00d)
	copy(b[28:], []byte{2, 0, 0x5e, 0x10, 0, 1})
	copy(b[offCookie:], cookie[:])
	return append(b, options...)
}

// opt is one option as it stands in a message, split when it is long.
func opt(c Code, val ...byte) []byte { return appendOption(nil, c, val) }

// fill is n octets that differ from each other.
func fill(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*7 + i>>8)
	}
	return b
}

// mustParse parses b or ends the test.
func mustParse(t testing.TB, b []byte) *View {
	t.Helper()
	v := new(View)
	if err := v.Parse(b); err != nil {
		t.Fatalf("Parse: %v\n%x", err, b)
	}
	return v
}

// cat joins octets.
func cat(parts ...[]byte) (all []byte) {
	for _, p := range parts {
		all = append(all, p...)
	}
	return all
}
