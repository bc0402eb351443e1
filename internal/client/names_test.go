package client_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"lessor/dhcp4"
	"lessor/internal/client"
)

// TestNames: options 12 and 15, one name as text.
func TestNames(t *testing.T) {
	label := strings.Repeat("x", 63)
	long := label + "." + label + "." + label + "."
	for sent, want := range map[string]string{
		"a": "a", "client-1": "client-1", "Client-1.Example.NET": "Client-1.Example.NET", "example.net.": "example.net", "a\x00": "a", "a\x00\x00\x00": "a",
		"4": "4", "3com.example": "3com.example", "example.c0m": "example.c0m", "xn--bcher-kva.example": "xn--bcher-kva.example",
		label: label, long + strings.Repeat("y", 61): long + strings.Repeat("y", 61),
		// Not names:
		"": "", ".": "", "..": "", ".a": "", "a..b": "", "a..": "", "\x00": "", "a\x00b": "", "-a": "", "a-": "", "a.-b": "", "a-.b": "", "a_b": "", "a b": "", "a\n": "",
		"\u00e4": "", "a/b": "", "../a": "", "192.0.2.1": "", "1.2": "", label + "x": "", long + strings.Repeat("y", 62): "", "%n%s%x": "", "a;b": "",
	} {
		for _, code := range []dhcp4.Code{dhcp4.OptHostName, dhcp4.OptDomainName} {
			l, refused := good(t, ackOf(optText(code, sent)))
			got, other := l.Settings.HostName, l.Settings.Domain
			if code == dhcp4.OptDomainName {
				got, other = other, got
			}
			why := client.OptionUnsafe
			if strings.Trim(sent, "\x00") == "" {
				why = client.OptionLength
			}
			if got != want || other != "" || (want == "") != slices.Equal(refused, []client.Refusal{{Code: code, Reason: why}}) {
				t.Errorf("option %d %q: %q, want %q; refused %v", code, sent, got, want, refused)
			}
		}
	}
}

// TestSearch: option 119 with compression, and what makes the whole of it or one name unusable.
func TestSearch(t *testing.T) {
	chain := []byte("\x01a\x00\xc0\x00") // each pointer points to the one before it
	for i := 3; len(chain) < 3000; i += 2 {
		chain = append(chain, 0xc0|byte(i>>8&0x3f), byte(i))
	}
	label := append([]byte{63}, bytes.Repeat([]byte{'x'}, 63)...)
	most := append(bytes.Repeat(label, 3), append(append([]byte{61}, bytes.Repeat([]byte{'y'}, 61)...), 0)...)
	var many []byte
	for i := range 100 {
		many = append(many, 2, 'a'+byte(i/26), 'a'+byte(i%26), 0)
	}
	for name, tt := range map[string]struct {
		val     string
		want    string
		refused string
	}{
		"plain":                     {"\x07example\x03net\x00", "[example.net]", ""},
		"pointers":                  {"\x03eng\x05apple\x03com\x00\x09marketing\xc0\x04", "[eng.apple.com marketing.apple.com]", ""}, // RFC 3397 2
		"a pointer to a pointer":    {"\x03net\x00\x01a\xc0\x00\x01b\xc0\x05\x01c\xc0\x09", "[net a.net b.a.net c.b.a.net]", ""},
		"a pointer alone":           {"\x03net\x00\xc0\x00", "[net]", ""},
		"twice":                     {"\x03net\x00\x03net\x00", "[net]", ""},
		"names of other characters": {"\x03a b\x00\x03net\x00\x02-a\x00\x03a.b\x00\x02a-\x00\x03\x1b[m\x00\x00", "[net]", "119 unsafe-text"},
		"the longest name":          {string(most), "[" + strings.TrimSuffix(strings.Repeat(strings.Repeat("x", 63)+".", 3)+strings.Repeat("y", 61), ".") + "]", ""},
		"a name too long":           {string(bytes.Repeat(label, 4)) + "\x00", "[]", "119 bad-form"},
		"a label too long":          {"\x40" + strings.Repeat("x", 64) + "\x00", "[]", "119 bad-form"},
		"too long by pointers":      {string(most) + "\x01a\xc0\x00", "[]", "119 bad-form"},
		"empty":                     {"", "[]", "119 bad-form"},
		"no end":                    {"\x07example\x03net", "[]", "119 bad-form"},
		"a label past the end":      {"\x03net\x00\x07exam", "[]", "119 bad-form"},
		"half a pointer":            {"\x03net\x00\xc0", "[]", "119 bad-form"},
		"pointer to itself":         {"\xc0\x00", "[]", "119 bad-form"},
		"pointer into itself":       {"\x01a\xc0\x00", "[]", "119 bad-form"},
		"pointer forward":           {"\xc0\x02\x03net\x00", "[]", "119 bad-form"},
		"circle":                    {"\x01a\xc0\x04\x01b\xc0\x00", "[]", "119 bad-form"},
		"pointer past the end":      {"\x03net\x00\xff\xff", "[]", "119 bad-form"},
		"a chain of pointers":       {string(chain), "[]", "119 bad-form"},
		"more than are taken":       {string(many), "[aa ab ac ad ae af ag ah ai aj ak al am an ao ap]", "119 too-many"},
	} {
		l, refused := good(t, ackOf(optText(dhcp4.OptDomainSearch, tt.val)))
		if got := fmt.Sprint(l.Settings.Search); got != tt.want || showRefused(refused) != tt.refused {
			t.Errorf("%s: %s, refused %s; want %s, %s", name, got, showRefused(refused), tt.want, tt.refused)
		}
	}
}

