package setup

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"sort"
	"strconv"
	"strings"
	"testing"
	"time"

	"lessor/dhcp4"
)

// agentMore are the agent's operations that look inside.
func agentMore(h *Host, q *request) ([]byte, error) {
	switch q.Op {
	case "unchecked": // the hook is told what Check would refuse
		h.hook.add(hookRun{event: q.Event.Event, env: q.Event.env(), stdin: q.Event.json()})
		return nil, nil
	case "idle": // wait until no hook runs
		for end := time.Now().Add(60 * time.Second); ; time.Sleep(5 * time.Millisecond) {
			h.hook.mu.Lock()
			running := h.hook.running
			h.hook.mu.Unlock()
			if running == 0 {
				return nil, nil
			}
			if time.Now().After(end) {
				return nil, fmt.Errorf("%d hooks run on and on", running)
			}
		}
	case "cost":
		return json.Marshal(costNow())
	}
	return nil, fmt.Errorf("no such operation: %s", q.Op)
}

// cost is what a process holds.
type cost struct {
	Files, Threads, Goroutines, Children int
	Heap                                 uint64
}

func costNow() (c cost) {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	c.Heap, c.Goroutines = m.HeapAlloc, runtime.NumGoroutine()
	for dir, n := range map[string]*int{"/proc/self/fd": &c.Files, "/proc/self/task": &c.Threads} {
		list, err := os.ReadDir(dir)
		if err != nil {
			panic(err)
		}
		*n = len(list)
	}
	tasks, _ := filepath.Glob("/proc/self/task/*/children")
	for _, t := range tasks {
		b, _ := os.ReadFile(t)
		c.Children += len(strings.Fields(string(b)))
	}
	return c
}

// hookBed is a bed with a hook program in a directory where one may be, and a directory
// that it may write to.
func hookBed(t *testing.T, script string) (b *bed, o Options, out string) {
	b = newBed(t)
	o = b.options()
	o.Hook, o.NoConfigure = "/run/hooks/hook", true
	b.run("mkdir", "/run/hooks")
	b.run("mkdir", "-m", "1777", "/run/out")
	b.hook(script)
	return b, o, b.Path("/run/out")
}

func (b *bed) hook(script string) {
	b.t.Helper()
	if err := os.WriteFile(b.Path("/run/hooks/hook"), []byte(script), 0o755); err != nil {
		b.t.Fatal(err)
	}
}

func event(c *Config) *HookEvent {
	return &HookEvent{Event: "bound", Interface: "ignored", State: "bound", Reason: "ack", Config: c, Options: map[string]string{"routers": "c6120001"}}
}

// everything is a configuration with all that there is.
func everything() *Config {
	c := full()
	c.Search, c.NTP = []string{"a.example", "b.example"}, []dhcp4.Addr{addr("192.0.2.123")}
	c.Routes = append(c.Routes, route("203.0.113.0/24", ""))
	c.CaptivePortal, c.TimeZone = "https://portal.example/?a=1", "Etc/GMT+5"
	return c
}

