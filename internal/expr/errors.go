package expr

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"

	"lessor/dhcp4"
	"lessor/internal/spell"
)

// at is an error at a place that is given in characters from the start of the text.
func (c *compiler) at(char int, message, fix string) *Error {
	e := &Error{Line: 1, Col: 1, Message: message, Fix: fix}
	for i, r := range c.source {
		if char--; char < 0 {
			e.Offset = i
			return e
		}
		e.Col++
		if r == '\n' {
			e.Line, e.Col = e.Line+1, 1
		}
	}
	e.Offset = len(c.source)
	return e
}

// errorAt is an error at the beginning of e.
func (c *compiler) errorAt(e ast.Expr, message, fix string) *Error {
	err := c.at(c.start(e), message, fix)
	if l := c.leaf(e); l != nil {
		err.Length = len(l.name)
	} else if e.Kind() == ast.IdentKind {
		err.Length = len(e.AsIdent())
	} else if e.Kind() == ast.LiteralKind {
		err.Length = len(c.literalAt(err.Offset, e))
	}
	return err
}

// start is where the text of e begins, in characters: an operator's place is that of
// the operator, so the least place of all its parts is meant.
func (c *compiler) start(e ast.Expr) int {
	if s, ok := c.starts[e.ID()]; ok {
		return s
	}
	least := -1
	if r, ok := c.parsed.NativeRep().SourceInfo().GetOffsetRange(e.ID()); ok {
		least = int(r.Start)
	}
	if e.Kind() == ast.ComprehensionKind {
		return c.start(e.AsComprehension().IterRange())
	}
	for _, sub := range children(e) {
		if s := c.start(sub); least < 0 || s >= 0 && s < least {
			least = s
		}
	}
	return least
}

// literalAt is the text of a literal that begins at an offset.
func (c *compiler) literalAt(offset int, e ast.Expr) string {
	rest := c.source[offset:]
	switch e.AsLiteral().(type) {
	case types.String, types.Bytes:
		quoted := regexp.MustCompile(`^[bBrR]*("([^"\\]|\\.)*"|'([^'\\]|\\.)*')`)
		return quoted.FindString(rest)
	}
	return regexp.MustCompile(`^[-+.\w]+`).FindString(rest)
}

// show is the text of a small expression, for messages; "…" for others.
func (c *compiler) show(e ast.Expr) string {
	if l := c.leaf(e); l != nil {
		return l.name
	}
	switch e.Kind() {
	case ast.IdentKind:
		return e.AsIdent()
	case ast.LiteralKind:
		if s := c.literalAt(c.at(c.start(e), "", "").Offset, e); s != "" && utf8.RuneCountInString(s) <= 40 {
			return s
		}
	}
	return "…"
}

// syntaxError says what does not parse.
func (c *compiler) syntaxError(issues *cel.Issues) *Error {
	first := earliest(issues)
	at := c.char(first.Location)
	message := strings.TrimPrefix(first.Message, "Syntax error: ")
	message, _, _ = strings.Cut(message, " expecting ")
	offset := c.at(at, "", "").Offset
	rest := c.source[offset:]
	word := regexp.MustCompile(`^[A-Za-z]+`).FindString(rest)
	fix := ""
	switch {
	case strings.TrimSpace(c.source) == "":
		message, fix = "the expression is empty", "leave the key out instead"
	case strings.HasPrefix(rest, "=") && !strings.HasPrefix(rest, "=="):
		message, fix = `"=" has no meaning here`, "write == to compare"
	case strings.HasPrefix(rest, "|"), strings.HasPrefix(rest, "&"):
		message, fix = fmt.Sprintf("%q has no meaning here", rest[:1]), "write && for and, || for or"
	case word == "and":
		message, fix = `"and" has no meaning here`, "write &&"
	case word == "or":
		message, fix = `"or" has no meaning here`, "write ||"
	case strings.Contains(message, "<EOF>"):
		message, fix = "the expression is not complete", ""
	case strings.HasPrefix(message, "token recognition error"):
		message = "this cannot be read"
		if strings.HasPrefix(rest, `"`) || strings.HasPrefix(rest, "'") {
			message = "the quotes are not closed"
		}
	}
	if before := strings.TrimRight(c.source[:offset], " "); strings.HasSuffix(before, "not") && fix == "" {
		return c.at(utf8.RuneCountInString(before)-3, `"not" has no meaning here`, "write ! before what is not to be")
	}
	return c.at(at, message, fix)
}

func earliest(issues *cel.Issues) *common.Error {
	list := issues.Errors()
	first := list[0]
	for _, e := range list[1:] {
		if e.Location.Line() < first.Location.Line() || e.Location.Line() == first.Location.Line() && e.Location.Column() < first.Location.Column() {
			first = e
		}
	}
	return first
}

// char is a place in characters.
func (c *compiler) char(l common.Location) int {
	if l.Line() < 1 {
		return 0
	}
	n := l.Column()
	for i, line := range strings.SplitAfter(c.source, "\n") {
		if i+1 >= l.Line() {
			break
		}
		n += utf8.RuneCountInString(line)
	}
	return n
}

var (
	undeclared = regexp.MustCompile(`^undeclared reference to '([^']*)'`)
	noOverload = regexp.MustCompile(`^found no matching overload`)
)

