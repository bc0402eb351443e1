package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"lessor/dhcp4"
	"lessor/internal/lease"
	"lessor/internal/store"
	"lessor/internal/store/memory"
	"lessor/internal/store/pebble"
)

// traceText is a trace of a server that commits one lease.
func traceText(outcome string) string {
	boot := strings.Repeat("01", 16)
	config, _ := json.Marshal("interfaces: [eth0]\nsubnets:\n  - {subnet: 198.18.0.0/24, pools: [198.18.0.100-198.18.0.199]}\n")
	const m, w = 5_000_000_000, 1_790_000_000_000_000_000
	end := int64(m + 3600e9)
	return strings.Join([]string{
		`{"lessor-trace":1,"host":"srv","store":"/s","boot":"` + boot + `"}`,
		fmt.Sprintf(`{"m":%d,"w":%d,"clock":{"boot":"%s"}}`, m, w, boot),
		fmt.Sprintf(`{"m":%d,"w":%d,"started":{"boot":"%s","fresh":true,"records":0}}`, m, w, boot),
		fmt.Sprintf(`{"m":%d,"w":%d,"config":{"text":%s}}`, m, w, config),
		fmt.Sprintf(`{"m":%d,"w":%d,"served":{"links":[{"id":2,"name":"eth0","mac":"02:00:00:00:00:01","mtu":1500,"addresses":["198.18.0.1/24"]}]}}`, m, w),
		fmt.Sprintf(`{"m":%d,"w":%d,"commit":{"began":{"m":%d,"w":%d},"mark":{"w":%d,"m":%d,"boot":"%s"},"changes":[{"outcome":"%s","after":{"address":"198.18.0.100","state":"bound","htype":1,"hw":"020000000009","lifetime":3600,"grace":67,"start":%d,"renewed":%d,"until":%d,"boot":"%s","end":%d,"free":%d,"rev":1}}]}}`,
			m+2000, w+2000, m+1000, w+1000, w+1000, m+1000, boot, outcome, int64(w/1e9), int64(w/1e9), int64(w/1e9)+3600, boot, end, end+67e9),
		fmt.Sprintf(`{"m":%d,"w":%d,"ended":{"clean":true}}`, m+3000, w+3000),
	}, "\n") + "\n"
}

func TestVerifyUse(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return p
	}
	good, bad := file("good", traceText("durable")), file("bad", traceText("exploded"))
	empty := file("empty", "")
	for _, c := range []struct {
		args string
		code int
		want string
	}{
		{"verify", ExitUsage, "nothing to judge"},
		{"verify x", ExitUsage, "takes no argument"},
		{"verify --capture " + good, ExitUsage, "a capture alone does not say what was on disk when"},
		{"verify --state . --trace " + good, ExitUsage, "--state excludes --trace"},
		{"verify --trace " + dir + "/none", ExitFailed, "there is no file " + dir + "/none"},
		{"verify --trace " + bad, ExitFailed, bad + `:6: no outcome is called "exploded"`},
		{"verify --trace " + empty, ExitFailed, empty + " is empty"},
		{"verify --trace " + good + " --capture " + good, ExitFailed, good + ": no capture: it begins with"},
		{"verify --state " + dir, ExitFailed, "there is no lease store in " + dir},
		{"verify --trace " + good, ExitOK, ""},
	} {
		code, stdout, stderr := run(t, nil, nil, strings.Fields(c.args)...)
		if code != c.code || !strings.Contains(stderr, c.want) {
			t.Errorf("%s: exit %d, want %d; it says %q, want %q", c.args, code, c.code, stderr, c.want)
		}
		if (code == ExitOK) != (stdout != "") {
			t.Errorf("%s: exit %d and on standard output %q", c.args, code, stdout)
		}
	}
	_, stdout, _ := run(t, nil, nil, "verify", "--utc", "--trace", good)
	for _, want := range []string{"servers      srv\n", "time         2026-09-21T14:13:20.000000Z to 2026-09-21T14:13:20.000003Z",
		"traces       6 entries, 1 commit of 1 change\n", "not decided  I1 I2", "there is no capture", "breaches     none\n"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("the output lacks %q:\n%s", want, stdout)
		}
	}
	_, stdout, _ = run(t, nil, nil, "verify", "-o", "json", "--trace", good)
	var v verdict
	if err := json.Unmarshal([]byte(stdout), &v); err != nil || v.Commits != 1 || v.Breaches == nil || v.Notes == nil {
		t.Errorf("JSON %v: %s", err, stdout)
	}
}

