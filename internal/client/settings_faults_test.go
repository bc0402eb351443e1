package client_test

import (
	"bytes"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"lessor/dhcp4"
	"lessor/internal/client"
)

// Tests of this file are named after the faults of other programs that they guard against.

// sameLease compares two leases but for the message they come from.
func sameLease(a, b client.Lease) string {
	return cmp.Diff(a, b, cmpopts.IgnoreFields(client.Lease{}, "ACK"))
}

// fixedRead are the options of one fixed length that ReadLease reads, with a value of the
// right length that changes a lease. TestCVE2016_2148EveryLength finds out by itself if one
// is missing here.
var fixedRead = map[dhcp4.Code][]byte{
	dhcp4.OptSubnetMask: {255, 255, 0, 0}, dhcp4.OptInterfaceMTU: {5, 0xdc}, dhcp4.OptBroadcastAddress: {255, 255, 255, 255},
	dhcp4.OptDHCPLeaseTime: {0, 0, 0, 99}, dhcp4.OptDHCPServerIdentifier: {192, 0, 2, 9}, dhcp4.OptDHCPRenewalTime: {0, 0, 0, 9}, dhcp4.OptDHCPRebindingTime: {0, 0, 0xd, 9},
}

// TestCVE2016_2148EveryLength: each option of the registry that has one length, at every
// length from 0 to 255. At a wrong one it counts as not sent. The same grid stands for CVE-2018-20679 and CVE-2019-5747
// (options of four octets read without a look at the length), CVE-2012-2152 and CVE-2014-7912 (dhcpcd),
// CVE-2019-0547, 0697, 0698, 0726, 0736 and CVE-2026-44815 (Windows).
func TestCVE2016_2148EveryLength(t *testing.T) {
	matters := map[dhcp4.Code]bool{}
	for _, d := range dhcp4.All() {
		size, fixed := d.Size()
		if !fixed || size == 0 || d.Code == dhcp4.OptDHCPMessageType || d.Code == dhcp4.OptDHCPOptionOverload {
			continue // 53 is for the machine, 52 has a test of its own
		}
		base, baseRefused, baseReason := read(t, ackOf(without(d.Code)))
		value, used := fixedRead[d.Code]
		if !used {
			value = bytes.Repeat([]byte{5}, size)
		}
		for n := range 256 {
			val := make([]byte, n)
			for i := range val {
				val[i] = value[i%len(value)]
			}
			l, refused, reason := read(t, ackOf(opt(d.Code, val...)))
			same := sameLease(base, l) == "" && reason == baseReason
			if !same || !slices.Equal(refused, baseRefused) {
				matters[d.Code] = true
			}
			switch {
			case n == size && used && (same || reason != client.None || len(refused) != len(baseRefused)):
				t.Errorf("option %d of %d octets is not used: refused %v, %q", d.Code, n, refused, reason)
			case n != size && !same:
				t.Errorf("option %d of %d octets changes the lease, or %q", d.Code, n, reason)
			case n != size && used && baseReason == client.None && !slices.Equal(refused, append(baseRefused, client.Refusal{Code: d.Code, Reason: client.OptionLength})):
				t.Errorf("option %d of %d octets: refused %v", d.Code, n, refused)
			}
		}
	}
	for code := range matters {
		if fixedRead[code] == nil {
			t.Errorf("option %d changes a lease and is not in the grid", code)
		}
	}
	if len(matters) != len(fixedRead) {
		t.Errorf("%d options of the grid change a lease, of %d", len(matters), len(fixedRead))
	}
}

// TestCVE2012_2152EveryValueLength: each option of the registry, of whatever type, at every length
// from 0 to 255 and joined at 600, filled with each of some octets: there is a lease with safe
// settings, or a reason. (readWith checks them.)
func TestCVE2012_2152EveryValueLength(t *testing.T) {
	for code := 1; code < 255; code++ {
		if c := dhcp4.Code(code); c == dhcp4.OptDHCPOptionOverload {
			continue
		}
		for _, fill := range []byte{0, 'a', 0xc0, 0xff} {
			for n := range 257 {
				if n == 256 {
					n = 600
				}
				l, refused, reason := read(t, ackOf(opt(dhcp4.Code(code), bytes.Repeat([]byte{fill}, n)...)))
				if _, used := fixedRead[dhcp4.Code(code)]; !used && reason != client.None {
					t.Errorf("option %d of %d octets: %q", code, n, reason)
				}
				if len(refused) > 2 || len(l.Settings.Search) > client.MaxServers {
					t.Errorf("option %d of %d octets: %d refusals", code, n, len(refused))
				}
			}
		}
	}
}

