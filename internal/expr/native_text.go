package expr

import (
	"regexp"
	"slices"
	"strings"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"

	"lessor/dhcp4"
	"lessor/internal/policy"
)

// text compiles an expression for text or octets.
func (c *compiler) text(e ast.Expr) (text, bool) {
	if s, ok := constantText(e); ok {
		return func(*policy.Facts) (string, *NoValue) { return s, nil }, true
	}
	if raw := c.hexed(e); raw != nil {
		return func(f *policy.Facts) (string, *NoValue) {
			b, why := raw(f)
			if why != nil {
				return "", why
			}
			return view(appendHex(make([]byte, 0, 3*len(b)), b)), nil
		}, true
	}
	if l := c.leaf(e); l != nil {
		return l.str, l.kind() == kindText || l.kind() == kindOctets
	}
	if e.Kind() != ast.CallKind {
		return nil, false
	}
	call := e.AsCall()
	args := children(e)
	switch call.FunctionName() {
	case operators.Add:
		return c.joined(args[0], args[1])
	case operators.Conditional:
		return c.chosen(args[0], args[1], args[2])
	case "lowerAscii":
		x, ok := c.text(args[0])
		return func(f *policy.Facts) (string, *NoValue) {
			s, why := x(f)
			return lowerASCII(s), why
		}, ok
	case "substring":
		return c.cut(args)
	case "hex":
		x, ok := c.text(args[0])
		return func(f *policy.Facts) (string, *NoValue) {
			s, why := x(f)
			return hexOf(s), why
		}, ok
	case "string":
		if c.kind(args[0]) == kindOctets {
			return c.text(args[0])
		}
	}
	return nil, false
}

func (c *compiler) joined(a, b ast.Expr) (text, bool) {
	x, ok1 := c.text(a)
	y, ok2 := c.text(b)
	return func(f *policy.Facts) (string, *NoValue) {
		s, why := x(f)
		if why != nil {
			return "", why
		}
		t, why := y(f)
		return s + t, why
	}, ok1 && ok2
}

func (c *compiler) chosen(cond, yes, no ast.Expr) (text, bool) {
	t, ok := c.test(cond)
	x, ok1 := c.text(yes)
	y, ok2 := c.text(no)
	return func(f *policy.Facts) (string, *NoValue) {
		// Why the condition is false is not why there is no text.
		if b, _ := t(f); b {
			return x(f)
		}
		return y(f)
	}, ok && ok1 && ok2
}

var tooShort = &NoValue{"substring", "goes past the end of the text"}

