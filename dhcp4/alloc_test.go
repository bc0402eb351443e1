//go:build !race

package dhcp4

import "testing"

// TestNoAllocations: reading and answering cost no memory, nor does a message
// that is wrong. (The race detector allocates by itself, so not with it.)
func TestNoAllocations(t *testing.T) {
	good := benchRequest()
	split := raw(cat(opt(OptDHCPOptionOverload, 3), opt(OptDHCPClientIdentifier, fill(600)...), []byte{255})...)
	copy(split[offFile:], opt(OptDHCPClientIdentifier, 1, 2, 3))
	wrong := map[string][]byte{
		"short": good[:100], "long": make([]byte, 70000), "no cookie": make([]byte, 300),
		"overrun": append(raw(opt(OptHostName, 'a')...), 12, 200), "no length": raw(12),
	}
	hlen := raw(255)
	hlen[2] = 200
	wrong["hlen"] = hlen
	dst, scratch := make([]byte, 0, 1500), make([]byte, 1024)
	agent := fill(300)

	gate := func(name string, f func()) {
		t.Helper()
		if n := testing.AllocsPerRun(100, f); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
	gate("parse", func() {
		var v View
		if v.Parse(good) != nil || v.MessageType() != Request {
			t.Fatal("does not parse")
		}
	})
	gate("every getter", func() {
		var v View
		if v.Parse(split) != nil {
			t.Fatal("does not parse")
		}
		for c := range 256 {
			v.Get(Code(c), scratch)
			v.Uint8(Code(c))
			v.Uint16(Code(c))
			v.Addr(Code(c))
			v.Len(Code(c))
		}
		n := 0
		for in := range v.Instances {
			n += len(in.Data)
		}
		if val, ok := v.Get(OptDHCPClientIdentifier, scratch); !ok || len(val) != 603 || n != 604 {
			t.Fatalf("%d octets joined, %d in all", len(val), n)
		}
	})
	for name, b := range wrong {
		gate("malformed: "+name, func() {
			var v View
			err := v.Parse(b)
			if e, ok := err.(*ParseError); !ok || e.Problem == NoProblem {
				t.Fatal("parses")
			}
		})
	}
	gate("answer", func() {
		var v View
		if v.Parse(good) != nil {
			t.Fatal("does not parse")
		}
		h := benchHeader
		h.XID, h.CHAddr = v.XID(), v.CHAddr16()
		if out, dropped := AppendMessage(dst, &h, benchReply, nil, 548); dropped != 0 || len(out) < MinReply {
			t.Fatal("incomplete")
		}
	})
	long := append(append([]Option{}, benchReply...), Option{OptDomainSearch, fill(300)}, Option{OptRootPath, fill(90)})
	gate("tight answer", func() {
		if out, _ := AppendMessage(dst, &benchHeader, long, agent, 576); len(out) > 576 {
			t.Fatal("too long")
		}
	})
}
