package run

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"lessor/internal/local"
)

// server answers on the control socket:
//
//	GET  /v1/client                              the Status
//	GET  /v1/client/events                       a Line for each thing that happens, until the client ends
//	POST /v1/client/{renew,rebind,release,stop}  the Status then
type server struct {
	r      *Runner
	stream *stream
	http   *http.Server
}

// newServer answers on l for root and the user uid.
func newServer(l net.Listener, r *Runner, st *stream, uid int) *server {
	s := &server{r: r, stream: st}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/client", s.status)
	mux.HandleFunc("GET /v1/client/events", s.events)
	mux.HandleFunc("POST /v1/client/{what}", s.command)
	s.http = local.Serve(&guarded{Listener: l, uid: uint32(uid)}, known(mux))
	return s
}

// close lets the answers under way be finished for a moment, then ends.
func (s *server) close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if s.http.Shutdown(ctx) != nil {
		s.http.Close()
	}
}

func (s *server) status(w http.ResponseWriter, r *http.Request) {
	local.Answer(w, s.r.Status())
}

func (s *server) command(w http.ResponseWriter, r *http.Request) {
	what := r.PathValue("what")
	do := map[string]func() error{"renew": s.r.Renew, "rebind": s.r.Rebind, "release": s.r.Release, "stop": s.r.Stop}[what]
	if do == nil {
		local.Refuse(w, http.StatusNotFound, fmt.Errorf("a client cannot be told to %.40q", what))
		return
	}
	switch err := do(); {
	case errors.Is(err, ErrRefused):
		local.Refuse(w, http.StatusConflict, err)
	case err != nil:
		local.Refuse(w, http.StatusServiceUnavailable, err)
	default:
		local.Answer(w, s.r.Status())
	}
}

// events streams what happens, one JSON object a line.
func (s *server) events(w http.ResponseWriter, r *http.Request) {
	reader := s.stream.join()
	if reader == nil {
		local.Refuse(w, http.StatusServiceUnavailable, fmt.Errorf("%d programs read the events already, or the client ends", maxReaders))
		return
	}
	w.Header().Set("Content-Type", "application/jsonl")
	out := http.NewResponseController(w)
	defer s.stream.leave(reader)
	if out.Flush() != nil {
		return
	}
	enc := json.NewEncoder(w)
	for {
		lines, lost := reader.take(r.Context().Done())
		if lines == nil {
			return
		}
		if lost > 0 && enc.Encode(&Line{At: lines[0].At, Interface: lines[0].Interface, Event: "lost", Count: lost}) != nil {
			return
		}
		for _, l := range lines {
			if enc.Encode(l) != nil {
				return
			}
		}
		if out.Flush() != nil {
			return
		}
	}
}

// guarded marks the connections of all but root and one user: the socket's mode keeps
// others out too, but its directory may be on a file system that has no modes.
type guarded struct {
	net.Listener
	uid uint32
}

func (g *guarded) Accept() (net.Conn, error) {
	c, err := g.Listener.Accept()
	if err != nil {
		return nil, err
	}
	if uid, ok := peerUID(c); !ok || uid != 0 && uid != g.uid {
		return stranger{c}, nil
	}
	return c, nil
}

// stranger is a connection that is only told that it may not ask. Its remote address, which
// Unix sockets have no other use for, says so to the handler.
type stranger struct{ net.Conn }

func (stranger) RemoteAddr() net.Addr { return &net.UnixAddr{Name: strangerName, Net: "unix"} }

const strangerName = "stranger"

// known refuses strangers.
func known(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.RemoteAddr == strangerName {
			local.Refuse(w, http.StatusForbidden, errors.New("only root and the user who started the client may ask it"))
			return
		}
		next.ServeHTTP(w, r)
	})
}

// peerUID is the user of the process at the other end of c.
func peerUID(c net.Conn) (uid uint32, ok bool) {
	u, ok := c.(*net.UnixConn)
	if !ok {
		return 0, false
	}
	raw, err := u.SyscallConn()
	if err != nil {
		return 0, false
	}
	var cred *unix.Ucred
	if cerr := raw.Control(func(fd uintptr) { cred, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }); cerr != nil || err != nil {
		return 0, false
	}
	return cred.Uid, true
}

// Bounds of the stream: readers at once, and lines that one may be behind.
const (
	maxReaders = 16
	maxBehind  = 256
)

// stream hands what happens to all who read the events. A slow reader loses the oldest
// lines and is told how many; nobody waits for it.
type stream struct {
	mu      sync.Mutex
	readers map[*reader]struct{}
	ended   bool
}

// reader is one who reads the events.
type reader struct {
	mu    sync.Mutex
	lines []*Line
	lost  uint64
	wake  chan struct{} // gets a value when there are lines
	end   chan struct{} // closed when there will be no more
}

func newStream() *stream { return &stream{readers: map[*reader]struct{}{}} }

// join returns a new reader, or nil when there are too many or no more lines will come.
func (s *stream) join() *reader {
	r := &reader{wake: make(chan struct{}, 1), end: make(chan struct{})}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended || len(s.readers) >= maxReaders {
		return nil
	}
	s.readers[r] = struct{}{}
	return r
}

func (s *stream) leave(r *reader) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.readers, r)
}

// put gives r to all readers.
func (s *stream) put(r *Report) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.readers) == 0 {
		return
	}
	l := r.Line()
	for o := range s.readers {
		o.add(l)
	}
}

// close ends all readers once they have read what is there.
func (s *stream) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	for r := range s.readers {
		close(r.end)
	}
	clear(s.readers)
}

func (r *reader) add(l *Line) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.lines) == maxBehind {
		r.lines = r.lines[:copy(r.lines, r.lines[1:])]
		r.lost++
	}
	r.lines = append(r.lines, l)
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// take waits for lines; nil says that there are no more, or that done was closed.
func (r *reader) take(done <-chan struct{}) (lines []*Line, lost uint64) {
	for ended := false; ; {
		r.mu.Lock()
		lines, lost = r.lines, r.lost
		r.lines, r.lost = nil, 0
		r.mu.Unlock()
		if lines != nil || ended {
			return lines, lost
		}
		select {
		case <-r.wake:
		case <-r.end:
			ended = true
		case <-done:
			return nil, 0
		}
	}
}
