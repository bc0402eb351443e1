package expr

import (
	"encoding/binary"
	"fmt"
	"strings"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"

	"lessor/dhcp4"
	"lessor/internal/policy"
	"lessor/internal/spell"
)

// variable is a name without brackets.
type variable struct {
	name string
	doc  string // for docs/classes.md
	leaf *leaf
}

// variables are all of them, in the order of the manual.
var variables = []variable{
	{"hw_address", "hardware address of the client, like `\"02:00:5e:10:00:01\"`", octetsLeaf("hw_address", "is empty",
		func(f *policy.Facts) ([]byte, bool) { return f.HW, len(f.HW) > 0 })},
	{"client_id", "client identifier (option 61), like `\"01:02:00:5e:10:00:01\"`", octetsLeaf("client_id", "is not sent",
		func(f *policy.Facts) ([]byte, bool) { return f.ClientID, len(f.ClientID) > 0 })},
	{"message", "type of the message: `\"DISCOVER\"`, `\"REQUEST\"`, `\"INFORM\"`, …, or `\"BOOTP\"`", textLeaf("message", "is unknown: there is no packet",
		func(f *policy.Facts) (string, bool) { return f.Type.String(), f.Type != 0 || f.View != nil })},
	{"giaddr", "address of the relay agent, in a renewal by unicast that of the binding; `\"0.0.0.0\"`: there is none", addrLeaf("giaddr",
		func(f *policy.Facts) dhcp4.Addr { return f.GIAddr })},
	{"ciaddr", "address that the client uses already; `\"0.0.0.0\"`: none", addrLeaf("ciaddr",
		func(f *policy.Facts) dhcp4.Addr { return f.CIAddr })},
	{"interface", "name of the interface of ours on which the packet came in", textLeaf("interface", "is unknown",
		func(f *policy.Facts) (string, bool) { return f.Interface, f.Interface != "" })},
	{"network", "name of the client's shared network, or of its subnet where there is none", textLeaf("network", "is unknown",
		func(f *policy.Facts) (string, bool) {
			if f.Network == nil {
				return "", false
			}
			return f.Network.Name, true
		})},
	{"known", "the client has a reservation", truthLeaf("known", func(f *policy.Facts) bool { return f.Known })},
}

func octetsLeaf(name, absent string, get func(*policy.Facts) ([]byte, bool)) *leaf {
	l := newLeaf(name, absent, formHex)
	l.octets = get
	return l
}

func textLeaf(name, absent string, get func(*policy.Facts) (string, bool)) *leaf {
	l := newLeaf(name, absent, formText)
	l.text = get
	return l
}

func addrLeaf(name string, get func(*policy.Facts) dhcp4.Addr) *leaf {
	l := newLeaf(name, "", formAddr)
	l.addr = get
	return l
}

func truthLeaf(name string, get func(*policy.Facts) bool) *leaf {
	l := newLeaf(name, "", formFlag)
	l.truth = get
	return l
}

func variableNamed(name string) *leaf {
	for i := range variables {
		if variables[i].name == name {
			return variables[i].leaf
		}
	}
	return nil
}

// The names that stand with brackets, or on the right of "in".
const (
	optionName = "option"
	relayName  = "relay"
	memberName = "member"
)

// resolve gives the names in the tree their meaning: option["x"], relay["x"], "x" in
// option and member("x") become single names that stand for leaves. within says that e
// stands in exists or all.
func (c *compiler) resolve(e ast.Expr, within bool) *Error {
	switch e.Kind() {
	case ast.IdentKind:
		return c.resolveIdent(e)
	case ast.CallKind:
		if done, err := c.resolveCall(e); done || err != nil {
			return err
		}
	case ast.ComprehensionKind:
		if within {
			return c.errorAt(e, "exists and all cannot stand within each other", "use two classes, and member(\"…\")")
		}
		if name := e.AsComprehension().IterVar(); variableNamed(name) != nil {
			return c.errorAt(e, fmt.Sprintf("%q has a meaning of its own, and cannot be a name for the items", name), "choose another, such as x")
		}
		within = true
	case ast.SelectKind:
		return c.refuseSelect(e)
	case ast.MapKind, ast.StructKind:
		return c.errorAt(e, "braces have no meaning here", "write lists in brackets: [1, 2]")
	}
	for _, sub := range children(e) {
		if err := c.resolve(sub, within); err != nil {
			return err
		}
	}
	return nil
}

