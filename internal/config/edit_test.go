package config

import (
	"strings"
	"testing"

	"lessor/dhcp4"
)

// editCases are the end of a subnet 192.0.2.0/24 before and after a reservation is added.
var editCases = []struct{ name, before, after string }{
	{"no key", "    pools: [192.0.2.50] # here\n", "    pools: [192.0.2.50] # here\n    reservations:\n      - NEW\n"},
	{"no key, a block list", "    pools:\n    - 192.0.2.50\n  # next\n", "    pools:\n    - 192.0.2.50\n    reservations:\n    - NEW\n  # next\n"},
	{"no end of line", "    pools: [192.0.2.50]", "    pools: [192.0.2.50]\n    reservations:\n      - NEW"},
	{"items on a line",
		"    reservations:\n      # one\n      - {hw-address: 02:00:5e:10:00:01, ip-address: 192.0.2.10}  # printer\n        # its end\n      # last\n\n    pools: [192.0.2.50]\n",
		"    reservations:\n      # one\n      - {hw-address: 02:00:5e:10:00:01, ip-address: 192.0.2.10}  # printer\n        # its end\n      - NEW\n      # last\n\n    pools: [192.0.2.50]\n"},
	{"items of lines",
		"    reservations:\n    -   hw-address: 02:00:5e:10:00:01\n        ip-address: 192.0.2.10\n        options: {\n          routers: 192.0.2.1 }\n",
		"    reservations:\n    -   hw-address: 02:00:5e:10:00:01\n        ip-address: 192.0.2.10\n        options: {\n          routers: 192.0.2.1 }\n    -   hw-address: 02:00:5e:10:00:77\n        ip-address: 192.0.2.77\n        hostname: \"null\"\n"},
	{"empty", "    reservations: [ ] # none\n", "    reservations: [ NEW] # none\n"},
	{"flow", "    reservations: [{hw-address: 02:00:5e:10:00:01, ip-address: 192.0.2.10}]\n",
		"    reservations: [{hw-address: 02:00:5e:10:00:01, ip-address: 192.0.2.10}, NEW]\n"},
	{"flow of lines", "    reservations: [\n      {hw-address: 02:00:5e:10:00:01, hostname: 'a'} # one\n    ]\n",
		"    reservations: [\n      {hw-address: 02:00:5e:10:00:01, hostname: 'a'}, # one\n      NEW\n    ]\n"},
	{"flow with a comma at the end", "    reservations: [\n      {hw-address: 02:00:5e:10:00:01, hostname: \"]\"},\n    ]\n", ""},
	{"flow of lines with a comma", "    reservations: [\n      {hw-address: 02:00:5e:10:00:01, hostname: a},\n    ]\n",
		"    reservations: [\n      {hw-address: 02:00:5e:10:00:01, hostname: a},\n      NEW,\n    ]\n"},
}

const editHead = "# the file\ninterfaces: [eth0]\nsubnets:\n  - subnet: 192.0.2.0/24\n"

var newSettings = []Setting{{"hw-address", "02:00:5e:10:00:77"}, {"ip-address", "192.0.2.77"}, {"hostname", "null"}}

const newText = `{hw-address: 02:00:5e:10:00:77, ip-address: 192.0.2.77, hostname: "null"}`

func TestEdit(t *testing.T) {
	pre, err := dhcp4.ParsePrefix("192.0.2.0/24")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range editCases {
		for _, crlf := range []bool{false, true} {
			before, want := editHead+c.before, editHead+strings.ReplaceAll(c.after, "NEW", newText)
			if crlf {
				before, want = strings.ReplaceAll(before, "\n", "\r\n"), strings.ReplaceAll(want, "\n", "\r\n")
			}
			e, problems := NewEdit("f.yaml", []byte(before))
			if c.after == "" {
				if problems.Err() == nil {
					t.Errorf("%s: a file with an error is edited", c.name)
				}
				continue
			}
			if e == nil {
				t.Fatalf("%s: %v", c.name, problems)
			}
			got, line, err := e.Add(pre, newSettings)
			if err != nil || string(got) != want {
				t.Errorf("%s: %v\n%s\nwant\n%s", c.name, err, got, want)
				continue
			}
			if text := strings.Split(want, "\n")[line-1]; !strings.Contains(text, "02:00:5e:10:00:77") {
				t.Errorf("%s: line %d is %q", c.name, line, text)
			}
			removed := removeAt(t, c.name, got, "192.0.2.77")
			if c.name != "flow of lines" && removed != before {
				t.Errorf("%s: after it is removed\n%s\nwas\n%s", c.name, removed, before)
			}
		}
	}
}

