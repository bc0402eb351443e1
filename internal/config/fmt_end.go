package config

import (
	"strings"

	"go.yaml.in/yaml/v4"
)

// endOf is the last line of the scalar or flow collection n, which belongs to a key or
// dash on the line first. Lines count from 0.
func (l *layout) endOf(n *yaml.Node, first int) int {
	line := n.Line - 1
	switch {
	case n.Kind != yaml.ScalarNode || n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) != 0:
		end, _ := l.closing(n)
		return end
	case n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0:
		return l.endOfBlock(line, first)
	case isNull(n) && n.Value == "":
		return first
	}
	// Plain text goes on until a comment, or a line that is no deeper than its key.
	end := line
	for i := line + 1; i < len(l.lines); i++ {
		text := strings.TrimLeft(l.lines[i].text, " \t")
		if text == "" {
			continue
		}
		if text[0] == '#' || l.lines[i].indent <= l.lines[first].indent {
			break
		}
		end = i
	}
	return end
}

// endOfBlock is the last line of a literal or folded text that begins below line.
func (l *layout) endOfBlock(line, first int) int {
	end := line
	for i := line + 1; i < len(l.lines); i++ {
		if strings.Trim(l.lines[i].text, " ") != "" && l.lines[i].indent <= l.lines[first].indent {
			break
		}
		end = i
	}
	return end
}

// closing finds the line and the column, both from 0, right after the end of a quoted
// text or of a list or mapping in flow style. The column is in bytes.
func (l *layout) closing(n *yaml.Node) (line, col int) {
	line = n.Line - 1
	if line < 0 || line >= len(l.lines) {
		return line, 0
	}
	s := scanner{l: l, line: line, col: l.byteCol(line, n.Column-1)}
	depth := 0
	for {
		c, ok := s.next()
		if !ok {
			return len(l.lines) - 1, 0
		}
		switch c {
		case '"', '\'':
			s.quoted(c)
		case '[', '{':
			depth++
		case ']', '}':
			depth--
		case '#':
			if s.afterSpace() {
				s.skipLine()
			}
		default:
			if depth == 0 {
				return s.line, s.col
			}
			s.plain(c)
		}
		if depth <= 0 {
			return s.line, s.col
		}
	}
}

// byteCol turns a column in characters into one in bytes.
func (p *layout) byteCol(line, col int) int {
	n := 0
	for i := range p.lines[line].text {
		if n == col {
			return i
		}
		n++
	}
	return len(p.lines[line].text)
}

// scanner reads the lines of a file byte by byte, outside of block style.
type scanner struct {
	l         *layout
	line, col int
}

func (s *scanner) text() string { return s.l.lines[s.line].text }

// next is the next byte that is no space, on this or a later line.
func (s *scanner) next() (byte, bool) {
	for {
		for s.col < len(s.text()) {
			c := s.text()[s.col]
			s.col++
			if c != ' ' && c != '\t' {
				return c, true
			}
		}
		if s.line+1 >= len(s.l.lines) {
			return 0, false
		}
		s.line, s.col = s.line+1, 0
	}
}

func (s *scanner) afterSpace() bool {
	return s.col < 2 || s.text()[s.col-2] == ' ' || s.text()[s.col-2] == '\t'
}

func (s *scanner) skipLine() { s.col = len(s.text()) }

// quoted goes behind the closing quote.
func (s *scanner) quoted(q byte) {
	for {
		for s.col < len(s.text()) {
			c := s.text()[s.col]
			s.col++
			switch {
			case c == '\\' && q == '"':
				s.col++
			case c == q && q == '\'' && s.col < len(s.text()) && s.text()[s.col] == q:
				s.col++
			case c == q:
				return
			}
		}
		if s.line+1 >= len(s.l.lines) {
			return
		}
		s.line, s.col = s.line+1, 0
	}
}

// plain goes to the end of a plain text inside of a flow collection, so that a quote
// within it opens nothing.
func (s *scanner) plain(first byte) {
	if first == ',' || first == ':' || first == '?' {
		return
	}
	for s.col < len(s.text()) {
		switch c := s.text()[s.col]; c {
		case ',', '[', ']', '{', '}':
			return
		case ':':
			if s.col+1 == len(s.text()) || strings.IndexByte(" \t,[]{}", s.text()[s.col+1]) >= 0 {
				return
			}
		case '#':
			if before := s.text()[s.col-1]; before == ' ' || before == '\t' {
				return
			}
		}
		s.col++
	}
}
