package control

import (
	"lessor/dhcp4"
	"lessor/internal/engine"
	"lessor/internal/event"
	"lessor/internal/link"
	"lessor/internal/pool"
	"lessor/internal/server"
)

// Status is the state of a running server.
type Status struct {
	Healthy  bool      `json:"healthy"`
	Problems []string  `json:"problems"`
	Version  string    `json:"version"`
	PID      int       `json:"pid"`
	Config   string    `json:"config"` // the file, or what stands for it
	Store    string    `json:"store"`  // the directory, or "memory"
	Links    []Link    `json:"interfaces"`
	Pools    []Pool    `json:"pools"`
	Bindings int       `json:"bindings"`
	Careful  float64   `json:"careful-seconds,omitempty"`
	Received []Counter `json:"received"`
	Sent     []Counter `json:"sent"`
	Dropped  []Counter `json:"dropped"`
	Refused  []Counter `json:"refused"`
	Alarms   []Counter `json:"alarms"`
	Frames   []Counter `json:"bad-frames"`
	Queue    Queue     `json:"queue"`
}

// Link is one interface that is configured.
type Link struct {
	Name      string   `json:"name"`
	State     string   `json:"state"` // serving, missing, waiting
	Addresses []string `json:"addresses,omitempty"`
}

// Pool is one pool and how many of its addresses are in each state; they sum up
// to Size.
type Pool struct {
	Subnet   string `json:"subnet"`
	Range    string `json:"pool"`
	Size     uint64 `json:"size"`
	Free     uint64 `json:"free"`
	Offered  uint64 `json:"offered"`
	Active   uint64 `json:"active"`
	Held     uint64 `json:"held"`
	Declined uint64 `json:"declined"`
	Reserved uint64 `json:"reserved"`
	Excluded uint64 `json:"excluded"`
}

// Counter is a count since the start.
type Counter struct {
	Name  string `json:"name"`
	Count uint64 `json:"count"`
}

// Queue is what waits, and what was lost for want of room.
type Queue struct {
	Packets       int64  `json:"packets"`
	Replies       int    `json:"replies"`
	SocketDropped uint64 `json:"socket-dropped"`
	Shed          uint64 `json:"shed"`
	SendFailed    uint64 `json:"send-failed"`
	LogLost       uint64 `json:"log-lines-left-out"`
	Panics        uint64 `json:"panics"`
}

// FromStatus makes the Status of what the engine says.
func FromStatus(s *engine.Status) Status {
	o := Status{
		Healthy: len(s.Problems) == 0, Problems: append([]string{}, s.Problems...), Bindings: s.Bindings,
		Careful: s.Careful.Seconds(), Links: []Link{}, Pools: []Pool{},
		Queue: Queue{Packets: s.Queued, Replies: s.Waiting, SocketDropped: s.SocketDropped, Shed: s.Shed,
			SendFailed: s.SendFailed, LogLost: s.LogLost, Panics: s.Panics},
		Received: byType(s.Counters.Received[:]), Sent: byType(s.Counters.Sent[:]),
		Dropped: byReason(s.Counters.Dropped[:]), Refused: byReason(s.Counters.Naks[:]), Alarms: byReason(s.Counters.Alarms[:]),
		Frames: []Counter{},
	}
	for i, n := range s.BadFrames {
		if n > 0 {
			o.Frames = append(o.Frames, Counter{link.BadReason(i).String(), n})
		}
	}
	served := map[string]bool{}
	for _, l := range s.Links {
		served[l.Name] = true
		k := Link{Name: l.Name, State: "serving"}
		for _, a := range l.Addrs {
			k.Addresses = append(k.Addresses, a.String())
		}
		o.Links = append(o.Links, k)
	}
	missing := map[string]bool{}
	for _, m := range s.Missing {
		missing[m.Name] = true
		o.Links = append(o.Links, Link{Name: m.Name, State: "missing"})
	}
	for _, name := range s.Interfaces {
		if !served[name] && !missing[name] && len(served) < len(s.Interfaces) {
			o.Links = append(o.Links, Link{Name: name, State: "waiting"})
		}
	}
	for i := range s.Pools {
		p := &s.Pools[i]
		o.Pools = append(o.Pools, Pool{Subnet: p.Subnet, Range: p.Range.String(), Size: p.Size,
			Free: p.Count[pool.Free], Offered: p.Count[pool.Offered], Active: p.Count[pool.Bound], Held: p.Count[pool.Held],
			Declined: p.Count[pool.Declined], Reserved: p.Count[pool.Reserved], Excluded: p.Count[pool.Excluded]})
	}
	return o
}

func byType(n []uint64) []Counter {
	out := []Counter{}
	for i, c := range n {
		if c > 0 {
			out = append(out, Counter{event.TypeName(dhcp4.MessageType(i)), c})
		}
	}
	return out
}

func byReason(n []uint64) []Counter {
	out := []Counter{}
	for i, c := range n {
		if c > 0 {
			out = append(out, Counter{server.Reason(i).String(), c})
		}
	}
	return out
}
