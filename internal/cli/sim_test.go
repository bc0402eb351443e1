package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"lessor/internal/sim"
	"lessor/internal/trace"
)

// runSim runs a command line with another runner.
func runSim(ctx context.Context, runner sim.Runner, args ...string) (code int, stdout, stderr string) {
	root, g := newRoot()
	var out, errOut bytes.Buffer
	g.stdin, g.stdout, g.stderr, g.environ, g.simulate = strings.NewReader(""), &out, &errOut, nil, runner
	root.SetArgs(append([]string{"sim"}, args...))
	root.SetOut(&out)
	root.SetErr(&errOut)
	code = report(&errOut, root.ExecuteContext(ctx), ctx.Err() != nil)
	return code, out.String(), errOut.String()
}

// calm is a runner in whose runs nothing happens.
func calm(p *sim.Plan, _ func(*trace.Entry)) sim.Result {
	return sim.Result{Plan: p, Hash: [32]byte{byte(p.Seed)}, Stats: sim.Stats{Virtual: 3600e9, Messages: 1000, Faults: 2, Commits: 1, Crashes: 1}}
}

// planted is the world, with a promise that it breaks: in runs of odd seeds from 5 on nobody
// may be acknowledged twice.
func planted(p *sim.Plan, see func(*trace.Entry)) sim.Result {
	accepts, at := 0, int64(0)
	r := sim.Live(p, func(e *trace.Entry) {
		if c, ok := e.Body.(*trace.Client); ok && c.What == trace.ClientAccept {
			if accepts++; accepts == 2 {
				at = e.T
			}
		}
		if see != nil && at == 0 {
			see(e)
		}
	})
	r.Rule, r.Breaches = "", nil
	if at > 0 && p.Seed >= 5 && p.Seed%2 == 1 {
		r.Rule, r.Breaches, r.Stats.Virtual = "X2", []string{"X2 at 9.000000000 s, c1: the second ACK"}, at
	}
	return r
}

func TestSimRunSaysWhatItDid(t *testing.T) {
	code, stdout, stderr := runSim(t.Context(), calm, "run", "--seeds", "1200")
	if code != ExitOK || stderr != "" {
		t.Errorf("exit code %d, standard error %q", code, stderr)
	}
	want := regexp.MustCompile(`^1,200 seeds from 1: 1,200 h simulated in \S+ \S+, 2,400 faults, 1,200,000 messages \([0-9,]+ a second\), 1,200 commits, 1,200 crashes: no promise was broken\n$`)
	if !want.MatchString(stdout) {
		t.Errorf("it says %q", stdout)
	}
	code, stdout, _ = runSim(t.Context(), calm, "run", "--seeds", "7", "--from", "100", "--scenario", "power", "--scenario", "calm", "-o", "json")
	var s simSummary
	if err := json.Unmarshal([]byte(stdout), &s); err != nil || code != ExitOK {
		t.Fatalf("exit code %d, %v: %s", code, err, stdout)
	}
	if s.Seeds != 7 || s.From != 100 || s.Simulated != 7*3600 || s.Messages != 7000 || !s.Whole || s.Failure != nil || strings.Join(s.Scenarios, " ") != "power calm" {
		t.Errorf("%+v", s)
	}
}

