package config

import (
	"bytes"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// Format returns a configuration in its usual layout: two spaces for each level, lists
// indented below their key, no tabs, no space at the ends of lines, one blank line at
// most, one line feed at the end. Keys stay in their order, and comments, quotes and
// the way in which lists and mappings are written stay as they are, so that the file
// means what it did. A file that is not YAML only because of tabs in the indentation
// is repaired; another is an error. Formatting twice changes nothing more.
func Format(name string, data []byte) ([]byte, Problems) {
	p := newParser(name, data)
	if p.read() == nil {
		repaired := repairTabs(name, p)
		if repaired == nil {
			return nil, p.result()
		}
		p = repaired
	}
	text := p.whole
	for range 4 {
		next := formatOnce(name, text)
		if next == text {
			return []byte(text), nil
		}
		text = next
	}
	return []byte(p.whole), nil // it never settles: leave it as it is
}

// formatOnce lays text out, and gives it back unchanged if that would change what it
// means.
func formatOnce(name, text string) string {
	p := newParser(name, []byte(text))
	root := p.read()
	if root == nil {
		return text
	}
	out := newLayout(p, root).String()
	q := newParser(name, []byte(out))
	if other := q.read(); other == nil || !sameMeaning(root, other) {
		return text
	}
	return out
}

// sameMeaning reports whether two trees have the same content.
func sameMeaning(a, b *yaml.Node) bool {
	if a.Kind != b.Kind || a.Value != b.Value || a.ShortTag() != b.ShortTag() || len(a.Content) != len(b.Content) {
		return false
	}
	for i := range a.Content {
		if !sameMeaning(a.Content[i], b.Content[i]) {
			return false
		}
	}
	return true
}

// repairTabs makes spaces of the tabs that lines are indented with, for the width of
// tabs with which the file is YAML, and if there is one, a configuration without
// errors. It returns nil when tabs are not the reason.
func repairTabs(name string, p *parser) *parser {
	if len(p.problems) != 1 || p.problems[0].ID != "config/tab" {
		return nil
	}
	var best *parser
	least := maxProblems + 1
	for _, width := range []int{2, 4, 8, 3, 1} {
		q := newParser(name, []byte(expandTabs(p.whole, width)))
		root := q.read()
		if root == nil {
			continue
		}
		if q.check(q.parse(root)); q.errors < least {
			best, least = newParser(name, q.data), q.errors
		}
	}
	return best
}

// expandTabs makes spaces of the tabs in the indentation of each line.
func expandTabs(text string, width int) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		rest := strings.TrimLeft(line, " \t")
		col := 0
		for _, c := range line[:len(line)-len(rest)] {
			if c == '\t' {
				col += width - col%width
			} else {
				col++
			}
		}
		b.WriteString(strings.Repeat(" ", col))
		b.WriteString(rest)
	}
	return b.String()
}

// layout is a file on its way into its usual layout. Lines count from 0.
type layout struct {
	*parser
	lines []laidLine
}

// laidLine is one line and what is known of it.
type laidLine struct {
	text   string // without its end
	indent int    // spaces in front of it
	to     int    // its new indentation, where starts is set
	starts bool   // a key or an item of a block starts it
	rest   string // what follows its indentation, in its new form, where starts is set
	opaque bool   // it is inside of a text whose spaces count
	inside bool   // it goes on with what an earlier line began
	from   int    // that line, where inside or opaque is set

	prev, next int // the nearest lines with starts set, or -1
}

func newLayout(p *parser, root *yaml.Node) *layout {
	l := &layout{parser: p}
	for text := range strings.Lines(p.whole) {
		text = strings.TrimRight(text, "\r\n")
		l.lines = append(l.lines, laidLine{text: text, indent: len(text) - len(strings.TrimLeft(text, " "))})
	}
	l.walk(root, 0, 0)
	prev := -1
	for i := range l.lines {
		if l.lines[i].prev = prev; l.lines[i].starts {
			prev = i
		}
	}
	next := -1
	for i := len(l.lines) - 1; i >= 0; i-- {
		if l.lines[i].next = next; l.lines[i].starts {
			next = i
		}
	}
	return l
}

// isBlock reports whether n is a list or mapping in block style.
func isBlock(n *yaml.Node) bool {
	return (n.Kind == yaml.MappingNode || n.Kind == yaml.SequenceNode) && n.Style&yaml.FlowStyle == 0 && len(n.Content) > 0
}

// walk lays out the block n, whose keys or dashes come to stand in column to (from 0).
// first is the line on which it may start behind dashes.
func (l *layout) walk(n *yaml.Node, to, first int) {
	switch {
	case !isBlock(n):
		l.leaf(n, first)
	case n.Kind == yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			key, val := n.Content[i], n.Content[i+1]
			l.start(key.Line-1, n.Column-1, to)
			l.colonTab(key, val)
			l.walk(val, to+2, key.Line-1)
		}
	default:
		for _, item := range n.Content {
			dash := l.dashOf(n, item)
			l.start(dash, n.Column-1, to)
			l.walk(item, to+2, dash)
		}
	}
}

