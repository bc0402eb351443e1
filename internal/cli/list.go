package cli

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// none stands in a table for a value that is not there.
const none = "<none>"

// style is how a cell looks on a terminal. Colour never carries a meaning that
// the text does not.
type style uint8

const (
	plain style = iota
	good
	dim
	warn
	bad
	bold
)

// sgr are the terminal sequences of the styles.
var sgr = [...]string{plain: "", good: "\x1b[32m", dim: "\x1b[2m", warn: "\x1b[33m", bad: "\x1b[31m", bold: "\x1b[1m"}

// paint puts text in a style if on is set.
func paint(on bool, s style, text string) string {
	if !on || s == plain || text == "" {
		return text
	}
	return sgr[s] + text + "\x1b[0m"
}

// cell is one value of a table.
type cell struct {
	text  string
	style style
}

// column is one column of a list of T. Wide columns are left out of the plain
// table.
type column[T any] struct {
	name string
	wide bool
	cell func(T) cell
}

// lister writes a list in the format of --output: add for each item, then close.
// JSON and YAML lists are written from the items themselves, tables and CSV from
// the columns. Only a table on a terminal is kept in memory until close.
type lister[T any] struct {
	g       *globals
	w       *bufio.Writer
	columns []column[T]
	rows    [][]cell
	count   int
}

// newLister returns a lister that writes to standard output.
func newLister[T any](g *globals, columns []column[T]) *lister[T] {
	l := &lister[T]{g: g, w: bufio.NewWriter(g.stdout)}
	for _, c := range columns {
		if !c.wide || g.output == "wide" || g.output == "csv" {
			l.columns = append(l.columns, c)
		}
	}
	return l
}

// add writes one item, or keeps it for close.
func (l *lister[T]) add(item T) error {
	l.count++
	switch l.g.output {
	case "json", "jsonl":
		return l.addJSON(item)
	case "yaml":
		return l.addYAML(item)
	}
	if l.count == 1 {
		if err := l.header(); err != nil {
			return err
		}
	}
	row := make([]cell, len(l.columns))
	for i, c := range l.columns {
		row[i] = c.cell(item)
	}
	return l.row(row)
}

// close ends the list and writes what is still in memory.
func (l *lister[T]) close() error {
	switch {
	case l.g.output == "json" && l.count == 0:
		l.w.WriteString("[]\n")
	case l.g.output == "json":
		l.w.WriteString("\n]\n")
	case l.g.output == "yaml" && l.count == 0:
		l.w.WriteString("[]\n")
	case l.g.output == "csv" && l.count == 0, l.isTable() && l.count == 0 && !l.g.terminal:
		if err := l.header(); err != nil {
			return err
		}
	case l.isTable() && l.g.terminal:
		l.align()
	}
	return l.w.Flush()
}

func (l *lister[T]) isTable() bool { return l.g.output == "table" || l.g.output == "wide" }

func (l *lister[T]) addJSON(item T) error {
	text, err := json.Marshal(item)
	if err != nil {
		return err
	}
	if l.g.output == "json" {
		if l.count == 1 {
			l.w.WriteString("[\n")
		} else {
			l.w.WriteString(",\n")
		}
		_, err = l.w.Write(text)
		return err
	}
	l.w.Write(text)
	return l.w.WriteByte('\n')
}

// addYAML goes through JSON, so that both formats have the same names and order.
func (l *lister[T]) addYAML(item T) error {
	text, err := json.Marshal(item)
	if err != nil {
		return err
	}
	var node yaml.Node
	if err := yaml.Unmarshal(text, &node); err != nil {
		return err
	}
	blockStyle(&node)
	out, err := yaml.Marshal(node.Content[0])
	if err != nil {
		return err
	}
	for i, line := range bytes.SplitAfter(bytes.TrimSuffix(out, []byte("\n")), []byte("\n")) {
		lead := "  "
		if i == 0 {
			lead = "- "
		}
		l.w.WriteString(lead)
		l.w.Write(line)
	}
	return l.w.WriteByte('\n')
}

