package run

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"lessor/internal/client/setup"
	"lessor/internal/link"
	"lessor/internal/local"
	"lessor/internal/wire"
)

// stopWithin is how long the worker may take to end, and the host to be as it was.
const stopWithin = 4 * time.Second

// parent is the privileged process. It does what the worker asks for, one request at a
// time and each checked, on the one interface that the user named.
type parent struct {
	p      *Process
	kernel *link.Kernel
	host   *setup.Host // nil for Process.Instead
	pipe   *pipe
	saver  saver
	link   wire.LinkID // that the sockets were last opened on
	leave  bool
}

// serve is Main in the parent.
func serve(ctx context.Context, p *Process) (err error) {
	w := &parent{p: p, kernel: link.NewKernel()}
	var control *net.UnixListener
	if p.Control != "" {
		if control, err = listenControl(p); err != nil {
			return err
		}
		defer control.Close() // removes the socket
	}
	cmd, err := w.start(control)
	if err != nil {
		return err
	}
	// The worker takes some milliseconds to begin; meanwhile the host is looked at.
	if p.Instead == nil {
		w.host, err = setup.Open(p.Interface, p.Setup, w.warn)
	}
	if err == nil {
		err = w.pipe.write(&message{Hello: &hello{UID: os.Geteuid(), Control: control != nil}})
	}
	if err != nil {
		w.pipe.conn.Close() // the worker ends
		cmd.Wait()
		return errors.Join(err, w.close(false))
	}
	stopped := context.AfterFunc(ctx, func() { w.pipe.write(&message{Stop: true}) })
	err = w.requests()
	stopped()
	w.pipe.conn.Close()
	ended := outcome(wait(cmd))
	err = errors.Join(err, w.close(ended == nil && w.leave))
	if _, told := errors.AsType[*Exit](ended); told && err != nil {
		return err // the worker's own trouble is on the screen already
	}
	return errors.Join(ended, err)
}

func listenControl(p *Process) (*net.UnixListener, error) {
	l, err := local.Listen(p.Control)
	if errors.Is(err, local.ErrInUse) {
		return nil, fmt.Errorf("%w: a client of %s already runs (%s)", ErrControlInUse, p.Interface, p.Control)
	}
	return l, err
}

// start starts the worker.
func (w *parent) start(control *net.UnixListener) (*exec.Cmd, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, os.NewSyscallError("socketpair", err)
	}
	mine, its := os.NewFile(uintptr(fds[0]), "parent"), os.NewFile(uintptr(fds[1]), "worker")
	defer its.Close()
	if w.pipe, err = newPipe(mine, false); err != nil {
		return nil, err
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Args = os.Args
	cmd.Env = append(os.Environ(), workerMark+"=1")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.ExtraFiles = []*os.File{its}
	if control != nil {
		f, err := control.File()
		if err != nil {
			w.pipe.conn.Close()
			return nil, err
		}
		defer f.Close()
		cmd.ExtraFiles = append(cmd.ExtraFiles, f)
	}
	if err := startWithout(cmd); err != nil {
		w.pipe.conn.Close()
		return nil, fmt.Errorf("the part of the client that reads packets cannot be started: %w", err)
	}
	return cmd, nil
}

// warn passes on what the host has to say; the worker knows how the user wants it.
func (w *parent) warn(text string) {
	if w.pipe.write(&message{Note: text}) != nil {
		fmt.Fprintln(os.Stderr, "lessor:", text)
	}
}

// requests answers the worker until it ends. A request that is no request ends it.
func (w *parent) requests() error {
	for {
		var q request
		_, err := w.pipe.read(&q)
		if err == nil {
			err = q.check()
		}
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, net.ErrClosed):
			return nil
		case err != nil:
			return fmt.Errorf("the part of the client that reads packets sent %w; it is ended", err)
		}
		var m message
		files, err := w.do(&q, &m)
		m.Error = newFailure(err)
		err = w.pipe.write(&m, files...)
		closeFiles(files)
		if err != nil && !errors.Is(err, unix.EPIPE) && !errors.Is(err, unix.ECONNRESET) {
			return fmt.Errorf("answering the part of the client that reads packets: %w", err)
		}
	}
}

