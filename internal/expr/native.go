package expr

import (
	"strings"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"

	"lessor/internal/policy"
)

// The closures that expressions become. A *NoValue says what is missing; a test is
// false then, or, of "!=", true. A text may alias the facts.
type (
	test   func(*policy.Facts) (bool, *NoValue)
	text   func(*policy.Facts) (string, *NoValue)
	number func(*policy.Facts) (int64, *NoValue)
)

// test compiles an expression whose truth is wanted; ok is false when it is left to
// the interpreter.
func (c *compiler) test(e ast.Expr) (t test, ok bool) {
	switch e.Kind() {
	case ast.LiteralKind:
		b, ok := e.AsLiteral().(types.Bool)
		return func(*policy.Facts) (bool, *NoValue) { return bool(b), nil }, ok
	case ast.IdentKind:
		l := c.leaf(e)
		if l == nil || l.kind() != kindBool {
			return nil, false
		}
		return l.bool, true
	case ast.ComprehensionKind:
		return c.quantifier(e.AsComprehension())
	case ast.CallKind:
		return c.call(e.AsCall())
	}
	return nil, false
}

// leaf returns the leaf that e stands for, or nil.
func (c *compiler) leaf(e ast.Expr) *leaf {
	if e.Kind() != ast.IdentKind {
		return nil
	}
	return c.leaves[e.AsIdent()]
}

func (c *compiler) call(call ast.CallExpr) (test, bool) {
	args := call.Args()
	switch call.FunctionName() {
	case operators.LogicalAnd:
		return c.both(args)
	case operators.LogicalOr:
		return c.either(args)
	case operators.LogicalNot:
		t, ok := c.test(args[0])
		return func(f *policy.Facts) (bool, *NoValue) {
			b, why := t(f)
			return !b, why
		}, ok
	case operators.Conditional:
		cond, ok1 := c.test(args[0])
		yes, ok2 := c.test(args[1])
		no, ok3 := c.test(args[2])
		return func(f *policy.Facts) (bool, *NoValue) {
			b, why := cond(f)
			next := no
			if b {
				next = yes
			}
			b, why2 := next(f)
			return b, first(why, why2)
		}, ok1 && ok2 && ok3
	case operators.Equals:
		return c.equal(args[0], args[1])
	case operators.NotEquals:
		t, ok := c.equal(args[0], args[1])
		return func(f *policy.Facts) (bool, *NoValue) {
			b, why := t(f)
			return !b, why
		}, ok
	case operators.Less, operators.LessEquals, operators.Greater, operators.GreaterEquals:
		return c.ordered(call.FunctionName(), args[0], args[1])
	case operators.In:
		return c.in(args[0], args[1])
	case "startsWith", "endsWith", "contains":
		if call.IsMemberFunction() {
			return c.part(call.FunctionName(), call.Target(), args[0])
		}
	case "matches":
		if call.IsMemberFunction() {
			return c.matches(call.Target(), args[0])
		}
	}
	return nil, false
}

// first is the reason that is told: of the value that was asked for first.
func first(a, b *NoValue) *NoValue {
	if a != nil {
		return a
	}
	return b
}

func (c *compiler) tests(list []ast.Expr) ([]test, bool) {
	out := make([]test, len(list))
	for i, e := range list {
		t, ok := c.test(e)
		if !ok {
			return nil, false
		}
		out[i] = t
	}
	return out, true
}

func (c *compiler) both(args []ast.Expr) (test, bool) {
	list, ok := c.tests(args)
	if ok && len(list) == 2 {
		a, b := list[0], list[1]
		return func(f *policy.Facts) (bool, *NoValue) {
			ok, why := a(f)
			if !ok {
				return false, why
			}
			ok, why2 := b(f)
			return ok, first(why, why2)
		}, true
	}
	return nil, false
}

func (c *compiler) either(args []ast.Expr) (test, bool) {
	list, ok := c.tests(args)
	if ok && len(list) == 2 {
		a, b := list[0], list[1]
		return func(f *policy.Facts) (bool, *NoValue) {
			ok, why := a(f)
			if ok {
				return true, why
			}
			ok, why2 := b(f)
			return ok, first(why, why2)
		}, true
	}
	return nil, false
}