// blockStyle takes the JSON look off a node: quotes stay only where YAML needs
// them.
func blockStyle(n *yaml.Node) {
	n.Style &^= yaml.FlowStyle | yaml.DoubleQuotedStyle
	for _, c := range n.Content {
		blockStyle(c)
	}
}

// header writes the line of column names, unless it is not wanted.
func (l *lister[T]) header() error {
	if l.g.noHeaders {
		return nil
	}
	row := make([]cell, len(l.columns))
	for i, c := range l.columns {
		row[i] = cell{c.name, dim}
	}
	return l.row(row)
}

// row writes one line of a table or of CSV.
func (l *lister[T]) row(row []cell) error {
	if l.isTable() && l.g.terminal {
		l.rows = append(l.rows, row)
		return nil
	}
	fields := make([]string, len(row))
	for i, c := range row {
		fields[i] = printable(c.text)
	}
	if l.g.output == "csv" {
		for i, f := range fields {
			fields[i] = csvCell(f)
		}
		w := csv.NewWriter(l.w)
		w.Write(fields)
		w.Flush()
		return w.Error()
	}
	for i, f := range fields {
		if f == "" {
			fields[i] = none
		}
	}
	_, err := fmt.Fprintln(l.w, strings.Join(fields, "\t"))
	return err
}

// align writes the kept rows in columns.
func (l *lister[T]) align() {
	widths := make([]int, len(l.columns))
	for _, row := range l.rows {
		for i := range row {
			row[i].text = printable(row[i].text)
			if row[i].text == "" {
				row[i] = cell{none, dim}
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(row[i].text))
		}
	}
	squeeze(widths, l.g.width)
	for _, row := range l.rows {
		room := l.g.width
		for i, c := range row {
			if l.g.width > 0 {
				c.text = shorten(c.text, widths[i])
			}
			text, pad := c.text, widths[i]-utf8.RuneCountInString(c.text)+2
			if i == len(row)-1 {
				pad = 0
			}
			if l.g.width > 0 {
				text = shorten(text, room)
			}
			room = max(room-widths[i]-2, 1)
			l.w.WriteString(paint(l.g.colored, c.style, text))
			l.w.WriteString(strings.Repeat(" ", pad))
		}
		l.w.WriteByte('\n')
	}
}

// leastSqueezed is the width to which squeeze may narrow a column: no address, hardware
// address, state or number is longer.
const leastSqueezed = 18

// squeeze narrows the widest columns until a line fits into width characters, so that
// long names give way and not the columns at the end. A width of 0 is no limit.
func squeeze(widths []int, width int) {
	if width <= 0 {
		return
	}
	over := 2*(len(widths)-1) - width
	for _, w := range widths {
		over += w
	}
	for ; over > 0; over-- {
		widest := 0
		for i, w := range widths {
			if w > widths[widest] {
				widest = i
			}
		}
		if widths[widest] <= leastSqueezed {
			return
		}
		widths[widest]--
	}
}

// shorten cuts text to n characters and marks the cut.
func shorten(text string, n int) string {
	if utf8.RuneCountInString(text) <= n {
		return text
	}
	if n < 1 {
		n = 1
	}
	return string([]rune(text)[:n-1]) + "…"
}

// printable replaces what could move the cursor, start a control sequence or
// break a table: text in a list may come from the network.
func printable(s string) string {
	clean := true
	for _, r := range s {
		if !unicode.IsPrint(r) {
			clean = false
			break
		}
	}
	if clean {
		return s
	}
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '�'
		}
		return r
	}, s)
}

// csvCell keeps a spreadsheet from reading a cell as a formula.
func csvCell(s string) string {
	if s != "" && strings.ContainsRune("=+-@\t\r", rune(s[0])) {
		return "'" + s
	}
	return s
}