// TestCVE2009_0692SubnetMask: option 1 of 0, 1, 3, 5 and 255 octets counts as not sent, and the mask is
// that of the address's class.
func TestCVE2009_0692SubnetMask(t *testing.T) {
	for _, n := range []int{0, 1, 3, 5, 255, 256, 1000} {
		l, refused := good(t, ackOf(opt(dhcp4.OptSubnetMask, bytes.Repeat([]byte{255}, n)...)))
		if l.Addr.Bits != 24 || !slices.Equal(refused, []client.Refusal{{Code: 1, Reason: client.OptionLength}}) {
			t.Errorf("%d octets: %v, refused %v", n, l.Addr, refused)
		}
	}
}

// shellTexts mean something to a shell, a file of lines, a terminal or a format.
var shellTexts = []string{
	"x;touch x", "x$(touch x)", "x`touch x`", "x|touch x", "x&touch x", "x'touch x'", `x"touch x"`, "x\ntouch x", "x\rtouch x", "x\x00touch", "$HOME", "${IFS}x", `x\x`,
	"() { :;}; touch x", "x>x", "x<x", "x*", "x?x y", "x!x", "x{a,b}", "x(y)", "#x y", "~ x", "x\tx", "%n%s%x%p", "\x1b]0;x\x07", "x\u202ey", "x\x85y", "../../x;", "-rf x", "x\nnameserver 198.51.100.66", "a b",
}

// TestCVE2011_0997ShellText: text for a shell in every option of the registry, as text, as labels, and behind
// a beginning that is good: it never reaches the settings, and the lease is the one without it. It stands for CVE-2011-2716 and
// CVE-2018-1111 too: the options are all that there are, not a list of those that came to mind.
func TestCVE2011_0997ShellText(t *testing.T) {
	checkShellText(t, func(code dhcp4.Code, text string) []dhcp4.Option {
		out := []dhcp4.Option{optText(code, text), optText(code, "host"+text), optText(code, "http://portal.example/"+text), optText(code, "http://"+text), optText(code, "Europe/"+text),
			optText(code, text+".example.net"), optText(code, text+"\x00")}
		if len(text) < 64 {
			out = append(out, optText(code, string(rune(len(text)))+text+"\x00"), optText(code, "\x01a"+string(rune(len(text)))+text+"\x03net\x00"), optText(code, string(rune(len(text)))+text+"\xc0\x00"))
		}
		return out
	})
}

// TestCVE2014_6271Environment: what bash would have run out of an environment variable.
func TestCVE2014_6271Environment(t *testing.T) {
	for _, code := range []dhcp4.Code{dhcp4.OptV4CaptivePortal, dhcp4.OptHostName, dhcp4.OptDomainName, dhcp4.OptTCode, dhcp4.OptDomainSearch} {
		for _, text := range []string{"() { :;}; touch x", "() { :; }; /bin/touch x", "(){:;};touch x"} {
			l, refused := good(t, ackOf(optText(code, text)))
			base, _ := good(t, ackOf())
			if d := sameLease(base, l); d != "" || len(refused) != 1 {
				t.Errorf("option %d %q: refused %v\n%s", code, text, refused, d)
			}
		}
	}
}

func checkShellText(t *testing.T, forms func(dhcp4.Code, string) []dhcp4.Option) {
	base, _ := good(t, ackOf())
	n := 0
	for code := dhcp4.Code(1); code < 255; code++ {
		if size, fixed := fixedSize(code); code == dhcp4.OptDHCPOptionOverload || fixed && size <= 4 {
			continue
		}
		for _, text := range shellTexts {
			for _, o := range forms(code, text) {
				l, _ := good(t, ackOf(o))
				n++
				// Some addresses may be in such octets; texts are what matters here.
				got := l.Settings
				got.Routes, got.Routers, got.DNS, got.NTP = nil, nil, nil, nil
				want := base.Settings
				if d := cmp.Diff(want, got); d != "" {
					t.Errorf("option %d %q is in the settings:\n%s", code, o.Data, d)
				}
			}
		}
	}
	if n < 50000 {
		t.Errorf("only %d messages", n)
	}
}