// children returns the expressions right below e, in the order of the text as far as
// there is one.
func children(e ast.Expr) []ast.Expr {
	switch e.Kind() {
	case ast.CallKind:
		call := e.AsCall()
		if call.IsMemberFunction() {
			return append([]ast.Expr{call.Target()}, call.Args()...)
		}
		return call.Args()
	case ast.ListKind:
		return e.AsList().Elements()
	case ast.SelectKind:
		return []ast.Expr{e.AsSelect().Operand()}
	case ast.ComprehensionKind:
		x := e.AsComprehension()
		return []ast.Expr{x.IterRange(), x.AccuInit(), x.LoopCondition(), x.LoopStep(), x.Result()}
	}
	return nil
}

func (c *compiler) resolveIdent(e ast.Expr) *Error {
	name := e.AsIdent()
	switch {
	case name == optionName, name == relayName:
		return c.errorAt(e, name+" needs the name of one of its options", fmt.Sprintf(`write %s["NAME"], or "NAME" in %s`, name, name))
	case name == memberName:
		return c.errorAt(e, "member needs the name of a class", `write member("CLASS")`)
	}
	if l := variableNamed(name); l != nil {
		c.leaves[name] = l
	}
	return nil
}

// resolveCall handles the calls that become leaves; done says that e has become one.
func (c *compiler) resolveCall(e ast.Expr) (done bool, err *Error) {
	call := e.AsCall()
	args := call.Args()
	switch {
	case call.FunctionName() == operators.Index && isIdent(args[0], optionName):
		return c.becomes(e, args[0], args[1], "option[%s]", c.option)
	case call.FunctionName() == operators.Index && isIdent(args[0], relayName):
		return c.becomes(e, args[0], args[1], "relay[%s]", c.relay)
	case call.FunctionName() == operators.In && isIdent(args[1], optionName):
		return c.becomes(e, args[0], args[0], "%s in option", present(c.option))
	case call.FunctionName() == operators.In && isIdent(args[1], relayName):
		return c.becomes(e, args[0], args[0], "%s in relay", present(c.relay))
	case call.FunctionName() == memberName && !call.IsMemberFunction():
		if len(args) != 1 {
			return false, c.at(c.start(e)-len(memberName), "member takes the name of one class", `write member("CLASS")`)
		}
		done, err = c.becomes(e, args[0], args[0], "member(%s)", c.member)
		if done {
			c.starts[e.ID()] -= len("member(")
		}
		return done, err
	case call.FunctionName() == "matches":
		return false, c.checkPattern(e, args)
	}
	return false, nil
}

func isIdent(e ast.Expr, name string) bool { return e.Kind() == ast.IdentKind && e.AsIdent() == name }

// literal returns the text of a string literal.
func literal(e ast.Expr) (string, bool) {
	if e.Kind() != ast.LiteralKind {
		return "", false
	}
	s, ok := e.AsLiteral().(types.String)
	return string(s), ok
}

// lookup finds the leaf of a name; written is how the expression writes it.
type lookup func(at ast.Expr, key, written string) (*leaf, *Error)

// becomes replaces e, whose text begins with first, with the leaf that look finds for
// the literal key.
func (c *compiler) becomes(e, first, key ast.Expr, format string, look lookup) (bool, *Error) {
	name, ok := literal(key)
	if !ok {
		return false, c.notAName(key, fmt.Sprintf(format, `"NAME"`))
	}
	written := fmt.Sprintf(format, `"`+name+`"`)
	l, err := look(key, name, written)
	if err != nil {
		return false, err
	}
	c.leaves[written] = l
	c.starts[e.ID()] = c.start(first)
	e.SetKindCase(ast.NewExprFactory().NewIdent(e.ID(), written))
	return true, nil
}

