package dhcp4

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"strconv"
	"strings"
	"testing"
)

func TestAppendValue(t *testing.T) {
	for _, tt := range []struct {
		name  string
		words string // parted by "|"
		want  string // hexadecimal
		text  string
	}{
		{"routers", "192.0.2.1", "c0000201", "192.0.2.1"},
		{"routers", "192.0.2.1|192.0.2.2", "c0000201c0000202", "192.0.2.1, 192.0.2.2"},
		{"routers", "192.0.2.1, 192.0.2.2", "c0000201c0000202", "192.0.2.1, 192.0.2.2"},
		{"subnet-mask", "255.255.255.0", "ffffff00", "255.255.255.0"},
		{"static-routes", "198.18.0.1|192.0.2.1", "c6120001c0000201", "198.18.0.1, 192.0.2.1"},
		{"time-offset", "-3600", "fffff1f0", "-3600"},
		{"default-ip-ttl", "64", "40", "64"},
		{"interface-mtu", "0x5dc", "05dc", "1500"},
		{"dhcp-lease-time", "4294967295", "ffffffff", "4294967295"},
		{"path-mtu-plateau-table", "68 296", "00440128", "68, 296"},
		{"ip-forwarding", "true", "01", "true"},
		{"ip-forwarding", "off", "00", "false"},
		{"domain-name", "example.net", "6578616d706c652e6e6574", `"example.net"`},
		{"tftp-server-name", "two words, one text", "74776f20776f7264732c206f6e652074657874", `"two words, one text"`},
		{"dhcp-client-identifier", "01:02:00:5e:10:00:01", "0102005e100001", "01:02:00:5e:10:00:01"},
		{"dhcp-client-identifier", "0x0a0b", "0a0b", "0a:0b"},
		{"dhcp-client-identifier", "1:2:3", "010203", "01:02:03"},
		{"user-class", "'iPXE'", "69505845", "69:50:58:45"},
		{"rapid-commit", "true", "", ""},
		{"domain-search", "example.net|eng.example.net.", "076578616d706c65036e65740003656e67c000", "example.net, eng.example.net"},
		// RFC 3397 2: pointers to whole names and to the ends of them, never to another pointer.
		{"domain-search", "eng.example.net|mkt.example.net|net|lab.mkt.example.net|.", "03656e67076578616d706c65036e65740003 6d6b74c004c00c036c6162036d6b74c00400", "eng.example.net, mkt.example.net, net, lab.mkt.example.net, ."},
		{"bcms-controller-names", "a.example|b.example", "0161076578616d706c65000162076578616d706c6500", "a.example, b.example"},
		{"v4-lost", "example.net", "076578616d706c65036e657400", "example.net"},
		{"classless-static-route", "198.18.0.0/16 via 192.0.2.1", "10c612c0000201", "198.18.0.0/16 via 192.0.2.1"},
		{"classless-static-route", "default via 192.0.2.1|198.18.1.128/25 - 192.0.2.2", "00c000020119c6120180c0000202", "0.0.0.0/0 via 192.0.2.1, 198.18.1.128/25 via 192.0.2.2"},
		{"ms-classless-static-route", "192.0.2.1/32 192.0.2.9, 0.0.0.0/0 192.0.2.1", "20c0000201c000020900c0000201", "192.0.2.1/32 via 192.0.2.9, 0.0.0.0/0 via 192.0.2.1"},
		{"fqdn", "5|0|0|host.example.", "05000004686f7374076578616d706c6500", "5 0 0 host.example."},
		{"fqdn", "5 0 0 host", "05000004686f7374", "5 0 0 host"},
		{"fqdn", "0,255,255,host", "00ffff686f7374", `0 255 255 "host"`},
		{"slp-directory-agent", "true|192.0.2.1|192.0.2.2", "01c0000201c0000202", "true 192.0.2.1 192.0.2.2"},
		{"slp-service-scope", "false,a,b", "00612c62", `false "a,b"`},
		{"client-ndi", "1,3,16", "010310", "1 3 16"},
		{"status-code", "0|all is well", "00616c6c2069732077656c6c", `0 "all is well"`},
		{"status-code", "4,", "04", `4 ""`},
		{"option-6rd", "0|32|2001:db8::|192.0.2.1", "002020010db8000000000000000000000000c0000201", "0 32 2001:db8:: 192.0.2.1"},
		{"rdnss-selection", "1|192.0.2.1|192.0.2.2|example.net", "01c0000201c0000202076578616d706c65036e657400", "1 192.0.2.1 192.0.2.2 example.net"},
		{"isns", "1|2|3|4|192.0.2.1", "00010002000300000004c0000201", "1 2 3 4 192.0.2.1"},
		{"sip-servers", "192.0.2.1|192.0.2.2", "01c0000201c0000202", "192.0.2.1, 192.0.2.2"},
		{"sip-servers", "sip.example.net", "0003736970076578616d706c65036e657400", "sip.example.net"},
		{"vendor-encapsulated-options", "1=c0:00:02:01|2=", "0104c00002010200", "1=c0:00:02:01 2="},
		{"vendor-encapsulated-options", "0104c0000201", "0104c0000201", "1=c0:00:02:01"},
		{"vivco-suboptions", "3561 01:02 0x", "00000de9040201 0200", "3561 01:02 0x"},
		{"vivso-suboptions", "3561 1=01:02 2=03|9 1=", "00000de907010201020201 03 00000009020100", "3561 1=01:02 2=03, 9 1="},
		{"v4-pcp-server", "192.0.2.1 192.0.2.2|192.0.2.3", "08c0000201c000020204c0000203", "192.0.2.1 192.0.2.2, 192.0.2.3"},
		{"v4-sztp-redirect", "https://192.0.2.1/", "001268747470733a2f2f3139322e302e322e312f", `"https://192.0.2.1/"`},
		{"v4-dnr", "1 dns.example 192.0.2.53 svc=00:01", "001700010d03646e73076578616d706c650004c00002350001", "1 dns.example 192.0.2.53 svc=00:01"},
		{"v4-dnr", "100 dns.example 192.0.2.53 192.0.2.54 dohpath=/q{?dns} port=853 alpn=dot alpn=h2", "003600640d03646e73076578616d706c650008c0000235c0000236 000100070 3646f74026832 000300020355 00070008 2f717b3f646e737d",
			"100 dns.example 192.0.2.53 192.0.2.54 alpn=dot alpn=h2 port=853 dohpath=/q{?dns}"},
		// Keys out of order, which RFC 9460 2.2 forbids, and one without a word here are shown as octets.
		{"v4-dnr", "1 dns.example 192.0.2.53 svc=00:01:00:04:03:64:6f:74:00:07:00:01:2f:00:03:00:02:03:55", "002800010d03646e73076578616d706c650004c0000235 0001000403646f74 000700012f 000300020355",
			"1 dns.example 192.0.2.53 svc=00:01:00:04:03:64:6f:74:00:07:00:01:2f:00:03:00:02:03:55"},
		{"v4-dnr", "1 dns.example 192.0.2.53 svc=00:01:00:04:03:64:6f:74:00:05:00:01:2f", "002200010d03646e73076578616d706c650004c0000235 0001000403646f74 000500012f",
			"1 dns.example 192.0.2.53 svc=00:01:00:04:03:64:6f:74:00:05:00:01:2f"},
		{"v4-dnr", "1 dns.example", "001000010d03646e73076578616d706c6500", "1 dns.example"},
		{"v6-only-preferred", "1800", "00000708", "1800"},
		{"v4-captive-portal", "https://192.0.2.1/portal", "68747470733a2f2f3139322e302e322e312f706f7274616c", `"https://192.0.2.1/portal"`},
	} {
		d := LookupName(tt.name)
		want, err := hex.DecodeString(strings.ReplaceAll(tt.want, " ", ""))
		if err != nil {
			t.Fatal(err)
		}
		got, err := d.AppendValue([]byte("x"), strings.Split(tt.words, "|"))
		if err != nil || !bytes.Equal(got, append([]byte("x"), want...)) {
			t.Errorf("%s %q: %x, %v; want %x", tt.name, tt.words, got, err, want)
			continue
		}
		if text := string(d.AppendText(nil, want)); text != tt.text {
			t.Errorf("%s %q is shown as %s", tt.name, tt.words, text)
		}
		words := jsonWords(t, d, want)
		if again, err := d.AppendValue(nil, words); err != nil || !bytes.Equal(again, want) {
			t.Errorf("%s %q: its JSON %q gives %x, %v", tt.name, tt.words, words, again, err)
		}
	}
}