// typeError says what the types of an expression do not allow.
func (c *compiler) typeError(issues *cel.Issues) *Error {
	first := earliest(issues)
	e := c.find(c.parsed.NativeRep().Expr(), first.ExprID)
	if m := undeclared.FindStringSubmatch(first.Message); m != nil {
		return c.unknownName(c.char(first.Location), m[1])
	}
	if noOverload.MatchString(first.Message) && e != nil && e.Kind() == ast.CallKind {
		return c.wrongTypes(e)
	}
	if strings.Contains(first.Message, "range of a comprehension") && e != nil {
		return c.errorAt(e, fmt.Sprintf("%s is no list", c.show(e)), "")
	}
	if strings.HasPrefix(first.Message, "expected type 'bool'") && e != nil && c.kindOf(e) != kindBool {
		return c.notATest(e)
	}
	if strings.HasPrefix(first.Message, "expected type '") {
		return c.at(c.char(first.Location), "the items of a list must be of one kind", "")
	}
	return c.at(c.char(first.Location), first.Message, "")
}

// find returns the part of e with that id, or nil.
func (c *compiler) find(e ast.Expr, id int64) ast.Expr {
	if e.ID() == id {
		return e
	}
	for _, sub := range children(e) {
		if found := c.find(sub, id); found != nil {
			return found
		}
	}
	return nil
}

// findName returns the first place in e where a name stands, or nil.
func (c *compiler) findName(e ast.Expr, name string) ast.Expr {
	if isIdent(e, name) {
		return e
	}
	for _, sub := range children(e) {
		if found := c.findName(sub, name); found != nil {
			return found
		}
	}
	return nil
}

// methods are the functions, for what a mistyped name may have been meant to be.
var methods = []string{"hex", "size", "string", "startsWith", "endsWith", "contains", "matches", "lowerAscii", "substring", "exists", "all"}

// bareName is an option's name without quotes, which CEL reads as a subtraction.
var bareName = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*`)

func (c *compiler) unknownName(char int, name string) *Error {
	words := append([]string{optionName, relayName, memberName}, methods...)
	for _, v := range variables {
		words = append(words, v.name)
	}
	fix := "what there is stands in docs/classes.md"
	if near := nearest(name, words); near != "" {
		fix = fmt.Sprintf("did you mean %s?", near)
	}
	if bare := bareName.FindString(c.source[c.at(char, "", "").Offset:]); dhcp4.LookupName(bare) != nil {
		return c.at(char, fmt.Sprintf("%q has no meaning here", bare), fmt.Sprintf("write option[%q]", bare))
	} else if agentNamed(bare) != nil {
		return c.at(char, fmt.Sprintf("%q has no meaning here", bare), fmt.Sprintf("write relay[%q]", bare))
	} else if own := strings.ReplaceAll(bare, "-", "_"); own != bare && slices.Contains(words, own) {
		return c.at(char, fmt.Sprintf("%q has no meaning here", bare), fmt.Sprintf("did you mean %s?", own))
	}
	switch strings.ToLower(name) {
	case "has":
		fix = `write "NAME" in option, or "NAME" in relay`
	case "pkt", "pkt4", "mac", "hwaddr", "chaddr":
		fix = "did you mean hw_address?"
	case "circuit_id", "remote_id", "subscriber_id":
		fix = fmt.Sprintf("write relay[%q]", strings.ReplaceAll(strings.ToLower(name), "_", "-"))
	}
	err := c.at(char, fmt.Sprintf("%q has no meaning here", name), fix)
	if strings.HasPrefix(c.source[err.Offset:], "(") && strings.HasSuffix(c.source[:err.Offset], name) {
		// CEL's place of a call is that of its parenthesis.
		return c.at(char-utf8.RuneCountInString(name), err.Message, fix)
	}
	return err
}

// nearest is spell.Nearest for names with underscores and capitals.
func nearest(name string, words []string) string {
	plain := make([]string, len(words))
	for i, w := range words {
		plain[i] = strings.ReplaceAll(w, "_", "-")
	}
	near := spell.Nearest(name, plain)
	for i, p := range plain {
		if near != "" && p == near {
			return words[i]
		}
	}
	return ""
}

// kindOf is the kind of an expression whose types are not checked, as far as one sees.
func (c *compiler) kindOf(e ast.Expr) kind {
	if l := c.leaf(e); l != nil {
		return l.kind()
	}
	switch e.Kind() {
	case ast.LiteralKind:
		switch e.AsLiteral().(type) {
		case types.Bool:
			return kindBool
		case types.Int, types.Uint:
			return kindInt
		case types.String:
			return kindText
		case types.Bytes:
			return kindOctets
		}
	case ast.ListKind:
		if list := e.AsList().Elements(); len(list) > 0 {
			switch c.kindOf(list[0]) {
			case kindBool:
				return kindBools
			case kindInt:
				return kindInts
			case kindText:
				return kindTexts
			}
		}
	case ast.ComprehensionKind:
		return kindBool
	case ast.CallKind:
		return c.kindOfCall(e.AsCall())
	}
	return kindOther
}

func (c *compiler) kindOfCall(call ast.CallExpr) kind {
	switch call.FunctionName() {
	case operators.LogicalAnd, operators.LogicalOr, operators.LogicalNot, operators.Equals, operators.NotEquals, operators.In,
		operators.Less, operators.LessEquals, operators.Greater, operators.GreaterEquals, "startsWith", "endsWith", "contains", "matches":
		return kindBool
	case "hex", "string", "lowerAscii", "substring":
		return kindText
	case "size", operators.Subtract, operators.Multiply, operators.Divide, operators.Modulo, operators.Negate:
		return kindInt
	case operators.Add:
		return c.kindOf(call.Args()[0])
	case operators.Index:
		return c.kindOf(call.Args()[0]).item()
	case operators.Conditional:
		return c.kindOf(call.Args()[1])
	}
	return kindOther
}

// quoteAs writes a literal as one of another kind would be written.
func quoteAs(s string, k kind) string {
	switch k {
	case kindText:
		if !strings.HasPrefix(s, `"`) && !strings.HasPrefix(s, "'") {
			return strconv.Quote(s)
		}
	case kindInt:
		return strings.Trim(s, `"'`)
	}
	return s
}
