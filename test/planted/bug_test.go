package planted

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// root is the top of the module, seen from here.
const root = "../.."

// bug is one planted bug, as its file says.
type bug struct {
	name     string // of the file
	what     string
	rules    []string
	scenario string
	seed     uint64
	edits    []edit
}

// edit is one change of one file; lines are without the white space around them in old,
// and as they are in new.
type edit struct {
	path     string // from the top of the module
	old, new []string
}

// bugs reads all of testdata in the order of their names.
func bugs() ([]bug, error) {
	files, err := filepath.Glob("testdata/*.bug")
	if err != nil {
		return nil, err
	}
	slices.Sort(files)
	var all []bug
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			return nil, err
		}
		b, err := parseBug(string(text))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f, err)
		}
		b.name = strings.TrimSuffix(filepath.Base(f), ".bug")
		all = append(all, b)
	}
	return all, nil
}

// parseBug reads the form that doc.go describes.
func parseBug(text string) (b bug, err error) {
	head, body, ok := strings.Cut(text, "\n\n--- ")
	if !ok {
		return b, fmt.Errorf("no edit")
	}
	for _, line := range strings.Split(head, "\n") {
		key, value, _ := strings.Cut(line, ": ")
		switch key {
		case "what":
			b.what = value
		case "rule":
			b.rules = strings.Fields(value)
		case "scenario":
			b.scenario = value
		case "seed":
			if b.seed, err = strconv.ParseUint(value, 10, 64); err != nil {
				return b, err
			}
		default:
			return b, fmt.Errorf("unknown line %q", line)
		}
	}
	for _, part := range strings.Split("\n"+body, "\n--- ") {
		path, lines, _ := strings.Cut(strings.TrimPrefix(part, "\n"), "\n")
		old, now, ok := strings.Cut("\n"+lines, "\n+++")
		if !ok {
			return b, fmt.Errorf("%s: no line +++", path)
		}
		e := edit{path: path, old: strings.Split(strings.Trim(old, "\n"), "\n")}
		for i := range e.old {
			e.old[i] = strings.TrimSpace(e.old[i])
		}
		if now = strings.Trim(now, "\n"); now != "" {
			e.new = strings.Split(now, "\n")
		}
		b.edits = append(b.edits, e)
	}
	if b.what == "" || len(b.rules) == 0 {
		return b, fmt.Errorf("it does not say what is wrong, or which rule that breaks")
	}
	return b, nil
}

// apply makes the edit in lines, or says why it cannot.
func (e *edit) apply(lines []string) ([]string, error) {
	at := -1
	for i := 0; i+len(e.old) <= len(lines); i++ {
		if !slices.EqualFunc(lines[i:i+len(e.old)], e.old, func(l, old string) bool { return strings.TrimSpace(l) == old }) {
			continue
		}
		if at >= 0 {
			return nil, fmt.Errorf("the lines %q occur more than once", e.old)
		}
		at = i
	}
	if at < 0 {
		return nil, fmt.Errorf("the lines %q do not occur", e.old)
	}
	return slices.Concat(lines[:at], e.new, lines[at+len(e.old):]), nil
}

// changed is the text of each file that the bug changes, by its path.
func (b *bug) changed() (map[string]string, error) {
	files := map[string]string{}
	for i := range b.edits {
		e := &b.edits[i]
		text, ok := files[e.path]
		if !ok {
			read, err := os.ReadFile(filepath.Join(root, e.path))
			if err != nil {
				return nil, err
			}
			text = string(read)
		}
		lines, err := e.apply(strings.Split(text, "\n"))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", e.path, err)
		}
		files[e.path] = strings.Join(lines, "\n")
	}
	return files, nil
}
