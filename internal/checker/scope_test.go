package checker

import (
	"testing"

	"lessor/dhcp4"
	core "lessor/internal/server"
	"lessor/internal/trace"
)

// campusConf is a link, a shared network of two subnets behind agents, and a subnet behind
// another one.
const campusConf = `
interfaces: [eth0]
valid-lifetime: 1m
conflict-check: off
relays: [192.0.2.1]
client-classes:
  - {name: port, test: 'relay["circuit-id"] == "a"'}
  - {name: DROP, test: 'hw_address.startsWith("02:00:5e:10:00:09")'}
shared-networks:
  - name: building
    relay: 192.0.2.2
    subnets:
      - {subnet: 198.18.1.0/24, pools: [198.18.1.100-198.18.1.101]}
      - subnet: 198.18.2.0/24
        pools: [{pool: 198.18.2.100-198.18.2.101, client-classes: [port]}]
        reservations:
          - {circuit-id: "d", ip-address: 198.18.2.50}
subnets:
  - {subnet: 198.18.0.0/24, pools: [198.18.0.100-198.18.0.103]}
  - subnet: 198.18.3.0/24
    pools: [198.18.3.100-198.18.3.101]
    reservations:
      - {hw-address: "02:00:5e:10:00:07", ip-address: 198.18.3.50}
`

// Values of option 82: circuit-id a and d, a link selection of 198.18.3.0, circuit-id a with a
// server identifier.
const (
	circuitA = "010161"
	circuitD = "010164"
	select3  = "0504c6120300"
	override = "0101610b04c6120101"
	portA    = "0101611300"
)

// TestI11Scope: the account of which network a packet is of.
func TestI11Scope(t *testing.T) {
	offered := func(a string, args ...string) func(b *history) {
		return func(b *history) { b.offer(b.discover(one, args...), a, 60) }
	}
	wrong := []string{"I11"}
	tell(t, []story{
		{name: "giaddr in a subnet", conf: campusConf, tell: offered("198.18.1.100", "giaddr", "198.18.1.1")},
		{name: "the other subnet of its network", conf: campusConf, tell: offered("198.18.1.100", "giaddr", "198.18.2.1")},
		{name: "an agent that stands for the network", conf: campusConf, tell: offered("198.18.1.100", "giaddr", "192.0.2.2")},
		{name: "another network than the agents", conf: campusConf, breaks: wrong, tell: offered("198.18.3.100", "giaddr", "192.0.2.2")},
		{name: "link selection", conf: campusConf, tell: offered("198.18.3.100", "giaddr", "192.0.2.1", "agent", select3)},
		{name: "link selection before giaddr", conf: campusConf, tell: offered("198.18.3.100", "giaddr", "198.18.1.1", "agent", select3)},
		{name: "link selection ignored", conf: campusConf, breaks: wrong, tell: offered("198.18.1.100", "giaddr", "198.18.1.1", "agent", select3)},
		{name: "link selection of an unknown agent", conf: campusConf, breaks: wrong, tell: offered("198.18.3.100", "giaddr", "192.0.2.9", "agent", select3)},
		{name: "NAK through an unknown agent", conf: campusConf, breaks: wrong, tell: func(b *history) {
			b.nak(b.initReboot2(one, "198.18.3.100", "giaddr", "192.0.2.9", "agent", select3))
		}},
		{name: "link selection on a link that is not trusted", conf: campusConf, breaks: wrong, tell: offered("198.18.3.100", "agent", select3)},
		{name: "subnet selection behind an agent", conf: campusConf, tell: offered("198.18.3.100", "giaddr", "198.18.1.1", "subnet", "198.18.3.0")},
		{name: "subnet selection of a direct client", conf: campusConf, breaks: wrong, tell: offered("198.18.3.100", "subnet", "198.18.3.0")},
	})
}

// initReboot2 is initReboot with more fields.
func (b *history) initReboot2(k who, a string, args ...string) *said {
	return b.say(k, dhcp4.Request, append([]string{"req", a}, args...)...)
}

