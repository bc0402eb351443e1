package cli

import (
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"lessor/internal/client"
	"lessor/internal/event"
	"lessor/internal/relay"
	"lessor/internal/server"
)

var update = flag.Bool("update", false, "write docs/messages.md anew")

// TestMessagesDocument: docs/messages.md is the tables of messages and reasons;
// -update writes it anew.
func TestMessagesDocument(t *testing.T) {
	const name = "../../docs/messages.md"
	want := event.Catalogue(func(yield func(id, text string) bool) {
		for r := server.None + 1; r < server.NumReasons; r++ {
			if !yield(r.String(), r.Text()) {
				return
			}
		}
	}, func(yield func(id, text string) bool) {
		for r := client.None + 1; r < client.NumReasons; r++ {
			if !yield(r.String(), r.Text()) {
				return
			}
		}
	}, func(yield func(id, text string) bool) {
		for r := relay.None + 1; r < relay.NumReasons; r++ {
			if !yield(r.String(), r.Text()) {
				return
			}
		}
	})
	if *update {
		if err := os.WriteFile(name, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("%s is not what the tables say; go test ./internal/cli -run TestMessagesDocument -update writes it:\n%s", name, diff)
	}
}

func TestErrorExplainsEveryID(t *testing.T) {
	all := entries()
	if len(all) < 40 {
		t.Fatalf("only %d ids", len(all))
	}
	seen := make(map[string]bool)
	for _, e := range all {
		if seen[e.ID] {
			t.Errorf("%s: the id is there twice", e.ID)
		}
		seen[e.ID] = true
		code, stdout, stderr := run(t, nil, nil, "error", e.ID)
		if code != ExitOK || !strings.Contains(stdout, e.Meaning) || len(e.Meaning) < 10 || stderr != "" {
			t.Errorf("lessor error %s: code %d\n%s%s", e.ID, code, stdout, stderr)
		}
	}
	if _, stdout, _ := run(t, nil, nil, "error", "store_failed"); !strings.Contains(stdout, "STORE_FAILED") {
		t.Errorf("an id in the wrong case is not found: %q", stdout)
	}
	code, _, stderr := run(t, nil, nil, "error", "STORE_FIALED")
	if code != ExitNotFound || !strings.Contains(stderr, "Did you mean STORE_FAILED?") {
		t.Errorf("a mistyped id: code %d, %q", code, stderr)
	}
	if _, stdout, _ := run(t, nil, nil, "error", "malformed"); !strings.Contains(stdout, sentence(server.Malformed.Text())+" In the client: "+client.Malformed.Text()+".") {
		t.Errorf("a reason that server and client share is explained as %q", stdout)
	}
	if code, stdout, _ := run(t, nil, nil, "error", "-o", "json"); code != ExitOK || !strings.Contains(stdout, `"no-record"`) {
		t.Errorf("the list: code %d, %q", code, stdout)
	}
}