func fixedSize(code dhcp4.Code) (int, bool) {
	if d := dhcp4.Lookup(code); d != nil {
		return d.Size()
	}
	return 0, false
}

// TestCVE2014_6060ClientOverload: option 52 of every value, with fields that point to each other
// and 52 inside them: each field is read once, and only where 52 of the options field says so.
func TestCVE2014_6060ClientOverload(t *testing.T) {
	for value := range 256 {
		for _, inside := range []byte{0, 1, 2, 3, 255} {
			file := append([]byte{52, 1, inside}, "\x0c\x05host1\x0f\x01a"...)
			sname := append([]byte{52, 1, inside}, "\x0c\x05host2\x0f\x01b"...)
			l, refused := good(t, overloaded(byte(value), nil, file, sname))
			host, domain := "", ""
			switch value {
			case 1:
				host, domain = "host1", "a"
			case 2:
				host, domain = "host2", "b"
			case 3:
				host, domain = "host1host2", "ab"
			}
			if l.Settings.HostName != host || l.Settings.Domain != domain || len(refused) != 0 {
				t.Errorf("52 is %d, inside %d: %q %q, refused %v", value, inside, l.Settings.HostName, l.Settings.Domain, refused)
			}
		}
	}
	// 52 with a wrong length, or twice, makes no field readable.
	for _, options := range [][]byte{{52, 0}, {52, 2, 3, 3}, {52, 1, 1, 52, 1, 2}} {
		b := ackOf()
		at := bytes.LastIndexByte(b, 255)
		b = append(append(b[:at:at], options...), 255)
		copy(b[108:], "\x0c\x05host1\xff")
		copy(b[44:], "\x0c\x05host2\xff")
		if l, _ := good(t, b); l.Settings.HostName != "" {
			t.Errorf("%x: %q", options, l.Settings.HostName)
		}
	}
}

// TestCVE2024_42040ShortReply: a reply that ends after any number of its octets, in the middle of an
// option too, and one whose options are cut by a length that lies: never a lease, unless
// only what follows the last whole option is missing. It stands for CVE-2019-11578 and CVE-2019-11579 as well.
func TestCVE2024_42040ShortReply(t *testing.T) {
	whole := overloaded(3, []byte("\x0c\x08client-1\x77\x0d\x07example\x03net\x00"), []byte("\x0f\x0bexample.net"), []byte{42, 4, 192, 0, 2, 4})
	full, _ := good(t, whole)
	var v dhcp4.View
	starts := map[int]bool{}
	if err := v.Parse(whole); err != nil {
		t.Fatal(err)
	}
	for in := range v.Instances {
		if in.Area == dhcp4.AreaOptions {
			starts[in.Offset] = true
		}
	}
	end := bytes.LastIndexByte(whole, 255)
	for n := range whole {
		err := v.Parse(whole[:n:n])
		if ok := n >= 240 && (starts[n] || n >= end); (err == nil) != ok {
			t.Errorf("%d octets: %v", n, err)
		}
		if err == nil {
			l, _, reason := client.ReadLease(&client.Config{}, &v, serverMAC, nil)
			if reason == client.None {
				checkLease(t, &client.Config{}, &l)
			}
			if n >= end && sameLease(full, l) != "" {
				t.Errorf("%d octets: another lease", n)
			}
		}
	}
	// Every octet of the options made another one: nothing unsafe comes out.
	for i := 44; i < len(whole); i++ {
		for _, c := range []byte{0, 1, 52, 119, 128, 254, 255} {
			b := slices.Clone(whole)
			b[i] = c
			if v.Parse(b) == nil {
				if l, _, reason := client.ReadLease(&client.Config{}, &v, serverMAC, nil); reason == client.None {
					checkLease(t, &client.Config{}, &l)
				}
			}
		}
	}
}

