package tracefile

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"lessor/dhcp4"
	"lessor/internal/lease"
	"lessor/internal/trace"
)

// fakeClock moves on by a microsecond at each reading.
type fakeClock struct {
	mu  sync.Mutex
	now lease.Instant
}

func (c *fakeClock) Now() lease.Instant {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now.M, c.now.W = c.now.M+1000, c.now.W+1000
	return c.now
}

func (c *fakeClock) set(w int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now.W = w
}

func (*fakeClock) BootID() lease.BootID { return lease.BootID{7} }

// disk is a file on a disk with so much room, which may hang.
type disk struct {
	mu     sync.Mutex
	data   []byte
	room   int
	hangs  chan struct{} // a write waits for it to close
	closed bool
}

func (d *disk) Write(b []byte) (int, error) {
	d.mu.Lock()
	hangs := d.hangs
	d.mu.Unlock()
	if hangs != nil {
		<-hangs
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	n := min(len(b), d.room-len(d.data))
	d.data = append(d.data, b[:n]...)
	if n < len(b) {
		return n, syscall.ENOSPC
	}
	return n, nil
}

func (d *disk) Truncate(size int64) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.data = d.data[:size]
	return nil
}

func (d *disk) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	return nil
}

func (d *disk) text() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return string(d.data)
}

