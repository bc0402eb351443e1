package netlab

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"
)

// Notify is the socket on which a program that was started with NOTIFY_SOCKET says
// how it is (sd_notify). One goroutine may wait at a time.
type Notify struct {
	Path string
	conn *net.UnixConn
}

// ListenNotify makes the socket anew at path, writable by every user.
func ListenNotify(path string) (*Notify, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o777); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return &Notify{Path: path, conn: c}, nil
}

// Env is what goes to the program's environment.
func (n *Notify) Env() string { return "NOTIFY_SOCKET=" + n.Path }

// Close removes the socket.
func (n *Notify) Close() error { return n.conn.Close() }

// Await waits until p says line, such as READY=1. It fails when p ends before, and
// after the timeout.
func (n *Notify) Await(p *Proc, line string, timeout time.Duration) error {
	buf := make([]byte, 4096)
	for end := time.Now().Add(timeout); ; {
		if err := n.conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
			return err
		}
		got, err := n.conn.Read(buf)
		switch {
		case err == nil:
			for l := range strings.Lines(string(buf[:got])) {
				if strings.TrimSpace(l) == line {
					return nil
				}
			}
		case !errors.Is(err, os.ErrDeadlineExceeded):
			return err
		}
		if err, ended := p.Wait(0); ended {
			return fmt.Errorf("%s ended before it said %s: %w:\n%s", p.Name, line, err, tail(p.Output(), 4000))
		}
		if time.Now().After(end) {
			return fmt.Errorf("%s did not say %s within %s:\n%s", p.Name, line, timeout, tail(p.Output(), 4000))
		}
	}
}
