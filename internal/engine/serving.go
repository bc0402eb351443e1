package engine

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"lessor/internal/event"
	"lessor/internal/lease"
	"lessor/internal/policy"
	"lessor/internal/server"
	"lessor/internal/store"
	"lessor/internal/wire"
)

const (
	never  = lease.Never
	second = lease.Second

	markEvery = 50 * second // a mark is on disk at least once a minute
	healEvery = second      // between two tries to write a new store
	slowAfter = second      // a commit that takes longer makes health red
	calmAfter = 5 * second  // without overload before it counts as over
)

// Serving is the engine without its goroutines: the core, what waits for the store, and
// what is known of the store's health, as one thing that is told what happens and
// says what to do. The loop drives it between channels, the simulator between the
// events of a virtual network. It belongs to one goroutine, reads no clock and calls
// the store only in LoadServing; every call comes with the time, which never goes back on M.
//
// One round is: inputs (Packet, ARP, Echo, Tick, Call, …), then Settle, whose Out is
// performed, then Next, whose Job is run somewhere and given to Answered, whose Out is
// performed. Due says when the next Tick and Next are needed without an input.
type Serving struct {
	core *server.Core
	hold *Hold
	boot lease.BootID
	mark lease.Mark // of the start of the process
	log  Log

	marked   int64 // when the last commit began
	began    int64 // when the first change of the gathering group was made; 0: none
	failing  error // why the store cannot commit, nil if it can
	since    int64 // when that began
	healAt   int64
	slow     bool
	overload bool
	calmAt   int64
	careful  int64 // when careful mode ends, 0: not in it

	job      Job
	busy     bool // the job is under way
	closing  bool
	farewell bool // the last mark is written, or being written
}

// Log is told what is for people. *event.Log is one.
type Log interface {
	Say(id event.ID, attrs ...slog.Attr)
}

// LoadServing reads the store and returns a Serving that Begin puts to work, and how many
// records it has. It changes nothing in the store.
func LoadServing(ctx context.Context, st store.Store, now lease.Instant, boot lease.BootID, secret [16]byte, log Log) (*Serving, int, error) {
	stored := st.Mark()
	s := &Serving{boot: boot, log: log, mark: lease.StartMark(stored, now, boot), core: server.New(secret, boot)}
	var last uint64
	records := 0
	_, err := st.Load(ctx, nil, func(bs []lease.Binding) error {
		for i := range bs {
			last = max(last, bs[i].Rev)
			lease.Resume(&bs[i], stored, now, boot)
			s.core.Restore(&bs[i])
		}
		records += len(bs)
		return nil
	})
	if err != nil {
		return nil, 0, fmt.Errorf("reading the lease store: %w", err)
	}
	s.hold = NewHold(last)
	return s, records, nil
}

// Begin puts the first configuration in force; r is what the store's Recovery says.
func (s *Serving) Begin(now lease.Instant, p *policy.Policy, r store.Recovery) Out {
	s.core.SetPolicy(now, p, s.hold.Effects())
	out := s.Settle(now)
	if r.Careful {
		s.core.SetCareful(now)
		s.careful = s.core.CarefulUntil()
		s.log.Say(event.StoreDamaged, slog.String("reason", r.What), slog.Int("kept", r.Kept), slog.Int("lost", r.Lost))
	}
	return out
}

// Packet handles one message; false says that it was shed: the gathering group is
// nearly full, and only holders, or nobody, are still listened to.
func (s *Serving) Packet(now lease.Instant, p *wire.Packet) (handled bool) {
	if fill := s.hold.Fill(); fill >= 3 && (fill == 4 || classify(p.Data) < holder) {
		return false
	}
	s.core.Handle(now, p, s.hold.Effects())
	return true
}

// ARP handles one ARP message.
func (s *Serving) ARP(now lease.Instant, a *wire.ARP) { s.core.HandleARP(now, a, s.hold.Effects()) }

// Echo handles one ICMP echo message.
func (s *Serving) Echo(now lease.Instant, m *wire.Echo) { s.core.HandleEcho(now, m, s.hold.Effects()) }

// Tick lets the core do what has become due.
func (s *Serving) Tick(now lease.Instant) {
	if s.core.NextTick() <= now.M {
		s.core.Tick(now, s.hold.Effects())
	}
}

// Call lets fn ask something of the core; what it changes is committed as everything is.
func (s *Serving) Call(now lease.Instant, fn func(now lease.Instant, core *server.Core, fx *server.Effects)) {
	fn(now, s.core, s.hold.Effects())
}

// Settle takes in what the inputs since the last call brought about and returns what
// may leave now. It is valid until the next call of Serving.
func (s *Serving) Settle(now lease.Instant) Out {
	out := s.hold.Settle()
	switch {
	case s.hold.Gathering() == 0:
		s.began = 0
	case s.failing != nil:
		undo := s.hold.Abandon()
		s.core.Rollback(now, undo.Gathering)
	case s.began == 0:
		s.began = now.M
	}
	return out
}

