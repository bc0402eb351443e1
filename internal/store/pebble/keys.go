package pebble

import (
	"encoding/binary"

	"lessor/dhcp4"
)

// The keys of the store; the first byte says what a key is. Numbers are big-endian,
// so that the order of keys is the order of addresses and of times. docs/storage.md
// holds the same table.
//
//	'b' addr4                                  record of an address, also a deleted one
//	'c' kind1 len1 key from8 addr4             a possession of a client, by its begin
//	'h' addr4 from8 seq8                       ended possession of an address, by its begin
//	'm' 'c' | 'm' 'm' | 'm' 'r'                store complete, mark, recovery
//	'q' key                                    value that could not be read, set aside
//	's' key ^seq8 ^file8                       during a salvage only: a value that was found
//	'x' until8 addr4 from8 seq8                ended possessions, by their end
const (
	spaceRecord   = 'b'
	spaceClient   = 'c'
	spaceHistory  = 'h'
	spaceMeta     = 'm'
	spaceSetAside = 'q'
	spaceSalvage  = 's'
	spaceExpiry   = 'x'

	recordKeyLen  = 1 + 4
	historyKeyLen = 1 + 4 + 8 + 8
	expiryKeyLen  = 1 + 8 + 4 + 8 + 8

	clientHW = 0 // kinds of key in spaceClient
	clientID = 1
)

var (
	keyComplete = []byte{spaceMeta, 'c'}
	keyMark     = []byte{spaceMeta, 'm'}
	keyRecovery = []byte{spaceMeta, 'r'}
)

// orderedTime maps an int64 to a uint64 of the same order.
func orderedTime(t int64) uint64 { return uint64(t) ^ 1<<63 }

// timeOf is the inverse of orderedTime.
func timeOf(u uint64) int64 { return int64(u ^ 1<<63) }

func appendRecordKey(dst []byte, a dhcp4.Addr) []byte {
	return a.Append(append(dst, spaceRecord))
}

// recordAddr reads a record's key; ok is false when it is none.
func recordAddr(k []byte) (a dhcp4.Addr, ok bool) {
	if len(k) != recordKeyLen || k[0] != spaceRecord {
		return 0, false
	}
	a = dhcp4.AddrFromBytes(k[1:])
	return a, a != 0
}

// row names one ended possession. seq is unique within the store: an address can
// begin two possessions within one second.
type row struct {
	addr dhcp4.Addr
	from int64
	seq  uint64
}

func appendHistoryKey(dst []byte, r row) []byte {
	dst = r.addr.Append(append(dst, spaceHistory))
	dst = binary.BigEndian.AppendUint64(dst, orderedTime(r.from))
	return binary.BigEndian.AppendUint64(dst, r.seq)
}

func parseHistoryKey(k []byte) (r row, ok bool) {
	if len(k) != historyKeyLen || k[0] != spaceHistory {
		return r, false
	}
	return row{
		addr: dhcp4.AddrFromBytes(k[1:]),
		from: timeOf(binary.BigEndian.Uint64(k[5:])),
		seq:  binary.BigEndian.Uint64(k[13:]),
	}, true
}

func appendExpiryKey(dst []byte, until int64, r row) []byte {
	dst = binary.BigEndian.AppendUint64(append(dst, spaceExpiry), orderedTime(until))
	dst = r.addr.Append(dst)
	dst = binary.BigEndian.AppendUint64(dst, orderedTime(r.from))
	return binary.BigEndian.AppendUint64(dst, r.seq)
}

func parseExpiryKey(k []byte) (until int64, r row, ok bool) {
	if len(k) != expiryKeyLen || k[0] != spaceExpiry {
		return 0, r, false
	}
	return timeOf(binary.BigEndian.Uint64(k[1:])), row{
		addr: dhcp4.AddrFromBytes(k[9:]),
		from: timeOf(binary.BigEndian.Uint64(k[13:])),
		seq:  binary.BigEndian.Uint64(k[21:]),
	}, true
}

// appendClientPrefix appends what all possessions of one client begin with.
func appendClientPrefix(dst []byte, kind byte, key []byte) []byte {
	return append(append(dst, spaceClient, kind, byte(len(key))), key...)
}

func appendClientKey(dst []byte, kind byte, key []byte, from int64, a dhcp4.Addr) []byte {
	dst = appendClientPrefix(dst, kind, key)
	dst = binary.BigEndian.AppendUint64(dst, orderedTime(from))
	return a.Append(dst)
}

// clientKeyTail reads begin and address off the end of a client's key.
func clientKeyTail(k []byte) (from int64, a dhcp4.Addr, ok bool) {
	if len(k) < 3+12 || len(k) != 3+int(k[2])+12 {
		return 0, 0, false
	}
	t := k[len(k)-12:]
	return timeOf(binary.BigEndian.Uint64(t)), dhcp4.AddrFromBytes(t[8:]), true
}