// jsonWords is the JSON form of a value as the words that a configuration would
// hand to AppendValue.
func jsonWords(t *testing.T, d *Def, val []byte) (words []string) {
	t.Helper()
	var v any
	js := json.NewDecoder(bytes.NewReader(d.AppendJSON(nil, val)))
	js.UseNumber()
	if err := js.Decode(&v); err != nil {
		t.Fatalf("%s: %v", d.Name, err)
	}
	items, ok := v.([]any)
	if !ok {
		items = []any{v}
	}
	for _, item := range items {
		switch x := item.(type) {
		case string:
			words = append(words, x)
		case json.Number:
			words = append(words, x.String())
		case bool:
			words = append(words, strconv.FormatBool(x))
		default:
			t.Fatalf("%s: JSON has a %T", d.Name, item)
		}
	}
	return words
}

// TestAppendValueErrors: an error names the option, says what it takes, and shows
// the word that is wrong.
func TestAppendValueErrors(t *testing.T) {
	for _, tt := range []struct{ name, words, want string }{
		{"routers", "", "routers takes one or more IPv4 addresses, such as 192.0.2.1"},
		{"routers", "192.0.2.300", `routers takes one or more IPv4 addresses, such as 192.0.2.1: "192.0.2.300" is not an IPv4 address`},
		{"routers", "2001:db8::1", `"2001:db8::1" is not an IPv4 address`},
		{"subnet-mask", "255.0.0.0|255.0.0.0", "subnet-mask takes one IPv4 address, such as 192.0.2.1"},
		{"static-routes", "192.0.2.1", "static-routes takes pairs of IPv4 addresses"},
		{"default-ip-ttl", "256", `default-ip-ttl takes a number from 0 to 255: "256" is not a number from 0 to 255`},
		{"default-ip-ttl", "-1", `"-1" is not a number`},
		{"interface-mtu", "65536", `"65536" is not a number from 0 to 65535`},
		{"interface-mtu", "fast", `"fast" is not a number`},
		{"time-offset", "2147483648", `takes a number from -2147483648 to 2147483647: "2147483648" is not such a number`},
		{"ip-forwarding", "maybe", `takes true or false: "maybe" is neither`},
		{"domain-name", "", "domain-name takes text of printable characters: the text is empty"},
		{"domain-name", "a\x1b[31m", "has a control character"},
		{"domain-name", "a\x00", "has a control character"},
		{"domain-name", "a|b", "domain-name takes text of printable characters"},
		{"dhcp-client-identifier", "xyz", `"xyz" is not hexadecimal`},
		{"dhcp-client-identifier", "01", "dhcp-client-identifier takes octets"},
		{"rapid-commit", "false", "rapid-commit takes only true"},
		{"domain-search", "a..b", `domain name "a..b" has an empty label`},
		{"domain-search", ".a", "has an empty label"},
		{"domain-search", strings.Repeat("a", 64), "has a label of more than 63 letters"},
		{"domain-search", strings.Repeat("a.", 128), "is longer than 255 octets"},
		{"domain-search", "ex ample.net|münchen.example", "is not a letter, digit, hyphen or underscore"},
		{"domain-search", `a\04`, "three digits"},
		{"domain-search", `a\256`, "three digits"},
		{"classless-static-route", "198.18.0.0/16", `"198.18.0.0/16" is not a route`},
		{"classless-static-route", "198.18.0.1/16 via 192.0.2.1", "has host bits set: the subnet is 198.18.0.0/16"},
		{"classless-static-route", "198.18.0.0/33 via 192.0.2.1", "is not an IPv4 subnet"},
		{"classless-static-route", "198.18.0.0/16 via nobody", `"nobody" is not an IPv4 address`},
		{"client-ndi", "1|2", "client-ndi takes the fields uint8, uint8, uint8"},
		{"client-ndi", "1|2|3|4", "client-ndi takes the fields uint8, uint8, uint8"},
		{"option-6rd", "0|32|192.0.2.1|192.0.2.1", `"192.0.2.1" is not an IPv6 address`},
		{"fqdn", "0|0", "fqdn takes flags"},
		{"vendor-encapsulated-options", "1=aa|zz", `"zz" is not a sub-option such as 1=aa:bb`},
		{"vendor-encapsulated-options", "256=aa", `"256=aa" is not a sub-option`},
		{"vendor-encapsulated-options", "1=" + strings.Repeat("aa", 256), "a part of 256 octets is too long"},
		{"vendor-encapsulated-options", "01", "vendor-encapsulated-options takes sub-options"},
		{"vivso-suboptions", "x 1=aa", `"x" is not a number`},
		{"v4-dnr", "1", "v4-dnr takes resolvers"},
		{"v4-dnr", "1 dns.example svc=00", "service parameters need an address"},
		{"v4-dnr", "65536 dns.example", "is not a priority"},
		{"v4-dnr", "1 dns.example 192.0.2.53 port=853", "alpn= is missing"},
		{"v4-dnr", "1 dns.example 192.0.2.53 alpn=dot port=1 port=2", `"port=2" is not one of`},
		{"v4-dnr", "1 dns.example 192.0.2.53 alpn=dot port=65536", `"65536" is not a number`},
		{"v4-dnr", "1 dns.example 192.0.2.53 alpn=", `"alpn=" has no value`},
		{"pad", "1", "pad takes no value"},
		{"tftp-server-name", strings.Repeat("x", 1401), "1401 octets are more than fit in a packet; at most 1400 are allowed"},
	} {
		_, err := LookupName(tt.name).AppendValue(nil, strings.Split(tt.words, "|"))
		if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.HasPrefix(err.Error(), tt.name) {
			t.Errorf("%s %q: %v, want %s", tt.name, tt.words, err, tt.want)
		}
	}
	for _, d := range defs() {
		if _, err := d.AppendValue(nil, nil); err == nil && d.Type != TypeFlag {
			t.Errorf("%s takes no word at all", d.Name)
		}
	}
}

