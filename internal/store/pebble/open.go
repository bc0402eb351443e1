package pebble

import (
	"errors"
	"fmt"
	"sort"
	"strconv"
	"time"

	"github.com/cockroachdb/errors/oserror"

	"lessor/internal/store"
)

// open finds the generation in use, or makes the first, and puts it in force.
func (s *Store) open() error {
	if err := makeDir(s.fs, s.dir); err != nil {
		return err
	}
	gens, err := s.generations()
	if err != nil {
		return err
	}
	c, err := readCurrent(s.fs, s.dir)
	switch {
	case errors.Is(err, store.ErrFormat):
		return err
	case err == nil && c.creating, oserror.IsNotExist(err) && len(gens) == 0:
		return s.createFirst()
	case oserror.IsNotExist(err):
		return s.recoverAny(gens, fmt.Sprintf("the file %s is missing", currentName))
	case err != nil:
		return s.recoverAny(gens, err.Error())
	}
	if _, err := s.fs.Stat(s.generationDir(c.use)); oserror.IsNotExist(err) {
		return s.recoverAny(gens, fmt.Sprintf("the store %s that %s names is missing", generationName(c.use), currentName))
	}
	if err := s.openGeneration(c.use); err != nil {
		return err
	}
	if s.gen.refuse == nil {
		s.tidy(gens, c)
	}
	return nil
}

// generations lists the numbers of the generation directories, in ascending order.
func (s *Store) generations() ([]uint64, error) {
	names, err := s.fs.List(s.dir)
	if err != nil {
		return nil, err
	}
	var nums []uint64
	for _, n := range names {
		if num, err := strconv.ParseUint(n, 10, 63); err == nil && num > 0 && n == generationName(num) {
			nums = append(nums, num)
		}
	}
	sort.Slice(nums, func(i, j int) bool { return nums[i] < nums[j] })
	return nums, nil
}

func generationName(num uint64) string { return fmt.Sprintf("%06d", num) }

func (s *Store) generationDir(num uint64) string {
	return s.fs.PathJoin(s.dir, generationName(num))
}

// tidy removes what an interrupted Recreate or recovery left: generations that are
// neither in use nor to be put aside. Nothing depends on its success.
func (s *Store) tidy(gens []uint64, c current) {
	for _, num := range gens {
		switch num {
		case c.use, s.gen.num:
		case c.aside:
			s.putAside(num)
		default:
			s.fs.RemoveAll(s.generationDir(num))
		}
	}
}

// createFirst makes the first generation of an empty directory. CURRENT says
// "creating" meanwhile: what an interruption leaves is known to be empty, and is no
// lost store.
func (s *Store) createFirst() error {
	const num = 1
	if err := s.fs.RemoveAll(s.generationDir(num)); err != nil {
		return err
	}
	c := current{format: storeFormat, use: num, creating: true}
	if _, err := writeCurrent(s.fs, s.dir, c); err != nil {
		return err
	}
	g := newGeneration(s.fs, num, s.generationDir(num))
	if err := g.openDB(s.engineOptions(g, g.fs)); err != nil {
		return err
	}
	err := g.setDurably(keyComplete, []byte{storeFormat})
	if err == nil {
		c.creating = false
		_, err = writeCurrent(s.fs, s.dir, c)
	}
	if err != nil {
		g.close()
		return err
	}
	s.setGeneration(g)
	return nil
}

// openGeneration opens the generation that CURRENT names.
func (s *Store) openGeneration(num uint64) error {
	g, err := s.openWhole(num)
	switch {
	case err == nil:
		s.setGeneration(g)
		return nil
	case refusesChanges(err):
		return s.openBroken(num, err)
	default:
		return s.recoverFrom(num, fmt.Sprintf("the store %s cannot be opened (%v)", generationName(num), err))
	}
}

