package policy

import (
	"strings"
	"testing"

	"lessor/dhcp4"
	"lessor/internal/template"
)

func templated(t testing.TB, code dhcp4.Code, text string) *Value {
	t.Helper()
	tpl, err := template.Parse(text, Placeholders...)
	if err != nil {
		t.Fatal(err)
	}
	return &Value{Code: code, Data: []byte(text), Template: &tpl}
}

// packetWithName is a DISCOVER with option 12.
func packetWithName(t testing.TB, name string) *dhcp4.View {
	t.Helper()
	b, _ := dhcp4.AppendMessage(nil, &dhcp4.Header{Op: 1, HType: 1, HLen: 6}, []dhcp4.Option{
		{Code: dhcp4.OptDHCPMessageType, Data: []byte{1}}, {Code: dhcp4.OptHostName, Data: []byte(name)}}, nil, 1400)
	v := new(dhcp4.View)
	if err := v.Parse(b); err != nil {
		t.Fatal(err)
	}
	return v
}

func agentOf(subs ...string) (b []byte) {
	for i, s := range subs {
		b = append(append(b, byte(i+1), byte(len(s))), s...)
	}
	return b
}

func TestFill(t *testing.T) {
	p := mustBuild(t, one(SubnetSpec{Name: "floor-7/east", Prefix: prefix("198.18.7.0/24"), Pools: []PoolSpec{{Range: span("198.18.7.10", "198.18.7.20")}}}))
	facts := Facts{
		View: packetWithName(t, "Bob's laptop; rm -rf /\x00"), HType: 1, HW: []byte{2, 0, 0x5e, 0x10, 0, 1}, ClientID: []byte{1, 2, 0, 0x5e},
		GIAddr: addr("198.18.7.1"), Agent: agentOf("eth 1/1/3:100", "\x00\x04\xff"), Interface: "eth1.5", Network: p.Networks[0],
	}
	for _, tt := range []struct {
		code dhcp4.Code
		text string
		want string // "" for nothing
	}{
		{12, "host-${address}", "host-198-18-7-10"},
		{12, "host-${hw-address}", "host-02-00-5e-10-00-01"},
		{12, "${circuit-id}.example.net", "eth-1-1-3-100.example.net"},
		{12, "r${remote-id}", "r0004ff"},
		{12, "${hostname}", "Bob-s-laptop-rm-rf"},
		{12, "${subnet}", "floor-7-east"},
		{12, "${interface}", "eth1.5"},
		{12, "c${client-id}", "c0102005e"},
		{12, "g${giaddr}", "g198-18-7-1"},
		{12, "host-", ""},
		{12, "a b", ""},
		{12, "x-${subscriber-id}", ""}, // has no value
		{12, strings.Repeat("a", 60) + "${address}", ""},
		{15, "${subnet}.example.net", "floor-7-east.example.net"},
		{67, "boot/${hw-address}.cfg", "boot/02:00:5e:10:00:01.cfg"},
		{67, "boot/${subscriber-id}", ""},
		{67, "boot/${address}", "boot/198.18.7.10"},
		{67, "${subnet}", "floor-7/east"},
		{67, "${hostname}", "426f622773206c6170746f703b20726d202d7266202f"},
		{67, "${circuit-id}", "65746820312f312f333a313030"}, // a space is not for file names
		{67, "$${net0/mac}", "${net0/mac}"},
		{67, strings.Repeat("a", 250) + "${address}", ""},
	} {
		var f Filler
		out, ok := f.Append([]byte("before"), templated(t, tt.code, tt.text), &facts, addr("198.18.7.10"))
		if ok != (tt.want != "") || string(out) != "before"+tt.want {
			t.Errorf("option %d, %q: %q %v, want %q", tt.code, tt.text, out, ok, tt.want)
		}
	}
	// Nothing but the address is known, and there is no address.
	var f Filler
	for _, name := range Placeholders {
		if out, ok := f.Append(nil, templated(t, 67, "${"+name+"}"), &Facts{}, 0); ok {
			t.Errorf("%s of nothing: %q", name, out)
		}
	}
}

// TestFillIsHarmless: whatever octets a packet has, what comes out is what a host name
// or a path may hold.
func TestFillIsHarmless(t *testing.T) {
	var f Filler
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	for c := range 256 {
		for _, val := range []string{string(all[c : c+1]), "a" + string(all[c:c+1]) + "b", string(all[c:min(c+40, 256)])} {
			facts := Facts{View: packetWithName(t, val), Agent: agentOf(val, val), ClientID: []byte(val)}
			for _, name := range []string{"hostname", "circuit-id", "client-id"} {
				if out, ok := f.Append(nil, templated(t, 12, "${"+name+"}"), &facts, 1); ok && !ValidHostName(out) {
					t.Errorf("%s %q gives the host name %q", name, val, out)
				}
				out, _ := f.Append(nil, templated(t, 17, "${"+name+"}"), &facts, 1)
				if i := strings.IndexFunc(string(out), func(r rune) bool { return r > 127 || !plain(byte(r)) }); i >= 0 {
					t.Errorf("%s %q gives the path %q", name, val, out)
				}
			}
		}
	}
}

func TestValidHostName(t *testing.T) {
	for name, want := range map[string]bool{
		"a": true, "a.b": true, "a-b.c-d": true, "0.1": true, strings.Repeat("a", 63): true, "A9": true,
		"": false, ".": false, "a.": false, ".a": false, "a..b": false, "-a": false, "a-": false, "a-.b": false, "a.-b": false, "a_b": false, "a b": false,
		strings.Repeat("a", 64): false, strings.Repeat("a.", 126) + "a": true, strings.Repeat("a.", 127) + "a": false, "\xff": false,
	} {
		if ValidHostName([]byte(name)) != want {
			t.Errorf("%q: %v", name, !want)
		}
	}
}