// TestVerifyHistory: a lease that overlaps another, or begins within its grace, shows in the
// history of a store, and nothing else does.
func TestVerifyHistory(t *testing.T) {
	const start = 1_790_000_000
	a := dhcp4.MustParseAddr("198.18.0.100")
	bind := func(n byte, from int64) lease.Binding {
		return lease.Binding{Addr: a, State: lease.Bound, HType: 1, HW: []byte{2, 0, 0, 0, 0, n}, ClientID: []byte{1, n}, Lifetime: 3600, Grace: 67,
			Start: from, Renewed: from, Until: from + 3600}
	}
	released := bind(1, start)
	released.State = lease.Released
	other := bind(1, start+60) // another system on the same machine
	other.ClientID = []byte{1, 99}
	for _, c := range []struct {
		name  string
		steps []lease.Binding // each at its Start, or a minute after for one that was given back
		want  string
	}{
		{"after the grace", []lease.Binding{bind(1, start), bind(2, start+3600+67)}, ""},
		{"in the last second of the grace", []lease.Binding{bind(1, start), bind(2, start+3600+66)}, ""},
		{"in the grace", []lease.Binding{bind(1, start), bind(2, start+3600+65)}, "given to 02:00:00:00:00:02 65 s after the lease of 02:00:00:00:00:01, which is 2 s too early"},
		{"during the lease", []lease.Binding{bind(1, start), bind(2, start+10)}, "given to 02:00:00:00:00:02 while 02:00:00:00:00:01 has it"},
		{"after a release", []lease.Binding{bind(1, start), released, bind(2, start+60)}, ""},
		{"the same client", []lease.Binding{bind(1, start), bind(1, start+3601)}, ""},
		{"the same machine", []lease.Binding{bind(1, start), other}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			st := memory.New()
			var before lease.Binding
			for i := range c.steps {
				b := c.steps[i]
				b.Rev = uint64(i + 1)
				now := b.Start
				if b.State == lease.Released {
					now += 60
				}
				res := make([]store.Result, 1)
				if err := st.Commit(t.Context(), lease.Mark{W: now * 1e9}, []lease.Change{{Before: before, After: b}}, res); err != nil {
					t.Fatal(err)
				}
				before = b
			}
			v, err := judgeHistory(t.Context(), st)
			if err != nil || v.Addresses != 1 {
				t.Fatal(v, err)
			}
			got := ""
			for _, b := range v.Breaches {
				got += b.Rule + " " + b.What
			}
			if c.want == "" && got != "" || !strings.Contains(got, c.want) {
				t.Errorf("breaches %q, want %q", got, c.want)
			}
		})
	}
}

// TestVerifyStore: a store on disk is judged without being changed, and not while a server has it.
func TestVerifyStore(t *testing.T) {
	dir := t.TempDir()
	st, err := pebble.Open(filepath.Join(dir, "db"), pebble.Options{})
	if err != nil {
		t.Fatal(err)
	}
	b := lease.Binding{Addr: 0xc6120064, State: lease.Bound, HType: 1, HW: []byte{2, 0, 0, 0, 0, 1}, Lifetime: 3600, Grace: 67, Start: 1000, Until: 4600, Rev: 1}
	c := b
	c.HW, c.Start, c.Until, c.Rev = []byte{2, 0, 0, 0, 0, 2}, 2000, 5600, 2
	for _, step := range []lease.Change{{After: b}, {Before: b, After: c}} {
		if err := st.Commit(context.Background(), lease.Mark{W: step.After.Start * 1e9}, []lease.Change{step}, make([]store.Result, 1)); err != nil {
			t.Fatal(err)
		}
	}
	if code, _, stderr := run(t, nil, nil, "verify", "--state", dir); code != ExitConflict || !strings.Contains(stderr, "Stop the server") {
		t.Errorf("with a server: exit %d, %s", code, stderr)
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	code, stdout, stderr := run(t, nil, nil, "verify", "--utc", "--state", dir)
	if code != ExitBad || !strings.Contains(stdout, "while 02:00:00:00:00:01 has it, since 1970-01-01T00:16:40Z") || !strings.Contains(stderr, "1 breach: I1") ||
		!strings.Contains(stdout, "not decided  the rest") {
		t.Errorf("exit %d\n%s%s", code, stdout, stderr)
	}
}
