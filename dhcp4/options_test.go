package dhcp4

import (
	"bytes"
	"encoding/json"
	"flag"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files anew")

// defs is every definition of both tables.
func defs() (all []*Def) {
	for i := range table {
		all = append(all, &table[i])
	}
	for i := range agentTable {
		all = append(all, &agentTable[i])
	}
	return all
}

func TestTables(t *testing.T) {
	for _, defs := range [][]Def{All(), AgentSubOptions()} {
		names := map[string]bool{}
		for i, d := range defs {
			if i > 0 && d.Code <= defs[i-1].Code {
				t.Errorf("%d %s comes after %d", d.Code, d.Name, defs[i-1].Code)
			}
			if names[d.Name] || d.Name == "" || strings.ToLower(d.Name) != d.Name {
				t.Errorf("%d: name %q", d.Code, d.Name)
			}
			names[d.Name] = true
			if (d.Type == TypeRecord) != (d.Fields != nil) {
				t.Errorf("%s: a record has fields, nothing else has", d.Name)
			}
			if d.Takes() == "" || strings.Contains(d.Layout(), "unknown") {
				t.Errorf("%s takes %q, layout %q", d.Name, d.Takes(), d.Layout())
			}
		}
	}
	if len(All()) != 146 || len(AgentSubOptions()) != 20 {
		t.Errorf("%d options and %d sub-options", len(All()), len(AgentSubOptions()))
	}
	if d := LookupName("routers"); d == nil || d != Lookup(OptRouters) || LookupName("router") != nil || Lookup(224) != nil {
		t.Error("look-up by name or code")
	}
	if d := LookupAgent(AgentCircuitID); d == nil || d.Name != "circuit-id" || LookupAgent(3) != nil {
		t.Error("look-up of a sub-option")
	}
}

// TestWrongLengths (CVE-2016-2148, CVE-2018-20679, CVE-2009-0692, CVE-2012-2152):
// every option of a fixed length at every length from 0 to 255. The table that
// drives the parser drives the test, so no option can be forgotten.
func TestWrongLengths(t *testing.T) {
	fixed := 0
	for _, d := range defs() {
		size, ok := d.Size()
		if !ok {
			continue
		}
		fixed++
		for n := range 256 {
			val := bytes.Repeat([]byte{1}, n)
			if d.Valid(val) != (n == size) {
				t.Errorf("%s of %d octets: valid is %v, size is %d", d.Name, n, d.Valid(val), size)
			}
			text := string(d.AppendText(nil, val))
			if strings.Contains(text, "(wrong: ") != (n != size) {
				t.Errorf("%s of %d octets is shown as %q", d.Name, n, text)
			}
			if js := string(d.AppendJSON(nil, val)); (js == "null") != (n != size) {
				t.Errorf("%s of %d octets is shown as %s", d.Name, n, js)
			}
			if d == Lookup(d.Code) && d.Type != TypeNone {
				checkGetters(t, d, val, size)
			}
		}
	}
	if fixed < 50 {
		t.Errorf("only %d options of fixed length", fixed)
	}
}

// checkGetters: a View gives out a number only of exactly its size.
func checkGetters(t *testing.T, d *Def, val []byte, size int) {
	t.Helper()
	v := mustParse(t, raw(opt(d.Code, val...)...))
	_, ok8 := v.Uint8(d.Code)
	_, ok16 := v.Uint16(d.Code)
	_, ok32 := v.Uint32(d.Code)
	_, okAddr := v.Addr(d.Code)
	n := len(val)
	if ok8 != (n == 1) || ok16 != (n == 2) || ok32 != (n == 4) || okAddr != (n == 4) {
		t.Errorf("%s of %d octets reads as %v %v %v %v", d.Name, n, ok8, ok16, ok32, okAddr)
	}
}

// TestLists: a list takes one item or more, whole ones, and pairs by twos.
func TestLists(t *testing.T) {
	for _, d := range defs() {
		item := d.Type.size()
		if !d.List || item == 0 || d.Type == TypeRecord {
			continue
		}
		if d.Pairs {
			item *= 2
		}
		for n := range 256 {
			if want := n > 0 && n%item == 0; d.Valid(make([]byte, n)) != want {
				t.Errorf("%s of %d octets: valid is %v", d.Name, n, !want)
			}
		}
	}
}

// TestCVE2018_5732BoundedText: every option of the registry with values of 0 to 255
// octets and of 64 KiB, of several kinds of rubbish, gives little text, all of it
// harmless on a terminal, and JSON that is JSON.
func TestCVE2018_5732BoundedText(t *testing.T) {
	sizes := []int{1 << 10, 1 << 14, 1 << 16}
	for n := range 256 {
		sizes = append(sizes, n)
	}
	kinds := map[string]func(n int) []byte{
		"zeros": func(n int) []byte { return make([]byte, n) },
		"ones":  func(n int) []byte { return bytes.Repeat([]byte{1}, n) },
		"0xff":  func(n int) []byte { return bytes.Repeat([]byte{0xff}, n) },
		"mixed": fill,
		"ansi":  func(n int) []byte { return bytes.Repeat([]byte("\x1b[31m"), n/5+1)[:n] },
		"bidi":  func(n int) []byte { return bytes.Repeat([]byte("\u202e\u2066"), n/6+1)[:n] },
		"quote": func(n int) []byte { return bytes.Repeat([]byte(`"\`), n/2+1)[:n] },
		"units": func(n int) []byte { return bytes.Repeat([]byte{0, 0, 0, 9, 4, 1, 2, 3, 4}, n/9+1)[:n] },
	}
	for _, d := range defs() {
		for kind, make := range kinds {
			for _, n := range sizes {
				val := make(n)
				text := d.AppendText(nil, val)
				if len(text) > 2200 || len(text) == 0 && n > 0 {
					t.Fatalf("%s, %d octets of %s: %d octets of text", d.Name, n, kind, len(text))
				}
				harmless(t, d.Name, text)
				js := d.AppendJSON(nil, val)
				if len(js) > 2400 || !json.Valid(js) {
					t.Fatalf("%s, %d octets of %s: JSON %s", d.Name, n, kind, js)
				}
				harmless(t, d.Name, js)
			}
		}
	}
}

// harmless fails unless text is printable ASCII.
func harmless(t *testing.T, what string, text []byte) {
	t.Helper()
	for i, c := range text {
		if (c < ' ' || c > '~') && c != '\n' {
			t.Fatalf("%s: octet %#x at %d of %q", what, c, i, text)
		}
	}
}

func TestSuggest(t *testing.T) {
	for name, want := range map[string]string{
		"router": "routers", "dns-server": "domain-name-servers", "netmask": "subnet-mask", "domain-name-server": "domain-name-servers",
		"ien116-name-servers": "name-servers", "bootfile-name": "boot-file-name", "default-url": "v4-captive-portal",
		"mtu": "interface-mtu", "hostname": "host-name", "ntp_servers": "ntp-servers", "ROUTERS": "routers", "routesr": "routers",
		"x": "", "completely-different": "", "": "", strings.Repeat("a", 65): "",
	} {
		if got := Suggest(name); got != want {
			t.Errorf("Suggest(%q) is %q, want %q", name, got, want)
		}
	}
}
