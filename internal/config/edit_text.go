package config

import (
	"strings"

	"go.yaml.in/yaml/v4"
)

// Lines count from 0 here.

// offset is where a line begins in the text, or its end.
func (e *Edit) offset(line int) int {
	if line >= len(e.p.starts) {
		return len(e.p.whole)
	}
	return e.p.starts[line]
}

// ending is the end of line that the file has.
func (e *Edit) ending() string {
	if strings.Contains(e.p.whole, "\r\n") {
		return "\r\n"
	}
	return "\n"
}

// insertLines puts lines behind the line after.
func (e *Edit) insertLines(after int, lines []string) (string, int) {
	at := e.offset(after + 1)
	head, tail := e.p.whole[:at], e.p.whole[at:]
	if head != "" && !strings.HasSuffix(head, "\n") {
		head += e.ending()
		if tail == "" { // the file did not end its last line, nor does it now
			return head + strings.Join(lines, e.ending()), after + 2
		}
	}
	return head + strings.Join(lines, e.ending()) + e.ending() + tail, after + 2
}

func (e *Edit) cutLines(first, last int) string {
	head, tail := e.p.whole[:e.offset(first)], e.p.whole[e.offset(last+1):]
	if tail == "" && !strings.HasSuffix(e.p.whole, "\n") {
		head = strings.TrimSuffix(strings.TrimSuffix(head, "\n"), "\r")
	}
	return head + tail
}

// lastLine is the last line of what the node n is made of; it belongs to a key or dash
// on the line first.
func (e *Edit) lastLine(n *yaml.Node, first int) int {
	if !isBlock(n) {
		return e.text.endOf(n, first)
	}
	last := n.Content[len(n.Content)-1]
	if n.Kind == yaml.MappingNode {
		return e.lastLine(last, n.Content[len(n.Content)-2].Line-1)
	}
	return e.lastLine(last, e.text.dashOf(n, last))
}

// comments goes from line over the comments that stand at least as deep as col.
func (e *Edit) comments(line, col int) int {
	for next := line + 1; next < len(e.text.lines); next++ {
		at := &e.text.lines[next]
		if !strings.HasPrefix(strings.TrimLeft(at.text, " "), "#") || at.indent < col {
			break
		}
		line = next
	}
	return line
}

// entry writes a reservation as an item of a block list, in the form that the item like
// has: on one line, or with a line for each key.
func entry(like *yaml.Node, col int, settings []Setting) []string {
	dash := strings.Repeat(" ", col) + "- "
	if like == nil || !isBlock(like) {
		return []string{dash + flow(settings)}
	}
	lines := make([]string, len(settings))
	for i, s := range settings {
		lead := strings.Repeat(" ", like.Column-1)
		if i == 0 {
			lead = dash + strings.Repeat(" ", max(0, like.Column-1-len(dash)))
		}
		lines[i] = lead + s.Key + ": " + quote(s.Value)
	}
	return lines
}

// addItem adds a reservation behind the last one of a block list.
func (e *Edit) addItem(res *yaml.Node, settings []Setting) (string, int) {
	last := res.Content[len(res.Content)-1]
	end := e.comments(e.lastLine(last, e.text.dashOf(res, last)), res.Column)
	return e.insertLines(end, entry(last, res.Column-1, settings))
}

// addKey adds the key reservations behind the last key of a subnet.
func (e *Edit) addKey(sn *yaml.Node, settings []Setting) (string, int) {
	col := sn.Column - 1
	inner := col + 2
	for i := 1; i < len(sn.Content); i += 2 { // as the subnet's other lists are
		if list := sn.Content[i]; list.Kind == yaml.SequenceNode && isBlock(list) {
			inner = list.Column - 1
		}
	}
	lines := append([]string{strings.Repeat(" ", col) + "reservations:"}, entry(nil, inner, settings)...)
	out, line := e.insertLines(e.lastLine(sn, sn.Line-1), lines)
	return out, line + 1
}