// Close says that the server is to end: nothing is healed any more, and once all is
// durable the last mark is written.
func (s *Serving) Close() { s.closing = true }

// Next is the store's next work, nil for none or while some is under way. idle says
// that no input waits. The Job stays the Serving's; whoever runs it gives it to
// Answered. Settle was called since the last input.
func (s *Serving) Next(now lease.Instant, idle bool) *Job {
	if s.busy {
		return nil
	}
	switch {
	case s.failing != nil:
		if now.M >= s.healAt && !s.closing {
			return s.give(now, Job{kind: jobRecreate})
		}
	case s.careful != 0 && now.M >= s.careful:
		s.careful = 0
		return s.give(now, Job{kind: jobRecovered})
	default:
		last := s.closing && !s.farewell && idle
		if g := s.hold.Next(last || now.M >= s.marked+markEvery); g != nil {
			since := s.began
			s.began, s.farewell = 0, last
			return s.give(now, Job{kind: jobCommit, Group: g, since: since})
		}
	}
	return nil
}

func (s *Serving) give(now lease.Instant, j Job) *Job {
	j.Began, j.Mark = now, s.mark.At(now.M)
	s.job, s.marked, s.busy = j, now.M, true
	return &s.job
}

// Busy reports whether a Job is under way.
func (s *Serving) Busy() bool { return s.busy }

// Answered takes the store's answer to the Job under way and returns what it lets go.
func (s *Serving) Answered(now lease.Instant, j *Job) Out {
	s.busy, s.slow = false, false
	switch j.kind {
	case jobCommit:
		return s.committed(now, j)
	case jobRecreate:
		s.recreated(now, j)
	case jobRecovered:
		if j.Err != nil {
			s.storeFailed(now, j.Err)
		}
	}
	return Out{}
}

func (s *Serving) committed(now lease.Instant, j *Job) Out {
	out, undo, ok := s.hold.Done(j.Err != nil)
	if j.Err == nil {
		s.core.Durable(s.hold.Durable())
	}
	if !ok {
		s.core.Rollback(now, undo.Gathering)
		s.core.Rollback(now, undo.Failed)
		s.began = 0
	}
	if j.Err != nil {
		s.core.Doubt(undo.Failed)
		s.storeFailed(now, j.Err)
		return Out{}
	}
	out.Since = j.since
	s.timely(now, &out)
	return out
}

// storeFailed begins the time in which nothing new is promised (I17).
func (s *Serving) storeFailed(now lease.Instant, err error) {
	s.core.SetStoreFailing(true)
	s.failing, s.since, s.healAt = err, now.M, now.M+healEvery
	s.log.Say(event.StoreFailed, slog.Any("error", err))
}

func (s *Serving) recreated(now lease.Instant, j *Job) {
	if j.Err != nil {
		s.healAt = now.M + healEvery
		s.log.Say(event.StoreRetry, slog.Any("error", j.Err))
		return
	}
	s.failing = nil
	s.core.SetStoreFailing(false)
	s.log.Say(event.StoreHealed, slog.String("took", time.Duration(now.M-s.since).Round(time.Millisecond).String()))
}

// Failing is why the store cannot commit, nil while it can.
func (s *Serving) Failing() error { return s.failing }

// Measure tells the core and the log when overload begins and ends; queued is how many
// packets wait to be handled, shed how many were dropped unread so far.
func (s *Serving) Measure(now lease.Instant, queued int64, shed uint64) {
	high := queued >= shedNewcomers || s.hold.Fill() >= 3
	switch {
	case high:
		s.calmAt = now.M + calmAfter
		if !s.overload {
			s.overload = true
			s.core.SetOverload(true)
			s.log.Say(event.Overload)
		}
	case s.overload && now.M >= s.calmAt:
		s.overload = false
		s.core.SetOverload(false)
		s.log.Say(event.OverloadEnded, slog.Uint64("dropped", shed))
	}
}

// Due is when Tick, Measure and Next are to be called at the latest, on CLOCK_BOOTTIME.
func (s *Serving) Due(now lease.Instant) int64 {
	at := min(s.core.NextTick(), s.marked+markEvery)
	if s.busy {
		at = s.core.NextTick()
		if !s.slow && s.job.kind == jobCommit {
			if now.M >= s.job.Began.M+slowAfter {
				s.slow = true
				s.log.Say(event.StoreSlow)
			} else {
				at = min(at, s.job.Began.M+slowAfter)
			}
		}
	} else if s.failing != nil {
		at = min(s.core.NextTick(), s.healAt)
	}
	if s.overload {
		at = min(at, s.calmAt)
	}
	if s.careful != 0 && !s.busy {
		at = min(at, s.careful)
	}
	return at
}

// SetLinks takes the interfaces that are served from now on.
func (s *Serving) SetLinks(now lease.Instant, links []wire.Link) {
	s.core.SetLinks(now, links, s.hold.Effects())
}

// Waiting is the number of changes and of replies that wait for the store.
func (s *Serving) Waiting() (changes, replies int) { return s.hold.Waiting() }