// do does one request and fills in its answer.
func (w *parent) do(q *request, m *message) (files []*os.File, err error) {
	if q.Op == opOpen {
		m.Link, files, err = w.open(q.Link)
		return files, err
	}
	if w.host == nil {
		return nil, errors.New("nothing is to be changed on this host")
	}
	switch q.Op {
	case opUp:
		err = w.host.Up()
	case opApply:
		if err = q.Config.Check(); err != nil {
			return nil, err
		}
		if err = w.host.Apply(q.Config); err == nil && w.p.Applied != nil {
			w.p.Applied(q.Config)
		}
	case opClear:
		if err = w.host.Clear(); err == nil && w.p.Applied != nil {
			w.p.Applied(nil)
		}
	case opRead:
		if m.Leases, err = w.host.ReadLeases(); len(m.Leases) > MaxLeaseFile {
			m.Leases, err = nil, fmt.Errorf("it has %d octets, and none of this program has more than %d", len(m.Leases), MaxLeaseFile)
		}
	case opWrite:
		if len(q.Leases) > MaxLeaseFile || !json.Valid(q.Leases) {
			return nil, errors.New("what is to be written is no lease file")
		}
		w.saver.put(q.Leases, w.host.WriteLeases, w.warn)
	case opHook:
		q.Hook.Interface = w.p.Interface
		w.host.Hook(q.Hook)
	case opLeave:
		w.leave = true
	}
	return nil, err
}

// open opens the sockets of the interface: of the one that has the name that the user
// gave, or, after a rename, of the one that had it before. What the worker says of it does not
// count.
func (w *parent) open(id wire.LinkID) (*wire.Link, []*os.File, error) {
	i, err := net.InterfaceByIndex(int(id))
	if err != nil || len(i.HardwareAddr) != 6 || i.Name != w.p.Interface && id != w.link {
		return nil, nil, fmt.Errorf("open %s: %w", w.p.Interface, link.ErrDown)
	}
	l := &wire.Link{ID: id, Name: i.Name, MAC: wire.MAC(i.HardwareAddr), MTU: i.MTU}
	files, err := w.kernel.OpenClientFiles(*l)
	if err != nil {
		return nil, nil, err
	}
	w.link = id
	return l, files, nil
}

// close ends what was done on the host.
func (w *parent) close(leave bool) error {
	if w.host == nil {
		return nil
	}
	defer w.saver.close() // after the address is gone
	if err := w.host.Close(leave); err != nil {
		return fmt.Errorf("%s is not as it was before: %w", w.p.Interface, err)
	}
	return nil
}

// wait waits until the worker has ended, and kills it when it does not. Its socket is closed
// then, so that one that cannot be killed, for want of CAP_KILL, is harmless at least.
func wait(cmd *exec.Cmd) error {
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case err := <-ended:
		return err
	case <-time.After(stopWithin):
	}
	if err := cmd.Process.Kill(); err != nil {
		return fmt.Errorf("the part of the client that reads packets (pid %d) does not end: %w", cmd.Process.Pid, err)
	}
	return <-ended
}

// outcome is the error of the end of the worker: an *Exit when it has told the user itself.
func outcome(ended error) error {
	if ended == nil {
		return nil
	}
	e, ok := errors.AsType[*exec.ExitError](ended)
	if !ok {
		return ended
	}
	if s, ok := e.Sys().(syscall.WaitStatus); ok && s.Signaled() {
		return fmt.Errorf("the part of the client that reads packets was ended by a signal (%v); what it had put on the interface is taken off", s.Signal())
	}
	return &Exit{Code: e.ExitCode()}
}
