package cli

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"lessor/dhcp4"
	"lessor/internal/netlab"
)

// labConfig is what a server of the lab serves: leases of 10 s and the smallest grace
// that such leases allow.
const labConfig = `interfaces: [eth0]
valid-lifetime: 10s
lease-grace: 2s
subnets:
  - subnet: 198.18.0.0/24
    pools: [%s]
    options: {routers: %s, domain-name-servers: 198.18.0.53, domain-name: lab.example}
`

const labLimit = 58 * time.Second // the whole of it

// labServer is one of the lab's servers.
type labServer struct {
	name   string // its host, and the names of its files
	addr   string
	first  string // its pool
	second string // what that becomes when the lab changes it
	host   *netlab.Host
	proc   *netlab.Proc
}

// lab is the network: two servers, a client and a printer on a switch, and the
// story told on it.
type lab struct {
	net             *netlab.Lab
	sw              *netlab.Switch
	servers         [2]*labServer
	client, printer *netlab.Host
	proc            *netlab.Proc // the client
	capture         *netlab.Capture
	line            timeline
	keep            bool
	self            string // path of this program

	mark    int        // frames before it have been printed
	addr    netip.Addr // what the client's interface has
	pending netip.Addr // acknowledged, and not yet seen on the interface
	acks    int
	acked   netip.Addr // by the last ACK
	by      dhcp4.Addr // the server of that
	decline bool       // a DECLINE was seen
}

func runLab(ctx context.Context, g *globals, keep bool) (err error) {
	ctx, cancel := context.WithTimeout(ctx, labLimit)
	defer cancel()
	l := &lab{keep: keep, line: timeline{w: g.stdout, color: g.colored, width: g.width}}
	if l.self, err = os.Executable(); err != nil {
		return err
	}
	if l.net, err = netlab.New(""); err != nil {
		return err
	}
	defer func() {
		if l.capture != nil {
			err = errors.Join(err, l.capture.Stop())
		}
		if err == nil && keep {
			l.net.Leave()
			l.sayHowToEnter()
			return
		}
		err = errors.Join(err, l.net.Close())
	}()
	if err := l.build(); err != nil {
		return &ExitError{Code: ExitNoAccess, Err: err, Hint: "Run it as root: sudo lessor lab"}
	}
	err = l.story(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		err = l.tooLong()
	}
	return err
}

// build makes the network.
func (l *lab) build() (err error) {
	if l.sw, err = l.net.Switch("switch"); err != nil {
		return err
	}
	l.servers = [2]*labServer{
		{name: "server-1", addr: "198.18.0.1", first: "198.18.0.100-198.18.0.119", second: "198.18.0.120-198.18.0.139"},
		{name: "server-2", addr: "198.18.0.2", first: "198.18.0.200-198.18.0.219", second: "198.18.0.220-198.18.0.239"},
	}
	for _, s := range l.servers {
		if s.host, err = l.join(s.name, s.addr+"/24"); err != nil {
			return err
		}
	}
	if l.printer, err = l.join("printer"); err != nil {
		return err
	}
	if l.client, err = l.join("client"); err != nil {
		return err
	}
	l.line.client = l.client.MAC("eth0")
	l.capture, err = l.sw.Capture()
	return err
}

// join makes a machine on the switch.
func (l *lab) join(name string, cidrs ...string) (*netlab.Host, error) {
	h, err := l.net.Host(name)
	if err != nil {
		return nil, err
	}
	return h, l.sw.Join(h, "eth0", cidrs...)
}

func (l *lab) file(name string) string { return filepath.Join(l.net.Dir(), name) }

// startServer starts this same program as the server and waits until it listens.
func (l *lab) startServer(ctx context.Context, s *labServer) (err error) {
	logged := len(l.log(s.name))
	s.proc, err = s.host.Start(netlab.Spec{
		Args: []string{l.self, "serve", "--config", l.file(s.name + ".yaml"), "--state", l.file(s.name), "--log-format", "text"},
		Env:  []string{"LESSOR_COLOR=never"},
		Stay: l.keep, LogFile: l.file(s.name + ".log"), Hold: []*netlab.Host{l.sw.Host(), l.printer},
	})
	if err != nil {
		return err
	}
	return l.until(ctx, func() bool { return strings.Contains(l.log(s.name)[logged:], "LINK_READY") })
}

// startClient starts this same program as the client. Its probes are shorter than
// RFC 5227 has them, so that the story is too.
func (l *lab) startClient() (err error) {
	l.proc, err = l.client.Start(netlab.Spec{
		Args: []string{l.self, "client", "eth0", "--fast", "--probe-interval", "200ms", "--resolv-conf", "/etc/resolv.conf"},
		Env:  []string{"LESSOR_COLOR=never"},
		Stay: l.keep, LogFile: l.file("client.log"),
	})
	return err
}

