package dhcp4

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

// Tests of this file are named after the faults of other programs that they
// guard against.

// TestSystemd26151EveryLength: a message of 240 octets, with nothing after the
// cookie, made another program's relay give up. Every length from 0 to 300, byte
// by byte, with and without a cookie, END or anything but PAD, must end in a
// result.
func TestSystemd26151EveryLength(t *testing.T) {
	var v View
	check := func(b []byte, want Problem) {
		t.Helper()
		err := v.Parse(b)
		got := NoProblem
		if err != nil {
			got = err.(*ParseError).Problem
			if off := err.(*ParseError).Offset; off < 0 || off > len(b) {
				t.Errorf("%d octets: offset %d", len(b), off)
			}
		}
		if got != want {
			t.Errorf("%d octets: %v, want %v", len(b), got, want)
		}
	}
	fullOf := func(option []byte) []byte {
		b := raw()
		for len(b) < 400 {
			b = append(b, option...)
		}
		return b
	}
	end := append(raw(255), make([]byte, 160)...)
	pads := append(raw(), make([]byte, 160)...)
	wrong := append([]byte(nil), end...)
	wrong[239]++
	names := fullOf(opt(OptHostName, 'a', 'b', 'c'))
	for n := range 301 {
		short := func(p Problem) Problem {
			if n < 240 {
				return TooShort
			}
			return p
		}
		check(end[:n], short(NoProblem))
		check(pads[:n], short(NoProblem))
		check(wrong[:n], short(NoCookie))
		cut := NoProblem
		switch rest := (n - 240) % 5; {
		case rest == 1:
			cut = LengthMissing
		case rest > 1:
			cut = OptionOverrun
		}
		check(names[:n], short(cut))
	}
}

// TestCVE2006_3122ClientIDs: client identifiers of every awkward size are read as
// they were sent.
func TestCVE2006_3122ClientIDs(t *testing.T) {
	for _, n := range []int{0, 1, 2, 31, 32, 33, 254, 255, 600} {
		id := fill(n)
		v := mustParse(t, raw(append(opt(OptDHCPClientIdentifier, id...), 255)...))
		got, ok := v.Get(OptDHCPClientIdentifier, make([]byte, 600))
		if !ok || !bytes.Equal(got, id) || v.Len(OptDHCPClientIdentifier) != n {
			t.Errorf("%d octets: read %d, %v", n, len(got), ok)
		}
		// CVE-2010-2156: fewer than two octets are no identifier (RFC 2132 9.14).
		if valid := Lookup(OptDHCPClientIdentifier).Valid(got); valid != (n >= 2) {
			t.Errorf("%d octets: valid is %v", n, valid)
		}
	}
}

// TestCVE2012_3570TypeOneIDs: a client identifier that says Ethernet, with 0 to
// 255 octets after that, is read and shown as it is, not as an address of six.
func TestCVE2012_3570TypeOneIDs(t *testing.T) {
	for n := range 256 {
		id := append([]byte{1}, bytes.Repeat([]byte{0xaa}, n)...)
		v := mustParse(t, raw(opt(OptDHCPClientIdentifier, id...)...))
		got, _ := v.Get(OptDHCPClientIdentifier, make([]byte, 256))
		text := Lookup(OptDHCPClientIdentifier).AppendText(nil, got)
		if want := "01" + strings.Repeat(":aa", n); !bytes.Equal(got, id) || n > 0 && string(text) != want {
			t.Errorf("%d octets after the type: %x, shown as %s", n, got, text)
		}
	}
}

