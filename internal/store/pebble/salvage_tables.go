package pebble

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"math"
	"slices"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/sstable/block"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// maxSkips bounds the work that one damaged table can make.
const maxSkips = 1000

// salvageTable hands out the pairs of a table, skipping damaged blocks. A table whose
// index is damaged has none.
func salvageTable(fs vfs.FS, name string, fn found) (err error) {
	defer func() {
		// Pebble takes some damage for a bug of its own and panics.
		if p := recover(); p != nil {
			err = nil
		}
	}()
	r := openTable(fs, name)
	if r == nil {
		return nil
	}
	defer r.Close()
	from := []byte{}
	for skips := 0; skips < maxSkips; skips++ {
		last, ferr, whole := walkTable(r, from, fn)
		if ferr != nil || whole {
			return ferr
		}
		if last == nil {
			last = from
		}
		if from = afterDamage(r, last); from == nil {
			return nil
		}
	}
	return nil
}

// tableFile is a table whose damaged blocks are known. Reading one is an error at
// once: Pebble would look for a single wrong bit first, which takes it a tenth of a
// second each time.
type tableFile struct {
	vfs.File
	damaged map[int64]bool // by offset
}

var errDamaged = errors.New("damaged block")

func (f *tableFile) ReadAt(p []byte, off int64) (int, error) {
	if f.damaged[off] {
		return 0, errDamaged
	}
	return f.File.ReadAt(p, off)
}

// openTable opens a table and checks its data blocks; nil if its index is no use.
func openTable(fs vfs.FS, name string) *sstable.Reader {
	f, err := fs.Open(name)
	if err != nil {
		return nil
	}
	t := &tableFile{File: f, damaged: make(map[int64]bool)}
	readable, err := sstable.NewSimpleReadable(t)
	if err != nil {
		f.Close()
		return nil
	}
	o := &pebble.Options{}
	o.EnsureDefaults()
	r, err := sstable.NewReader(context.Background(), readable, o.MakeReaderOptions())
	if err != nil {
		return nil // NewReader has closed the file
	}
	layout, err := r.Layout()
	if err != nil {
		r.Close()
		return nil
	}
	var buf []byte
	for _, b := range layout.Data {
		// A block is followed by the type of its compression and the checksum of both.
		buf = slices.Grow(buf[:0], int(b.Length)+block.TrailerLen)[:int(b.Length)+block.TrailerLen]
		_, err := f.ReadAt(buf, int64(b.Offset))
		end := len(buf) - 4
		if err != nil || maskedCRC(buf[:end]) != binary.LittleEndian.Uint32(buf[end:]) {
			t.damaged[int64(b.Offset)] = true
		}
	}
	return r
}

