package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"lessor/internal/expr"
	"lessor/internal/policy"
	"lessor/internal/spell"
)

// classNode is one client class.
type classNode struct {
	level
	at     Place // of the mapping
	name   string
	nameAt Place
	test   *yaml.Node // nil: none
	limits policy.Limits
	used   bool // by a reservation
}

var classKeys = &keys[classNode]{
	what:    "a client class",
	options: true,
	known: withLevel(func(c *classNode) *level { return &c.level }, map[string]func(*parser, *classNode, *yaml.Node){
		"name":          (*parser).nameOfClass,
		"test":          func(_ *parser, c *classNode, n *yaml.Node) { c.test = n },
		"rate-limit":    func(p *parser, c *classNode, n *yaml.Node) { p.rateLimit(&c.limits, n) },
		"address-limit": func(p *parser, c *classNode, n *yaml.Node) { p.addressLimit(&c.limits, n) },
	}),
	words: map[string]string{
		"match": "test", "match-if": "test", "expression": "test", "condition": "test", "if": "test", "class": "name",
		"only-if-required": "leave it out; a class without a test is given by reservations",
		"option-def":       "write option-definitions at the top of the file",
		"lease-time":       "valid-lifetime",
	},
}

func (p *parser) classes(f *file, n *yaml.Node) {
	if n.Kind != yaml.SequenceNode {
		p.errorf(n, "type", "begin each class with \"- name: \"", "client-classes is a list, but this is %s", shape(n))
		return
	}
	for _, item := range n.Content {
		c := &classNode{at: p.place(item)}
		seen := walk(p, classKeys, item, c)
		if !p.need(item, seen, "name", "a client class", "write name: phones") || c.name == "" {
			continue
		}
		if first := f.class(c.name); first != nil {
			p.add(Error, c.nameAt, "duplicate-name", "give each class a name of its own", "two classes are called %s; the other one is at %s", quotable(c.name), first.nameAt).relate(first.nameAt, "the first one")
			continue
		}
		if f.classes = append(f.classes, c); len(f.classes) == policy.MaxClasses-policy.FirstClass+1 {
			p.add(Error, c.at, "class", "", "a configuration has at most %d client classes", policy.MaxClasses-policy.FirstClass)
		}
		if c.name == policy.NameDrop && c.test == nil {
			p.add(Error, c.nameAt, "class-test", "add test: …", "the class DROP needs a test")
		}
	}
}

func (p *parser) nameOfClass(c *classNode, n *yaml.Node) {
	name, ok := p.subnetName(n)
	if !ok {
		return
	}
	if name == policy.NameKnown || name == policy.NameUnknown || name == "ALL" {
		p.errorf(n, "name", "choose another name", "%s is built in", name)
		return
	}
	c.name, c.nameAt = name, p.place(n)
}

// class is the class of that name, or nil.
func (f *file) class(name string) *classNode {
	for _, c := range f.classes {
		if c.name == name {
			return c
		}
	}
	return nil
}

// nameNode is a name with its place.
type nameNode struct {
	name string
	at   Place
}

// classNames reads the list client-classes of a guard or a reservation. Whether there are
// such classes is known once the whole file is read.
func (p *parser) classNames(to *[]nameNode, n *yaml.Node) {
	items := list(n)
	if len(items) == 0 {
		p.errorf(n, "class", "name a class, or leave the key out", "the list of classes is empty")
	}
	for _, item := range items {
		if name, ok := p.text(item, "the name of a client class"); ok {
			*to = append(*to, nameNode{name, p.place(item)})
		}
	}
}

// classNumber is a class's number in a policy.
func (f *file) classNumber(name string) (int, bool) {
	switch name {
	case policy.NameKnown:
		return policy.ClassKnown, true
	case policy.NameUnknown:
		return policy.ClassUnknown, true
	}
	for i, c := range f.classes {
		if c.name == name {
			return policy.FirstClass + i, true
		}
	}
	return 0, false
}

// classSet finds the classes of a list; what it does not know is an error.
func (p *parser) classSet(f *file, names []nameNode) (set policy.ClassSet) {
	for _, n := range names {
		i, ok := f.classNumber(n.name)
		if !ok {
			fix := "define it under client-classes"
			all := []string{policy.NameKnown, policy.NameUnknown}
			for _, c := range f.classes {
				all = append(all, c.name)
			}
			if near := spell.Nearest(n.name, all); near != "" {
				fix = fmt.Sprintf("did you mean %q?", near)
			}
			p.add(Error, n.at, "class", fix, "no client class is called %s", quotable(n.name))
			continue
		}
		set.Add(i)
	}
	return set
}

// compileClasses compiles the tests, and the expression of flex-id.
func (p *parser) compileClasses(f *file) (classes []policy.Class, flexID policy.Expression) {
	env := expr.Env{Options: p.exprOptions(), Classes: []expr.Class{
		{Name: policy.NameKnown, Number: policy.ClassKnown}, {Name: policy.NameUnknown, Number: policy.ClassUnknown}}}
	flex := env // a flex-id is computed before any class is known
	flex.Classes = nil
	for i, c := range f.classes {
		cl := policy.Class{Name: c.name, Pos: c.at.pos(), Lifetimes: c.lifetimes(), Options: c.optionSet(), Boot: c.boot, Limits: c.limits}
		if c.test != nil {
			if text, ok := p.text(c.test, "an expression in quotes"); ok {
				var err *expr.Error
				if cl.Test, cl.Values, err = expr.CompileTest(text, env); err != nil {
					p.badExpression(c.test, text, err)
				}
				cl.Text = text
			}
		} else if !c.used {
			p.warnf(c.at, "class-unreached", "add a test, or name it in a reservation", "no client is ever in the class %s: it has no test, and no reservation names it", quotable(c.name))
		}
		classes = append(classes, cl)
		env.Classes = append(env.Classes, expr.Class{Name: c.name, Number: policy.FirstClass + i})
	}
	if f.flexID != nil {
		if text, ok := p.text(f.flexID, "an expression in quotes"); ok {
			var err *expr.Error
			if flexID, err = expr.CompileValue(text, flex); err != nil {
				p.badExpression(f.flexID, text, err)
			}
		}
	}
	return classes, flexID
}

// badExpression reports what is wrong with an expression, at its place inside of the
// scalar where that can be told, else at the scalar.
func (p *parser) badExpression(n *yaml.Node, text string, err *expr.Error) {
	at := p.place(n)
	if line := p.line(n.Line); !strings.Contains(text, "\n") {
		if i := strings.Index(line, text); i >= 0 {
			if off := min(err.Offset, len(text)); off >= 0 {
				at = p.at(n.Line, i+off+1, max(1, err.Length))
			}
		}
	}
	p.add(Error, at, "class-test", err.Fix, "%s", err.Message)
}

// exprOptions are the options that the configuration defines, for expressions.
func (p *parser) exprOptions() (out []expr.Option) {
	spaces := make([]space, 0, len(p.own))
	for s := range p.own {
		spaces = append(spaces, s)
	}
	slices.SortFunc(spaces, func(a, b space) int {
		return cmp.Or(cmp.Compare(a.carrier, b.carrier), cmp.Compare(a.enterprise, b.enterprise))
	})
	for _, s := range spaces {
		for i := range p.own[s] {
			out = append(out, expr.Option{Def: &p.own[s][i].Def, Encapsulated: s == vendorSpace, Enterprise: s.enterprise})
		}
	}
	return out
}
