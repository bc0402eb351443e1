package tracefile

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"

	"lessor/internal/lease"
	"lessor/internal/trace"
)

// Reader reads the entries of a trace file, one run after the other. Any content is
// accepted or refused with an error that names the line; none makes it panic.
type Reader struct {
	name string
	br   *bufio.Reader
	buf  []byte
	line int

	header Header
	runs   int
	notes  []string
}

// NewReader reads from r; name stands in errors and notes.
func NewReader(name string, r io.Reader) *Reader {
	return &Reader{name: name, br: bufio.NewReaderSize(r, 1<<16)}
}

// Header is that of the run of the last entry, and run the run's number, from 1.
func (r *Reader) Header() (h Header, run int) { return r.header, r.runs }

// Line is the number of the last line that was read.
func (r *Reader) Line() int { return r.line }

// Notes say what is missing in what was read: a last line that was cut short, a run
// that could not be written to its end.
func (r *Reader) Notes() []string { return r.notes }

func (r *Reader) note(format string, args ...any) {
	r.notes = append(r.notes, fmt.Sprintf("%s:%d: ", r.name, r.line)+fmt.Sprintf(format, args...))
}

// Next returns the next entry, whose T is 0 unless the header says World. A run that its
// writer had to give up ends with an entry without Body. io.EOF is the end.
func (r *Reader) Next() (e trace.Entry, err error) {
	for {
		text, whole, err := r.readLine()
		if err != nil {
			return e, err
		}
		text = bytes.TrimSpace(text)
		if len(text) == 0 {
			if !whole {
				return e, io.EOF
			}
			continue
		}
		isHeader := bytes.HasPrefix(text, []byte(`{"lessor-trace"`))
		if isHeader {
			err = r.begin(text)
		} else {
			e, err = r.parse(text)
		}
		switch {
		case err == nil && isHeader:
		case err == nil:
			return e, nil
		case !whole:
			r.note("the last line is cut short; what it said is lost")
			return e, io.EOF
		case r.cutBefore():
			r.note("a line is cut short, where a run of the server ended; what it said is lost")
		default:
			return e, fmt.Errorf("%s:%d: %w", r.name, r.line, err)
		}
	}
}

// readLine returns the next line; whole says that its end of line was there.
func (r *Reader) readLine() (text []byte, whole bool, err error) {
	r.buf = r.buf[:0]
	r.line++
	for {
		part, err := r.br.ReadSlice('\n')
		r.buf = append(r.buf, part...)
		switch {
		case len(r.buf) > maxLine:
			return nil, false, fmt.Errorf("%s:%d: a line of more than %d MiB: this is no trace file", r.name, r.line, maxLine>>20)
		case err == nil:
			return r.buf, true, nil
		case errors.Is(err, bufio.ErrBufferFull):
		case errors.Is(err, io.EOF) && len(r.buf) > 0:
			return r.buf, false, nil
		case errors.Is(err, io.EOF):
			return nil, false, io.EOF
		default:
			return nil, false, fmt.Errorf("%s: %w", r.name, err)
		}
	}
}

// cutBefore reports whether a new run begins on the next line: then a bad line is the last
// of a process that was killed while it wrote.
func (r *Reader) cutBefore() bool {
	const start = `{"lessor-trace"`
	next, err := r.br.Peek(len(start))
	return err == nil && string(next) == start
}

// begin takes a header.
func (r *Reader) begin(text []byte) error {
	var version struct {
		Version int `json:"lessor-trace"`
	}
	h := Header{}
	if err := parseLine(text, &h); err != nil {
		// One of a later version may have keys that this one does not know.
		if looseErr := parseLoose(text, &version); looseErr == nil && version.Version != Version {
			return fmt.Errorf("a trace of version %d; this program reads version %d", version.Version, Version)
		}
		return err
	}
	switch {
	case h.Version != Version:
		return fmt.Errorf("a trace of version %d; this program reads version %d", h.Version, Version)
	case len(h.Boot) != len(lease.BootID{}) && !h.World:
		return fmt.Errorf("a boot id of %d octets", len(h.Boot))
	}
	r.header = h
	r.runs++
	return nil
}

func (r *Reader) parse(text []byte) (trace.Entry, error) {
	if r.runs == 0 {
		return trace.Entry{}, errors.New(`no trace file: its first line does not begin with {"lessor-trace"`)
	}
	var l line
	if err := parseLine(text, &l); err != nil {
		return trace.Entry{}, err
	}
	e, incomplete, err := l.entry()
	if err == nil && incomplete != "" {
		r.note("the trace of this run ends here, for it could not be written: %s", incomplete)
	}
	return e, err
}
