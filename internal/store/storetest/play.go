package storetest

import (
	"errors"
	"fmt"
	"time"

	"pgregory.net/rapid"

	"lessor/internal/lease"
	"lessor/internal/store"
)

// Subject is a store that a program runs on, and what befalls it on the way. Whatever
// that is, the answers must be those of a store to which nothing happens.
type Subject struct {
	Store store.Store
	// Restart closes the store and opens what it left; nil for one that keeps nothing.
	Restart func(store.Store) store.Store
	// Befall is called before each operation and returns the store to go on with; nil:
	// nothing happens.
	Befall func(store.Store) store.Store
	// Mend ends a fault that Befall began; nil where a store never fails. A commit that
	// failed is made again, over a store that was recreated.
	Mend func()
}

// Play runs p on s and returns what it answered, one string for each operation. s.Store
// is the store at the end; the caller closes it.
func (p Program) Play(t rapid.TB, s *Subject) (answers []string) {
	t.Helper()
	y := &play{t: t, s: s, p: p}
	for y.at = range p {
		if s.Befall != nil {
			s.Store = s.Befall(s.Store)
		}
		answers = append(answers, y.op(&p[y.at]))
		if t.Failed() {
			t.Fatalf("operation %d: %s", y.at, &p[y.at])
		}
	}
	return answers
}

// play is one run of a program.
type play struct {
	t    rapid.TB
	s    *Subject
	p    Program
	at   int
	mark int64   // of the last commit that had to write it, Unix seconds; 0: none
	lazy []int64 // of the commits since then, which could
	pos  store.Pos
}

func (y *play) op(o *op) string {
	y.t.Helper()
	switch o.kind {
	case opCommit:
		return y.commit(o)
	case opLoad:
		return y.load(o)
	case opByAddr, opByClient:
		return y.history(o)
	case opMark:
		return y.lookAtMark()
	case opRecreate:
		err := Recreate(y.s.Store, o.now, y.p.records(y.at))
		if err != nil {
			y.heal(err, o.now)
		}
		y.mark, y.lazy = o.now, nil
	case opRestart:
		if y.s.Restart != nil {
			y.s.Store = y.s.Restart(y.s.Store)
		}
		if r := y.s.Store.Recovery(); r != (store.Recovery{}) {
			y.t.Errorf("a whole store is taken for damaged: %+v", r)
		}
	}
	return ""
}

// heal ends the fault and recreates the store from what was durable before this
// operation.
func (y *play) heal(err error, mark int64) {
	y.t.Helper()
	if y.s.Mend == nil {
		y.t.Fatalf("operation %d, %s: %v", y.at, &y.p[y.at], err)
	}
	y.s.Mend()
	if err := Recreate(y.s.Store, mark, y.p.records(y.at)); err != nil {
		y.t.Fatalf("operation %d: Recreate after the fault was mended: %v", y.at, err)
	}
	y.mark, y.lazy = mark, nil
}

// do does something that a broken store refuses, on a healed one if need be.
func (y *play) do(what func() error) {
	y.t.Helper()
	err := what()
	if errors.Is(err, store.ErrBroken) {
		y.heal(err, max(y.mark, T0))
		err = what()
	}
	if err != nil {
		y.t.Errorf("operation %d, %s: %v", y.at, &y.p[y.at], err)
	}
}

func (y *play) commit(o *op) string {
	y.t.Helper()
	res := make([]store.Result, len(o.changes))
	y.do(func() error {
		err := y.s.Store.Commit(ctx, MarkAt(o.now), o.changes, res)
		for i := range res {
			if err != nil && res[i].Outcome != store.Failed {
				y.t.Errorf("outcome %d of a failed commit", res[i].Outcome)
			}
		}
		return err
	})
	wrote := len(o.changes) == 0
	answer := ""
	for i, r := range res {
		wrote = wrote || r.Outcome == store.Durable && !o.changes[i].CompareOnly
		answer += fmt.Sprint(r.Outcome, r.Current.Addr, " ")
	}
	if wrote {
		y.mark, y.lazy = o.now, nil
	} else {
		y.lazy = append(y.lazy, o.now)
	}
	return answer
}

func (y *play) load(o *op) (answer string) {
	y.t.Helper()
	y.do(func() error {
		answer = ""
		pos, err := y.s.Store.Load(ctx, o.in, func(bs []lease.Binding) error {
			for i := range bs {
				answer += fmt.Sprintf("%+v\n", Copy(&bs[i]))
			}
			return nil
		})
		if err == nil && pos < y.pos {
			y.t.Errorf("position %d after %d", pos, y.pos)
		}
		y.pos = max(y.pos, pos)
		return err
	})
	return answer
}

// lookAtMark checks that the mark is that of the last commit; one that wrote nothing
// may have left it.
func (y *play) lookAtMark() string {
	y.t.Helper()
	y.do(func() error { _, err := y.s.Store.Alive(ctx); return err })
	m := y.s.Store.Mark()
	for _, w := range y.lazy {
		if m == MarkAt(w) {
			return ""
		}
	}
	if y.mark != 0 && m == MarkAt(y.mark) || y.mark == 0 && m == (lease.Mark{}) {
		return ""
	}
	return fmt.Sprintf("%+v, not that of %d", m, y.mark)
}

func (y *play) history(o *op) (answer string) {
	y.t.Helper()
	at := func(sec int64) time.Time {
		if sec == 0 {
			return time.Time{}
		}
		return time.Unix(sec, 0)
	}
	var found []store.Possession
	y.do(func() error {
		found = found[:0]
		yield := func(p *store.Possession) bool {
			found = append(found, copyPossession(p))
			return o.limit == 0 || len(found) < o.limit
		}
		if o.kind == opByAddr {
			return y.s.Store.HistoryByAddr(ctx, o.addr, at(o.from), at(o.to), yield)
		}
		return y.s.Store.HistoryByClient(ctx, o.hw, o.id, at(o.from), at(o.to), yield)
	})
	for i := range found {
		if i > 0 && found[i].From > found[i-1].From {
			answer += "not the newest first; "
		}
	}
	if o.limit != 0 { // of those that begin at once any may be the last one
		for i := range found {
			answer += fmt.Sprintf("%d ", found[i].From)
		}
		return answer
	}
	canonical(found)
	for i := range found {
		answer += fmt.Sprintf("%+v\n", found[i])
	}
	return answer
}
