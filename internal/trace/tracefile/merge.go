package tracefile

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"

	"lessor/dhcp4"
	"lessor/internal/lease"
	"lessor/internal/trace"
	"lessor/internal/wire"
)

// Merge puts the traces of servers and captures of the wire together to one trace in the
// order of time. All of it is kept in memory.
type Merge struct {
	servers []*origin
	worlds  []trace.Entry // entries that have a time of their own
	capture capture
	notes   []string
	stats   Stats
	files   int // trace files that were read
}

// Stats says what a merged trace was made of.
type Stats struct {
	Servers  []string // their names in the trace
	Entries  int      // of the merged trace
	Written  int      // entries that servers wrote
	Commits  int      // of them
	Changes  int      // in the commits
	Frames   int      // DHCP and ARP frames in the captures
	Judged   int      // frames that a server sent or was handed
	Acks     int      // ACKs that a server sent
	Requests int      // REQUESTs that a server was handed
	Captures int      // files
	From, To int64    // time of the first and last entry: Unix nanoseconds, about
}

// origin is one server: a lease store on a machine, however often it was started.
type origin struct {
	host, store string
	name        string
	runs        []*run
	axis        axis
}

// run is what one process of a server wrote.
type run struct {
	file       int // which of the files that were read has it
	boot       lease.BootID
	first      lease.Instant
	entries    []trace.Entry // T is M until the runs are placed
	clean      bool          // it ended in order
	incomplete bool          // the writer gave up
	from, to   int64         // T of the first and last entry
}

// Trace reads a trace file. An error says where what cannot be read is.
func (m *Merge) Trace(name string, from io.Reader) error {
	r := NewReader(name, from)
	m.files++
	seen := 0
	var cur *run
	for {
		e, err := r.Next()
		if errors.Is(err, io.EOF) {
			m.notes = append(m.notes, r.Notes()...)
			if seen == 0 && cur == nil && r.Line() <= 1 {
				return fmt.Errorf("%s is empty", name)
			}
			return nil
		}
		if err != nil {
			return err
		}
		h, n := r.Header()
		switch {
		case h.World && e.Body != nil:
			m.worlds = append(m.worlds, e)
			continue
		case h.World:
			continue
		}
		if n != seen {
			seen = n
			cur = &run{file: m.files, boot: h.boot(), first: e.Now}
			s := m.origin(h.Host, h.Store)
			s.runs = append(s.runs, cur)
		}
		if e.Body == nil {
			cur.incomplete = true
			continue
		}
		if ended, ok := e.Body.(*trace.Ended); ok {
			cur.clean = ended.Clean
		}
		cur.entries = append(cur.entries, e)
	}
}

// Capture reads a capture, pcap or pcapng.
func (m *Merge) Capture(name string, from io.Reader) error {
	m.stats.Captures++
	return m.capture.read(name, from)
}

func (m *Merge) origin(host, store string) *origin {
	for _, s := range m.servers {
		if s.host == host && s.store == store {
			return s
		}
	}
	s := &origin{host: host, store: store}
	m.servers = append(m.servers, s)
	return s
}

// note files something that the judgement does not rest on.
func (m *Merge) note(format string, args ...any) {
	m.notes = append(m.notes, fmt.Sprintf(format, args...))
}

// Done returns the merged trace, what it was made of, and notes for people on what is
// missing in it.
func (m *Merge) Done() ([]trace.Entry, Stats, []string) {
	m.notes = append(m.notes, m.capture.notes...)
	var b bases
	for _, s := range m.servers {
		m.nameServer(s)
		s.place(&b, m)
	}
	out := m.worlds
	frames := m.frames()
	for _, s := range m.servers {
		out = append(out, s.entries(m, frames)...)
	}
	slices.SortStableFunc(out, func(a, b trace.Entry) int { return cmp.Compare(a.T, b.T) })
	m.count(out)
	return out, m.stats, m.notes
}

// nameServer makes a name that no other server has.
func (m *Merge) nameServer(s *origin) {
	s.name = cmp.Or(s.host, "server")
	for _, o := range m.servers {
		if o != s && o.host == s.host {
			s.name = fmt.Sprintf("%s (%s)", s.name, s.store)
			return
		}
	}
}

// order puts the runs in order. Those of one file are in order, whatever the clocks showed;
// between files M decides within a boot, and else the wall clock.
func (s *origin) order() {
	var files [][]*run
	for i, r := range s.runs {
		if i == 0 || s.runs[i-1].file != r.file {
			files = append(files, nil)
		}
		files[len(files)-1] = append(files[len(files)-1], r)
	}
	s.runs = s.runs[:0:0]
	for len(files) > 0 {
		first := 0
		for i := range files {
			x, y := files[i][0], files[first][0]
			if x.boot == y.boot && x.first.M < y.first.M || x.boot != y.boot && x.first.W < y.first.W {
				first = i
			}
		}
		s.runs = append(s.runs, files[first][0])
		if files[first] = files[first][1:]; len(files[first]) == 0 {
			files = slices.Delete(files, first, first+1)
		}
	}
}