func (l *lab) configure(s *labServer, pool string) error {
	return os.WriteFile(l.file(s.name+".yaml"), fmt.Appendf(nil, labConfig, pool, s.addr), 0o644)
}

// log is what the machine's program has written.
func (l *lab) log(name string) string {
	b, _ := os.ReadFile(l.file(name + ".log"))
	return string(b)
}

// story is what happens, step by step; each waits for the one before to be seen. The
// rules of docs/rules.md that a step shows stand beside it.
func (l *lab) story(ctx context.Context) error {
	l.line.start = time.Now()
	l.line.header()
	for _, s := range l.servers {
		if err := l.configure(s, s.first); err != nil {
			return err
		}
		l.line.lab(time.Now(), "%s has %s and serves %s", s.name, s.addr, s.first)
		if err := l.startServer(ctx, s); err != nil {
			return err
		}
	}
	for _, step := range []func(context.Context) error{l.conflict, l.bind, l.renew, l.rebind, l.move, l.expire, l.comeBack} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	l.summary()
	return nil
}

// conflict: two offers, the first is taken, the other server frees its own (S1 to S5);
// the client asks for the address by ARP, the printer has it, DECLINE (S6, S7).
func (l *lab) conflict(ctx context.Context) error {
	if err := l.startClient(); err != nil {
		return err
	}
	if err := l.until(ctx, func() bool { return l.acks == 1 }); err != nil {
		return err
	}
	l.line.lab(time.Now(), "somebody has set the printer to %s by hand", l.acked)
	if err := l.printer.AddAddr("eth0", l.acked.String()+"/24"); err != nil {
		return err
	}
	taken := l.acked
	if err := l.until(ctx, func() bool { return l.decline }); err != nil {
		return err
	}
	l.line.done("both servers offered; the client took the first offer, and declined %s: the printer answered for it", taken)
	return nil
}

// bind: after ten seconds the client asks again and gets an address that nobody has.
func (l *lab) bind(ctx context.Context) error {
	if err := l.until(ctx, l.bound); err != nil {
		return err
	}
	l.line.done("it got %s, which nobody has, by probing first", l.addr)
	return nil
}

// renew: at half of the lease, by unicast (S9, S10).
func (l *lab) renew(ctx context.Context) error {
	if err := l.another(ctx); err != nil {
		return err
	}
	l.line.done("it renewed at half of the lease, by unicast")
	return nil
}

// rebind: the server does not get what is sent to it alone; at 7/8 it gets the
// broadcast (S11, S12).
func (l *lab) rebind(ctx context.Context) error {
	s := l.mine()
	l.line.lab(time.Now(), "the switch loses what is sent to %s alone", s.name)
	if err := l.sw.Misdirect(s.host, "eth0", l.printer); err != nil {
		return err
	}
	if err := l.another(ctx); err != nil {
		return err
	}
	l.line.done("it rebound at 7/8 of the lease, by broadcast")
	l.line.lab(time.Now(), "the switch is good again")
	return l.sw.Misdirect(s.host, "eth0", nil)
}

// move: the server's pool has changed, NAK (S10).
func (l *lab) move(ctx context.Context) error {
	s, old := l.mine(), l.addr
	l.line.lab(time.Now(), "the pool of %s becomes %s (SIGHUP)", s.name, s.second)
	if err := l.configure(s, s.second); err != nil {
		return err
	}
	if err := s.proc.Signal(syscall.SIGHUP); err != nil {
		return err
	}
	if err := l.until(ctx, func() bool { return l.bound() && l.addr != old }); err != nil {
		return err
	}
	l.line.done("it was refused when the pool had moved, gave %s up at once, and got %s", old, l.addr)
	return nil
}

// expire: no server lives, and the lease ends (S8).
func (l *lab) expire(ctx context.Context) error {
	l.line.lab(time.Now(), "both servers are killed (SIGKILL)")
	for _, s := range l.servers {
		s.proc.Kill()
		s.proc = nil
	}
	old := l.addr
	if err := l.until(ctx, func() bool { return !l.addr.IsValid() }); err != nil {
		return err
	}
	l.line.done("it gave %s up when the lease ended and nobody had answered", old)
	return nil
}

// comeBack: the servers read their stores, and the client gets its last address again.
func (l *lab) comeBack(ctx context.Context) error {
	old := l.acked
	l.line.lab(time.Now(), "both start again and read their stores")
	for _, s := range l.servers {
		if err := l.startServer(ctx, s); err != nil {
			return err
		}
	}
	if err := l.until(ctx, l.bound); err != nil {
		return err
	}
	if l.addr == old {
		l.line.done("it got %s again, from the server's store", l.addr)
	} else {
		l.line.done("it took the first offer again, and got %s", l.addr)
	}
	return nil
}