func TestHookIsToldEverything(t *testing.T) {
	b, o, out := hookBed(t, "#!/bin/sh\nexec >/run/out/told\nenv -u PWD -u _ | sort\n(echo x >/proc/self/fd/0) 2>/dev/null || echo sealed >/run/out/sealed\ncat\necho \"$0 $# $(pwd)\"\n"+
		"grep -E '^(Uid|Gid|Groups|Cap|NoNewPrivs)' /proc/self/status\nls /proc/self/fd\nid -un\necho x >/etc/passwd || echo refused\nps -o pgid= -p $$ | tr -d ' ' >/run/out/group\necho $$ >>/run/out/group\n")
	// A file that whoever started the client left open for it.
	a := start(t, b.Host, "sh", "-c", `exec "$0" 7</dev/zero`)
	a.open(o)
	a.must(request{Op: "hook", Event: event(everything())})
	a.close(false)
	a.quiet()
	told := read(t, filepath.Join(out, "told"))
	env, rest, _ := strings.Cut(told, "{")
	const wantEnv = `LESSOR_ADDRESS=198.18.0.52/24
LESSOR_BROADCAST=198.18.0.255
LESSOR_DNS=192.0.2.53:192.0.2.54
LESSOR_DOMAIN=example.org
LESSOR_EVENT=bound
LESSOR_HOSTNAME=leased.example
LESSOR_INTERFACE=eth0
LESSOR_MTU=1400
LESSOR_NTP=192.0.2.123
LESSOR_PORTAL_HEX=68747470733a2f2f706f7274616c2e6578616d706c652f3f613d31
LESSOR_PREFERRED=3150
LESSOR_REASON=ack
LESSOR_ROUTES=0.0.0.0/0@198.18.0.1:203.0.113.0/24@0.0.0.0
LESSOR_SEARCH=a.example:b.example
LESSOR_SERVER=198.18.0.1
LESSOR_STATE=bound
LESSOR_TIMEZONE_HEX=4574632f474d542b35
LESSOR_VALID=3600
PATH=/usr/sbin:/usr/bin:/sbin:/bin
`
	same(t, wantEnv, env)
	text, rest, _ := strings.Cut(rest, "\n")
	const wantJSON = `{"event":"bound","interface":"eth0","state":"bound","reason":"ack","address":"198.18.0.52/24","broadcast":"198.18.0.255","valid":3600,"preferred":3150,` +
		`"server":"198.18.0.1","mtu":1400,"routes":[{"destination":"0.0.0.0/0","gateway":"198.18.0.1"},{"destination":"203.0.113.0/24"}],` +
		`"domain-name-servers":["192.0.2.53","192.0.2.54"],"domain-name":"example.org","domain-search":["a.example","b.example"],"host-name":"leased.example",` +
		`"ntp-servers":["192.0.2.123"],"captive-portal":"https://portal.example/?a=1","time-zone":"Etc/GMT+5","options":{"routers":"c6120001"}}`
	same(t, wantJSON, "{"+text)
	uid, gid, err := hookUser()
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(rest), "\n")
	for i, want := range []string{"/run/hooks/hook 0 /", fmt.Sprintf("Uid:\t%[1]d\t%[1]d\t%[1]d\t%[1]d", uid), fmt.Sprintf("Gid:\t%[1]d\t%[1]d\t%[1]d\t%[1]d", gid),
		"Groups:\t ", "CapInh:\t0000000000000000", "CapPrm:\t0000000000000000", "CapEff:\t0000000000000000", "CapBnd:", "CapAmb:\t0000000000000000", "NoNewPrivs:\t1",
		"0", "1", "2", "3" /* of ls */, "nobody"} {
		if i >= len(lines) || !strings.HasPrefix(lines[i], want) {
			t.Errorf("line %d is not %q:\n%s", i, want, rest)
		}
	}
	contains(t, rest, "refused")
	contains(t, read(t, filepath.Join(out, "sealed")), "sealed")
	if group := strings.Fields(read(t, filepath.Join(out, "group"))); len(group) != 2 || group[0] != group[1] {
		t.Errorf("process group and process %v", group)
	}
}

func TestHookWithoutALease(t *testing.T) {
	b, o, out := hookBed(t, "#!/bin/sh\nenv -u PWD -u _ | sort >/run/out/env\ncat >/run/out/json\n")
	a := start(t, b.Host)
	a.open(o)
	a.must(request{Op: "hook", Event: &HookEvent{Event: "lost", State: "init", Reason: "nak"}})
	a.close(false)
	a.quiet()
	same(t, `{"event":"lost","interface":"eth0","state":"init","reason":"nak"}`+"\n", read(t, filepath.Join(out, "json")))
	contains(t, read(t, filepath.Join(out, "env")), "LESSOR_ADDRESS=\n", "LESSOR_DNS=\n", "LESSOR_EVENT=lost\n", "LESSOR_MTU=\n", "LESSOR_VALID=\n")
}

// shellTexts are what careless scripts have been caught with.
var shellTexts = []string{"() { :;}; touch /run/out/x", "`touch /run/out/x`", "$(touch /run/out/x)", "a;touch /run/out/x", "a|touch /run/out/x", "a&touch /run/out/x&",
	"a\ntouch /run/out/x\n", "'; touch /run/out/x; '", "\"; touch /run/out/x; \"", "a >/run/out/x", "-o ProxyCommand=touch", "\x1b]0;x\x07", "é", strings.Repeat("a", 300), "%n%s", "a\x00b", "$IFS"}

// spoiled are configurations with text in each place where text can be.
func spoiled(text string) (list []*Config) {
	for _, f := range []func(c *Config){
		func(c *Config) { c.Domain = text }, func(c *Config) { c.HostName = text }, func(c *Config) { c.TimeZone = text },
		func(c *Config) { c.CaptivePortal = text }, func(c *Config) { c.CaptivePortal = "https://" + text },
		func(c *Config) { c.CaptivePortal = "https://a.example/" + text }, func(c *Config) { c.Search = []string{"a.example", text} },
	} {
		c := everything()
		f(c)
		list = append(list, c)
	}
	return list
}

