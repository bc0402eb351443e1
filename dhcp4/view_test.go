package dhcp4

import (
	"bytes"
	"testing"
)

func TestHeaderFields(t *testing.T) {
	b := raw(255)
	b[3] = 4
	copy(b[8:], []byte{1, 2, 0x80, 1})
	copy(b[12:], []byte{192, 0, 2, 1, 192, 0, 2, 2, 192, 0, 2, 3, 192, 0, 2, 4})
	copy(b[offSName:], "server")
	for i := offFile; i < offCookie; i++ {
		b[i] = 'f' // a field without NUL is text to its end
	}
	v := mustParse(t, b)
	if v.Op() != 1 || v.HType() != 1 || v.HLen() != 6 || v.Hops() != 4 || v.XID() != 0xcafef00d || v.Secs() != 0x102 {
		t.Errorf("op %d htype %d hlen %d hops %d xid %x secs %x", v.Op(), v.HType(), v.HLen(), v.Hops(), v.XID(), v.Secs())
	}
	if v.Flags() != 0x8001 || !v.Broadcast() {
		t.Errorf("flags %#x broadcast %v", v.Flags(), v.Broadcast())
	}
	for i, a := range []Addr{v.CIAddr(), v.YIAddr(), v.SIAddr(), v.GIAddr()} {
		if want := MustParseAddr("192.0.2.1") + Addr(i); a != want {
			t.Errorf("address %d is %v, want %v", i, a, want)
		}
	}
	if !bytes.Equal(v.CHAddr(), []byte{2, 0, 0x5e, 0x10, 0, 1}) || v.CHAddr16() != [16]byte{2, 0, 0x5e, 0x10, 0, 1} {
		t.Errorf("chaddr %x, %x", v.CHAddr(), v.CHAddr16())
	}
	if string(v.SName()) != "server" || len(v.File()) != 128 {
		t.Errorf("sname %q, file %d octets", v.SName(), len(v.File()))
	}
	if &v.Bytes()[0] != &b[0] {
		t.Error("Bytes is a copy")
	}
}

func TestValuesByType(t *testing.T) {
	v := mustParse(t, raw(cat(
		opt(OptDHCPMessageType, 3), opt(OptDHCPMaxMessageSize, 5, 0xdc), opt(OptDHCPLeaseTime, 0, 0, 14, 16),
		opt(OptDHCPRequestedAddress, 192, 0, 2, 9), opt(OptRapidCommit), opt(OptHostName, 'h'),
	)...))
	if v.MessageType() != Request {
		t.Errorf("message type %v", v.MessageType())
	}
	if n, ok := v.Uint16(OptDHCPMaxMessageSize); !ok || n != 1500 {
		t.Errorf("57 is %d, %v", n, ok)
	}
	if n, ok := v.Uint32(OptDHCPLeaseTime); !ok || n != 3600 {
		t.Errorf("51 is %d, %v", n, ok)
	}
	if a, ok := v.Addr(OptDHCPRequestedAddress); !ok || a != MustParseAddr("192.0.2.9") {
		t.Errorf("50 is %v, %v", a, ok)
	}
	if val, ok := v.Get(OptRapidCommit, nil); !ok || len(val) != 0 || !v.Has(OptRapidCommit) {
		t.Errorf("80 is %x, %v", val, ok)
	}
	for _, wrong := range []Code{OptDHCPMaxMessageSize, OptRapidCommit, OptRouters} {
		if _, ok := v.Addr(wrong); ok {
			t.Errorf("option %d read as an address", wrong)
		}
		if _, ok := v.Uint8(wrong); ok {
			t.Errorf("option %d read as one octet", wrong)
		}
	}
	if _, ok := v.Get(OptRouters, nil); ok || v.Has(OptRouters) || v.Has(OptPad) || v.Has(OptEnd) {
		t.Error("an absent option is there")
	}
}

