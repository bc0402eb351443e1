package cli

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"lessor/internal/config"
)

// TestReadme: the configuration that README.md shows is accepted without a warning,
// and the commands that it names exist.
func TestReadme(t *testing.T) {
	src, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, block, ok := strings.Cut(string(src), "```yaml\n")
	if !ok {
		t.Fatal("README.md shows no configuration")
	}
	block, _, _ = strings.Cut(block, "```")
	if _, problems := config.Parse("README.md", []byte(block)); len(problems) != 0 {
		t.Errorf("the configuration in README.md: %v", problems)
	}
	commands := regexp.MustCompile("(?m)(?:^\\$ (?:sudo )?\\./|`|^(?:sudo )?\\./)lessor ([a-z]+(?: [a-z0-9]+)?)").FindAllStringSubmatch(string(src), -1)
	if len(commands) < 4 {
		t.Errorf("README.md names only %q", commands)
	}
	for _, m := range commands {
		words := strings.Fields(m[1])
		if len(words) == 2 && words[0] == "client" && words[1] == "eth0" {
			words = words[:1] // short for client run
		}
		c, _, err := NewRoot().Find(words)
		if err != nil || c.Name() == "lessor" || c.HasSubCommands() && len(words) > 1 {
			t.Errorf("README.md names lessor %s, which does not exist", m[1])
		}
	}
}
