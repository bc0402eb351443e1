package cli

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"

	"lessor/dhcp4"
)

const dissectData = "testdata/dissect/"

// dissect runs lessor dissect with stdin.
func dissect(t *testing.T, stdin []byte, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	root, g := newRoot()
	var out, errOut bytes.Buffer
	g.stdin, g.stdout, g.stderr, g.environ = bytes.NewReader(stdin), &out, &errOut, nil
	root.SetArgs(append([]string{"dissect"}, args...))
	root.SetOut(&out)
	root.SetErr(&errOut)
	code = report(&errOut, root.Execute(), false)
	return code, out.String(), errOut.String()
}

func readData(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(dissectData + name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// types are the packets of an output, by the first line of each.
func types(stdout string) (types []string) {
	for _, line := range strings.Split(stdout, "\n") {
		if name, ok := strings.CutSuffix(line, ", 300 octets"); ok {
			types = append(types, name)
		}
	}
	return types
}

// TestDissectFormats: one exchange, recorded on a wire between udhcpc and dnsmasq,
// is read from every form that a person may have it in.
func TestDissectFormats(t *testing.T) {
	for name, want := range map[string]string{
		"dora.pcap": "DISCOVER OFFER REQUEST ACK", "any.pcap": "DISCOVER OFFER REQUEST ACK",
		"tcpdump-x.txt": "DISCOVER OFFER REQUEST ACK", "tcpdump-ascii.txt": "DISCOVER OFFER REQUEST ACK", "tcpdump-xx.txt": "DISCOVER OFFER REQUEST ACK",
		"offer.bin": "OFFER", "offer.hex": "OFFER", "hexdump-C.txt": "OFFER", "xxd.txt": "OFFER",
	} {
		code, fromFile, stderr := dissect(t, nil, dissectData+name)
		if got := strings.Join(types(fromFile), " "); code != 0 || got != want || stderr != "" {
			t.Errorf("%s: exit %d, %s, want %s\n%s%s", name, code, got, want, fromFile, stderr)
		}
		if code, fromStdin, _ := dissect(t, readData(t, name), "-"); code != 0 || fromStdin != fromFile {
			t.Errorf("%s on standard input: exit %d\n%s", name, code, fromStdin)
		}
	}
	_, want, _ := dissect(t, nil, dissectData+"offer.bin")
	for _, name := range []string{"offer.hex", "hexdump-C.txt", "xxd.txt"} {
		if _, got, _ := dissect(t, nil, dissectData+name); got != want {
			t.Errorf("%s gives\n%s\nwant\n%s", name, got, want)
		}
	}
}

func TestDissectText(t *testing.T) {
	_, out, _ := dissect(t, nil, dissectData+"dora.pcap", "--utc")
	for _, want := range []string{
		"packet 1  2026-11-24T16:32:28.818650Z  0.0.0.0:68 > 255.255.255.255:67  02:00:5e:10:00:02 > ff:ff:ff:ff:ff:ff\nDISCOVER, 300 octets\n",
		"\n    16  yiaddr  192.0.2.120\n", "\n   249   51 dhcp-lease-time              3600 (1h)\n",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("%q in\n%s", want, out)
		}
	}
	if strings.Contains(out, "\x1b") {
		t.Error("colour in a pipe")
	}
	if _, colored, _ := dissect(t, readData(t, "offer.bin")[:250], "--color", "always"); !strings.Contains(colored, "\x1b[31m!  249  octet 249") {
		t.Errorf("the fault is not red: %q", colored)
	}
}

// TestDissectArguments: hexadecimal on the command line, as one word or many.
func TestDissectArguments(t *testing.T) {
	offer := readData(t, "offer.bin")
	_, want, _ := dissect(t, nil, dissectData+"offer.bin")
	spaced := fmt.Sprintf("% x", offer)
	for name, args := range map[string][]string{
		"plain": {hex.EncodeToString(offer)}, "upper case": {strings.ToUpper(hex.EncodeToString(offer))},
		"0x": {"0x" + hex.EncodeToString(offer)}, "colons": {strings.ReplaceAll(spaced, " ", ":")},
		"spaces": {spaced}, "words": strings.Fields(spaced), "0x each": strings.Fields("0x" + strings.ReplaceAll(spaced, " ", " 0x")),
		"C array": {"0x" + strings.ReplaceAll(spaced, " ", ", 0x")}, "escapes": {`\x` + strings.ReplaceAll(spaced, " ", `\x`)},
	} {
		if code, out, stderr := dissect(t, nil, args...); code != 0 || out != want {
			t.Errorf("%s: exit %d\n%s%s", name, code, out, stderr)
		}
	}
}

func TestDissectJSON(t *testing.T) {
	type packet struct {
		Packet                                   int
		Time, Source, Destination, Problem, Note string
		Message                                  struct {
			MessageType string `json:"message-type"`
			Yiaddr      string
			Options     []struct {
				Code, Offset int
				Name, Hex    string
				Value        any
			}
			Errors []struct {
				Offset  int
				Area    string
				Problem string
			}
		}
	}
	code, out, _ := dissect(t, nil, dissectData+"dora.pcap", "-o", "json")
	var packets []packet
	if err := json.Unmarshal([]byte(out), &packets); err != nil || code != 0 || len(packets) != 4 {
		t.Fatalf("exit %d, %d packets, %v\n%s", code, len(packets), err, out)
	}
	ack := packets[3]
	if ack.Message.MessageType != "ACK" || ack.Source != "192.0.2.1:67" || ack.Time != "2026-11-24T16:32:28.851467Z" || ack.Message.Yiaddr != "192.0.2.120" || ack.Packet != 4 {
		t.Errorf("%+v", ack)
	}
	if o := ack.Message.Options[2]; o.Code != 51 || o.Name != "dhcp-lease-time" || o.Offset != 249 || o.Hex != "00000e10" || o.Value != 3600.0 {
		t.Errorf("%+v", o)
	}
	code, out, stderr := dissect(t, readData(t, "offer.bin")[:250], "-o", "jsonl")
	var p packet
	if err := json.Unmarshal([]byte(out), &p); err != nil || code != ExitBad || strings.Count(out, "\n") != 1 {
		t.Fatalf("exit %d, %v\n%s", code, err, out)
	}
	if len(p.Message.Errors) != 1 || p.Message.Errors[0].Offset != 249 || p.Message.Errors[0].Area != "options" || !strings.Contains(p.Problem, "octet 249") {
		t.Errorf("%+v", p)
	}
	if want := "lessor: 1 of 1 malformed; packet 1: octet 249 (options): option 51: option without a length octet\n"; stderr != want {
		t.Errorf("standard error %q", stderr)
	}
	if _, out, _ = dissect(t, nil, dissectData+"dora.pcap", "-o", "csv", "--utc"); strings.Count(out, "\n") != 5 || !strings.Contains(out, "2,2026-11-24T16:32:28.819087Z,192.0.2.1:67,192.0.2.120:68,OFFER,0x4bb77659,02:00:5e:10:00:02,0.0.0.0,192.0.2.120,0.0.0.0,\n") {
		t.Errorf("CSV\n%s", out)
	}
	if _, out, _ = dissect(t, nil, dissectData+"dora.pcap", "-o", "yaml"); !strings.Contains(out, "message-type: DISCOVER") {
		t.Errorf("YAML\n%s", out)
	}
}

// TestDissectErrors: each wrong input gets one clear sentence and an exit code.
func TestDissectErrors(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, b []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	dora := readData(t, "dora.pcap")
	for name, tt := range map[string]struct {
		stdin string
		args  []string
		code  int
		want  string
	}{
		"no such file":     {"", []string{"trouble.pcap"}, ExitNotFound, "there is no file trouble.pcap, and it is not hexadecimal either\n  Give a capture"},
		"directory":        {"", []string{dir}, ExitUsage, "is a directory"},
		"empty stdin":      {"", nil, ExitFailed, "standard input is empty"},
		"odd digits":       {"", []string{"010106003903f3261"}, ExitUsage, `"010106003903f3261" is not hexadecimal`},
		"words":            {"", []string{"01", "zz"}, ExitUsage, `"zz" is not hexadecimal`},
		"prose":            {"hello\n", []string{"-"}, ExitFailed, `standard input: line 1: "hello" is not hexadecimal`},
		"typo":             {"01 01 06\n00 0g\n", nil, ExitFailed, `line 2: "0g" is not hexadecimal`},
		"escape sequences": {"", []string{"\x1b[31mred"}, ExitNotFound, "there is no file �[31mred"},
		"gap":              {"0000  01 01 06 00\n0010  00 00\n", nil, ExitFailed, "line 2: offset 0x10, but only 4 octets came before it"},
		"short":            {"01 01 06", nil, ExitBad, "1 of 1 malformed; packet 1: octet 3 (header): shorter than 240 octets"},
		"pcap header cut":  {string(dora[:20]), nil, ExitFailed, "standard input: not a readable pcap file"},
		"pcap cut":         {string(dora[:len(dora)-500]), nil, ExitFailed, "standard input: after frame "},
		"no DHCP":          {string(dora[:24]), nil, ExitNotFound, "no DHCP packet in standard input: 0 frames"},
		"pcapng cut":       {"\x0a\x0d\x0d\x0a\x00", nil, ExitFailed, "not a readable pcapng file"},
		"only comments":    {"# nothing\n", nil, ExitFailed, "standard input: no octet in it"},
		"too large":        {strings.Repeat("\xff", maxDissect+1), nil, ExitFailed, "too long"},
		"binary too long":  {strings.Repeat("\xff", 70000), nil, ExitBad, "longer than 65535 octets"},
		"raw, not a frame": {"", []string{write("x", []byte("\x00\x01\x02"))}, ExitBad, "shorter than 240 octets"},
	} {
		code, _, stderr := dissect(t, []byte(tt.stdin), tt.args...)
		if code != tt.code || !strings.Contains(stderr, tt.want) || strings.Contains(stderr, "\x1b") {
			t.Errorf("%s: exit %d, %q; want %d, %q", name, code, stderr, tt.code, tt.want)
		}
	}
}

// frame wraps a message into Ethernet, IPv4 and UDP.
func frame(payload []byte) []byte {
	f := make([]byte, 42, 42+len(payload))
	copy(f, []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0x5e, 0x10, 0, 1, 8, 0, 0x45})
	binary.BigEndian.PutUint16(f[16:], uint16(28+len(payload)))
	f[22], f[23] = 64, 17
	copy(f[26:], []byte{192, 0, 2, 1, 192, 0, 2, 9})
	f[35], f[37] = 67, 68
	binary.BigEndian.PutUint16(f[38:], uint16(8+len(payload)))
	return append(f, payload...)
}

