package expr

import (
	"slices"
	"strconv"

	"cel.dev/cel-go/common/ast"

	"lessor/dhcp4"
	"lessor/internal/policy"
)

// How much of a value people are shown.
const (
	shownText  = 64 // octets
	shownItems = 16
)

// shown returns what appends the values of all variables in the expression to dst, in
// the order of the text: "hw_address 02:00:5e:10:00:01, option["client-system"] [7]". What
// comes from the network is made harmless.
func (c *compiler) shown() func(dst []byte, f *policy.Facts) []byte {
	var leaves []*leaf
	c.gather(c.checked.Expr(), &leaves)
	return func(dst []byte, f *policy.Facts) []byte {
		for i, l := range leaves {
			if i > 0 {
				dst = append(dst, ", "...)
			}
			dst = l.show(append(append(dst, l.name...), ' '), f)
		}
		return dst
	}
}

func (c *compiler) gather(e ast.Expr, leaves *[]*leaf) {
	if l := c.leaf(e); l != nil && !slices.Contains(*leaves, l) {
		*leaves = append(*leaves, l)
	}
	for _, sub := range children(e) {
		c.gather(sub, leaves)
	}
}

// show appends the value of l, or why there is none.
func (l *leaf) show(dst []byte, f *policy.Facts) []byte {
	var why *NoValue
	switch k := l.kind(); {
	case k.isList():
		dst, why = l.showList(dst, f)
	case k == kindBool:
		var b bool
		if b, why = l.bool(f); why == nil {
			dst = strconv.AppendBool(dst, b)
		}
	case k == kindInt:
		var n int64
		if n, why = l.int(f); why == nil {
			dst = strconv.AppendInt(dst, n, 10)
		}
	default:
		var s string
		if s, why = l.str(f); why == nil {
			dst = l.showText(dst, s)
		}
	}
	if why != nil {
		dst = append(dst, why.Why...)
	}
	return dst
}

func (l *leaf) showText(dst []byte, s string) []byte {
	switch l.form {
	case formHex, formAddr, formAddr6:
		return append(dst, s...)
	case formOctets:
		dst = appendHex(dst, []byte(s[:min(len(s), shownText)]))
		if len(s) > shownText {
			dst = append(dst, "..."...)
		}
		return dst
	}
	return dhcp4.AppendQuoted(dst, []byte(s), shownText)
}

func (l *leaf) showList(dst []byte, f *policy.Facts) ([]byte, *NoValue) {
	start, n := len(dst), 0
	dst = append(dst, '[')
	why := l.each(f, func(x item) bool {
		if n > 0 {
			dst = append(dst, ", "...)
		}
		if n++; n > shownItems {
			dst = append(dst, "..."...)
			return false
		}
		switch l.kind() {
		case kindTexts:
			dst = l.showText(dst, x.s)
		case kindBools:
			dst = strconv.AppendBool(dst, x.n != 0)
		default:
			dst = strconv.AppendInt(dst, x.n, 10)
		}
		return true
	})
	if why != nil {
		return dst[:start], why
	}
	return append(dst, ']'), nil
}
