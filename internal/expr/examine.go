package expr

import (
	"fmt"
	"regexp/syntax"
	"strings"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"

	"lessor/dhcp4"
	"lessor/internal/spell"
)

func checkRegexp(pattern string) error {
	re, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return err
	}
	prog, err := syntax.Compile(re.Simplify())
	if err == nil && len(prog.Inst) > maxPatternProgram {
		return fmt.Errorf("it is too large")
	}
	return err
}

// examine refuses comparisons with constants that can never hold, because a variable
// has a form of its own: an address that is none, hardware addresses in capitals.
func (c *compiler) examine(e ast.Expr) *Error {
	if e.Kind() == ast.CallKind {
		call := e.AsCall()
		args := children(e)
		switch call.FunctionName() {
		case operators.Equals, operators.NotEquals:
			s, o := c.subject(args[0], args[1])
			if err := c.examineConstant(s, o, false); err != nil {
				return err
			}
		case operators.In:
			if args[1].Kind() == ast.ListKind {
				for _, item := range args[1].AsList().Elements() {
					if err := c.examineConstant(args[0], item, false); err != nil {
						return err
					}
				}
			}
		case "startsWith", "endsWith", "contains":
			if err := c.examineConstant(args[0], args[1], true); err != nil {
				return err
			}
		}
	}
	for _, sub := range children(e) {
		if err := c.examine(sub); err != nil {
			return err
		}
	}
	return nil
}

// examineConstant judges the constant o with which s is compared, whole or in part.
func (c *compiler) examineConstant(s, o ast.Expr, part bool) *Error {
	text, ok := literal(o)
	if !ok {
		return nil
	}
	l := c.leaf(s)
	switch {
	case c.hexed(s) != nil:
		return c.examineHex(c.show(s), o, text, part)
	case l == nil || part:
		return nil
	case l.form == formAddr && l.kind() == kindText:
		if _, ok := addrConstant(text); !ok {
			return c.errorAt(o, fmt.Sprintf("%s is an IPv4 address, and %q is none", l.name, text), "write it like \"192.0.2.1\"")
		}
	case l == variableNamed("message"):
		return c.examineMessage(o, text)
	}
	return nil
}

func (c *compiler) examineHex(name string, o ast.Expr, text string, part bool) *Error {
	if name == "…" {
		name = "hex(…)"
	}
	whole := !part
	if canonicalHex(text, whole) {
		return nil
	}
	lower := strings.ReplaceAll(strings.ToLower(text), "-", ":")
	fix := `write it like "02:00:5e:10:00:01"`
	if canonicalHex(lower, whole) {
		fix = fmt.Sprintf("write %q", lower)
	} else if digits := strings.ReplaceAll(strings.ReplaceAll(lower, ":", ""), ".", ""); canonicalHex(pairs(digits), whole) {
		fix = fmt.Sprintf("write %q", pairs(digits))
	}
	return c.errorAt(o, fmt.Sprintf("%s is written as pairs of small hexadecimal digits with colons", name), fix)
}

// pairs puts a colon between each two digits.
func pairs(digits string) string {
	var b strings.Builder
	for i, r := range digits {
		if i > 0 && i%2 == 0 {
			b.WriteByte(':')
		}
		b.WriteRune(r)
	}
	return b.String()
}

// canonicalHex reports whether s can be the whole of a text like 02:00:5e, or stand in
// one.
func canonicalHex(s string, whole bool) bool {
	if whole {
		return s == "" || len(s)%3 == 2 && canonicalFrom(s, 0)
	}
	return canonicalFrom(s, 0) || canonicalFrom(s, 1) || canonicalFrom(s, 2)
}

func canonicalFrom(s string, phase int) bool {
	for i := range len(s) {
		if (i+phase)%3 == 2 {
			if s[i] != ':' {
				return false
			}
		} else if strings.IndexByte(hexDigits, s[i]) < 0 {
			return false
		}
	}
	return true
}

func (c *compiler) examineMessage(o ast.Expr, text string) *Error {
	names := []string{dhcp4.MessageType(0).String()}
	for t := dhcp4.Discover; t < 32; t++ {
		names = append(names, t.String())
	}
	for _, n := range names {
		if n == text {
			return nil
		}
	}
	fix := "there are DISCOVER, REQUEST, DECLINE, RELEASE, INFORM and BOOTP"
	if near := spell.Nearest(strings.TrimPrefix(strings.ToUpper(text), "DHCP"), names); near != "" {
		fix = fmt.Sprintf("did you mean %q?", near)
	}
	return c.errorAt(o, fmt.Sprintf("no message is called %q", text), fix)
}