func (c *compiler) notAName(key ast.Expr, form string) *Error {
	fix := "write it as " + form
	if key.Kind() == ast.LiteralKind {
		if n, ok := key.AsLiteral().(types.Int); ok && n > 0 && n < 255 {
			if d := dhcp4.Lookup(dhcp4.Code(n)); d != nil && strings.HasPrefix(form, "option[") {
				fix = fmt.Sprintf("write option[%q]", d.Name)
			}
		}
	}
	if bare := bareName.FindString(c.source[c.at(c.start(key), "", "").Offset:]); bare != "" && key.Kind() != ast.LiteralKind {
		fix = "write " + strings.Replace(form, "NAME", bare, 1)
	}
	return c.errorAt(key, "the name must stand here itself, in quotes", fix)
}

// option is the lookup of options, those of the configuration first.
func (c *compiler) option(at ast.Expr, name, written string) (*leaf, *Error) {
	for i := range c.env.Options {
		if o := &c.env.Options[i]; o.Def.Name == name {
			return ownLeaf(written, o), nil
		}
	}
	if name == dhcp4.OptDHCPAgentOptions.String() {
		return nil, c.errorAt(at, "option 82 is read by its parts, and only where it is believed", `write relay["circuit-id"], relay["remote-id"]`)
	}
	if d := dhcp4.LookupName(name); d != nil && d.Code != dhcp4.OptPad && d.Code != dhcp4.OptEnd {
		return defLeaf(written, "is not sent", d, optionOctets(d.Code)), nil
	}
	var own []string
	for _, o := range c.env.Options {
		own = append(own, o.Def.Name)
	}
	fix := `they stand in docs/options.md; others are declared in "option-definitions"`
	if near := dhcp4.Suggest(name); near != "" {
		fix = fmt.Sprintf("did you mean %q?", near)
	}
	if near := spell.Nearest(name, own); near != "" {
		fix = fmt.Sprintf("did you mean %q?", near)
	}
	if agentNamed(name) != nil {
		fix = fmt.Sprintf("write relay[%q]", name)
	}
	return nil, c.errorAt(at, fmt.Sprintf("no option is called %q", name), fix)
}

func agentNamed(name string) *dhcp4.Def {
	defs := dhcp4.AgentSubOptions()
	for i := range defs {
		if defs[i].Name == name {
			return &defs[i]
		}
	}
	return nil
}

// relay is the lookup of sub-options of option 82. Circuits and remote ends are text
// in most networks, so octets without a form of their own are.
func (c *compiler) relay(at ast.Expr, name, written string) (*leaf, *Error) {
	d := agentNamed(name)
	if d == nil {
		var names []string
		for _, d := range dhcp4.AgentSubOptions() {
			names = append(names, d.Name)
		}
		fix := "there are " + strings.Join(names, ", ")
		if near := spell.Nearest(name, names); near != "" {
			fix = fmt.Sprintf("did you mean %q?", near)
		}
		return nil, c.errorAt(at, fmt.Sprintf("no sub-option of option 82 is called %q", name), fix)
	}
	sub := uint8(d.Code)
	l := defLeaf(written, "is not in the relay information", d, func(f *policy.Facts) ([]byte, bool) { return f.AgentOption(sub) })
	if l.form == formOctets {
		l.form = formChars
	}
	return l, nil
}

// present makes of a lookup one for whether the option is there, of whatever form.
func present(look lookup) lookup {
	return func(at ast.Expr, name, written string) (*leaf, *Error) {
		l, err := look(at, name, written)
		if err != nil {
			return nil, err
		}
		get := l.octets
		return truthLeaf(written, func(f *policy.Facts) bool { _, ok := get(f); return ok }), nil
	}
}

// member is the lookup of classes.
func (c *compiler) member(at ast.Expr, name, written string) (*leaf, *Error) {
	names := make([]string, 0, len(c.env.Classes))
	for _, class := range c.env.Classes {
		if class.Name == name {
			number := class.Number
			return truthLeaf(written, func(f *policy.Facts) bool { return f.Classes.Has(number) }), nil
		}
		names = append(names, class.Name)
	}
	fix := "a test sees only the classes before it: " + strings.Join(names, ", ")
	if near := spell.Nearest(name, names); near != "" {
		fix = fmt.Sprintf("did you mean %q?", near)
	} else if len(names) == 0 {
		fix = "no class stands before this one"
	}
	return nil, c.errorAt(at, fmt.Sprintf("no class before this one is called %q", name), fix)
}

