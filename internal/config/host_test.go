package config_test

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"lessor/dhcp4"
	"lessor/internal/config"
	"lessor/internal/netlab"
	"lessor/internal/wire"
)

// TestHostFacts gathers facts in a private network with two hosts: what the kernel
// says is what ForLink gets.
func TestHostFacts(t *testing.T) {
	lab, err := netlab.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer lab.Close()
	host := func(name string) *netlab.Host {
		h, err := lab.Host(name)
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	a, b := host("a"), host("b")
	lan, err := lab.Switch("lan")
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{
		lan.Join(a, "eth0", "198.18.0.2/24", "198.18.0.3/24"),
		lan.Join(b, "eth0", "198.18.0.1/24"),
		a.AddRoute("0.0.0.0/0", "198.18.0.1"),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	link, facts := gather(t, a)
	want := []dhcp4.Prefix{{Addr: dhcp4.MustParseAddr("198.18.0.2"), Bits: 24}, {Addr: dhcp4.MustParseAddr("198.18.0.3"), Bits: 24}}
	if link.Name != "eth0" || int(link.ID) != a.Index("eth0") || link.MAC != wire.MAC(a.MAC("eth0")) || !slices.Equal(link.Addrs, want) || link.MTU < 576 {
		t.Errorf("link %+v", link)
	}
	if facts.Gateway != dhcp4.MustParseAddr("198.18.0.1") || facts.Forwarding || len(facts.Neighbours) > 0 || !slices.Equal(facts.Resolvers, []dhcp4.Addr{dhcp4.MustParseAddr("198.51.100.53")}) {
		t.Errorf("facts %+v", facts)
	}
	d, err := config.ForLink(link, facts)
	if err != nil || !strings.Contains(d.YAML, "pools: [198.18.0.128-198.18.0.254]") || !strings.Contains(d.YAML, "routers: 198.18.0.1") {
		t.Errorf("%v, %+v", err, d)
	}

	// The host talks to its neighbour and begins to forward.
	if err := a.Forward(); err != nil {
		t.Fatal(err)
	}
	ping(t, a, "198.18.0.1")
	deadline := time.Now().Add(5 * time.Second)
	for {
		_, facts = gather(t, a)
		if slices.Equal(facts.Neighbours, []dhcp4.Addr{dhcp4.MustParseAddr("198.18.0.1")}) && facts.Forwarding {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("facts %+v", facts)
		}
		time.Sleep(10 * time.Millisecond)
	}

	err = a.Do(func() error { _, err := config.ReadLink("eht0"); return err })
	if !errors.Is(err, config.ErrNoInterface) || !strings.Contains(err.Error(), "did you mean eth0?") {
		t.Errorf("a mistyped interface: %v", err)
	}
}

// gather reads link and facts in a host, with a resolv.conf that names a stub and
// a real name server.
func gather(t *testing.T, h *netlab.Host) (l wire.Link, f config.Facts) {
	t.Helper()
	err := h.Do(func() (err error) {
		conf := "# comment\nsearch example.net\nnameserver 127.0.0.53\nnameserver ::1\nnameserver 198.51.100.53\nnameserver 198.51.100.53\noptions edns0\n"
		if err = os.WriteFile("/etc/resolv.conf", []byte(conf), 0o644); err != nil {
			return err
		}
		if l, err = config.ReadLink("eth0"); err != nil {
			return err
		}
		f, err = config.ReadFacts(l)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return l, f
}

// ping makes the kernel of h ask for a neighbour.
func ping(t *testing.T, h *netlab.Host, to string) {
	t.Helper()
	err := h.Do(func() error {
		c, err := net.Dial("udp4", net.JoinHostPort(to, "9"))
		if err != nil {
			return err
		}
		defer c.Close()
		_, err = c.Write([]byte("hello"))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestExamplesAreWhatTheDocumentShows holds that the first file of the document is
// the example in the tree.
func TestExamplesAreWhatTheDocumentShows(t *testing.T) {
	doc, err := os.ReadFile(filepath.Join("..", "..", "docs", "configuration.md"))
	if err != nil {
		t.Fatal(err)
	}
	example, err := os.ReadFile(filepath.Join("..", "..", "examples", "lessor.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(doc), "```yaml\n")
	shown, _, _ := strings.Cut(rest, "```\n")
	if shown != string(example) {
		t.Errorf("docs/configuration.md shows\n%s\nexamples/lessor.yaml is\n%s", shown, example)
	}
}
