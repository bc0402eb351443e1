package netlab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Spec says what to start and how.
type Spec struct {
	Args []string // the program and its arguments
	Env  []string // added to the environment
	Dir  string

	// PIDNamespace makes the program process 1 of a process namespace of its own: when
	// it ends, everything that it started is killed too. A signal for which it has no
	// handler, other than SIGKILL, does not reach it then.
	PIDNamespace bool

	// Guard is PIDNamespace with a shell as process 1, to which alone signals go. It is for
	// programs that change their user or capabilities: the kernel then forgets that they are to be killed
	// when this process ends, but not that of the shell.
	Guard bool

	// Stay lets the program go on when this process ends; Lab.Close still kills it, Lab.Leave
	// does not. Its output must go to a file, LogFile.
	Stay bool

	// Hold are other hosts whose network namespaces the program keeps alive, as open
	// files that it knows nothing of: after Leave a host without a program needs one.
	Hold []*Host

	// LogFile takes the output in place of Proc.Output and OnLine. May be empty.
	LogFile string

	// OnLine is called with each line of output, by one goroutine. May be nil.
	OnLine func(line string)
}

// Proc is a program running on a host. Its methods may be called by any goroutine.
type Proc struct {
	Name string
	cmd  *exec.Cmd
	out  output
	done chan struct{}
	err  error // valid after done
}

// Start starts a program on the host. Closing the lab kills it.
func (h *Host) Start(s Spec) (*Proc, error) {
	p := &Proc{Name: s.Args[0], done: make(chan struct{})}
	p.out.onLine = s.OnLine
	err := h.Do(func() error {
		args := s.Args
		if s.Guard {
			args = append([]string{"/bin/sh", "-c", `"$@" & wait $!`, "sh"}, args...)
		}
		p.cmd = exec.Command(args[0], args[1:]...)
		p.cmd.Env = append(os.Environ(), s.Env...)
		p.cmd.Dir = s.Dir
		p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.out
		if s.LogFile != "" {
			log, err := os.OpenFile(s.LogFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
			if err != nil {
				return err
			}
			defer log.Close() // the program has its own
			p.cmd.Stdout, p.cmd.Stderr = log, log
		}
		p.cmd.WaitDelay = time.Second // a grandchild may hold the pipe
		attr := &syscall.SysProcAttr{Setpgid: true}
		if !s.Stay {
			attr.Pdeathsig = syscall.SIGKILL
		}
		if s.PIDNamespace || s.Guard {
			attr.Cloneflags = syscall.CLONE_NEWPID
		}
		p.cmd.SysProcAttr = attr
		for _, held := range s.Hold {
			ns, err := os.Open(fmt.Sprintf("/proc/self/fd/%d", held.ns))
			if err != nil {
				return fmt.Errorf("hold the network of %s: %w", held.Name, err)
			}
			defer ns.Close()
			p.cmd.ExtraFiles = append(p.cmd.ExtraFiles, ns)
		}
		return p.cmd.Start()
	})
	if err != nil {
		return nil, fmt.Errorf("start %s on %s: %w", s.Args[0], h.Name, err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	h.mu.Lock()
	h.procs = append(h.procs, p)
	h.mu.Unlock()
	return p, nil
}

// Run runs a program on the host to its end and returns its output. An exit code
// other than 0 is an error that holds the output.
func (h *Host) Run(ctx context.Context, args ...string) (string, error) {
	p, err := h.Start(Spec{Args: args})
	if err != nil {
		return "", err
	}
	select {
	case <-p.done:
	case <-ctx.Done():
		p.Kill()
		return p.Output(), fmt.Errorf("%s on %s: %w", strings.Join(args, " "), h.Name, ctx.Err())
	}
	if p.err != nil {
		return p.Output(), fmt.Errorf("%s on %s: %w: %s", strings.Join(args, " "), h.Name, p.err, p.Output())
	}
	return p.Output(), nil
}

// PID is the process id as seen from outside.
func (p *Proc) PID() int { return p.cmd.Process.Pid }

// Signal sends a signal to the program alone.
func (p *Proc) Signal(sig os.Signal) error { return p.cmd.Process.Signal(sig) }

// Kill ends the program by SIGKILL, with its process group, and waits until it is gone.
func (p *Proc) Kill() {
	select {
	case <-p.done:
		return
	default:
	}
	_ = syscall.Kill(-p.PID(), syscall.SIGKILL)
	_ = p.cmd.Process.Kill()
	<-p.done
}

// Stop sends SIGTERM and waits; what has not ended after the timeout is killed, and
// that is an error. The program's own exit error is returned otherwise.
func (p *Proc) Stop(timeout time.Duration) error {
	if err := p.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	if err, ended := p.Wait(timeout); ended {
		return err
	}
	p.Kill()
	return fmt.Errorf("%s did not end within %s after SIGTERM and was killed", p.Name, timeout)
}

// Wait waits for the program to end; ended is false when the timeout passed first.
func (p *Proc) Wait(timeout time.Duration) (err error, ended bool) {
	select {
	case <-p.done: // also when the timeout is zero
		return p.err, true
	default:
	}
	select {
	case <-p.done:
		return p.err, true
	case <-time.After(timeout):
		return nil, false
	}
}

// Done is closed when the program has ended.
func (p *Proc) Done() <-chan struct{} { return p.done }

// Output is what the program has written so far, standard output and error together.
func (p *Proc) Output() string { return p.out.String() }

// WaitOutput waits until the output contains text.
func (p *Proc) WaitOutput(text string, timeout time.Duration) error {
	for end := time.Now().Add(timeout); ; time.Sleep(5 * time.Millisecond) {
		if strings.Contains(p.Output(), text) {
			return nil
		}
		_, ended := p.Wait(0)
		if ended && strings.Contains(p.Output(), text) {
			return nil
		}
		if ended || time.Now().After(end) {
			return fmt.Errorf("%s never wrote %q (ended: %t); its output:\n%s", p.Name, text, ended, p.Output())
		}
	}
}

// output keeps everything written to it, up to a bound, and passes lines on.
type output struct {
	onLine func(string)

	mu   sync.Mutex
	buf  []byte
	part []byte // the line that has begun
}

const maxOutput = 8 << 20

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.buf) < maxOutput {
		o.buf = append(o.buf, b...)
	}
	if o.onLine == nil {
		return len(b), nil
	}
	o.part = append(o.part, b...)
	for {
		line, rest, found := bytes.Cut(o.part, []byte("\n"))
		if !found {
			return len(b), nil
		}
		o.onLine(string(line))
		o.part = append(o.part[:0], rest...)
	}
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return string(o.buf)
}
