package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"unicode/utf8"
	"unsafe"

	"go.yaml.in/yaml/v4"
	"go.yaml.in/yaml/v4/plugin/loaderlimits"
)

const (
	// MaxFile is the largest configuration file that is read, in octets.
	MaxFile = 16 << 20
	// maxDepth bounds how deep lists and mappings are nested; no key needs more than 10.
	maxDepth = 32
	// maxProblems bounds how many problems are kept; far more than are ever shown.
	maxProblems = 1000
)

// Load reads and parses the file at path; "-" is standard input. The
// configuration is nil when there are errors; warnings come with it.
func Load(path string) (*Config, Problems) {
	data, problems := Read(path)
	if problems != nil {
		return nil, problems
	}
	return Parse(path, data)
}

// Read reads the file at path; "-" is standard input.
func Read(path string) ([]byte, Problems) {
	f := os.Stdin
	if path != "-" {
		var err error
		// Without waiting: a named pipe that nobody writes to reads as empty.
		if f, err = os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0); err != nil {
			return nil, fileProblem(path, err)
		}
		defer f.Close()
	}
	var data bytes.Buffer
	if st, err := f.Stat(); err == nil && st.Size() > 0 {
		data.Grow(int(min(st.Size(), MaxFile)) + bytes.MinRead) // no copies of a large file
	}
	if _, err := data.ReadFrom(io.LimitReader(f, MaxFile+1)); err != nil {
		return nil, fileProblem(path, err)
	}
	return data.Bytes(), nil
}

func fileProblem(path string, err error) Problems {
	fix := ""
	switch {
	case errors.Is(err, os.ErrNotExist):
		fix = `"lessor config init --interface eth0" prints a file to start from`
	case errors.Is(err, os.ErrPermission):
		fix = "let the user that runs Lessor read it"
	}
	if pe, ok := errors.AsType[*os.PathError](err); ok {
		err = pe.Err
	}
	return Problems{{ID: "config/file", File: path, Text: fmt.Sprintf("cannot read the file: %v", err), Fix: fix}}
}

// parser reads one file. Its methods report problems and go on, so that all are
// found at once.
type parser struct {
	name     string
	data     []byte
	whole    string // data again, which nobody changes; places are pieces of it, for one line may be the whole file
	starts   []int  // offset of each line
	problems []*Problem
	errors   int
	own      map[space][]ownDef // option-definitions
}

// add files a problem. The result may be given related places and notes.
func (p *parser) add(s Severity, at Place, id, fix, format string, args ...any) *Problem {
	pr := &Problem{Severity: s, ID: "config/" + id, File: p.name, Place: at, Text: fmt.Sprintf(format, args...), Fix: fix}
	if s == Error {
		p.errors++
	}
	if len(p.problems) < maxProblems || s == Error && p.errors == 1 {
		p.problems = append(p.problems, pr)
	}
	return pr
}

// errorf files an error at node n.
func (p *parser) errorf(n *yaml.Node, id, fix, format string, args ...any) *Problem {
	return p.add(Error, p.place(n), id, fix, format, args...)
}

// warnf files a warning at a place.
func (p *parser) warnf(at Place, id, fix, format string, args ...any) *Problem {
	return p.add(Warning, at, id, fix, format, args...)
}

func (pr *Problem) relate(at Place, label string) *Problem {
	pr.Related = append(pr.Related, Related{at, label})
	return pr
}

func (pr *Problem) note(format string, args ...any) *Problem {
	pr.Notes = append(pr.Notes, fmt.Sprintf(format, args...))
	return pr
}

// result returns the problems found, by position.
func (p *parser) result() Problems {
	if len(p.problems) == 0 {
		return nil
	}
	out := make(Problems, len(p.problems))
	for i, pr := range p.problems {
		out[i] = *pr
	}
	byPosition(out)
	return out
}

// at makes a place of a line and a column.
func (p *parser) at(line, col, length int) Place {
	return Place{Line: line, Col: col, Len: max(1, length), Text: p.line(line)}
}

// place is where n stands. A list or mapping is marked by its first character.
func (p *parser) place(n *yaml.Node) Place {
	length := 1
	if n.Kind == yaml.ScalarNode && !strings.Contains(n.Value, "\n") {
		length = utf8.RuneCountInString(n.Value)
		if n.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle) != 0 {
			length += 2
		}
	}
	return p.at(n.Line, n.Column, length)
}

