package run

import (
	"context"
	"net"
	"net/http"
	"os"
	"slices"
	"time"

	"lessor/internal/link"
	"lessor/internal/local"
	"lessor/internal/relay"
)

// Status is what is known of a relay agent: the JSON of "lessor relay status".
type Status struct {
	Version    string      `json:"version"`
	PID        int         `json:"pid"`
	Config     string      `json:"config"` // where it comes from
	Started    time.Time   `json:"started"`
	Servers    []string    `json:"servers"`
	Interfaces []Interface `json:"interfaces"`

	Requests  uint64    `json:"requests"`   // read, from clients
	Replies   uint64    `json:"replies"`    // read, from servers
	ToServers uint64    `json:"to-servers"` // requests relayed; each goes to every server
	ToClients uint64    `json:"to-clients"`
	Dropped   []Counter `json:"dropped"`           // messages, by reason
	Omitted   []Counter `json:"option-82-omitted"` // requests relayed without it, by reason
	Frames    []Counter `json:"bad-frames"`

	SocketDropped uint64 `json:"socket-dropped"` // frames that came faster than they could be read
	SendFailed    uint64 `json:"send-failed"`
	LogLost       uint64 `json:"log-lost"`
	Panics        uint64 `json:"panics"`
}

// Interface is one interface with clients.
type Interface struct {
	Name      string   `json:"name"`
	State     string   `json:"state"` // served, waiting, or why it cannot be
	Addresses []string `json:"addresses,omitempty"`
	GIAddr    string   `json:"giaddr,omitempty"` // as it is set in requests
	Trusted   bool     `json:"trusted"`
}

// Counter is one count with its name.
type Counter struct {
	Name  string `json:"name"`
	Count uint64 `json:"count"`
}

// Status is how the agent is now; ErrEnded when it does not run any more. Version and
// Config are left to the caller.
func (r *Runner) Status(ctx context.Context) (s *Status, err error) {
	err = r.do(ctx, func(l *loop) { s = l.status() })
	return s, err
}

func (l *loop) status() *Status {
	c := l.agent.Counters()
	s := &Status{PID: os.Getpid(), Started: l.r.began, Requests: c.Requests, Replies: c.Replies, ToServers: c.ToServers, ToClients: c.ToClients,
		Dropped: byReason(&c.Dropped), Omitted: byReason(&c.Omitted), Frames: []Counter{}, Servers: []string{},
		SocketDropped: l.r.dropped.Load(), SendFailed: l.sendFailed, LogLost: l.r.log.Lost(), Panics: l.r.panics.Load()}
	for i := range l.r.bad {
		if n := l.r.bad[i].Load(); n != 0 {
			s.Frames = append(s.Frames, Counter{link.BadReason(i).String(), n})
		}
	}
	for _, a := range l.conf.Servers {
		s.Servers = append(s.Servers, a.String())
	}
	for i := range l.conf.Downstream {
		s.Interfaces = append(s.Interfaces, l.iface(&l.conf.Downstream[i]))
	}
	return s
}

func (l *loop) iface(d *relay.Downstream) Interface {
	i := Interface{Name: d.Name, State: "waiting", Trusted: d.Trusted}
	missing := *l.r.missing.Load()
	if m := slices.IndexFunc(missing, func(m link.Missing) bool { return m.Name == d.Name }); m >= 0 {
		i.State = missing[m].String()
	}
	if d.GIAddr != 0 {
		i.GIAddr = d.GIAddr.String()
	}
	for _, p := range l.ports {
		of, giaddr := l.agent.Interface(p.link.ID)
		if of == nil || of.Name != d.Name {
			continue
		}
		i.State, i.GIAddr = "served", giaddr.String()
		for _, a := range p.link.Addrs {
			i.Addresses = append(i.Addresses, a.String())
		}
	}
	return i
}

func byReason(ns *[relay.NumReasons]uint64) []Counter {
	out := []Counter{}
	for r, n := range ns {
		if n != 0 {
			out = append(out, Counter{relay.Reason(r).String(), n})
		}
	}
	return out
}

// Serve answers on the control socket l, which it closes in the end:
//
//	GET /v1/relay    the Status
//
// fill adds what the runner does not know.
func Serve(l net.Listener, r *Runner, fill func(*Status)) *http.Server {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/relay", func(w http.ResponseWriter, q *http.Request) {
		s, err := r.Status(q.Context())
		if err != nil {
			local.Refuse(w, http.StatusServiceUnavailable, err)
			return
		}
		fill(s)
		local.Answer(w, s)
	})
	return local.Serve(l, mux)
}
