package config

import (
	"encoding/binary"
	"fmt"

	"lessor/dhcp4"
	"lessor/internal/policy"
	"lessor/internal/template"
)

// optionNode is one option with its wire form.
type optionNode struct {
	code  dhcp4.Code
	name  string
	data  []byte // of a template its text
	fill  *template.Template
	flags policy.Flags
	at    Place // its key, or its entry of option-data
	val   Place
}

// subNode is a sub-option before it becomes a part of the option that carries it.
type subNode struct {
	space space
	optionNode
}

// optionSet is the options of the level, or nil.
func (l *level) optionSet() *policy.OptionSet {
	if len(l.options) == 0 {
		return nil
	}
	values := make([]policy.Value, len(l.options))
	for i, o := range l.options {
		values[i] = policy.Value{Code: o.code, Flags: o.flags, Pos: o.at.pos(), Data: o.data, Template: o.fill}
	}
	return policy.NewValues(values...)
}

// addOption adds o to l, once.
func (p *parser) addOption(l *level, o optionNode) {
	for i := range l.options {
		if first := &l.options[i]; first.code == o.code {
			p.twice(o.name, o.code, o.at, first.at)
			return
		}
	}
	l.options = append(l.options, o)
}

// addSub adds the sub-option o of a space to l, once.
func (p *parser) addSub(l *level, s space, o optionNode) {
	for i := range l.subs {
		if first := &l.subs[i]; first.space == s && first.code == o.code {
			p.twice(o.name, o.code, o.at, first.at)
			return
		}
	}
	l.subs = append(l.subs, subNode{s, o})
}

func (p *parser) twice(name string, code dhcp4.Code, at, first Place) {
	if byCode := fmt.Sprintf("option %d", code); name != byCode {
		name += " (" + byCode + ")"
	}
	p.add(Error, at, "duplicate-option", "keep one of them", "%s is set twice; the other one is at %s", name, first).relate(first, "the first one")
}

// join puts the sub-options of a level together to option 43, and to one option 125
// with a part for each enterprise (RFC 3925 4).
func (p *parser) join(l *level) {
	if len(l.subs) == 0 {
		return
	}
	for _, carrier := range [...]dhcp4.Code{dhcp4.OptVendorEncapsulatedOptions, dhcp4.OptVIVSOSuboptions} {
		whole := optionNode{code: carrier, name: dhcp4.Lookup(carrier).Name}
		var order []space
		parts := map[space][]byte{}
		for i := range l.subs {
			s := &l.subs[i]
			if s.space.carrier != carrier {
				continue
			}
			if whole.at.Line == 0 {
				whole.at, whole.val = s.at, s.val
			}
			if parts[s.space] == nil {
				order = append(order, s.space)
			}
			whole.flags |= s.flags
			parts[s.space] = append(append(parts[s.space], byte(s.code), byte(len(s.data))), s.data...)
		}
		for _, s := range order {
			part := parts[s]
			if carrier == dhcp4.OptVIVSOSuboptions {
				if len(part) > 255 {
					p.add(Error, whole.at, "option-value", "shorten them", "the options of the space %s need %d octets together, 255 are the most", s, len(part))
				}
				whole.data = append(binary.BigEndian.AppendUint32(whole.data, s.enterprise), byte(len(part)))
			}
			whole.data = append(whole.data, part...)
		}
		if len(order) > 0 {
			p.addOption(l, whole)
		}
	}
	l.subs = nil
}
