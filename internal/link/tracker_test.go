package link

import (
	"slices"
	"strings"
	"testing"

	"lessor/dhcp4"
	"lessor/internal/wire"
)

func iface(index wire.LinkID, name string, mac byte) Interface {
	return Interface{Index: index, Name: name, MAC: wire.MAC{2, 0, 0, 0, 0, mac}, MTU: 1500, Ethernet: true, Up: true, Carrier: true,
		Addrs: []dhcp4.Prefix{{Addr: ownIP, Bits: 24}}}
}

// step is a moment of an interface's life: which indexes are ready, which names are
// missing, whether that is news.
type step struct {
	what    string
	ifs     []Interface
	gone    wire.LinkID // reported gone before ifs
	ready   []wire.LinkID
	missing string
	news    bool
}

// TestTracker plays lives of interfaces.
func TestTracker(t *testing.T) {
	lo := Interface{Index: 1, Name: "lo", Loopback: true, Up: true, Carrier: true, Addrs: []dhcp4.Prefix{{Addr: 0x7f000001, Bits: 8}}}
	tun := Interface{Index: 2, Name: "eth1", Up: true, Carrier: true, Addrs: lo.Addrs}
	noCarrier, noAddr, down := iface(5, "eth0", 5), iface(5, "eth0", 5), iface(5, "eth0", 5)
	noCarrier.Carrier, noAddr.Addrs, down.Up = false, nil, false
	newMAC := iface(5, "eth0", 6)
	for _, life := range [][]step{
		{
			{"nothing", nil, 0, nil, "eth0", true},
			{"nothing still", nil, 0, nil, "eth0", false},
			{"down", []Interface{lo, down}, 0, nil, "", true},
			{"no carrier", []Interface{lo, noCarrier}, 0, nil, "", false},
			{"no address", []Interface{lo, noAddr}, 0, nil, "", false},
			{"ready", []Interface{lo, iface(5, "eth0", 5)}, 0, []wire.LinkID{5}, "", true},
			{"the same", []Interface{lo, iface(5, "eth0", 5)}, 0, []wire.LinkID{5}, "", false},
			{"renamed", []Interface{iface(5, "wan", 5)}, 0, []wire.LinkID{5}, "", true},
			{"renamed again", []Interface{iface(5, "dmz", 5)}, 0, []wire.LinkID{5}, "", true},
			{"another has the name", []Interface{iface(5, "dmz", 5), iface(9, "eth0", 9)}, 0, []wire.LinkID{9}, "", true},
			{"that goes", []Interface{iface(5, "dmz", 5)}, 9, nil, "eth0", true},
		},
		{
			{"ready", []Interface{iface(5, "eth0", 5)}, 0, []wire.LinkID{5}, "", true},
			{"new hardware address", []Interface{newMAC}, 0, []wire.LinkID{5}, "", true},
			{"the index is another interface's", []Interface{iface(5, "br7", 7)}, 0, nil, "eth0", true},
		},
		{
			{"ready", []Interface{iface(5, "eth0", 5)}, 0, []wire.LinkID{5}, "", true},
			{"gone, its index and address used again", []Interface{iface(5, "br7", 5)}, 5, nil, "eth0", true},
		},
		{
			{"hardware that cannot be served", []Interface{lo, {Index: 2, Name: "eth0"}}, 0, nil, "eth0 not an Ethernet interface", true},
		},
		{
			{"a tunnel is near", []Interface{lo, tun}, 0, nil, "eth0 ~eth1", true},
		},
	} {
		tr := NewTracker([]string{"eth0", "eth0"})
		for _, s := range life {
			if s.gone != 0 {
				if ready, _, news := tr.Lost(s.gone, true); !news || len(ready) != 0 {
					t.Errorf("%s: loss of %d: ready %v, news %v", s.what, s.gone, ready, news)
				}
			}
			ready, missing, news := tr.Update(s.ifs)
			var ids []wire.LinkID
			for _, l := range ready {
				ids = append(ids, l.ID)
			}
			if !slices.Equal(ids, s.ready) || news != s.news || !sameMissing(missing, s.missing) {
				t.Errorf("%s: ready %v, missing %+v, news %v; want %v, %q, %v", s.what, ids, missing, news, s.ready, s.missing, s.news)
			}
		}
	}
}

// sameMissing compares with "", "name", "name ~suggestion" or "name part of the reason".
func sameMissing(got []Missing, want string) bool {
	if want == "" || len(got) == 0 {
		return want == "" && len(got) == 0
	}
	name, rest, _ := strings.Cut(want, " ")
	if hint, ok := strings.CutPrefix(rest, "~"); ok {
		return got[0] == Missing{Name: name, DidYouMean: hint}
	}
	return len(got) == 1 && got[0].Name == name && strings.Contains(got[0].Reason, rest) && (rest != "" || got[0].Reason == "")
}

func TestLost(t *testing.T) {
	tr := NewTracker([]string{"eth0", "eth1"})
	ifs := []Interface{iface(5, "eth0", 5), iface(6, "eth1", 6)}
	tr.Update(ifs)
	if ready, _, news := tr.Lost(5, false); !news || len(ready) != 1 || ready[0].ID != 6 {
		t.Errorf("after a loss: %v, news %v", ready, news)
	}
	if _, _, news := tr.Lost(77, true); news {
		t.Error("the loss of an interface that is not ours is news")
	}
	if ready, _, news := tr.Update(ifs); !news || len(ready) != 2 {
		t.Errorf("after the return: %v, news %v", ready, news)
	}
}

func TestNearest(t *testing.T) {
	ifs := []Interface{{Name: "lo", Loopback: true}, {Name: "eth0"}, {Name: "eth1"}, {Name: "enp3s0"}, {Name: "br0"}}
	for name, want := range map[string]string{
		"eht0": "eth0", "eth2": "eth0", "eth": "eth0", "ethh1": "eth1", "enp3s1": "enp3s0", "enp0s31f6": "",
		"l0": "", "wlan0": "", "br": "br0", "": "", "ETH0": "",
	} {
		if got := nearest(name, ifs); got != want {
			t.Errorf("nearest to %q: %q, want %q", name, got, want)
		}
	}
}

func TestMissingInWords(t *testing.T) {
	for want, m := range map[string]Missing{
		`interface "eht0" is not there; did you mean eth0? waiting for it`: {Name: "eht0", DidYouMean: "eth0"},
		`interface "x\n" is not there; waiting for it`:                     {Name: "x\n"},
		`interface "lo" cannot be used: reason`:                            {Name: "lo", Reason: "reason"},
	} {
		if m.String() != want {
			t.Errorf("%s", m)
		}
	}
}