// openWhole opens a generation for reading and writing and takes over its mark. An
// error that is not of a refused change says that it is damaged.
func (s *Store) openWhole(num uint64) (*generation, error) {
	g := newGeneration(s.fs, num, s.generationDir(num))
	files := dataFiles(s.fs, g.dir)
	g.fs.hold = true
	g.inputs = make(map[uint64]bool)
	o := s.engineOptions(g, g.fs)
	o.ErrorIfNotExists = true // where a store was, none is to be made
	if err := g.openDB(o); err != nil {
		return nil, err
	}
	err := g.checkOrphans(files)
	g.fs.releaseRemovals(err == nil)
	if err == nil {
		err = s.takeMeta(g)
	}
	if err == nil {
		err = g.brokenErr()
	}
	if err != nil {
		g.close()
		return nil, err
	}
	return g, nil
}

// takeMeta reads what g says about itself into s.
func (s *Store) takeMeta(g *generation) error {
	if err := g.use(); err != nil {
		return err
	}
	defer g.done()
	v, closer, err := g.db.Get(keyComplete)
	if err != nil {
		return fmt.Errorf("the store is not complete: %w", err)
	}
	format := append([]byte(nil), v...)
	closer.Close()
	if len(format) != 1 || format[0] != storeFormat {
		return fmt.Errorf("the store's format is %x", format)
	}
	m, pos, err := g.mark()
	if err != nil {
		return fmt.Errorf("the mark cannot be read: %w", err)
	}
	rec, err := g.readRecovery()
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.mark, s.pos, s.recovery = m, pos, rec
	s.mu.Unlock()
	return nil
}

// openBroken opens a generation for reading alone, because of a write that failed.
func (s *Store) openBroken(num uint64, cause error) error {
	g, err := s.openForReading(num)
	if err != nil {
		return fmt.Errorf("%w (and it cannot be read either: %w)", cause, err)
	}
	if err := s.takeMeta(g); err != nil {
		g.close()
		return fmt.Errorf("%w (and it cannot be read either: %w)", cause, err)
	}
	g.refuse = cause
	s.setGeneration(g)
	return nil
}

// openForReading opens a generation so that nothing on the disk can change.
func (s *Store) openForReading(num uint64) (*generation, error) {
	g := newGeneration(s.fs, num, s.generationDir(num))
	o := s.engineOptions(g, readOnlyFS{s.fs})
	o.ReadOnly = true
	o.DisableTableStats = true
	if err := g.openDB(o); err != nil {
		return nil, err
	}
	g.refuse = errReadOnly
	return g, nil
}

// OpenReadOnly opens the store of a server that does not run, to look at it: nothing
// on the disk is changed, a crash's unfinished business included. While a server
// holds the lock, the error wraps store.ErrLocked and says which. Damage is an error
// here; starting the server repairs it. Of the methods, Load, Mark, the reads of
// history and Close are of use.
func OpenReadOnly(dir string, opts Options) (*Store, error) {
	s := newStore(dir, opts)
	s.readOnly = true
	if err := checkUnlocked(s.fs, s.state); err != nil {
		return nil, err
	}
	g, err := s.openForLook()
	if err != nil {
		if lerr := checkUnlocked(s.fs, s.state); lerr != nil {
			err = lerr // a server has started meanwhile
		}
		return nil, fmt.Errorf("cannot read the store in %s: %w", dir, err)
	}
	s.setGeneration(g)
	return s, nil
}

func (s *Store) openForLook() (*generation, error) {
	c, err := readCurrent(s.fs, s.dir)
	if oserror.IsNotExist(err) || err == nil && c.creating {
		return nil, errors.New("there is none: a server makes it at its first start")
	}
	if err != nil {
		return nil, err
	}
	g, err := s.openForReading(c.use)
	if err != nil {
		return nil, err
	}
	if err := s.takeMeta(g); err != nil {
		g.close()
		return nil, err
	}
	return g, nil
}

// asideStamp is the time in the name of a directory that was put aside.
func (s *Store) asideStamp() string {
	return time.Unix(0, s.opts.Now()).UTC().Format("20060102T150405Z")
}