// TestLongOptions: an option in parts is joined (RFC 3396), cut in the middle of a name or a
// route, in the options field and on into file and sname.
func TestLongOptions(t *testing.T) {
	var names, routes []byte
	for i := range 15 {
		names = append(append(names, 60), bytes.Repeat([]byte{'a' + byte(i)}, 60)...)
		names = append(names, 3, 'n', 'e', 't', 0)
	}
	for i := range 60 {
		routes = append(routes, 24, 198, 18, byte(i), 192, 0, 2, 1)
	}
	l, refused := good(t, ackOf(opt(dhcp4.OptDomainSearch, names...), opt(o121, routes...)))
	if len(l.Settings.Search) != 15 || len(l.Settings.Routes) != 60 || len(refused) != 0 {
		t.Errorf("%d names, %d routes, refused %v", len(l.Settings.Search), len(l.Settings.Routes), refused)
	}
	// The same value in parts of every size, over all three fields.
	whole := []byte("\x03eng\x05apple\x03com\x00\x09marketing\xc0\x04")
	for i := range whole {
		for j := i; j < len(whole); j++ {
			part := func(b []byte) []byte { return append([]byte{119, byte(len(b))}, b...) }
			b := overloaded(3, part(whole[:i]), part(whole[i:j]), part(whole[j:]))
			l, refused := good(t, b)
			if fmt.Sprint(l.Settings.Search) != "[eng.apple.com marketing.apple.com]" || len(refused) != 0 {
				t.Fatalf("cut at %d and %d: %q, refused %v", i, j, l.Settings.Search, refused)
			}
		}
	}
	// A number in two parts is one number.
	l, refused = good(t, overloaded(1, []byte{26, 1, 5}, []byte{26, 1, 0xdc}, nil))
	if l.Settings.MTU != 1500 || len(refused) != 0 {
		t.Errorf("MTU %d, refused %v", l.Settings.MTU, refused)
	}
}

// overloaded is the ACK of ackOf with option 52 and options in all three fields, as octets.
func overloaded(value byte, options, file, sname []byte) []byte {
	b := ackOf(opt(o3)) // an empty option 3, whose place is written over
	at := bytes.LastIndexByte(b, 255) - 2
	b = append(append(b[:at:at], 52, 1, value), append(slices.Clone(options), 255)...)
	copy(b[108:236], append(slices.Clone(file), 255))
	copy(b[44:108], append(slices.Clone(sname), 255))
	return b
}
