package run

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"lessor/internal/client/setup"
	"lessor/internal/clock"
	"lessor/internal/link"
	"lessor/internal/wire"
)

// Descriptors that a worker finds open.
const (
	pipeFD    = 3
	controlFD = 4
)

// errParentGone ends a worker whose parent has ended: nobody can configure the interface
// any more. The kernel takes the address off when its lifetime is over.
var errParentGone = errors.New("the privileged part of the client has ended; the address stays until its lifetime in the kernel is over")

// work is Main in the worker.
func work(ctx context.Context, p *Process) error {
	pipe, err := newPipe(os.NewFile(pipeFD, "parent"), true)
	if err != nil {
		return fmt.Errorf("%s is set, but this process was not started by a client: unset it (%w)", workerMark, err)
	}
	defer pipe.conn.Close()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	h := &peer{pipe: pipe, answers: make(chan answered), gone: make(chan struct{}), notes: make(chan string, 64), stop: func() { cancel(nil) }}
	times, err := clock.New() // reads a file
	if err != nil {
		return err
	}
	_, _ = time.Now().Zone() // reads the time zone
	// It was started as /proc/self/exe, which would stand in lists of processes and in what others
	// say of who holds port 68.
	_ = os.WriteFile("/proc/self/comm", []byte("lessor"), 0)
	n := &peerNet{Kernel: link.NewKernel(), peer: h}
	if err := confine(); err != nil {
		return err
	}
	first, err := h.hello()
	if err != nil {
		return err
	}
	go h.read(func() { cancel(errParentGone) })
	if p.Instead != nil {
		err = p.Instead(ctx, n)
	} else {
		err = h.run(ctx, p, n, times, first)
	}
	if context.Cause(ctx) == errParentGone {
		return errParentGone
	}
	return err
}

// run runs the client and its control socket.
func (h *peer) run(ctx context.Context, p *Process, n *peerNet, times clock.Clock, first *hello) error {
	o := Options{Interface: p.Interface, Client: p.Client, Net: n, Host: h, Clock: times, Once: p.Once}
	if _, err := rand.Read(o.Secret[:]); err != nil {
		return err
	}
	stream := newStream()
	o.Report = func(r *Report) {
		if h.over.Load() {
			return // what cannot be done any more for want of a parent is not worth a word each
		}
		stream.put(r)
		p.Report(r)
	}
	r, err := New(o)
	if err != nil {
		return err
	}
	go h.say(r)
	if first.Control {
		file := os.NewFile(controlFD, "control")
		l, err := net.FileListener(file)
		file.Close()
		if err != nil {
			return fmt.Errorf("the control socket: %w", err)
		}
		s := newServer(l, r, stream, first.UID)
		defer s.close()
	}
	err = r.Run(ctx)
	stream.close()
	if err == nil && p.Once {
		_, _, err = h.ask(&request{Op: opLeave})
	}
	return err
}

// peer is the parent as the worker sees it: a Host, and whence the sockets come.
type peer struct {
	pipe    *pipe
	answers chan answered
	gone    chan struct{} // closed when the parent has ended
	over    atomic.Bool   // the same
	notes   chan string
	stop    func()
}

type answered struct {
	m     message
	files []*os.File
}

// hello waits for the parent's first word. What it has to say of the host may come before.
func (h *peer) hello() (*hello, error) {
	for {
		var m message
		files, err := h.pipe.read(&m)
		closeFiles(files)
		switch {
		case err == nil && m.Hello != nil:
			return m.Hello, nil
		case err == nil && m.Stop:
			h.stop()
		case err == nil && m.Note != "":
			h.note(m.Note)
		default:
			return nil, &Exit{Code: 1} // the parent says why it did not go on
		}
	}
}

// note keeps a note for say; nobody can want to read more at once than there is room for.
func (h *peer) note(text string) {
	select {
	case h.notes <- text:
	default:
	}
}

// read takes what the parent sends until it ends.
func (h *peer) read(ended func()) {
	defer close(h.gone)
	for {
		var a answered
		var err error
		a.files, err = h.pipe.read(&a.m)
		switch {
		case err != nil:
			closeFiles(a.files)
			if !errors.Is(err, net.ErrClosed) {
				h.over.Store(true)
				ended()
			}
			return
		case a.m.asked():
			h.answers <- a
		case a.m.Stop:
			h.stop()
		case a.m.Note != "":
			h.note(a.m.Note)
		}
	}
}

// say reports the parent's notes.
func (h *peer) say(r *Runner) {
	for {
		select {
		case text := <-h.notes:
			r.do(func(l *loop) error {
				l.report.note(l, l.o.Clock.Now(), "host", text)
				return nil
			})
		case <-h.gone:
			return
		case <-r.ended:
			return
		}
	}
}

// ask sends a request and waits for its answer. It is called by one goroutine at a time.
func (h *peer) ask(q *request) (*message, []*os.File, error) {
	if err := h.pipe.write(q); err != nil {
		if errors.Is(err, unix.EPIPE) || errors.Is(err, unix.ECONNRESET) {
			err = errParentGone
		}
		return nil, nil, err
	}
	select {
	case a := <-h.answers:
		return &a.m, a.files, a.m.Error.err()
	case <-h.gone:
		return nil, nil, errParentGone
	}
}

func (h *peer) do(q *request) error {
	_, files, err := h.ask(q)
	closeFiles(files)
	return err
}

func (h *peer) Up() error                   { return h.do(&request{Op: opUp}) }
func (h *peer) Apply(c *setup.Config) error { return h.do(&request{Op: opApply, Config: c}) }
func (h *peer) Clear() error                { return h.do(&request{Op: opClear}) }
func (h *peer) WriteLeases(b []byte) error  { return h.do(&request{Op: opWrite, Leases: b}) }

func (h *peer) ReadLeases() ([]byte, error) {
	m, files, err := h.ask(&request{Op: opRead})
	closeFiles(files)
	if err != nil {
		return nil, err
	}
	return m.Leases, nil
}

// Hook does not wait for the program. That the parent cannot be asked shows at the next
// request that matters.
func (h *peer) Hook(e *setup.HookEvent) { _ = h.do(&request{Op: opHook, Hook: e}) }

// peerNet is the kernel's links, whose sockets the parent opens.
type peerNet struct {
	*link.Kernel
	peer *peer
}

// OpenClient implements link.ClientNet.
func (n *peerNet) OpenClient(l wire.Link) (link.ClientPort, error) {
	m, files, err := n.peer.ask(&request{Op: opOpen, Link: l.ID})
	if err != nil {
		closeFiles(files)
		return nil, err
	}
	if m.Link == nil || m.Link.ID != l.ID || m.Link.MAC != l.MAC || m.Link.MTU != l.MTU {
		closeFiles(files)
		return nil, fmt.Errorf("open %s: it changes just now: %w", l.Name, link.ErrDown)
	}
	return n.Kernel.ClientPort(l, files)
}