// TestWhatIsShownCanBeWritten: for every option and much rubbish, a value that is
// valid and has no unprintable text gives itself again through its JSON.
func TestWhatIsShownCanBeWritten(t *testing.T) {
	tried := 0
	for i := range table {
		d := &table[i]
		for _, val := range samples(d) {
			if !d.Valid(val) || d.Type == TypeNone {
				continue
			}
			words := jsonWords(t, d, val)
			if strings.Contains(strings.Join(words, ""), `\x`) {
				continue // octets that no configuration may give
			}
			if d.Type == TypeSubOptions && d.Code != OptDHCPAgentOptions && val[0] == 0 {
				continue // PAD is not shown
			}
			got, err := d.AppendValue(nil, words)
			if d.Type == TypeRoutes && err != nil && strings.Contains(err.Error(), "host bits") {
				continue // a configuration must be cleaner
			}
			if err == nil && d.Compress {
				got = []byte(strings.Join(jsonWords(t, d, got), ","))
				val = []byte(strings.Join(words, ","))
			}
			if err != nil || !bytes.Equal(got, val) {
				t.Errorf("%s: %x is shown as %q, which gives %x, %v", d.Name, val, words, got, err)
			}
			tried++
		}
	}
	if tried < 500 {
		t.Errorf("only %d values tried", tried)
	}
}

