package dhcp4

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"os"
	"strings"
	"testing"
)

// samplePackets are the packets of the golden dumps in testdata.
func samplePackets() map[string][]byte {
	request := benchRequest()
	reply, _ := AppendMessage(nil, &benchHeader, append(append([]Option{}, benchReply...),
		Option{OptClasslessStaticRoute, []byte{16, 198, 18, 192, 0, 2, 1}},
		Option{OptDomainSearch, []byte("\x07example\x03net\x00")},
		Option{224, []byte("hello")},
	), []byte("\x01\x04eth0\x05\x04\xc0\x00\x02\x00\x0a\x01\x80"), 576)
	overload := raw(cat(opt(OptDHCPMessageType, 2), opt(OptDHCPOptionOverload, 3), opt(OptSubnetMask, 255, 255, 255),
		opt(OptDHCPClientIdentifier, fill(300)...), []byte{255, 1, 2, 3})...)
	copy(overload[offFile:], cat(opt(OptHostName, []byte("\x1b[31mred\u202e")...), opt(OptDHCPOptionOverload, 3), []byte{255}))
	copy(overload[offSName:], opt(OptDHCPClientIdentifier, 7, 8))
	malformed := append(raw(cat(opt(OptDHCPMessageType, 1), opt(OptHostName, 'h'))...), 60, 40, 'a', 'b')
	malformed[10] = 0x80
	hlen := raw(cat(opt(OptDHCPMessageType, 8), []byte{255})...)
	hlen[2] = 20
	bad := raw(255)
	bad[239] = 0
	return map[string][]byte{
		"request": request, "reply": reply, "overload": overload, "malformed": malformed,
		"hlen": hlen, "cookie": bad, "short": raw()[:100], "bootp": append(raw(255), make([]byte, 60)...), "empty": nil,
	}
}

// TestDumpGolden compares text and JSON dumps with testdata; -update writes them.
func TestDumpGolden(t *testing.T) {
	for name, b := range samplePackets() {
		js := AppendJSON(nil, b)
		var pretty bytes.Buffer
		if err := json.Indent(&pretty, js, "", " "); err != nil {
			t.Fatalf("%s: %v in %s", name, err, js)
		}
		harmless(t, name, js)
		text := AppendDump(nil, b)
		harmless(t, name, text)
		golden(t, "testdata/"+name+".txt", text)
		golden(t, "testdata/"+name+".json", append(pretty.Bytes(), '\n'))
	}
}

func golden(t *testing.T, path string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s (%v):\n%s\nwant\n%s", path, err, got, want)
	}
}

// TestDumpMarksFaults: every offset in an error stands in the dump, with a mark.
func TestDumpMarksFaults(t *testing.T) {
	text := string(AppendDump(nil, samplePackets()["malformed"]))
	if !strings.Contains(text, "\n!  246  octet 246 (options): option 60: option runs past the end of its field: 3c:28:61:62\n") {
		t.Errorf("the fault is not marked:\n%s", text)
	}
}

// TestCVE2004_0460ManyHostNames: fifty host names of 255 octets, and text that
// would be a format (CVE-2002-0702), end in one bounded line.
func TestCVE2004_0460ManyHostNames(t *testing.T) {
	var options []byte
	for range 50 {
		options = append(options, opt(OptHostName, bytes.Repeat([]byte("%n"), 127)...)...)
	}
	for _, line := range strings.Split(string(AppendDump(nil, raw(options...))), "\n") {
		if len(line) > 1200 {
			t.Errorf("a line of %d octets", len(line))
		}
	}
	v := mustParse(t, raw(options...))
	name, _ := v.Get(OptHostName, make([]byte, 50*255))
	if q := AppendQuoted(nil, name, 255); len(q) > 300 || !bytes.HasPrefix(q, []byte(`"%n%n%n`)) {
		t.Errorf("%d octets: %s", len(q), q)
	}
	if q := string(AppendQuoted(nil, []byte("a\"b\\c\x00\u202e"), 255)); q != `"a\"b\\c\x00\xe2\x80\xae"` {
		t.Errorf("quoted as %s", q)
	}
}

// TestNames: what stands in logs for a code or a type.
func TestNames(t *testing.T) {
	for got, want := range map[string]string{
		Discover.String(): "DISCOVER", Nak.String(): "NAK", MessageType(0).String(): "BOOTP", MessageType(18).String(): "TLS",
		MessageType(200).String(): "type-200", OptRouters.String(): "routers", Code(224).String(): "option-224", Type(99).String(): "unknown type",
		hex.EncodeToString(appendHex(nil, []byte{1, 2, 3}, 2)): hex.EncodeToString([]byte("01:02...")),
	} {
		if got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}
