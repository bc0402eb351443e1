package expr

import (
	"math"
	"slices"
	"strconv"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"

	"lessor/internal/policy"
)

func decimal(n int64) string { return strconv.FormatInt(n, 10) }

// number compiles an expression for a number.
func (c *compiler) number(e ast.Expr) number {
	if n, ok := constantInt(e); ok {
		return func(*policy.Facts, item) (int64, *NoValue) { return n, nil }
	}
	if c.kind(e) != kindInt {
		return fail[number](c, e)
	}
	if l := c.leaf(e); l != nil {
		return func(f *policy.Facts, _ item) (int64, *NoValue) { return l.int(f) }
	}
	if c.isItem(e) {
		return func(_ *policy.Facts, x item) (int64, *NoValue) { return x.n, nil }
	}
	if e.Kind() != ast.CallKind {
		return fail[number](c, e)
	}
	args := children(e)
	switch op := e.AsCall().FunctionName(); op {
	case "size":
		return c.size(args[0])
	case operators.Conditional:
		return chosen(c.test(args[0]), c.number(args[1]), c.number(args[2]))
	case operators.Index:
		n := c.index(args[0], args[1])
		return func(f *policy.Facts, x item) (int64, *NoValue) {
			it, why := n(f, x)
			return it.n, why
		}
	case operators.Negate:
		return arithmetic(operators.Subtract, func(*policy.Facts, item) (int64, *NoValue) { return 0, nil }, c.number(args[0]))
	case operators.Add, operators.Subtract, operators.Multiply, operators.Divide, operators.Modulo:
		return arithmetic(op, c.number(args[0]), c.number(args[1]))
	}
	return fail[number](c, e)
}

var noNumber = &NoValue{"the calculation", "has no result"}

func arithmetic(op string, a, b number) number {
	return func(f *policy.Facts, x item) (int64, *NoValue) {
		m, why := a(f, x)
		if why != nil {
			return 0, why
		}
		n, why := b(f, x)
		if why != nil {
			return 0, why
		}
		v, ok := calculate(op, m, n)
		if !ok {
			return 0, noNumber
		}
		return v, nil
	}
}

// calculate is m op n; ok is false when that is no number of 64 bits.
func calculate(op string, m, n int64) (v int64, ok bool) {
	switch op {
	case operators.Add:
		v = m + n
		return v, (v > m) == (n > 0)
	case operators.Subtract:
		v = m - n
		return v, (v < m) == (n > 0)
	case operators.Multiply:
		v = m * n
		return v, m == 0 || v/m == n && (m != -1 || n != math.MinInt64)
	}
	if n == 0 || n == -1 && m == math.MinInt64 {
		return 0, false
	}
	if op == operators.Divide {
		return m / n, true
	}
	return m % n, true
}

// size is the number of items, octets or, of text, characters.
func (c *compiler) size(e ast.Expr) number {
	l := c.leaf(e)
	switch k := c.kind(e); {
	case l != nil && (k == kindInts || k == kindBools):
		return func(f *policy.Facts, _ item) (int64, *NoValue) {
			b, why := l.get(f)
			return int64(len(b) / l.width), why
		}
	case k.isList():
		items := c.list(e)
		return func(f *policy.Facts, x item) (int64, *NoValue) {
			list, why := items(f, x)
			return int64(len(list)), why
		}
	case k == kindText:
		t := c.text(e)
		return func(f *policy.Facts, x item) (int64, *NoValue) {
			s, why := t(f, x)
			return int64(len([]rune(s))), why
		}
	}
	t := c.text(e)
	return func(f *policy.Facts, x item) (int64, *NoValue) {
		s, why := t(f, x)
		return int64(len(s)), why
	}
}

// list compiles an expression for a list, whose items are made for each use.
func (c *compiler) list(e ast.Expr) list {
	if !c.kind(e).isList() && !(e.Kind() == ast.ListKind && e.AsList().Size() == 0) {
		return fail[list](c, e)
	}
	if l := c.leaf(e); l != nil {
		return func(f *policy.Facts, _ item) ([]item, *NoValue) {
			var items []item
			why := l.each(f, func(x item) bool {
				items = append(items, x)
				return true
			})
			return items, why
		}
	}
	switch {
	case e.Kind() == ast.ListKind:
		return c.literalList(e.AsList().Elements())
	case e.Kind() == ast.CallKind && e.AsCall().FunctionName() == operators.Conditional:
		args := e.AsCall().Args()
		return chosen(c.test(args[0]), c.list(args[1]), c.list(args[2]))
	}
	return fail[list](c, e)
}

func (c *compiler) literalList(elements []ast.Expr) list {
	makers := make([]func(*policy.Facts, item) (item, *NoValue), len(elements))
	constant := true
	for i, e := range elements {
		constant = constant && c.constant(e)
		makers[i] = c.item(e)
	}
	make := func(f *policy.Facts, x item) ([]item, *NoValue) {
		items := make([]item, len(makers))
		for i, m := range makers {
			var why *NoValue
			if items[i], why = m(f, x); why != nil {
				return nil, why
			}
		}
		return items, nil
	}
	if constant && c.failed == nil {
		items, _ := make(nil, item{})
		return func(*policy.Facts, item) ([]item, *NoValue) { return items, nil }
	}
	return make
}

