package expr

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"lessor/dhcp4"
	"lessor/internal/policy"
)

// TestMeaning is what each variable and function means for the packet of a network
// boot; why is what a false test says.
func TestMeaning(t *testing.T) {
	for _, c := range []struct {
		text string
		want bool
		why  string
	}{
		{`option["vendor-class-identifier"].startsWith("PXEClient") && option["client-system"] == [7]`, true, ""},
		{`option["client-system"] == [7, 9]`, false, ""},
		{`7 in option["client-system"]`, true, ""},
		{`option["client-system"][0] in [6, 7]`, true, ""},
		{`option["client-system"][1] == 7`, false, "the list has too few items"},
		{`option["host-name"] == "pc-17" && option["host-name"] < "pc-2" && option["host-name"].endsWith("17")`, true, ""},
		{`"host-name" in option && !("domain-name" in option)`, true, ""},
		{`option["domain-name"] == "corp.example"`, false, `option["domain-name"] is not sent`},
		{`option["domain-name"] != "corp.example"`, true, ""},
		{`!(option["domain-name"] == "corp.example")`, true, ""},
		{`option["domain-name"].startsWith("x") || option["host-name"] == "y"`, false, `option["domain-name"] is not sent`},
		{`option["domain-name"] == "x" || option["host-name"] == "pc-17"`, true, ""},
		{`size(option["domain-name"]) == 0`, false, `option["domain-name"] is not sent`},
		{`"iPXE" in option["user-class"] && option["user-class"] == ["iPXE", "lab"]`, true, ""},
		{`option["user-class"].exists(c, c.startsWith("la")) && !option["user-class"].all(c, c.startsWith("la"))`, true, ""},
		{`option["routers"].all(r, r == "192.0.2.1")`, false, `option["routers"] is not sent`},
		{`hex(option["uuid-guid"]).startsWith("00:44:45:4c:4c")`, true, ""},
		{`string(option["uuid-guid"]).contains("DELL")`, true, ""},
		{`option["fqdn"] == "pc-17.corp.example"`, true, ""},
		{`option["domain-search"] == ["corp.example", "lab.corp.example"]`, true, ""},
		{`option["acme-url"] == "coax" && option["acme-slot"] == 258 && option["acme-delta"] == -2 && option["acme-on"]`, true, ""},
		{`2 in option["acme-color"] && option["acme-switches"][0] && !option["acme-switches"][1]`, true, ""},
		{`relay["circuit-id"] == "eth/7" && hex(relay["remote-id"]) == "02:00:5e:10:00:09" && relay["subscriber-id"] == "foo"`, true, ""},
		{`relay["link-selection"] == "198.18.9.0"`, true, ""},
		{`relay["relay-flags"] == 1`, false, `relay["relay-flags"] is not in the relay information`},
		{`"circuit-id" in relay && !("relay-id" in relay)`, true, ""},
		{`hw_address == "02:00:5e:10:00:01" && hw_address.startsWith("02:00:5e:") && hw_address.endsWith(":01")`, true, ""},
		{`hw_address in ["02:00:5e:10:00:02", "02:00:5e:10:00:01"] && hw_address.contains("5e:10")`, true, ""},
		{`hw_address.startsWith("02:00:5e:10:00:01:")`, false, ""},
		{`hw_address.endsWith(":02:00:5e:10:00:01")`, false, ""},
		{`hw_address.startsWith("") && hw_address.endsWith("")`, true, ""},
		{`hw_address in ["02:00:5e:10:00", "02:00:5e:10:00:01:02"]`, false, ""},
		{`client_id == "01:02:00:5e:10:00:01" && client_id.startsWith("01:")`, true, ""},
		{`giaddr == "198.18.8.1" && giaddr in ["198.18.8.1"] && ciaddr == "0.0.0.0"`, true, ""},
		{`message == "DISCOVER" && interface == "eth0" && network == "building-a"`, true, ""},
		{`known && member("KNOWN") && member("phones") && !member("guests") && !member("UNKNOWN")`, true, ""},
		{`option["vendor-class-identifier"].matches("^PXEClient:Arch:0000[79]")`, true, ""},
		{`option["vendor-class-identifier"].substring(0, 9).lowerAscii() == "pxeclient"`, true, ""},
		{`option["host-name"].substring(3) == "17"`, true, ""},
		{`option["host-name"].substring(6) == ""`, false, "substring goes past the end of the text"},
		{`option["dhcp-max-message-size"] / 2 - 1 == 735`, true, ""},
		{`option["dhcp-max-message-size"] / option["dhcp-max-message-size"] % 0 == 1`, false, "the calculation has no result"},
		{`(known ? "a" : "b") + string(7) == "a7"`, true, ""},
		{`(option["domain-name"] == "x" ? 1 : 2) == 2`, true, ""},
		{`option["rapid-commit"]`, false, ""},
	} {
		ok, err := mustTest(t, c.text)(pxe(t))
		why := ""
		if err != nil {
			why = err.Error()
		}
		if ok != c.want || why != c.why {
			t.Errorf("%s: %v %q, want %v %q", c.text, ok, why, c.want, c.why)
		}
		if compiled, value := agree(t, c.text, pxe(t)); !compiled || value != c.want {
			t.Errorf("%s: CEL says %v", c.text, value)
		}
	}
}

