package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"lessor/dhcp4"
	"lessor/internal/engine"
	"lessor/internal/lease"
	"lessor/internal/local"
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
	http *http.Server

	reload func(context.Context) error
}

// Listen makes the control socket path: see local.Listen.
func Listen(path string) (net.Listener, error) {
	l, err := local.Listen(path)
	if errors.Is(err, local.ErrInUse) {
		return nil, fmt.Errorf("%w: %s: stop it, or give this one another --control socket", ErrInUse, path)
	}
	if err != nil {
		return nil, err
	}
	return l, nil
}

// Serve answers on l until Close. reload reads the configuration again, all of it or
// nothing, and says why it was refused.
func Serve(l net.Listener, e *engine.Engine, info func() Info, reload func(context.Context) error) *Server {
	s := &Server{e: e, info: info, reload: reload}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/leases", s.leases)
	mux.HandleFunc("GET /v1/leases/{address}", s.lease)
	mux.HandleFunc("POST /v1/leases/{address}/release", s.release)
	mux.HandleFunc("GET /v1/history", s.history)
	mux.HandleFunc("POST /v1/explain", s.explain)
	mux.HandleFunc("GET /v1/status", s.status)
	mux.HandleFunc("POST /v1/reload", s.reloadConfig)
	s.http = local.Serve(l, mux)
	return s
}

// Close ends all questions under way and removes the socket.
func (s *Server) Close() error { return s.http.Close() }

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
		enc.Encode(local.Problem{Text: err.Error()})
	}
}

func (s *Server) find(w http.ResponseWriter, r *http.Request) (l Lease, ok bool) {
	a, err := dhcp4.ParseAddr(r.PathValue("address"))
	if err != nil {
		local.Refuse(w, http.StatusBadRequest, err)
		return l, false
	}
	b, now, ok, err := s.e.Lease(r.Context(), a)
	switch {
	case err != nil:
		local.Refuse(w, http.StatusServiceUnavailable, err)
	case !ok:
		local.Refuse(w, http.StatusNotFound, fmt.Errorf("there is no lease of %s", a))
	default:
		return FromBinding(&b, now, s.e.Policy()), true
	}
	return l, false
}

func (s *Server) lease(w http.ResponseWriter, r *http.Request) {
	if l, ok := s.find(w, r); ok {
		local.Answer(w, &l)
	}
}

func (s *Server) release(w http.ResponseWriter, r *http.Request) {
	l, ok := s.find(w, r)
	if !ok {
		return
	}
	if err := s.e.Release(r.Context(), l.Address, r.URL.Query().Get("now") == "true"); err != nil {
		local.Refuse(w, http.StatusConflict, err)
		return
	}
	s.lease(w, r)
}

func (s *Server) reloadConfig(w http.ResponseWriter, r *http.Request) {
	if err := s.reload(r.Context()); err != nil {
		local.Refuse(w, http.StatusConflict, err)
		return
	}
	local.Answer(w, Reloaded{Config: s.info().Config})
}

func (s *Server) history(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	span, err := parseSpan(q.Get("from"), q.Get("to"))
	if err != nil {
		local.Refuse(w, http.StatusBadRequest, err)
		return
	}
	list, err := History(r.Context(), s.e.History(), s.e.Leases, ParseWho(q.Get("who")), span)
	if err != nil {
		local.Refuse(w, http.StatusServiceUnavailable, err)
		return
	}
	if list == nil {
		list = []Possession{}
	}
	local.Answer(w, list)
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
	local.Answer(w, &o)
}
