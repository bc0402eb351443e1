package expr

import (
	"testing"
)

// classTests are tests as they are written in practice.
var classTests = []struct{ name, text string }{
	{"pxe", `option["vendor-class-identifier"].startsWith("PXEClient") && option["client-system"] == [7]`},
	{"oui", `hw_address.startsWith("02:00:5e:")`},
	{"port", `relay["circuit-id"] == "eth/7" && relay["remote-id"] != "other"`},
	{"member", `known && (member("phones") || member("guests"))`},
	{"userclass", `"iPXE" in option["user-class"]`},
	{"missing", `option["domain-name"] == "corp.example" || option["nis-domain"] == "x"`},
	{"long", `(option["vendor-class-identifier"].startsWith("PXEClient") || option["vendor-class-identifier"].startsWith("HTTPClient")) && ` +
		`(7 in option["client-system"] || 9 in option["client-system"]) && !(option["host-name"] in ["a", "b", "c", "d"]) && ` +
		`giaddr in ["198.18.8.1", "198.18.9.1"] && hex(relay["remote-id"]).startsWith("02:00:5e") && message == "DISCOVER" && interface == "eth0" && ` +
		`!member("guests") && size(option["dhcp-parameter-request-list"]) > 5`},
}

// BenchmarkClassTest is the cost of one class for one packet; the bound is a
// microsecond.
func BenchmarkClassTest(b *testing.B) {
	for _, c := range classTests {
		b.Run(c.name, func(b *testing.B) {
			t, f := mustTest(b, c.text), pxe(b)
			b.ReportAllocs()
			for b.Loop() {
				_, _ = t(f)
			}
		})
		b.Run(c.name+"-interpreter", func(b *testing.B) {
			c, err := compile(c.text, testEnv)
			if err != nil {
				b.Fatal(err)
			}
			p, err2 := oracle(c, true)
			if err2 != nil {
				b.Fatal(err2)
			}
			f := pxe(b)
			b.ReportAllocs()
			for b.Loop() {
				_, _, _ = p.run(f)
			}
		})
	}
}

// TestClassTestsAllocateNothing holds what the benchmark's tests do for each packet.
func TestClassTestsAllocateNothing(t *testing.T) {
	f := pxe(t)
	for _, c := range classTests {
		test := mustTest(t, c.text)
		if n := testing.AllocsPerRun(100, func() { _, _ = test(f) }); n != 0 {
			t.Errorf("%s: %v allocations", c.name, n)
		}
	}
}

// BenchmarkCompile is what one class adds to loading a configuration.
func BenchmarkCompile(b *testing.B) {
	for b.Loop() {
		mustTest(b, classTests[0].text)
	}
}