// TestMessageTypeUnreadable: an option 53 that is not exactly one octet is no message type.
func TestMessageTypeUnreadable(t *testing.T) {
	for _, options := range [][]byte{{255}, opt(OptDHCPMessageType), opt(OptDHCPMessageType, 1, 1), cat(opt(OptDHCPMessageType, 1), opt(OptDHCPMessageType, 1))} {
		if typ := mustParse(t, raw(options...)).MessageType(); typ != 0 {
			t.Errorf("options %x give type %v", options, typ)
		}
	}
}

func TestSplitOptionsAreJoined(t *testing.T) {
	long := fill(600)
	b := raw(cat(opt(OptHostName, 'a'), opt(OptDHCPClientIdentifier, long...), opt(OptHostName, 'b'), []byte{255})...)
	v := mustParse(t, b)
	scratch := make([]byte, 600)
	if val, ok := v.Get(OptDHCPClientIdentifier, scratch); !ok || !bytes.Equal(val, long) || v.Len(OptDHCPClientIdentifier) != 600 {
		t.Errorf("61 is %d octets, %v; Len %d", len(val), ok, v.Len(OptDHCPClientIdentifier))
	}
	if val, ok := v.Get(OptHostName, scratch); !ok || string(val) != "ab" || &val[0] != &scratch[0] {
		t.Errorf("12 is %q, %v", val, ok)
	}
	if val, ok := v.Get(OptDHCPClientIdentifier, scratch[:0:599]); ok || val != nil {
		t.Errorf("600 octets fit into 599: %d octets", len(val))
	}
}

// TestJoinOrder: options, then file, then sname (RFC 3396 5), each once.
func TestJoinOrder(t *testing.T) {
	b := raw(cat(opt(OptDHCPOptionOverload, 3), opt(OptHostName, '1'), []byte{255}, opt(OptHostName, 'x'))...)
	copy(b[offFile:], cat(opt(OptHostName, '2'), []byte{0, 0}, opt(OptDomainName, 'd'), []byte{255, 12, 1, 'x'}))
	copy(b[offSName:], opt(OptHostName, '3'))
	v := mustParse(t, b)
	if val, ok := v.Get(OptHostName, make([]byte, 8)); !ok || string(val) != "123" {
		t.Errorf("joined to %q, %v", val, ok)
	}
	if val, ok := v.Get(OptDomainName, nil); !ok || string(val) != "d" {
		t.Errorf("15 is %q, %v", val, ok)
	}
	if v.File() != nil || v.SName() != nil {
		t.Error("a field that carries options is read as text")
	}
	var areas []Area
	for in := range v.Instances {
		areas = append(areas, in.Area)
		if Code(b[in.Offset]) != in.Code {
			t.Errorf("offset %d is not that of option %d", in.Offset, in.Code)
		}
	}
	if want := []Area{AreaOptions, AreaOptions, AreaFile, AreaFile, AreaSName}; !bytes.Equal(bytesOf(areas), bytesOf(want)) {
		t.Errorf("areas %v", areas)
	}
}

func bytesOf(areas []Area) (b []byte) {
	for _, a := range areas {
		b = append(b, byte(a))
	}
	return b
}

func TestInstancesStops(t *testing.T) {
	b := raw(cat(opt(OptDHCPOptionOverload, 3), opt(OptHostName, '1'), []byte{255})...)
	copy(b[offFile:], opt(OptHostName, '2'))
	copy(b[offSName:], opt(OptHostName, '3'))
	v := mustParse(t, b)
	for stop := 1; stop <= 4; stop++ {
		n := 0
		for range v.Instances {
			if n++; n == stop {
				break
			}
		}
		if n != stop {
			t.Errorf("%d instances before the stop at %d", n, stop)
		}
	}
	for range new(View).Instances {
		t.Error("an empty view has an option")
	}
}