// TestCVE2014_6060Overload: every value of option 52, fields that point to each
// other, and 52 inside a field that it made available: each field is read at most
// once.
func TestCVE2014_6060Overload(t *testing.T) {
	for value := range 256 {
		for _, inside := range []byte{0, 1, 2, 3, 255} {
			b := raw(cat(opt(OptDHCPOptionOverload, byte(value)), []byte{255})...)
			copy(b[offFile:], cat(opt(OptDHCPOptionOverload, inside), opt(OptHostName, 'f'), []byte{255}))
			copy(b[offSName:], cat(opt(OptDHCPOptionOverload, inside), opt(OptHostName, 's'), []byte{255}))
			v := mustParse(t, b)
			want := map[int]string{1: "f", 2: "s", 3: "fs"}[value]
			got, _ := v.Get(OptHostName, make([]byte, 8))
			if string(got) != want {
				t.Fatalf("52 is %d, %d inside: host name %q, want %q", value, inside, got, want)
			}
			if o, ok := v.Uint8(OptDHCPOptionOverload); !ok || int(o) != value {
				t.Fatalf("52 is %d, %d inside: read as %d, %v", value, inside, o, ok)
			}
			if (v.File() == nil) != (value == 1 || value == 3) || (v.SName() == nil) != (value == 2 || value == 3) {
				t.Fatalf("52 is %d: file %x, sname %x", value, v.File(), v.SName())
			}
			steps := 0
			for range v.Instances {
				steps++
			}
			if steps > 5 {
				t.Fatalf("52 is %d: %d options read", value, steps)
			}
		}
	}
	// A value of another length, and two values, make no sense: the fields are text.
	for _, options := range [][]byte{opt(52), opt(52, 3, 3), cat(opt(52, 1), opt(52, 2))} {
		b := raw(append(options, 255)...)
		b[offFile], b[offSName] = 12, 12 // as options these would be wrong
		b[offFile+1], b[offSName+1] = 255, 255
		if v := mustParse(t, b); v.Has(OptHostName) || v.File() == nil || v.SName() == nil {
			t.Errorf("options %x: the fields are read as options", options)
		}
	}
}

// TestCVE2019_11579LastOctet: the last octet of file or sname is an option code
// without a length; what follows the field must not be read as the length.
func TestCVE2019_11579LastOctet(t *testing.T) {
	for _, field := range []struct {
		off, size int
		area      Area
	}{{offFile, sizeFile, AreaFile}, {offSName, sizeSName, AreaSName}} {
		for code := range 256 {
			b := raw(cat(opt(OptDHCPOptionOverload, 3), []byte{255})...)
			last := field.off + field.size - 1
			b[last] = byte(code)
			var v View
			err := v.Parse(b)
			if code == 0 || code == 255 {
				if err != nil {
					t.Errorf("%v ends with %d: %v", field.area, code, err)
				}
				continue
			}
			want := ParseError{last, field.area, Code(code), LengthMissing}
			if e, ok := err.(*ParseError); !ok || *e != want {
				t.Errorf("%v ends with %d: %v", field.area, code, err)
			}
		}
	}
}

// TestCVE2021_45952ReplyGrid: a reply builder that is asked for every option, with
// every limit, keeps the limit and the options that a reply needs.
func TestCVE2021_45952ReplyGrid(t *testing.T) {
	opts := append([]Option{}, replyTimes...)
	for c := 1; c < 255; c++ {
		if code := Code(c); !vital(code) && !spare(code) && !ours(code) {
			opts = append(opts, Option{code, fill(c * 37 % 300)})
		}
	}
	poison := bytes.Repeat([]byte{0xa5}, 1<<16)
	for _, agent := range [][]byte{nil, {}, fill(40), fill(255), fill(700)} {
		for _, taken := range [][]byte{nil, {}} {
			for limit := 0; limit <= 65535; limit += 1 + limit/97 {
				h := Header{Op: 2, File: taken, SName: taken}
				out, dropped := AppendMessage(poison[:0], &h, opts, agent, limit)
				if len(out) > max(limit, MinReply) {
					t.Fatalf("limit %d: %d octets", limit, len(out))
				}
				v := mustParse(t, out)
				for _, c := range []Code{OptDHCPMessageType, OptDHCPServerIdentifier, OptDHCPLeaseTime} {
					if !v.Has(c) {
						t.Fatalf("limit %d: option %d is left out", limit, c)
					}
				}
				checkReply(t, fmt.Sprintf("limit %d, agent %d", limit, len(agent)), v, opts, agent, dropped)
				for i := range out {
					out[i] = 0xa5
				}
			}
		}
	}
}

