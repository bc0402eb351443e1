package pebble

import (
	"encoding/binary"
	"io"

	"github.com/cockroachdb/pebble/v2/batchrepr"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// The form of Pebble's log: blocks of 32 KiB of chunks, each with a checksum, its
// length, its type, the number of its log and how far the log was synced before.
const (
	logBlock     = 32 << 10
	logHeader    = 4 + 2 + 1 + 4
	logSyncChunk = 8 // more octets of header in types 9 to 12
)

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
	if maskedCRC(b[6:size]) != sum {
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