// TestI11Guards: who may have addresses of a pool that is for a class.
func TestI11Guards(t *testing.T) {
	const via, guarded = "198.18.1.1", "198.18.2.100"
	renewal := func(b *history) *said {
		return b.say(one, dhcp4.Request, "ciaddr", guarded, "from", guarded, "to", "198.18.0.1", "routed", "")
	}
	granted := func(b *history) {
		q := b.say(one, dhcp4.Request, "sid", "198.18.0.1", "req", guarded, "giaddr", via, "agent", circuitA)
		b.bound(q, guarded, 60)
		b.pass(30)
	}
	tell(t, []story{
		{name: "in the class", conf: campusConf, tell: func(b *history) {
			b.offer(b.discover(one, "giaddr", via, "agent", circuitA), guarded, 60)
		}},
		{name: "not in the class", conf: campusConf, breaks: []string{"I11"}, tell: func(b *history) {
			b.offer(b.discover(one, "giaddr", via), guarded, 60)
		}},
		{name: "at a reboot not in the class", conf: campusConf, breaks: []string{"I11"}, tell: func(b *history) {
			granted(b)
			b.bound(b.initReboot2(one, guarded, "giaddr", via), guarded, 60)
		}},
		{name: "what a direct client says of its port", conf: campusConf, breaks: []string{"I9"}, tell: func(b *history) {
			b.configure("interfaces: [eth0]\nconflict-check: off\nsubnets:\n- {subnet: 198.18.0.0/24, pools: [198.18.0.100-198.18.0.103], reservations: [{circuit-id: d, ip-address: 198.18.0.50}]}\n")
			b.offer(b.discover(one, "agent", circuitD), "198.18.0.50", 43200)
		}},
		{name: "renewing past the agent", conf: campusConf, tell: func(b *history) {
			granted(b)
			b.bound(renewal(b), guarded, 60)
		}},
		{name: "refused at T1", conf: campusConf, breaks: []string{"I3"}, tell: func(b *history) {
			granted(b)
			b.nak(renewal(b))
		}},
		{name: "no answer at T1", conf: campusConf, breaks: []string{"I3", "I4"}, tell: func(b *history) {
			granted(b)
			b.drop(renewal(b), core.NoPoolForClient)
		}},
		{name: "class DROP answered", conf: campusConf, breaks: []string{"I11"}, tell: func(b *history) {
			b.offer(b.discover(who{hw: 9}), a100, 60)
		}},
		{name: "class DROP silent", conf: campusConf, tell: func(b *history) {
			b.drop(b.discover(who{hw: 9}), core.ClassDrop)
		}},
	})
}

// TestReservedPlaces: a reservation by circuit-id is of a place, and two machines there are two
// clients.
func TestReservedPlaces(t *testing.T) {
	const via, place = "198.18.1.1", "198.18.2.50"
	ask := func(b *history, k who) *said {
		return b.say(k, dhcp4.Request, "sid", "198.18.0.1", "req", place, "giaddr", via, "agent", circuitD)
	}
	tell(t, []story{
		{name: "the place's", conf: campusConf, tell: func(b *history) { b.bound(ask(b, one), place, 60) }},
		{name: "not the place's", conf: campusConf, breaks: []string{"I9"}, tell: func(b *history) {
			b.offer(b.discover(one, "giaddr", via, "agent", circuitA), place, 60)
		}},
		{name: "two machines", conf: campusConf, breaks: []string{"I1"}, tell: func(b *history) {
			b.bound(ask(b, one), place, 60)
			b.bound(ask(b, two), place, 60)
		}},
		{name: "one machine under two names", conf: campusConf, tell: func(b *history) {
			b.bound(ask(b, one), place, 60)
			b.bound(ask(b, who{1, "00aabbcc"}), place, 60)
		}},
		{name: "one after the other", conf: campusConf, tell: func(b *history) {
			b.bound(ask(b, one), place, 60)
			b.pass(70)
			b.bound(ask(b, two), place, 60)
		}},
	})
}

