package cli

import (
	"fmt"
	"strings"
)

// unified shows the change from before to after as a unified diff of one hunk: what is
// the same at the beginning and at the end is left out but for three lines.
func unified(name, before, after string) string {
	a, b := strings.SplitAfter(before, "\n"), strings.SplitAfter(after, "\n")
	head := 0
	for head < len(a) && head < len(b) && a[head] == b[head] {
		head++
	}
	tail := 0
	for tail < len(a)-head && tail < len(b)-head && a[len(a)-1-tail] == b[len(b)-1-tail] {
		tail++
	}
	if head == len(a) && head == len(b) {
		return ""
	}
	const context = 3
	from, rest := max(0, head-context), min(tail, context)
	var w strings.Builder
	count, other := len(a)-tail+rest-from, len(b)-tail+rest-from
	// The last piece is empty where the text ends with a line feed.
	if rest == tail && a[len(a)-1] == "" {
		count--
	}
	if rest == tail && b[len(b)-1] == "" {
		other--
	}
	fmt.Fprintf(&w, "--- %s\n+++ %s\n@@ -%d,%d +%d,%d @@\n", name, name, from+1, count, from+1, other)
	put := func(sign string, lines []string) {
		for _, l := range lines {
			if l == "" {
				continue
			}
			w.WriteString(sign + l)
			if !strings.HasSuffix(l, "\n") {
				w.WriteString("\n\\ No newline at end of file\n")
			}
		}
	}
	put(" ", a[from:head])
	put("-", a[head:len(a)-tail])
	put("+", b[head:len(b)-tail])
	put(" ", a[len(a)-tail:len(a)-tail+rest])
	return w.String()
}
