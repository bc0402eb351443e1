package pebble

import (
	"bytes"
	"math"
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"lessor/dhcp4"
	"lessor/internal/lease"
	"lessor/internal/store"
	"lessor/internal/store/storetest"
)

// anyBinding draws from all that storable accepts.
func anyBinding(t *rapid.T) lease.Binding {
	text := func(n int, name string) []byte {
		return rapid.SliceOfN(rapid.Byte(), 0, n).Draw(t, name)
	}
	b := lease.Binding{
		Addr:  dhcp4.Addr(rapid.Uint32Range(1, math.MaxUint32).Draw(t, "addr")),
		State: lease.State(rapid.IntRange(1, 3).Draw(t, "state")),
		HType: rapid.Byte().Draw(t, "htype"), HW: text(maxHW, "hw"), ClientID: text(maxClientID, "id"),
		Hostname: text(maxText, "host"), Agent: text(maxText, "agent"),
		GIAddr:   dhcp4.Addr(rapid.Uint32().Draw(t, "giaddr")),
		Lifetime: rapid.Uint32().Draw(t, "lifetime"), Grace: rapid.Uint32().Draw(t, "grace"),
		Start: rapid.Int64().Draw(t, "start"), Renewed: rapid.Int64().Draw(t, "renewed"),
		Until: rapid.Int64().Draw(t, "until"), End: rapid.Int64().Draw(t, "end"),
		Free: rapid.Int64().Draw(t, "free"), Rev: rapid.Uint64().Draw(t, "rev"),
	}
	copy(b.Boot[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "boot"))
	return storetest.Copy(&b)
}

// TestWrittenCanBeRead: every record that can be written can be read, and no other
// length of it can.
func TestWrittenCanBeRead(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := anyBinding(t)
		if !storable(&b) {
			t.Fatal("a binding within its limits is not storable")
		}
		v := appendRecord(nil, &b)
		var got lease.Binding
		if err := decodeRecord(v, &got); err != nil {
			t.Fatalf("%x: %v", v, err)
		}
		got.Addr = b.Addr
		if !reflect.DeepEqual(got, b) {
			t.Fatalf("got %+v, want %+v", got, b)
		}
		if rev, ok := recordRev(v); !ok || rev != b.Rev {
			t.Fatalf("rev %d, want %d", rev, b.Rev)
		}
		cut := rapid.IntRange(0, len(v)-1).Draw(t, "cut")
		if decodeRecord(v[:cut], &got) == nil {
			t.Fatalf("%x was read after %d of %d octets", v, cut, len(v))
		}
		if decodeRecord(append(bytes.Clone(v), 0), &got) == nil {
			t.Fatal("a record with something behind it was read")
		}
		h := appendHistory(nil, &b, b.Until, b.Until+7)
		var p store.Possession
		if err := decodeHistory(h, &p); err != nil {
			t.Fatal(err)
		}
		want := store.Possession{HType: b.HType, HW: b.HW, ClientID: b.ClientID, Hostname: b.Hostname, GIAddr: b.GIAddr, Agent: b.Agent, Until: b.Until, Free: b.Until + 7}
		if !reflect.DeepEqual(p, want) {
			t.Fatalf("got %+v, want %+v", p, want)
		}
		if decodeHistory(h[:rapid.IntRange(0, len(h)-1).Draw(t, "cut")], &p) == nil {
			t.Fatal("a short row was read")
		}
		old := bytes.Clone(h[:len(h)-8]) // what the first version wrote
		old[0] = 1
		want.Free = 0
		if err := decodeHistory(old, &p); err != nil || !reflect.DeepEqual(p, want) {
			t.Fatalf("of version 1 got %+v (%v), want %+v", p, err, want)
		}
	})
}