// Text from the network starts nothing, in a script that evaluates everything that it
// is told; not even what the checks would have refused.
func TestHookShellText(t *testing.T) {
	b, o, out := hookBed(t, `#!/bin/bash
for v in ${!LESSOR_*}; do
	eval "y=${!v}"; eval ": ${!v}"; sh -c "echo ${!v}" >/dev/null 2>&1; : $((n++))
done
echo $n >>/run/out/ran
`)
	a := start(t, b.Host)
	a.open(o)
	n := 0
	for _, text := range shellTexts {
		for _, c := range spoiled(text) {
			a.must(request{Op: "unchecked", Event: event(c)})
			n++
		}
		e := event(everything())
		e.State, e.Reason = text, text
		a.must(request{Op: "unchecked", Event: e})
		n++
	}
	a.must(request{Op: "idle"})
	files, err := os.ReadDir(out)
	if err != nil || len(files) != 1 {
		t.Errorf("files %v (%v), want only ran", files, err)
	}
	if ran := strings.Count(read(t, filepath.Join(out, "ran")), "18\n"); ran != n {
		t.Errorf("%d scripts had 18 variables, of %d", ran, n)
	}
	a.quiet()
}

func TestHookVariables(t *testing.T) {
	good := regexp.MustCompile(`^[A-Z_]+=[A-Za-z0-9._:@/-]{0,255}$`)
	hexed := regexp.MustCompile(`^[A-Z_]+_HEX=([0-9a-f]{2})+$`)
	for _, text := range append(shellTexts, "", "a", strings.Repeat("a", 255), strings.Repeat("a", 256), "_", " ") {
		v := variable("LESSOR_X", text)
		clean := regexp.MustCompile(`^[A-Za-z0-9._:@/-]{0,255}$`).MatchString(text)
		if clean && (v != "LESSOR_X="+text || !good.MatchString(v)) || !clean && v != fmt.Sprintf("LESSOR_X_HEX=%x", text) || !good.MatchString(v) && !hexed.MatchString(v) {
			t.Errorf("%q becomes %q", text, v)
		}
	}
	for c := range 256 {
		if s := string([]byte{byte(c)}); !good.MatchString(variable("A", s)) && !hexed.MatchString(variable("A", s)) {
			t.Errorf("%q becomes %q", s, variable("A", s))
		}
	}
}

// Nobody but root can have changed the program.
func TestHookProgramIsChecked(t *testing.T) {
	b, o, _ := hookBed(t, "#!/bin/sh\n")
	a := start(t, b.Host)
	for _, tc := range []struct{ setup, program, want string }{
		{"true", "hooks/hook", "full path"},
		{"true", "/run/hooks/../hooks/hook", "full path"},
		{"true", "/run/hooks/none", "no such file"},
		{"true", "/run/hooks", "is no program"},
		{"mkfifo /run/hooks/pipe; chmod 755 /run/hooks/pipe", "/run/hooks/pipe", "is no program"},
		{"cp /run/hooks/hook /run/hooks/plain; chmod 644 /run/hooks/plain", "/run/hooks/plain", "chmod 755"},
		{"true", "/run/hooks/hook/more", "is no directory"},
		{"ln -s hook /run/hooks/link", "/run/hooks/link", "is a symbolic link, which may lead elsewhere tomorrow: name /run/hooks/hook"},
		{"ln -s hooks /run/linked", "/run/linked/hook", "/run/linked is a symbolic link, which may lead elsewhere tomorrow: name /run/hooks/hook"},
		{"cp -p /run/hooks/hook /run/hooks/theirs; chown 1234 /run/hooks/theirs", "/run/hooks/theirs", "belongs to user 1234, and must belong to root"},
		{"cp -p /run/hooks/hook /run/hooks/group; chmod 775 /run/hooks/group", "/run/hooks/group", "chmod go-w /run/hooks/group"},
		{"cp -p /run/hooks/hook /run/hooks/all; chmod 757 /run/hooks/all", "/run/hooks/all", "chmod go-w /run/hooks/all"},
		{"mkdir -m 775 /run/open; cp -p /run/hooks/hook /run/open", "/run/open/hook", "chmod go-w /run/open"},
		{"mkdir /run/dir; chown 1234 /run/dir; cp -p /run/hooks/hook /run/dir", "/run/dir/hook", "/run/dir belongs to user 1234"},
		{"mkdir -p /run/a/b; cp -p /run/hooks/hook /run/a/b; chmod 1777 /run/a", "/run/a/b/hook", "chmod go-w /run/a"},
	} {
		b.run("sh", "-c", tc.setup)
		o.Hook = tc.program
		if _, err := a.try(request{Op: "open", Name: "eth0", Options: o}); !strings.Contains(err, tc.want) {
			t.Errorf("%s: %q, want %q", tc.program, err, tc.want)
		}
	}
	// What was good at the start is looked at again.
	o.Hook = "/run/hooks/hook"
	a.open(o)
	for _, spoil := range []string{"chmod 777 /run/hooks/hook", "chmod 755 /run/hooks/hook; chmod 777 /run/hooks", "chmod 755 /run/hooks; chown 1234 /run/hooks/hook",
		"rm /run/hooks/hook", "ln -s /bin/true /run/hooks/hook"} {
		b.run("sh", "-c", spoil)
		a.must(request{Op: "hook", Event: event(nil)})
		a.must(request{Op: "idle"})
	}
	a.must(request{Op: "warns"})
	if len(a.warns) != 1 || !strings.Contains(a.warns[0], "may be changed by others than root") { // the others within ten seconds
		t.Errorf("warnings %q", a.warns)
	}
}

