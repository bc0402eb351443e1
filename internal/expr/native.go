package expr

import (
	"strings"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"

	"lessor/internal/policy"
)

// The closures that expressions become. A *NoValue says what is missing; a test is
// false then, or, of "!=", true. A text may alias the facts. item is that of exists and
// all, in the body of which it has a value.
type (
	test   func(f *policy.Facts, x item) (bool, *NoValue)
	text   func(f *policy.Facts, x item) (string, *NoValue)
	number func(f *policy.Facts, x item) (int64, *NoValue)
	list   func(f *policy.Facts, x item) ([]item, *NoValue)
)

// item is one item of a list: text or octets, or a number, 0 and 1 for false and true.
type item struct {
	s string
	n int64
}

// test compiles an expression that is true or false; nil is left by whatever has no
// meaning, with c.failed set.
func (c *compiler) test(e ast.Expr) test {
	switch e.Kind() {
	case ast.LiteralKind:
		if b, ok := e.AsLiteral().(types.Bool); ok {
			return func(*policy.Facts, item) (bool, *NoValue) { return bool(b), nil }
		}
	case ast.IdentKind:
		if c.kind(e) != kindBool {
			break
		}
		if l := c.leaf(e); l != nil {
			return func(f *policy.Facts, _ item) (bool, *NoValue) { return l.bool(f) }
		}
		if c.isItem(e) {
			return func(_ *policy.Facts, x item) (bool, *NoValue) { return x.n != 0, nil }
		}
	case ast.ComprehensionKind:
		return c.quantifier(e.AsComprehension())
	case ast.CallKind:
		return c.testCall(e)
	}
	return fail[test](c, e)
}

// fail notes that e has no meaning; the first such place counts.
func fail[T any](c *compiler, e ast.Expr) (none T) {
	if c.failed == nil {
		c.failed = c.errorAt(e, orThis(c.show(e))+" has no meaning here", "what there is stands in docs/classes.md")
	}
	return none
}

// leaf returns the leaf that e stands for, or nil.
func (c *compiler) leaf(e ast.Expr) *leaf {
	if e.Kind() != ast.IdentKind {
		return nil
	}
	return c.leaves[e.AsIdent()]
}

// isItem reports whether e is the variable of exists or all.
func (c *compiler) isItem(e ast.Expr) bool {
	return e.Kind() == ast.IdentKind && c.itemName != "" && e.AsIdent() == c.itemName
}

func (c *compiler) testCall(e ast.Expr) test {
	call := e.AsCall()
	args := children(e)
	switch call.FunctionName() {
	case operators.LogicalAnd:
		return logic(c.test(args[0]), c.test(args[1]), false)
	case operators.LogicalOr:
		return logic(c.test(args[0]), c.test(args[1]), true)
	case operators.LogicalNot:
		return not(c.test(args[0]))
	case operators.Conditional:
		return conditional(c.test(args[0]), c.test(args[1]), c.test(args[2]))
	case operators.Equals:
		return c.equal(args[0], args[1])
	case operators.NotEquals:
		return not(c.equal(args[0], args[1]))
	case operators.Less, operators.LessEquals, operators.Greater, operators.GreaterEquals:
		return c.ordered(call.FunctionName(), args[0], args[1])
	case operators.In:
		return c.in(args[0], args[1])
	case operators.Index:
		if c.kind(args[0]) == kindBools {
			n := c.index(args[0], args[1])
			return func(f *policy.Facts, x item) (bool, *NoValue) {
				it, why := n(f, x)
				return it.n != 0, why
			}
		}
	case "startsWith", "endsWith", "contains":
		return c.part(call.FunctionName(), args[0], args[1])
	case "matches":
		return c.matches(args[0], args[1])
	}
	return fail[test](c, e)
}

// logic is a && b, or a || b when decides is true: the value of a that decides alone.
// The reason that is told is that of the value that was asked for first.
func logic(a, b test, decides bool) test {
	return func(f *policy.Facts, x item) (bool, *NoValue) {
		ok, why := a(f, x)
		if ok == decides {
			return ok, why
		}
		ok, why2 := b(f, x)
		return ok, first(why, why2)
	}
}

func first(a, b *NoValue) *NoValue {
	if a != nil {
		return a
	}
	return b
}

func not(t test) test {
	return func(f *policy.Facts, x item) (bool, *NoValue) {
		ok, why := t(f, x)
		return !ok, why
	}
}

func conditional(cond, yes, no test) test {
	return func(f *policy.Facts, x item) (bool, *NoValue) {
		ok, why := cond(f, x)
		next := no
		if ok {
			next = yes
		}
		ok, why2 := next(f, x)
		return ok, first(why, why2)
	}
}

