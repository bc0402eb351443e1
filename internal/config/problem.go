package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"lessor/internal/policy"
)

// Severity tells errors, with which a configuration is refused, from warnings.
type Severity uint8

const (
	Error   Severity = iota // the configuration is refused
	Warning                 // it is used, but a part of it may not be what was meant
)

// String returns "error" or "warning".
func (s Severity) String() string {
	if s == Warning {
		return "warning"
	}
	return "error"
}

// Place is a piece of one line of the file. The zero Place is no position.
type Place struct {
	Line int    `json:"line"`   // from 1
	Col  int    `json:"column"` // from 1, in characters
	Len  int    `json:"length"` // in characters, at least 1
	Text string `json:"-"`      // the line as it is written, without its end
}

// String returns "line:column".
func (p Place) String() string { return fmt.Sprintf("%d:%d", p.Line, p.Col) }

// pos is the place without its text, as a policy keeps it.
func (p Place) pos() policy.Pos { return policy.Pos{Line: int32(p.Line), Col: int32(p.Col)} }

// Related is another place that has to do with a problem.
type Related struct {
	Place
	Label string `json:"message"` // what is there, for example "its subnet"
}

// Problem is one fault of a configuration, or one doubt.
type Problem struct {
	Severity Severity
	ID       string // stable, for example "config/unknown-key"
	File     string
	Place
	Text    string // what is wrong
	Fix     string // what to do, as a clause or a question; may be empty
	Notes   []string
	Related []Related
}

// Problems are the faults of one configuration, by position.
type Problems []Problem

// MaxShown is how many problems of one file are written out.
const MaxShown = 20

// Errors returns the problems that are errors.
func (ps Problems) Errors() Problems { return ps.only(Error) }

// Warnings returns the problems that are warnings.
func (ps Problems) Warnings() Problems { return ps.only(Warning) }

func (ps Problems) only(s Severity) (out Problems) {
	for _, p := range ps {
		if p.Severity == s {
			out = append(out, p)
		}
	}
	return out
}

// Err returns the errors among ps as one error, or nil when there are none.
func (ps Problems) Err() error {
	if es := ps.Errors(); len(es) > 0 {
		return es
	}
	return nil
}

// Error returns one line for each problem, at most MaxShown.
func (ps Problems) Error() string {
	var b strings.Builder
	for i, p := range ps {
		if i == MaxShown {
			fmt.Fprintf(&b, "\nand %d more", len(ps)-i)
			break
		}
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(p.String())
	}
	return b.String()
}

// String returns the problem on one line, as compilers write it:
// "file:line:column: error: text [id]".
func (p Problem) String() string {
	var b strings.Builder
	b.WriteString(p.File)
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", p.Line, p.Col)
	}
	fmt.Fprintf(&b, ": %s: %s [%s]", p.Severity, p.sentence(), p.ID)
	return b.String()
}

// sentence joins the text and what to do, or the notes when nothing can be said
// about that.
func (p Problem) sentence() string {
	parts := []string{p.Text}
	if p.Fix != "" {
		parts = append(parts, upperFirst(p.Fix))
	} else {
		for _, n := range p.Notes {
			parts = append(parts, upperFirst(n))
		}
	}
	s := parts[0]
	for _, next := range parts[1:] {
		if !strings.HasSuffix(s, "?") && !strings.HasSuffix(s, ".") {
			s += "."
		}
		s += " " + next
	}
	return s
}

func upperFirst(s string) string {
	if s != "" && s[0] >= 'a' && s[0] <= 'z' {
		return string(s[0]-'a'+'A') + s[1:]
	}
	return s
}

// byPosition sorts problems by position; those without one come first.
func byPosition(ps Problems) {
	slices.SortStableFunc(ps, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Col, b.Col))
	})
}