// A program that others cannot run, one that fails, one that is no program.
func TestHookFails(t *testing.T) {
	for _, tc := range []struct{ script, then, want string }{
		{"#!/bin/sh\nexit 3\n", "true", "it ended with exit code 3"},
		{"#!/bin/sh\nkill -TERM $$\n", "true", "it was ended by signal 15"},
		{"no program at all", "true", "exec format error"},
		{"#!/nowhere/sh\n", "true", "no such file"},
		{"#!/bin/sh\n", "chmod 700 /run/hooks", "may not run it: chmod go+rx"},
	} {
		b, o, _ := hookBed(t, tc.script)
		b.run("sh", "-c", tc.then)
		a := start(t, b.Host)
		a.open(o)
		a.must(request{Op: "hook", Event: event(nil)})
		a.must(request{Op: "idle"})
		a.warned("hook /run/hooks/hook for bound: ", tc.want)
	}
}

// A program that hangs is killed after ten seconds with all that it started. It has nothing to
// do with whether this process may kill others' processes.
func TestHookThatHangs(t *testing.T) {
	for name, wrap := range map[string][]string{
		"with all capabilities": nil,
		"without CAP_KILL":      {"setpriv", "--bounding-set=-all,+net_admin,+setuid,+setgid", "--inh-caps=-all"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, o, out := hookBed(t, "#!/bin/sh\nsleep 1000 &\necho $$ $! >/run/out/pids\nwait\n")
			a := start(t, b.Host, wrap...)
			a.open(o)
			began := time.Now()
			a.must(request{Op: "hook", Event: event(nil)})
			if took := time.Since(began); took > time.Second {
				t.Errorf("the call took %v", took)
			}
			a.must(request{Op: "idle"})
			if took := time.Since(began); took < 10*time.Second || took > 12*time.Second {
				t.Errorf("it was killed after %v", took)
			}
			a.warned("did not end within 10s and was killed")
			pids := strings.Fields(read(t, filepath.Join(out, "pids")))
			if len(pids) != 2 {
				t.Fatalf("pids %v", pids)
			}
			gone(t, pids...)
		})
	}
}

// gone fails the test unless the processes end within a second.
func gone(t *testing.T, pids ...string) {
	t.Helper()
	for _, pid := range pids {
		for end := time.Now().Add(time.Second); ; time.Sleep(10 * time.Millisecond) {
			b, err := os.ReadFile("/proc/" + pid + "/stat")
			if err != nil || strings.Contains(string(b), ") Z ") {
				break
			}
			if time.Now().After(end) {
				t.Errorf("process %s lives: %s", pid, b)
				break
			}
		}
	}
}

// What the program left running in its group ends with it, and so do running programs
// when the client is killed.
func TestHookLeavesNothing(t *testing.T) {
	b, o, out := hookBed(t, "#!/bin/sh\nsleep 1000 >/dev/null 2>&1 &\necho $! >/run/out/left\n")
	a := start(t, b.Host)
	a.open(o)
	a.must(request{Op: "hook", Event: event(nil)})
	a.must(request{Op: "idle"})
	gone(t, strings.TrimSpace(read(t, filepath.Join(out, "left"))))
	a.quiet()
	b.hook("#!/bin/sh\necho $$ >/run/out/pid\nexec sleep 1000\n")
	a.must(request{Op: "hook", Event: event(nil)})
	pid := ""
	for end := time.Now().Add(5 * time.Second); pid == "" && time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		text, _ := os.ReadFile(filepath.Join(out, "pid"))
		pid = strings.TrimSpace(string(text))
	}
	a.kill()
	gone(t, pid)
}

