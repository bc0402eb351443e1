package pebble

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"lessor/internal/lease"
	"lessor/internal/store"
)

// idleMark is how old the written mark may become while groups come in that write
// nothing else.
const idleMark = 30 * time.Second

// Commit implements store.Store. The context is not looked at: a commit that has
// begun is finished, and its outcome is always known.
func (s *Store) Commit(_ context.Context, mark lease.Mark, cs []lease.Change, res []store.Result) error {
	if len(res) != len(cs) {
		return fmt.Errorf("store: %d results for %d changes", len(res), len(cs))
	}
	err := s.commit(mark, cs, res)
	if err != nil {
		for i := range res {
			res[i] = store.Result{Outcome: store.Failed}
		}
	}
	return err
}

func (s *Store) commit(mark lease.Mark, cs []lease.Change, res []store.Result) error {
	g, err := s.use()
	if err != nil {
		return err
	}
	defer g.done()
	if g.refuse != nil {
		return g.refuse
	}
	s.committed = true
	pos := s.pos + 1
	wrote := len(cs) == 0 || mark.W-s.written >= int64(idleMark) || mark.W < s.written
	for i := range cs {
		c := &cs[i]
		res[i] = store.Result{Outcome: store.Durable}
		if c.CompareOnly {
			continue // nobody else writes: what a reply was decided on is in the store
		}
		if !writable(c) {
			res[i].Outcome = store.Failed
			continue
		}
		wrote = true
		s.putChange(c, mark, uint64(pos)<<20|uint64(i))
		if s.batch.Len() >= s.maxBatch {
			if err := s.apply(g, pebble.NoSync); err != nil {
				return err
			}
		}
	}
	if !wrote {
		return nil
	}
	if err := s.expire(g, mark.W); err != nil {
		s.batch.Reset()
		g.fail(err)
		return g.brokenErr()
	}
	s.buf = appendMark(s.buf[:0], mark, pos)
	s.batch.Set(keyMark, s.buf, nil)
	if err := s.apply(g, pebble.Sync); err != nil {
		return err
	}
	s.written = mark.W
	s.mu.Lock()
	s.mark, s.pos = mark, pos
	s.mu.Unlock()
	return nil
}

// writable reports whether a change is one that a store can hold.
func writable(c *lease.Change) bool {
	if c.After.State == 0 {
		return c.After.Addr != 0 || c.Before.Addr != 0
	}
	return storable(&c.After) && (c.Before.Addr == 0 || c.Before.Addr == c.After.Addr)
}

// apply writes the batch and empties it. An error says that the store is broken, and
// that what was in the batch is not durable.
func (s *Store) apply(g *generation, o *pebble.WriteOptions) error {
	err := g.makeRoom()
	if err == nil {
		err = g.db.Apply(s.batch, o)
	}
	// Pebble has been kept from knowing: the file system knows whether all that this
	// commit rests on has come to the disk.
	if berr := g.brokenErr(); berr != nil {
		err = berr
	} else if err != nil {
		g.fail(err)
		err = g.brokenErr()
	}
	s.batch.Reset()
	return err
}

// putChange adds a change to the batch: its record, and what it makes history of.
// seq is unique to it.
func (s *Store) putChange(c *lease.Change, mark lease.Mark, seq uint64) {
	b, a := &c.Before, &c.After
	if a.State == 0 {
		addr := a.Addr
		if addr == 0 {
			addr = b.Addr
		}
		s.buf = appendRecordKey(s.buf[:0], addr)
		n := len(s.buf)
		s.buf = appendDeleted(s.buf, max(a.Rev, b.Rev))
		s.batch.Set(s.buf[:n], s.buf[n:], nil)
	} else {
		s.buf = appendRecordKey(s.buf[:0], a.Addr)
		n := len(s.buf)
		s.buf = appendRecord(s.buf, a)
		s.batch.Set(s.buf[:n], s.buf[n:], nil)
	}
	was := b.Addr != 0 && b.State == lease.Bound && storable(b)
	is := a.State == lease.Bound
	if was && is && samePossession(b, a) {
		return
	}
	if was {
		s.putEnd(b, a.State, min(endOf(b), mark.W/int64(time.Second)), seq)
	}
	if is {
		s.putClientKeys(a)
	}
}

// samePossession reports whether two bound states of an address are one interval of
// history.
func samePossession(a, b *lease.Binding) bool {
	return a.Start == b.Start && a.HType == b.HType &&
		bytes.Equal(a.HW, b.HW) && bytes.Equal(a.ClientID, b.ClientID)
}

// endOf is when b's lease ends by itself.
func endOf(b *lease.Binding) int64 {
	if b.Lifetime == lease.Infinite {
		return 1<<63 - 1
	}
	return b.Until
}

// putEnd adds the row of history of b's possession, which ends at until by a change to
// state after.
func (s *Store) putEnd(b *lease.Binding, after lease.State, until int64, seq uint64) {
	until = max(until, b.Start) // a clock that was set back makes no negative interval
	r := row{addr: b.Addr, from: b.Start, seq: seq}
	s.buf = appendHistoryKey(s.buf[:0], r)
	n := len(s.buf)
	s.buf = appendHistory(s.buf, b, until, store.FreeAfter(b, after, until))
	s.batch.Set(s.buf[:n], s.buf[n:], nil)
	s.buf = appendExpiryKey(s.buf[:0], until, r)
	s.batch.Set(s.buf, nil, nil)
}

// putClientKeys adds the keys by which b's possession is found from its client.
func (s *Store) putClientKeys(b *lease.Binding) {
	if len(b.HW) > 0 {
		s.buf = appendClientKey(s.buf[:0], clientHW, b.HW, b.Start, b.Addr)
		s.batch.Set(s.buf, nil, nil)
	}
	if len(b.ClientID) > 0 {
		s.buf = appendClientKey(s.buf[:0], clientID, b.ClientID, b.Start, b.Addr)
		s.batch.Set(s.buf, nil, nil)
	}
}
