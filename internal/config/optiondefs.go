package config

import (
	"fmt"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"

	"lessor/dhcp4"
)

// space is where the codes and names of options mean something. The zero space is that of
// DHCP itself; the others are carried by option 43, or by option 125 for an enterprise.
type space struct {
	carrier    dhcp4.Code
	enterprise uint32 // of option 125
}

var vendorSpace = space{carrier: dhcp4.OptVendorEncapsulatedOptions}

// String returns the space's name in a configuration.
func (s space) String() string {
	switch s.carrier {
	case dhcp4.OptVendorEncapsulatedOptions:
		return "vendor-encapsulated-options"
	case dhcp4.OptVIVSOSuboptions:
		return fmt.Sprintf("vendor-%d", s.enterprise)
	}
	return "dhcp4"
}

// space reads the name of a space; none is that of DHCP.
func (p *parser) space(n *yaml.Node) (s space, ok bool) {
	if n == nil {
		return s, true
	}
	name, ok := p.text(n, "the space of an option")
	if !ok {
		return s, false
	}
	switch name {
	case "dhcp4":
		return s, true
	case vendorSpace.String():
		return vendorSpace, true
	}
	number, isVendor := strings.CutPrefix(name, "vendor-")
	if v, err := strconv.ParseUint(number, 10, 32); isVendor && err == nil {
		return space{dhcp4.OptVIVSOSuboptions, uint32(v)}, true
	}
	fix := "write dhcp4, vendor-encapsulated-options (option 43), or vendor- and an enterprise number (option 125), such as vendor-4491"
	if name == "vendor-encapsulated-options-space" {
		fix = "write vendor-encapsulated-options"
	}
	p.errorf(n, "option-space", fix, "there is no space of options called %s", quotable(name))
	return s, false
}

// ownDef is an option that the configuration defines.
type ownDef struct {
	dhcp4.Def
	at Place
}

// lookupName returns the definition of a name in a space, or nil.
func (p *parser) lookupName(s space, name string) *dhcp4.Def {
	if s == (space{}) {
		if d := dhcp4.LookupName(name); d != nil {
			return d
		}
	}
	for i := range p.own[s] {
		if d := &p.own[s][i]; d.Name == name {
			return &d.Def
		}
	}
	return nil
}

// lookupCode returns the definition of a code in a space, or nil.
func (p *parser) lookupCode(s space, code dhcp4.Code) *dhcp4.Def {
	if s == (space{}) {
		if d := dhcp4.Lookup(code); d != nil {
			return d
		}
	}
	for i := range p.own[s] {
		if d := &p.own[s][i]; d.Code == code {
			return &d.Def
		}
	}
	return nil
}

// definitionNode is one definition before it is checked.
type definitionNode struct {
	name, code, typ, array, record, space *yaml.Node
}

var definitionKeys = &keys[definitionNode]{
	what: "an option definition",
	known: map[string]func(*parser, *definitionNode, *yaml.Node){
		"name":   func(_ *parser, d *definitionNode, n *yaml.Node) { d.name = n },
		"code":   func(_ *parser, d *definitionNode, n *yaml.Node) { d.code = n },
		"type":   func(_ *parser, d *definitionNode, n *yaml.Node) { d.typ = n },
		"array":  func(_ *parser, d *definitionNode, n *yaml.Node) { d.array = n },
		"record": func(_ *parser, d *definitionNode, n *yaml.Node) { d.record = n },
		"space":  func(_ *parser, d *definitionNode, n *yaml.Node) { d.space = n },
	},
	words: map[string]string{
		"record-types": "record", "list": "array",
		"encapsulate": "leave it out; give the sub-options the space vendor-encapsulated-options or vendor-N",
	},
}

// definitions reads option-definitions.
func (p *parser) definitions(root *yaml.Node) {
	n := child(root, "option-definitions")
	if n == nil || isNull(n) {
		return // walk says so
	}
	if n.Kind != yaml.SequenceNode {
		p.errorf(n, "type", "write [{name: acme-color, code: 224, type: uint8}]", "option-definitions is a list, but this is %s", shape(n))
		return
	}
	p.own = map[space][]ownDef{}
	for _, item := range n.Content {
		p.definition(item)
	}
}

// child returns the value of a key of a mapping, or nil.
func child(n *yaml.Node, key string) *yaml.Node {
	for i := 0; n.Kind == yaml.MappingNode && i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i+1]
		}
	}
	return nil
}

