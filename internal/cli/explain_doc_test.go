package cli

import (
	"bytes"
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"lessor/internal/config"
	"lessor/internal/control"
	"lessor/internal/lease"
	"lessor/internal/server"
)

const explainDocument = "../../docs/explain.md"

// story is a server in a state of a document: its configuration, and what happened.
type story struct {
	t    *testing.T
	core *server.Core
	conf *config.Config
	now  lease.Instant
}

func newStory(t *testing.T, yaml string) *story {
	s := &story{t: t, now: lease.Instant{M: 1000e9, W: time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC).UnixNano()}}
	var problems config.Problems
	if s.conf, problems = config.Parse("lessor.yaml", []byte(yaml)); s.conf == nil {
		t.Fatal(problems)
	}
	var f explainFlags
	links, err := f.links(&globals{quiet: true}, s.conf.Policy())
	if err != nil {
		t.Fatal(err)
	}
	s.core = server.New([16]byte{1}, lease.BootID{1})
	s.now = begin(s.core, s.now, s.conf.Policy(), links)
	return s
}

// flags reads the flags of a command line of the document.
func (s *story) flags(line string) *explainFlags {
	var f explainFlags
	cmd := &cobra.Command{}
	f.register(cmd)
	if err := cmd.ParseFlags(strings.Fields(line)); err != nil {
		s.t.Fatalf("%s: %v", line, err)
	}
	return &f
}

// happen has a message come in and be answered for good, or time pass.
func (s *story) happen(line string) {
	var fx server.Effects
	if step, ok := strings.CutPrefix(line, "+"); ok {
		d, err := time.ParseDuration(step)
		if err != nil {
			s.t.Fatal(err)
		}
		for end := s.now.M + int64(d); s.now.M < end; {
			at := min(max(s.core.NextTick(), s.now.M+1), end)
			s.now = lease.Instant{M: at, W: s.now.W + at - s.now.M}
			fx.Reset()
			s.core.Tick(s.now, &fx)
		}
		return
	}
	q, err := s.flags(line).question(&globals{})
	if err != nil {
		s.t.Fatal(err)
	}
	pkt, _, err := q.Packet(s.core.Links(), s.conf.Policy())
	if err != nil {
		s.t.Fatal(err)
	}
	s.core.Handle(s.now, &pkt, &fx)
	if len(fx.Changes) == 0 && len(fx.Replies) == 0 {
		s.t.Fatalf("%s: %v", line, fx.Events)
	}
	for i := range fx.Changes {
		s.core.Durable(fx.Changes[i].After.Rev)
	}
}

// explain runs a command line of the document.
func (s *story) explain(line string) string {
	var out bytes.Buffer
	g := &globals{stdout: &out, output: "table", timeout: time.Minute}
	err := s.flags(line).run(context.Background(), g, func(_ context.Context, q *control.Question) (*control.Explanation, error) {
		return control.Explain(s.core, s.now, s.conf.Policy(), q)
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return out.String()
}

// TestExplainDocument holds docs/explain.md: each command gives the answer that stands
// there. Run with -update to write the answers anew, and read the difference.
func TestExplainDocument(t *testing.T) {
	raw, err := os.ReadFile(explainDocument)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	var s *story
	commands := 0
	lines := strings.SplitAfter(string(raw), "\n")
	// block takes the lines up to the end of a block.
	block := func(i int, end string) (string, int) {
		from := i
		for i < len(lines) && strings.TrimSpace(lines[i]) != end {
			i++
		}
		return strings.Join(lines[from:i], ""), i
	}
	for i := 0; i < len(lines); i++ {
		out.WriteString(lines[i])
		switch strings.TrimSpace(lines[i]) {
		case "```yaml":
			text, end := block(i+1, "```")
			s = newStory(t, text)
			out.WriteString(text + lines[end])
			i = end
		case "<!-- before":
			text, end := block(i+1, "-->")
			for line := range strings.Lines(text) {
				s.happen(strings.TrimSpace(line))
			}
			out.WriteString(text + lines[end])
			i = end
		case "```console":
			_, end := block(i+1, "```")
			command, ok := strings.CutPrefix(strings.TrimSpace(lines[i+1]), "$ lessor explain ")
			if !ok {
				t.Fatalf("line %d: no command of lessor explain", i+2)
			}
			out.WriteString(lines[i+1] + s.explain(command) + lines[end])
			i = end
			commands++
		}
	}
	if commands != 10 {
		t.Errorf("the document explains %d questions, not ten", commands)
	}
	if *update {
		if err := os.WriteFile(explainDocument, []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if out.String() != string(raw) {
		t.Errorf("docs/explain.md says other things than the program; go test ./internal/cli -run TestExplainDocument -update\n%s", out.String())
	}
}
