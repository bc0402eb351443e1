package event

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"lessor/dhcp4"
	"lessor/internal/lease"
	"lessor/internal/server"
)

const (
	ringSize = 1024 // lines that wait to be written
	perKind  = 100  // lines a second of one message and reason
	numKinds = int(server.EventAlarm) + 1
)

// Names finds the names that log lines show. Its functions are called from the
// log's own goroutine and must be safe for that.
type Names struct {
	Link   func(id int32) string
	Subnet func(a dhcp4.Addr) string
}

// Log writes messages through a slog.Handler from a goroutine of its own. What
// is said goes into a bounded ring; when the ring is full, or one kind of line
// comes more than 100 times a second, lines are left out and counted. Nothing
// that is said ever waits for a disk or a terminal.
type Log struct {
	handler slog.Handler
	names   Names
	debug   bool

	mu     sync.Mutex // guards ring, head, count, closed
	ring   [ringSize]line
	head   int // the oldest line
	count  int
	closed bool
	more   chan struct{}
	done   chan struct{}

	lost atomic.Uint64 // lines left out since the start
	full uint64        // of them, not yet reported: the ring was full (guarded by mu)

	// Limits by kind and reason; they belong to the goroutine that calls Event.
	second     int64
	said       [numKinds][server.NumReasons]uint8
	suppressed [numKinds][server.NumReasons]uint32
	any        bool
}

// line is one entry of the ring. Its slices are kept and used again.
type line struct {
	id    ID
	at    time.Time
	took  int64
	ev    server.Event
	isEv  bool
	data  []byte // memory of ev's slices
	attrs []slog.Attr
}

// NewLog starts a log that writes to h.
func NewLog(h slog.Handler, names Names) *Log {
	l := &Log{handler: h, names: names, more: make(chan struct{}, 1), done: make(chan struct{})}
	l.debug = h.Enabled(context.Background(), slog.LevelDebug)
	go l.write()
	return l
}

// Say writes one message; for what happens rarely. Values made from text of the
// network must have gone through Text.
func (l *Log) Say(id ID, attrs ...slog.Attr) {
	if !l.handler.Enabled(context.Background(), id.Message().Level) {
		return
	}
	l.put(func(n *line) {
		n.id, n.isEv, n.at = id, false, time.Now()
		n.attrs = append(n.attrs[:0], attrs...)
	})
}

// Event writes the line for what the core reported, if it has one. e is copied. took
// is how long it took, in nanoseconds; 0: not known. Event and Tick are called from
// one goroutine. It does not allocate in a steady state.
func (l *Log) Event(now lease.Instant, e *server.Event, took int64) {
	id := l.idOf(e)
	if id == None || !l.admit(now, e) {
		return
	}
	l.put(func(n *line) {
		n.id, n.isEv, n.took = id, true, took
		n.at = time.Unix(0, now.W)
		n.ev = *e
		n.data = append(append(append(n.data[:0], e.HW...), e.ClientID...), e.Hostname...)
		hw, ci := len(e.HW), len(e.HW)+len(e.ClientID)
		n.ev.HW, n.ev.ClientID, n.ev.Hostname = n.data[:hw], n.data[hw:ci], n.data[ci:]
	})
}

// idOf is the message that tells of e, None for what has no line at this level.
func (l *Log) idOf(e *server.Event) ID {
	id := None
	switch e.Kind {
	case server.EventDrop:
		id = PacketDrop
		if e.Reason == server.PoolFull {
			id = PoolFull
		}
	case server.EventBound, server.EventRenewed:
		id = LeaseAck
	case server.EventReleased:
		id = LeaseReleased
	case server.EventDeclined:
		id = LeaseDeclined
	case server.EventConflict:
		id = LeaseConflict
	case server.EventNak:
		id = LeaseNak
	case server.EventExpired:
		id = LeaseExpired
	case server.EventAlarm:
		id = Alarm
	}
	if id.Message().Level < slog.LevelInfo && !l.debug {
		return None
	}
	return id
}

// admit applies the limit of lines a second.
func (l *Log) admit(now lease.Instant, e *server.Event) bool {
	l.Tick(now)
	if int(e.Kind) >= numKinds || e.Reason >= server.NumReasons {
		return false
	}
	if l.said[e.Kind][e.Reason] >= perKind {
		l.suppressed[e.Kind][e.Reason]++
		l.any = true
		l.lost.Add(1)
		return false
	}
	l.said[e.Kind][e.Reason]++
	return true
}

// Tick opens the next second of the limits and reports what the last one left
// out. It is cheap and may be called at any time.
func (l *Log) Tick(now lease.Instant) {
	second := now.M / int64(time.Second)
	if second == l.second {
		return
	}
	l.second = second
	clear(l.said[:])
	if !l.any {
		return
	}
	l.any = false
	for k := range l.suppressed {
		for r := range l.suppressed[k] {
			n := l.suppressed[k][r]
			if n == 0 {
				continue
			}
			l.suppressed[k][r] = 0
			of := l.idOf(&server.Event{Kind: server.EventKind(k), Reason: server.Reason(r)})
			l.Say(Suppressed, slog.Uint64("count", uint64(n)), slog.String("of", of.String()),
				slog.String("reason", server.Reason(r).String()))
		}
	}
}

// Lost is the number of lines left out since the start.
func (l *Log) Lost() uint64 { return l.lost.Load() }

// put fills the next free line of the ring.
func (l *Log) put(fill func(*line)) {
	l.mu.Lock()
	if l.closed || l.count == ringSize {
		l.full++
		l.mu.Unlock()
		l.lost.Add(1)
		return
	}
	fill(&l.ring[(l.head+l.count)%ringSize])
	l.count++
	select { // with the lock held: Close closes more
	case l.more <- struct{}{}:
	default:
	}
	l.mu.Unlock()
}

// Close writes what waits and ends the log; what is said later is left out. It
// gives up after 400 ms, so that a terminal that is stopped holds nothing up.
func (l *Log) Close() {
	l.mu.Lock()
	if !l.closed {
		l.closed = true
		close(l.more)
	}
	l.mu.Unlock()
	select {
	case <-l.done:
	case <-time.After(400 * time.Millisecond):
	}
}
