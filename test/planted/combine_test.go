package planted

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// envBug tells the program which bug it has, by its number from 1 on; without it it has
// none.
const envBug = "LESSOR_PLANTED"

// overlay writes into dir what `go build -overlay` needs to build one program with all
// bugs, of which each run has one: every function that a bug changes is there once more
// as the bug has it, and its original begins by calling that copy when it is that bug's
// turn. One build in place of one for each bug is what keeps the test short. It returns
// the name of the overlay's list.
func overlay(dir string, all []bug) (string, error) {
	top, err := filepath.Abs(root)
	if err != nil {
		return "", err
	}
	files, replace := map[string]*source{}, map[string]string{}
	for i := range all {
		changed, err := all[i].changed()
		if err != nil {
			return "", fmt.Errorf("%s: %w", all[i].name, err)
		}
		for path, text := range changed {
			if files[path] == nil {
				read, err := os.ReadFile(filepath.Join(root, path))
				if err != nil {
					return "", err
				}
				if files[path], err = readSource(string(read)); err != nil {
					return "", err
				}
			}
			if err := files[path].plant(i+1, text); err != nil {
				return "", fmt.Errorf("%s: %s: %w", all[i].name, path, err)
			}
		}
	}
	add := func(path, text string) error {
		name := filepath.Join(dir, strings.ReplaceAll(path, "/", "_"))
		replace[filepath.Join(top, path)] = name
		return os.WriteFile(name, []byte(text), 0o644)
	}
	for _, path := range slices.Sorted(maps.Keys(files)) {
		s := files[path]
		if err := add(path, s.combined()); err != nil {
			return "", err
		}
		if err := add(filepath.Join(filepath.Dir(path), "planted.go"), fmt.Sprintf(whichBug, s.pkg, envBug)); err != nil {
			return "", err
		}
	}
	list, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	name := filepath.Join(dir, "overlay.json")
	return name, os.WriteFile(name, list, 0o644)
}

// whichBug is what each package with a bug gets besides.
const whichBug = `package %s

import (
	"os"
	"strconv"
)

var plantedBug, _ = strconv.Atoi(os.Getenv(%q))
`

// source is a file of the program, taken apart into what stands between functions and
// the functions.
type source struct {
	pkg   string
	parts []part
	bugs  map[string][]planting // by the function that they change
}

// part is a piece of a file; name is that of the function, "" for everything else.
type part struct {
	name, text string
	decl       *ast.FuncDecl
	at         token.Pos // of the beginning of text
}

// planting is a function as a bug has it.
type planting struct {
	bug int
	part
}

func readSource(text string) (*source, error) {
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, "", text, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	base := token.Pos(fset.File(file.FileStart).Base())
	s := &source{pkg: file.Name.Name, bugs: map[string][]planting{}}
	last := base
	piece := func(name string, decl *ast.FuncDecl, end token.Pos) {
		s.parts = append(s.parts, part{name, text[last-base : end-base], decl, last})
		last = end
	}
	for _, d := range file.Decls {
		f, ok := d.(*ast.FuncDecl)
		if !ok || f.Name.Name == "init" {
			continue
		}
		name := f.Name.Name
		if f.Recv != nil {
			t := f.Recv.List[0].Type
			name = text[t.Pos()-base:t.End()-base] + "." + name
		}
		piece("", nil, f.Type.Func)
		piece(name, f, f.End())
	}
	piece("", nil, base+token.Pos(len(text)))
	return s, nil
}

// plant notes the functions that differ in text; all else must be the same.
func (s *source) plant(bug int, text string) error {
	now, err := readSource(text)
	if err != nil {
		return err
	}
	if len(now.parts) != len(s.parts) {
		return fmt.Errorf("there are other functions than before")
	}
	for i, p := range now.parts {
		switch was := s.parts[i]; {
		case p.text == was.text && p.name == was.name:
		case p.name == "" || p.name != was.name:
			return fmt.Errorf("a bug may change the bodies of functions alone, not %q", strings.TrimSpace(p.text))
		default:
			s.bugs[p.name] = append(s.bugs[p.name], planting{bug, p})
		}
	}
	return nil
}

// combined is the file with the bugs in it.
func (s *source) combined() string {
	var b strings.Builder
	for i := range s.parts {
		p := &s.parts[i]
		plantings := s.bugs[p.name]
		if p.name == "" || len(plantings) == 0 {
			b.WriteString(p.text)
			continue
		}
		args := p.head(&b, "")
		for _, g := range plantings {
			call := p.decl.Name.Name + suffix(g.bug) + "(" + args + ")"
			if p.decl.Recv != nil {
				call = p.decl.Recv.List[0].Names[0].Name + "." + call
			}
			if p.decl.Type.Results == nil {
				call += "\n\t\treturn"
			} else {
				call = "return " + call
			}
			fmt.Fprintf(&b, "\tif plantedBug == %d {\n\t\t%s\n\t}\n", g.bug, call)
		}
		b.WriteString(p.of(p.decl.Body.Lbrace+1, p.decl.Body.Rbrace+1))
		for _, g := range plantings {
			b.WriteString("\n\n")
			g.head(&b, suffix(g.bug))
			b.WriteString(g.of(g.decl.Body.Lbrace+1, g.decl.Body.Rbrace+1))
		}
	}
	return b.String()
}

func suffix(bug int) string { return fmt.Sprintf("Planted%d", bug) }

// of is a piece of p's text.
func (p *part) of(from, to token.Pos) string { return p.text[from-p.at : to-p.at] }

// head writes the function's head with every parameter named, and returns the arguments
// that hand them on.
func (p *part) head(b *strings.Builder, suffix string) (args string) {
	var params, names []string
	for _, f := range p.decl.Type.Params.List {
		typ := p.of(f.Type.Pos(), f.Type.End())
		all := f.Names
		if len(all) == 0 {
			all = []*ast.Ident{{Name: "_"}}
		}
		for _, n := range all {
			name := n.Name
			if name == "_" {
				name = fmt.Sprintf("planted%d", len(params))
			}
			params = append(params, name+" "+typ)
			if _, variadic := f.Type.(*ast.Ellipsis); variadic {
				name += "..."
			}
			names = append(names, name)
		}
	}
	b.WriteString("func ")
	if r := p.decl.Recv; r != nil {
		b.WriteString(p.of(r.Pos(), r.End()) + " ")
	}
	results := ""
	if r := p.decl.Type.Results; r != nil {
		results = p.of(r.Pos(), r.End()) + " "
	}
	fmt.Fprintf(b, "%s%s(%s) %s{\n", p.decl.Name.Name, suffix, strings.Join(params, ", "), results)
	return strings.Join(names, ", ")
}
