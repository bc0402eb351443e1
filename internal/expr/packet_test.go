package expr

import (
	"testing"

	"lessor/dhcp4"
	"lessor/internal/policy"
)

// env is what the tests' expressions may name.
var testEnv = Env{
	Options: []Option{
		{Def: &dhcp4.Def{Code: 224, Name: "acme-color", Type: dhcp4.TypeUint8, List: true}},
		{Def: &dhcp4.Def{Code: 225, Name: "acme-delta", Type: dhcp4.TypeInt32}},
		{Def: &dhcp4.Def{Code: 226, Name: "acme-switches", Type: dhcp4.TypeBool, List: true}},
		{Def: &dhcp4.Def{Code: 1, Name: "acme-url", Type: dhcp4.TypeString}, Enterprise: 4491},
		{Def: &dhcp4.Def{Code: 7, Name: "acme-slot", Type: dhcp4.TypeUint16}, Encapsulated: true},
		{Def: &dhcp4.Def{Code: 227, Name: "acme-gateways", Type: dhcp4.TypeAddr6, List: true}},
		{Def: &dhcp4.Def{Code: 228, Name: "acme-on", Type: dhcp4.TypeFlag}},
	},
	Classes: []Class{{policy.NameKnown, policy.ClassKnown}, {policy.NameUnknown, policy.ClassUnknown}, {"phones", 2}, {"guests", 200}},
}

// facts are those of a packet with these options.
func facts(tb testing.TB, opts ...dhcp4.Option) *policy.Facts {
	tb.Helper()
	h := dhcp4.Header{Op: 1, HType: 1, HLen: 6, GIAddr: dhcp4.MustParseAddr("198.18.8.1"), CHAddr: [16]byte{0x02, 0, 0x5e, 0x10, 0, 1}}
	all := append([]dhcp4.Option{{Code: dhcp4.OptDHCPMessageType, Data: []byte{byte(dhcp4.Discover)}}}, opts...)
	message, dropped := dhcp4.AppendMessage(nil, &h, all, nil, 4096)
	if dropped != 0 {
		tb.Fatalf("%d options did not fit", dropped)
	}
	v := new(dhcp4.View)
	if err := v.Parse(message); err != nil {
		tb.Fatal(err)
	}
	f := &policy.Facts{View: v, Type: v.MessageType(), HType: v.HType(), HW: v.CHAddr(), GIAddr: v.GIAddr(),
		Interface: "eth0", Network: &policy.Network{Name: "building-a"}, Known: true,
		Agent: append(append([]byte{1, 5}, "eth/7"...), 2, 6, 2, 0, 0x5e, 0x10, 0, 9, 6, 3, 'f', 'o', 'o', 5, 4, 198, 18, 9, 0)}
	f.ClientID, _ = v.Get(dhcp4.OptDHCPClientIdentifier, nil)
	f.Classes.Add(policy.ClassKnown)
	f.Classes.Add(2)
	return f
}

func opt(code dhcp4.Code, data string) dhcp4.Option {
	return dhcp4.Option{Code: code, Data: []byte(data)}
}

// pxe is what a network boot asks with.
func pxe(tb testing.TB) *policy.Facts {
	return facts(tb,
		opt(dhcp4.OptDHCPParameterRequestList, "\x01\x03\x06\x0c\x0f\x1c\x28\x29\x2a\x42\x43\x78"),
		opt(dhcp4.OptDHCPMaxMessageSize, "\x05\xc0"),
		opt(dhcp4.OptHostName, "pc-17"),
		opt(dhcp4.OptUserClass, "\x04iPXE\x03lab"),
		opt(dhcp4.OptUUIDGUID, "\x00DELL000000000001"),
		opt(dhcp4.OptClientSystem, "\x00\x07"),
		opt(dhcp4.OptClientNDI, "\x01\x03\x10"),
		opt(dhcp4.OptVendorClassIdentifier, "PXEClient:Arch:00007:UNDI:003016"),
		opt(dhcp4.OptDHCPClientIdentifier, "\x01\x02\x00\x5e\x10\x00\x01"),
		opt(dhcp4.OptFQDN, "\x05\x00\x00\x05pc-17\x04corp\x07example\x00"),
		opt(dhcp4.OptDomainSearch, "\x04corp\x07example\x00\x03lab\xc0\x00"),
		opt(dhcp4.OptVendorEncapsulatedOptions, "\x00\x07\x02\x01\x02\xff"),
		opt(dhcp4.OptVIVSOSuboptions, "\x00\x00\x11\x8b\x06\x01\x04coax"),
		opt(224, "\x01\x02\x03"), opt(225, "\xff\xff\xff\xfe"), opt(226, "\x01\x00"), opt(228, ""))
}

func mustTest(tb testing.TB, text string) policy.Test {
	tb.Helper()
	t, _, err := CompileTest(text, testEnv)
	if err != nil {
		tb.Fatalf("%s: %d:%d: %v", text, err.Line, err.Col, err)
	}
	return t
}