// Four at once, a thousand that wait, the oldest is dropped.
func TestHookQueue(t *testing.T) {
	b, o, out := hookBed(t, "#!/bin/sh\necho start $LESSOR_REASON >>/run/out/list\nwhile [ ! -e /run/go ]; do sleep 0.05; done\n")
	a := start(t, b.Host)
	a.open(o)
	list := func() []string {
		return strings.Fields(strings.ReplaceAll(read(t, filepath.Join(out, "list")), "start", ""))
	}
	for i := range 4 {
		a.must(request{Op: "hook", Event: &HookEvent{Event: "bound", Reason: "r" + strconv.Itoa(i)}})
	}
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if _, err := os.Stat(filepath.Join(out, "list")); err == nil && len(list()) == 4 {
			break
		}
		if time.Now().After(end) {
			t.Fatal("four programs do not run at once")
		}
	}
	began := time.Now()
	for i := 4; i < 1010; i++ {
		a.must(request{Op: "hook", Event: &HookEvent{Event: "bound", Reason: "r" + strconv.Itoa(i)}})
	}
	t.Logf("1006 calls took %v", time.Since(began))
	a.warned("too slow: 1 events were dropped, the oldest first")
	if n := len(list()); n != 4 {
		t.Errorf("%d programs run at once", n)
	}
	b.hook("#!/bin/sh\necho start $LESSOR_REASON >>/run/out/list\n")
	b.run("touch", "/run/go")
	a.must(request{Op: "idle"})
	ran := list()
	if len(ran) != 1004 {
		t.Errorf("%d programs ran, want 1004", len(ran))
	}
	sort.Strings(ran)
	for _, lost := range []string{"r4", "r5", "r6", "r7", "r8", "r9"} {
		if i := sort.SearchStrings(ran, lost); i < len(ran) && ran[i] == lost {
			t.Errorf("%s ran, and is older than what was dropped", lost)
		}
	}
	a.warns = nil
}

// The end is not held up by what waits.
func TestHookAtTheEnd(t *testing.T) {
	t.Parallel()
	b, o, _ := hookBed(t, "#!/bin/sh\nsleep 1000\n")
	a := start(t, b.Host)
	a.open(o)
	a.must(request{Op: "hook", Event: event(nil), Times: 100})
	began := time.Now()
	a.close(false)
	if took := time.Since(began); took > 12*time.Second {
		t.Errorf("Close took %v", took)
	}
	a.must(request{Op: "warns"})
	contains(t, strings.Join(a.warns, "\n"), " events were dropped at the end", "did not end within")
	if rest, err := exec.Command("pgrep", "-g", strconv.Itoa(a.cmd.Process.Pid)).Output(); err == nil && strings.Count(string(rest), "\n") > 1 {
		t.Errorf("processes are left: %s", rest)
	}
}

// A thousand starts cost nothing that stays.
func TestHookStartsAreFlat(t *testing.T) { flat(t, 1000) }

func flat(t *testing.T, n int) {
	b, o, _ := hookBed(t, "")
	b.run("cp", "/bin/true", "/run/hooks/hook")
	a := start(t, b.Host)
	a.open(o)
	run := func(n int) {
		for ; n > 0; n -= 500 {
			a.must(request{Op: "hook", Event: event(everything()), Times: min(n, 500)})
			a.must(request{Op: "idle"})
		}
	}
	look := func() (c cost) {
		if err := json.Unmarshal(a.must(request{Op: "cost"}), &c); err != nil {
			t.Fatal(err)
		}
		return c
	}
	run(500)
	before := look()
	began := time.Now()
	run(n)
	after := look()
	t.Logf("%d starts, %v each; before %+v, after %+v", n, time.Since(began)/time.Duration(n), before, after)
	a.quiet()
	if after.Files > before.Files || after.Children > before.Children || after.Goroutines > before.Goroutines ||
		after.Threads > before.Threads+4 || after.Heap > before.Heap+1<<20 {
		t.Errorf("before %+v, after %+v", before, after)
	}
}