// TestKeysKeepTheOrder: the order of keys is the order of what they stand for.
func TestKeysKeepTheOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		draw := func() row {
			return row{
				addr: dhcp4.Addr(rapid.Uint32().Draw(t, "addr")), from: rapid.Int64().Draw(t, "from"),
				seq: rapid.Uint64().Draw(t, "seq"),
			}
		}
		a, b := draw(), draw()
		b.addr = a.addr
		if got, ok := parseHistoryKey(appendHistoryKey(nil, a)); !ok || got != a {
			t.Fatalf("%+v came back as %+v", a, got)
		}
		less := a.from < b.from || a.from == b.from && a.seq < b.seq
		if (bytes.Compare(appendHistoryKey(nil, a), appendHistoryKey(nil, b)) < 0) != less {
			t.Fatalf("%+v and %+v are out of order", a, b)
		}
		until := rapid.Int64().Draw(t, "until")
		if u, got, ok := parseExpiryKey(appendExpiryKey(nil, until, a)); !ok || got != a || u != until {
			t.Fatalf("%+v at %d came back as %+v at %d", a, until, got, u)
		}
		key := rapid.SliceOfN(rapid.Byte(), 1, 255).Draw(t, "key")
		k := appendClientKey(nil, clientID, key, a.from, a.addr)
		if from, addr, ok := clientKeyTail(k); !ok || from != a.from || addr != a.addr {
			t.Fatalf("%x came back as %d %v", k, from, addr)
		}
		if p := appendClientPrefix(nil, clientID, key); !bytes.HasPrefix(k, p) || bytes.Compare(k, prefixEnd(p)) >= 0 {
			t.Fatalf("%x lies outside of its client's keys", k)
		}
	})
}

// FuzzValues: whatever stands in a value or a key, reading it ends, and what is read
// of a record is written as something that reads the same.
func FuzzValues(f *testing.F) {
	for _, b := range []lease.Binding{storetest.Binding(1, 1, storetest.T0, 1), {Addr: 1, State: lease.Declined}} {
		f.Add(appendRecord(nil, &b))
		f.Add(appendHistory(nil, &b, 5, 6))
	}
	f.Add(appendDeleted(nil, 1<<40))
	f.Add(appendMark(nil, storetest.MarkAt(1), 2))
	f.Add(current{format: storeFormat, use: 7, aside: 6}.bytes())
	f.Add(current{format: 2, use: 7}.bytes())
	f.Add(appendHistoryKey(nil, row{1, 2, 3}))
	f.Add(appendExpiryKey(nil, 9, row{1, 2, 3}))
	f.Add(appendClientKey(nil, clientHW, []byte("abcdef"), 1, 2))
	f.Fuzz(func(t *testing.T, v []byte) {
		var b, again lease.Binding
		if decodeRecord(v, &b) == nil {
			b.Addr = 1
			if !storable(&b) {
				t.Fatalf("%x was read as %+v, which cannot be stored", v, b)
			}
			if err := decodeRecord(appendRecord(nil, &b), &again); err != nil {
				t.Fatal(err)
			}
			again.Addr = 1
			if !reflect.DeepEqual(b, again) {
				t.Fatalf("%+v became %+v", b, again)
			}
			if _, deleted := deletedRev(v); deleted {
				t.Fatalf("%x is a record and a deleted one", v)
			}
		}
		var p store.Possession
		if decodeHistory(v, &p) == nil && (len(p.HW) > maxHW || len(p.ClientID) > maxClientID) {
			t.Fatalf("%x was read as %+v", v, p)
		}
		if m, pos, err := decodeMark(v); err == nil && !bytes.Equal(appendMark(nil, m, pos), v) {
			t.Fatalf("%x was read as %+v %d", v, m, pos)
		}
		if c, err := parseCurrent(v); err == nil && c.use == 0 {
			t.Fatalf("%q names no store", v)
		}
		recordRev(v)
		recordAddr(v)
		clientKeyTail(v)
		parseHistoryKey(v)
		parseExpiryKey(v)
		salvageBatch(v, func(uint64, pebbleKind, []byte, []byte) error { return nil })
		if len(v) >= logHeader {
			logChunk(v, 1)
		}
	})
}