// TestCVE2016_2147SearchBounds: names that grow by pointers end at 255 octets each, and there
// are at most MaxServers of them, whatever the message holds.
func TestCVE2016_2147SearchBounds(t *testing.T) {
	label := append([]byte{60}, bytes.Repeat([]byte{'x'}, 60)...)
	val := append(bytes.Repeat(label, 4), 0)
	for i := range 850 {
		val = append(val, 1, 'a'+byte(i%26), 0xc0, byte(61*(i%4)))
	}
	l, _ := good(t, ackOf(opt(dhcp4.OptDomainSearch, val...)))
	if n := len(strings.Join(l.Settings.Search, "")); n > 253*client.MaxServers || len(l.Settings.Search) != client.MaxServers {
		t.Errorf("%d letters in %d names", n, len(l.Settings.Search))
	}
	n := testing.AllocsPerRun(20, func() { read(t, ackOf(opt(dhcp4.OptDomainSearch, val...))) })
	if n > 3000 {
		t.Errorf("%v allocations", n)
	}
}

// TestCVE2024_3661TunnelVision: routes that are more specific than a VPN's own: with NoRoutes there is
// none, with MinRouteBits none that is wide, and no mask makes half of the Internet local.
func TestCVE2024_3661TunnelVision(t *testing.T) {
	wide := []string{"0.0.0.0/1 192.0.2.66", "128.0.0.0/1 192.0.2.66", "0.0.0.0/2 0.0.0.0", "64.0.0.0/2 0.0.0.0", "128.0.0.0/2 192.0.2.66", "192.0.0.0/3 192.0.2.66"}
	for _, code := range []dhcp4.Code{o121, o249} {
		for _, c := range []client.Config{{NoRoutes: true}, {MinRouteBits: 8}} {
			l, refused, reason := readWith(t, &c, ackOf(classless(code, wide...), optAddrs(o3, "192.0.2.1")))
			want := "0.0.0.0/0 192.0.2.1" // by option 3
			if !c.NoRoutes {
				want = ""
			}
			if reason != client.None || showRoutes(&l) != want || len(refused) == 0 {
				t.Errorf("%+v: routes %q, refused %v", c, showRoutes(&l), refused)
			}
		}
	}
	for bits := range 8 {
		m := (dhcp4.Prefix{Bits: bits}).Mask()
		if _, _, reason := read(t, ackOf(opt(dhcp4.OptSubnetMask, m.Append(nil)...))); reason != client.LeaseBadMask {
			t.Errorf("/%d: %q", bits, reason)
		}
	}
}

// TestCVE2026_56116FlatMemory: reading hostile replies keeps nothing.
func TestCVE2026_56116FlatMemory(t *testing.T) {
	hostile := [][]byte{
		ackOf(opt(dhcp4.OptDomainSearch, bytes.Repeat([]byte{0xc0, 0}, 1000)...)),
		ackOf(opt(o121, bytes.Repeat([]byte{32, 198, 18, 0, 1, 192, 0, 2, 1}, 300)...)),
		ackOf(opt(o121, bytes.Repeat([]byte{0}, 2000)...)),
		ackOf(opt(dhcp4.OptDomainNameServers, bytes.Repeat([]byte{0}, 3000)...)),
		ackOf(opt(dhcp4.OptHostName, bytes.Repeat([]byte{'a'}, 3000)...)),
		ackOf(opt(dhcp4.OptDHCPLeaseTime, 0, 0, 0, 0)),
		ackOf(opt(dhcp4.OptSubnetMask, 1, 2, 3, 4)),
	}
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	var v dhcp4.View
	var refused []client.Refusal
	before := heap()
	for range 10000 {
		for _, b := range hostile {
			if v.Parse(b) == nil {
				_, refused, _ = client.ReadLease(&client.Config{}, &v, serverMAC, refused[:0])
			}
		}
	}
	if after := heap(); after > before+1<<20 {
		t.Errorf("%d octets more than before", after-before)
	}
	if cap(refused) > 64 {
		t.Errorf("%d refusals", cap(refused))
	}
}