// equal compiles a == b.
func (c *compiler) equal(a, b ast.Expr) test {
	if c.constant(a) && !c.constant(b) {
		a, b = b, a // the value that may be missing comes first
	}
	switch c.kind(a) {
	case kindText, kindOctets:
		return c.equalText(a, b)
	case kindInt:
		x, y := c.number(a), c.number(b)
		return func(f *policy.Facts, it item) (bool, *NoValue) {
			m, why := x(f, it)
			if why != nil {
				return false, why
			}
			n, why := y(f, it)
			return why == nil && m == n, why
		}
	case kindInts, kindTexts, kindBools:
		return c.equalList(a, b)
	case kindBool:
		if c.failed == nil {
			c.failed = c.wrongComparison(operators.Equals, a, b)
		}
	}
	return fail[test](c, a)
}

func (c *compiler) equalText(a, b ast.Expr) test {
	x := c.text(a)
	want, ok := constantText(b)
	if !ok {
		y := c.text(b)
		return func(f *policy.Facts, it item) (bool, *NoValue) {
			s, why := x(f, it)
			if why != nil {
				return false, why
			}
			t, why := y(f, it)
			return why == nil && s == t, why
		}
	}
	// Text that a value is only in the expression is not made for a comparison.
	if raw := c.hexed(a); raw != nil {
		return func(f *policy.Facts, _ item) (bool, *NoValue) {
			b, why := raw(f)
			return why == nil && hexEqual(b, want), why
		}
	}
	if t := c.equalAddr(a, want); t != nil {
		return t
	}
	return func(f *policy.Facts, it item) (bool, *NoValue) {
		s, why := x(f, it)
		return why == nil && s == want, why
	}
}

// equalAddr compares an address with a constant; nil where a is none.
func (c *compiler) equalAddr(a ast.Expr, want string) test {
	l := c.leaf(a)
	if l == nil || l.form != formAddr || l.list {
		return nil
	}
	addr, ok := addrConstant(want)
	if l.addr != nil {
		return func(f *policy.Facts, _ item) (bool, *NoValue) { return ok && l.addr(f) == addr, nil }
	}
	four := addr.As4()
	return func(f *policy.Facts, _ item) (bool, *NoValue) {
		b, why := l.get(f)
		return why == nil && ok && string(b) == string(four[:]), why
	}
}

// equalList compares two lists. A list of numbers as it came needs no copy to be
// compared with constants.
func (c *compiler) equalList(a, b ast.Expr) test {
	l, want := c.leaf(a), constantInts(b)
	if l != nil && want != nil && l.kind() == kindInts {
		return func(f *policy.Facts, _ item) (bool, *NoValue) {
			b, why := l.get(f)
			if why != nil || len(b) != l.width*len(want) {
				return false, why
			}
			for i, n := range want {
				if l.number(b[i*l.width:]) != n {
					return false, nil
				}
			}
			return true, nil
		}
	}
	x, y := c.list(a), c.list(b)
	return func(f *policy.Facts, it item) (bool, *NoValue) {
		s, why := x(f, it)
		if why != nil {
			return false, why
		}
		t, why := y(f, it)
		if why != nil || len(s) != len(t) {
			return false, why
		}
		for i := range s {
			if s[i] != t[i] {
				return false, nil
			}
		}
		return true, nil
	}
}

// ordered compiles <, <=, > and >=.
func (c *compiler) ordered(op string, a, b ast.Expr) test {
	var less, equal, greater bool // what each order of a and b makes of the test
	switch op {
	case operators.Less:
		less = true
	case operators.LessEquals:
		less, equal = true, true
	case operators.Greater:
		greater = true
	default:
		greater, equal = true, true
	}
	holds := func(order int) bool {
		return order < 0 && less || order == 0 && equal || order > 0 && greater
	}
	switch c.kind(a) {
	case kindInt:
		x, y := c.number(a), c.number(b)
		return func(f *policy.Facts, it item) (bool, *NoValue) {
			m, why := x(f, it)
			if why != nil {
				return false, why
			}
			n, why := y(f, it)
			order := 0
			if m < n {
				order = -1
			} else if m > n {
				order = 1
			}
			return why == nil && holds(order), why
		}
	case kindText, kindOctets:
		x, y := c.text(a), c.text(b)
		return func(f *policy.Facts, it item) (bool, *NoValue) {
			s, why := x(f, it)
			if why != nil {
				return false, why
			}
			t, why := y(f, it)
			return why == nil && holds(strings.Compare(s, t)), why
		}
	}
	return fail[test](c, a)
}
