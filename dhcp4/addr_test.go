package dhcp4

import "testing"

// TestPrefixText: a prefix comes back from its text, host bits included; nothing else is read.
func TestPrefixText(t *testing.T) {
	for _, want := range []Prefix{{}, {MustParseAddr("192.0.2.52"), 24}, {MustParseAddr("198.18.0.0"), 15}, {Broadcast, 32}} {
		text, err := want.MarshalText()
		var got Prefix
		if err == nil {
			err = got.UnmarshalText(text)
		}
		if err != nil || got != want {
			t.Errorf("%v became %s and then %v (%v)", want, text, got, err)
		}
	}
	for _, text := range []string{"", "192.0.2.1", "192.0.2.1/33", "192.0.2.1/-1", "2001:db8::/32", "192.0.2.1/024", "::ffff:192.0.2.1/24"} {
		var got Prefix
		if err := got.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q was read as %v", text, got)
		}
	}
}
