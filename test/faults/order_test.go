package faults

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/batchrepr"
	"github.com/cockroachdb/pebble/v2/record"

	"lessor/dhcp4"
	"lessor/internal/netlab"
)

// The order of system calls under 64 outstanding exchanges (I2): for every ACK that is
// handed to the kernel there is a record of its address, its client and an end not
// earlier than the promised one in the write-ahead log; a sync of that file, and of the
// directory that holds its name, began after the write was over and succeeded before
// the send began. And there is at most one sync for 8 ACKs.
func TestWriteSyncSend(t *testing.T) {
	s := newSite(t)
	l := s.newLoad(64, 0.4)
	l.byXID = map[uint32]int64{}
	file := filepath.Join(s.host.Root, "trace")
	n := s.startSpec(t, netlab.Spec{Args: append([]string{"strace", "-f", "--seccomp-bpf", "-y", "-xx", "-s", "4194304", "-o", file,
		"-e", "trace=openat,write,writev,pwrite64,pwritev,pwritev2,fsync,fdatasync,sendto,sendmsg,sendmmsg", "--"},
		append(s.args(), "--log-level", "error")...)})
	const acks = 4000
	end := time.Now().Add(60 * time.Second)
	check(t, l.run(func() bool { return l.acks >= acks || time.Now().After(end) }))
	if l.acks < acks {
		t.Fatalf("%d ACKs within a minute", l.acks)
	}
	check(t, l.drain(20*time.Millisecond))
	check(t, syscall.Kill(tracee(t, n.PID()), syscall.SIGTERM))
	if err, ended := n.Wait(10 * time.Second); !ended || err != nil {
		t.Fatalf("after SIGTERM: ended %t, %v", ended, err)
	}
	evs := try(parseTrace(string(try(os.ReadFile(file))(t))))(t)

	o := try(readOrder(evs))(t)
	if wrong := o.judge(l.byXID); len(wrong) > 0 {
		t.Errorf("of %d ACKs, %d were sent before they were durable: %q", len(o.acks), len(wrong), wrong[:min(5, len(wrong))])
	}
	if len(o.acks) < len(l.byXID) {
		t.Errorf("the trace holds %d ACKs, %d were read", len(o.acks), len(l.byXID))
	}
	syncs := o.syncsUnderLoad()
	t.Logf("%d ACKs sent, %d syncs under load (one for %.1f ACKs), %d log files, %d records", len(o.acks), syncs,
		float64(len(o.acks))/float64(syncs), len(o.files), o.records)
	if syncs*8 > len(o.acks) {
		t.Errorf("%d syncs for %d ACKs: more than one for 8", syncs, len(o.acks))
	}
	o.mustNotice(t, l.byXID)
}

// mustNotice shows that judge can fail: on the same trace with syncs that failed, came
// too early or too late.
func (o *order) mustNotice(t *testing.T, promised map[uint32]int64) {
	t.Helper()
	for name, change := range map[string]func(*syscallEvent){
		"that failed":             func(e *syscallEvent) { e.result = -1 },
		"over after the send":     func(e *syscallEvent) { e.end += 1 << 30 },
		"begun before the writes": func(e *syscallEvent) { e.begin = 0 },
	} {
		c := *o
		c.syncs = nil
		for _, e := range o.syncs {
			change(&e)
			c.syncs = append(c.syncs, e)
		}
		if wrong := c.judge(promised); len(wrong) != len(o.acks) {
			t.Errorf("with syncs %s, only %d of %d ACKs are found wrong", name, len(wrong), len(o.acks))
		}
	}
	later := map[uint32]int64{}
	for xid, until := range promised {
		later[xid] = until + 3600
	}
	if wrong := o.judge(later); len(wrong) < len(promised) {
		t.Errorf("had every ACK promised an hour more, only %d of %d were found wrong", len(wrong), len(promised))
	}
}

