// Package memory is a store that keeps nothing: records and history live as long as
// the process. It is what "lessor serve --memory" uses, and the reference that the
// durable stores are tested against.
package memory

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"lessor/dhcp4"
	"lessor/internal/lease"
	"lessor/internal/store"
)

// maxHistory bounds the ended possessions that are kept; the oldest half goes when
// there are more.
const maxHistory = 100_000

// Store implements store.Store; all its methods are safe for any goroutine.
type Store struct {
	mu      sync.Mutex
	records map[dhcp4.Addr]lease.Binding
	ended   []store.Possession // in the order of their ends
	mark    lease.Mark
	pos     store.Pos
	closed  bool
}

var _ store.Store = (*Store)(nil)

// New returns an empty store.
func New() *Store { return &Store{records: make(map[dhcp4.Addr]lease.Binding)} }

var errClosed = fmt.Errorf("%w: it is closed", store.ErrBroken)

// Commit implements store.Store.
func (s *Store) Commit(_ context.Context, mark lease.Mark, cs []lease.Change, res []store.Result) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		for i := range res {
			res[i] = store.Result{Outcome: store.Failed}
		}
		return errClosed
	}
	wrote := len(cs) == 0
	for i := range cs {
		c := &cs[i]
		switch {
		case c.CompareOnly:
			res[i] = store.Result{Outcome: store.Durable}
		case !writable(c):
			res[i] = store.Result{Outcome: store.Failed}
		default:
			s.change(c, mark.W/int64(time.Second))
			res[i] = store.Result{Outcome: store.Durable}
			wrote = true
		}
	}
	if wrote {
		s.mark = mark
		s.pos++
	}
	return nil
}

// writable reports whether a change is one that a store can hold.
func writable(c *lease.Change) bool {
	a := &c.After
	if a.State == 0 {
		return a.Addr != 0 || c.Before.Addr != 0
	}
	return a.Addr != 0 && (c.Before.Addr == 0 || c.Before.Addr == a.Addr) && a.State <= lease.Declined &&
		len(a.HW) <= 16 && len(a.ClientID) <= lease.MaxClientID && len(a.Hostname) <= 255 && len(a.Agent) <= 255
}

func (s *Store) change(c *lease.Change, now int64) {
	b, a := &c.Before, &c.After
	if b.Addr != 0 && b.State == lease.Bound && !(a.State == lease.Bound && same(b, a)) {
		p := possession(b)
		if b.Lifetime == lease.Infinite {
			p.Until = math.MaxInt64
		}
		p.Until = max(p.From, min(p.Until, now))
		p.Free = store.FreeAfter(b, a.State, p.Until)
		s.ended = append(s.ended, *clone(&p))
		if len(s.ended) > maxHistory {
			s.ended = slices.Delete(s.ended, 0, maxHistory/2)
		}
	}
	if a.State == 0 {
		delete(s.records, cmp.Or(a.Addr, b.Addr))
		return
	}
	s.records[a.Addr] = cloneBinding(a)
}

// same reports whether two bound states of an address are one possession.
func same(a, b *lease.Binding) bool {
	return a.Start == b.Start && a.HType == b.HType &&
		bytes.Equal(a.HW, b.HW) && bytes.Equal(a.ClientID, b.ClientID)
}

func possession(b *lease.Binding) store.Possession {
	return store.Possession{
		Addr: b.Addr, HType: b.HType, HW: b.HW, ClientID: b.ClientID, Hostname: b.Hostname,
		GIAddr: b.GIAddr, Agent: b.Agent, From: b.Start, Until: b.Until,
		Free: store.FreeAfter(b, 0, 0),
	}
}

func clone(p *store.Possession) *store.Possession {
	q := *p
	q.HW, q.ClientID = bytes.Clone(p.HW), bytes.Clone(p.ClientID)
	q.Hostname, q.Agent = bytes.Clone(p.Hostname), bytes.Clone(p.Agent)
	return &q
}

func cloneBinding(b *lease.Binding) lease.Binding {
	c := *b
	c.HW, c.ClientID = bytes.Clone(b.HW), bytes.Clone(b.ClientID)
	c.Hostname, c.Agent = bytes.Clone(b.Hostname), bytes.Clone(b.Agent)
	return c
}