// item compiles an item of a list.
func (c *compiler) item(e ast.Expr) func(*policy.Facts, item) (item, *NoValue) {
	switch c.kind(e) {
	case kindText, kindOctets:
		t := c.text(e)
		return func(f *policy.Facts, x item) (item, *NoValue) {
			s, why := t(f, x)
			return item{s: s}, why
		}
	case kindInt:
		n := c.number(e)
		return func(f *policy.Facts, x item) (item, *NoValue) {
			v, why := n(f, x)
			return item{n: v}, why
		}
	case kindBool:
		if b, ok := literalBool(e); ok {
			return func(*policy.Facts, item) (item, *NoValue) { return item{n: b}, nil }
		}
	}
	return fail[func(*policy.Facts, item) (item, *NoValue)](c, e)
}

func literalBool(e ast.Expr) (int64, bool) {
	if e.Kind() != ast.LiteralKind {
		return 0, false
	}
	b, ok := e.AsLiteral().(types.Bool)
	if b {
		return 1, ok
	}
	return 0, ok
}

var tooFew = &NoValue{"the list", "has too few items"}

// index compiles a[i].
func (c *compiler) index(a, i ast.Expr) func(*policy.Facts, item) (item, *NoValue) {
	at := c.number(i)
	if l := c.leaf(a); l != nil && l.width > 0 && l.kind() != kindTexts {
		return func(f *policy.Facts, x item) (item, *NoValue) {
			b, why := l.get(f)
			if why != nil {
				return item{}, why
			}
			n, why := at(f, x)
			switch {
			case why != nil:
				return item{}, why
			case n < 0 || n >= int64(len(b)/l.width):
				return item{}, tooFew
			}
			return item{n: l.number(b[int(n)*l.width:])}, nil
		}
	}
	items := c.list(a)
	return func(f *policy.Facts, x item) (item, *NoValue) {
		list, why := items(f, x)
		if why != nil {
			return item{}, why
		}
		n, why := at(f, x)
		switch {
		case why != nil:
			return item{}, why
		case n < 0 || n >= int64(len(list)):
			return item{}, tooFew
		}
		return list[n], nil
	}
}

// in compiles a in b.
func (c *compiler) in(a, b ast.Expr) test {
	if t := c.inConstants(a, b); t != nil {
		return t
	}
	wanted := c.item(a)
	if l := c.leaf(b); l != nil {
		return func(f *policy.Facts, x item) (bool, *NoValue) {
			want, why := wanted(f, x)
			if why != nil {
				return false, why
			}
			found := false
			why = l.each(f, func(x item) bool {
				found = x == want
				return !found
			})
			return why == nil && found, why
		}
	}
	items := c.list(b)
	return func(f *policy.Facts, x item) (bool, *NoValue) {
		want, why := wanted(f, x)
		if why != nil {
			return false, why
		}
		list, why := items(f, x)
		return why == nil && slices.Contains(list, want), why
	}
}

// inConstants compares values that are text only in the expression by their octets;
// nil where a is not such a value.
func (c *compiler) inConstants(a, b ast.Expr) test {
	wanted := constantTexts(b)
	if wanted == nil {
		return nil
	}
	if raw := c.hexed(a); raw != nil {
		return func(f *policy.Facts, _ item) (bool, *NoValue) {
			b, why := raw(f)
			return why == nil && slices.ContainsFunc(wanted, func(s string) bool { return hexEqual(b, s) }), why
		}
	}
	tests := make([]test, len(wanted))
	for i, s := range wanted {
		if tests[i] = c.equalAddr(a, s); tests[i] == nil {
			return nil
		}
	}
	return func(f *policy.Facts, x item) (bool, *NoValue) {
		for _, t := range tests {
			if ok, why := t(f, x); ok || why != nil {
				return ok, why
			}
		}
		return false, nil
	}
}

// constantTexts is a list of text constants; nil where e is none, or has no item.
func constantTexts(e ast.Expr) []string { return constants(e, constantText) }

func constantInts(e ast.Expr) []int64 { return constants(e, constantInt) }

func constants[T any](e ast.Expr, value func(ast.Expr) (T, bool)) (out []T) {
	if e.Kind() != ast.ListKind {
		return nil
	}
	for _, e := range e.AsList().Elements() {
		v, ok := value(e)
		if !ok {
			return nil
		}
		out = append(out, v)
	}
	return out
}

// maxItems is how many items exists and all look at.
const maxItems = 64

var manyItems = &NoValue{"the list", "is too long for a test"}

// quantifier compiles exists and all. An item that a body has no answer for does not
// pass it.
func (c *compiler) quantifier(e ast.ComprehensionExpr) test {
	step := e.LoopStep().AsCall()
	exists := step.FunctionName() == operators.LogicalOr
	items := c.list(e.IterRange())
	outer := c.itemName
	c.itemName = e.IterVar()
	body := c.test(step.Args()[1])
	c.itemName = outer
	if l := c.leaf(e.IterRange()); l != nil {
		return func(f *policy.Facts, _ item) (bool, *NoValue) {
			var told *NoValue
			over, n := false, 0
			why := l.each(f, func(x item) bool {
				if n++; n > maxItems {
					return false
				}
				ok, why := body(f, x)
				told, over = first(told, why), ok == exists
				return !over
			})
			switch {
			case why != nil:
				return false, why
			case n > maxItems:
				return false, manyItems
			}
			return over == exists, told
		}
	}
	return func(f *policy.Facts, x item) (bool, *NoValue) {
		list, why := items(f, x)
		switch {
		case why != nil:
			return false, why
		case len(list) > maxItems:
			return false, manyItems
		}
		var told *NoValue
		for _, x := range list {
			ok, why := body(f, x)
			if told = first(told, why); ok == exists {
				return exists, told
			}
		}
		return !exists, told
	}
}
