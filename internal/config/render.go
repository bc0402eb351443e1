package config

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode"
)

// Terminal sequences.
const (
	sgrReset = "\x1b[0m"
	sgrBold  = "\x1b[1m"
	sgrRed   = "\x1b[1;31m"
	sgrAmber = "\x1b[1;33m"
	sgrBlue  = "\x1b[34m"
)

// WriteTerminal writes the problems for a person: each with the line as it is
// written, a mark under the place, related places, and what to do. At most
// MaxShown are written.
func (ps Problems) WriteTerminal(w io.Writer, color bool) error {
	var b strings.Builder
	for i, p := range ps {
		if i == MaxShown {
			fmt.Fprintf(&b, "and %d more\n", len(ps)-i)
			break
		}
		if i > 0 {
			b.WriteByte('\n')
		}
		p.render(&painter{Builder: &b, color: color})
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// WriteLines writes the problems one a line, for pipes, editors and logs.
func (ps Problems) WriteLines(w io.Writer) error {
	if len(ps) == 0 {
		return nil
	}
	_, err := io.WriteString(w, ps.Error()+"\n")
	return err
}

// MarshalJSON returns the problem as an object with the fields of the text forms.
func (p Problem) MarshalJSON() ([]byte, error) {
	type shown struct {
		Severity string    `json:"severity"`
		ID       string    `json:"id"`
		File     string    `json:"file"`
		Line     int       `json:"line,omitempty"`
		Column   int       `json:"column,omitempty"`
		Length   int       `json:"length,omitempty"`
		Message  string    `json:"message"`
		Fix      string    `json:"fix,omitempty"`
		Notes    []string  `json:"notes,omitempty"`
		Related  []Related `json:"related,omitempty"`
	}
	return json.Marshal(shown{p.Severity.String(), p.ID, p.File, p.Line, p.Col, p.Len, p.Text, p.Fix, p.Notes, p.Related})
}

type painter struct {
	*strings.Builder
	color bool
}

func (w *painter) put(sgr, text string) {
	if w.color && text != "" {
		text = sgr + text + sgrReset
	}
	w.WriteString(text)
}

func (p Problem) render(w *painter) {
	hue := sgrRed
	if p.Severity == Warning {
		hue = sgrAmber
	}
	w.put(hue, p.Severity.String()+"["+p.ID+"]")
	w.put(sgrBold, ": "+p.Text)
	w.WriteByte('\n')
	width := 1
	for _, l := range append([]int{p.Line}, relatedLines(p.Related)...) {
		width = max(width, len(strconv.Itoa(l)))
	}
	pad := strings.Repeat(" ", width)
	if p.Line > 0 {
		w.put(sgrBlue, pad+" ┌─ ")
		fmt.Fprintf(w, "%s:%d:%d\n", p.File, p.Line, p.Col)
		p.renderLines(w, width, hue)
	} else {
		w.put(sgrBlue, pad+" ┌─ ")
		fmt.Fprintf(w, "%s\n", p.File)
		if p.Fix != "" {
			w.put(sgrBlue, pad+" = ")
			w.WriteString(p.Fix + "\n")
		}
	}
	for _, n := range p.Notes {
		w.put(sgrBlue, pad+" = ")
		w.WriteString(n + "\n")
	}
}

func relatedLines(rs []Related) (lines []int) {
	for _, r := range rs {
		lines = append(lines, r.Line)
	}
	return lines
}

// renderLines writes the snippets of the problem and its related places from top
// to bottom. Places on one line share it.
func (p Problem) renderLines(w *painter, width int, hue string) {
	main := false
	mark := func(r Related, sign, sgr string) {
		w.put(sgrBlue, strings.Repeat(" ", width)+" │ ")
		text, col := window(r.Place)
		n := min(max(r.Len, 1), max(len([]rune(text))-col+1, 1))
		w.WriteString(strings.Repeat(" ", col-1))
		w.put(sgr, strings.TrimRight(strings.Repeat(sign, n)+" "+r.Label, " "))
		w.WriteByte('\n')
	}
	line := func(pl Place) {
		text, _ := window(pl)
		w.put(sgrBlue, fmt.Sprintf("%*d │ ", width, pl.Line))
		w.WriteString(text + "\n")
	}
	own := func() {
		main = true
		line(p.Place)
		mark(Related{p.Place, p.Fix}, "^", hue)
	}
	for _, r := range p.Related {
		if !main && (r.Line > p.Line || r.Line == p.Line) {
			own()
		}
		if r.Line != p.Line || !sameWindow(r.Place, p.Place) {
			line(r.Place)
		}
		mark(r, "-", sgrBlue)
	}
	if !main {
		own()
	}
}

// lineWidth is how many characters of a line are shown.
const lineWidth = 100

// window returns what is shown of the line of pl, and the column of pl in it. A
// long line is cut around the place; what a terminal might obey is replaced.
func window(pl Place) (text string, col int) {
	rs := []rune(pl.Text)
	for i, r := range rs {
		switch {
		case r == '\t':
			rs[i] = '→'
		case !unicode.IsPrint(r) || unicode.Is(unicode.Mn, r):
			rs[i] = '·'
		}
	}
	col = max(1, min(pl.Col, len(rs)+1))
	from := windowStart(len(rs), col)
	to := min(len(rs), from+lineWidth)
	text = string(rs[from:to])
	col -= from
	if from > 0 {
		text, col = "…"+text, col+1
	}
	if to < len(rs) {
		text += "…"
	}
	return text, col
}

func windowStart(length, col int) int {
	if length <= lineWidth || col <= lineWidth/2 {
		return 0
	}
	return min(col-lineWidth/2, length-lineWidth)
}

func sameWindow(a, b Place) bool {
	n := len([]rune(a.Text))
	return windowStart(n, a.Col) == windowStart(n, b.Col)
}
