package pebble

import (
	"context"
	"errors"
	"fmt"
	"time"

	"lessor/internal/lease"
	"lessor/internal/store"
)

const (
	// closeWait is how long Recreate waits for Pebble to let go of the broken store.
	closeWait = 2 * time.Second
	// maxLeaving is how many broken stores may still be closing: a system call on a
	// dead disk can hang for ever, and each holds its files and goroutines.
	maxLeaving = 4
)

// Recreate implements store.Store: a fresh generation is written from the bindings
// of next and from the history of the old one, and CURRENT is switched to it. What
// was wrong with the disk shows here again as long as it lasts; then nothing of the
// new generation is left and the store stays broken. Deleted records need no mark in
// a new generation.
func (s *Store) Recreate(ctx context.Context, mark lease.Mark, next func([]lease.Binding) (int, error)) error {
	s.mu.Lock()
	old, rec := s.gen, s.recovery
	s.mu.Unlock()
	if s.readOnly {
		return errReadOnly
	}
	if s.batch != nil {
		s.batch.Close()
		s.batch = nil
	}
	s.committed = true
	old.startShutdown() // also of one that is whole: it is being left
	if err := s.waitLeaving(old); err != nil {
		return err
	}
	if err := s.clearHalfMade(old); err != nil {
		return err
	}
	num, err := s.nextGeneration()
	if err != nil {
		return err
	}
	var carry error
	g, err := s.build(num, func(w *builder) error {
		if err := w.putRecords(next); err != nil {
			return err
		}
		w.setMeta(mark, s.pos+1, rec)
		carry = s.carryFrom(w, old)
		var werr errWrite
		if errors.As(carry, &werr) {
			return carry
		}
		return ctx.Err()
	})
	if err != nil {
		return fmt.Errorf("cannot write a new store: %w", err)
	}
	return s.leave(old, g, mark, carry)
}

// leave goes over from old to g. carry is why g has not all of old's history, nil if
// it has.
func (s *Store) leave(old, g *generation, mark lease.Mark, carry error) error {
	aside := uint64(0)
	if carry != nil {
		aside = old.num
		s.opts.Report(fmt.Sprintf("not all of the history is in the new store (%v); the old one was put aside as %s*-%s",
			carry, asidePrefix, generationName(old.num)))
	}
	if err := s.switchTo(g, aside); err != nil {
		cerr := g.close()
		if !s.unsure {
			cerr = errors.Join(cerr, s.fs.RemoveAll(g.dir))
		}
		return errors.Join(fmt.Errorf("cannot switch to the new store: %w", err), cerr)
	}
	s.written = mark.W
	// What stays for any reason is removed at the next Recreate or start.
	if gens, err := s.generations(); err == nil {
		s.tidy(gens, current{use: g.num, aside: aside})
	}
	return nil
}

// waitLeaving waits a while for old to close, and refuses to go on with too many
// that do not.
func (s *Store) waitLeaving(old *generation) error {
	known := false
	left := s.leaving[:0]
	for _, g := range s.leaving {
		known = known || g == old
		select {
		case <-g.closed:
		default:
			left = append(left, g)
		}
	}
	s.leaving = left
	select {
	case <-old.closed:
		return nil
	case <-time.After(closeWait):
	}
	if !known {
		s.leaving = append(s.leaving, old)
	}
	if len(s.leaving) > maxLeaving {
		return fmt.Errorf("%w: the disk does not answer", store.ErrBroken)
	}
	return nil
}

// maxHalfMade is how many whole generations are kept that CURRENT may or may not
// name after a crash.
const maxHalfMade = 3

// clearHalfMade removes generations that an earlier Recreate could not switch to.
// While it is not sure which of them a crash would bring up, some stay; they all
// hold the same, and when the one that CURRENT names is missing the next start takes
// another.
func (s *Store) clearHalfMade(old *generation) error {
	gens, err := s.generations()
	if err != nil {
		return err
	}
	c, err := readCurrent(s.fs, s.dir)
	if err != nil {
		return nil // nothing is certain: leave all
	}
	for i, num := range gens {
		if s.unsure && i >= len(gens)-maxHalfMade {
			break
		}
		if num != old.num && num != c.use && num != c.aside {
			if err := s.fs.RemoveAll(s.generationDir(num)); err != nil {
				return err
			}
		}
	}
	return nil
}

// carryFrom copies the history of the store that is left, as far as it can be read.
func (s *Store) carryFrom(w *builder, old *generation) error {
	select {
	case <-old.closed:
	default:
		return errors.New("it does not close")
	}
	ro, err := s.openForReading(old.num)
	if err != nil {
		return err
	}
	err = w.carryHistory(ro, s.pos)
	if cerr := ro.close(); err == nil {
		err = cerr
	}
	return err
}
