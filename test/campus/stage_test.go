package campus

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"lessor/internal/netlab"
	"lessor/test/e2e"
)

// The backbone joins the server and the routers: .1 is the server, .11, .12 and .13
// are the routers a, b and c.
const (
	serverAddr = "198.19.0.1"
	upstream   = "up" // the routers' interface to the backbone
)

var routerAddr = map[string]string{"a": "198.19.0.11", "b": "198.19.0.12", "c": "198.19.0.13"}

// stage is the campus without its server and clients.
type stage struct {
	t        *testing.T
	lab      *netlab.Lab
	server   *netlab.Host
	routers  map[string]*netlab.Host
	switches map[string]*netlab.Switch  // by link
	wire     map[string]*netlab.Capture // by link
	backbone *netlab.Capture            // of the server's interface
}

// newStage makes the routers, their links and the backbone, with routes both ways.
func newStage(t *testing.T, links []link) *stage {
	t.Helper()
	s := &stage{t: t, lab: newLab(t), routers: map[string]*netlab.Host{},
		switches: map[string]*netlab.Switch{}, wire: map[string]*netlab.Capture{}}
	backbone := try(s.lab.Switch("backbone"))(t)
	s.server = try(s.lab.Host("server"))(t)
	check(t, backbone.Join(s.server, "eth0", serverAddr+"/24"))
	s.backbone = s.record(backbone)
	for i := range links {
		l := &links[i]
		r := s.routers[l.router()]
		if r == nil {
			r = try(s.lab.Host("router-" + l.router()))(t)
			s.routers[l.router()] = r
			check(t, backbone.Join(r, upstream, routerAddr[l.router()]+"/24"))
			check(t, r.Forward())
		}
		sw := try(s.lab.Switch(l.name))(t)
		var cidrs []string
		for _, n := range l.subnets {
			cidrs = append(cidrs, at(n, 1).String()+"/24")
			check(t, s.server.AddRoute(fmt.Sprintf("198.18.%d.0/24", n), routerAddr[l.router()]))
		}
		check(t, sw.Join(r, l.name, cidrs...))
		s.switches[l.name] = sw
		s.wire[l.name] = s.record(sw)
	}
	return s
}

// record captures on a switch until the test ends.
func (s *stage) record(sw *netlab.Switch) *netlab.Capture {
	s.t.Helper()
	c := try(sw.Capture())(s.t)
	s.t.Cleanup(func() {
		if err := c.Stop(); err != nil {
			s.t.Error(err)
		}
	})
	return c
}

// relay starts `lessor relay` on a router, for all of its links.
func (s *stage) relay(router string, links []link, args ...string) {
	s.t.Helper()
	r := s.routers[router]
	notify := try(netlab.ListenNotify(filepath.Join(r.Root, "notify")))(s.t)
	s.t.Cleanup(func() { notify.Close() })
	args = append([]string{lessor, "relay", "--server", serverAddr}, args...)
	p := s.agent(router, append(args, downstream(router, links, "--downstream")...), notify.Env())
	check(s.t, notify.Await(p, "READY=1", 10*time.Second))
}

// dhcrelay starts the relay agent of ISC, which adds the interface's name as circuit-id.
func (s *stage) dhcrelay(router string, links []link) {
	s.t.Helper()
	args := append([]string{"/usr/sbin/dhcrelay", "-4", "-d", "-a", "--no-pid", "-iu", upstream}, downstream(router, links, "-id")...)
	check(s.t, s.agent(router, append(args, serverAddr)).WaitOutput("Sending on", 5*time.Second))
}

func (s *stage) agent(router string, args []string, env ...string) *netlab.Proc {
	s.t.Helper()
	p := try(s.routers[router].Start(netlab.Spec{Args: args, Env: env}))(s.t)
	s.t.Cleanup(func() {
		if s.t.Failed() {
			s.t.Logf("the relay agent of router %s wrote:\n%s", router, e2e.Tail(p.Output(), 3000))
		}
	})
	return p
}

// downstream are the arguments that name the links of a router.
func downstream(router string, links []link, flag string) (args []string) {
	for i := range links {
		if links[i].router() == router {
			args = append(args, flag, links[i].name)
		}
	}
	return args
}

// join makes the client's machine and starts nothing on it.
func (s *stage) join(c *client) error {
	h, err := s.lab.Host(c.name())
	if err != nil {
		return err
	}
	if err := s.switches[c.link.name].Join(h, "eth0"); err != nil {
		return err
	}
	c.host = h
	c.run = h.Client(c.kind, "eth0")
	if c.kind == netlab.Lessor {
		c.run.Program = lessor
		c.run.Flags = append([]string{"-o", "jsonl", "--fast", "--resolv-conf", "/etc/resolv.conf"}, c.flags...)
	}
	return h.SetMAC("eth0", c.mac())
}
