package client

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
)

// random is a generator whose numbers nobody without the secret can foretell, so
// that a stranger cannot guess a transaction id (RFC 2131 4.1), and that gives the
// same numbers in each run with the same secret: AES as a function of a counter.
type random struct {
	block cipher.Block
	count uint64
	out   [aes.BlockSize]byte
}

func newRandom(secret [16]byte) random {
	block, err := aes.NewCipher(secret[:])
	if err != nil {
		panic("AES with a key of 16 octets: " + err.Error())
	}
	return random{block: block}
}

// uint64 is the next number.
func (r *random) uint64() uint64 {
	binary.LittleEndian.PutUint64(r.out[:8], r.count)
	binary.LittleEndian.PutUint64(r.out[8:], 0)
	r.count++
	r.block.Encrypt(r.out[:], r.out[:])
	return binary.LittleEndian.Uint64(r.out[:8])
}

// between is a number from lo to hi, both included; lo when hi is not above it. The
// ranges are times, so small that the bias of the remainder does not matter.
func (r *random) between(lo, hi int64) int64 {
	if hi <= lo {
		return lo
	}
	return lo + int64(r.uint64()%(uint64(hi-lo)+1))
}

// xid is a transaction id.
func (r *random) xid() uint32 { return uint32(r.uint64()) }
