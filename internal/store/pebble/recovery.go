package pebble

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sort"
	"strings"

	"github.com/cockroachdb/pebble/v2"

	"lessor/internal/store"
)

// maxAside is how many directories that were put aside are kept; the oldest goes
// first, so that a failing disk does not fill itself up with them.
const maxAside = 3

const asidePrefix = "damaged-"

// errOrphans says that there are tables with records that Pebble does not know.
var errOrphans = errors.New("its list of tables is damaged: tables that it does not name hold newer records")

// recoverAny is recovery without a CURRENT to trust: it takes the newest complete
// generation, and if none is complete, what can be read of the one that has most.
func (s *Store) recoverAny(gens []uint64, what string) error {
	for i := len(gens) - 1; i >= 0; i-- {
		g, err := s.openWhole(gens[i])
		if refusesChanges(err) {
			return err
		}
		if err != nil {
			continue
		}
		what = fmt.Sprintf("%s; the store %s is whole and was taken", what, generationName(gens[i]))
		if err := s.adopt(g, what); err != nil {
			g.close()
			return err
		}
		s.setGeneration(g)
		return nil
	}
	best := uint64(0)
	most := -1
	for i := len(gens) - 1; i >= 0; i-- {
		if n := countSalvageable(s.fs, s.generationDir(gens[i])); n > most {
			best, most = gens[i], n
		}
	}
	return s.recoverFrom(best, what)
}

// adopt makes the complete generation g the one in use.
func (s *Store) adopt(g *generation, what string) error {
	rec := store.Recovery{Careful: true, What: what}
	if err := g.writeRecovery(rec); err != nil {
		return err
	}
	if _, err := writeCurrent(s.fs, s.dir, current{format: storeFormat, use: g.num}); err != nil {
		return err
	}
	s.mu.Lock()
	s.recovery = rec
	s.mu.Unlock()
	return nil
}

// recoverFrom makes a fresh generation of what can be read of the damaged
// generation num (0: of nothing), switches to it and puts the damaged one aside. It
// can be interrupted anywhere: until the switch the next start does the same again,
// and after it CURRENT knows what is to be put aside.
func (s *Store) recoverFrom(num uint64, what string) error {
	next, err := s.nextGeneration()
	if err != nil {
		return err
	}
	var rec store.Recovery
	g, err := s.build(next, func(w *builder) error {
		found, err := w.salvage(num)
		if err != nil {
			return err
		}
		rec = store.Recovery{
			Careful: true, Kept: found.kept, Lost: found.lost,
			What: fmt.Sprintf("%s; %d records were read from it, it was put aside as %s*-%s",
				what, found.kept, asidePrefix, generationName(num)),
		}
		if num == 0 {
			rec.What = what + "; there was no store to read"
		}
		w.setMeta(found.mark, found.pos, rec)
		return nil
	})
	if err != nil {
		return fmt.Errorf("%s; and a new one cannot be written: %w", what, err)
	}
	if err := s.switchTo(g, num); err != nil {
		g.close()
		return err
	}
	return nil
}

// switchTo names g in CURRENT and puts it in force; aside, if not 0, is put aside.
func (s *Store) switchTo(g *generation, aside uint64) error {
	renamed, err := writeCurrent(s.fs, s.dir, current{format: storeFormat, use: g.num, aside: aside})
	if err != nil {
		s.unsure = s.unsure || renamed
		return err
	}
	s.unsure = false
	if err := s.takeMeta(g); err != nil {
		return err
	}
	s.setGeneration(g)
	if aside != 0 {
		s.putAside(aside)
	}
	return nil
}

// nextGeneration is a number that no directory has.
func (s *Store) nextGeneration() (uint64, error) {
	gens, err := s.generations()
	if err != nil {
		return 0, err
	}
	next := uint64(1)
	if c, err := readCurrent(s.fs, s.dir); err == nil {
		next = c.use + 1
	}
	if n := len(gens); n > 0 && gens[n-1] >= next {
		next = gens[n-1] + 1
	}
	return next, nil
}

// putAside renames a damaged generation so that nobody takes it for one in use, and
// keeps the number of such directories within bounds.
func (s *Store) putAside(num uint64) {
	name := asidePrefix + s.asideStamp() + "-" + generationName(num)
	if err := s.fs.Rename(s.generationDir(num), s.fs.PathJoin(s.dir, name)); err != nil {
		return // it keeps its name, and "aside" in CURRENT
	}
	syncDir(s.fs, s.dir)
	names, err := s.fs.List(s.dir)
	if err != nil {
		return
	}
	var aside []string
	for _, n := range names {
		if strings.HasPrefix(n, asidePrefix) {
			aside = append(aside, n)
		}
	}
	sort.Strings(aside)
	for len(aside) > maxAside {
		if s.fs.RemoveAll(s.fs.PathJoin(s.dir, aside[0])) == nil {
			s.opts.Report(fmt.Sprintf("removed %s: more than %d damaged stores were kept", aside[0], maxAside))
		}
		aside = aside[1:]
	}
}

// readRecovery reads what an earlier recovery left.
func (g *generation) readRecovery() (rec store.Recovery, err error) {
	v, closer, err := g.db.Get(keyRecovery)
	if errors.Is(err, pebble.ErrNotFound) {
		return rec, nil
	}
	if err != nil {
		return rec, fmt.Errorf("the report of a recovery cannot be read: %w", err)
	}
	defer closer.Close()
	if json.Unmarshal(v, &rec) != nil {
		rec = store.Recovery{Careful: true, What: "the report of an earlier recovery is unreadable"}
	}
	return rec, nil
}

func encodeRecovery(rec store.Recovery) ([]byte, error) { return json.Marshal(rec) }

// writeRecovery writes the report durably.
func (g *generation) writeRecovery(rec store.Recovery) error {
	v, err := encodeRecovery(rec)
	if err != nil {
		return err
	}
	return g.setDurably(keyRecovery, v)
}

// setDurably writes one pair by itself.
func (g *generation) setDurably(key, value []byte) error {
	if err := g.use(); err != nil {
		return err
	}
	defer g.done()
	if err := g.db.Set(key, value, pebble.Sync); err != nil {
		return err
	}
	return g.brokenErr()
}

// Recovered implements store.Store.
func (s *Store) Recovered(context.Context) error {
	g, err := s.use()
	if err != nil {
		return err
	}
	defer g.done()
	if g.refuse != nil {
		return g.refuse
	}
	if s.Recovery() == (store.Recovery{}) {
		return nil
	}
	if err := g.db.Delete(keyRecovery, pebble.Sync); err != nil {
		return err
	}
	if err := g.brokenErr(); err != nil {
		return err
	}
	s.mu.Lock()
	s.recovery = store.Recovery{}
	s.mu.Unlock()
	return nil
}