// defLeaf is a leaf of the form that d says, with the octets that get returns.
func defLeaf(written, absent string, d *dhcp4.Def, get func(*policy.Facts) ([]byte, bool)) *leaf {
	l := newLeaf(written, absent, formOctets)
	l.octets, l.list, l.pairs, l.min = get, d.List, d.Pairs, d.Min
	switch d.Type {
	case dhcp4.TypeNone, dhcp4.TypeFlag:
		l.form, l.list = formFlag, false
		l.truth = func(f *policy.Facts) bool { _, ok := get(f); return ok }
	case dhcp4.TypeUint8:
		l.form, l.width = formUint, 1
	case dhcp4.TypeUint16:
		l.form, l.width = formUint, 2
	case dhcp4.TypeUint32:
		l.form, l.width = formUint, 4
	case dhcp4.TypeInt32:
		l.form, l.width = formInt, 4
	case dhcp4.TypeBool:
		l.form, l.width = formBool, 1
	case dhcp4.TypeAddr:
		l.form, l.width = formAddr, 4
	case dhcp4.TypeAddr6:
		l.form, l.width = formAddr6, 16
	case dhcp4.TypeString:
		l.form, l.list = formText, false
	case dhcp4.TypeFQDN:
		l.form = formName
	case dhcp4.TypeClientFQDN:
		l.form, l.list = formFQDN, false
	default: // octets as they are
		l.list = false
	}
	if d.Code == dhcp4.OptUserClass && d == dhcp4.Lookup(d.Code) {
		l.form = formUserClass
	}
	return l
}

// optionOctets returns the whole value of an option of the message. One that is split
// is joined in memory of its own (RFC 3396); only what a test reads is.
func optionOctets(code dhcp4.Code) func(*policy.Facts) ([]byte, bool) {
	return func(f *policy.Facts) ([]byte, bool) {
		if f.View == nil || !f.View.Has(code) {
			return nil, false
		}
		if b, ok := f.View.Get(code, nil); ok {
			return b, true
		}
		b, ok := f.View.Get(code, make([]byte, min(f.View.Len(code), maxValue)))
		if !ok {
			return tooLong, true
		}
		return b, true
	}
}

// tooLong stands for a value that is not worth joining.
var tooLong = make([]byte, maxValue+1)

// ownLeaf is the leaf of an option that the configuration defines.
func ownLeaf(written string, o *Option) *leaf {
	sub := uint8(o.Def.Code)
	get := optionOctets(o.Def.Code)
	switch {
	case o.Enterprise != 0:
		all, enterprise := optionOctets(dhcp4.OptVIVSOSuboptions), o.Enterprise
		get = func(f *policy.Facts) ([]byte, bool) {
			b, _ := all(f)
			return vendorOption(b, enterprise, sub)
		}
	case o.Encapsulated:
		all := optionOctets(dhcp4.OptVendorEncapsulatedOptions)
		get = func(f *policy.Facts) ([]byte, bool) {
			b, _ := all(f)
			return encapsulated(b, sub)
		}
	}
	return defLeaf(written, "is not sent", o.Def, get)
}

// encapsulated finds option code in the value of option 43, where PAD and END are
// those of messages (RFC 2132 8.4).
func encapsulated(b []byte, code uint8) ([]byte, bool) {
	for len(b) > 0 && b[0] != uint8(dhcp4.OptEnd) {
		if b[0] == uint8(dhcp4.OptPad) {
			b = b[1:]
			continue
		}
		if len(b) < 2 || len(b) < 2+int(b[1]) {
			break
		}
		n := 2 + int(b[1])
		if b[0] == code {
			return b[2:n:n], true
		}
		b = b[n:]
	}
	return nil, false
}

// vendorOption finds sub-option sub of an enterprise in the value of option 125 (RFC
// 3925 4).
func vendorOption(b []byte, enterprise uint32, sub uint8) ([]byte, bool) {
	for len(b) >= 5 {
		n := 5 + int(b[4])
		if len(b) < n {
			break
		}
		if binary.BigEndian.Uint32(b) == enterprise {
			if val, ok := policy.AgentOption(b[5:n], sub); ok {
				return val, true
			}
		}
		b = b[n:]
	}
	return nil, false
}
