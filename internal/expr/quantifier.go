package expr

import "cel.dev/cel-go/common/ast"

// quantifier compiles exists and all; they are left to the interpreter.
func (c *compiler) quantifier(ast.ComprehensionExpr) (test, bool) { return nil, false }
