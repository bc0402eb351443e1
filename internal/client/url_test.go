package client_test

import (
	"strings"
	"testing"

	"lessor/dhcp4"
)

// TestCaptivePortal: option 114 is a plain URL of http or https, or nothing.
func TestCaptivePortal(t *testing.T) {
	for sent, fine := range map[string]bool{
		"https://portal.example.net": true, "https://portal.example.net/": true, "http://portal.example.net/a/b.html?x=1&y=2#top": true, "https://192.0.2.1:8443/api": true,
		"https://portal.example.net/x%20y/~z": true, "https://a:1": true, "https://a:65535/": true, "https://portal.example.net?a&b": true,
		"https://portal.example.net/" + strings.Repeat("x", 228): true, "https://portal.example.net/" + strings.Repeat("x", 229): false,
		"": false, "https://": false, "https:///x": false, "https:": false, "portal.example.net": false, "//portal.example.net/": false, "HTTPS://portal.example.net": false,
		"ftp://portal.example.net/": false, "file:///etc/passwd": false, "javascript:alert(1)": false, "urn:ietf:params:capport:unrestricted": false, "urn:ietf:params:capport:other": false,
		"https://user@portal.example.net/": false, "https://bank.example@192.0.2.66/": false, "https://u:p@a/": false, "https://-a/": false, "https://a_b/": false, "https://a..b/": false,
		"https://a:/": false, "https://a:0/": false, "https://a:65536/": false, "https://a:18446744073709551617/": false, "https://a:+1/": false, "https://a:1:2/": false, "https://[2001:db8::1]/": false, "https://1.2/": false,
		"https://a/%4A%fF": true, "https://a/%": false, "https://a/%4": false, "https://a/%g0": false, "https://a/%0g": false, "https://a/b&c": false, "https://a/?b;c": false, "https://a/ b": false, "https://a/\"b": false, "https://a/'b": false, "https://a/$b": false, "https://a/`b`": false, "https://a/\\b": false,
		"https://a/(b)": false, "https://a/b|c": false, "https://a/<b>": false, "https://a/*": false, "https://a/!": false, "https://a/\x7f": false, "https://a/\u00e4": false, "https://a/\n": false, "https://a/^{}": false, "https://a/[b]": false,
	} {
		l, refused := good(t, ackOf(optText(dhcp4.OptV4CaptivePortal, sent)))
		want := ""
		if fine {
			want = sent
		}
		silent := fine || sent == "urn:ietf:params:capport:unrestricted" // RFC 8910 2: there is none, and nothing is wrong
		if l.Settings.CaptivePortal != want || (len(refused) == 0) != silent {
			t.Errorf("%q: %q, refused %v", sent, l.Settings.CaptivePortal, refused)
		}
	}
}

// TestTimeZone: option 101 is the name of a time zone that cannot leave their directory.
func TestTimeZone(t *testing.T) {
	for sent, fine := range map[string]bool{
		"Europe/Zurich": true, "UTC": true, "Etc/GMT+5": true, "Etc/GMT-14": true, "America/Argentina/Buenos_Aires": true, "EST5EDT": true, "Asia/Ust-Nera\x00": true,
		"": false, "/etc/passwd": false, "../../etc/passwd": false, "Europe/../../x": false, "Europe//Zurich": false, "Europe/": false, "/": false, ".": false, "Europe/.hidden": false, "-x": false, "a b": false,
		"EST5EDT4,M3.2.0/02:00,M11.1.0/02:00": false, "Europe/Zurich;x": false, "Europe/$x": false, ":UTC": false, "Europe/Z\u00fcrich": false, "x\ny": false, "a\\b": false,
	} {
		l, refused := good(t, ackOf(optText(dhcp4.OptTCode, sent)))
		want := ""
		if fine {
			want = strings.TrimRight(sent, "\x00")
		}
		if l.Settings.TimeZone != want || (len(refused) == 0) != fine {
			t.Errorf("%q: %q, refused %v", sent, l.Settings.TimeZone, refused)
		}
	}
	if l, refused := good(t, ackOf(optText(dhcp4.OptTCode, strings.Repeat("x", 256)))); l.Settings.TimeZone != "" || len(refused) != 1 {
		t.Errorf("256 letters: %q, refused %v", l.Settings.TimeZone, refused)
	}
}
