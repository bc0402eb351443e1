package expr

import (
	"fmt"
	"strings"
	"testing"
)

// TestErrors is what people read when an expression is wrong, and where the caret
// stands: "line:column what-is-marked".
func TestErrors(t *testing.T) {
	for _, c := range []struct{ text, place, want string }{
		{`option["client-system"] == 7`, `1:28 7`, `option["client-system"] is a list of numbers; write == [7]`},
		{`7 != option["client-system"]`, `1:1 7`, `option["client-system"] is a list of numbers; write != [7]`},
		{`option["client-system"] == "7"`, `1:28 "7"`, `option["client-system"] is a list of numbers; write == [7]`},
		{`option["client-system"] == ["7"]`, `1:28 `, `option["client-system"] is a list of numbers, not of texts; write the numbers without quotes`},
		{`option["client-system"] > 5`, `1:27 5`, `option["client-system"] is a list of numbers; only == and != compare lists; write option["client-system"][0] > 5 for the first item`},
		{`option["client-sytem"] == [7]`, `1:8 "client-sytem"`, `no option is called "client-sytem"; did you mean "client-system"?`},
		{`option["dns-server"] == "x"`, `1:8 "dns-server"`, `no option is called "dns-server"; did you mean "domain-name-servers"?`},
		{`option["acme-colour"] == [1]`, `1:8 "acme-colour"`, `no option is called "acme-colour"; did you mean "acme-color"?`},
		{`hw-address == "x"`, `1:1 `, `"hw-address" has no meaning here; did you mean hw_address?`},
		{`option["qqqqqqqqqq"] == "x"`, `1:8 "qqqqqqqqqq"`, `no option is called "qqqqqqqqqq"; they stand in docs/options.md; others are declared in "option-definitions"`},
		{`option["circuit-id"] == "x"`, `1:8 "circuit-id"`, `no option is called "circuit-id"; write relay["circuit-id"]`},
		{`option["dhcp-agent-options"] == b"x"`, `1:8 "dhcp-agent-options"`, `option 82 is read by its parts, and only where it is believed; write relay["circuit-id"], relay["remote-id"]`},
		{`relay["circuitid"] == "x"`, `1:7 "circuitid"`, `no sub-option of option 82 is called "circuitid"; did you mean "circuit-id"?`},
		{`option[60] == "x"`, `1:8 60`, `the name must stand here itself, in quotes; write option["vendor-class-identifier"]`},
		{`option[host-name] == "x"`, `1:8 `, `the name must stand here itself, in quotes; write option["host-name"]`},
		{`option.name == "x"`, `1:1 `, `".name" has no meaning here; write option["NAME"]`},
		{`option == "x"`, `1:1 option`, `option needs the name of one of its options; write option["NAME"], or "NAME" in option`},
		{`option["host-name"] = "x"`, `1:21 `, `"=" has no meaning here; write == to compare`},
		{`known and known`, `1:7 `, `"and" has no meaning here; write &&`},
		{`known or known`, `1:7 `, `"or" has no meaning here; write ||`},
		{`not known`, `1:1 `, `"not" has no meaning here; write ! before what is not to be`},
		{`known & known`, `1:7 `, `"&" has no meaning here; write && for and, || for or`},
		{`option["host-name"] == "x`, `1:24 `, `the quotes are not closed`},
		{`known && (known`, `1:16 `, `the expression is not complete`},
		{` `, `1:2 `, `the expression is empty; leave the key out instead`},
		{`hw_address.startsWith("02:00:5E")`, `1:23 "02:00:5E"`, `hw_address is written as pairs of small hexadecimal digits with colons; write "02:00:5e"`},
		{`hw_address == "0200.5e10.0001"`, `1:15 "0200.5e10.0001"`, `hw_address is written as pairs of small hexadecimal digits with colons; write "02:00:5e:10:00:01"`},
		{`hex(relay["remote-id"]) in ["0200"]`, `1:29 "0200"`, `hex(…) is written as pairs of small hexadecimal digits with colons; write "02:00"`},
		{`hwaddress == "x"`, `1:1 `, `"hwaddress" has no meaning here; did you mean hw_address?`},
		{`host-name == "x"`, `1:1 `, `"host-name" has no meaning here; write option["host-name"]`},
		{`circuit_id == "x"`, `1:1 `, `"circuit_id" has no meaning here; write relay["circuit-id"]`},
		{`message == "DISCOVR"`, `1:12 "DISCOVR"`, `no message is called "DISCOVR"; did you mean "DISCOVER"?`},
		{`giaddr == "198.18.0.0/24"`, `1:11 "198.18.0.0/24"`, `giaddr is an IPv4 address, and "198.18.0.0/24" is none; write it like "192.0.2.1"`},
		{`member("phone")`, `1:8 "phone"`, `no class before this one is called "phone"; did you mean "phones"?`},
		{"known &&\n  member(\"staff\")", `2:10 "staff"`, `no class before this one is called "staff"; a test sees only the classes before it: KNOWN, UNKNOWN, phones, guests`},
		{`member(phones)`, `1:8 phones`, `the name must stand here itself, in quotes; write member("phones")`},
		{`option["uuid-guid"].startsWith("00")`, `1:1 option["uuid-guid"]`, `option["uuid-guid"] is octets; write hex(option["uuid-guid"]).startsWith("01:02:…"), or string(option["uuid-guid"]).startsWith("00")`},
		{`option["user-class"].startsWith("iPXE")`, `1:1 option["user-class"]`, `option["user-class"] is a list of texts; write option["user-class"].exists(x, x.startsWith("iPXE"))`},
		{`option["interface-mtu"] == "1500"`, `1:28 "1500"`, `option["interface-mtu"] is a number; write == 1500`},
		{`option["host-name"] == 5`, `1:24 5`, `option["host-name"] is text; write == "5"`},
		{`option["routers"] == "192.0.2.1"`, `1:22 "192.0.2.1"`, `option["routers"] is a list of addresses; write == ["192.0.2.1"]`},
		{`option["host-name"] in "abc"`, `1:24 "abc"`, `"abc" is text, not a list; write in ["abc"]`},
		{`7 in option["interface-mtu"]`, `1:6 option["interface-mtu"]`, `option["interface-mtu"] is a number, not a list; write option["interface-mtu"] == 7`},
		{`option["host-name"]`, `1:1 option["host-name"]`, `option["host-name"] is text, and a test is true or false; write option["host-name"] == "…"`},
		{`known && option["client-system"]`, `1:10 option["client-system"]`, `option["client-system"] is a list of numbers, and a test is true or false; write option["client-system"] == [1], or 1 in option["client-system"]`},
		{`known == true`, `1:10 true`, `known is true or false; write known, or !known`},
		{`option["host-name"].matches(option["domain-name"])`, `1:29 `, `the pattern of matches must stand here itself, in quotes; a pattern is never taken from a packet; write contains or == to compare with one`},
		{`option["host-name"].matches("a(b")`, `1:29 "a(b"`, "the pattern cannot be read: error parsing regexp: missing closing ): `a(b`; patterns are those of RE2"},
		{`option["host-name"].matches("((a{50}){50}){50}")`, `1:29 "((a{50}){50}){50}"`, "the pattern cannot be read: error parsing regexp: invalid repeat count: `{50}`; patterns are those of RE2"},
		{`option["host-name"].matches("(abcdefgh{30}){30}")`, `1:29 "(abcdefgh{30}){30}"`, "the pattern cannot be read: it is too large; patterns are those of RE2"},
		{`"größe" == option["host-name"] && option["host-nam"] == "x"`, `1:42 "host-nam"`, `no option is called "host-nam"; did you mean "host-name"?`},
		{`"a" + 1 == "a1"`, `1:1 `, `+ cannot join text and a number; write string(…) around the number to join it with text`},
		{`{"a": 1} == {}`, `1:1 `, `braces have no meaning here; write lists in brackets: [1, 2]`},
		{`option["client-system"].exists(x, option["acme-color"].all(y, y == x))`, `1:35 `, `exists and all cannot stand within each other; use two classes, and member("…")`},
		{`option["client-system"].exists(message, message == 7)`, `1:1 `, `"message" has a meaning of its own, and cannot be a name for the items; choose another, such as x`},
		{`timestamp("x") == timestamp("y")`, `1:1 `, `"timestamp" has no meaning here; what there is stands in docs/classes.md`},
		{`option["host-name"].startWith("a")`, `1:21 `, `"startWith" has no meaning here; did you mean startsWith?`},
		{`null == null`, `1:1 null`, `null has no meaning here; what there is stands in docs/classes.md`},
		{strings.Repeat("(", 100) + "known" + strings.Repeat(")", 100), "", ""},
		{"known" + strings.Repeat(" ? known : known", 200), "", ""},
		{strings.Repeat("known && ", 2000) + "known", `1:1 `, fmt.Sprintf(`the expression has more than %d octets; use several classes, and member("…")`, MaxLength)},
	} {
		_, _, err := CompileTest(c.text, testEnv)
		if err == nil {
			t.Errorf("%s: no error", c.text)
			continue
		}
		place := fmt.Sprintf("%d:%d %s", err.Line, err.Col, c.text[err.Offset:err.Offset+err.Length])
		if c.want == "" {
			continue // any error will do
		}
		if place != c.place || err.Error() != c.want {
			t.Errorf("%s:\n got %s %s\nwant %s %s", c.text, place, err.Error(), c.place, c.want)
		}
	}
}

