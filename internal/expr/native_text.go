package expr

import (
	"regexp"
	"strings"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"

	"lessor/dhcp4"
	"lessor/internal/policy"
)

// maxText is how many octets a text may have that is made of others.
const maxText = 4096

var (
	longText = &NoValue{"the text", "is too long for a test"}
	noSuch   = &NoValue{"substring", "goes past the end of the text"}
)

// text compiles an expression for text or octets.
func (c *compiler) text(e ast.Expr) text {
	if s, ok := constantText(e); ok {
		return func(*policy.Facts, item) (string, *NoValue) { return s, nil }
	}
	if k := c.kind(e); k != kindText && k != kindOctets {
		return fail[text](c, e)
	}
	if l := c.leaf(e); l != nil {
		return func(f *policy.Facts, _ item) (string, *NoValue) { return l.str(f) }
	}
	if c.isItem(e) {
		return func(_ *policy.Facts, x item) (string, *NoValue) { return x.s, nil }
	}
	if e.Kind() != ast.CallKind {
		return fail[text](c, e)
	}
	args := children(e)
	switch e.AsCall().FunctionName() {
	case operators.Add:
		return joined(c.text(args[0]), c.text(args[1]))
	case operators.Conditional:
		return chosen(c.test(args[0]), c.text(args[1]), c.text(args[2]))
	case operators.Index:
		n := c.index(args[0], args[1])
		return func(f *policy.Facts, x item) (string, *NoValue) {
			it, why := n(f, x)
			return it.s, why
		}
	case "lowerAscii":
		return applied(c.text(args[0]), lowerASCII)
	case "hex":
		return applied(c.text(args[0]), hexOf)
	case "substring":
		return c.cut(args)
	case "string":
		if c.kind(args[0]) == kindInt {
			n := c.number(args[0])
			return func(f *policy.Facts, x item) (string, *NoValue) {
				v, why := n(f, x)
				return decimal(v), why
			}
		}
		return c.text(args[0])
	}
	return fail[text](c, e)
}

func joined(a, b text) text {
	return func(f *policy.Facts, x item) (string, *NoValue) {
		s, why := a(f, x)
		if why != nil {
			return "", why
		}
		t, why := b(f, x)
		switch {
		case why != nil:
			return "", why
		case len(s)+len(t) > maxText:
			return "", longText
		}
		return s + t, nil
	}
}

// chosen is cond ? yes : no. Why the condition is false is not why there is no value.
func chosen[T any](cond test, yes, no func(*policy.Facts, item) (T, *NoValue)) func(*policy.Facts, item) (T, *NoValue) {
	return func(f *policy.Facts, x item) (T, *NoValue) {
		if ok, _ := cond(f, x); ok {
			return yes(f, x)
		}
		return no(f, x)
	}
}

func applied(t text, function func(string) string) text {
	return func(f *policy.Facts, x item) (string, *NoValue) {
		s, why := t(f, x)
		switch {
		case why != nil:
			return "", why
		case len(s) > maxText:
			return "", longText
		}
		return function(s), nil
	}
}

func (c *compiler) cut(args []ast.Expr) text {
	t, start := c.text(args[0]), c.number(args[1])
	var end number
	if len(args) == 3 {
		end = c.number(args[2])
	}
	return func(f *policy.Facts, x item) (string, *NoValue) {
		s, why := t(f, x)
		if why != nil {
			return "", why
		}
		from, why := start(f, x)
		if why != nil {
			return "", why
		}
		to := int64(len(s))
		if end != nil {
			if to, why = end(f, x); why != nil {
				return "", why
			}
		}
		sub, ok := substring(s, from, to)
		if !ok {
			return "", noSuch
		}
		return sub, nil
	}
}

// hexed returns the octets behind a text like 02:00:5e:10:00:01, so that they can be
// compared without making the text; nil where e is no such text.
func (c *compiler) hexed(e ast.Expr) func(*policy.Facts) ([]byte, *NoValue) {
	if l := c.leaf(e); l != nil && l.form == formHex {
		return l.get
	}
	if e.Kind() == ast.CallKind && e.AsCall().FunctionName() == "hex" {
		if l := c.leaf(e.AsCall().Args()[0]); l != nil && (l.form == formChars || l.form == formOctets) {
			return l.get
		}
	}
	return nil
}

// hexAt is character i of b as text like 02:00:5e.
func hexAt(b []byte, i int) byte {
	switch c := b[i/3]; i % 3 {
	case 0:
		return hexDigits[c>>4]
	case 1:
		return hexDigits[c&15]
	}
	return ':'
}

// hexPart reports whether the text of b has part at its character from.
func hexPart(b []byte, part string, from int) bool {
	if from < 0 || from+len(part) > hexLen(b) {
		return false
	}
	for i := range len(part) {
		if hexAt(b, from+i) != part[i] {
			return false
		}
	}
	return true
}

func hexLen(b []byte) int { return max(0, 3*len(b)-1) }

func hexEqual(b []byte, s string) bool { return len(s) == hexLen(b) && hexPart(b, s, 0) }

// part compiles startsWith, endsWith and contains.
func (c *compiler) part(function string, in, what ast.Expr) test {
	if raw := c.hexed(in); raw != nil && function != "contains" {
		if want, ok := constantText(what); ok {
			ends := function == "endsWith"
			return func(f *policy.Facts, _ item) (bool, *NoValue) {
				b, why := raw(f)
				from := 0
				if ends {
					from = hexLen(b) - len(want)
				}
				return why == nil && hexPart(b, want, from), why
			}
		}
	}
	t, u := c.text(in), c.text(what)
	holds := strings.Contains
	switch function {
	case "startsWith":
		holds = strings.HasPrefix
	case "endsWith":
		holds = strings.HasSuffix
	}
	return func(f *policy.Facts, x item) (bool, *NoValue) {
		s, why := t(f, x)
		if why != nil {
			return false, why
		}
		sub, why := u(f, x)
		return why == nil && holds(s, sub), why
	}
}

// maxMatched is how many octets matches looks at: patterns are the dearest there is.
const maxMatched = 255

func (c *compiler) matches(in, pattern ast.Expr) test {
	t := c.text(in)
	p, ok := constantText(pattern)
	re, err := regexp.Compile(p)
	if !ok || err != nil {
		return fail[test](c, pattern)
	}
	return func(f *policy.Facts, x item) (bool, *NoValue) {
		s, why := t(f, x)
		switch {
		case why != nil:
			return false, why
		case len(s) > maxMatched:
			return false, longText
		}
		return re.MatchString(s), nil
	}
}

// constant reports whether e is a literal or a list of literals.
func (c *compiler) constant(e ast.Expr) bool {
	if e.Kind() != ast.ListKind {
		return e.Kind() == ast.LiteralKind
	}
	for _, e := range e.AsList().Elements() {
		if !c.constant(e) {
			return false
		}
	}
	return true
}

// constantText is the value of a literal of text or octets.
func constantText(e ast.Expr) (string, bool) {
	if e.Kind() != ast.LiteralKind {
		return "", false
	}
	switch v := e.AsLiteral().(type) {
	case types.String:
		return string(v), true
	case types.Bytes:
		return string(v), true
	}
	return "", false
}

func constantInt(e ast.Expr) (int64, bool) {
	if e.Kind() != ast.LiteralKind {
		return 0, false
	}
	n, ok := e.AsLiteral().(types.Int)
	return int64(n), ok
}

// addrConstant reads an address as it is written for comparisons.
func addrConstant(s string) (dhcp4.Addr, bool) {
	a, err := dhcp4.ParseAddr(s)
	return a, err == nil && a.String() == s
}