// flowEnd is the offset in the text right behind the node n, which stands in a flow
// collection.
func (e *Edit) flowEnd(n *yaml.Node) (offset, line int) {
	plain := n.Kind == yaml.ScalarNode && n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) == 0
	if !plain {
		line, col := e.text.closing(n)
		return e.offset(line) + col, line
	}
	line = n.Line - 1
	return e.offset(line) + e.text.byteCol(line, n.Column-1) + len(n.Value), line
}

// fillEmpty puts the first reservation into an empty flow list.
func (e *Edit) fillEmpty(res *yaml.Node, settings []Setting) (string, int) {
	end, line := e.flowEnd(res)
	return e.p.whole[:end-1] + flow(settings) + e.p.whole[end-1:], line + 1
}

// insertInFlow puts text behind the last item of a flow collection: behind it on its
// line, or on a line of its own where the last one has one.
func (e *Edit) insertInFlow(last *yaml.Node, text string) (string, int) {
	end, line := e.flowEnd(last)
	head, tail := e.p.whole[:end], e.p.whole[end:]
	comma := ","
	if rest := strings.TrimLeft(tail, " \t\r\n"); strings.HasPrefix(rest, ",") {
		comma = "" // there is one already, behind which the list may end
		cut := len(tail) - len(rest) + 1
		head, tail = head+tail[:cut], tail[cut:]
		text += ","
	}
	begin := e.text.lines[last.Line-1]
	ownLine := begin.indent == last.Column-1
	restOfLine, after, more := strings.Cut(tail, "\n")
	if t := strings.TrimSpace(restOfLine); !ownLine || !more || t != "" && t[0] != '#' {
		return head + comma + " " + text + tail, line + 1
	}
	return head + comma + restOfLine + "\n" + strings.Repeat(" ", begin.indent) + text + e.ending() + after, line + 2
}

// cutFromFlow takes an item with its comma out of a flow list.
func (e *Edit) cutFromFlow(res *yaml.Node, i int) string {
	start := func(n *yaml.Node) int { return e.offset(n.Line-1) + e.text.byteCol(n.Line-1, n.Column-1) }
	item := res.Content[i]
	end, line := e.flowEnd(item)
	from, whole := start(item), e.p.whole
	rest, _, _ := strings.Cut(whole[end:], "\n")
	rest = strings.TrimSpace(strings.TrimPrefix(strings.TrimLeft(rest, " \t"), ","))
	if e.text.lines[item.Line-1].indent == item.Column-1 && (rest == "" || rest[0] == '#') {
		return e.cutLines(item.Line-1, line)
	}
	switch {
	case i+1 < len(res.Content):
		return whole[:from] + whole[start(res.Content[i+1]):]
	case i > 0:
		before, _ := e.flowEnd(res.Content[i-1])
		return whole[:before] + whole[end:]
	}
	tail := whole[end:]
	if t := strings.TrimLeft(tail, " \t"); strings.HasPrefix(t, ",") {
		tail = strings.TrimLeft(t[1:], " \t")
	}
	return whole[:from] + tail
}

// cutKey takes the only reservation of a subnet out, and the key with it where that
// stands on a line of its own and is not the only one.
func (e *Edit) cutKey(sn, res *yaml.Node) (out string, withKey bool) {
	var key *yaml.Node
	for i := 0; i+1 < len(sn.Content); i += 2 {
		if sn.Content[i+1] == res {
			key = sn.Content[i]
		}
	}
	line, last := key.Line-1, e.lastLine(res, key.Line-1)
	if e.text.lines[line].indent == key.Column-1 && len(sn.Content) > 2 {
		rest := strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(e.text.lines[line].text), "reservations:"))
		if rest == "" && last == e.afterKey(res, line) {
			return e.cutLines(line, last), true
		}
	}
	end := e.offset(line) + e.text.byteCol(line, key.Column-1) + len("reservations:")
	first := e.text.dashOf(res, res.Content[0])
	return e.p.whole[:end] + " []" + e.p.whole[end:e.offset(first)] + e.p.whole[e.offset(last+1):], false
}

// afterKey is the last line of the list if only its items stand between key and end, and
// no comment, else -1.
func (e *Edit) afterKey(res *yaml.Node, key int) int {
	last := e.lastLine(res, key)
	if e.text.dashOf(res, res.Content[0]) != key+1 {
		return -1
	}
	return last
}
