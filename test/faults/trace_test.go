package faults

import (
	"encoding/hex"
	"fmt"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// syscallEvent is one system call of a trace. begin and end are places in the trace
// (lines): strace holds a thread at the entry and at the exit of a call, so a call
// whose end comes before another's begin was over before the other did anything.
type syscallEvent struct {
	name       string
	begin, end int
	args       string // as strace printed them, strings in hexadecimal
	path       string // of the first argument, if it is a descriptor
	result     int64
}

var (
	traceLine  = regexp.MustCompile(`^(\d+) +(.*)$`)
	resumed    = regexp.MustCompile(`^<\.\.\. (\w+) resumed>(.*)$`)
	whole      = regexp.MustCompile(`(?s)^(\w+)\((.*)\) += (-?\d+|\?)`)
	descriptor = regexp.MustCompile(`^-?\w+<([^>]*)>`)
	quoted     = regexp.MustCompile(`"((?:\\x[0-9a-f]{2})*)"(\.\.\.)?`)
)

// parseTrace reads what `strace -f -y -xx` wrote, in the order in which the calls ended.
func parseTrace(text string) (evs []syscallEvent, err error) {
	pending := map[string]syscallEvent{} // by thread
	no := 0
	for line := range strings.Lines(text) {
		no++
		m := traceLine.FindStringSubmatch(strings.TrimRight(line, "\n"))
		if m == nil {
			return nil, fmt.Errorf("line %d of the trace cannot be read: %.100q", no, line)
		}
		tid, rest := m[1], m[2]
		e := syscallEvent{begin: no}
		if head, cut := strings.CutSuffix(rest, " <unfinished ...>"); cut {
			e.args = head
			pending[tid] = e
			continue
		}
		if r := resumed.FindStringSubmatch(rest); r != nil {
			e = pending[tid]
			delete(pending, tid)
			rest = e.args + r[2]
		}
		w := whole.FindStringSubmatch(rest)
		if w == nil {
			continue // a signal, an exit, a call that never returned
		}
		e.name, e.args, e.end = w[1], w[2], no
		if e.result, err = strconv.ParseInt(w[3], 10, 64); err != nil {
			continue // "?": the process ended in it
		}
		if d := descriptor.FindStringSubmatch(e.args); d != nil {
			e.path = unhex(d[1])
		}
		evs = append(evs, e)
	}
	return evs, nil
}

// unhex turns strace's \x2f\x74 into the octets; other text stays.
func unhex(s string) string {
	if !strings.HasPrefix(s, `\x`) {
		return s
	}
	b, err := hex.DecodeString(strings.ReplaceAll(s, `\x`, ""))
	if err != nil {
		return s
	}
	return string(b)
}

// strings are the strings among the arguments, each complete; ok is false when strace shortened one.
func (e *syscallEvent) strings() (all []string, ok bool) {
	for _, m := range quoted.FindAllStringSubmatch(e.args, -1) {
		if m[2] != "" {
			return nil, false
		}
		all = append(all, unhex(m[1]))
	}
	return all, true
}

// walFile is one file of the write-ahead log, as the writes made it.
type walFile struct {
	path   string
	opened int // where the trace says that its name was made
	data   []byte
	ends   []int // length after each write
	wrote  []int // where each write was over
}

// walFiles gathers the log files from the trace.
func walFiles(evs []syscallEvent) (files []*walFile, err error) {
	open := map[string]*walFile{}
	for i := range evs {
		e := &evs[i]
		switch e.name {
		case "openat":
			args, ok := e.strings()
			if !ok || len(args) != 1 || e.result < 0 || filepath.Ext(args[0]) != ".log" || strings.Contains(e.args, "O_RDONLY") {
				continue
			}
			f := &walFile{path: args[0], opened: e.end}
			files, open[f.path] = append(files, f), f
		case "write":
			f := open[e.path]
			if f == nil || e.result < 0 {
				continue
			}
			data, ok := e.strings()
			if !ok || len(data) != 1 || int64(len(data[0])) < e.result {
				return nil, fmt.Errorf("the trace does not hold what was written to %s", e.path)
			}
			f.data = append(f.data, data[0][:e.result]...)
			f.ends, f.wrote = append(f.ends, len(f.data)), append(f.wrote, e.end)
		case "writev", "pwrite64", "pwritev", "pwritev2":
			if open[e.path] != nil {
				return nil, fmt.Errorf("the log is written by %s, which this test does not understand", e.name)
			}
		}
	}
	return files, nil
}

// writtenBy is where the write was over that made the file at least n octets long.
func (f *walFile) writtenBy(n int) (at int, ok bool) {
	for i, end := range f.ends {
		if end >= n {
			return f.wrote[i], true
		}
	}
	return 0, false
}
