package cli

import (
	"fmt"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"lessor/internal/control"
)

// Columns of an explanation: the number and name of a stage, then signs and text, then
// the place in the file.
const (
	stageWidth = 15
	placeAt    = 72 // where the places stand, if no line is longer
)

var signs = map[string]struct {
	mark string
	look style
}{
	"yes": {"✓", good}, "no": {"✗", warn}, "failed": {"✗", dim}, "noted": {"·", dim},
}

// explanationText is an explanation as people read it: a numbered line for each stage, or several,
// the places at the right, and the answer at the end.
func explanationText(x *control.Explanation, colored bool) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, on %s\n", printable(x.Message), printable(x.Interface))
	if x.Check != 0 {
		fmt.Fprintf(&b, "First nobody must answer for %s; what follows is the way on after that.\n", x.Check)
	}
	number := 0
	var answer *control.Step
	for from := 0; from < len(x.Steps); {
		to := from + 1
		for to < len(x.Steps) && x.Steps[to].Stage == x.Steps[from].Stage {
			to++
		}
		if x.Steps[from].Stage == "answer" {
			answer = &x.Steps[from]
		} else {
			number++
			writeStage(&b, number, merged(x.Steps[from:to]), colored)
		}
		from = to
	}
	if answer != nil {
		look := good
		if answer.Verdict == "no" {
			look = bad
		}
		line := printable(answer.Text)
		if answer.Reason != "" {
			line += " [" + answer.Reason + "]"
		}
		fmt.Fprintf(&b, "→ %s\n", paint(colored, look, line))
	}
	return b.String()
}

// merged puts the sources of addresses that gave none into one step.
func merged(steps []control.Step) (out []control.Step) {
	for _, s := range steps {
		if n := len(out); n > 0 && s.Text == "none" && out[n-1].Text == "none" && s.Verdict == "noted" {
			out[n-1].Name += ", " + s.Name
			continue
		}
		out = append(out, s)
	}
	return out
}

// writeStage writes the steps of one stage.
func writeStage(b *strings.Builder, number int, steps []control.Step, colored bool) {
	named := 0
	for _, s := range steps {
		if s.Text != "none" {
			named = max(named, utf8.RuneCountInString(lead(&s)))
		}
	}
	for i := range steps {
		s := &steps[i]
		head := strings.Repeat(" ", stageWidth)
		if i == 0 {
			head = fmt.Sprintf("%-*s", stageWidth, fmt.Sprintf("%d %s", number, stageTitle(s.Stage)))
		}
		text := printable(s.Text)
		if l := lead(s); s.Text == "none" {
			text = l + ": none"
		} else if l != "" {
			text = l + strings.Repeat(" ", max(named-utf8.RuneCountInString(l), 0)+2) + text
		}
		sign := signs[s.Verdict]
		line := sign.mark + " " + text
		width := stageWidth + utf8.RuneCountInString(line)
		line = paint(colored, sign.look, sign.mark) + " " + text
		if at := place(s); at != "" {
			line += strings.Repeat(" ", max(placeAt-width, 0)+2) + paint(colored, dim, at)
		}
		b.WriteString(paint(colored, bold, head))
		b.WriteString(line)
		b.WriteByte('\n')
		if s.Detail != "" {
			b.WriteString(strings.Repeat(" ", stageWidth+2+named+2) + paint(colored, dim, printable(s.Detail)) + "\n")
		}
	}
}

// lead is what stands before the text of a step.
func lead(s *control.Step) string {
	switch s.Stage {
	case "class", "option":
		return printable(s.Name)
	case "address":
		if s.Address != 0 {
			return printable(s.Name) + " " + s.Address.String()
		}
		return printable(s.Name)
	}
	return ""
}

func stageTitle(stage string) string {
	if stage == "option" {
		return "options"
	}
	return stage
}

// place is where the configuration says so, and at which level.
func place(s *control.Step) string {
	if s.Line == 0 {
		if s.Stage == "option" {
			return s.Level
		}
		return ""
	}
	at := fmt.Sprintf("%s:%d", filepath.Base(s.File), s.Line)
	if s.File == "" {
		at = fmt.Sprintf("line %d", s.Line)
	}
	if s.Stage == "option" && s.Level != "" {
		at += " " + s.Level
	}
	return printable(at)
}