// checkReply compares what was written with what was asked for.
func checkReply(t *testing.T, what string, v *View, opts []Option, agent []byte, dropped int) {
	t.Helper()
	scratch := make([]byte, 1024)
	missing := 0
	for _, o := range opts {
		val, ok := v.Get(o.Code, scratch)
		if !ok {
			missing++
		} else if !bytes.Equal(val, o.Data) {
			t.Fatalf("%s: option %d is cut or changed", what, o.Code)
		}
	}
	val, ok := v.Get(OptDHCPAgentOptions, scratch)
	if ok && !bytes.Equal(val, agent) {
		t.Fatalf("%s: option 82 is cut or changed", what)
	}
	if !ok && agent != nil {
		missing++
	}
	if missing != dropped {
		t.Fatalf("%s: %d options are missing, %d were counted", what, missing, dropped)
	}
	var last Instance
	for in := range v.Instances {
		if in.Area == AreaOptions {
			last = in
		} else if in.Code == OptDHCPAgentOptions {
			t.Fatalf("%s: option 82 in %v", what, in.Area)
		}
	}
	if ok && last.Code != OptDHCPAgentOptions {
		t.Fatalf("%s: option %d comes after 82", what, last.Code)
	}
	checkEnds(t, what, v)
}

// checkEnds: every field that holds options ends them with END (RFC 2131 4.1).
func checkEnds(t *testing.T, what string, v *View) {
	t.Helper()
	fields := [][2]int{{offOptions, len(v.Bytes())}}
	if v.File() == nil {
		fields = append(fields, [2]int{offFile, offCookie})
	}
	if v.SName() == nil {
		fields = append(fields, [2]int{offSName, offFile})
	}
	for _, f := range fields {
		pos := f[0]
		for pos < f[1] && v.Bytes()[pos] != byte(OptEnd) {
			pos += 2 + int(v.Bytes()[pos+1])
		}
		if pos >= f[1] {
			t.Fatalf("%s: the options from octet %d have no END", what, f[0])
		}
	}
}