func (c *compiler) cut(args []ast.Expr) (text, bool) {
	x, ok := c.text(args[0])
	start, ok1 := constantInt(args[1])
	end, ok2 := int64(-1), true
	if len(args) == 3 {
		end, ok2 = constantInt(args[2])
	}
	toEnd := len(args) == 2
	return func(f *policy.Facts) (string, *NoValue) {
		s, why := x(f)
		if why != nil {
			return "", why
		}
		end := end
		if toEnd {
			end = int64(len(s))
		}
		sub, ok := substring(s, start, end)
		if !ok {
			return "", tooShort
		}
		return sub, nil
	}, ok && ok1 && ok2
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
func (c *compiler) part(function string, in, what ast.Expr) (test, bool) {
	if raw := c.hexed(in); raw != nil && function != "contains" {
		if want, ok := constantText(what); ok {
			ends := function == "endsWith"
			return func(f *policy.Facts) (bool, *NoValue) {
				b, why := raw(f)
				from := 0
				if ends {
					from = hexLen(b) - len(want)
				}
				return why == nil && hexPart(b, want, from), why
			}, true
		}
	}
	x, ok1 := c.text(in)
	y, ok2 := c.text(what)
	holds := map[string]func(s, t string) bool{"startsWith": strings.HasPrefix, "endsWith": strings.HasSuffix, "contains": strings.Contains}[function]
	return func(f *policy.Facts) (bool, *NoValue) {
		s, why := x(f)
		if why != nil {
			return false, why
		}
		t, why := y(f)
		return why == nil && holds(s, t), why
	}, ok1 && ok2
}

func (c *compiler) matches(in, pattern ast.Expr) (test, bool) {
	x, ok := c.text(in)
	p, isConstant := constantText(pattern)
	if !ok || !isConstant {
		return nil, false
	}
	re, err := regexp.Compile(p)
	if err != nil {
		return nil, false
	}
	return func(f *policy.Facts) (bool, *NoValue) {
		s, why := x(f)
		return why == nil && re.MatchString(s), why
	}, true
}

// in compiles a in b.
func (c *compiler) in(a, b ast.Expr) (test, bool) {
	if l := c.leaf(b); l != nil {
		return c.inLeaf(a, l)
	}
	if list := constantTexts(b); list != nil {
		if raw := c.hexed(a); raw != nil {
			return func(f *policy.Facts) (bool, *NoValue) {
				b, why := raw(f)
				return why == nil && slices.ContainsFunc(list, func(s string) bool { return hexEqual(b, s) }), why
			}, true
		}
		if l := c.leaf(a); l != nil && l.form == formAddr && !l.list {
			return c.inAddrs(a, list)
		}
		x, ok := c.text(a)
		return func(f *policy.Facts) (bool, *NoValue) {
			s, why := x(f)
			return why == nil && slices.Contains(list, s), why
		}, ok
	}
	if list := constantInts(b); list != nil {
		x, ok := c.number(a)
		return func(f *policy.Facts) (bool, *NoValue) {
			n, why := x(f)
			return why == nil && slices.Contains(list, n), why
		}, ok
	}
	return nil, false
}

// inAddrs is an address in a list of constants.
func (c *compiler) inAddrs(a ast.Expr, list []string) (test, bool) {
	tests := make([]test, len(list))
	for i, s := range list {
		tests[i] = c.equalForm(a, s)
	}
	return func(f *policy.Facts) (bool, *NoValue) {
		for _, t := range tests {
			if ok, why := t(f); ok || why != nil {
				return ok, why
			}
		}
		return false, nil
	}, len(list) > 0
}

// inLeaf compiles a in l, a list.
func (c *compiler) inLeaf(a ast.Expr, l *leaf) (test, bool) {
	switch l.kind() {
	case kindInts:
		x, ok := c.number(a)
		return func(f *policy.Facts) (bool, *NoValue) {
			n, why := x(f)
			if why != nil {
				return false, why
			}
			b, why := l.get(f)
			if why != nil {
				return false, why
			}
			for ; len(b) > 0; b = b[l.width:] {
				if l.number(b) == n {
					return true, nil
				}
			}
			return false, nil
		}, ok
	case kindTexts:
		x, ok := c.text(a)
		return func(f *policy.Facts) (bool, *NoValue) {
			want, why := x(f)
			if why != nil {
				return false, why
			}
			found := false
			why = l.eachText(f, func(s string) bool {
				found = s == want
				return !found
			})
			return why == nil && found, why
		}, ok
	}
	return nil, false
}

// number compiles an expression for a number.
func (c *compiler) number(e ast.Expr) (number, bool) {
	if n, ok := constantInt(e); ok {
		return func(*policy.Facts) (int64, *NoValue) { return n, nil }, true
	}
	if l := c.leaf(e); l != nil {
		return l.int, l.kind() == kindInt
	}
	if e.Kind() != ast.CallKind {
		return nil, false
	}
	args := children(e)
	switch e.AsCall().FunctionName() {
	case "size":
		return c.size(args[0])
	case operators.Index:
		l := c.leaf(args[0])
		i, ok := constantInt(args[1])
		if l == nil || !ok || l.kind() != kindInts {
			return nil, false
		}
		short := &NoValue{l.name, "has too few items"}
		return func(f *policy.Facts) (int64, *NoValue) {
			b, why := l.get(f)
			if why != nil {
				return 0, why
			}
			if i < 0 || i >= int64(len(b)/l.width) {
				return 0, short
			}
			return l.number(b[int(i)*l.width:]), nil
		}, true
	}
	return nil, false
}

// size is the number of items, octets or, of text, characters.
func (c *compiler) size(e ast.Expr) (number, bool) {
	l := c.leaf(e)
	switch k := c.kind(e); {
	case l != nil && (k == kindInts || k == kindBools):
		return func(f *policy.Facts) (int64, *NoValue) {
			b, why := l.get(f)
			return int64(len(b) / l.width), why
		}, true
	case k == kindText || k == kindOctets:
		x, ok := c.text(e)
		return func(f *policy.Facts) (int64, *NoValue) {
			s, why := x(f)
			if k == kindText {
				return int64(len([]rune(s))), why
			}
			return int64(len(s)), why
		}, ok
	}
	return nil, false
}

// constant reports whether e is a literal or a list of literals.
func (c *compiler) constant(e ast.Expr) bool {
	if e.Kind() != ast.ListKind {
		return e.Kind() == ast.LiteralKind
	}
	return !slices.ContainsFunc(e.AsList().Elements(), func(e ast.Expr) bool { return !c.constant(e) })
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

// constantTexts is a list of texts; nil where e is none, or has no item.
func constantTexts(e ast.Expr) []string { return constants(e, constantText) }

func constantInts(e ast.Expr) []int64 { return constants(e, constantInt) }

func constants[T any](e ast.Expr, item func(ast.Expr) (T, bool)) (out []T) {
	if e.Kind() != ast.ListKind {
		return nil
	}
	for _, e := range e.AsList().Elements() {
		v, ok := item(e)
		if !ok {
			return nil
		}
		out = append(out, v)
	}
	return out
}

// addrConstant reads an address as it is written for comparisons.
func addrConstant(s string) (dhcp4.Addr, bool) {
	a, err := dhcp4.ParseAddr(s)
	return a, err == nil && a.String() == s
}
