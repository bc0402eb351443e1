package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"lessor/dhcp4"
	"lessor/internal/engine"
	"lessor/internal/lease"
)

// ErrInUse is wrapped by Listen's error when another server listens on the socket.
var ErrInUse = errors.New("the control socket belongs to a running server")

// Info is what the server knows of itself and the engine does not.
type Info struct {
	Version string
	Config  string
	Store   string
}

// Server answers on a control socket.
type Server struct {
	e    *engine.Engine
	info func() Info
	http http.Server
	path string
	l    net.Listener
}

// Listen makes the socket path for this user alone (mode 0600), and its directory
// if that is missing. A socket that a dead server left behind is replaced; a file of
// any other kind is somebody's and stays.
func Listen(path string) (net.Listener, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("cannot make the directory of the control socket: %w", err)
	}
	l, err := net.Listen("unix", path)
	if errors.Is(err, syscall.EADDRINUSE) {
		if c, derr := net.DialTimeout("unix", path, time.Second); derr == nil {
			c.Close()
			return nil, fmt.Errorf("%w: %s: stop it, or give this one another --control socket", ErrInUse, path)
		}
		if st, serr := os.Lstat(path); serr == nil && st.Mode().Type() != os.ModeSocket {
			return nil, fmt.Errorf("%s is there and is no socket: remove it, or choose another --control", path)
		}
		if err := os.Remove(path); err != nil {
			return nil, fmt.Errorf("cannot replace the control socket of a server that is gone: %w", err)
		}
		l, err = net.Listen("unix", path)
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
	maxConns   = 32
	maxHeader  = 64 << 10
	maxBody    = 64 << 10 // of one line of an answer, as the asker reads it
	idleAfter  = 30 * time.Second
	headerTime = 5 * time.Second
)

// Serve answers on l until Close.
func Serve(l net.Listener, e *engine.Engine, info func() Info) *Server {
	s := &Server{e: e, info: info, path: l.Addr().String(), l: &limited{Listener: l, slots: make(chan struct{}, maxConns)}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/leases", s.leases)
	mux.HandleFunc("GET /v1/leases/{address}", s.lease)
	mux.HandleFunc("POST /v1/leases/{address}/release", s.release)
	mux.HandleFunc("GET /v1/history", s.history)
	mux.HandleFunc("GET /v1/status", s.status)
	s.http = http.Server{Handler: bodiless(mux), ReadHeaderTimeout: headerTime, IdleTimeout: idleAfter, MaxHeaderBytes: maxHeader}
	go s.http.Serve(s.l)
	return s
}

// bodiless refuses questions with a body: none needs one, and waiting for one that
// never comes would hold a connection for good. A deadline for the whole question
// cannot be used instead, since it would also end a long list half-way.
func bodiless(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength == 0 {
			next.ServeHTTP(w, r)
			return
		}
		http.NewResponseController(w).SetReadDeadline(time.Now()) // or the answer waits for the body
		w.Header().Set("Connection", "close")
		refuse(w, http.StatusBadRequest, errors.New("no question has a body"))
	})
}

// Close ends all questions under way and removes the socket.
func (s *Server) Close() error { return s.http.Close() }

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

// problem is the body of an answer that is no success.
type problem struct {
	Error string `json:"error"`
}

func refuse(w http.ResponseWriter, code int, err error) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	json.NewEncoder(w).Encode(problem{err.Error()}) // the asker may be gone
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(v)
}

// leases streams the chosen leases, one JSON object a line.
func (s *Server) leases(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	f := Filter{Parts: q["part"], Subnet: q.Get("subnet"), State: q.Get("state")}
	p := s.e.Policy()
	w.Header().Set("Content-Type", "application/jsonl")
	enc := json.NewEncoder(w)
	err := s.e.Leases(r.Context(), func(now lease.Instant, b *lease.Binding) error {
		l := FromBinding(b, now, p)
		if !f.Match(&l) {
			return nil
		}
		return enc.Encode(&l)
	})
	if err != nil {
		enc.Encode(problem{err.Error()})
	}
}

func (s *Server) find(w http.ResponseWriter, r *http.Request) (l Lease, ok bool) {
	a, err := dhcp4.ParseAddr(r.PathValue("address"))
	if err != nil {
		refuse(w, http.StatusBadRequest, err)
		return l, false
	}
	b, now, ok, err := s.e.Lease(r.Context(), a)
	switch {
	case err != nil:
		refuse(w, http.StatusServiceUnavailable, err)
	case !ok:
		refuse(w, http.StatusNotFound, fmt.Errorf("there is no lease of %s", a))
	default:
		return FromBinding(&b, now, s.e.Policy()), true
	}
	return l, false
}

func (s *Server) lease(w http.ResponseWriter, r *http.Request) {
	if l, ok := s.find(w, r); ok {
		answer(w, &l)
	}
}

func (s *Server) release(w http.ResponseWriter, r *http.Request) {
	l, ok := s.find(w, r)
	if !ok {
		return
	}
	if err := s.e.Release(r.Context(), l.Address, r.URL.Query().Get("now") == "true"); err != nil {
		refuse(w, http.StatusConflict, err)
		return
	}
	s.lease(w, r)
}

func (s *Server) history(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	span, err := parseSpan(q.Get("from"), q.Get("to"))
	if err != nil {
		refuse(w, http.StatusBadRequest, err)
		return
	}
	list, err := History(r.Context(), s.e.History(), s.e.Leases, ParseWho(q.Get("who")), span)
	if err != nil {
		refuse(w, http.StatusServiceUnavailable, err)
		return
	}
	if list == nil {
		list = []Possession{}
	}
	answer(w, list)
}

func parseSpan(from, to string) (s Span, err error) {
	for _, f := range []struct {
		text string
		t    *time.Time
	}{{from, &s.From}, {to, &s.To}} {
		if f.text != "" {
			if *f.t, err = time.Parse(time.RFC3339Nano, f.text); err != nil {
				return s, err
			}
		}
	}
	return s, nil
}

func (s *Server) status(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
	defer cancel()
	st, err := s.e.Status(ctx)
	if err != nil {
		st.Problems = append(st.Problems, strings.ReplaceAll(err.Error(), "\n", ": "))
	}
	o := FromStatus(&st)
	i := s.info()
	o.Version, o.PID, o.Config, o.Store = i.Version, os.Getpid(), i.Config, i.Store
	answer(w, &o)
}
