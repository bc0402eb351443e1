package dhcp4

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

// seeds are messages of every kind, good and bad.
func seeds(f *testing.F) {
	overload := raw(cat(opt(OptDHCPMessageType, 2), opt(OptDHCPOptionOverload, 3), []byte{255})...)
	copy(overload[offFile:], cat(opt(OptHostName, 'h'), []byte{255}))
	copy(overload[offSName:], opt(OptHostName, 'i'))
	badField := append([]byte(nil), overload...)
	badField[offCookie-1] = 12
	reply, _ := AppendMessage(nil, &benchHeader, benchReply, fill(20), 576)
	tight, _ := AppendMessage(nil, &benchHeader, append(append([]Option{}, benchReply...), Option{OptRootPath, fill(100)}), fill(20), 300)
	for _, b := range [][]byte{
		nil, raw(), raw(255), make([]byte, 300), benchRequest(), reply, tight, overload, badField,
		raw(opt(OptDHCPClientIdentifier, fill(600)...)...), raw(53, 1), raw(12), raw(12, 255, 'a'),
		raw(cat(opt(OptDomainSearch, []byte("\x01a\xc0\x00")...), opt(OptClasslessStaticRoute, 16, 198, 18, 192, 0, 2, 1), opt(OptFQDN, 4, 0, 0, 1, 'a'))...),
		raw(cat(opt(OptVIVSOSuboptions, 0, 0, 13, 233, 3, 1, 1, 9), opt(OptDHCPAgentOptions, 1, 2, 'a', 'b', 5, 4, 192, 0, 2, 1))...),
	} {
		f.Add(b)
	}
}

// FuzzParse: no message, however wrong, makes a method of View or a dump panic;
// errors point into the message; dumps are bounded and harmless.
func FuzzParse(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		dump := AppendDump(nil, b)
		harmless(t, "dump", dump)
		js := AppendJSON(nil, b)
		harmless(t, "JSON", js)
		if !json.Valid(js) {
			t.Fatalf("not JSON: %s", js)
		}
		if most := 8000 + 120*len(b); len(dump) > most || len(js) > most {
			t.Fatalf("%d octets give %d of text, %d of JSON", len(b), len(dump), len(js))
		}
		var v View
		if err := v.Parse(b); err != nil {
			e := err.(*ParseError)
			if e.Offset < 0 || e.Offset > len(b) || e.Problem == NoProblem || int(e.Problem) >= NumProblems {
				t.Fatalf("error %v of %d octets", e, len(b))
			}
			if !bytes.Contains(js, []byte(`"errors":[{`)) {
				t.Fatalf("%v, but the dump has no error: %s", err, js)
			}
			return
		}
		if !bytes.Contains(js, []byte(`"errors":[]`)) {
			t.Fatalf("it parses, but the dump has errors: %s", js)
		}
		checkView(t, &v)
	})
}

// checkView compares what the methods of a parsed View say with each other.
func checkView(t *testing.T, v *View) {
	t.Helper()
	if len(v.CHAddr()) != int(v.HLen()) || len(v.SName()) > 64 || len(v.File()) > 128 {
		t.Fatal("sizes of the fixed fields")
	}
	scratch := make([]byte, len(v.Bytes()))
	var joined [256][]byte
	var has [256]bool
	last, steps := -1, 0
	for in := range v.Instances {
		if Code(v.Bytes()[in.Offset]) != in.Code || in.Area == AreaOptions && in.Offset <= last {
			t.Fatalf("instance %+v", in)
		}
		last = in.Offset
		// CVE-2012-3571: the work is bounded by the size, whatever the octets are.
		if steps++; steps > (len(v.Bytes())-offOptions+sizeFile+sizeSName)/2 {
			t.Fatal("more options than there can be")
		}
		if !in.Ignored() {
			joined[in.Code] = append(joined[in.Code], in.Data...)
			has[in.Code] = true
		}
	}
	for c := range 256 {
		val, ok := v.Get(Code(c), scratch)
		if ok != has[c] || v.Has(Code(c)) != has[c] || !bytes.Equal(val, joined[c]) || v.Len(Code(c)) != len(val) {
			t.Fatalf("option %d: %x, %v; its instances are %x", c, val, ok, joined[c])
		}
		if n, ok := v.Uint32(Code(c)); ok != (len(val) == 4 && has[c]) || ok && n != uint32(AddrFromBytes(val)) {
			t.Fatalf("option %d as a number: %d, %v", c, n, ok)
		}
	}
}

