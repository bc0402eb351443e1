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

// labConfig is what the lab's server serves: leases of 20 s and the smallest grace
// that such leases allow.
const labConfig = `interfaces: [eth0]
valid-lifetime: 20s
lease-grace: 2s
subnets:
  - subnet: 198.18.0.0/24
    pools: [%s]
    options: {domain-name-servers: 198.18.0.53, domain-name: lab.example}
`

const (
	labFirst  = "198.18.0.100-198.18.0.149"
	labSecond = "198.18.0.200-198.18.0.249"
	labLimit  = 58 * time.Second // the whole of it
)

// lab is the network of two machines, and the story told on it.
type lab struct {
	net            *netlab.Lab
	server, client *netlab.Host
	serve          *netlab.Proc
	dhclient       *netlab.Client
	capture        *netlab.Capture
	line           timeline
	keep           bool
	self           string // path of this program

	mark    int        // frames before it have been printed
	addr    netip.Addr // what the client's interface has
	pending netip.Addr // acknowledged, and not yet seen on the interface
	acks    int
	logged  int // length of the server's log before its last start
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
	if l.server, err = l.net.Host("server"); err != nil {
		return err
	}
	if l.client, err = l.net.Host("client"); err != nil {
		return err
	}
	if err = l.net.Wire(l.server, "eth0", l.client, "eth0"); err != nil {
		return err
	}
	if err = l.server.AddAddr("eth0", "198.18.0.1/24"); err != nil {
		return err
	}
	l.capture, err = l.server.Capture("eth0")
	l.line.client = l.client.MAC("eth0")
	l.dhclient = l.client.Client(netlab.Dhclient, "eth0")
	l.dhclient.Stay, l.dhclient.LogFile = l.keep, l.file("dhclient.log")
	return err
}

func (l *lab) file(name string) string { return filepath.Join(l.net.Dir(), name) }

// startServer starts this same program as the server and waits until it listens.
func (l *lab) startServer(ctx context.Context) (err error) {
	l.logged = len(l.log("lessor.log"))
	l.serve, err = l.server.Start(netlab.Spec{
		Args: []string{l.self, "serve", "--config", l.file("lessor.yaml"), "--state", l.file("state"), "--log-format", "text"},
		Env:  []string{"LESSOR_COLOR=never"},
		Stay: l.keep, LogFile: l.file("lessor.log"),
	})
	if err != nil {
		return err
	}
	return l.until(ctx, func() bool { return strings.Contains(l.log("lessor.log")[l.logged:], "LINK_READY") })
}

func (l *lab) configure(pool string) error {
	return os.WriteFile(l.file("lessor.yaml"), fmt.Appendf(nil, labConfig, pool), 0o644)
}

func (l *lab) log(name string) string {
	b, _ := os.ReadFile(l.file(name))
	return string(b)
}

// story is what happens, step by step; each waits for the one before to be seen.
func (l *lab) story(ctx context.Context) error {
	if err := l.configure(labFirst); err != nil {
		return err
	}
	l.line.start = time.Now()
	l.line.header()
	l.line.lab(time.Now(), "lessor serves %s, leases of 20 s", labFirst)
	if err := l.startServer(ctx); err != nil {
		return err
	}
	began := time.Now()
	if err := l.dhclient.Start(); err != nil {
		return err
	}
	if err := l.until(ctx, l.in(labFirst)); err != nil {
		return err
	}
	first, took := l.addr, time.Since(began)

	acks := l.acks
	if err := l.until(ctx, func() bool { return l.acks > acks }); err != nil {
		return err
	}
	if err := l.configure(labSecond); err != nil {
		return err
	}
	l.line.lab(time.Now(), "the pool becomes %s (SIGHUP)", labSecond)
	if err := l.serve.Signal(syscall.SIGHUP); err != nil {
		return err
	}
	if err := l.until(ctx, l.in(labSecond)); err != nil {
		return err
	}
	second := l.addr
	l.line.lab(time.Now(), "lessor is killed (SIGKILL) and says no good-bye")
	l.serve.Kill()
	l.serve = nil
	if err := l.until(ctx, func() bool { return !l.addr.IsValid() }); err != nil {
		return err
	}
	l.line.lab(time.Now(), "lessor starts again and reads its store")
	if err := l.startServer(ctx); err != nil {
		return err
	}
	if err := l.until(ctx, l.in(labSecond)); err != nil {
		return err
	}
	l.summary(took, first, second)
	if l.addr != second {
		return exitf(ExitBad, "the client had %s before the server was killed and has %s now", second, l.addr)
	}
	return nil
}

