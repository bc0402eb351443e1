package pebble

import (
	"bytes"
	"context"
	"fmt"
	"sort"

	"github.com/cockroachdb/pebble/v2"

	"lessor/dhcp4"
	"lessor/internal/lease"
	"lessor/internal/store"
)

const (
	loadBatch   = 512     // bindings handed out at once
	maxSetAside = 1 << 20 // octets of unreadable values that are kept; all are counted
)

// loading is the state of one Load.
type loading struct {
	fn    func([]lease.Binding) error
	out   []lease.Binding
	arena []byte // holds the values that out's slices alias

	kept, bad int
	aside     [][2][]byte // unreadable keys and values
	asideLen  int
}

// errLoad marks what the caller's function or context returned, which is handed on
// and says nothing about the disk.
type errLoad struct{ error }

// Load implements store.Store. Values that cannot be read are counted, moved out of
// the way and reported in Recovery. Where the disk cannot be read to the end, what
// can be is taken over into a fresh generation, from which Load goes on.
func (s *Store) Load(ctx context.Context, in []dhcp4.Range, fn func([]lease.Binding) error) (store.Pos, error) {
	ranges := mergeRanges(in)
	l := &loading{fn: fn}
	next := dhcp4.Addr(0)
	for salvaged := false; ; salvaged = true {
		g, err := s.useToLoad()
		if err != nil {
			return 0, err
		}
		next, err = l.read(ctx, g, ranges, next)
		if e, ok := err.(errLoad); ok {
			g.done()
			return 0, e.error
		}
		if err == nil {
			err = s.setAside(g, l)
			g.done()
			return s.pos, err
		}
		g.done()
		if s.readOnly || salvaged || g.refuse != nil {
			return 0, fmt.Errorf("the store cannot be read: %w", err)
		}
		if err := s.recoverDamaged(g, err); err != nil {
			return 0, err
		}
	}
}

// recoverDamaged puts in force what can be read of g.
func (s *Store) recoverDamaged(g *generation, cause error) error {
	if s.committed {
		return cause // memory knows more than the disk: Recreate is the way
	}
	g.close()
	return s.recoverFrom(g.num, fmt.Sprintf("the store %s is damaged (%v)", generationName(g.num), cause))
}

// useToLoad is use for a store that may have broken in the background since it was
// opened.
func (s *Store) useToLoad() (*generation, error) {
	g, err := s.use()
	if err == nil || s.committed {
		return g, err
	}
	if refusesChanges(err) {
		s.gen.close()
		err = s.openBroken(s.gen.num, err)
	} else if !s.readOnly {
		err = s.recoverDamaged(s.gen, err)
	}
	if err != nil {
		return nil, err
	}
	return s.use()
}

// mergeRanges returns the same addresses as ranges in ascending order that do not
// overlap; nil is all addresses.
func mergeRanges(in []dhcp4.Range) []dhcp4.Range {
	if in == nil {
		return []dhcp4.Range{{First: 0, Last: dhcp4.Broadcast}}
	}
	rs := make([]dhcp4.Range, 0, len(in))
	for _, r := range in {
		if r.Size() > 0 {
			rs = append(rs, r)
		}
	}
	sort.Slice(rs, func(i, j int) bool { return rs[i].First < rs[j].First })
	out := rs[:0]
	for _, r := range rs {
		if n := len(out); n > 0 && r.First <= out[n-1].Last {
			out[n-1].Last = max(out[n-1].Last, r.Last)
			continue
		}
		out = append(out, r)
	}
	return out
}

// read hands out the records from next on and returns where it came to.
func (l *loading) read(ctx context.Context, g *generation, ranges []dhcp4.Range, next dhcp4.Addr) (dhcp4.Addr, error) {
	it, err := g.db.NewIterWithContext(ctx, &pebble.IterOptions{
		LowerBound: []byte{spaceRecord}, UpperBound: []byte{spaceRecord + 1},
	})
	if err != nil {
		return next, err
	}
	defer it.Close()
	var key []byte
	for _, r := range ranges {
		if r.Last < next {
			continue
		}
		key = appendRecordKey(key[:0], max(r.First, next))
		if max(r.First, next) == 0 {
			key = key[:1] // keys that are too short for a record's are seen too
		}
		for ok := it.SeekGE(key); ok; ok = it.Next() {
			// A key that is no record's has an address of 0 and is set aside below.
			if a, isRec := recordAddr(it.Key()); isRec && a > r.Last {
				break
			}
			if err := l.add(it.Key(), it.Value()); err != nil {
				return next, err
			}
			if len(l.out) == loadBatch {
				next = l.out[len(l.out)-1].Addr + 1
				if err := l.flush(ctx); err != nil {
					return next, err
				}
			}
		}
		if err := it.Error(); err != nil {
			// What was read before the damage is handed out; the rest comes from what is
			// salvaged.
			if n := len(l.out); n > 0 {
				next = l.out[n-1].Addr + 1
			}
			if ferr := l.flush(ctx); ferr != nil {
				return next, ferr
			}
			return next, err
		}
	}
	return next, l.flush(ctx)
}

// add takes one value.
func (l *loading) add(k, v []byte) error {
	if _, deleted := deletedRev(v); deleted {
		return nil
	}
	// When the arena is full a new one is made; bindings of this batch keep the old.
	if cap(l.arena)-len(l.arena) < len(v) {
		l.arena = make([]byte, 0, max(loadBatch*128, len(v)))
	}
	n := len(l.arena)
	l.arena = append(l.arena, v...)
	v = l.arena[n:len(l.arena):len(l.arena)]
	l.out = append(l.out, lease.Binding{})
	b := &l.out[len(l.out)-1]
	a, ok := recordAddr(k)
	if !ok || decodeRecord(v, b) != nil {
		l.out = l.out[:len(l.out)-1]
		l.bad++
		if l.asideLen += len(k) + len(v); l.asideLen <= maxSetAside {
			l.aside = append(l.aside, [2][]byte{bytes.Clone(k), bytes.Clone(v)})
		}
		return nil
	}
	b.Addr = a
	return nil
}

// flush hands out what has gathered.
func (l *loading) flush(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return errLoad{err}
	}
	if len(l.out) == 0 {
		return nil
	}
	if err := l.fn(l.out); err != nil {
		return errLoad{err}
	}
	l.kept += len(l.out)
	l.out, l.arena = l.out[:0], l.arena[:0]
	return nil
}

// setAside moves unreadable values out of the way and reports them.
func (s *Store) setAside(g *generation, l *loading) error {
	if l.bad == 0 {
		return nil
	}
	rec := s.Recovery()
	what := fmt.Sprintf("%d records were not of a known form and were set aside", l.bad)
	if rec.What != "" {
		what = rec.What + "; " + what
	}
	rec.Careful, rec.What, rec.Kept, rec.Lost = true, what, l.kept, rec.Lost+l.bad
	s.mu.Lock()
	s.recovery = rec
	s.mu.Unlock()
	if s.readOnly || g.refuse != nil {
		return nil
	}
	for _, kv := range l.aside {
		s.batch.Set(append([]byte{spaceSetAside}, kv[0]...), kv[1], nil)
		s.batch.Delete(kv[0], nil)
	}
	v, err := encodeRecovery(rec)
	if err != nil {
		return err
	}
	s.batch.Set(keyRecovery, v, nil)
	// A disk that takes no more writes is no reason not to start: the next commit
	// finds the store broken.
	s.apply(g, pebble.Sync)
	return nil
}