// TestMovedReservations: a reservation that came under a client moves it, and does so once.
func TestMovedReservations(t *testing.T) {
	const via, old, res = "198.18.3.1", "198.18.3.100", "198.18.3.50"
	seven := who{hw: 7}
	request := func(b *history) *said {
		return b.say(seven, dhcp4.Request, "ciaddr", old, "from", old, "to", "198.18.0.1", "routed", "")
	}
	with := func(hw string) string {
		return "interfaces: [eth0]\nvalid-lifetime: 1m\nconflict-check: off\nsubnets:\n  - {subnet: 198.18.0.0/24, pools: [198.18.0.100-198.18.0.103]}\n" +
			"  - {subnet: 198.18.3.0/24, pools: [198.18.3.100-198.18.3.101], reservations: [{hw-address: \"02:00:5e:10:00:" + hw + "\", ip-address: " + res + "}]}\n"
	}
	begin := func(b *history) {
		b.bound(b.say(seven, dhcp4.Request, "sid", "198.18.0.1", "req", old, "giaddr", via), old, 60)
		b.configure(with("07"))
		b.pass(30)
	}
	tell(t, []story{
		{name: "sent away", conf: with("08"), tell: func(b *history) {
			begin(b)
			b.nak(request(b))
			b.offer(b.discover(seven, "giaddr", via), res, 60)
		}},
		{name: "stays", conf: with("08"), breaks: []string{"I8"}, tell: func(b *history) {
			begin(b)
			b.bound(request(b), old, 60)
		}},
		{name: "stays while another has it", conf: with("08"), tell: func(b *history) {
			b.bound(b.say(who{hw: 8}, dhcp4.Request, "sid", "198.18.0.1", "req", res, "giaddr", via), res, 60)
			begin(b)
			b.bound(request(b), old, 60)
		}},
		{name: "to and fro", conf: with("08"), breaks: []string{"I8"}, tell: func(b *history) {
			b.bound(b.say(who{hw: 8}, dhcp4.Request, "sid", "198.18.0.1", "req", res, "giaddr", via), res, 600)
			begin(b)
			for range 2 {
				b.nak(request(b))
				q := b.say(seven, dhcp4.Request, "sid", "198.18.0.1", "req", old, "giaddr", via)
				b.bound(q, old, 60)
				b.pass(30)
			}
		}},
	})
}

// TestI12Relayed: what a relay agent asks for of its replies.
func TestI12Relayed(t *testing.T) {
	reply := func(agent, sport string, edit func(f *trace.Frame)) func(b *history) {
		return func(b *history) {
			b.offer(b.discover(one, "giaddr", "198.18.1.1", "agent", agent, "sport", sport), "198.18.1.100", 60)
			edit(b.frame())
		}
	}
	identifier := func(a string) func(f *trace.Frame) {
		return func(f *trace.Frame) {
			var v dhcp4.View
			_ = v.Parse(f.Payload)
			val, _ := v.Get(dhcp4.OptDHCPServerIdentifier, nil)
			copy(val, addrOf(a).Append(nil))
		}
	}
	port := func(n uint16) func(f *trace.Frame) { return func(f *trace.Frame) { f.DstPort = n } }
	wrong := []string{"I12"}
	tell(t, []story{
		{name: "the agents identifier", conf: campusConf, tell: reply(override, "67", identifier("198.18.1.1"))},
		{name: "our identifier all the same", conf: campusConf, breaks: wrong, tell: reply(override, "67", identifier("198.18.0.1"))},
		{name: "its own port", conf: campusConf, tell: reply(portA, "6767", port(6767))},
		{name: "port 67 all the same", conf: campusConf, breaks: wrong, tell: reply(portA, "6767", port(67))},
		{name: "another port unasked", conf: campusConf, breaks: wrong, tell: reply(circuitA, "6767", port(6767))},
		{name: "option 82 changed", conf: campusConf, breaks: wrong, tell: reply(circuitA, "67", func(f *trace.Frame) {
			var v dhcp4.View
			_ = v.Parse(f.Payload)
			val, _ := v.Get(dhcp4.OptDHCPAgentOptions, nil)
			val[2] ^= 1
		})},
	})
}
