package house

import (
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// TestDocsNameWhatExists follows every test name, path and link in the documents.
func TestDocsNameWhatExists(t *testing.T) {
	found, err := CheckDocs(os.DirFS(root))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range found {
		t.Error(f)
	}
}

// TestEachDependencyIsExplained: docs/architecture.md says of each module why it is there.
func TestEachDependencyIsExplained(t *testing.T) {
	goMod, err := os.ReadFile(root + "/go.mod")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(root + "/docs/architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, module := range Unexplained(string(goMod), string(text)) {
		t.Errorf("docs/architecture.md does not say why the program needs %s", module)
	}
}

func TestTheDocsCheckerSees(t *testing.T) {
	tree := fstest.MapFS{
		"docs/a.md": {Data: []byte("`TestThere` `FuzzThere` `internal/a/testdata/x.txt` `s/talk.txt` `client/c/talk.txt` `internal/a/` [b](b.md) [c](../README.md#top) [d](https://example.net)\n" +
			"`TestGone` `TestThere/sub`\n`internal/a/testdata/y.txt` `s/gone.txt` `client/s/talk.txt`\n[gone](gone.md)\n| x | ? |\n| x | ok, ? |\n```\n`TestGone`\n```\nwhat?\n| really? |\n")},
		"docs/b.md":                 {Data: []byte("")},
		"README.md":                 {Data: []byte("`TestGone`")},
		"internal/a/a_test.go":      {Data: []byte("package a\nfunc TestThere(t *testing.T) {}\nfunc FuzzThere(f *testing.F) {}\n")},
		"internal/a/testdata/x.txt": {Data: []byte("")},

		"internal/server/testdata/s/talk.txt": {Data: []byte("")},
		"internal/client/testdata/c/talk.txt": {Data: []byte("")},
	}
	found, err := CheckDocs(tree)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"README.md:1: there is no test TestGone",
		"docs/a.md:2: there is no test TestGone",
		`docs/a.md:2: name the test TestThere alone; "TestThere/sub" cannot be checked`,
		"docs/a.md:3: there is no file internal/a/testdata/y.txt",
		"docs/a.md:3: there is no transcript s/gone.txt below internal/server/testdata",
		"docs/a.md:3: there is no transcript s/talk.txt below internal/client/testdata",
		"docs/a.md:4: the link to gone.md leads nowhere",
		"docs/a.md:5: a cell is still a question mark",
		"docs/a.md:6: a cell is still a question mark",
	}
	if !slices.Equal(found, want) {
		t.Errorf("found:\n%s\nwant:\n%s", strings.Join(found, "\n"), strings.Join(want, "\n"))
	}
	goMod := "module m\n\ngo 1.26\n\nrequire example.net/one v1.0.0\n\nrequire (\n\texample.net/two v1.0.0\n\texample.net/three v1.0.0 // indirect\n)\n"
	if got := Unexplained(goMod, "example.net/one is for one thing"); !slices.Equal(got, []string{"example.net/two"}) {
		t.Errorf("unexplained: %q", got)
	}
}