// capture writes frames of one link type as pcap or pcapng.
func capture(t *testing.T, ng bool, link layers.LinkType, frames ...[]byte) []byte {
	t.Helper()
	var buf bytes.Buffer
	var write func(gopacket.CaptureInfo, []byte) error
	flush := func() error { return nil }
	if ng {
		w, err := pcapgo.NewNgWriter(&buf, link)
		if err != nil {
			t.Fatal(err)
		}
		write, flush = w.WritePacket, w.Flush
	} else {
		w := pcapgo.NewWriter(&buf)
		if err := w.WriteFileHeader(65536, link); err != nil {
			t.Fatal(err)
		}
		write = w.WritePacket
	}
	for _, f := range frames {
		if err := write(gopacket.CaptureInfo{CaptureLength: len(f), Length: len(f)}, f); err != nil {
			t.Fatal(err)
		}
	}
	if err := flush(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// TestDissectLinkTypes: the same packet behind every link header.
func TestDissectLinkTypes(t *testing.T) {
	eth := frame(readData(t, "offer.bin"))
	ip := eth[14:]
	vlan := append(append(append([]byte{}, eth[:12]...), 0x88, 0xa8, 0, 5, 0x81, 0, 0, 7), eth[12:]...)
	sll2 := append([]byte{8, 0, 0, 0, 0, 0, 0, 1, 0, 1, 0, 6, 2, 0, 0x5e, 0x10, 0, 1, 0, 0}, ip...)
	sll := append([]byte{0, 0, 0, 1, 0, 6, 2, 0, 0x5e, 0x10, 0, 1, 0, 0, 8, 0}, ip...)
	for _, tt := range []struct {
		link  layers.LinkType
		frame []byte
		want  string
	}{
		{layers.LinkTypeEthernet, eth, "02:00:5e:10:00:01 > ff:ff:ff:ff:ff:ff"},
		{layers.LinkTypeEthernet, vlan, "VLAN 5 VLAN 7"},
		{layers.LinkTypeRaw, ip, "192.0.2.1:67 > 192.0.2.9:68\n"},
		{layers.LinkTypeIPv4, ip, "192.0.2.1:67 > 192.0.2.9:68\n"},
		{layers.LinkTypeLoop, append([]byte{0, 0, 0, 2}, ip...), "192.0.2.1:67 > 192.0.2.9:68\n"},
		{layers.LinkTypeLinuxSLL, sll, "from 02:00:5e:10:00:01"},
		{layers.LinkTypeLinuxSLL2, sll2, "from 02:00:5e:10:00:01"},
	} {
		for _, ng := range []bool{false, true} {
			code, out, stderr := dissect(t, capture(t, ng, tt.link, tt.frame), "-")
			if code != 0 || len(types(out)) != 1 || !strings.Contains(out, tt.want) {
				t.Errorf("link type %d, pcapng %v: exit %d\n%s%s", tt.link, ng, code, out, stderr)
			}
		}
	}
	code, _, stderr := dissect(t, capture(t, false, layers.LinkTypeIEEE802_11, eth), "-")
	if code != ExitNotFound || !strings.Contains(stderr, "1 frames of link type 105 were left out") {
		t.Errorf("a link type that is not read: exit %d, %s", code, stderr)
	}
}

// TestDissectFrameFaults (CVE-2015-8605, CVE-2024-42040): lengths that contradict
// each other are shown with their place, and cost no crash at any length.
func TestDissectFrameFaults(t *testing.T) {
	offer := readData(t, "offer.bin")
	with := func(off int, val ...byte) []byte { f := frame(offer); copy(f[off:], val); return f }
	for name, tt := range map[string]struct {
		frame []byte
		code  int
		want  string
	}{
		"UDP length 0":        {with(38, 0, 0), ExitBad, "!frame 38  UDP length 0 is less than its header"},
		"UDP length 7":        {with(38, 0, 7), ExitBad, "octet 38 of the frame: UDP length 7"},
		"UDP length too long": {with(38, 9, 9), ExitBad, "!frame 38  UDP length 2313 is more than the IP packet has left, 308"},
		"UDP length shorter":  {with(38, 1, 2), ExitBad, "malformed OFFER, 250 octets"},
		"IP length short":     {with(16, 0, 20), ExitBad, "!frame 16  IP total length 20 is less than its headers need"},
		"frame cut":           {frame(offer)[:200], ExitBad, "!frame 16  the frame holds 186 octets of an IP packet of 328"},
		"IP header length 4":  {with(14, 0x44), ExitNotFound, "no DHCP packet"},
		"not IPv4":            {with(14, 0x65), ExitNotFound, "no DHCP packet"},
		"TCP":                 {with(23, 6), ExitNotFound, "no DHCP packet"},
		"later fragment":      {with(20, 0, 9), ExitNotFound, "no DHCP packet"},
		"first fragment":      {with(20, 0x20, 0), 0, "first fragment only"},
		"other ports":         {with(34, 0, 53, 0, 53), ExitNotFound, "no DHCP packet"},
		"IP options":          {append(append(with(14, 0x46)[:34:34], 1, 1, 1, 1), frame(offer)[34:]...), ExitBad, "UDP length 308"},
	} {
		code, out, stderr := dissect(t, capture(t, false, layers.LinkTypeEthernet, tt.frame), "-")
		if code != tt.code || !strings.Contains(out+stderr, tt.want) {
			t.Errorf("%s: exit %d, want %d %q\n%s%s", name, code, tt.code, tt.want, out, stderr)
		}
	}
	whole := frame(offer)
	for n := range len(whole) {
		for _, link := range []int{linkNull, linkEthernet, linkRaw, linkSLL, linkSLL2, 9999} {
			if d, ok := fromFrame(link, whole[:n]); ok && (len(d.payload) > n || d.fault == "") {
				t.Errorf("%d octets of link type %d: payload of %d, fault %q", n, link, len(d.payload), d.fault)
			}
		}
	}
}

// TestHexSqueezed: hexdump writes "*" for lines that repeat.
func TestHexSqueezed(t *testing.T) {
	got, err := hexText([]byte("00000000  01 02 03 04 05 06 07 08  09 0a 0b 0c 0d 0e 0f 10  |........|\n*\n00000030  ff                                                |.|\n00000031\n"))
	want := append(bytes.Repeat([]byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}, 3), 0xff)
	if err != nil || len(got) != 1 || !bytes.Equal(got[0], want) {
		t.Errorf("%x, %v", got, err)
	}
	if _, err := hexText([]byte("0000: 01 02\n*\n7ffffff0: 01\n")); err == nil {
		t.Error("an offset of 2 GiB is believed")
	}
}

// FuzzHexText: no text makes the reader panic or make much of little.
func FuzzHexText(f *testing.F) {
	for _, s := range []string{"01:02", "0000  01 02   ..\n0002  03\n", "00000000  01 |.|\n*\n00001000\n", "\t0x0000:  4500 0148  E..H\n", "0x", `\x01\x02`, "*"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		packets, err := hexText(b)
		n := 0
		for _, p := range packets {
			n += len(p)
			d := fromBytes(p)
			dhcp4.AppendDump(nil, d.payload)
		}
		if err == nil && n > len(b)+maxHexOffset*bytes.Count(b, []byte("*")) {
			t.Fatalf("%d octets of text give %d", len(b), n)
		}
	})
}