// line is the text of a line, from 1.
func (p *parser) line(n int) string {
	if n < 1 || n > len(p.starts) {
		return ""
	}
	end := len(p.data)
	if n < len(p.starts) {
		end = p.starts[n]
	}
	return strings.TrimRight(p.whole[p.starts[n-1]:end], "\r\n")
}

func newParser(name string, data []byte) *parser {
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	p := &parser{name: name, data: data, whole: unsafe.String(unsafe.SliceData(data), len(data)), starts: []int{0}}
	for i, c := range data {
		if c == '\n' {
			p.starts = append(p.starts, i+1)
		}
	}
	return p
}

// read returns the root mapping of the file, or nil after reporting why there is
// none.
func (p *parser) read() *yaml.Node {
	if len(p.data) > MaxFile {
		p.add(Error, Place{}, "too-large", "", "the file is larger than %d MiB", MaxFile>>20)
		return nil
	}
	if !p.readable() {
		return nil
	}
	loader, err := yaml.NewLoader(bytes.NewReader(p.data), yaml.WithPlugin(loaderlimits.New(loaderlimits.DepthValue(maxDepth))))
	if err != nil {
		p.add(Error, Place{}, "syntax", "", "%v", err)
		return nil
	}
	var doc, second yaml.Node
	switch err := loader.Load(&doc); {
	case errors.Is(err, io.EOF), err == nil && len(doc.Content) == 0:
		p.add(Error, p.at(1, 1, 1), "empty", `"lessor config init --interface eth0" prints a file to start from`, "the file has no content")
		return nil
	case err != nil:
		p.syntaxError(err)
		return nil
	}
	switch err := loader.Load(&second); {
	case err == nil:
		p.errorf(&second, "syntax", "remove the line \"---\" and what follows it", "the file has a second YAML document; one file is one configuration")
		return nil
	case !errors.Is(err, io.EOF):
		p.syntaxError(err)
		return nil
	}
	root := doc.Content[0]
	if !p.plain(root) {
		return nil
	}
	return root
}

// readable reports characters that no YAML file has, with their position, which
// the YAML reader does not tell.
func (p *parser) readable() bool {
	for i := 0; i < len(p.data); {
		r, n := utf8.DecodeRune(p.data[i:])
		bad := ""
		switch {
		case r == utf8.RuneError && n == 1:
			bad = fmt.Sprintf("the byte 0x%02x is not UTF-8 text", p.data[i])
		case r < ' ' && r != '\t' && r != '\n' && r != '\r', r == 0x7f, r >= 0x80 && r < 0xa0 && r != 0x85, r == 0xfeff, r == 0xfffe, r == 0xffff:
			bad = fmt.Sprintf("the control character U+%04X cannot be in a configuration", r)
		}
		if bad != "" {
			line, col := p.position(i)
			p.add(Error, p.at(line, col, 1), "encoding", "save the file as plain UTF-8 text", "%s", bad)
			return false
		}
		i += n
	}
	return true
}

func (p *parser) position(offset int) (line, col int) {
	line = bytes.Count(p.data[:offset], []byte("\n")) + 1
	return line, utf8.RuneCount(p.data[p.starts[line-1]:offset]) + 1
}

// plain refuses what makes one place of a file mean something at another: with
// anchors, aliases and merge keys a value would have no position of its own, and a
// short file could stand for a huge one.
func (p *parser) plain(n *yaml.Node) bool {
	const fix = "write the value out at each place"
	switch {
	case n.Kind == yaml.AliasNode:
		p.errorf(n, "anchor", fix, "aliases such as %s are not used in a configuration", quotable("*"+n.Value))
		return false
	case n.Anchor != "":
		p.errorf(n, "anchor", fix, "anchors such as %s are not used in a configuration", quotable("&"+n.Anchor))
		return false
	case n.Style&yaml.TaggedStyle != 0:
		p.errorf(n, "tag", "remove it", "the type tag %s is not used in a configuration", quotable(n.Tag))
		return false
	}
	ok := true
	for _, c := range n.Content {
		ok = p.plain(c) && ok
	}
	return ok
}