// Load implements store.Store.
func (s *Store) Load(ctx context.Context, in []dhcp4.Range, fn func([]lease.Binding) error) (store.Pos, error) {
	s.mu.Lock()
	pos := s.pos
	var out []lease.Binding
	for a, b := range s.records {
		if in == nil || slices.ContainsFunc(in, func(r dhcp4.Range) bool { return r.Contains(a) }) {
			out = append(out, cloneBinding(&b))
		}
	}
	s.mu.Unlock()
	slices.SortFunc(out, func(a, b lease.Binding) int { return cmp.Compare(a.Addr, b.Addr) })
	for c := range slices.Chunk(out, 512) {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		if err := fn(c); err != nil {
			return 0, err
		}
	}
	return pos, nil
}

// Watch implements store.Store: no one else writes, so it idles.
func (s *Store) Watch(ctx context.Context, _ []dhcp4.Range, _ store.Pos, _ func([]lease.Binding, store.Pos) error) error {
	<-ctx.Done()
	return ctx.Err()
}

// Mark implements store.Store.
func (s *Store) Mark() lease.Mark {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mark
}

// Recovery implements store.Store: there is nothing to recover.
func (s *Store) Recovery() store.Recovery { return store.Recovery{} }

// Recovered implements store.Store.
func (s *Store) Recovered(context.Context) error { return nil }

// Alive implements store.Store.
func (s *Store) Alive(context.Context) (store.Pos, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return 0, errClosed
	}
	return s.pos, nil
}

// Recreate implements store.Store: it replaces the records, and keeps history.
func (s *Store) Recreate(_ context.Context, mark lease.Mark, next func([]lease.Binding) (int, error)) error {
	fresh := make(map[dhcp4.Addr]lease.Binding)
	buf := make([]lease.Binding, 512)
	for {
		n, err := next(buf)
		if err != nil {
			return err
		}
		if n == 0 {
			break
		}
		for i := range buf[:n] {
			fresh[buf[i].Addr] = cloneBinding(&buf[i])
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.records, s.mark = fresh, mark
	s.pos++
	return nil
}

// find yields the possessions that match, newest first.
func (s *Store) find(ctx context.Context, from, to time.Time, match func(*store.Possession) bool, yield func(*store.Possession) bool) error {
	touches := func(p *store.Possession) bool {
		if !from.IsZero() && !to.IsZero() && from.After(to) {
			return false
		}
		return (to.IsZero() || p.From <= to.Unix()) && (from.IsZero() || p.Until >= from.Unix())
	}
	var out []*store.Possession
	s.mu.Lock()
	for i := range s.ended {
		if p := &s.ended[i]; match(p) && touches(p) {
			out = append(out, clone(p))
		}
	}
	now := max(time.Now().UnixNano(), s.mark.W) / int64(time.Second)
	for _, b := range s.records {
		p := possession(&b)
		if b.State == lease.Bound && match(&p) && touches(&p) {
			p.Running = b.Until > now || b.Lifetime == lease.Infinite
			out = append(out, clone(&p))
		}
	}
	s.mu.Unlock()
	slices.Reverse(out) // of those with one begin, the last to end comes first
	slices.SortStableFunc(out, func(a, b *store.Possession) int { return cmp.Compare(b.From, a.From) })
	for _, p := range out {
		if err := ctx.Err(); err != nil {
			return err
		}
		if !yield(p) {
			return nil
		}
	}
	return nil
}

// HistoryByAddr implements store.History.
func (s *Store) HistoryByAddr(ctx context.Context, a dhcp4.Addr, from, to time.Time, yield func(*store.Possession) bool) error {
	return s.find(ctx, from, to, func(p *store.Possession) bool { return p.Addr == a }, yield)
}

// HistoryByClient implements store.History.
func (s *Store) HistoryByClient(ctx context.Context, hw, id []byte, from, to time.Time, yield func(*store.Possession) bool) error {
	return s.find(ctx, from, to, func(p *store.Possession) bool {
		return len(hw) > 0 && bytes.Equal(p.HW, hw) || len(id) > 0 && bytes.Equal(p.ClientID, id)
	}, yield)
}

// Close implements store.Store.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	return nil
}