// place gives every entry of a server its time.
func (s *origin) place(b *bases, m *Merge) {
	s.order()
	last := int64(-1 << 62)
	for _, r := range s.runs {
		base := b.of(r.boot, r.first, last+1)
		r.from = r.first.M + base
		if r.from < last {
			m.note("two servers wrote as %s at the same time: their traces are one server's here", s.name)
		}
		r.to = r.from
		for i := range r.entries {
			e := &r.entries[i]
			e.T, e.Host = e.Now.M+base, s.name
			r.to = max(r.to, e.T)
			s.axis.add(e.T, e.Now.W)
		}
		last = max(last, r.to)
	}
}

// entries are those of all runs, with the end of each process and the frames that it sent
// or was handed. A process that was killed ends after the last frame that it sent.
func (s *origin) entries(m *Merge, frames map[*origin][]trace.Entry) (out []trace.Entry) {
	fs := frames[s]
	idle, unsure := 0, 0
	for i, r := range s.runs {
		next := lease.Never
		if i+1 < len(s.runs) {
			next = s.runs[i+1].from
		}
		n, _ := slices.BinarySearchFunc(fs, r.from, func(e trace.Entry, t int64) int { return cmp.Compare(e.T, t) })
		idle += n
		fs = fs[n:]
		n, _ = slices.BinarySearchFunc(fs, next, func(e trace.Entry, t int64) int { return cmp.Compare(e.T, t) })
		mine := fs[:n]
		fs = fs[n:]
		end, sure := s.endOf(r, i, mine)
		for _, e := range mine {
			switch {
			case e.T <= end:
				out = append(out, e)
			case sure:
				idle++
			default:
				unsure++
			}
		}
		out = append(out, r.entries...)
		if !r.clean && (i+1 < len(s.runs) || r.incomplete) {
			power := i+1 < len(s.runs) && s.runs[i+1].boot != r.boot
			out = append(out, trace.Entry{T: end, Host: s.name, Body: &trace.Ended{Power: power}})
		}
	}
	switch {
	case idle == 1:
		m.note("a frame of the captures came while %s did not run, and is left out", s.name)
	case idle > 1:
		m.note("%d frames of the captures came while %s did not run, and are left out", idle, s.name)
	}
	switch {
	case unsure == 1:
		m.note("a frame of the captures is later than the trace of %s tells, and is left out", s.name)
	case unsure > 1:
		m.note("%d frames of the captures are later than the trace of %s tells, and are left out", unsure, s.name)
	}
	slices.SortStableFunc(out, func(a, b trace.Entry) int { return cmp.Compare(a.T, b.T) })
	return out
}

// endOf is until when frames of a run can be judged, and whether it is sure that the process did
// not live longer. What a process was about to do when it was killed is in its trace, for
// the kernel had it; what the power or a full disk took is not.
func (s *origin) endOf(r *run, i int, frames []trace.Entry) (end int64, sure bool) {
	if r.clean || r.incomplete || i+1 == len(s.runs) || s.runs[i+1].boot != r.boot {
		return r.to, r.clean
	}
	end = r.to
	for _, e := range frames {
		if f := e.Body.(*trace.Frame); f.Sent && f.Payload != nil {
			end = max(end, e.T)
		}
	}
	return end, true
}

// count fills the statistics.
func (m *Merge) count(out []trace.Entry) {
	st := &m.stats
	st.Entries = len(out)
	st.Frames = len(m.capture.frames)
	for _, s := range m.servers {
		st.Servers = append(st.Servers, s.name)
	}
	if len(out) > 0 {
		st.From, st.To = out[0].T, out[len(out)-1].T
	}
	for i := range out {
		switch b := out[i].Body.(type) {
		case *trace.Frame:
			st.Judged++
			st.countMessage(b)
		case *trace.Commit:
			st.Written++
			st.Commits++
			st.Changes += len(b.Changes)
		default:
			st.Written++
		}
	}
}

func (st *Stats) countMessage(f *trace.Frame) {
	var v dhcp4.View
	if f.Payload == nil || v.Parse(f.Payload) != nil {
		return
	}
	switch {
	case f.Sent && v.MessageType() == dhcp4.Ack:
		st.Acks++
	case !f.Sent && v.MessageType() == dhcp4.Request:
		st.Requests++
	}
}

// port is one interface of a server, as it was served.
type port struct {
	link wire.Link
	from int64
}