// removeAt removes the reservation of an address.
func removeAt(t *testing.T, what string, data []byte, addr string) string {
	t.Helper()
	e, problems := NewEdit("f.yaml", data)
	if e == nil {
		t.Fatalf("%s: %v", what, problems)
	}
	for _, sn := range e.subnets(e.root) {
		if list := valueOf(sn, "reservations"); list != nil {
			for _, r := range list.Content {
				if a := valueOf(r, "ip-address"); a != nil && a.Value == addr {
					out, err := e.Remove(r.Line, r.Column)
					if err != nil {
						t.Fatalf("%s: %v", what, err)
					}
					return string(out)
				}
			}
		}
	}
	t.Fatalf("%s: there is no reservation of %s in\n%s", what, addr, data)
	return ""
}

// TestEditFlowSubnet holds the same for a subnet on one line, in a shared network or not.
func TestEditFlowSubnet(t *testing.T) {
	pre, _ := dhcp4.ParsePrefix("198.51.100.0/24")
	for before, want := range map[string]string{
		"interfaces: [eth0]\nsubnets: [{subnet: 192.0.2.0/24, pools: [192.0.2.7]}, {subnet: 198.51.100.0/24, name: b }]\n": "interfaces: [eth0]\nsubnets: [{subnet: 192.0.2.0/24, pools: [192.0.2.7]}, {subnet: 198.51.100.0/24, name: b, reservations: [NEW] }]\n",
		"{interfaces: [eth0], subnets: [{pools: [198.51.100.7], subnet: \"198.51.100.0/24\"}]}":                            "{interfaces: [eth0], subnets: [{pools: [198.51.100.7], subnet: \"198.51.100.0/24\", reservations: [NEW]}]}",
	} {
		e, problems := NewEdit("f.yaml", []byte(before))
		if e == nil {
			t.Fatal(problems)
		}
		got, _, err := e.Add(pre, []Setting{{"client-id", "'scanner-7'"}, {"hostname", "x"}})
		if want := strings.ReplaceAll(want, "NEW", `{client-id: "'scanner-7'", hostname: x}`); err != nil || string(got) != want {
			t.Errorf("%v\n%s\nwant\n%s", err, got, want)
		}
	}
}

// TestEditRemove holds that each reservation can be taken out alone, in every style.
func TestEditRemove(t *testing.T) {
	for _, before := range []string{
		"    reservations: [{A}, {B}, {C}]\n",
		"    reservations: [ {A} , {B},{C} ] # x\n",
		"    reservations:\n      - {A} # a\n      # about b\n      - {B}\n\n      - {C}\n",
		"    reservations:\n      [\n        {A}, # a\n        {B}, # b\n        {C} # c\n      ]\n",
		"    reservations:\n    - {A}\n    -\n      {B}\n    - {C}\n    pools: [192.0.2.50]\n",
	} {
		for _, gone := range []string{"A", "B", "C"} {
			text := editHead + before
			for i, name := range []string{"A", "B", "C"} {
				text = strings.ReplaceAll(text, "{"+name+"}", "{hw-address: 02:00:5e:10:00:0"+string('1'+rune(i))+", ip-address: 192.0.2.1"+string('1'+rune(i))+"}")
			}
			addr := "192.0.2.1" + string(rune(gone[0]-'A'+'1'))
			got := removeAt(t, before, []byte(text), addr)
			if strings.Contains(got, addr) || strings.Count(got, "192.0.2.1") != 2 || strings.Count(got, "\n") > strings.Count(text, "\n") {
				t.Errorf("without %s:\n%s", gone, got)
			}
			if strings.Contains(text, "# about b") && !strings.Contains(got, "# about b") {
				t.Errorf("the comment above is lost:\n%s", got)
			}
		}
	}
}

func TestQuote(t *testing.T) {
	for in, want := range map[string]string{
		"printer": "printer", "02:00:5e:10:00:01": "02:00:5e:10:00:01", "": `""`, "null": `"null"`, "~": `"~"`, "'a'": `"'a'"`, "a, b": `"a, b"`, "a: b": `"a: b"`,
		`"`: `'"'`, "# x": `"# x"`, "x #y": `"x #y"`, "[a": `"[a"`, `a\b`: `a\b`, "&x": `"&x"`, "12": "12", " x": `" x"`, "!t": `"!t"`, "- a": `"- a"`,
	} {
		if got := quote(in); got != want {
			t.Errorf("quote(%q) = %s, want %s", in, got, want)
		}
	}
}
