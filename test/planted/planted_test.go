package planted

import (
	"go/format"
	"testing"
)

// TestBugsApply: each bug can still be planted: every edit finds its lines exactly once,
// changes something, and leaves a file that is formatted Go.
func TestBugsApply(t *testing.T) {
	all, err := bugs()
	if err != nil {
		t.Fatal(err)
	}
	for i := range all {
		b := &all[i]
		files, err := b.changed()
		if err != nil {
			t.Errorf("%s: %v", b.name, err)
			continue
		}
		for path, text := range files {
			out, err := format.Source([]byte(text))
			if err != nil {
				t.Errorf("%s: %s: %v", b.name, path, err)
			} else if string(out) != text {
				t.Errorf("%s: %s is not formatted", b.name, path)
			}
		}
	}
}
