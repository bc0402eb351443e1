package expr

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
)

// notATest says that e is neither true nor false where that is wanted.
func (c *compiler) notATest(e ast.Expr) *Error {
	k, name := c.kindOf(e), c.show(e)
	fix := "compare it with something"
	switch l := c.leaf(e); {
	case k == kindText && l != nil:
		fix = fmt.Sprintf("write %s == \"…\"", name)
	case k == kindInt && l != nil:
		fix = fmt.Sprintf("write %s == 1", name)
	case k == kindInts && l != nil:
		fix = fmt.Sprintf("write %s == [1], or 1 in %s", name, name)
	case k == kindTexts && l != nil:
		fix = fmt.Sprintf("write \"…\" in %s", name)
	case k == kindOctets && l != nil:
		fix = fmt.Sprintf("write hex(%s) == \"…\"", name)
	}
	if name == "…" {
		name = "this"
	}
	return c.errorAt(e, fmt.Sprintf("%s is %s, and a test is true or false", name, c.describe(e)), fix)
}

// wrongTypes says why the operands of a call do not fit.
func (c *compiler) wrongTypes(e ast.Expr) *Error {
	call := e.AsCall()
	args := children(e)
	switch call.FunctionName() {
	case operators.Equals, operators.NotEquals, operators.Less, operators.LessEquals, operators.Greater, operators.GreaterEquals:
		return c.wrongComparison(call.FunctionName(), args[0], args[1])
	case operators.In:
		return c.wrongIn(args[0], args[1])
	case operators.LogicalAnd, operators.LogicalOr, operators.LogicalNot, operators.Conditional:
		for _, a := range args {
			if c.kindOf(a) != kindBool {
				return c.notATest(a)
			}
			if call.FunctionName() == operators.Conditional {
				return c.errorAt(args[2], fmt.Sprintf("? : would give %s or %s", c.describe(args[1]), c.describe(args[2])), "both must be of one kind")
			}
		}
	case operators.Index:
		if c.kindOf(args[0]).isList() {
			return c.errorAt(args[1], "an item of a list is asked for by its number, from 0", "")
		}
		return c.errorAt(e, fmt.Sprintf("%s is %s, which has no items", orThis(c.show(args[0])), c.describe(args[0])), "")
	case "startsWith", "endsWith", "contains", "matches":
		if len(args) == 2 {
			return c.wrongPart(call.FunctionName(), args[0], args[1])
		}
	case operators.Add:
		a, b := c.kindOf(args[0]), c.kindOf(args[1])
		fix := "both sides must be text, or both numbers"
		switch {
		case b == kindInt || a == kindInt:
			fix = "write string(…) around the number to join it with text"
		case a == kindOctets || b == kindOctets:
			fix = "write hex(…) or string(…) around the octets"
		}
		return c.errorAt(e, fmt.Sprintf("+ cannot join %s and %s", a, b), fix)
	}
	kinds := make([]string, len(args))
	for i, a := range args {
		kinds[i] = c.kindOf(a).String()
	}
	name, isOperator := operators.FindReverse(call.FunctionName())
	if !isOperator {
		name = call.FunctionName()
	}
	return c.errorAt(e, fmt.Sprintf("%s does not take %s", strings.Trim(name, "_"), strings.Join(kinds, " and ")), "what there is stands in docs/classes.md")
}

// subject is the operand that a message speaks of, and the one that is to change: the
// variable stays as it is.
func (c *compiler) subject(a, b ast.Expr) (subject, other ast.Expr) {
	if c.leaf(a) == nil && c.leaf(b) != nil || c.constant(a) && !c.constant(b) {
		return b, a
	}
	return a, b
}

func (c *compiler) wrongComparison(op string, a, b ast.Expr) *Error {
	s, o := c.subject(a, b)
	sk, ok := c.kindOf(s), c.kindOf(o)
	name, value := c.show(s), c.show(o)
	sign, _ := operators.FindReverse(op)
	if name == "…" {
		name = "this"
	}
	what, fix := c.describe(s), "both sides must be of one kind"
	switch {
	case sk.isList() && (op != operators.Equals && op != operators.NotEquals):
		fix = fmt.Sprintf("only == and != compare lists; write %s[0] %s %s for the first item", name, sign, value)
	case sk.isList() && ok == sk.item():
		fix = fmt.Sprintf("write %s [%s]", sign, value)
	case sk == kindInts && ok == kindTexts:
		what, fix = what+", not of texts", "write the numbers without quotes"
	case sk == kindTexts && ok == kindInts:
		what, fix = what+", not of numbers", "write the items in quotes"
	case sk == kindInt && strings.HasSuffix(value, "u"):
		fix = fmt.Sprintf("write %s %s", sign, strings.TrimSuffix(value, "u"))
	case sk == kindInts && ok == kindText && isNumber(value):
		fix = fmt.Sprintf("write %s [%s]", sign, quoteAs(value, kindInt))
	case sk == kindTexts && ok == kindInt:
		fix = fmt.Sprintf("write %s [%s]", sign, quoteAs(value, kindText))
	case sk == kindText && ok == kindInt:
		fix = fmt.Sprintf("write %s %s", sign, quoteAs(value, kindText))
	case sk == kindInt && ok == kindText && isNumber(value):
		fix = fmt.Sprintf("write %s %s", sign, quoteAs(value, kindInt))
	case ok.isList() && ok.item() == sk:
		what, fix = what+", not a list", fmt.Sprintf("write %s in […] where any of several will do", name)
	case sk == kindOctets && ok == kindText:
		fix = fmt.Sprintf("write hex(%s) %s \"01:02:…\", or %s b%s", name, sign, sign, value)
	case sk == kindText && ok == kindOctets:
		fix = fmt.Sprintf("write %s %s", sign, strings.TrimLeft(value, "bB"))
	case sk == kindBool:
		fix = fmt.Sprintf("write %s, or !%s", name, name)
	}
	return c.errorAt(o, fmt.Sprintf("%s is %s", name, what), fix)
}