// TestSimFailure: exit code 3, the lowest seed, the rule, a timeline, and the command that
// gives the same again; whatever the number of jobs.
func TestSimFailure(t *testing.T) {
	var timelines []string
	for _, args := range []string{"run --seeds 30 --scenario calm --jobs 1", "run --seeds 30 --scenario calm --jobs 4", "replay 5 --scenario calm", "replay 5 --scenario calm"} {
		code, stdout, stderr := runSim(t.Context(), planted, strings.Fields(args)...)
		if code != ExitBad || stderr != "" {
			t.Fatalf("%s: exit code %d, standard error %q", args, code, stderr)
		}
		for _, want := range []string{"seed 5, scenario calm breaks X2", "X2 at 9.000000000 s, c1: the second ACK", "shrunk: ", "BREACH X2  c1: the second ACK",
			"DISCOVER", "ACK 198.18.0.", "\nagain: lessor sim replay 5 --scenario calm\n"} {
			if !strings.Contains(stdout, want) {
				t.Errorf("%s: it lacks %q:\n%s", args, want, stdout)
			}
		}
		_, told, _ := strings.Cut(stdout, "\n\n")
		told, _, _ = strings.Cut(told, "\nagain")
		timelines = append(timelines, told)
		if strings.HasPrefix(args, "replay") && !regexp.MustCompile(`\nhash [0-9a-f]{64}\n$`).MatchString(stdout) {
			t.Errorf("%s: it does not end with a hash:\n%s", args, stdout)
		}
	}
	for i, told := range timelines {
		if told != timelines[0] || told == "" {
			t.Errorf("the failure is told in two ways:\n%s\n%d:\n%s", timelines[0], i, told)
		}
	}
	code, stdout, _ := runSim(t.Context(), planted, "run", "--from", "6", "--seeds", "2", "--scenario", "calm", "-o", "json")
	var s simSummary
	if err := json.Unmarshal([]byte(stdout), &s); err != nil || code != ExitBad {
		t.Fatalf("exit code %d, %v: %s", code, err, stdout)
	}
	if f := s.Failure; f == nil || f.Seed != 7 || f.Rule != "X2" || len(f.Timeline) < 5 || f.Shrunk == "" || s.Rules["X2"] != 1 {
		t.Errorf("%+v", s)
	}
}

// TestSimReplay of a run in which nothing fails: what it was, and on demand all of it.
func TestSimReplay(t *testing.T) {
	code, stdout, stderr := runSim(t.Context(), calm, "replay", "0x10", "--scenario", "calm")
	if code != ExitOK || stderr != "" || !strings.HasPrefix(stdout, "seed 16, scenario calm: 1 h simulated, 2 faults, 1,000 messages, 1 commit, 1 crash\n") ||
		!strings.HasSuffix(stdout, "\nhash 10"+strings.Repeat("0", 62)+"\n") {
		t.Errorf("exit code %d: %q %q", code, stdout, stderr)
	}
	_, short, _ := runSim(t.Context(), planted, "replay", "4", "--scenario", "calm")
	_, full, _ := runSim(t.Context(), planted, "replay", "4", "--scenario", "calm", "--full")
	if n := strings.Count(full, "\n"); n < 50 || !strings.HasSuffix(full, short) || !strings.Contains(full, "DISCOVER") || strings.Contains(full, "…") {
		t.Errorf("--full prints %d lines:\n%.2000s", n, full)
	}
	_, stdout, _ = runSim(t.Context(), planted, "replay", "4", "--scenario", "calm", "-o", "json")
	var r simReplayed
	if err := json.Unmarshal([]byte(stdout), &r); err != nil || r.Seed != 4 || !strings.Contains(short, r.Hash) || r.Messages == 0 {
		t.Errorf("%v: %s", err, stdout)
	}
}

