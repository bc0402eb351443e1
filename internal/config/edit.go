package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"

	"lessor/dhcp4"
)

// Setting is one key with its value, as they are to stand in a file.
type Setting struct{ Key, Value string }

// Edit is a configuration file that reservations are added to and taken from. What it
// does not change stays as it is, to the octet.
type Edit struct {
	p    *parser
	root *yaml.Node
	text *layout
}

// NewEdit begins to change a file, which has no errors.
func NewEdit(name string, data []byte) (*Edit, Problems) {
	if cfg, problems := Parse(name, data); cfg == nil {
		return nil, problems
	}
	p := newParser(name, data)
	root := p.read()
	e := &Edit{p: p, root: root, text: &layout{parser: p}}
	for i := range p.starts {
		text := p.line(i + 1)
		e.text.lines = append(e.text.lines, laidLine{text: text, indent: len(text) - len(strings.TrimLeft(text, " "))})
	}
	return e, nil
}

// errNoSubnet is returned for a subnet that is not in the file.
var errNoSubnet = errors.New("the subnet is not in the file")

// Add adds a reservation to a subnet and returns the new file, and the line on which the
// reservation begins.
func (e *Edit) Add(subnet dhcp4.Prefix, settings []Setting) (data []byte, line int, err error) {
	sn := e.subnet(subnet)
	if sn == nil {
		return nil, 0, errNoSubnet
	}
	res := valueOf(sn, "reservations")
	var out string
	switch {
	case res == nil && isBlock(sn):
		out, line = e.addKey(sn, settings)
	case res == nil:
		out, line = e.insertInFlow(sn.Content[len(sn.Content)-1], "reservations: ["+flow(settings)+"]")
	case isBlock(res):
		out, line = e.addItem(res, settings)
	case len(res.Content) == 0:
		out, line = e.fillEmpty(res, settings)
	default:
		out, line = e.insertInFlow(res.Content[len(res.Content)-1], flow(settings))
	}
	entry := &yaml.Node{Kind: yaml.MappingNode}
	for _, s := range settings {
		entry.Content = append(entry.Content, scalarNode(s.Key), scalarNode(s.Value))
	}
	if res == nil {
		res = &yaml.Node{Kind: yaml.SequenceNode}
		sn.Content = append(sn.Content, scalarNode("reservations"), res)
	}
	res.Content = append(res.Content, entry)
	return e.done(out, line)
}

// Remove takes the reservation that begins at a place out of the file, and returns the
// new file.
func (e *Edit) Remove(line, col int) (data []byte, err error) {
	for _, sn := range e.subnets(e.root) {
		res := valueOf(sn, "reservations")
		if res == nil {
			continue
		}
		for i, item := range res.Content {
			if item.Line != line || item.Column != col {
				continue
			}
			var out string
			withKey := false
			switch {
			case isBlock(res) && len(res.Content) == 1:
				out, withKey = e.cutKey(sn, res)
			case isBlock(res):
				out = e.cutLines(e.text.dashOf(res, item), e.lastLine(item, e.text.dashOf(res, item)))
			default:
				out = e.cutFromFlow(res, i)
			}
			if res.Content = slices.Delete(res.Content, i, i+1); withKey {
				removeKey(sn, "reservations")
			}
			data, _, err = e.done(out, 0)
			return data, err
		}
	}
	return nil, fmt.Errorf("no reservation begins at %d:%d", line, col)
}

// done holds the new text against the tree that it is to have, so that no layout of a
// file, however odd, makes another change than the one that is meant.
func (e *Edit) done(out string, line int) ([]byte, int, error) {
	q := newParser(e.p.name, []byte(out))
	root := q.read()
	if root == nil || !sameText(root, e.root) {
		return nil, 0, errors.New("the file is laid out in a way that this command does not know: change it by hand, or lay it out with \"lessor config fmt -w\" first")
	}
	return []byte(out), line, nil
}

// sameText is sameMeaning without the types that YAML guesses, which are not used.
func sameText(a, b *yaml.Node) bool {
	if a.Kind != b.Kind || a.Value != b.Value || len(a.Content) != len(b.Content) {
		return false
	}
	return slices.EqualFunc(a.Content, b.Content, sameText)
}

// subnets returns the mappings of all subnets below n, which is the root.
func (e *Edit) subnets(n *yaml.Node) (all []*yaml.Node) {
	if list := valueOf(n, "subnets"); list != nil {
		all = append(all, list.Content...)
	}
	if list := valueOf(n, "shared-networks"); list != nil {
		for _, w := range list.Content {
			all = append(all, e.subnets(w)...)
		}
	}
	return all
}

func (e *Edit) subnet(pre dhcp4.Prefix) *yaml.Node {
	for _, sn := range e.subnets(e.root) {
		if v := valueOf(sn, "subnet"); v != nil {
			if got, err := dhcp4.ParsePrefix(strings.TrimSpace(v.Value)); err == nil && got == pre {
				return sn
			}
		}
	}
	return nil
}

// valueOf is the value of a key of a mapping, or nil.
func valueOf(n *yaml.Node, key string) *yaml.Node {
	if n.Kind == yaml.MappingNode {
		for i := 0; i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == key {
				return n.Content[i+1]
			}
		}
	}
	return nil
}

func removeKey(n *yaml.Node, key string) {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			n.Content = slices.Delete(n.Content, i, i+2)
			return
		}
	}
}

func scalarNode(value string) *yaml.Node { return &yaml.Node{Kind: yaml.ScalarNode, Value: value} }

// flow writes settings as a mapping on one line.
func flow(settings []Setting) string {
	parts := make([]string, len(settings))
	for i, s := range settings {
		parts[i] = s.Key + ": " + quote(s.Value)
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

// quote writes a value as a scalar that may stand in flow style, in quotes where it
// needs them.
func quote(s string) string {
	var doc yaml.Node
	plain := yaml.Load([]byte("[{k: "+s+"}]"), &doc) == nil
	if plain {
		n := doc.Content[0]
		plain = len(n.Content) == 1 && len(n.Content[0].Content) == 2 && n.Content[0].Content[1].Kind == yaml.ScalarNode
		if plain {
			v := n.Content[0].Content[1]
			plain = v.Value == s && !isNull(v) && v.Anchor == "" && v.Style&^yaml.FlowStyle == 0
		}
	}
	switch {
	case plain:
		return s
	case !strings.ContainsAny(s, "\"\\") && !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) && utf8.ValidString(s):
		return `"` + s + `"`
	}
	return "'" + strings.ReplaceAll(s, "'", "''") + "'"
}