// bound is true once the last address acknowledged is on the interface.
func (l *lab) bound() bool { return l.addr.IsValid() && l.addr == l.acked && l.line.state == "BOUND" }

// another waits for one more ACK for the address that the client has.
func (l *lab) another(ctx context.Context) error {
	acks, addr := l.acks, l.addr
	if err := l.until(ctx, func() bool { return l.acks > acks && l.bound() }); err != nil {
		return err
	}
	if l.addr != addr {
		return exitf(ExitBad, "the client had %s and has %s now", addr, l.addr)
	}
	return nil
}

// mine is the server that gave the client its address.
func (l *lab) mine() *labServer {
	if l.servers[1].addr == l.by.String() {
		return l.servers[1]
	}
	return l.servers[0]
}

// until prints what happens until done says yes.
func (l *lab) until(ctx context.Context, done func() bool) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		l.look()
		if done() {
			return nil
		}
		if err := l.alive(); err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// alive is an error when a program has ended by itself.
func (l *lab) alive() error {
	programs := map[string]*netlab.Proc{"client": l.proc}
	for _, s := range l.servers {
		programs[s.name] = s.proc
	}
	for name, p := range programs {
		if p == nil {
			continue
		}
		if err, ended := p.Wait(0); ended {
			return fmt.Errorf("lessor on %s ended (%v); it wrote:\n%s", name, err, l.log(name))
		}
	}
	return nil
}

// look prints the frames that have come, and what became of the client's address.
func (l *lab) look() {
	was := l.addr
	l.addr = l.client.Addr("eth0")
	gone := was.IsValid() && !l.addr.IsValid()
	frames := l.capture.Frames()
	for i := range frames[l.mark:] {
		f := &frames[l.mark+i]
		v, ok := f.View()
		if gone && ok && v.MessageType() == dhcp4.Discover {
			l.line.gone(f.Time, was) // the client gives up first, and asks then
			gone = false
		}
		l.line.frame(f)
		if ok {
			l.note(&v)
		}
	}
	l.mark = len(frames)
	if gone {
		l.line.gone(time.Now(), was)
	}
	if l.pending.IsValid() && l.addr == l.pending {
		l.line.enter(time.Now(), "BOUND", fmt.Sprintf("eth0 has %s", l.client.Addrs("eth0")[0]))
		l.pending = netip.Addr{}
	}
}

// note keeps what the story waits for.
func (l *lab) note(v *dhcp4.View) {
	switch v.MessageType() {
	case dhcp4.Ack:
		l.acks++
		l.acked = v.YIAddr().Netip()
		l.by, _ = v.Addr(dhcp4.OptDHCPServerIdentifier)
		l.pending = l.acked
	case dhcp4.Nak, dhcp4.Discover:
		l.pending = netip.Addr{}
	case dhcp4.Decline:
		l.decline, l.pending = true, netip.Addr{}
	}
}

func (l *lab) summary() {
	w, on := l.line.w, l.line.color
	fmt.Fprintln(w)
	for _, s := range l.line.told {
		fmt.Fprintf(w, "  %s %s\n", paint(on, good, "✓"), s)
	}
	fmt.Fprintf(w, "\n  %d DHCP messages in %d s. Nothing outside of the lab was touched.\n", l.line.messages, int(time.Since(l.line.start).Seconds()))
}

// tooLong says what was being waited for when the time was over.
func (l *lab) tooLong() error {
	hint := fmt.Sprintf("lessor client wrote:\n%s", l.log("client"))
	for _, s := range l.servers {
		hint += fmt.Sprintf("\n%s wrote:\n%s", s.name, l.log(s.name))
	}
	return &ExitError{Code: ExitBad, Err: fmt.Errorf("the story did not end within %s: the client is in state %s with address %s", labLimit, l.line.state, l.addr), Hint: hint}
}

func (l *lab) sayHowToEnter() {
	enter, sudo := "nsenter -n -m -t", "sudo "
	if os.Getenv(labInside) != "" {
		enter, sudo = "nsenter -U --preserve-credentials -n -m -t", ""
	}
	one, two, c := l.servers[0].proc.PID(), l.servers[1].proc.PID(), l.proc.PID()
	fmt.Fprintf(l.line.w, `
  The network stays, and the programs run on in it. Their logs are in %[7]s.
  Who has which address, and how the client is:
    %[1]s%[2]s %[3]d %[6]s leases
    %[1]s%[2]s %[5]d %[6]s client status
  Enter a server's machine, the client's machine:
    %[1]s%[2]s %[3]d
    %[1]s%[2]s %[4]d
    %[1]s%[2]s %[5]d
  Take it down:
    %[1]skill -9 %[3]d %[4]d %[5]d; %[1]srm -r %[7]s
`, sudo, enter, one, two, c, l.self, l.net.Dir())
}