// equal compiles a == b.
func (c *compiler) equal(a, b ast.Expr) (test, bool) {
	if c.constant(a) && !c.constant(b) {
		a, b = b, a // whose value is missing stays the same: a constant never is
	}
	switch c.kind(a) {
	case kindText, kindOctets:
		if want, ok := constantText(b); ok {
			if t := c.equalForm(a, want); t != nil {
				return t, true
			}
			x, ok := c.text(a)
			return func(f *policy.Facts) (bool, *NoValue) {
				s, why := x(f)
				return why == nil && s == want, why
			}, ok
		}
		x, ok1 := c.text(a)
		y, ok2 := c.text(b)
		return func(f *policy.Facts) (bool, *NoValue) {
			s, why := x(f)
			if why != nil {
				return false, why
			}
			t, why := y(f)
			return why == nil && s == t, why
		}, ok1 && ok2
	case kindInt:
		x, ok1 := c.number(a)
		y, ok2 := c.number(b)
		return func(f *policy.Facts) (bool, *NoValue) {
			m, why := x(f)
			if why != nil {
				return false, why
			}
			n, why := y(f)
			return why == nil && m == n, why
		}, ok1 && ok2
	case kindInts:
		return c.equalInts(a, b)
	case kindTexts:
		return c.equalTexts(a, b)
	}
	return nil, false
}

// equalForm compares values that are text only in the expression by their octets; nil
// where a is not such a value.
func (c *compiler) equalForm(a ast.Expr, want string) test {
	if raw := c.hexed(a); raw != nil {
		return func(f *policy.Facts) (bool, *NoValue) {
			b, why := raw(f)
			return why == nil && hexEqual(b, want), why
		}
	}
	l := c.leaf(a)
	if l == nil || l.form != formAddr || l.list {
		return nil
	}
	addr, ok := addrConstant(want)
	if l.addr != nil {
		return func(f *policy.Facts) (bool, *NoValue) { return ok && l.addr(f) == addr, nil }
	}
	four := addr.As4()
	return func(f *policy.Facts) (bool, *NoValue) {
		b, why := l.get(f)
		return why == nil && ok && string(b) == string(four[:]), why
	}
}

// equalInts compares a list of numbers with one of constants.
func (c *compiler) equalInts(a, b ast.Expr) (test, bool) {
	l, want := c.leaf(a), constantInts(b)
	if l == nil || want == nil {
		return nil, false
	}
	return func(f *policy.Facts) (bool, *NoValue) {
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
	}, true
}

// equalTexts compares a list of texts with one of constants.
func (c *compiler) equalTexts(a, b ast.Expr) (test, bool) {
	l, want := c.leaf(a), constantTexts(b)
	if l == nil || want == nil {
		return nil, false
	}
	return func(f *policy.Facts) (bool, *NoValue) {
		n, same := 0, true
		why := l.eachText(f, func(s string) bool {
			same = n < len(want) && want[n] == s
			n++
			return same
		})
		return why == nil && same && n == len(want), why
	}, true
}

// ordered compiles <, <=, > and >=.
func (c *compiler) ordered(op string, a, b ast.Expr) (test, bool) {
	holds := func(order int) bool {
		switch op {
		case operators.Less:
			return order < 0
		case operators.LessEquals:
			return order <= 0
		case operators.Greater:
			return order > 0
		}
		return order >= 0
	}
	switch c.kind(a) {
	case kindInt:
		x, ok1 := c.number(a)
		y, ok2 := c.number(b)
		return func(f *policy.Facts) (bool, *NoValue) {
			m, why := x(f)
			if why != nil {
				return false, why
			}
			n, why := y(f)
			order := 0
			if m < n {
				order = -1
			} else if m > n {
				order = 1
			}
			return why == nil && holds(order), why
		}, ok1 && ok2
	case kindText, kindOctets:
		x, ok1 := c.text(a)
		y, ok2 := c.text(b)
		return func(f *policy.Facts) (bool, *NoValue) {
			s, why := x(f)
			if why != nil {
				return false, why
			}
			t, why := y(f)
			return why == nil && holds(strings.Compare(s, t)), why
		}, ok1 && ok2
	}
	return nil, false
}