// in is true once the client is bound to an address of the pool.
func (l *lab) in(pool string) func() bool {
	from, to, _ := strings.Cut(pool, "-")
	r := dhcp4.Range{First: dhcp4.MustParseAddr(from), Last: dhcp4.MustParseAddr(to)}
	return func() bool {
		a, ok := dhcp4.AddrFromNetip(l.addr)
		return ok && r.Contains(a) && l.line.state == "BOUND"
	}
}

// until prints what happens until done says yes.
func (l *lab) until(ctx context.Context, done func() bool) error {
	tick := time.NewTicker(10 * time.Millisecond)
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
	if l.serve != nil {
		if err, ended := l.serve.Wait(0); ended {
			return fmt.Errorf("the server ended (%v); it wrote:\n%s", err, l.log("lessor.log"))
		}
	}
	if p := l.dhclient.Proc(); p != nil {
		if err, ended := p.Wait(0); ended {
			return fmt.Errorf("dhclient ended (%v); it wrote:\n%s", err, l.log("dhclient.log"))
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
		l.pending = netip.Addr{}
		if ok && v.MessageType() == dhcp4.Ack {
			l.acks++
			l.pending = v.YIAddr().Netip()
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

func (l *lab) summary(took time.Duration, first, second netip.Addr) {
	w, on := l.line.w, l.line.color
	row := func(format string, args ...any) {
		fmt.Fprintf(w, "  %s %s\n", paint(on, good, "✓"), fmt.Sprintf(format, args...))
	}
	fmt.Fprintln(w)
	row("dhclient started, and had %s %d ms later", first, took.Milliseconds())
	row("it renewed that lease at half of its time, by unicast")
	row("it was refused when the range had moved, and got %s", second)
	row("it lost that when no server answered until the end of the lease")
	row("it got %s again from the server's store, after SIGKILL", l.addr)
	fmt.Fprintf(w, "\n  %d DHCP messages in %d s. Nothing outside of the lab was touched.\n", l.line.messages, int(time.Since(l.line.start).Seconds()))
}

// tooLong says what was being waited for when the time was over.
func (l *lab) tooLong() error {
	return &ExitError{Code: ExitBad, Err: fmt.Errorf("the story did not end within %s: dhclient is in state %s with address %s", labLimit, l.line.state, l.addr),
		Hint: fmt.Sprintf("dhclient wrote:\n%s\nlessor wrote:\n%s", l.log("dhclient.log"), l.log("lessor.log"))}
}

func (l *lab) sayHowToEnter() {
	enter, sudo := "nsenter -n -m -t", "sudo "
	if os.Getenv(labInside) != "" {
		enter, sudo = "nsenter -U --preserve-credentials -n -m -t", ""
	}
	s, c := l.serve.PID(), l.dhclient.Proc().PID()
	fmt.Fprintf(l.line.w, `
  The network stays, and both programs run on in it. Their logs are in %[6]s.
  Who has which address:
    %[1]s%[2]s %[3]d %[4]s leases
  Enter the server's machine, the client's machine:
    %[1]s%[2]s %[3]d
    %[1]s%[2]s %[5]d
  Take it down:
    %[1]skill -9 %[3]d %[5]d; %[1]srm -r %[6]s
`, sudo, enter, s, l.self, c, l.net.Dir())
}