// tracee is the process that strace started.
func tracee(t *testing.T, strace int) int {
	t.Helper()
	children := try(os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", strace, strace)))(t)
	return try(strconv.Atoi(strings.Fields(string(children))[0]))(t)
}

// order is what a trace says about ACKs, records and syncs.
type order struct {
	files   []*walFile
	syncs   []syscallEvent
	acks    []sentAck
	stored  map[dhcp4.Addr][]storedRecord
	records int
	first   int // where the first OFFER was sent
}

// sentAck is one ACK that was handed to the kernel.
type sentAck struct {
	begin int // of the send
	xid   uint32
	addr  dhcp4.Addr
	mac   [6]byte
}

// storedRecord is one record of a lease in the log.
type storedRecord struct {
	file  *walFile
	wrote int // where the write was over that completed it
	until int64
	value []byte
}

func readOrder(evs []syscallEvent) (*order, error) {
	o := &order{stored: map[dhcp4.Addr][]storedRecord{}}
	var err error
	if o.files, err = walFiles(evs); err != nil {
		return nil, err
	}
	for _, f := range o.files {
		if err := o.readLog(f); err != nil {
			return nil, fmt.Errorf("%s: %w", f.path, err)
		}
	}
	for i := range evs {
		switch e := &evs[i]; e.name {
		case "fsync", "fdatasync":
			o.syncs = append(o.syncs, *e)
		case "sendto", "sendmsg", "sendmmsg":
			if err := o.readSend(e); err != nil {
				return nil, err
			}
		}
	}
	return o, nil
}

// readLog reads the records of leases in a file of the log.
func (o *order) readLog(f *walFile) error {
	num, err := strconv.ParseUint(strings.TrimSuffix(filepath.Base(f.path), ".log"), 10, 63)
	if err != nil {
		return err
	}
	r := newReader(record.NewReader, bytes.NewReader(f.data), num)
	for {
		rec, err := r.Next()
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return nil
		}
		if err != nil {
			return err
		}
		repr, err := io.ReadAll(rec)
		if err != nil {
			return err
		}
		wrote, ok := f.writtenBy(int(r.Offset()))
		if !ok {
			return errors.New("a record ends beyond what was written")
		}
		batch := batchrepr.Read(repr)
		for {
			kind, key, value, more, err := batch.Next()
			if err != nil {
				return err
			}
			if !more {
				break
			}
			if kind != pebble.InternalKeyKindSet || len(key) != 5 || key[0] != 'b' {
				continue
			}
			until, ok := recordUntil(value)
			if !ok {
				return fmt.Errorf("record %x cannot be read", value)
			}
			a := dhcp4.AddrFromBytes(key[1:])
			o.stored[a] = append(o.stored[a], storedRecord{f, wrote, until, value})
			o.records++
		}
	}
}

// newReader calls open with a number of a type that Pebble gives no public name.
func newReader[N ~uint64](open func(io.Reader, N) *record.Reader, r io.Reader, num uint64) *record.Reader {
	return open(r, N(num))
}

// recordUntil is the end of the lease in a stored record: docs/storage.md has the form.
func recordUntil(v []byte) (until int64, ok bool) {
	const fixed = 27
	if len(v) < fixed || v[0] != 1 || v[1] != 1 {
		return 0, false
	}
	b := v[fixed:]
	for range 2 { // duration, grace
		_, n := binary.Uvarint(b)
		if n <= 0 {
			return 0, false
		}
		b = b[n:]
	}
	for range 3 { // start, renewal after it, end after that
		d, n := binary.Varint(b)
		if n <= 0 {
			return 0, false
		}
		until, b = until+d, b[n:]
	}
	return until, true
}

// cookie begins the options of a DHCP message, 236 octets after its begin.
const cookie = "\x63\x82\x53\x63"

// readSend finds the DHCP messages that a call sends.
func (o *order) readSend(e *syscallEvent) error {
	all, ok := e.strings()
	if !ok {
		return errors.New("the trace does not hold what was sent")
	}
	for _, s := range all {
		at := strings.Index(s, cookie)
		if at < 236 {
			continue
		}
		var v dhcp4.View
		if v.Parse([]byte(s[at-236:])) != nil {
			return fmt.Errorf("a message that was sent cannot be read: %x", s)
		}
		switch v.MessageType() {
		case dhcp4.Offer:
			if o.first == 0 {
				o.first = e.begin
			}
		case dhcp4.Ack:
			a := sentAck{begin: e.begin, xid: v.XID(), addr: v.YIAddr()}
			copy(a.mac[:], v.CHAddr())
			o.acks = append(o.acks, a)
		}
	}
	return nil
}

// judge returns the ACKs that were sent before what they promise was durable.
func (o *order) judge(promised map[uint32]int64) (wrong []string) {
	for _, a := range o.acks {
		if !o.durable(&a, promised[a.xid]) {
			wrong = append(wrong, fmt.Sprintf("%s for %x, xid %08x, line %d", a.addr, a.mac, a.xid, a.begin))
		}
	}
	return wrong
}

func (o *order) durable(a *sentAck, until int64) bool {
	for _, r := range o.stored[a.addr] {
		if r.until >= until && bytes.Contains(r.value, a.mac[:]) &&
			o.synced(r.file.path, r.wrote, a.begin) && o.synced(filepath.Dir(r.file.path), r.file.opened, a.begin) {
			return true
		}
	}
	return false
}

// synced reports whether a successful sync of a path began after one place of the
// trace and was over before another.
func (o *order) synced(path string, after, before int) bool {
	for i := range o.syncs {
		if e := &o.syncs[i]; e.begin > after && e.end < before && e.result == 0 && e.path == path {
			return true
		}
	}
	return false
}

// syncsUnderLoad counts the syncs from the first OFFER to the last ACK, of all files.
func (o *order) syncsUnderLoad() (n int) {
	last := o.acks[len(o.acks)-1].begin
	for i := range o.syncs {
		if e := &o.syncs[i]; e.begin > o.first && e.end < last {
			n++
		}
	}
	return n
}