// TestForms: what has not the form of its option is as if it were not there.
func TestForms(t *testing.T) {
	long := opt(dhcp4.OptHostName, strings.Repeat("x", maxValue+1))
	for _, c := range []struct {
		text   string
		option dhcp4.Option
		want   bool
		why    string
	}{
		{`option["host-name"] == "pc"`, opt(dhcp4.OptHostName, "pc\x00\x00"), true, ""},
		{`option["host-name"] == ""`, opt(dhcp4.OptHostName, ""), true, ""},
		{`"host-name" in option`, long, true, ""},
		{`option["host-name"].startsWith("x")`, long, false, `option["host-name"] is too long for a test`},
		{`option["host-name"].startsWith("x")`, opt(dhcp4.OptHostName, strings.Repeat("x", 600)), true, ""},
		{`option["client-system"] == [7]`, opt(dhcp4.OptClientSystem, "\x00\x07\x00"), false, `option["client-system"] has not the form of that option`},
		{`option["client-system"] == [7]`, opt(dhcp4.OptClientSystem, ""), false, `option["client-system"] has not the form of that option`},
		{`"client-system" in option`, opt(dhcp4.OptClientSystem, ""), true, ""},
		{`option["ip-forwarding"]`, opt(dhcp4.OptIPForwarding, "\x02"), false, `option["ip-forwarding"] has not the form of that option`},
		{`!option["ip-forwarding"]`, opt(dhcp4.OptIPForwarding, "\x00"), true, ""},
		{`option["interface-mtu"] == 5`, opt(dhcp4.OptInterfaceMTU, "\x00\x00\x05"), false, `option["interface-mtu"] has not the form of that option`},
		{`option["routers"] == ["192.0.2.1"]`, opt(dhcp4.OptRouters, "\xc0\x00\x02\x01"), true, ""},
		{`"iPXE" in option["user-class"]`, opt(dhcp4.OptUserClass, "iPXE"), true, ""},
		{`"iPXE" in option["user-class"]`, opt(dhcp4.OptUserClass, "\x04iPX"), false, ""},
		{`option["rapid-commit"]`, opt(dhcp4.OptRapidCommit, ""), true, ""},
		{`option["fqdn"] == "a.b"`, opt(dhcp4.OptFQDN, "\x00\x00\x00a.b"), true, ""},
		{`option["fqdn"] == "a.b"`, opt(dhcp4.OptFQDN, "\x04\x00\x00\x01a\x01b"), true, ""},
		{`option["fqdn"] == "a.b"`, opt(dhcp4.OptFQDN, "\x04\x00\x00\x09a"), false, `option["fqdn"] has not the form of that option`},
		{`option["domain-search"].exists(x, x == "a")`, opt(dhcp4.OptDomainSearch, "\x01a\x00"+strings.Repeat("\xc0\x00", 40)), false, `option["domain-search"] is too long for a test`},
		{`option["dhcp-parameter-request-list"].exists(x, x == 9)`, opt(dhcp4.OptDHCPParameterRequestList, strings.Repeat("\x01", 65)), false, "the list is too long for a test"},
		{`9 in option["dhcp-parameter-request-list"]`, opt(dhcp4.OptDHCPParameterRequestList, strings.Repeat("\x01", 65)+"\x09"), true, ""},
		{`option["host-name"].matches("x")`, opt(dhcp4.OptHostName, strings.Repeat("x", 256)), false, "the text is too long for a test"},
		{`option["host-name"].contains("\u00e9")`, opt(dhcp4.OptHostName, "\xff\xc3\xa9"), true, ""},
		{`option["acme-gateways"] == ["2001:db8::1"]`, opt(227, "\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01"), true, ""},
		{`option["acme-slot"] == 1`, opt(dhcp4.OptVendorEncapsulatedOptions, "\x00\xff\x07\x02\x00\x01"), false, `option["acme-slot"] is not sent`},
		{`option["acme-url"] == "x"`, opt(dhcp4.OptVIVSOSuboptions, "\x00\x00\x00\x01\x03\x01\x01y\x00\x00\x11\x8b\x03\x01\x01x"), true, ""},
	} {
		ok, err := mustTest(t, c.text)(facts(t, c.option))
		why := ""
		if err != nil {
			why = err.Error()
		}
		if ok != c.want || why != c.why {
			t.Errorf("%s: %v %q, want %v %q", c.text, ok, why, c.want, c.why)
		}
	}
}

