package expr

import (
	"strings"
	"sync"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/env"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/overloads"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
)

// functions are what of CEL's standard library an expression may use, with their
// overloads; none means all. What is not here cannot be written: maps, times, types,
// conversions that can be dear.
var functions = map[string][]string{
	operators.LogicalAnd: nil, operators.LogicalOr: nil, operators.LogicalNot: nil, operators.Conditional: nil, operators.NotStrictlyFalse: nil,
	operators.Equals: nil, operators.NotEquals: nil,
	operators.Less:          {overloads.LessInt64, overloads.LessString, overloads.LessBytes},
	operators.LessEquals:    {overloads.LessEqualsInt64, overloads.LessEqualsString, overloads.LessEqualsBytes},
	operators.Greater:       {overloads.GreaterInt64, overloads.GreaterString, overloads.GreaterBytes},
	operators.GreaterEquals: {overloads.GreaterEqualsInt64, overloads.GreaterEqualsString, overloads.GreaterEqualsBytes},
	operators.Add:           {overloads.AddInt64, overloads.AddString, overloads.AddBytes},
	operators.Subtract:      {overloads.SubtractInt64}, operators.Multiply: {overloads.MultiplyInt64}, operators.Divide: {overloads.DivideInt64},
	operators.Modulo: {overloads.ModuloInt64}, operators.Negate: {overloads.NegateInt64},
	operators.In: {overloads.InList}, operators.Index: {overloads.IndexList},
	"size":       {overloads.SizeString, overloads.SizeBytes, overloads.SizeList, overloads.SizeStringInst, overloads.SizeBytesInst, overloads.SizeListInst},
	"startsWith": nil, "endsWith": nil, "contains": nil, "matches": {overloads.MatchesString},
}

// baseEnv declares the language; each expression adds the variables that it uses.
var baseEnv = sync.OnceValues(func() (*cel.Env, error) {
	subset := env.NewLibrarySubset().AddIncludedMacros(operators.Exists, operators.All)
	for name, ids := range functions {
		f := &env.Function{Name: name}
		for _, id := range ids {
			f.Overloads = append(f.Overloads, &env.Overload{ID: id})
		}
		subset.AddIncludedFunctions(f)
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
	)
})

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