// maskedCRC is the checksum of Pebble's blocks and log chunks.
func maskedCRC(b []byte) uint32 {
	c := crc32.Checksum(b, castagnoli)
	return (c>>15 | c<<17) + 0xa282ead8
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// walkTable hands out pairs from a key on. whole says that the end was reached;
// otherwise last is the last key before the damage, nil if there was none.
func walkTable(r *sstable.Reader, from []byte, fn found) (last []byte, ferr error, whole bool) {
	it, err := r.NewIter(sstable.NoTransforms, nil, nil, sstable.AssertNoBlobHandles)
	if err != nil {
		return nil, nil, false
	}
	defer it.Close()
	for kv := it.SeekGE(from, 0); kv != nil; kv = it.Next() {
		v, _, err := kv.Value(nil)
		if err != nil {
			return last, nil, false
		}
		last = append(last[:0], kv.K.UserKey...)
		if len(last) == 0 {
			continue
		}
		if err := fn(uint64(kv.K.SeqNum()), kv.K.Kind(), last, v); err != nil {
			return last, err, false
		}
	}
	return last, nil, it.Error() == nil
}

// afterDamage finds the first position after key from which the table can be read
// again; nil if there is none. Positions are the first eight octets of keys, taken
// as a number: steps that double find one beyond the damage, halving finds the first.
func afterDamage(r *sstable.Reader, key []byte) []byte {
	var first [8]byte
	copy(first[:], key)
	low := binary.BigEndian.Uint64(first[:])
	high := uint64(math.MaxUint64)
	for step := uint64(1); step != 0 && low < math.MaxUint64-step; step *= 2 {
		if damaged, _ := probeTable(r, low+step); !damaged {
			high = low + step
			break
		}
		low += step
	}
	for low+1 < high {
		mid := low + (high-low)/2
		if damaged, _ := probeTable(r, mid); damaged {
			low = mid
		} else {
			high = mid
		}
	}
	if damaged, end := probeTable(r, high); damaged || end {
		return nil
	}
	return binary.BigEndian.AppendUint64(nil, high)
}

// probeTable looks for the first pair from position at on: it is in a damaged block,
// or there is none.
func probeTable(r *sstable.Reader, at uint64) (damaged, end bool) {
	it, err := r.NewIter(sstable.NoTransforms, nil, nil, sstable.AssertNoBlobHandles)
	if err != nil {
		return true, false
	}
	defer it.Close()
	if it.SeekGE(binary.BigEndian.AppendUint64(nil, at), 0) != nil {
		return false, false
	}
	return it.Error() != nil, it.Error() == nil
}

// checkOrphans looks at those of the files found before g was opened that are tables
// and that Pebble's list of tables did not name, before Pebble removes them. After a
// crash these are the halves of an unfinished flush or compaction, and all they hold
// is in g. If g lacks a record of theirs, it is the list that is damaged: Pebble takes
// a list that breaks off for a shorter one and would drop the rest for good. Only
// whole tables count: a table is synced before the list names it, so one that is not
// whole never was in it.
func (g *generation) checkOrphans(files []dataFile) error {
	if err := g.use(); err != nil {
		return err
	}
	defer g.done()
	levels, err := g.db.SSTables()
	if err != nil {
		return err
	}
	named := g.takeInputs()
	for _, level := range levels {
		for _, t := range level {
			named[uint64(t.BackingSSTNum)] = true
		}
	}
	it, err := g.db.NewIter(&pebble.IterOptions{LowerBound: []byte{spaceRecord}, UpperBound: []byte{spaceRecord + 1}})
	if err != nil {
		return err
	}
	defer it.Close()
	for _, f := range files {
		if !f.table || named[f.num] {
			continue
		}
		missing := false
		whole, err := wholeTable(g.fs.FS, f.name, func(_ uint64, _ pebble.InternalKeyKind, key, value []byte) error {
			lacks, err := lacks(it, key, value)
			missing = missing || lacks
			return err
		})
		if err != nil {
			return err
		}
		if whole && missing {
			return errOrphans
		}
	}
	return nil
}

// lacks reports whether key is a record's and it, which walks over records, has no such
// record, or an older one than value. Keys that come in order are found by going on,
// which costs far less than a search for each.
func lacks(it *pebble.Iterator, key, value []byte) (bool, error) {
	if key[0] != spaceRecord {
		return false, nil
	}
	rev, ok := recordRev(value)
	if !ok {
		return false, nil
	}
	if !it.SeekGE(key) || !bytes.Equal(it.Key(), key) {
		return it.Error() == nil, it.Error()
	}
	have, ok := recordRev(it.Value())
	return ok && have < rev, nil
}

// wholeTable hands out the pairs of a table up to the first damage; whole says that
// there was none.
func wholeTable(fs vfs.FS, name string, fn found) (whole bool, err error) {
	defer func() {
		if p := recover(); p != nil {
			whole, err = false, nil
		}
	}()
	r := openTable(fs, name)
	if r == nil {
		return false, nil
	}
	defer r.Close()
	_, err, whole = walkTable(r, []byte{}, fn)
	return whole, err
}