func TestSimWrongUse(t *testing.T) {
	bad := t.TempDir() + "/bad.txt"
	if err := os.WriteFile(bad, []byte("# an idea\nclints 3\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args string
		code int
		want []string
	}{
		{"run --scenario powr", ExitNotFound, []string{`no scenario is called "powr"`, "Did you mean power?", "lessor sim scenarios"}},
		{"run --scenario ./gone.txt", ExitNotFound, []string{"./gone.txt", "no such file", "lessor sim scenarios"}},
		{"run --scenario " + bad, ExitUsage, []string{bad + ":2:1", "clints", "did you mean clients?"}},
		{"run --sceario power", ExitUsage, []string{"unknown flag: --sceario", "Did you mean --scenario?"}},
		{"run --seeds 0", ExitUsage, []string{"--seeds must be more than zero"}},
		{"run --seeds -1", ExitUsage, []string{"--seeds"}},
		{"run --for -1s", ExitUsage, []string{"--for must be more than zero"}},
		{"run --jobs -1", ExitUsage, []string{"--jobs"}},
		{"run 7", ExitUsage, []string{"takes no argument"}},
		{"replay", ExitUsage, []string{"usage: lessor sim replay SEED"}},
		{"replay seven", ExitUsage, []string{`"seven" is no seed`, "whole number"}},
		{"replay 7 --scenario nothing-like-it", ExitNotFound, []string{"nothing-like-it"}},
		{"scenarios powr", ExitNotFound, []string{"Did you mean power?"}},
		{"replya 7", ExitUsage, []string{`Did you mean "lessor sim replay"?`}},
	} {
		code, stdout, stderr := runSim(t.Context(), calm, strings.Fields(c.args)...)
		if code != c.code || stdout != "" {
			t.Errorf("lessor sim %s: exit code %d, want %d; standard output %q", c.args, code, c.code, stdout)
		}
		for _, want := range c.want {
			if !strings.Contains(stderr, want) {
				t.Errorf("lessor sim %s: standard error lacks %q:\n%s", c.args, want, stderr)
			}
		}
	}
}

func TestSimScenarios(t *testing.T) {
	_, list, _ := runSim(t.Context(), calm, "scenarios")
	if n := strings.Count(list, "\n"); n != 1+len(sim.Scenarios()) || !strings.HasPrefix(list, "SCENARIO\tIDEA\neverything\t") {
		t.Errorf("%d lines:\n%s", n, list)
	}
	for _, s := range sim.Scenarios() {
		code, text, _ := runSim(t.Context(), calm, "scenarios", s.Name)
		if code != ExitOK || !strings.HasPrefix(text, "# ") {
			t.Errorf("%s: exit code %d: %q", s.Name, code, text)
		}
		name := t.TempDir() + "/" + s.Name + ".txt"
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if code, _, stderr := runSim(t.Context(), calm, "replay", "1", "--scenario", name); code != ExitOK {
			t.Errorf("%s as a file: exit code %d: %s", s.Name, code, stderr)
		}
	}
}

// TestSimInterrupted: Ctrl-C prints what was reached, and the exit code is 130.
func TestSimInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	code, stdout, stderr := runSim(ctx, func(p *sim.Plan, see func(*trace.Entry)) sim.Result {
		if p.Seed == 50 {
			cancel()
		}
		return calm(p, see)
	}, "run", "--seeds", "1000000", "--jobs", "1")
	if code != ExitInterrupted || stderr != "" || !regexp.MustCompile(`^(49|50|51) seeds from 1: .* no promise was broken\n$`).MatchString(stdout) {
		t.Errorf("exit code %d: %q %q", code, stdout, stderr)
	}
}

// TestSimFor: the time that it may take is kept, and without --seeds it is the only limit.
func TestSimFor(t *testing.T) {
	begun := time.Now()
	code, stdout, stderr := runSim(t.Context(), func(p *sim.Plan, see func(*trace.Entry)) sim.Result {
		time.Sleep(100 * time.Microsecond)
		return calm(p, see)
	}, "run", "--for", "300ms", "--jobs", "2", "-o", "json")
	var s simSummary
	if err := json.Unmarshal([]byte(stdout), &s); err != nil || code != ExitOK || s.Seeds == 0 {
		t.Errorf("exit code %d, %v: %q %q", code, err, stdout, stderr)
	}
	if took := time.Since(begun); took < 300*time.Millisecond || took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
}

func TestSimProgressLine(t *testing.T) {
	_, g := newRoot()
	g.stderr, g.quiet = &bytes.Buffer{}, true
	p := newSimProgress(g)
	defer p.close()
	for seed := range uint64(2000) {
		r := calm(&sim.Plan{Seed: seed}, nil)
		p.each(seed, &r)
	}
	if got, want := p.line(40*time.Second), "40s  2,000 seeds  2,000 h simulated  4,000 faults  50,000 messages/s  0 breaches"; got != want {
		t.Errorf("it says\n%s, want\n%s", got, want)
	}
}

const inOtherProcess = "LESSOR_TEST_SIM_REPLAY"

// TestReplayInTwoProcesses: what a process prints of a seed, another one prints too, hash
// included.
func TestReplayInTwoProcesses(t *testing.T) {
	if seed := os.Getenv(inOtherProcess); seed != "" {
		os.Exit(Main([]string{"sim", "replay", seed, "--full", "--no-shrink"}, os.Stdin, os.Stdout, os.Stderr))
	}
	for _, seed := range []string{"1", "2", "3", "4"} {
		var told [2]string
		for i := range told {
			cmd := exec.Command(os.Args[0], "-test.run=^TestReplayInTwoProcesses$")
			cmd.Env = append(os.Environ(), inOtherProcess+"="+seed)
			out, _ := cmd.Output()
			told[i] = string(out)
		}
		if told[0] != told[1] || !strings.Contains(told[0], "\nhash ") {
			t.Errorf("seed %s is told in two ways: %d and %d octets", seed, len(told[0]), len(told[1]))
		}
	}
}
