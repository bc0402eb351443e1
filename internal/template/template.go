// Package template fills names in text: "host-${address}". Option values and the
// fields of a relay agent are written with it. "$${" stands for "${" itself; any
// other "$" is a dollar.
package template

import (
	"fmt"
	"slices"
	"strings"

	"lessor/internal/spell"
)

// Template is text with placeholders. It never changes, so several goroutines may
// use one. The zero Template is the empty text.
type Template struct {
	parts []part
}

// part is literal text, or the name of a placeholder.
type part struct {
	text        string
	placeholder bool
}

// Error says what is wrong with the text of a template.
type Error struct {
	Offset  int // where it is wrong, in octets from the start of the text
	Length  int // how many octets are
	Message string
	Fix     string // what to do
}

// Error returns the message and what to do, without the place.
func (e *Error) Error() string { return e.Message + ". " + e.Fix }

// Parse reads text, in which the placeholders names may stand. The error is an
// *Error.
func Parse(text string, names ...string) (Template, error) {
	var t Template
	var literal strings.Builder
	for at := 0; at < len(text); {
		rest := text[at:]
		switch {
		case strings.HasPrefix(rest, "$${"):
			literal.WriteString("${")
			at += 3
		case strings.HasPrefix(rest, "${"):
			name, err := placeholder(rest, names)
			if err != nil {
				err.Offset += at
				return Template{}, err
			}
			t.add(literal.String())
			literal.Reset()
			t.parts = append(t.parts, part{name, true})
			at += len(name) + 3
		default:
			literal.WriteByte(text[at])
			at++
		}
	}
	t.add(literal.String())
	return t, nil
}

func (t *Template) add(literal string) {
	if literal != "" {
		t.parts = append(t.parts, part{literal, false})
	}
}

// placeholder returns the name between the braces that text starts with; an error's
// offset counts from there.
func placeholder(text string, names []string) (string, *Error) {
	// A second "${" means that the first was never closed, not a strange name.
	end := strings.IndexAny(text[2:], "}$")
	if end < 0 || text[2+end] != '}' {
		return "", &Error{0, 2, `"${" has no "}"`, "Write ${NAME}, or $${ for the two characters ${ themselves"}
	}
	name := text[2 : 2+end]
	if slices.Contains(names, name) {
		return name, nil
	}
	e := &Error{2, len(name), fmt.Sprintf("%s is no placeholder here", quoted(name)), ""}
	if name == "" {
		e.Offset, e.Length, e.Message = 0, 3, "${} names no placeholder"
	}
	if near := spell.Nearest(name, names); near != "" {
		e.Fix = fmt.Sprintf("Did you mean ${%s}?", near)
	} else if len(names) == 0 {
		e.Fix = "None may be used here; write $${ for the two characters ${ themselves"
	} else {
		e.Fix = "There are " + list(names)
	}
	return "", e
}

// quoted quotes a name of the text, at most 64 octets of it.
func quoted(name string) string {
	if len(name) > 64 {
		return fmt.Sprintf("%q...", name[:60])
	}
	return fmt.Sprintf("%q", name)
}

func list(names []string) string {
	var b strings.Builder
	for i, n := range names {
		switch {
		case i == 0:
		case i == len(names)-1:
			b.WriteString(" and ")
		default:
			b.WriteString(", ")
		}
		b.WriteString("${" + n + "}")
	}
	return b.String()
}

// Append appends the text to dst. value appends the value of the placeholder name to
// dst; it must not shorten it, and may leave it as it is where there is no value.
// Nothing is allocated when dst has room and value does not allocate.
func (t Template) Append(dst []byte, value func(name string, dst []byte) []byte) []byte {
	for _, p := range t.parts {
		if p.placeholder {
			dst = value(p.text, dst)
		} else {
			dst = append(dst, p.text...)
		}
	}
	return dst
}

// Literal returns the text when it has no placeholder, and whether that is so.
func (t Template) Literal() (string, bool) {
	switch {
	case len(t.parts) == 0:
		return "", true
	case len(t.parts) == 1 && !t.parts[0].placeholder:
		return t.parts[0].text, true
	}
	return "", false
}

// Names returns the placeholders that the text has, each once, in the order of their
// first place.
func (t Template) Names() []string {
	var names []string
	for _, p := range t.parts {
		if p.placeholder && !slices.Contains(names, p.text) {
			names = append(names, p.text)
		}
	}
	return names
}
