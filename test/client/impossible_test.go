package client

import (
	"net/netip"
	"testing"
	"time"

	"lessor/dhcp4"
	"lessor/internal/netlab"
)

// answer lets the puppet answer every DISCOVER and REQUEST by what f says, until the test ends.
func (p *puppet) answer(f func(v *dhcp4.View) []reply) {
	quit, done := make(chan struct{}), make(chan struct{})
	p.t.Cleanup(func() { close(quit); <-done })
	go func() {
		defer close(done)
		for {
			select {
			case <-quit:
				return
			default:
			}
			_ = p.st.Receive(50*time.Millisecond, func(b []byte) {
				fr, ok := netlab.DecodeFrame(b)
				if !ok {
					return
				}
				if v, ok := fr.View(); ok && v.Op() == 1 {
					p.send(f(&v)...)
				}
			})
		}
	}()
}

// wrongAnswer is a server's fault, and the clients of Debian 12 that configure what it says.
type wrongAnswer struct {
	name   string
	addr   string
	change func(*reply) // of both OFFER and ACK
	why    string       // for which our client ignores it
	taken  []netlab.Kind
}

var wrongAnswers = []wrongAnswer{
	{"loopback", "127.0.0.5", nil, "bad-address", []netlab.Kind{netlab.Dhclient, netlab.Udhcpc, netlab.Dhcpcd, netlab.Networkd}},
	{"multicast", "224.0.0.5", nil, "bad-address", []netlab.Kind{netlab.Dhclient, netlab.Dhcpcd, netlab.Networkd}},
	{"class E", "240.0.0.5", nil, "bad-address", []netlab.Kind{netlab.Dhclient, netlab.Udhcpc, netlab.Networkd}},
	{"the subnet's own", "198.18.0.0", nil, "not-a-host", []netlab.Kind{netlab.Dhclient, netlab.Udhcpc, netlab.Networkd}},
	{"the subnet's broadcast", "198.18.0.255", nil, "not-a-host", []netlab.Kind{netlab.Dhclient, netlab.Udhcpc, netlab.Networkd}},
	{"other client identifier", "198.18.0.100", func(r *reply) {
		r.Options = append(r.Options, dhcp4.Option{Code: dhcp4.OptDHCPClientIdentifier, Data: []byte{1, 2, 3, 4, 5, 6, 7}})
	}, "other-client-id", []netlab.Kind{netlab.Dhclient, netlab.Udhcpc, netlab.Networkd}},
	{"acknowledged by another server", "198.18.0.100", func(r *reply) {
		if r.Type == dhcp4.Ack {
			r.ServerID++
		}
	}, "other-server", []netlab.Kind{netlab.Dhclient, netlab.Udhcpc, netlab.Networkd}},
	{"no server identifier", "198.18.0.100", func(r *reply) { r.ServerID = 0 }, "no-server-id", []netlab.Kind{netlab.Dhclient, netlab.Udhcpc}},
	{"no lease time", "198.18.0.100", func(r *reply) { r.Options = r.Options[1:] }, "no-lease-time", []netlab.Kind{netlab.Udhcpc}},
}

// A server that answers wrongly, and who believes it: on the same link, from the same
// server, others take what Lessor ignores.
func TestWrongAnswersBesideOthers(t *testing.T) {
	t.Parallel()
	for _, w := range wrongAnswers {
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t, "--conflict-detection", "off")
			p := newPuppet(t, s.lab, s.sw, "server")
			p.answer(func(v *dhcp4.View) []reply {
				typ := dhcp4.Offer
				if v.MessageType() == dhcp4.Request {
					typ = dhcp4.Ack
				}
				r := p.to(v, typ, dhcp4.MustParseAddr(w.addr), 600).broadcast()
				if w.change != nil {
					w.change(&r)
				}
				return []reply{r}
			})
			check(t, s.client.Start())
			var clients []*netlab.Client
			for _, k := range w.taken {
				h := try(s.lab.Host(string(k)))(t)
				check(t, s.sw.Join(h, "eth0"))
				c := h.Client(k, "eth0")
				check(t, c.Start())
				clients = append(clients, c)
			}
			s.ignored(w.why)
			for _, c := range clients {
				if _, err := c.Await(25*time.Second, netip.Addr.IsValid); err != nil {
					t.Errorf("%v\nit got better: change the table", err)
				}
				c.Kill()
			}
			s.alive()
			s.asBefore("in spite of the answers")
		})
	}
}
