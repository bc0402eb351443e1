package expr

import (
	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"

	"lessor/internal/policy"
)

// answered is the function that the oracle puts around what may have no answer.
const answered = "@answered"

// answer is false for what has no answer.
func answer(v ref.Val) ref.Val {
	if b, ok := v.(types.Bool); ok {
		return b
	}
	return types.False
}

// oracle plans an expression for CEL's interpreter, with the one difference that
// docs/classes.md states: a comparison that has no answer is false. It changes the
// compiler's tree.
func oracle(c *compiler, test bool) (*program, error) {
	env, err := c.celEnv.Extend(cel.Function(answered,
		cel.Overload("answered_bool", []*cel.Type{cel.BoolType}, cel.BoolType, cel.OverloadIsNonStrict(), cel.UnaryBinding(answer))))
	if err != nil {
		return nil, err
	}
	root := c.parsed.NativeRep().Expr()
	r := rewriter{next: ast.MaxID(c.parsed.NativeRep()) + 1, leaves: c.leaves}
	if test {
		r.test(root)
	} else {
		r.value(root)
	}
	checked, issues := env.Check(c.parsed)
	if issues.Err() != nil {
		return nil, issues.Err()
	}
	prog, err := env.Program(checked)
	return &program{prog, c.leaves}, err
}

// program is an expression for the interpreter.
type program struct {
	prog   cel.Program
	leaves map[string]*leaf
}

// run evaluates the expression. why is the first value that was asked for and is not
// there; v is nil when there is no value.
func (p *program) run(f *policy.Facts) (v ref.Val, why *NoValue, err error) {
	a := activation{leaves: p.leaves, facts: f}
	v, _, err = p.prog.Eval(&a)
	return v, a.why, err
}

// activation gives the interpreter the values that it asks for.
type activation struct {
	leaves map[string]*leaf
	facts  *policy.Facts
	why    *NoValue
}

// Parent has CEL's interface: there is none.
func (a *activation) Parent() cel.Activation { return nil }

// ResolveName has CEL's interface: the value of a leaf, or an error as value.
func (a *activation) ResolveName(name string) (any, bool) {
	l := a.leaves[name]
	if l == nil {
		return nil, false
	}
	v, why := l.value(a.facts)
	if why != nil {
		if a.why == nil {
			a.why = why
		}
		return types.WrapErr(why), true
	}
	return v, true
}

// value is the value of a leaf for the interpreter. It is a copy.
func (l *leaf) value(f *policy.Facts) (ref.Val, *NoValue) {
	switch l.kind() {
	case kindBool:
		b, why := l.bool(f)
		return types.Bool(b), why
	case kindInt:
		n, why := l.int(f)
		return types.Int(n), why
	case kindOctets:
		s, why := l.str(f)
		return types.Bytes(s), why
	case kindText:
		s, why := l.str(f)
		return types.String([]byte(s)), why
	}
	var items []ref.Val
	var why *NoValue
	switch l.kind() {
	case kindTexts:
		why = l.each(f, func(x item) bool {
			items = append(items, types.String([]byte(x.s)))
			return true
		})
	default:
		var b []byte
		if b, why = l.get(f); why != nil {
			break
		}
		for ; len(b) > 0; b = b[l.width:] {
			if l.form == formBool {
				items = append(items, types.Bool(b[0] == 1))
			} else {
				items = append(items, types.Int(l.number(b)))
			}
		}
	}
	return types.NewRefValList(types.DefaultTypeAdapter, items), why
}

// rewriter puts answered around each comparison, so that one without an answer is
// false. That is done where truth is wanted: at the root, under &&, || and !, in the
// condition of ?: and in the body of exists and all.
type rewriter struct {
	next   int64
	leaves map[string]*leaf
}

func (r *rewriter) id() int64 {
	r.next++
	return r.next - 1
}

// wrap makes of e answered(e).
func (r *rewriter) wrap(e ast.Expr) {
	fac := ast.NewExprFactory()
	inner := fac.NewUnspecifiedExpr(r.id())
	inner.SetKindCase(e)
	e.SetKindCase(fac.NewCall(e.ID(), answered, inner))
}

// test rewrites an expression whose truth is wanted.
func (r *rewriter) test(e ast.Expr) {
	switch e.Kind() {
	case ast.IdentKind:
		if r.leaves[e.AsIdent()] != nil {
			r.wrap(e)
		}
	case ast.ComprehensionKind:
		r.value(e)
		r.wrap(e)
	case ast.CallKind:
		call := e.AsCall()
		switch call.FunctionName() {
		case operators.LogicalAnd, operators.LogicalOr, operators.LogicalNot, operators.Conditional:
			for _, arg := range call.Args() {
				r.test(arg)
			}
		case operators.NotEquals:
			r.each(call.Args())
			fac := ast.NewExprFactory()
			equal := fac.NewCall(r.id(), answered, fac.NewCall(r.id(), operators.Equals, call.Args()...))
			e.SetKindCase(fac.NewCall(e.ID(), operators.LogicalNot, equal))
		default:
			r.value(e)
			r.wrap(e)
		}
	}
}

func (r *rewriter) each(list []ast.Expr) {
	for _, e := range list {
		r.value(e)
	}
}

// value rewrites the tests within an expression whose value is wanted.
func (r *rewriter) value(e ast.Expr) {
	switch e.Kind() {
	case ast.ListKind:
		r.each(e.AsList().Elements())
	case ast.ComprehensionKind:
		x := e.AsComprehension()
		r.value(x.IterRange())
		// The body is the second operand: accumulated || body.
		r.test(x.LoopStep().AsCall().Args()[1])
	case ast.CallKind:
		call := e.AsCall()
		switch call.FunctionName() {
		case operators.LogicalAnd, operators.LogicalOr, operators.LogicalNot:
			r.test(e)
		case operators.Conditional:
			r.test(call.Args()[0])
			r.each(call.Args()[1:])
		default:
			r.each(children(e))
		}
	}
}