// TestNothingKnown: the facts of a record have no packet.
func TestNothingKnown(t *testing.T) {
	for text, want := range map[string]string{
		`hw_address == "02:00:5e:10:00:01"`:  "hw_address is empty",
		`client_id.startsWith("01:")`:        "client_id is not sent",
		`message == "DISCOVER"`:              "message is unknown: there is no packet",
		`network == "x"`:                     "network is unknown",
		`interface == "x"`:                   "interface is unknown",
		`relay["circuit-id"] == "x"`:         `relay["circuit-id"] is not in the relay information`,
		`option["host-name"] == "x" && true`: `option["host-name"] is not sent`,
	} {
		ok, err := mustTest(t, text)(&policy.Facts{})
		var noValue *NoValue
		if ok || !errors.As(err, &noValue) || err.Error() != want {
			t.Errorf("%s: %v, %v; want %s", text, ok, err, want)
		}
	}
}

// TestShown is what people see of the values that a test reads.
func TestShown(t *testing.T) {
	hostile := facts(t, opt(dhcp4.OptHostName, "\x1b[31m\"\xff"+strings.Repeat("x", 100)), opt(dhcp4.OptUUIDGUID, strings.Repeat("\x00", 90)),
		opt(dhcp4.OptDHCPParameterRequestList, strings.Repeat("\x01", 40)), opt(dhcp4.OptClientSystem, "\x00"))
	for _, c := range []struct {
		facts      *policy.Facts
		text, want string
	}{
		{pxe(t), `option["client-system"] == [7] && (hw_address == "02:00:5e:10:00:09" || option["client-system"] == [9])`, `option["client-system"] [7], hw_address 02:00:5e:10:00:01`},
		{pxe(t), `option["domain-name"] == "x" && known && giaddr == ciaddr`, `option["domain-name"] is not sent, known true, giaddr 198.18.8.1, ciaddr 0.0.0.0`},
		{pxe(t), `"iPXE" in option["user-class"] && option["acme-switches"] == [true] && option["acme-delta"] < 0`, `option["user-class"] ["iPXE", "lab"], option["acme-switches"] [true, false], option["acme-delta"] -2`},
		{pxe(t), `message == "DISCOVER" && member("guests") && "x" + relay["circuit-id"] != hex(option["client-ndi"])`, `message "DISCOVER", member("guests") false, relay["circuit-id"] "eth/7", option["client-ndi"] 01:03:10`},
		{hostile, `option["host-name"] == "x" && option["client-system"] == [7]`, `option["host-name"] "\x1b[31m\"\xff` + strings.Repeat("x", 50) + `...", option["client-system"] has not the form of that option`},
		{hostile, `size(option["uuid-guid"]) > 3 && 1 in option["dhcp-parameter-request-list"]`, `option["uuid-guid"] 00` + strings.Repeat(":00", 63) + `..., option["dhcp-parameter-request-list"] [1` + strings.Repeat(", 1", 15) + `, ...]`},
		{pxe(t), `true`, ``},
	} {
		_, values, err := CompileTest(c.text, testEnv)
		if err != nil {
			t.Fatalf("%s: %v", c.text, err)
		}
		if got := string(values([]byte("> "), c.facts)); got != "> "+c.want {
			t.Errorf("%s:\n got %s\nwant > %s", c.text, got, c.want)
		}
	}
}

