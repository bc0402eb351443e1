// Package house checks the architecture: which package of the module may import
// which, and what the pure packages keep away from. It reads the sources alone and
// needs neither the Go tool nor the network. docs/architecture.md explains the
// rules; rules.go holds them.
package house

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
)

// Package is what the sources of one package, tests left out, import and use.
type Package struct {
	Path    string              // within the module: "internal/server"; "" is the module's root
	Imports map[string]string   // import path → where it is imported, "file:line"
	Uses    map[string]string   // "time.Now" and the like → where, for packages in watched
	Odd     map[string]string   // constructs that pure code must not have → where
	Tests   map[string]struct{} // import paths of its test files
}

// Load parses every package below root, whose module is called module.
func Load(root fs.FS, module string) (map[string]*Package, error) {
	packages := make(map[string]*Package)
	err := fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		base := path.Base(name)
		if d.IsDir() {
			if name != "." && (strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") || base == "testdata") {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") {
			return nil
		}
		src, err := fs.ReadFile(root, name)
		if err != nil {
			return err
		}
		dir := path.Dir(name)
		if dir == "." {
			dir = ""
		}
		p := packages[dir]
		if p == nil {
			p = &Package{Path: dir, Imports: map[string]string{}, Uses: map[string]string{},
				Odd: map[string]string{}, Tests: map[string]struct{}{}}
			packages[dir] = p
		}
		return p.parse(name, src, module)
	})
	return packages, err
}

// parse adds one file to what is known of its package.
func (p *Package) parse(name string, src []byte, module string) error {
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, name, src, parser.ParseComments)
	if err != nil {
		return err
	}
	at := func(n ast.Node) string {
		pos := fset.Position(n.Pos())
		return fmt.Sprintf("%s:%d", pos.Filename, pos.Line)
	}
	local := make(map[string]string) // name in this file → import path
	for _, spec := range file.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return err
		}
		if inside, ok := strings.CutPrefix(imported, module+"/"); ok {
			imported = "./" + inside
		}
		if strings.HasSuffix(name, "_test.go") {
			p.Tests[imported] = struct{}{}
			continue
		}
		p.Imports[imported] = at(spec)
		switch {
		case spec.Name == nil:
			local[path.Base(imported)] = imported
		case spec.Name.Name == ".":
			p.Odd["an import without a name of "+imported] = at(spec)
		default:
			local[spec.Name.Name] = imported
		}
	}
	if strings.HasSuffix(name, "_test.go") {
		return nil
	}
	for _, group := range file.Comments {
		for _, c := range group.List {
			if strings.HasPrefix(c.Text, "//go:linkname") {
				p.Odd["go:linkname"] = at(c)
			}
		}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			p.Odd["a goroutine"] = at(n)
		case *ast.ChanType:
			p.Odd["a channel"] = at(n)
		case *ast.SelectorExpr:
			if x, ok := n.X.(*ast.Ident); ok && local[x.Name] != "" {
				p.Uses[local[x.Name]+"."+n.Sel.Name] = at(n)
			}
		}
		return true
	})
	return nil
}

// Check returns every breach of the rules, each as one sentence with its place.
func Check(packages map[string]*Package, r Rules) []string {
	var found []string
	for _, name := range slices.Sorted(maps.Keys(packages)) {
		found = append(found, checkArrows(packages[name], r)...)
	}
	for _, name := range r.Pure {
		if packages[name] == nil {
			if slices.Contains(r.Required, name) {
				found = append(found, fmt.Sprintf("%s: the package is not there", name))
			}
			continue
		}
		found = append(found, checkPure(packages, r, []string{name}, map[string]bool{})...)
	}
	return found
}

// checkArrows compares the imports of one package with its row in the table.
func checkArrows(p *Package, r Rules) []string {
	var found []string
	row, known := r.Arrows[p.Path]
	if !known && len(p.Imports) > 0 {
		found = append(found, fmt.Sprintf("%s: the package has no row in the table of arrows; add one in internal/house/rules.go", p.Path))
	}
	for _, imported := range slices.Sorted(maps.Keys(p.Imports)) {
		where := p.Imports[imported]
		inside, ok := strings.CutPrefix(imported, "./")
		switch {
		case ok && known && !slices.Contains(row, inside) && !slices.Contains(row, "*"):
			found = append(found, fmt.Sprintf("%s: %s imports %s; arrows point down only", where, p.Path, inside))
		case !ok && r.isTestOnly(imported) && !below(p.Path, r.TestPackages):
			found = append(found, fmt.Sprintf("%s: %s is for tests, not for the program", where, imported))
		}
	}
	return found
}

// checkPure follows the imports of a pure package inside the module. trail is the
// way from it to the package that is looked at.
func checkPure(packages map[string]*Package, r Rules, trail []string, seen map[string]bool) []string {
	var found []string
	p := packages[trail[len(trail)-1]]
	if p == nil || seen[p.Path] {
		return nil
	}
	seen[p.Path] = true
	way := strings.Join(trail, " → ")
	for _, imported := range slices.Sorted(maps.Keys(p.Imports)) {
		where := p.Imports[imported]
		if inside, ok := strings.CutPrefix(imported, "./"); ok {
			if r.isOuter(inside) {
				found = append(found, fmt.Sprintf("%s: %s → %s: the core does not know who runs it", where, way, inside))
				continue
			}
			found = append(found, checkPure(packages, r, append(slices.Clone(trail), inside), seen)...)
			continue
		}
		if why := r.refuse(imported); why != "" {
			found = append(found, fmt.Sprintf("%s: %s → %s: %s", where, way, imported, why))
		}
	}
	for _, use := range slices.Sorted(maps.Keys(p.Uses)) {
		if slices.Contains(r.Uses, use) {
			found = append(found, fmt.Sprintf("%s: %s uses %s: time is an input", p.Uses[use], way, use))
		}
	}
	for _, odd := range slices.Sorted(maps.Keys(p.Odd)) {
		found = append(found, fmt.Sprintf("%s: %s has %s", p.Odd[odd], way, odd))
	}
	return found
}
