package pebble

import (
	"context"
	"encoding/binary"
	"hash/crc32"
	"io"
	"math"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/batchrepr"
	"github.com/cockroachdb/pebble/v2/sstable"
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
	f, err := fs.Open(name)
	if err != nil {
		return nil
	}
	readable, err := sstable.NewSimpleReadable(f)
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
// as a number: steps that double find a readable one, halving finds the first.
func afterDamage(r *sstable.Reader, key []byte) []byte {
	var first [8]byte
	copy(first[:], key)
	at := binary.BigEndian.Uint64(first[:])
	low, step := at, uint64(1)
	high := uint64(0)
	for {
		if at > math.MaxUint64-step {
			return nil
		}
		if probeTable(r, at+step) {
			high = at + step
			break
		}
		low = at + step
		step *= 2
	}
	for low+1 < high {
		mid := low + (high-low)/2
		if probeTable(r, mid) {
			high = mid
		} else {
			low = mid
		}
	}
	return binary.BigEndian.AppendUint64(nil, high)
}

// probeTable reports whether the block that holds position at can be read and
// something follows.
func probeTable(r *sstable.Reader, at uint64) bool {
	it, err := r.NewIter(sstable.NoTransforms, nil, nil, sstable.AssertNoBlobHandles)
	if err != nil {
		return false
	}
	defer it.Close()
	return it.SeekGE(binary.BigEndian.AppendUint64(nil, at), 0) != nil
}

// The form of Pebble's log: blocks of 32 KiB of chunks, each with a checksum, its
// length, its type, the number of its log and how far the log was synced before.
const (
	logBlock     = 32 << 10
	logHeader    = 4 + 2 + 1 + 4
	logSyncChunk = 8 // more octets of header in types 9 to 12
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// salvageLog hands out the pairs of a log, skipping chunks that are not whole.
func salvageLog(fs vfs.FS, name string, num uint32, fn found) error {
	f, err := fs.Open(name)
	if err != nil {
		return nil
	}
	defer f.Close()
	data, _ := io.ReadAll(f) // what could be read counts
	var rec []byte
	in := false // a first chunk was seen, and all its followers so far
	for len(data) > 0 {
		block := data[:min(logBlock, len(data))]
		data = data[len(block):]
		for len(block) >= logHeader {
			pos, payload, size := logChunk(block, num)
			if size == 0 {
				in = false
				break
			}
			block = block[size:]
			switch pos {
			case 1, 2: // whole, first
				rec, in = append(rec[:0], payload...), true
			case 3, 4: // middle, last
				rec = append(rec, payload...)
			default:
				in = false
			}
			if in && (pos == 1 || pos == 4) {
				if err := salvageBatch(rec, fn); err != nil {
					return err
				}
				in = false
			}
		}
	}
	return nil
}

// logChunk reads the chunk at the front of a block. pos is 1 for a whole record, 2, 3
// and 4 for its first, middle and last part, 0 for a damaged chunk that can be
// stepped over; size 0 says that the rest of the block cannot be read.
func logChunk(b []byte, num uint32) (pos int, payload []byte, size int) {
	sum, n, kind := binary.LittleEndian.Uint32(b), int(binary.LittleEndian.Uint16(b[4:])), b[6]
	header := logHeader
	if kind >= 9 {
		header += logSyncChunk
	}
	size = header + n
	if kind < 5 || kind > 12 || size > len(b) || binary.LittleEndian.Uint32(b[7:]) != num {
		return 0, nil, 0
	}
	c := crc32.Checksum(b[6:size], castagnoli)
	if (c>>15|c<<17)+0xa282ead8 != sum {
		return 0, nil, size
	}
	return int(kind-1)%4 + 1, b[header:size], size
}

// salvageBatch hands out the pairs of one commit.
func salvageBatch(rec []byte, fn found) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = nil // the batch reader trusts what passed the checksum
		}
	}()
	h, ok := batchrepr.ReadHeader(rec)
	if !ok {
		return nil
	}
	r := batchrepr.Read(rec)
	for seq := uint64(h.SeqNum); ; seq++ {
		kind, key, value, ok, err := r.Next()
		if err != nil || !ok {
			return nil
		}
		if len(key) == 0 {
			continue
		}
		if err := fn(seq, kind, key, value); err != nil {
			return err
		}
	}
}

// checkOrphans looks at the tables that Pebble wanted to remove when it opened g,
// because its list of tables does not name them. After a crash these are the halves
// of an unfinished flush or compaction, and all they hold is in g. If g lacks a
// record of theirs, it is the list that is damaged: Pebble takes a list that breaks
// off for a shorter one and would drop the rest for good.
func (g *generation) checkOrphans(tables []string) error {
	missing := 0
	for _, name := range tables {
		err := salvageTable(g.fs.FS, name, func(_ uint64, _ pebble.InternalKeyKind, key, value []byte) error {
			if key[0] != spaceRecord {
				return nil
			}
			rev, ok := recordRev(value)
			if !ok {
				return nil
			}
			v, closer, err := g.db.Get(key)
			if err == pebble.ErrNotFound {
				missing++
				return nil
			}
			if err != nil {
				return err
			}
			defer closer.Close()
			if have, ok := recordRev(v); ok && have < rev {
				missing++
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	if missing > 0 {
		return errOrphans
	}
	for _, name := range tables {
		g.fs.Remove(name)
	}
	return nil
}