func write(t *testing.T, f File, c Clock, report func(error)) *Writer {
	t.Helper()
	w, err := NewWriter(f, 0, Header{Host: "h", Store: "/s"}, c, report)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// kinds are the kinds of all entries in a file, "?" for the end of what was given up.
func kinds(t *testing.T, text string) (out []string, notes []string) {
	t.Helper()
	r := NewReader("f", strings.NewReader(text))
	for {
		e, err := r.Next()
		switch {
		case err == io.EOF:
			return out, r.Notes()
		case err != nil:
			t.Fatalf("%v in:\n%s", err, text)
		case e.Body == nil:
			out = append(out, "?")
		default:
			out = append(out, e.Body.Kind())
		}
	}
}

// A commit is in the file when Write returns: nothing but a kernel that dies can take it
// away before its ACK leaves.
func TestACommitIsInTheFileBeforeItsAck(t *testing.T) {
	d := &disk{room: 1 << 20}
	w := write(t, d, &fakeClock{}, nil)
	for i := range 100 {
		w.Write(&trace.Override{Addr: dhcp4.Addr(i)})
		w.Write(&trace.Commit{})
		got, _ := kinds(t, d.text())
		if len(got) != 1+2*(i+1) || got[len(got)-1] != "commit" {
			t.Fatalf("after %d commits the file has %d entries, the last %q", i+1, len(got), got[len(got)-1])
		}
	}
	if err := w.Close(); err != nil || !d.closed {
		t.Error("closing:", err, d.closed)
	}
	w.Write(&trace.Commit{}) // too late, and harmless
}

// Runs follow one another in a file, and a line that a killed process left unfinished does
// not spoil what comes after.
func TestCreateAppends(t *testing.T) {
	path := filepath.Join(t.TempDir(), "trace")
	for i := range 3 {
		w, err := Create(path, Header{Host: "h"}, &fakeClock{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		w.Write(&trace.Ended{})
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if i == 1 {
			st, err := os.Stat(path)
			if err != nil || st.Mode().Perm() != 0o600 {
				t.Fatalf("%v, mode %v", err, st.Mode())
			}
			if err := os.Truncate(path, st.Size()-9); err != nil {
				t.Fatal(err)
			}
		}
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	got, notes := kinds(t, string(text))
	if want := "clock ended clock clock ended"; strings.Join(got, " ") != want || len(notes) != 1 {
		t.Errorf("entries %q, notes %q; want %q and one note", got, notes, want)
	}
}

// A full disk ends the trace, is told once, and stands in the file.
func TestFullDisk(t *testing.T) {
	d := &disk{room: 3000}
	var told []error
	w := write(t, d, &fakeClock{}, func(err error) { told = append(told, err) })
	for range 100 {
		w.Write(&trace.Commit{})
	}
	err := w.Close()
	if len(told) != 1 || !errors.Is(told[0], syscall.ENOSPC) || !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("told %v, Close said %v", told, err)
	}
	got, notes := kinds(t, d.text())
	if len(got) < 5 || got[len(got)-1] != "?" || len(notes) != 1 || !strings.Contains(notes[0], "no space left") {
		t.Errorf("the file has %q, notes %q", got, notes)
	}
}

// A disk that hangs holds a commit up once, for a tenth of a second, and the end for two.
func TestHangingDisk(t *testing.T) {
	d := &disk{room: 1 << 20}
	w := write(t, d, &fakeClock{}, nil)
	hangs := make(chan struct{})
	d.mu.Lock()
	d.hangs = hangs
	d.mu.Unlock()
	begin := time.Now()
	for range 1000 {
		w.Write(&trace.Commit{})
	}
	if took := time.Since(begin); took < commitWait/2 || took > 8*commitWait {
		t.Errorf("1000 commits were held up for %v", took)
	}
	begin = time.Now()
	if err := w.Close(); err == nil || time.Since(begin) > 2*closeWait {
		t.Errorf("Close said %v after %v", err, time.Since(begin))
	}
	close(hangs)
	<-w.done
	if got, _ := kinds(t, d.text()); len(got) != 1001 {
		t.Errorf("%d entries are in the file", len(got))
	}
}

// What waits for a disk is bounded; beyond it the trace ends and says why.
func TestPendingIsBounded(t *testing.T) {
	d := &disk{room: 1 << 30}
	var told error
	w := write(t, d, &fakeClock{}, func(err error) { told = err })
	hangs := make(chan struct{})
	d.mu.Lock()
	d.hangs = hangs
	d.mu.Unlock()
	w.Write(&trace.Override{})
	for taken := false; !taken; time.Sleep(time.Millisecond) { // then the disk hangs with it
		w.mu.Lock()
		taken = len(w.pending) == 0
		w.mu.Unlock()
	}
	w.mu.Lock()
	w.pending = append(w.pending, bytes.Repeat([]byte{'\n'}, maxPending-500)...) // empty lines, and no time for them
	w.mu.Unlock()
	for range 80 {
		w.Write(&trace.Override{})
	}
	w.mu.Lock()
	n := len(w.pending)
	w.mu.Unlock()
	if n > maxPending {
		t.Errorf("%d octets wait", n)
	}
	close(hangs)
	w.Close()
	if told == nil || !strings.Contains(told.Error(), "too slow") {
		t.Errorf("told %v", told)
	}
	if text := d.text(); !strings.Contains(text[len(text)-100:], `{"incomplete":{"why":"the disk is too slow`) {
		t.Errorf("the file ends with %q", text[len(text)-100:])
	}
}

// A wall clock that is set gets an entry of its own before the next one.
func TestClockSteps(t *testing.T) {
	d, c := &disk{room: 1 << 20}, &fakeClock{}
	w := write(t, d, c, nil)
	w.Write(&trace.Override{})
	c.set(1e18)
	w.Write(&trace.Override{})
	w.Write(&trace.Override{})
	c.set(5)
	w.Write(&trace.Override{})
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	got, _ := kinds(t, d.text())
	if want := "clock override clock override override clock override"; strings.Join(got, " ") != want {
		t.Errorf("entries %q, want %q", got, want)
	}
}

func TestManyWriters(t *testing.T) {
	d := &disk{room: 256 << 20}
	w := write(t, d, &fakeClock{}, nil)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 30 {
				w.Write(&trace.Commit{})
				w.Loaded(make([]lease.Binding, 2*loadedChunk+1))
			}
		})
	}
	all.Wait()
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	last, n := int64(0), 0
	r := NewReader("f", bytes.NewReader(d.data))
	for e, err := r.Next(); err == nil; e, err = r.Next() {
		if e.Now.M < last {
			t.Fatalf("line %d: the time goes back", r.Line())
		}
		last = e.Now.M
		n++
	}
	if n != 1+4*30*4 {
		t.Errorf("%d entries", n)
	}
}

func BenchmarkWriteCommit(b *testing.B) {
	w, err := Create(filepath.Join(b.TempDir(), "trace"), Header{}, &fakeClock{}, nil)
	if err != nil {
		b.Fatal(err)
	}
	c := &trace.Commit{Changes: []lease.Change{{
		Before: lease.Binding{Addr: 1, State: lease.Bound, HW: make([]byte, 6), ClientID: make([]byte, 7), Hostname: []byte("host")},
		After:  lease.Binding{Addr: 1, State: lease.Bound, HW: make([]byte, 6), ClientID: make([]byte, 7), Hostname: []byte("host")}}}}
	for b.Loop() {
		w.Write(c)
	}
	if err := w.Close(); err != nil {
		b.Fatal(err)
	}
}