// dashOf is the line of the dash in front of an item of n.
func (l *layout) dashOf(n, item *yaml.Node) int {
	for line := item.Line - 1; line >= n.Line-1 && line >= 0; line-- {
		text := []rune(l.lines[line].text)
		if c := n.Column - 1; c < len(text) && text[c] == '-' && strings.Trim(string(text[:c]), " -") == "" {
			return line
		}
	}
	return item.Line - 1
}

// start marks a line as one that begins with a key or dash in column col, if nothing
// but dashes of outer lists stands before it.
func (l *layout) start(line, col, to int) {
	if line < 0 || line >= len(l.lines) {
		return
	}
	at := &l.lines[line]
	switch {
	case at.starts, col > len(at.text) || strings.Trim(at.text[:col], " ") != "":
		return
	}
	at.starts, at.to, at.rest = true, to, tightDashes(at.text[col:])
}

// tightDashes leaves one space after each dash at the beginning of a line.
func tightDashes(s string) string {
	rest, ok := strings.CutPrefix(s, "-")
	if !ok || rest != "" && rest[0] != ' ' && rest[0] != '\t' {
		return s
	}
	inner := strings.TrimLeft(rest, " \t")
	if inner == "" || inner[0] == '#' {
		return s
	}
	return "- " + tightDashes(inner)
}

// colonTab puts a space in the place of tabs between a key and its value.
func (l *layout) colonTab(key, val *yaml.Node) {
	line := key.Line - 1
	if val.Line != key.Line || line >= len(l.lines) || !l.lines[line].starts || isNull(val) {
		return
	}
	text := []rune(l.lines[line].text)
	if key.Column-1 > val.Column-1 || val.Column-1 > len(text) {
		return
	}
	head, tail := string(text[:val.Column-1]), string(text[val.Column-1:])
	if cut := strings.TrimRight(head, " \t"); strings.Contains(head[len(cut):], "\t") && strings.HasSuffix(l.lines[line].rest, tail) {
		at := &l.lines[line]
		at.rest = strings.TrimRight(strings.TrimSuffix(at.rest, tail), " \t") + " " + tail
	}
}

// leaf marks the lines on which a scalar or a flow collection goes on.
func (l *layout) leaf(n *yaml.Node, first int) {
	last := l.endOf(n, first)
	block := n.Kind == yaml.ScalarNode && n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0
	quoted := n.Kind == yaml.ScalarNode && n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) != 0
	for i := first + 1; i <= last && i < len(l.lines); i++ {
		l.lines[i].inside, l.lines[i].from = true, first
		l.lines[i].opaque = block || quoted && i > n.Line-1
	}
}

// String is the file in its new layout.
func (l *layout) String() string {
	var b bytes.Buffer
	blank := true // no blank line at the beginning
	for i := range l.lines {
		at := &l.lines[i]
		text := l.shifted(i)
		if !at.opaque {
			text = strings.TrimRight(text, " \t\r")
		}
		if text == "" && !at.opaque && !at.inside {
			if blank {
				continue
			}
			blank = true
		} else {
			blank = false
		}
		b.WriteString(text)
		b.WriteByte('\n')
	}
	out := b.Bytes()
	if n := len(l.lines); n > 0 && !l.lines[n-1].opaque {
		out = append(bytes.TrimRight(out, "\n"), '\n')
	}
	return string(out)
}

// shifted is line i with its new indentation.
func (l *layout) shifted(i int) string {
	at := &l.lines[i]
	switch {
	case at.starts:
		return strings.Repeat(" ", at.to) + at.rest
	case strings.TrimSpace(at.text) == "" && !at.opaque:
		return ""
	case strings.HasPrefix(at.text, "%"), strings.HasPrefix(at.text, "---"), strings.HasPrefix(at.text, "..."):
		return at.text
	}
	by := l.shiftOf(i)
	if at.inside && !at.opaque {
		return strings.Repeat(" ", max(1, utf8.RuneCountInString(indentOf(at.text))+by)) + strings.TrimLeft(at.text, " \t")
	}
	if by < 0 {
		return at.text[min(-by, at.indent):]
	}
	return strings.Repeat(" ", by) + at.text
}

func indentOf(s string) string { return s[:len(s)-len(strings.TrimLeft(s, " \t"))] }

// shiftOf is by how much a line moves that begins nothing of its own: with the line
// that it goes on from, or, for a comment, with the line below, or the one above where
// the comment stands as deep as that.
func (l *layout) shiftOf(i int) int {
	moved := func(j int) int { return l.lines[j].to - l.lines[j].indent }
	if l.lines[i].inside {
		if from := l.lines[i].from; l.lines[from].starts {
			return moved(from)
		}
		return 0
	}
	prev, next := l.lines[i].prev, l.lines[i].next
	switch {
	case prev < 0 && next < 0:
		return 0
	case next < 0:
		if l.lines[i].indent < l.lines[prev].indent { // below the last block
			return 0
		}
		return moved(prev)
	case prev >= 0 && l.lines[prev].indent > l.lines[next].indent && l.lines[i].indent >= l.lines[prev].indent:
		return moved(prev)
	}
	return moved(next)
}
