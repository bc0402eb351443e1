package pebble

import (
	"bytes"
	"encoding/binary"
	"strconv"
	"strings"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"lessor/dhcp4"
	"lessor/internal/lease"
	"lessor/internal/store"
)

// Salvage reads the files of a generation that Pebble cannot open, or not read to
// its end, each by itself: tables block by block, logs chunk by chunk, whatever the
// checksums still vouch for. Of several values of one key the one that Pebble wrote
// last counts (its sequence number; the file's number where compaction took that
// away). Old values that Pebble had not removed yet can come back for keys whose
// newest value is damaged; they are older states of the same address, and careful
// mode is made for that.

// salvaged is what came of it.
type salvaged struct {
	kept, lost int
	mark       lease.Mark
	pos        store.Pos
}

// found is called with each pair; kind is Pebble's. Its slices are valid during the
// call.
type found func(seq uint64, kind pebble.InternalKeyKind, key, value []byte) error

// dataFile is one table or log of a generation.
type dataFile struct {
	name  string
	num   uint64
	table bool
}

// dataFiles lists the tables and logs in dir; a directory that is not there has none.
func dataFiles(fs vfs.FS, dir string) []dataFile {
	names, err := fs.List(dir)
	if err != nil {
		return nil
	}
	var files []dataFile
	for _, n := range names {
		base, ext, _ := strings.Cut(n, ".")
		num, err := strconv.ParseUint(base, 10, 63)
		if err == nil && (ext == "sst" || ext == "log") {
			files = append(files, dataFile{fs.PathJoin(dir, n), num, ext == "sst"})
		}
	}
	return files
}

// readAll hands out all pairs that can be read of f. Damage is skipped; an error is
// fn's.
func (f dataFile) readAll(fs vfs.FS, fn found) error {
	if f.table {
		return salvageTable(fs, f.name, fn)
	}
	return salvageLog(fs, f.name, uint32(f.num), fn)
}

// countSalvageable counts the values of records that can be read in dir.
func countSalvageable(fs vfs.FS, dir string) (n int) {
	for _, f := range dataFiles(fs, dir) {
		f.readAll(fs, func(_ uint64, _ pebble.InternalKeyKind, key, _ []byte) error {
			if key[0] == spaceRecord {
				n++
			}
			return nil
		})
	}
	return n
}

// salvage fills the new generation with what can be read of generation num.
func (w *builder) salvage(num uint64) (res salvaged, err error) {
	if num == 0 {
		return res, nil
	}
	for _, f := range dataFiles(w.s.fs, w.s.generationDir(num)) {
		err := f.readAll(w.s.fs, func(seq uint64, kind pebble.InternalKeyKind, key, value []byte) error {
			return w.gather(f.num, seq, kind, key, value)
		})
		if err != nil {
			return res, err
		}
	}
	if err := w.apply(); err != nil {
		return res, err
	}
	return res, w.sift(&res)
}

// gather notes one found value under its key, newest first. It goes to the disk, not
// into memory: a store can be larger than that.
func (w *builder) gather(file, seq uint64, kind pebble.InternalKeyKind, key, value []byte) error {
	switch key[0] {
	case spaceRecord, spaceHistory, spaceSetAside:
	case spaceMeta:
		if !bytes.Equal(key, keyMark) {
			return nil
		}
	default:
		return nil
	}
	if kind != pebble.InternalKeyKindSet && kind != pebble.InternalKeyKindSetWithDelete &&
		kind != pebble.InternalKeyKindDelete && kind != pebble.InternalKeyKindDeleteSized {
		return nil
	}
	deleted := kind == pebble.InternalKeyKindDelete || kind == pebble.InternalKeyKindDeleteSized
	k := append(append([]byte{}, spaceSalvage), key...)
	k = binary.BigEndian.AppendUint64(k, ^seq)
	k = binary.BigEndian.AppendUint64(k, ^file)
	v := []byte{0}
	if !deleted {
		v = append([]byte{1}, value...)
	}
	return w.put(k, v)
}

// sift takes the newest of the values of each key that was gathered.
func (w *builder) sift(res *salvaged) error {
	it, err := w.g.db.NewIter(&pebble.IterOptions{
		LowerBound: []byte{spaceSalvage}, UpperBound: []byte{spaceSalvage + 1},
	})
	if err != nil {
		return err
	}
	defer it.Close()
	var last []byte
	for ok := it.First(); ok; ok = it.Next() {
		k := it.Key()
		key := k[1 : len(k)-16]
		if bytes.Equal(key, last) {
			continue
		}
		last = append(last[:0], key...)
		v, err := it.ValueAndErr()
		if err != nil {
			return err
		}
		if v[0] == 0 {
			continue
		}
		if err := w.keep(last, v[1:], res); err != nil {
			return err
		}
	}
	if err := it.Error(); err != nil {
		return err
	}
	return w.batch.DeleteRange([]byte{spaceSalvage}, []byte{spaceSalvage + 1}, nil)
}

// keep writes one value that was found, or sets it aside when it is of no known form.
func (w *builder) keep(key, v []byte, res *salvaged) error {
	switch key[0] {
	case spaceMeta:
		if m, pos, err := decodeMark(v); err == nil {
			res.mark, res.pos = m, pos
		}
		return nil
	case spaceRecord:
		if _, deleted := deletedRev(v); deleted {
			return w.put(key, v)
		}
		var b lease.Binding
		if a, ok := recordAddr(key); ok && decodeRecord(v, &b) == nil {
			b.Addr = dhcp4.Addr(a)
			res.kept++
			return w.putRecord(&b)
		}
		res.lost++
	case spaceHistory:
		var p store.Possession
		if r, ok := parseHistoryKey(key); ok && decodeHistory(v, &p) == nil {
			return w.putHistory(r, v, &p)
		}
	case spaceSetAside:
		return w.put(key, v)
	}
	return w.put(append([]byte{spaceSetAside}, key...), v)
}
