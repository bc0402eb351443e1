package house

import (
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
)

var (
	quoted   = regexp.MustCompile("`([^`]+)`")
	testName = regexp.MustCompile(`^(Test|Fuzz|Benchmark)[A-Z][A-Za-z0-9_]*$`)
	testFunc = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Benchmark)[A-Za-z0-9_]*)\(`)
	treePath = regexp.MustCompile(`^(cmd|dhcp4|docs|examples|internal|packaging|test)(/[A-Za-z0-9_.-]+)+/?$`)
	talk     = regexp.MustCompile(`^[a-z0-9][A-Za-z0-9_./-]*\.txt$`)
	mdLink   = regexp.MustCompile(`\]\(([^)#:]+)(#[^)]*)?\)`)
	rowEnd   = regexp.MustCompile(`(?m)^\|.*[|,:;] *\? *(\||,|;|$)`)
)

// transcripts is where documents look for the conversations that they name by file, and
// clientTranscripts for those with "client/" before the name.
const (
	transcripts       = "internal/server/testdata"
	clientTranscripts = "internal/client/testdata"
)

// CheckDocs returns what the documents below root name and the tree does not have:
// tests, files and the targets of links; and table cells that were never filled.
func CheckDocs(root fs.FS) ([]string, error) {
	var docs []string
	tests := make(map[string]bool)
	err := fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		base := path.Base(name)
		switch {
		case err != nil:
			return err
		case d.IsDir() && name != "." && (strings.HasPrefix(base, ".") || base == "node_modules"):
			return fs.SkipDir
		case strings.HasSuffix(base, ".md") && !strings.Contains(name, "testdata/"):
			docs = append(docs, name)
		case strings.HasSuffix(base, "_test.go"), strings.HasSuffix(path.Dir(name), "test") && strings.HasSuffix(base, ".go"):
			src, err := fs.ReadFile(root, name)
			if err != nil {
				return err
			}
			for _, m := range testFunc.FindAllSubmatch(src, -1) {
				tests[string(m[1])] = true
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	slices.Sort(docs)
	var found []string
	for _, doc := range docs {
		text, err := fs.ReadFile(root, doc)
		if err != nil {
			return nil, err
		}
		found = append(found, checkDoc(root, doc, string(text), tests)...)
	}
	return found, nil
}

func checkDoc(root fs.FS, doc, text string, tests map[string]bool) []string {
	var found []string
	exists := func(name string) bool {
		_, err := fs.Stat(root, strings.TrimSuffix(name, "/"))
		return err == nil
	}
	fenced := false
	for i, line := range strings.Split(text, "\n") {
		at := fmt.Sprintf("%s:%d", doc, i+1)
		if strings.HasPrefix(strings.TrimSpace(line), "```") {
			fenced = !fenced
		}
		if fenced {
			continue
		}
		for _, m := range quoted.FindAllStringSubmatch(line, -1) {
			name, sub, _ := strings.Cut(m[1], "/")
			switch {
			case testName.MatchString(name) && !tests[name]:
				found = append(found, fmt.Sprintf("%s: there is no test %s", at, name))
			case testName.MatchString(name) && sub != "":
				found = append(found, fmt.Sprintf("%s: name the test %s alone; %q cannot be checked", at, name, m[1]))
			case talk.MatchString(m[1]) && !treePath.MatchString(m[1]):
				below, file := transcripts, m[1]
				if of, ok := strings.CutPrefix(file, "client/"); ok {
					below, file = clientTranscripts, of
				}
				if !exists(path.Join(below, file)) {
					found = append(found, fmt.Sprintf("%s: there is no transcript %s below %s", at, file, below))
				}
			case treePath.MatchString(m[1]) && !exists(m[1]):
				found = append(found, fmt.Sprintf("%s: there is no file %s", at, m[1]))
			}
		}
		for _, m := range mdLink.FindAllStringSubmatch(line, -1) {
			if target := path.Join(path.Dir(doc), m[1]); !exists(target) {
				found = append(found, fmt.Sprintf("%s: the link to %s leads nowhere", at, m[1]))
			}
		}
		if rowEnd.MatchString(line) {
			found = append(found, fmt.Sprintf("%s: a cell is still a question mark", at))
		}
	}
	return found
}

// Unexplained returns the modules that go.mod requires directly and that text does not
// mention.
func Unexplained(goMod, text string) []string {
	var found []string
	block := false
	for line := range strings.Lines(goMod) {
		line = strings.TrimSpace(line)
		switch {
		case line == "require (":
			block = true
			continue
		case line == ")":
			block = false
			continue
		}
		if one, ok := strings.CutPrefix(line, "require "); ok {
			line = one
		} else if !block {
			continue
		}
		module, _, _ := strings.Cut(line, " ")
		if module != "" && !strings.HasSuffix(line, "// indirect") && !strings.Contains(text, module) {
			found = append(found, module)
		}
	}
	return found
}
