package planted

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// program is where the program is built from, from the top of the module.
const program = "./test/planted/simulate"

// build makes the program with all bugs, and returns its name in dir.
func build(ctx context.Context, dir string, all []bug) (string, error) {
	list, err := overlay(dir, all)
	if err != nil {
		return "", err
	}
	name := filepath.Join(dir, "simulate")
	c := exec.CommandContext(ctx, "go", "build", "-overlay", list, "-ldflags=-s -w", "-o", name, program)
	c.Dir = root
	c.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := c.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return name, nil
}

// verdict is what came of the seeds of one run of the program.
type verdict struct {
	Rule     string   // of the first breach of the first failing seed; "" for none
	Seed     uint64   // that seed
	Breaches []string // of it
}

// expected reports whether the breach is one that the bug is known by.
func (v *verdict) expected(b *bug) bool { return slices.Contains(b.rules, v.Rule) }

func (v *verdict) String() string {
	if v.Rule == "" {
		return "no breach"
	}
	return fmt.Sprintf("seed %d: %s", v.Seed, v.Breaches[0])
}

// simulate runs seeds of a scenario with a bug, 0 for none, until one breaks a rule.
func simulate(ctx context.Context, name string, bug int, scenario string, from, seeds uint64, jobs int) (v verdict, err error) {
	var out, log bytes.Buffer
	c := exec.CommandContext(ctx, name, scenario, strconv.FormatUint(from, 10), strconv.FormatUint(seeds, 10), strconv.Itoa(jobs))
	c.Env = append(os.Environ(), fmt.Sprintf("%s=%d", envBug, bug))
	c.Stdout, c.Stderr = &out, &log
	c.WaitDelay = time.Second
	if err := c.Run(); err != nil {
		return v, fmt.Errorf("%w: %s", errors.Join(err, ctx.Err()), lastLines(log.String()))
	}
	return v, json.Unmarshal(out.Bytes(), &v)
}

// lastLines is the end of what a program said.
func lastLines(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-20):], "\n")
}
