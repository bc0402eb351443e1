package pebble

import (
	"bytes"
	"errors"
	"math"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"lessor/internal/lease"
	"lessor/internal/store"
)

// History leaves in small steps that ride on commits: so many rows at most, so
// often. A clock that is wrong by years therefore costs a bounded part of it by the
// time somebody looks.
const (
	expireRows  = 256
	expireEvery = time.Minute
	expireMore  = time.Second // when the last step left some
)

// expire adds the removal of rows that ended longer than the retention time before
// now (the time of the mark, ns) to the batch, if it is time for a step.
func (s *Store) expire(g *generation, now int64) error {
	every := expireEvery
	if s.sweepMore {
		every = expireMore
	}
	if s.retention < 0 || now-s.swept < int64(every) && now >= s.swept {
		return nil
	}
	s.swept = now
	cutoff := now/int64(time.Second) - s.retention
	first := []byte{spaceExpiry}
	it, err := g.db.NewIter(&pebble.IterOptions{
		LowerBound: first, UpperBound: appendExpiryKey(nil, cutoff, row{}),
	})
	if err != nil {
		return err
	}
	defer it.Close()
	n := 0
	var last []byte
	for ok := it.First(); ok && n < expireRows; ok = it.Next() {
		n++
		last = append(last[:0], it.Key()...)
		if _, r, ok := parseExpiryKey(last); ok {
			if err := s.expireRow(g, r); err != nil {
				return err
			}
		}
	}
	s.sweepMore = n == expireRows
	if n == 0 {
		return it.Error()
	}
	// One range for all the keys of the step, up to the last one and with it.
	if err := s.batch.DeleteRange(first, append(last, 0), nil); err != nil {
		return err
	}
	return it.Error()
}

// expireRow removes one row and the client keys that lead to nothing else.
func (s *Store) expireRow(g *generation, r row) error {
	key := appendHistoryKey(nil, r)
	val, closer, err := g.db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	val = bytes.Clone(val)
	closer.Close()
	if err := s.batch.Delete(key, nil); err != nil {
		return err
	}
	var p store.Possession
	if decodeHistory(val, &p) != nil {
		return nil
	}
	hw, id := len(p.HW) > 0, len(p.ClientID) > 0
	err = s.sharers(g, r, func(o *store.Possession) {
		hw = hw && !bytes.Equal(o.HW, p.HW)
		id = id && !bytes.Equal(o.ClientID, p.ClientID)
	})
	if err != nil {
		return err
	}
	if hw {
		s.batch.Delete(appendClientKey(nil, clientHW, p.HW, r.from, r.addr), nil)
	}
	if id {
		s.batch.Delete(appendClientKey(nil, clientID, p.ClientID, r.from, r.addr), nil)
	}
	return nil
}

// sharers calls fn with the other possessions of the same address and begin.
func (s *Store) sharers(g *generation, r row, fn func(*store.Possession)) error {
	v := &view{g: g, db: g.db, sp: span{math.MinInt64, math.MaxInt64}}
	p, ok, err := v.current(r.addr)
	if err != nil {
		return err
	}
	if ok && p.From == r.from {
		fn(p)
	}
	prefix := appendHistoryKey(nil, r)
	prefix = prefix[:len(prefix)-8]
	it, err := g.db.NewIter(&pebble.IterOptions{LowerBound: prefix, UpperBound: prefixEnd(prefix)})
	if err != nil {
		return err
	}
	defer it.Close()
	for ok := it.First(); ok; ok = it.Next() {
		if o, ok := parseHistoryKey(it.Key()); ok && o.seq != r.seq && decodeHistory(it.Value(), &v.p) == nil {
			fn(&v.p)
		}
	}
	return it.Error()
}

// carryBudget is how long Recreate may copy history: leases come first, and the
// server must serve again within seconds.
const carryBudget = 3 * time.Second

var errCarryLate = errors.New("there was more than could be copied in time")

// carryHistory copies the rows of old that belong to commits up to pos: later ones
// are of changes that failed. The records of w are not touched.
func (w *builder) carryHistory(old *generation, pos store.Pos) error {
	if err := old.use(); err != nil {
		return err
	}
	defer old.done()
	it, err := old.db.NewIter(&pebble.IterOptions{
		LowerBound: []byte{spaceHistory}, UpperBound: []byte{spaceHistory + 1},
	})
	if err != nil {
		return err
	}
	defer it.Close()
	end := time.Now().Add(carryBudget)
	var p store.Possession
	for n, ok := 0, it.First(); ok; n, ok = n+1, it.Next() {
		if n&1023 == 1023 && time.Now().After(end) {
			return errCarryLate
		}
		r, ok := parseHistoryKey(it.Key())
		if !ok || store.Pos(r.seq>>20) > pos || decodeHistory(it.Value(), &p) != nil {
			continue
		}
		if err := w.putHistory(r, it.Value(), &p); err != nil {
			return errWrite{err}
		}
	}
	return it.Error()
}

// errWrite marks an error of the new store among those of the old one.
type errWrite struct{ error }

func (e errWrite) Unwrap() error { return e.error }

// putRecords writes what next yields.
func (w *builder) putRecords(next func([]lease.Binding) (int, error)) error {
	buf := make([]lease.Binding, loadBatch)
	for {
		n, err := next(buf)
		if err != nil || n == 0 {
			return err
		}
		for i := range buf[:n] {
			if err := w.putRecord(&buf[i]); err != nil {
				return err
			}
		}
	}
}
