package setup

import (
	"os"
	"strings"
	"testing"
)

// Two clients that are to replace the same file: the first has it, and in whatever order they
// end, what stood there before stands there again.
func TestResolvConfOfTwoClients(t *testing.T) {
	b, o, path := dnsBed(t)
	const mine = "nameserver 203.0.113.53\n"
	other := strings.Replace(ours, "eth0", "eth1", 1)
	if err := os.WriteFile(path, []byte(other), 0o644); err != nil {
		t.Fatal(err)
	}
	a := start(t, b.Host)
	a.open(o)
	a.apply(full())
	a.warned(path+" has the DNS servers of the client of eth1", "a file of its own")
	if text := read(t, path); text != other {
		t.Errorf("the other client's file is\n%s", text)
	}
	if err := os.WriteFile(path, []byte(mine), 0o644); err != nil { // it has ended
		t.Fatal(err)
	}
	a.apply(full())
	if text := read(t, path); text != ours {
		t.Errorf("alone, our file is\n%s", text)
	}
	a.close(false)
	if text := read(t, path); text != mine {
		t.Errorf("at the end it is\n%s", text)
	}
	a.quiet()
}

func TestWrittenFor(t *testing.T) {
	for text, want := range map[string]string{
		ours: "eth0", fileMark + "a-name-of-15-ch: x": "a-name-of-15-ch",
		"": "", "nameserver 192.0.2.1\n": "", fileMark: "", fileMark + "eth0": "", fileMark + "a-name-of-16-chr: x": "", "\n" + ours: "",
	} {
		if have := writtenFor([]byte(text)); have != want {
			t.Errorf("%q is of %q, want %q", text, have, want)
		}
	}
}