// FuzzRoundTrip: what a message holds can be written and read again, and
// AppendMessage keeps its limit.
func FuzzRoundTrip(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		var v View
		if v.Parse(b) != nil {
			return
		}
		var opts []Option
		for c := range 256 {
			if val, ok := v.Get(Code(c), make([]byte, len(b))); ok && !ours(Code(c)) {
				opts = append(opts, Option{Code(c), val})
			}
		}
		agent, ok := v.Get(OptDHCPAgentOptions, make([]byte, len(b)))
		if !ok {
			agent = nil
		} else if agent == nil {
			agent = []byte{}
		}
		h := Header{v.Op(), v.HType(), v.HLen(), v.Hops(), v.XID(), v.Secs(), v.Flags(), v.CIAddr(), v.YIAddr(),
			v.SIAddr(), v.GIAddr(), v.CHAddr16(), v.SName(), v.File()}
		limit := 300 + int(v.Secs())%1200
		for _, limit := range []int{limit, 1 << 17} {
			out, dropped := AppendMessage([]byte("before"), &h, opts, agent, limit)
			out = out[6:]
			if len(out) > limit && len(out) > MinReply {
				t.Fatalf("%d octets, the limit is %d", len(out), limit)
			}
			if len(out) > maxMessage {
				continue // more than a datagram holds
			}
			w := mustParse(t, out)
			checkView(t, w)
			checkReply(t, "round trip", w, opts, agent, dropped)
			if limit == 1<<17 && dropped != 0 {
				t.Fatalf("%d options are left out though there is room", dropped)
			}
			if w.XID() != v.XID() || w.CHAddr16() != v.CHAddr16() || w.GIAddr() != v.GIAddr() || w.Flags() != v.Flags() || w.HLen() != v.HLen() {
				t.Fatal("the header has changed")
			}
			if h.File != nil && !bytes.Equal(w.File(), v.File()) || h.SName != nil && !bytes.Equal(w.SName(), v.SName()) {
				t.Fatal("file or sname has changed")
			}
		}
	})
}

// FuzzDifferential compares with another library: what both can read, both read
// alike. It knows no overload, and it is stricter: it wants options to end with
// END. Every other difference is a fault of one of the two.
func FuzzDifferential(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		theirs, err := dhcpv4.FromBytes(b)
		var v View
		ourErr := v.Parse(b)
		if ourErr != nil && err == nil && !stricter(ourErr.(*ParseError)) {
			t.Fatalf("we say %v, they read %v", ourErr, theirs)
		}
		if ourErr != nil || err != nil || v.over != 0 {
			return
		}
		if v.XID() != addrUint(theirs.TransactionID[:]) || v.Op() != uint8(theirs.OpCode) || v.Hops() != theirs.HopCount ||
			v.Secs() != theirs.NumSeconds || v.Flags() != theirs.Flags || !bytes.Equal(v.CHAddr(), theirs.ClientHWAddr) {
			t.Fatalf("header: %x and %v", b[:44], theirs)
		}
		for i, ip := range [][]byte{theirs.ClientIPAddr, theirs.YourIPAddr, theirs.ServerIPAddr, theirs.GatewayIPAddr} {
			if !bytes.Equal(ip, b[12+4*i:16+4*i]) {
				t.Fatalf("address %d: %v", i, ip)
			}
		}
		for c := 1; c < 255; c++ {
			val, ok := v.Get(Code(c), make([]byte, len(b)))
			other, there := theirs.Options[uint8(c)]
			if ok != there || !bytes.Equal(val, other) {
				t.Fatalf("option %d: %x, %v; they read %x, %v", c, val, ok, other, there)
			}
		}
	})
}

// addrUint reads four octets as a number.
func addrUint(b []byte) uint32 { return uint32(AddrFromBytes(b)) }

// stricter reports whether e is a reason that the other library does
// not know: the size of chaddr, the limit of a datagram, or what is wrong in an
// overloaded field.
func stricter(e *ParseError) bool {
	return e.Problem == HardwareTooLong || e.Problem == TooLong || e.Area == AreaFile || e.Area == AreaSName
}
