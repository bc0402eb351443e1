// Package local is how programs of this machine ask a daemon of ours: JSON over HTTP
// on a Unix socket that only its own user can open. What is asked is the affair of
// others; here are the socket, its limits and the form of errors.
package local

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// ErrInUse is wrapped by Listen's error when a program listens on the socket.
var ErrInUse = errors.New("the control socket belongs to a running program")

// Listen makes the socket path for this user alone (mode 0600), and its directory
// if that is missing. A socket that a dead daemon left behind is replaced; a file of
// any other kind is somebody's and stays.
func Listen(path string) (*net.UnixListener, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("cannot make the directory of the control socket: %w", err)
	}
	at := &net.UnixAddr{Name: path, Net: "unix"}
	l, err := net.ListenUnix("unix", at)
	if errors.Is(err, syscall.EADDRINUSE) {
		if c, derr := net.DialTimeout("unix", path, time.Second); derr == nil {
			c.Close()
			return nil, fmt.Errorf("%w: %s", ErrInUse, path)
		}
		if st, serr := os.Lstat(path); serr == nil && st.Mode().Type() != os.ModeSocket {
			return nil, fmt.Errorf("%s is there and is no socket: remove it, or choose another --control", path)
		}
		if err := os.Remove(path); err != nil {
			return nil, fmt.Errorf("cannot replace the control socket of a daemon that is gone: %w", err)
		}
		l, err = net.ListenUnix("unix", at)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot make the control socket: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil { // also where the umask is not ours
		l.Close()
		return nil, err
	}
	return l, nil
}

// Limits of one question; the socket is for people and scripts of one machine.
const (
	MaxConns   = 32
	MaxBody    = 64 << 10 // of one line of an answer, as the asker reads it
	maxHeader  = 64 << 10
	idleAfter  = 30 * time.Second
	headerTime = 5 * time.Second
)

// Serve answers on l, which it closes in the end, until the server is closed.
func Serve(l net.Listener, h http.Handler) *http.Server {
	s := &http.Server{Handler: Bodiless(h), ReadHeaderTimeout: headerTime, IdleTimeout: idleAfter, MaxHeaderBytes: maxHeader}
	go s.Serve(&limited{Listener: l, slots: make(chan struct{}, MaxConns)})
	return s
}

// Bodiless refuses questions with a body: none needs one, and waiting for one that
// never comes would hold a connection for good. A deadline for the whole question
// cannot be used instead, since it would also end a long list half-way.
func Bodiless(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength == 0 {
			next.ServeHTTP(w, r)
			return
		}
		http.NewResponseController(w).SetReadDeadline(time.Now()) // or the answer waits for the body
		w.Header().Set("Connection", "close")
		Refuse(w, http.StatusBadRequest, errors.New("no question has a body"))
	})
}

// limited is a listener with a bound on open connections.
type limited struct {
	net.Listener
	slots chan struct{}
}

type slot struct {
	net.Conn
	once  sync.Once
	slots chan struct{}
}

func (l *limited) Accept() (net.Conn, error) {
	l.slots <- struct{}{}
	c, err := l.Listener.Accept()
	if err != nil {
		<-l.slots
		return nil, err
	}
	return &slot{Conn: c, slots: l.slots}, nil
}

func (c *slot) Close() error {
	c.once.Do(func() { <-c.slots })
	return c.Conn.Close()
}

// Problem is the body of an answer that is no success, and the error that a Client
// makes of it.
type Problem struct {
	Code int    `json:"-"` // of HTTP
	Text string `json:"error"`
}

// Error is the daemon's text.
func (p *Problem) Error() string { return p.Text }

// Refuse answers with an error.
func Refuse(w http.ResponseWriter, code int, err error) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	json.NewEncoder(w).Encode(Problem{Text: err.Error()}) // the asker may be gone
}

// Answer answers with v.
func Answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(v)
}
