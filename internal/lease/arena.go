package lease

// What of a record does not fit into it lies in one block of the arena:
//
//	host name length (1), agent option length (1),
//	boot id (16, with bootInExt), client identifier (with idInExt), host name, agent option
//
// Blocks come in fixed sizes; a block given back waits in the list of its size.
// So the arena is bounded by the number of records, whatever clients send.

const (
	extHeader = 2
	maxExt    = extHeader + len(BootID{}) + MaxClientID + 255 + 255

	unit       = 16
	chunkBits  = 12
	chunkUnits = 1 << chunkBits
)

// blockSizes are the sizes of blocks in units.
var blockSizes = [...]uint8{1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 32, 40, 50}

// maxExt must fit into the largest block; the line does not compile otherwise.
var _ [50*unit - maxExt]struct{}

type arena struct {
	chunks []*[chunkUnits * unit]byte
	next   uint32 // first unit never used
	free   [len(blockSizes)]uint32
}

// block returns the octets of a block.
func (a *arena) block(ref uint32, class uint8) []byte {
	at := ref % chunkUnits * unit
	end := at + uint32(blockSizes[class])*unit
	return a.chunks[ref>>chunkBits][at:end:end]
}

// size is the number of octets of a block; reference 0 has none.
func (a *arena) size(ref uint32, class uint8) int {
	if ref == 0 {
		return 0
	}
	return int(blockSizes[class]) * unit
}

// alloc returns a block of at least n octets, its content undefined. Reference 0
// is none and never returned.
func (a *arena) alloc(n int) (ref uint32, class uint8) {
	for int(blockSizes[class])*unit < n {
		class++
	}
	if ref = a.free[class]; ref != 0 {
		b := a.block(ref, class)
		a.free[class] = uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16 | uint32(b[3])<<24
		return ref, class
	}
	size := uint32(blockSizes[class])
	if a.next == 0 {
		a.next = 1
	}
	if a.next%chunkUnits+size > chunkUnits { // a block lies within one chunk
		a.next = (a.next>>chunkBits + 1) << chunkBits
	}
	ref = a.next
	a.next += size
	if int(ref>>chunkBits) == len(a.chunks) {
		a.chunks = append(a.chunks, new([chunkUnits * unit]byte))
	}
	return ref, class
}

// release gives a block back; reference 0 is none.
func (a *arena) release(ref uint32, class uint8) {
	if ref == 0 {
		return
	}
	b, f := a.block(ref, class), a.free[class]
	b[0], b[1], b[2], b[3] = byte(f), byte(f>>8), byte(f>>16), byte(f>>24)
	a.free[class] = ref
}

func (r *Rec) hw() []byte { return r.inline[:r.hwLen:r.hwLen] }

// recID returns the client identifier of r, nil for none.
func (t *Table) recID(r *Rec) []byte {
	if r.idLen == 0 {
		return nil
	}
	if r.flags&idInExt == 0 {
		end := int(r.hwLen) + int(r.idLen)
		return r.inline[r.hwLen:end:end]
	}
	at := extHeader
	if r.flags&bootInExt != 0 {
		at += len(BootID{})
	}
	end := at + int(r.idLen)
	return t.arena.block(r.ext, r.class)[at:end:end]
}

// parts returns what of r is not in its fields; empty slices are nil.
func (t *Table) parts(r *Rec) (boot BootID, id, host, agent []byte) {
	boot, id = t.boot, t.recID(r)
	if r.ext == 0 {
		return boot, id, nil, nil
	}
	b := t.arena.block(r.ext, r.class)
	hostLen, agentLen := int(b[0]), int(b[1])
	at := extHeader
	if r.flags&bootInExt != 0 {
		at += copy(boot[:], b[at:])
	}
	if r.flags&idInExt != 0 {
		at += int(r.idLen)
	}
	if hostLen > 0 {
		host = b[at : at+hostLen : at+hostLen]
		at += hostLen
	}
	if agentLen > 0 {
		agent = b[at : at+agentLen : at+agentLen]
	}
	return boot, id, host, agent
}

// writeParts stores the parts into r. The slices may alias the record or the
// arena: everything is gathered before anything is written.
func (t *Table) writeParts(r *Rec, boot BootID, hw, id, host, agent []byte) {
	if r.flags&bootInExt == 0 {
		t.bootUsers--
	}
	if t.bootUsers == 0 {
		t.boot = boot
	}
	r.flags &^= bootInExt | idInExt
	if boot != t.boot {
		r.flags |= bootInExt
	} else {
		t.bootUsers++
	}

	keys := len(hw)
	buf := append(t.scratch[:0], hw...)
	if len(hw)+len(id) <= len(r.inline) {
		buf = append(buf, id...)
		keys += len(id)
	} else {
		r.flags |= idInExt
	}
	buf = append(buf, byte(len(host)), byte(len(agent)))
	if r.flags&bootInExt != 0 {
		buf = append(buf, boot[:]...)
	}
	if r.flags&idInExt != 0 {
		buf = append(buf, id...)
	}
	buf = append(append(buf, host...), agent...)
	t.scratch = buf[:0]

	r.hwLen, r.idLen = uint8(len(hw)), uint8(len(id))
	copy(r.inline[:], buf[:keys])
	ext := buf[keys:]
	if len(ext) == extHeader { // neither a name nor an option nor anything else
		t.arena.release(r.ext, r.class)
		r.ext, r.class = 0, 0
		return
	}
	if size := t.arena.size(r.ext, r.class); size < len(ext) || size > 4*len(ext)+4*unit {
		t.arena.release(r.ext, r.class)
		r.ext, r.class = t.arena.alloc(len(ext))
	}
	copy(t.arena.block(r.ext, r.class), ext)
}
