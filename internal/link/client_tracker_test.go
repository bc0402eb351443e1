package link

import (
	"fmt"
	"strings"
	"testing"

	"lessor/internal/wire"
)

// moment is what a client's tracker is told, and what it then reports.
type moment struct {
	what string
	tell func(*ClientTracker)
	want string
}

func now(ifs ...Interface) func(*ClientTracker) {
	return func(t *ClientTracker) { t.Update(ifs) }
}

func seen(i Interface) func(*ClientTracker) { return func(t *ClientTracker) { t.Seen(&i, false) } }
func gone(i Interface) func(*ClientTracker) { return func(t *ClientTracker) { t.Seen(&i, true) } }

// with changes an interface.
func with(i Interface, change func(*Interface)) Interface {
	change(&i)
	return i
}

// TestClientTracker plays lives of interfaces. A report is "NAME INDEX MAC", "absent" or
// "missing", with its hint or reason.
func TestClientTracker(t *testing.T) {
	lo := Interface{Index: 1, Name: "lo", Loopback: true, Up: true, Carrier: true}
	eth := with(iface(5, "eth0", 5), func(i *Interface) { i.CarrierChanges = 7 })
	bare := with(eth, func(i *Interface) { i.Addrs = nil })
	down := with(eth, func(i *Interface) { i.Up, i.Carrier = false, false })
	idle := with(eth, func(i *Interface) { i.Carrier, i.CarrierChanges = false, 8 })
	back := with(eth, func(i *Interface) { i.CarrierChanges = 9 })
	early := with(eth, func(i *Interface) { i.Carrier, i.CarrierChanges = false, 6 })
	mac6 := with(eth, func(i *Interface) { i.MAC[5] = 6 })
	for _, life := range [][]moment{
		{
			{"nothing", now(lo), "missing"},
			{"nothing still", now(lo), ""},
			{"a name close to it", now(lo, iface(3, "eth1", 3)), "missing eth1"},
			{"down", now(lo, down), "absent"},
			{"no carrier", now(lo, idle), ""},
			{"ready without an address", now(lo, bare), "eth0 5 05"},
			{"an address is no news", now(lo, eth), ""},
			{"what was told before is no loss", seen(early), ""},
			{"another interface is no loss", seen(with(idle, func(i *Interface) { i.Index = 6 })), ""},
			{"told that all is well", seen(eth), ""},
			{"larger packets", now(with(eth, func(i *Interface) { i.MTU = 9000 })), "eth0 5 05"},
		},
		{
			{"ready", now(eth), "eth0 5 05"},
			{"loss of carrier, told", seen(idle), "absent"},
			{"told again", seen(idle), ""},
			{"back, told", seen(back), ""},
			{"back", now(back), "eth0 5 05"},
			{"that loss is not counted twice", seen(back), ""},
			{"nor when its message comes late", seen(idle), ""},
			{"nor seen twice", now(back), ""},
		},
		{
			{"ready", now(eth), "eth0 5 05"},
			{"loss of carrier between two looks", now(back), "absent, eth0 5 05"},
			{"loss of carrier, told too late", seen(with(back, func(i *Interface) { i.CarrierChanges = 11 })), "absent"},
			{"still there", now(with(back, func(i *Interface) { i.CarrierChanges = 11 })), "eth0 5 05"},
			{"down, told", seen(with(down, func(i *Interface) { i.CarrierChanges = 11 })), "absent"},
			{"up", now(with(back, func(i *Interface) { i.CarrierChanges = 11 })), "eth0 5 05"},
		},
		{
			{"the count turns over", now(with(eth, func(i *Interface) { i.CarrierChanges = 0xffffffff })), "eth0 5 05"},
			{"loss", now(with(eth, func(i *Interface) { i.CarrierChanges = 1 })), "absent, eth0 5 05"},
			{"old news", seen(with(idle, func(i *Interface) { i.CarrierChanges = 0xfffffffe })), ""},
		},
		{
			{"ready", now(eth), "eth0 5 05"},
			{"another hardware address", now(mac6), "absent, eth0 5 06"},
			{"the first one for a moment", seen(eth), "absent"},
			{"and back", now(mac6), "eth0 5 06"},
		},
		{
			{"ready", now(eth), "eth0 5 05"},
			{"renamed", now(with(eth, func(i *Interface) { i.Name = "wan" })), "wan 5 05"},
			{"another has the name", now(with(eth, func(i *Interface) { i.Name = "wan" }), iface(9, "eth0", 9)), "absent, eth0 9 09"},
			{"gone, told", gone(iface(9, "eth0", 9)), "absent"},
			{"not there", now(lo), "missing"},
		},
		{
			{"ready", now(eth), "eth0 5 05"},
			{"gone, told", gone(eth), "absent"},
			{"its index and address used again", now(with(eth, func(i *Interface) { i.Name = "br7" })), "missing"},
		},
		{
			{"down at first", now(lo, down), "absent"},
			{"down still", now(lo, down), ""},
		},
		{
			{"hardware that cannot be used", now(lo, Interface{Index: 2, Name: "eth0", Up: true, Carrier: true}), "missing not an Ethernet interface"},
			{"its carrier does not matter", seen(Interface{Index: 2, Name: "eth0"}), ""},
		},
	} {
		var got []string
		tr := NewClientTracker("eth0", func(l *wire.Link, m *Missing) {
			switch {
			case l != nil && m == nil && len(l.Addrs) == 0:
				got = append(got, fmt.Sprintf("%s %d %02x", l.Name, l.ID, l.MAC[5:]))
			case l == nil && m == nil:
				got = append(got, "absent")
			case l == nil && m.Name == "eth0":
				got = append(got, strings.TrimSpace("missing "+m.DidYouMean+m.Reason))
			default:
				t.Errorf("reported %+v, %+v", l, m)
			}
		})
		for _, s := range life {
			got = nil
			s.tell(tr)
			if all := strings.Join(got, ", "); all != s.want && !(strings.HasPrefix(s.want, "missing not") && strings.Contains(all, s.want[8:])) {
				t.Errorf("%s: reported %q, want %q", s.what, all, s.want)
			}
		}
	}
}