func TestValueErrors(t *testing.T) {
	for text, want := range map[string]string{
		`known`:                     `1:1 whether the client has a reservation is not known yet: this value is what it is looked up by`,
		`hw_address == "02:00"`:     `1:1 the value is true or false, not text; write an expression for text, such as relay["circuit-id"]`,
		`option["interface-mtu"]`:   `1:1 the value is a number, not text; write string(…)`,
		`option["client-system"]`:   `1:1 the value is a list of numbers, not text; write an expression for text, such as relay["circuit-id"]`,
		`relay["circuit-id"] + 1.5`: `1:1 + cannot join text and something else; both sides must be text, or both numbers`,
	} {
		_, err := CompileValue(text, testEnv)
		if err == nil {
			t.Errorf("%s: no error", text)
		} else if got := fmt.Sprintf("%d:%d %s", err.Line, err.Col, err.Error()); got != want {
			t.Errorf("%s:\n got %s\nwant %s", text, got, want)
		}
	}
}

// TestOwnDefinitionWins: a configuration may define a registered name anew.
func TestOwnDefinitionWins(t *testing.T) {
	env := testEnv
	own := *env.Options[0].Def
	own.Name = "host-name"
	env.Options = []Option{{Def: &own}}
	test, _, err := CompileTest(`option["host-name"] == [1, 2]`, env)
	if err != nil {
		t.Fatal(err)
	}
	if ok, err := test(facts(t, opt(224, "\x01\x02"))); !ok || err != nil {
		t.Errorf("%v, %v", ok, err)
	}
}