func TestValues(t *testing.T) {
	f := pxe(t)
	for text, want := range map[string]string{
		`relay["circuit-id"] + "/" + hex(relay["remote-id"])`: "eth/7/02:00:5e:10:00:09",
		`option["uuid-guid"]`: "\x00DELL000000000001",
		`"circuit-id" in relay ? relay["circuit-id"] : hw_address`: "eth/7",
		`"relay-id" in relay ? relay["relay-id"] : hw_address`:     "02:00:5e:10:00:01",
		`relay["relay-id"] + "x"`:                                  "",
		`""`:                                                       "",
		`string(option["client-system"][0])`:                       "7",
		`option["user-class"][1]`:                                  "lab",
		`relay["circuit-id"].substring(4)`:                         "7",
		`hex(option["dhcp-client-identifier"]) + option["host-name"] + "é"`: "01:02:00:5e:10:00:01pc-17é",
	} {
		v, err := CompileValue(text, testEnv)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		got := v(f)
		if string(got) != want || (want == "") != (got == nil) {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
		for i := range got { // it is the caller's
			got[i] = 0
		}
		if again := v(f); string(again) != want {
			t.Errorf("%s: %q at the second time", text, again)
		}
	}
}

// TestValueBelongsToTheCaller: it does not change with the packet.
func TestValueBelongsToTheCaller(t *testing.T) {
	v, err := CompileValue(`relay["circuit-id"]`, testEnv)
	if err != nil {
		t.Fatal(err)
	}
	f := pxe(t)
	got := v(f)
	clear(f.Agent)
	if string(got) != "eth/7" {
		t.Errorf("%q", got)
	}
}

// TestSeveralGoroutines: one test is used by many at a time (run with -race).
func TestSeveralGoroutines(t *testing.T) {
	var tests []policy.Test
	for _, c := range classTests {
		tests = append(tests, mustTest(t, c.text))
	}
	tests = append(tests, mustTest(t, `option["user-class"].exists(c, c.matches("^i")) && [option["host-name"], "x"] == ["pc-17", "x"]`))
	var wg sync.WaitGroup
	for range 4 {
		f := pxe(t)
		wg.Go(func() {
			for range 200 {
				for _, test := range tests {
					_, _ = test(f)
				}
			}
		})
	}
	wg.Wait()
}

// TestHostilePackets: nothing panics, and the packet stays as it was, whatever it is.
func TestHostilePackets(t *testing.T) {
	var tests []policy.Test
	for _, d := range dhcp4.All() {
		if d.Type != dhcp4.TypeNone && d.Code != dhcp4.OptDHCPAgentOptions {
			tests = append(tests, mustTest(t, forAny(t, "option", d.Name)))
		}
	}
	for _, d := range dhcp4.AgentSubOptions() {
		tests = append(tests, mustTest(t, forAny(t, "relay", d.Name)))
	}
	rng := rand.New(rand.NewPCG(5, 6))
	hits := 0
	for range 100 {
		f := anyPacket(rng)
		before := bytes.Clone(f.View.Bytes())
		for _, test := range tests {
			if ok, _ := test(f); ok {
				hits++
			}
		}
		if !bytes.Equal(before, f.View.Bytes()) {
			t.Fatal("a test changed the packet")
		}
	}
	if hits == 0 {
		t.Error("no test was ever true: the packets have nothing in them")
	}
}

// forAny is a test that reads an option of whatever kind and is true when it can.
func forAny(t *testing.T, what, name string) string {
	t.Helper()
	v := what + `["` + name + `"]`
	c, err := compile("!("+v+" == "+v+")", testEnv)
	if err != nil {
		t.Fatalf("%s: %v", v, err)
	}
	switch k := c.leaves[v].kind(); {
	case k == kindBool:
		return v
	case k.isList():
		return "size(" + v + ") >= 0 && " + v + " == " + v + " && !" + v + ".exists(x, x != x)"
	case k == kindInt:
		return v + " == " + v
	default:
		return "size(" + v + ") >= 0 && hex(" + v + ").size() >= 0"
	}
}

// anyPacket has every option with random octets, some of them several times.
func anyPacket(rng *rand.Rand) *policy.Facts {
	message := make([]byte, dhcp4.MinSize)
	copy(message[236:], "\x63\x82\x53\x63")
	for code := byte(1); code < 255; code++ {
		for range 1 + rng.IntN(2)*rng.IntN(3) {
			value := randomBytes(rng, rng.IntN(24))
			if rng.IntN(2) == 0 {
				clear(value)
			}
			message = append(append(message, code, byte(len(value))), value...)
		}
	}
	v := new(dhcp4.View)
	if err := v.Parse(message); err != nil {
		panic(err)
	}
	f := &policy.Facts{View: v, HW: v.CHAddr()}
	for sub := byte(0); sub < 160; sub++ {
		value := randomBytes(rng, rng.IntN(6))
		f.Agent = append(append(f.Agent, sub, byte(len(value))), value...)
	}
	return f
}
