package template

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

var names = []string{"address", "circuit-id", "host-name"}

// upper stands in for values: the name in capitals.
func upper(name string, dst []byte) []byte { return append(dst, strings.ToUpper(name)...) }

func TestAppend(t *testing.T) {
	for _, c := range []struct {
		text, want string
		names      []string
	}{
		{"", "", nil},
		{"plain", "plain", nil},
		{"host-${address}", "host-ADDRESS", []string{"address"}},
		{"${address}", "ADDRESS", []string{"address"}},
		{"${address}${circuit-id}.${address}!", "ADDRESSCIRCUIT-ID.ADDRESS!", []string{"address", "circuit-id"}},
		{"$${address}", "${address}", nil},
		{"$$${address}", "$${address}", nil},
		{"$$ $5 {} } $", "$$ $5 {} } $", nil},
		{"größe-${host-name}-ß", "größe-HOST-NAME-ß", []string{"host-name"}},
	} {
		tm, err := Parse(c.text, names...)
		if err != nil {
			t.Errorf("%q: %v", c.text, err)
			continue
		}
		if got := string(tm.Append([]byte("> "), upper)); got != "> "+c.want {
			t.Errorf("%q: %q, want %q", c.text, got, c.want)
		}
		if got := tm.Names(); !slices.Equal(got, c.names) {
			t.Errorf("%q: names %q, want %q", c.text, got, c.names)
		}
		literal, ok := tm.Literal()
		if ok != (c.names == nil) || ok && literal != c.want {
			t.Errorf("%q: literal %q, %v", c.text, literal, ok)
		}
	}
}

func TestErrors(t *testing.T) {
	for _, c := range []struct {
		text           string
		names          []string
		offset, length int
		want           string
	}{
		{"a-${adress}", names, 4, 6, `"adress" is no placeholder here. Did you mean ${address}?`},
		{"${zzzzz}", names, 2, 5, `"zzzzz" is no placeholder here. There are ${address}, ${circuit-id} and ${host-name}`},
		{"x${address", names, 1, 2, `"${" has no "}". Write ${NAME}, or $${ for the two characters ${ themselves`},
		{"ab${address ${host-name}", names, 2, 2, `"${" has no "}". Write ${NAME}, or $${ for the two characters ${ themselves`},
		{"${}", names, 0, 3, "${} names no placeholder. There are ${address}, ${circuit-id} and ${host-name}"},
		{"${address}", nil, 2, 7, `"address" is no placeholder here. None may be used here; write $${ for the two characters ${ themselves`},
		{"${" + strings.Repeat("z", 99) + "}", names[:1], 2, 99, `"` + strings.Repeat("z", 60) + `"... is no placeholder here. There are ${address}`},
	} {
		_, err := Parse(c.text, c.names...)
		var e *Error
		if !errors.As(err, &e) {
			t.Errorf("%q: %v is no *Error", c.text, err)
		} else if e.Offset != c.offset || e.Length != c.length || e.Error() != c.want {
			t.Errorf("%q: %d+%d %q, want %d+%d %q", c.text, e.Offset, e.Length, e.Error(), c.offset, c.length, c.want)
		}
	}
}

func TestAppendAllocatesNothing(t *testing.T) {
	tm, err := Parse("a ${address} b ${circuit-id} $${", names...)
	if err != nil {
		t.Fatal(err)
	}
	buf, circuit := make([]byte, 0, 64), []byte("eth1")
	if n := testing.AllocsPerRun(100, func() {
		out := tm.Append(buf, func(name string, dst []byte) []byte { return append(dst, circuit...) })
		if string(out) != "a eth1 b eth1 ${" {
			t.Fatalf("%q", out)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzParse: the text comes back from the parts, errors point into it, and a text
// that was escaped is a literal.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"", "a${address}", "$${x}", "${", "${adress}", "$$${circuit-id}$", "${a${b}", "\xff${}"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		tm, err := Parse(text, names...)
		var e *Error
		if errors.As(err, &e) {
			if e.Offset < 0 || e.Length < 1 || e.Offset+e.Length > len(text) || e.Message == "" || e.Fix == "" {
				t.Fatalf("%q: %+v", text, e)
			}
		} else {
			// Placeholders filled in with themselves, "$${" is what "${" came from.
			var back []byte
			for _, p := range tm.parts {
				if p.placeholder {
					back = append(back, "${"+p.text+"}"...)
				} else {
					back = append(back, strings.ReplaceAll(p.text, "${", "$${")...)
				}
			}
			if string(back) != text {
				t.Fatalf("%q came back as %q", text, back)
			}
		}
		escaped, err := Parse(strings.ReplaceAll(text, "${", "$${"))
		if literal, ok := escaped.Literal(); err != nil || !ok || literal != text {
			t.Fatalf("%q escaped is %q, %v", text, literal, err)
		}
	})
}
