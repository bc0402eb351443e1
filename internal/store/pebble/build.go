package pebble

import (
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"lessor/internal/lease"
	"lessor/internal/store"
)

// builder fills a generation that nobody uses yet. It writes without a log: the
// tables are synced as a whole at the end, or the generation is thrown away.
type builder struct {
	s     *Store
	g     *generation
	batch *pebble.Batch
	buf   []byte

	mark lease.Mark
	pos  store.Pos
	rec  store.Recovery
}

// setMeta says what the new generation is to hold about itself.
func (w *builder) setMeta(m lease.Mark, pos store.Pos, rec store.Recovery) {
	w.mark, w.pos, w.rec = m, pos, rec
}

// build makes generation num, lets fill write into it, makes it durable and opens
// it for use. On an error nothing is left of it. CURRENT is not touched.
func (s *Store) build(num uint64, fill func(*builder) error) (*generation, error) {
	dir := s.generationDir(num)
	if err := s.fs.RemoveAll(dir); err != nil {
		return nil, err
	}
	err := s.buildTables(num, fill)
	if err != nil {
		return nil, errors.Join(err, s.fs.RemoveAll(dir))
	}
	g := newGeneration(s.fs, num, dir)
	if err := g.openDB(s.engineOptions(g, g.fs)); err != nil {
		return nil, errors.Join(err, s.fs.RemoveAll(dir))
	}
	return g, nil
}

func (s *Store) buildTables(num uint64, fill func(*builder) error) (err error) {
	g := newGeneration(s.fs, num, s.generationDir(num))
	o := s.engineOptions(g, g.fs)
	o.DisableWAL = true
	if err := g.openDB(o); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, g.close()) }()
	if err := g.use(); err != nil {
		return err
	}
	defer g.done()
	w := &builder{s: s, g: g, batch: g.db.NewBatchWithSize(s.maxBatch + 4096)}
	defer func() { w.batch.Close() }()
	if err := fill(w); err != nil {
		return err
	}
	if err := w.putMeta(); err != nil {
		return err
	}
	if err := w.apply(); err != nil {
		return err
	}
	if err := g.db.Flush(); err != nil {
		return err
	}
	return g.brokenErr()
}

func (w *builder) putMeta() error {
	w.buf = appendMark(w.buf[:0], w.mark, w.pos)
	if err := w.put(keyMark, w.buf); err != nil {
		return err
	}
	if w.rec != (store.Recovery{}) {
		v, err := encodeRecovery(w.rec)
		if err != nil {
			return err
		}
		if err := w.put(keyRecovery, v); err != nil {
			return err
		}
	}
	return w.put(keyComplete, []byte{storeFormat})
}

// put adds one pair, and writes out what has gathered when it is enough.
func (w *builder) put(key, value []byte) error {
	if err := w.batch.Set(key, value, nil); err != nil {
		return err
	}
	if w.batch.Len() < w.s.maxBatch {
		return nil
	}
	return w.apply()
}

func (w *builder) apply() error {
	err := w.g.db.Apply(w.batch, pebble.NoSync)
	if err == nil {
		err = w.g.brokenErr()
	}
	w.batch.Reset()
	return err
}

// putRecord writes a record and, for a binding, its client's keys.
func (w *builder) putRecord(b *lease.Binding) error {
	if !storable(b) {
		return fmt.Errorf("the record of %v cannot be stored: a field is over its limit", b.Addr)
	}
	w.buf = appendRecordKey(w.buf[:0], b.Addr)
	n := len(w.buf)
	w.buf = appendRecord(w.buf, b)
	if err := w.put(w.buf[:n], w.buf[n:]); err != nil {
		return err
	}
	if b.State != lease.Bound {
		return nil
	}
	return w.putClient(b.HW, b.ClientID, row{addr: b.Addr, from: b.Start})
}

// putClient writes the keys by which a possession is found from its client.
func (w *builder) putClient(hw, id []byte, r row) error {
	if len(hw) > 0 {
		w.buf = appendClientKey(w.buf[:0], clientHW, hw, r.from, r.addr)
		if err := w.put(w.buf, nil); err != nil {
			return err
		}
	}
	if len(id) > 0 {
		w.buf = appendClientKey(w.buf[:0], clientID, id, r.from, r.addr)
		return w.put(w.buf, nil)
	}
	return nil
}

// putHistory writes a row of history whose value is v, decoded as p, with all keys
// that lead to it.
func (w *builder) putHistory(r row, v []byte, p *store.Possession) error {
	w.buf = appendHistoryKey(w.buf[:0], r)
	if err := w.put(w.buf, v); err != nil {
		return err
	}
	w.buf = appendExpiryKey(w.buf[:0], p.Until, r)
	if err := w.put(w.buf, nil); err != nil {
		return err
	}
	return w.putClient(p.HW, p.ClientID, r)
}
