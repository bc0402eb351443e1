package pebble

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"math"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"lessor/dhcp4"
	"lessor/internal/lease"
	"lessor/internal/store"
)

// span is the time asked for, in Unix seconds, both ends included.
type span struct{ from, to int64 }

func spanOf(from, to time.Time) span {
	s := span{math.MinInt64, math.MaxInt64}
	if !from.IsZero() {
		s.from = from.Unix()
	}
	if !to.IsZero() {
		s.to = to.Unix()
	}
	return s
}

func (s span) touches(p *store.Possession) bool {
	return s.from <= s.to && p.From <= s.to && p.Until >= s.from
}

// view reads possessions from one generation.
type view struct {
	g   *generation
	db  *pebble.DB
	now int64 // Unix seconds
	sp  span
	rec lease.Binding // record of an address; its slices alias recBuf
	buf []byte
	p   store.Possession
}

func (s *Store) view(g *generation, from, to time.Time) *view {
	now := max(s.opts.Now(), s.Mark().W)
	return &view{g: g, db: g.db, now: now / int64(time.Second), sp: spanOf(from, to)}
}

// prefixEnd is the first key after all that begin with p, whose last octet is not 0xff.
func prefixEnd(p []byte) []byte {
	e := bytes.Clone(p)
	for i := len(e) - 1; i >= 0; i-- {
		if e[i]++; e[i] != 0 {
			return e[:i+1]
		}
	}
	return nil
}

// current reads the possession that the record of a stands for; ok is false when the
// record is not of a bound address.
func (v *view) current(a dhcp4.Addr) (p *store.Possession, ok bool, err error) {
	val, closer, err := v.db.Get(appendRecordKey(nil, a))
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	v.buf = append(v.buf[:0], val...)
	closer.Close()
	if decodeRecord(v.buf, &v.rec) != nil || v.rec.State != lease.Bound {
		return nil, false, nil
	}
	b := &v.rec
	return &store.Possession{
		Addr: a, HType: b.HType, HW: b.HW, ClientID: b.ClientID, Hostname: b.Hostname,
		GIAddr: b.GIAddr, Agent: b.Agent, From: b.Start, Until: b.Until,
		Running: endOf(b) > v.now, Free: store.FreeAfter(b, 0, 0),
	}, true, nil
}

// ended calls yield for the ended possessions whose keys begin with prefix, newest
// first; more is false when yield was.
func (v *view) ended(ctx context.Context, prefix []byte, yield func(*store.Possession) bool) (more bool, err error) {
	it, err := v.db.NewIter(&pebble.IterOptions{LowerBound: prefix, UpperBound: prefixEnd(prefix)})
	if err != nil {
		return false, err
	}
	defer it.Close()
	for ok := it.Last(); ok; ok = it.Prev() {
		if err := cmp.Or(ctx.Err(), v.g.fs.err()); err != nil {
			return false, err // a broken store waits for its readers to leave
		}
		r, ok := parseHistoryKey(it.Key())
		if !ok || r.from > v.sp.to || decodeHistory(it.Value(), &v.p) != nil {
			continue
		}
		v.p.Addr, v.p.From = r.addr, r.from
		if v.sp.touches(&v.p) && !yield(&v.p) {
			return false, nil
		}
	}
	return true, it.Error()
}

// readErr is what a caller is told of the error of a read: that the store is broken, if
// it broke meanwhile, whatever the read met in the files that Pebble could not make.
func (g *generation) readErr(ctx context.Context, err error) error {
	if cause := g.fs.err(); err != nil && ctx.Err() == nil && cause != nil {
		return brokenBy(cause)
	}
	return err
}

// HistoryByAddr implements store.History.
func (s *Store) HistoryByAddr(ctx context.Context, a dhcp4.Addr, from, to time.Time, yield func(*store.Possession) bool) (err error) {
	g, err := s.use()
	if err != nil {
		return err
	}
	defer g.done()
	defer func() { err = g.readErr(ctx, err) }()
	v := s.view(g, from, to)
	cur, ok, err := v.current(a)
	if err != nil {
		return err
	}
	ok = ok && v.sp.touches(cur)
	// The current one is the newest, unless the clock was set back meanwhile.
	more, err := v.ended(ctx, a.Append([]byte{spaceHistory}), func(p *store.Possession) bool {
		if ok && cur.From >= p.From {
			ok = false
			if !yield(cur) {
				return false
			}
		}
		return yield(p)
	})
	if more && ok {
		yield(cur)
	}
	return err
}

// clientWalk goes through the possessions of one key of a client, newest first.
type clientWalk struct {
	it   *pebble.Iterator
	from int64
	addr dhcp4.Addr
	ok   bool
}

func (v *view) walk(kind byte, key []byte) (*clientWalk, error) {
	if len(key) == 0 || len(key) > maxClientID {
		return &clientWalk{}, nil
	}
	prefix := appendClientPrefix(nil, kind, key)
	it, err := v.db.NewIter(&pebble.IterOptions{LowerBound: prefix, UpperBound: prefixEnd(prefix)})
	if err != nil {
		return nil, err
	}
	w := &clientWalk{it: it}
	w.settle(it.Last())
	return w, nil
}

// settle reads the key the iterator stands on, going back over what is none.
func (w *clientWalk) settle(ok bool) {
	for ; ok; ok = w.it.Prev() {
		if w.from, w.addr, w.ok = clientKeyTail(w.it.Key()); w.ok {
			return
		}
	}
	w.ok = false
}

// newer reports whether w stands on a possession that comes before o's.
func (w *clientWalk) newer(o *clientWalk) bool {
	if !w.ok || !o.ok {
		return w.ok
	}
	return w.from > o.from || w.from == o.from && w.addr > o.addr
}

func (w *clientWalk) close() error {
	if w.it == nil {
		return nil
	}
	return w.it.Close()
}

// HistoryByClient implements store.History.
func (s *Store) HistoryByClient(ctx context.Context, hw, id []byte, from, to time.Time, yield func(*store.Possession) bool) (err error) {
	g, err := s.use()
	if err != nil {
		return err
	}
	defer g.done()
	defer func() { err = g.readErr(ctx, err) }()
	v := s.view(g, from, to)
	byHW, err := v.walk(clientHW, hw)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, byHW.close()) }()
	byID, err := v.walk(clientID, id)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, byID.close()) }()
	match := func(p *store.Possession) bool {
		return len(hw) > 0 && bytes.Equal(p.HW, hw) || len(id) > 0 && bytes.Equal(p.ClientID, id)
	}
	for byHW.ok || byID.ok {
		at := byHW
		if byID.newer(byHW) {
			at = byID
		}
		f, a := at.from, at.addr
		for _, w := range []*clientWalk{byHW, byID} {
			if w.ok && w.from == f && w.addr == a {
				w.settle(w.it.Prev())
			}
		}
		more, err := v.possessions(ctx, a, f, match, yield)
		if err != nil || !more {
			return err
		}
	}
	return nil
}

// possessions yields those of address a that began at from and match.
func (v *view) possessions(ctx context.Context, a dhcp4.Addr, from int64, match, yield func(*store.Possession) bool) (more bool, err error) {
	p, ok, err := v.current(a)
	if err != nil {
		return false, err
	}
	if ok && p.From == from && match(p) && v.sp.touches(p) && !yield(p) {
		return false, nil
	}
	prefix := appendHistoryKey(nil, row{addr: a, from: from})
	return v.ended(ctx, prefix[:len(prefix)-8], func(p *store.Possession) bool {
		return !match(p) || yield(p)
	})
}