// isNumber reports whether a quoted literal has a number in it.
func isNumber(quoted string) bool {
	_, err := strconv.ParseInt(quoteAs(quoted, kindInt), 0, 64)
	return err == nil
}

func (c *compiler) wrongIn(a, b ast.Expr) *Error {
	ak, bk := c.kindOf(a), c.kindOf(b)
	name, value := c.show(b), c.show(a)
	if c.leaf(b) == nil && c.leaf(a) != nil {
		name, value = value, name
	}
	switch {
	case bk == kindText && b.Kind() == ast.LiteralKind:
		return c.errorAt(b, c.show(b)+" is text, not a list", fmt.Sprintf("write in [%s]", c.show(b)))
	case bk == kindText && ak == kindText:
		return c.errorAt(b, c.show(b)+" is text, not a list", fmt.Sprintf("write %s == %s, or %s.contains(%s)", c.show(b), c.show(a), c.show(b), c.show(a)))
	case !bk.isList():
		return c.errorAt(b, fmt.Sprintf("%s is %s, not a list", orThis(c.show(b)), c.describe(b)), fmt.Sprintf("write %s == %s", name, value))
	case bk == kindInts && ak == kindText && isNumber(c.show(a)):
		return c.errorAt(a, fmt.Sprintf("%s is %s", orThis(c.show(b)), c.describe(b)), fmt.Sprintf("write %s in %s", quoteAs(c.show(a), kindInt), c.show(b)))
	}
	return c.errorAt(a, fmt.Sprintf("%s is %s, and %s is %s", orThis(c.show(a)), c.describe(a), orThis(c.show(b)), c.describe(b)), "the items of the list must be of the kind that is looked for")
}

// describe says in words what e is.
func (c *compiler) describe(e ast.Expr) string {
	k := c.kindOf(e)
	if l := c.leaf(e); l != nil {
		what := map[form]string{formAddr: "address", formAddr6: "address", formName: "name", formFQDN: "name"}[l.form]
		switch {
		case what == "":
		case k == kindTexts && what == "address":
			return "a list of addresses"
		case k == kindTexts:
			return "a list of names"
		case what == "address":
			return "an address"
		default:
			return "a name"
		}
	}
	return k.String()
}

func orThis(name string) string {
	if name == "…" {
		return "this"
	}
	return name
}

func (c *compiler) wrongPart(function string, in, what ast.Expr) *Error {
	k, name := c.kindOf(in), c.show(in)
	if k == kindText {
		return c.errorAt(what, fmt.Sprintf("%s takes text, not %s", function, c.kindOf(what)), fmt.Sprintf("write %s(%s)", function, quoteAs(c.show(what), kindText)))
	}
	fix := fmt.Sprintf("%s is for text", function)
	switch k {
	case kindOctets:
		fix = fmt.Sprintf("write hex(%s).%s(%s), or string(%s).%s(%s)", name, function, `"01:02:…"`, name, function, c.show(what))
	case kindTexts:
		fix = fmt.Sprintf("write %s.exists(x, x.%s(%s))", name, function, c.show(what))
	}
	return c.errorAt(in, fmt.Sprintf("%s is %s", orThis(name), c.describe(in)), fix)
}

// refuseSelect is the error of a dot without a call after it.
func (c *compiler) refuseSelect(e ast.Expr) *Error {
	s := e.AsSelect()
	operand := s.Operand()
	for operand.Kind() == ast.SelectKind {
		operand = operand.AsSelect().Operand()
	}
	fix := "what there is stands in docs/classes.md"
	if isIdent(operand, optionName) || isIdent(operand, relayName) {
		fix = fmt.Sprintf("write %s[\"NAME\"]", operand.AsIdent())
	} else if variableNamed(s.FieldName()) != nil {
		fix = fmt.Sprintf("did you mean %s?", s.FieldName())
	} else if slices.Contains(methods, s.FieldName()) {
		fix = fmt.Sprintf("write %s(…)", s.FieldName())
	}
	return c.errorAt(e, fmt.Sprintf("%q has no meaning here", "."+s.FieldName()), fix)
}

// maxPatternProgram bounds the compiled pattern of matches.
const maxPatternProgram = 1000

// checkPattern allows matches only with a pattern of the configuration's making.
func (c *compiler) checkPattern(e ast.Expr, args []ast.Expr) *Error {
	if len(args) == 0 {
		return nil
	}
	pattern := args[len(args)-1]
	p, ok := literal(pattern)
	if !ok {
		return c.errorAt(pattern, "the pattern of matches must stand here itself, in quotes", "a pattern is never taken from a packet; write contains or == to compare with one")
	}
	if err := checkRegexp(p); err != nil {
		return c.errorAt(pattern, fmt.Sprintf("the pattern cannot be read: %v", err), "patterns are those of RE2")
	}
	return nil
}
