package campus

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"lessor/dhcp4"
	"lessor/internal/netlab"
	"lessor/test/e2e"
)

// moveConfig has a reservation for each client, by its number, of a host in the subnet.
func moveConfig(hosts map[int]byte) string {
	var b strings.Builder
	b.WriteString(`
interfaces: [eth0]
valid-lifetime: 12s
subnets:
  - subnet: 198.18.11.0/24
    pools: [198.18.11.10-198.18.11.19]
    options: {routers: 198.18.11.1}
    reservations:
`)
	for n := 1; n <= len(hosts); n++ {
		mac := e2e.TestMAC(n)
		fmt.Fprintf(&b, "      - {hw-address: %s, ip-address: %s}\n", net.HardwareAddr(mac[:]), at(11, hosts[n]))
	}
	return b.String()
}

// A reservation that is changed in the file moves its client at its next renewal: one
// NAK, one DISCOVER, the new address, and then renewals of that and nothing else.
func TestChangedReservationMovesItsClientOnce(t *testing.T) {
	t.Parallel()
	s := newStage(t, oneLink)
	kinds := []netlab.Kind{netlab.Lessor, netlab.Dhclient, netlab.Networkd}
	// Two of the old addresses are in the pool: without its reservation a client could keep them.
	was, is := map[int]byte{1: 11, 2: 102, 3: 13}, map[int]byte{1: 201, 2: 202, 3: 203}
	srv := serve(t, s.server, moveConfig(was))
	s.relay("a", oneLink)
	var cs []*client
	for i, kind := range kinds {
		c := s.newClient(i+1, kind)
		check(t, c.run.Start())
		cs = append(cs, c)
	}
	ls := newLives(cs)
	ls.await(t, s.wire, cs, renewed, 30*time.Second)
	for _, c := range cs {
		if v, _ := ls.of[c.mac()].bound.ack.View(); v.YIAddr() != at(11, was[c.n]) {
			t.Fatalf("%s (%s) has %s", c.name(), c.kind, v.YIAddr())
		}
	}

	srv.reload(moveConfig(is))
	mark := s.wire["a1"].Mark()
	leases := try(s.server.Run(context.Background(), lessor, "leases", "-o", "json", "--connect", control))(t)
	for _, c := range cs {
		if to := fmt.Sprintf(`"moves-to": "%s"`, at(11, is[c.n])); !strings.Contains(leases, to) && !strings.Contains(leases, strings.ReplaceAll(to, ": ", ":")) {
			t.Errorf("lessor leases does not say that %s moves to %s:\n%s", c.name(), at(11, is[c.n]), leases)
		}
	}
	for _, c := range cs {
		a, b := at(11, was[c.n]), at(11, is[c.n])
		want := []string{
			fmt.Sprintf("RENEWING %s: NAK", a),
			fmt.Sprintf("DISCOVER: OFFER %s", b),
			fmt.Sprintf("SELECTING %s: ACK %s", b, b),
			fmt.Sprintf("RENEWING %s: ACK %s", b, b),
			fmt.Sprintf("RENEWING %s: ACK %s", b, b),
		}
		got := s.awaitSteps(c, mark, len(want), 40*time.Second)
		if !slices.Equal(got, want) {
			t.Errorf("%s (%s) after the change:\n%s\nwant\n%s", c.name(), c.kind, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		if _, err := c.run.Await(5*time.Second, is4(b)); err != nil {
			t.Error(err)
		}
	}
}

// awaitSteps waits until the client has made n steps since the mark, and returns those.
func (s *stage) awaitSteps(c *client, mark, n int, within time.Duration) []string {
	s.t.Helper()
	for end := time.Now().Add(within); ; time.Sleep(50 * time.Millisecond) {
		got := s.steps(c, mark)
		if len(got) >= n {
			return got[:n]
		}
		if time.Now().After(end) {
			s.t.Errorf("%s (%s) has not made %d steps within %s", c.name(), c.kind, n, within)
			return got
		}
	}
}

// Two machines change places. Neither can have the other's address before it is left;
// both arrive, and are left in peace then.
func TestTwoMachinesChangePlaces(t *testing.T) {
	t.Parallel()
	s := newStage(t, oneLink)
	srv := serve(t, s.server, moveConfig(map[int]byte{1: 101, 2: 102}))
	s.relay("a", oneLink)
	cs := []*client{s.newClient(1, netlab.Lessor), s.newClient(2, netlab.Lessor)}
	for _, c := range cs {
		check(t, c.run.Start())
	}
	ls := newLives(cs)
	ls.await(t, s.wire, cs, renewed, 30*time.Second)
	srv.reload(moveConfig(map[int]byte{1: 102, 2: 101}))
	mark := s.wire["a1"].Mark()
	for i, c := range cs {
		own := at(11, byte(102-i))
		if _, err := c.run.Await(40*time.Second, is4(own)); err != nil {
			t.Fatal(err)
		}
	}
	there := s.wire["a1"].Mark()
	for i, c := range cs {
		own := at(11, byte(102-i))
		want := fmt.Sprintf("RENEWING %s: ACK %s", own, own)
		for _, step := range s.awaitSteps(c, there, 2, 20*time.Second) {
			if step != want && step != fmt.Sprintf("SELECTING %s: ACK %s", own, own) {
				t.Errorf("%s, which has %s, still moves: %s", c.name(), own, step)
			}
		}
		all := s.steps(c, mark)
		if n := strings.Count(strings.Join(all, "\n"), "NAK"); n > 2 {
			t.Errorf("%s was refused %d times:\n%s", c.name(), n, strings.Join(all, "\n"))
		}
		t.Logf("%s: %s", c.name(), strings.Join(all, "; "))
	}
}

// is4 says yes to one address.
func is4(want dhcp4.Addr) func(netip.Addr) bool {
	return func(a netip.Addr) bool { return a == want.Netip() }
}