// TestCVE2016_2147DomainSearch and CVE-2022-2929: names with pointers to
// themselves, forward, in circles, in long chains, too long in all, or without
// an end.
func TestCVE2016_2147DomainSearch(t *testing.T) {
	d := Lookup(OptDomainSearch)
	chain := append([]byte{1, 'a', 0}, 0xc0, 0)
	for i := 3; len(chain) < 2*10000; i += 2 { // each pointer points to the one before it
		chain = append(chain, 0xc0|byte(i>>8&0x3f), byte(i))
	}
	rootChain := []byte{0, 0xc0, 0}
	for i := 1; len(rootChain) < 2*8000; i += 2 { // names without a label, each one hop longer
		rootChain = append(rootChain, 0xc0|byte(i>>8), byte(i))
	}
	long := bytes.Repeat(append([]byte{63}, bytes.Repeat([]byte{'x'}, 63)...), 4)
	for name, tt := range map[string]struct {
		val  []byte
		want string // "": wrong
	}{
		"plain":                   {[]byte("\x07example\x03net\x00"), "example.net"},
		"list":                    {[]byte("\x01a\x00\x01b\x00"), "a, b"},
		"pointer back":            {[]byte("\x03eng\x05apple\x03com\x00\x09marketing\xc0\x04"), "eng.apple.com, marketing.apple.com"},
		"root":                    {[]byte{0}, "."},
		"pointer to itself":       {[]byte{0xc0, 0}, ""},
		"pointer into itself":     {[]byte{1, 'a', 0xc0, 0}, ""},
		"pointer forward":         {[]byte{0xc0, 2, 1, 'a', 0}, ""},
		"circle":                  {[]byte{0xc0, 2, 0xc0, 0}, ""},
		"pointer past the end":    {[]byte{1, 'a', 0, 0xff, 0xff}, ""},
		"half a pointer":          {[]byte{1, 'a', 0, 0xc0}, ""},
		"chain of 10,000":         {chain, ""},
		"name over 255 octets":    {append(long, 0), ""},
		"name of 255 octets":      {append(append([]byte{}, long[:192]...), append(append([]byte{61}, bytes.Repeat([]byte{'y'}, 61)...), 0)...), "255"},
		"chain of 8,000 to root":  {rootChain, ""},
		"name of 256 octets":      {append(append([]byte{}, long[:192]...), append(append([]byte{62}, bytes.Repeat([]byte{'y'}, 62)...), 0)...), ""},
		"label of 64":             {append(append([]byte{64}, make([]byte, 64)...), 0), ""},
		"label of 128":            {append(append([]byte{0x80}, make([]byte, 128)...), 0), ""},
		"no end":                  {[]byte("\x07example\x03net"), ""},
		"label past the end":      {[]byte("\x07exam"), ""},
		"empty":                   {nil, ""},
		"control and bidi":        {[]byte("\x04\x1b\xe2\x80\xae\x00"), `\027\226\128\174`},
		"dot inside a label":      {[]byte("\x03a.b\x00"), `a\046b`},
		"many pointers, one name": {append([]byte("\x01a\x01b\x01c\x01d\x00"), bytes.Repeat([]byte{0xc0, 0}, 30000)...), ""},
	} {
		text := d.AppendText(nil, tt.val)
		valid := d.Valid(tt.val)
		if valid != (tt.want != "") || valid && tt.want != "255" && string(text) != tt.want {
			t.Errorf("%s: %q, valid %v, want %q", name, text, valid, tt.want)
		}
		if len(text) > 1200 {
			t.Errorf("%s: %d octets of text", name, len(text))
		}
	}
}

// TestCVE2022_2929ClientFQDN: option 81 with labels of every wrong size, without
// an end, with pointers; CVE-2019-6473: only dots, NUL, UTF-8.
func TestCVE2022_2929ClientFQDN(t *testing.T) {
	d := Lookup(OptFQDN)
	for name, tt := range map[string]struct {
		val  []byte
		want string
	}{
		"ascii":          {[]byte("\x00\x00\x00host.example"), `0 0 0 "host.example"`},
		"labels":         {[]byte("\x05\x00\x00\x04host\x07example\x00"), `5 0 0 host.example.`},
		"partial":        {[]byte("\x05\x00\x00\x04host"), `5 0 0 host`},
		"no name":        {[]byte{1, 0, 0}, `1 0 0`},
		"only dots":      {[]byte("\x00\x00\x00..."), `0 0 0 "..."`},
		"NUL and UTF-8":  {[]byte("\x00\x00\x00a\x00\xc3\xa4"), `0 0 0 "a\x00\xc3\xa4"`},
		"root":           {[]byte{4, 0, 0, 0}, `4 0 0 .`},
		"too short":      {[]byte{4, 0}, ""},
		"pointer":        {[]byte{4, 0, 0, 0xc0, 0}, ""},
		"pointer back":   {[]byte{4, 0, 0, 1, 'a', 0xc0, 0}, ""},
		"after the name": {[]byte{4, 0, 0, 1, 'a', 0, 1}, ""},
		"label past end": {[]byte{4, 0, 0, 9, 'a'}, ""},
	} {
		valid := d.Valid(tt.val)
		if text := d.AppendText(nil, tt.val); valid != (tt.want != "") || valid && string(text) != tt.want {
			t.Errorf("%s: %q, valid %v, want %q", name, text, valid, tt.want)
		}
	}
	for n := 64; n < 256; n++ {
		val := append([]byte{4, 0, 0, byte(n)}, make([]byte, 256)...)
		if d.Valid(val) {
			t.Errorf("a label of %d octets is read", n)
		}
	}
}