// samples makes values for d, some of which have its form.
func samples(d *Def) (vals [][]byte) {
	for n := range 64 {
		vals = append(vals, bytes.Repeat([]byte{1}, n))
		if d.Type == TypeString || d.Type == TypeBinary {
			vals = append(vals, bytes.Repeat([]byte("a"), n))
		}
		if d.Type == TypeUint8 || d.Type == TypeUint16 || d.Type == TypeUint32 || d.Type == TypeAddr || d.Type == TypeBinary || d.Type == TypeRoutes {
			vals = append(vals, fill(n))
		}
	}
	name := "\x01a\x02bc\x00"
	for _, s := range []string{name, name + name, "\x00" + name, "\x04\x00\x00" + name, "\x00\x00\x00abc", "\x01\xc0\x00\x02\x01",
		"\x00\x00\x0d\xe9\x03\x02ab", "\x00\x00\x0d\xe9\x04\x01\x02ab", "\x00\x02ab", "\x00\x09\x00\x01\x06" + name, "\x00\x0e\x00\x01\x06" + name + "\x04\xc0\x00\x02\x01",
		"\x04\xc0\x00\x02\x01", "\x01\x02ab\x02\x00", "\x10\xc6\x12\xc0\x00\x02\x01"} {
		vals = append(vals, []byte(s))
	}
	return vals
}