func TestParseErrors(t *testing.T) {
	overloaded := func(field int, octets ...byte) []byte {
		b := raw(cat(opt(OptDHCPOptionOverload, 3), []byte{255})...)
		copy(b[field:], octets)
		return b
	}
	lastOctet := func(field, size int) []byte {
		b := overloaded(field)
		b[field+size-1] = byte(OptHostName)
		return b
	}
	hlen := func(n byte) []byte { b := raw(255); b[2] = n; return b }
	badCookie := raw(255)
	badCookie[239] = 98
	for _, tt := range []struct {
		name string
		msg  []byte
		want ParseError
		text string
	}{
		{"empty", nil, ParseError{0, AreaHeader, 0, TooShort}, "octet 0 (header): shorter than 240 octets"},
		{"no cookie", raw()[:236], ParseError{236, AreaHeader, 0, TooShort}, "octet 236 (header): shorter than 240 octets"},
		{"too long", make([]byte, 65536), ParseError{65535, AreaHeader, 0, TooLong}, "octet 65535 (header): longer than 65535 octets"},
		{"wrong cookie", badCookie, ParseError{236, AreaHeader, 0, NoCookie}, "octet 236 (header): magic cookie missing"},
		{"hlen 17", hlen(17), ParseError{2, AreaHeader, 0, HardwareTooLong}, "octet 2 (header): hlen is above 16"},
		{"code at the end", raw(0, 0, 53), ParseError{242, AreaOptions, 53, LengthMissing}, "octet 242 (options): option 53: option without a length octet"},
		{"overrun by one", raw(53, 1, 1, 12, 3, 'a', 'b'), ParseError{243, AreaOptions, 12, OptionOverrun}, "octet 243 (options): option 12: option runs past the end of its field"},
		{"overrun by all", raw(12, 255), ParseError{240, AreaOptions, 12, OptionOverrun}, "octet 240 (options): option 12: option runs past the end of its field"},
		{"file overrun", overloaded(offFile, 12, 127), ParseError{108, AreaFile, 12, OptionOverrun}, "octet 108 (file): option 12: option runs past the end of its field"},
		{"sname overrun", overloaded(offSName, 0, 12, 62), ParseError{45, AreaSName, 12, OptionOverrun}, "octet 45 (sname): option 12: option runs past the end of its field"},
		{"file, last octet a code", lastOctet(offFile, 128), ParseError{235, AreaFile, 12, LengthMissing}, "octet 235 (file): option 12: option without a length octet"},
		{"sname, last octet a code", lastOctet(offSName, 64), ParseError{107, AreaSName, 12, LengthMissing}, "octet 107 (sname): option 12: option without a length octet"},
	} {
		var v View
		if err := v.Parse(raw(12, 1, 'x')); err != nil {
			t.Fatal(err)
		}
		err := v.Parse(tt.msg)
		e, ok := err.(*ParseError)
		if !ok || *e != tt.want || err.Error() != tt.text {
			t.Errorf("%s: %v, want %v", tt.name, err, &tt.want)
		}
		if v.Has(OptHostName) || v.Bytes() != nil {
			t.Errorf("%s: something is left after the error", tt.name)
		}
	}
	if hl := mustParse(t, hlen(16)); len(hl.CHAddr()) != 16 {
		t.Error("hlen 16 is allowed")
	}
	if len(problemTexts) != NumProblems || Problem(99).String() != "problem 99" || Area(99).String() != "area 99" {
		t.Error("names of problems or areas")
	}
}

// TestLeniency: what old clients send and no error is.
func TestLeniency(t *testing.T) {
	for name, options := range map[string][]byte{
		"no option":         nil,
		"only END":          {255},
		"only PAD":          make([]byte, 60),
		"no END":            opt(OptDHCPMessageType, 1),
		"no END, padded":    append(opt(OptDHCPMessageType, 1), 0, 0, 0),
		"rubbish after END": append(opt(OptDHCPMessageType, 1), 255, 12, 200, 1),
		"empty option last": {53, 1, 1, 80, 0},
	} {
		v := mustParse(t, raw(options...))
		if v.Has(OptHostName) {
			t.Errorf("%s: an option is read from after END", name)
		}
		if v.Has(OptDHCPMessageType) != (len(options) > 1 && options[0] == 53) {
			t.Errorf("%s: option 53 read: %v", name, v.Has(OptDHCPMessageType))
		}
	}
}
