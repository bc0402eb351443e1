package expr

import (
	"strings"
	"sync"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/env"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
)

// functions are what of CEL's standard library an expression may use. What is not
// here cannot be written: maps, times, types, conversions that can be dear.
var functions = []string{
	operators.LogicalAnd, operators.LogicalOr, operators.LogicalNot, operators.Conditional, operators.NotStrictlyFalse,
	operators.Equals, operators.NotEquals, operators.Less, operators.LessEquals, operators.Greater, operators.GreaterEquals,
	operators.Add, operators.Subtract, operators.Multiply, operators.Divide, operators.Modulo, operators.Negate,
	operators.In, operators.Index,
	"size", "startsWith", "endsWith", "contains", "matches",
}

// answered is the function that general.go puts around what may have no answer.
const answered = "@answered"

// baseEnv declares the language; each expression adds the variables that it uses.
var baseEnv = sync.OnceValues(func() (*cel.Env, error) {
	subset := env.NewLibrarySubset().AddIncludedMacros(operators.Exists, operators.All)
	for _, f := range functions {
		subset.AddIncludedFunctions(&env.Function{Name: f})
	}
	return cel.NewCustomEnv(
		cel.StdLib(cel.StdLibSubset(subset)),
		cel.HomogeneousAggregateLiterals(),
		cel.ParserRecursionLimit(64),
		cel.ParserExpressionSizeLimit(MaxLength),
		cel.RegexProgramSizeLimit(maxPatternProgram),
		cel.Function("hex",
			cel.Overload("hex_string", []*cel.Type{cel.StringType}, cel.StringType, cel.UnaryBinding(onText(hexOf))),
			cel.Overload("hex_bytes", []*cel.Type{cel.BytesType}, cel.StringType, cel.UnaryBinding(onOctets(hexOf)))),
		cel.Function("lowerAscii",
			cel.MemberOverload("lower_ascii", []*cel.Type{cel.StringType}, cel.StringType, cel.UnaryBinding(onText(lowerASCII)))),
		cel.Function("string",
			cel.Overload("string_int", []*cel.Type{cel.IntType}, cel.StringType, cel.UnaryBinding(func(v ref.Val) ref.Val { return v.ConvertToType(types.StringType) })),
			cel.Overload("string_bytes", []*cel.Type{cel.BytesType}, cel.StringType, cel.UnaryBinding(onOctets(func(s string) string { return s })))),
		cel.Function("substring",
			cel.MemberOverload("substring_from", []*cel.Type{cel.StringType, cel.IntType}, cel.StringType, cel.FunctionBinding(celSubstring)),
			cel.MemberOverload("substring_from_to", []*cel.Type{cel.StringType, cel.IntType, cel.IntType}, cel.StringType, cel.FunctionBinding(celSubstring))),
		cel.Function(answered,
			cel.Overload("answered_bool", []*cel.Type{cel.BoolType}, cel.BoolType, cel.OverloadIsNonStrict(), cel.UnaryBinding(answer))),
	)
})

// answer is false for what has no answer.
func answer(v ref.Val) ref.Val {
	if b, ok := v.(types.Bool); ok {
		return b
	}
	return types.False
}

func onText(f func(string) string) func(ref.Val) ref.Val {
	return func(v ref.Val) ref.Val {
		s, ok := v.(types.String)
		if !ok {
			return types.MaybeNoSuchOverloadErr(v)
		}
		return types.String(f(string(s)))
	}
}

func onOctets(f func(string) string) func(ref.Val) ref.Val {
	return func(v ref.Val) ref.Val {
		b, ok := v.(types.Bytes)
		if !ok {
			return types.MaybeNoSuchOverloadErr(v)
		}
		return types.String(f(string(b)))
	}
}

// hexOf is octets as text like 02:00:5e:10:00:01.
func hexOf(s string) string { return view(appendHex(make([]byte, 0, 3*len(s)), []byte(s))) }

// lowerASCII makes the letters A to Z small and leaves every other octet, as text from
// the network need not be UTF-8.
func lowerASCII(s string) string {
	if strings.IndexFunc(s, func(r rune) bool { return 'A' <= r && r <= 'Z' }) < 0 {
		return s
	}
	b := []byte(s)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return view(b)
}

// substring is the octets from start to end of s; ok is false when it has fewer.
func substring(s string, start, end int64) (sub string, ok bool) {
	if start < 0 || end < start || end > int64(len(s)) {
		return "", false
	}
	return s[start:end], true
}

func celSubstring(args ...ref.Val) ref.Val {
	s, ok := args[0].(types.String)
	start, isInt := args[1].(types.Int)
	if !ok || !isInt {
		return types.MaybeNoSuchOverloadErr(args[0])
	}
	end := types.Int(len(s))
	if len(args) == 3 {
		if end, isInt = args[2].(types.Int); !isInt {
			return types.MaybeNoSuchOverloadErr(args[2])
		}
	}
	sub, ok := substring(string(s), int64(start), int64(end))
	if !ok {
		return types.NewErr("the text is too short")
	}
	return types.String(sub)
}