func (p *parser) definition(n *yaml.Node) {
	var node definitionNode
	seen := walk(p, definitionKeys, n, &node)
	const like = "write {name: acme-color, code: 224, type: uint8}"
	complete := p.need(n, seen, "name", "an option definition", like) && p.need(n, seen, "code", "an option definition", like) &&
		p.need(n, seen, "type", "an option definition", like)
	if !complete || node.name == nil || node.code == nil || node.typ == nil {
		return
	}
	d := ownDef{at: p.place(node.name)}
	s, ok := p.space(node.space)
	ok = p.definedName(&d, node.name) && ok
	ok = p.definedCode(&d, node.code) && ok
	ok = p.definedType(&d, &node) && ok
	if ok && !p.clash(s, &d, &node) {
		p.own[s] = append(p.own[s], d)
	}
}

func (p *parser) definedName(d *ownDef, n *yaml.Node) (ok bool) {
	d.Name, ok = p.text(n, "the name of an option")
	if !ok {
		return false
	}
	letters := strings.ContainsFunc(d.Name, func(r rune) bool { return r >= 'a' && r <= 'z' })
	odd := strings.ContainsFunc(d.Name, func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' })
	if odd || !letters || len(d.Name) > 64 {
		p.errorf(n, "option-definition", "use lower-case letters, digits and hyphens, at most 64", "%s cannot be the name of an option", quotable(d.Name))
		return false
	}
	return true
}

func (p *parser) definedCode(d *ownDef, n *yaml.Node) (ok bool) {
	d.Code, ok = p.code(n)
	return ok
}

// code reads the code of an option.
func (p *parser) code(n *yaml.Node) (dhcp4.Code, bool) {
	text, ok := p.text(n, "the code of an option")
	if !ok {
		return 0, false
	}
	code, err := strconv.ParseUint(text, 10, 8)
	if err != nil || code == 0 || code == 255 {
		p.errorf(n, "option-code", "", "%s is not an option code; codes go from 1 to 254", quotable(text))
		return 0, false
	}
	return dhcp4.Code(code), true
}

func (p *parser) definedType(d *ownDef, node *definitionNode) (ok bool) {
	many := false
	if node.array != nil {
		if many, ok = p.boolean(node.array); !ok {
			return false
		}
	}
	if d.Type, ok = p.optionType(node.typ, append(optionTypes, dhcp4.TypeRecord)); !ok {
		return false
	}
	if d.Type != dhcp4.TypeRecord {
		if node.record != nil {
			p.errorf(node.record, "option-definition", "write type: record", "only an option of type record has fields")
			return false
		}
		if many && !listable(d.Type) {
			p.errorf(node.array, "option-definition", "remove it", "a value of type %s takes all there is, so there is no array of them", d.Type)
			return false
		}
		d.List = many
		return true
	}
	if node.record == nil {
		p.errorf(node.typ, "option-definition", "add record: [uint16, ipv4-address]", "the types of the fields of a record are missing")
		return false
	}
	fields := list(node.record)
	for i, item := range fields {
		t, ok := p.optionType(item, optionTypes)
		if !ok {
			return false
		}
		last := i == len(fields)-1
		if t == dhcp4.TypeFlag || t == dhcp4.TypeRoutes || !last && !listable(t) || !last && t == dhcp4.TypeFQDN {
			p.errorf(item, "option-definition", "", "a field of type %s cannot stand here: where it ends nobody knows", t)
			return false
		}
		if last && many && !listable(t) {
			p.errorf(node.array, "option-definition", "remove it", "the last field takes all there is, so there is no array of them")
			return false
		}
		d.Fields = append(d.Fields, dhcp4.Field{Type: t, Many: last && many})
	}
	return len(fields) > 0
}

// listable reports whether values of t can stand one after the other.
func listable(t dhcp4.Type) bool {
	return t != dhcp4.TypeString && t != dhcp4.TypeBinary && t != dhcp4.TypeFlag && t != dhcp4.TypeRoutes
}

// clash reports a name or code that is taken.
func (p *parser) clash(s space, d *ownDef, node *definitionNode) bool {
	if s == (space{}) {
		if other := dhcp4.LookupName(d.Name); other != nil {
			p.errorf(node.name, "option-definition", "choose another name, or set that option", "%s is option %d of the registry", d.Name, other.Code)
			return true
		}
		if other := dhcp4.Lookup(d.Code); other != nil {
			p.errorf(node.code, "option-definition", "choose another code, such as one from 224 to 254, which are for private use", "option %d is %s of the registry", d.Code, other.Name)
			return true
		}
	}
	for i := range p.own[s] {
		other := &p.own[s][i]
		at, what := node.name, "called "+d.Name
		if other.Code == d.Code {
			at, what = node.code, fmt.Sprintf("of code %d", d.Code)
		} else if other.Name != d.Name {
			continue
		}
		p.errorf(at, "option-definition", "keep one of them", "the space %s has another option %s at %s", s, what, other.at).relate(other.at, "the first one")
		return true
	}
	return false
}
