// Package expr is the expressions of a configuration: the tests of client classes,
// and the value of flex-id. They are written in CEL (cel.dev) and are functions of
// policy.Facts; docs/classes.md is their manual.
//
// CEL parses an expression and checks its types when the configuration is loaded. It
// then runs as Go closures that read the packet in place (native.go): tens of nanoseconds,
// no memory for what is written in practice, and a bound on what any packet can make
// it cost. CEL's interpreter takes one to ten microseconds for the same; it is the
// oracle of the tests, which hold that both give the same answers (FuzzCEL).
package expr

import (
	"fmt"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/types"

	"lessor/dhcp4"
	"lessor/internal/policy"
)

// Env is what the names in an expression mean besides those of the registry.
type Env struct {
	// Options are the configuration's own definitions; the registry's need not be among
	// them. One with the name of a registered option takes its place.
	Options []Option
	// Classes are the classes that member("…") may name, with their numbers in
	// Policy.Classes: those before this one, and the built-in ones.
	Classes []Class
}

// Option is an option that a configuration defines.
type Option struct {
	Def *dhcp4.Def
	// Where it is: in the message itself, in option 43 (Encapsulated), or in option 125
	// among the options of an Enterprise (RFC 3925 4).
	Encapsulated bool
	Enterprise   uint32 // 0: not in option 125
}

// Class is a class that a test may ask for.
type Class struct {
	Name   string
	Number int
}

// Error says what is wrong with an expression.
type Error struct {
	Offset  int // where it is wrong, in octets from the start of the text
	Length  int // how many octets are; 0 when only the place is known
	Line    int // the same place as line, from 1, and as column in characters, from 1
	Col     int
	Message string
	Fix     string // what to do; "" when there is nothing better to say than the message
}

// Error returns the message and what to do, without the place.
func (e *Error) Error() string {
	if e.Fix == "" {
		return e.Message
	}
	return e.Message + "; " + e.Fix
}

// MaxLength is how many octets the text of an expression may have.
const MaxLength = 8192

// CompileTest compiles the test of a class. A comparison with something that is not
// there is false ("!=" is true); when that is why a test is false, its error is a
// *NoValue that says what. values appends the values that the test reads, for people, on
// one line. Several goroutines may run them at a time; they never panic, whatever the
// packet holds.
func CompileTest(text string, env Env) (t policy.Test, values func(dst []byte, f *policy.Facts) []byte, err *Error) {
	c, err := compile(text, env)
	if err != nil {
		return nil, nil, err
	}
	root := c.checked.Expr()
	if c.kind(root) != kindBool {
		return nil, nil, c.notATest(root)
	}
	compiled := c.test(root)
	if c.failed != nil {
		return nil, nil, c.failed
	}
	return func(f *policy.Facts) (bool, error) {
		ok, why := compiled(f, item{})
		if ok || why == nil {
			return ok, nil
		}
		return false, why
	}, c.shown(), nil
}

// CompileValue compiles an expression whose value is text or octets. The value is nil
// where something that it needs is not there, and where it is empty; otherwise it
// belongs to the caller. It is asked for before reservations are looked up, so "known"
// cannot stand in it.
func CompileValue(text string, env Env) (policy.Expression, *Error) {
	c, err := compile(text, env)
	if err != nil {
		return nil, err
	}
	root := c.checked.Expr()
	if e := c.findName(root, "known"); e != nil {
		return nil, c.errorAt(e, "whether the client has a reservation is not known yet: this value is what it is looked up by", "")
	}
	switch k := c.kind(root); k {
	case kindText, kindOctets:
	case kindInt:
		return nil, c.errorAt(root, "the value is a number, not text", "write string(…)")
	default:
		return nil, c.errorAt(root, fmt.Sprintf("the value is %s, not text", k), "write an expression for text, such as relay[\"circuit-id\"]")
	}
	t := c.text(root)
	if c.failed != nil {
		return nil, c.failed
	}
	return func(f *policy.Facts) []byte {
		s, why := t(f, item{})
		if why != nil || s == "" {
			return nil
		}
		return []byte(s)
	}, nil
}

// compiler is one expression on its way.
type compiler struct {
	source  string
	env     Env
	leaves  map[string]*leaf // by the names that stand for them in the tree
	starts  map[int64]int    // where leaves begin that the tree puts elsewhere, in characters
	celEnv  *cel.Env
	parsed  *cel.Ast
	checked *ast.AST

	itemName string // the variable of exists or all around what is compiled
	failed   *Error // the first place that has no meaning
}

// compile parses text, gives its names their meaning, and checks the types.
func compile(text string, env Env) (*compiler, *Error) {
	c := &compiler{source: text, env: env, leaves: map[string]*leaf{}, starts: map[int64]int{}}
	if len(text) > MaxLength {
		return nil, &Error{Line: 1, Col: 1, Message: fmt.Sprintf("the expression has more than %d octets", MaxLength), Fix: "use several classes, and member(\"…\")"}
	}
	base, err := baseEnv()
	if err != nil {
		panic("expr: " + err.Error()) // what it declares does not depend on any input
	}
	var issues *cel.Issues
	if c.parsed, issues = base.Parse(text); issues.Err() != nil {
		return nil, c.syntaxError(issues)
	}
	if err := c.resolve(c.parsed.NativeRep().Expr(), false); err != nil {
		return nil, err
	}
	options := make([]cel.EnvOption, 0, len(c.leaves))
	for name, l := range c.leaves {
		options = append(options, cel.Variable(name, l.celType()))
	}
	if c.celEnv, err = base.Extend(options...); err != nil {
		return nil, &Error{Line: 1, Col: 1, Message: err.Error()}
	}
	checked, issues := c.celEnv.Check(c.parsed)
	if issues.Err() != nil {
		return nil, c.typeError(issues)
	}
	c.checked = checked.NativeRep()
	return c, c.examine(c.checked.Expr())
}

// kind returns the kind of a checked expression.
func (c *compiler) kind(e ast.Expr) kind {
	t := c.checked.GetType(e.ID())
	switch t.Kind() {
	case types.BoolKind:
		return kindBool
	case types.IntKind:
		return kindInt
	case types.StringKind:
		return kindText
	case types.BytesKind:
		return kindOctets
	case types.ListKind:
		switch t.Parameters()[0].Kind() {
		case types.IntKind:
			return kindInts
		case types.StringKind:
			return kindTexts
		case types.BoolKind:
			return kindBools
		}
	}
	return kindOther
}
