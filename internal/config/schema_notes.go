package config

import (
	"strings"

	"go.yaml.in/yaml/v4"
)

// referenceNotes reads what the reference file says about each key: the comment right
// above it. The first index is the kind of mapping, as in table.kind.
func referenceNotes() map[string]map[string]string {
	p := newParser("reference.yaml", []byte(reference))
	notes := map[string]map[string]string{}
	if root := p.read(); root != nil {
		p.collectNotes(root, "configuration", notes)
	}
	return notes
}

// kindOf is the kind of mapping that a key holds, where it holds any.
var kindOf = map[string]string{"subnets": "subnet", "pools": "pool", "reservations": "reservation", "lease-database": "lease-database",
	"option-data": "option", "shared-networks": "shared network", "client-classes": "client class", "option-definitions": "option definition", "boot": "boot"}

func (p *parser) collectNotes(n *yaml.Node, kind string, notes map[string]map[string]string) {
	if n.Kind == yaml.SequenceNode {
		for _, c := range n.Content {
			p.collectNotes(c, kind, notes)
		}
	}
	if n.Kind != yaml.MappingNode {
		return
	}
	if notes[kind] == nil {
		notes[kind] = map[string]string{}
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, val := n.Content[i], n.Content[i+1]
		if notes[kind][key.Value] == "" {
			notes[kind][key.Value] = p.noteAbove(key)
		}
		if inner := kindOf[key.Value]; inner != "" {
			p.collectNotes(val, inner, notes)
		}
	}
}

// noteAbove is the comment that ends in the line above n, if n is the first on its
// line.
func (p *parser) noteAbove(n *yaml.Node) string {
	if before := p.line(n.Line)[:n.Column-1]; strings.Trim(before, " -") != "" {
		return ""
	}
	var lines []string
	for l := n.Line - 1; l > 0; l-- {
		text := strings.TrimLeft(p.line(l), " -")
		heading, isHeading := strings.CutPrefix(text, "# ---- ")
		if isHeading && lines == nil {
			return heading
		}
		if isHeading || !strings.HasPrefix(text, "#") {
			break
		}
		lines = append([]string{strings.TrimSpace(strings.TrimLeft(text, "#"))}, lines...)
	}
	return strings.Join(lines, " ")
}
