package client

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"lessor/dhcp4"
)

// loot is the directory that commands in the texts would write to; the hook program may
// write there too, and does.
const loot = "/run/hostile/out"

// texts are what has made other clients run commands, break out of quotes and lines, or
// write to terminals: each tries to make the file "pwned" in loot.
var texts = []string{
	"; touch " + loot + "/pwned;",
	"$(touch " + loot + "/pwned)",
	"`touch " + loot + "/pwned`",
	"() { :;}; touch " + loot + "/pwned",
	"x\ntouch " + loot + "/pwned\n",
	"'; touch " + loot + "/pwned; '",
	"\"|touch " + loot + "/pwned|\"&",
	"a.example\x00; touch " + loot + "/pwned",
	"\x1b]0;x\x07\x1b[2J../../" + loot[1:] + "/pwned %n%s%x",
	"-oProxyCommand=touch " + loot + "/pwned",
}

// hook is a program that writes down its environment and its input, by what the shell has
// built in alone: it starts no other program.
const hook = `#!/bin/sh
export -p > ` + loot + `/env.$$
while IFS= read -r line || [ -n "$line" ]; do printf '%s\n' "$line"; done > ` + loot + `/json.$$
: > ` + loot + `/done.$$
`

// withHook puts the hook program where one may be, and returns the stage.
func withHook(t *testing.T, flags ...string) *stage {
	t.Helper()
	s := newStage(t, append([]string{"--hook", "/run/hostile/hook"}, flags...)...)
	check(t, os.MkdirAll(s.host.Path(loot), 0o755))
	check(t, os.Chmod(s.host.Path(loot), 0o777))
	check(t, os.WriteFile(s.host.Path("/run/hostile/hook"), []byte(hook), 0o755))
	return s
}

// execs follows a process group with strace and returns, when stop is called, the programs
// that its processes have tried to start.
func execs(t *testing.T, pids ...int) (stop func() []string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "execs")
	args := []string{"-f", "-qq", "-e", "trace=execve,execveat", "-e", "signal=none", "-o", file}
	for _, pid := range pids {
		args = append(args, "-p", fmt.Sprint(pid))
	}
	cmd := exec.Command("strace", args...)
	var talk bytes.Buffer
	cmd.Stderr = &talk
	check(t, cmd.Start())
	t.Cleanup(func() { cmd.Process.Kill() })
	for _, pid := range pids { // until every thread is traced
		for end := time.Now().Add(5 * time.Second); !traced(t, pid); time.Sleep(5 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("strace does not follow %d: %s", pid, talk.String())
			}
		}
	}
	return func() (programs []string) {
		t.Helper()
		check(t, cmd.Process.Signal(syscall.SIGINT))
		cmd.Wait() // by the signal
		b, err := os.ReadFile(file)
		check(t, err)
		for _, m := range regexp.MustCompile(`exec(?:ve|veat)\((?:[^"]*, )?"([^"]*)"`).FindAllStringSubmatch(string(b), -1) {
			programs = append(programs, m[1])
		}
		return programs
	}
}

func traced(t *testing.T, pid int) bool {
	t.Helper()
	tasks := try(filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid)))(t)
	for _, task := range tasks {
		if b, err := os.ReadFile(task); err == nil && strings.Contains(string(b), "TracerPid:\t0\n") {
			return false
		}
	}
	return len(tasks) > 0
}

// envelope are the options that make the ACK a lease: all others hold a text.
var envelope = []dhcp4.Code{dhcp4.OptPad, dhcp4.OptSubnetMask, dhcp4.OptDHCPLeaseTime, dhcp4.OptDHCPOptionOverload, dhcp4.OptDHCPMessageType,
	dhcp4.OptDHCPServerIdentifier, dhcp4.OptDHCPClientIdentifier, dhcp4.OptDHCPAgentOptions, dhcp4.OptEnd}

// codes are the options in groups, so that texts in a group fit a message.
func codes(size int) (groups [][]dhcp4.Code) {
	var all []dhcp4.Code
	for c := range dhcp4.Code(255) {
		if !slices.Contains(envelope, c) {
			all = append(all, c)
		}
	}
	for g := range slices.Chunk(all, 1000/(size+2)) {
		groups = append(groups, g)
	}
	return groups
}

// TestHostileText: text that a shell, a terminal, a file name or a line-based format
// would obey, in every option there is, in sname and in file. No program is started but
// the hook, with values of the fixed alphabet only; no file appears; nothing of the text
// comes to resolv.conf, the host name or the terminal.
func TestHostileText(t *testing.T) {
	t.Parallel()
	s := withHook(t, "--conflict-detection", "off", "--set-hostname")
	p := newPuppet(t, s.lab, s.sw, "server")
	a := firstPool.First
	const life = 3000
	check(t, s.client.Start())
	p.send(p.to(s.hears(dhcp4.Discover, 20*time.Second), dhcp4.Offer, a, life))
	p.send(p.to(s.requests("SELECTING"), dhcp4.Ack, a, life))
	s.uses(held{addr: a})
	parent, worker := s.processes()
	stop := execs(t, parent, worker)
	rounds := 0
	for _, text := range texts {
		for _, group := range codes(len(text)) {
			s.control("renew")
			r := p.to(s.requests("RENEWING"), dhcp4.Ack, a, life+uint32(rounds))
			for _, c := range group {
				r = r.set(dhcp4.Option{Code: c, Data: []byte(text)})
			}
			b := r.payload()
			copy(b[44:108], text)  // sname
			copy(b[108:236], text) // file
			p.raw(p.frame(r, b))
			s.state("bound", "ack", 2*time.Second)
			rounds++
			s.hookRuns(rounds + 1) // the one of "bound" was the first
		}
	}
	// A NAK tells why, for people.
	s.control("renew")
	v := s.requests("RENEWING")
	nak := p.to(v, dhcp4.Nak, a, 0)
	nak.Options = append(nak.Options, dhcp4.Option{Code: dhcp4.OptDHCPMessage, Data: []byte(strings.Join(texts, ""))})
	p.send(nak)
	s.state("init", "nak", 2*time.Second)
	p.send(p.to(s.hears(dhcp4.Discover, 20*time.Second), dhcp4.Offer, a, life))
	p.send(p.to(s.requests("SELECTING"), dhcp4.Ack, a, life))
	s.uses(held{addr: a})
	s.stillAlive(p, a, life, parent, worker)

	// The hook is told of each: bound, the renewals, lost, bound, renewed.
	runs := len(s.hookRuns(rounds + 4))
	started := 0
	for _, prog := range stop() {
		if started++; prog != "/run/hostile/hook" {
			t.Errorf("the client started %q", prog)
		}
	}
	if runs != rounds+4 || started != runs-1 { // the first ran before it was watched
		t.Errorf("%d ACKs, %d programs started, %d runs of the hook", rounds, started, runs)
	}
	s.toldWell()
	s.clean()
	t.Logf("%d ACKs with text in every option, %d runs of the hook, no other program", rounds, runs)
	s.stop()
}

// hookRuns waits for n runs of the hook: until they have written all that they do.
func (s *stage) hookRuns(n int) (files []string) {
	s.t.Helper()
	for end := time.Now().Add(10 * time.Second); len(files) < n; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			s.t.Fatalf("the hook ran %d times, want %d", len(files), n)
		}
		files = try(filepath.Glob(s.host.Path(loot + "/done.*")))(s.t)
	}
	return files
}

// toldWell looks at what the hooks were told: an environment of one alphabet, and an
// input that is one line of JSON.
func (s *stage) toldWell() {
	s.t.Helper()
	line := regexp.MustCompile(`^export [A-Z_0-9a-z]+='[A-Za-z0-9._:@/-]{0,255}'$`)
	for _, f := range try(filepath.Glob(s.host.Path(loot + "/env.*")))(s.t) {
		for _, l := range strings.Split(strings.TrimSpace(string(try(os.ReadFile(f))(s.t))), "\n") {
			if !line.MatchString(l) {
				s.t.Fatalf("the hook's environment holds %q", l)
			}
		}
	}
	for _, f := range try(filepath.Glob(s.host.Path(loot + "/json.*")))(s.t) {
		b := bytes.TrimSpace(try(os.ReadFile(f))(s.t))
		if !json.Valid(b) || bytes.ContainsAny(b, "\n\r\x00\x1b") {
			s.t.Fatalf("the hook's input is %q", b)
		}
	}
}

var hookFile = regexp.MustCompile(`^(env|json|done)\.[0-9]+$`)

// clean expects that nothing but the hook wrote, and that no text came to where names are.
func (s *stage) clean() {
	s.t.Helper()
	for _, e := range try(os.ReadDir(s.host.Path(loot)))(s.t) {
		if !hookFile.MatchString(e.Name()) {
			s.t.Errorf("the file %s appeared", e.Name())
		}
	}
	where := map[string]string{
		"resolv.conf": string(try(os.ReadFile(s.host.Path(resolvConf)))(s.t)),
		"the kernel":  s.kernel(),
		"the output":  s.client.Log(),
	}
	for what, text := range where {
		for _, bad := range []string{"\x1b", "\x07", "\x00", "\r"} {
			if strings.Contains(text, bad) {
				s.t.Errorf("%s holds the octet %q", what, bad)
			}
		}
		if what != "the output" && (strings.Contains(text, "pwned") || strings.Contains(text, "touch")) {
			s.t.Errorf("%s holds a server's text:\n%s", what, text)
		}
	}
}

// TestHostileOptions: in an ACK that is a lease each option has every wrong length that
// fits, all at once: what cannot be used is left out, and the lease holds.
func TestHostileOptions(t *testing.T) {
	t.Parallel()
	s := newStage(t, "--conflict-detection", "off", "--set-hostname")
	p := newPuppet(t, s.lab, s.sw, "server")
	a := firstPool.First
	check(t, s.client.Start())
	v := s.hears(dhcp4.Discover, 20*time.Second)
	p.send(p.to(v, dhcp4.Offer, a, 500))
	p.send(p.to(s.requests("SELECTING"), dhcp4.Ack, a, 500))
	s.uses(held{addr: a})
	parent, worker := s.processes()
	rounds := 0
	for _, fill := range []byte{0, 0xff, 0xc0, 33} {
		for _, n := range []int{0, 1, 2, 3, 5, 7, 9, 31, 33, 64, 255} {
			for _, group := range codes(n) {
				s.control("renew")
				r := p.to(s.requests("RENEWING"), dhcp4.Ack, a, 500+uint32(rounds))
				for _, c := range group {
					r = r.set(dhcp4.Option{Code: c, Data: bytes.Repeat([]byte{fill}, n)})
				}
				p.send(r)
				s.state("bound", "ack", 2*time.Second)
				rounds++
			}
		}
	}
	if got := s.host.Addrs("eth0"); len(got) != 1 || got[0].Addr() != a.Netip() || got[0].Bits() != 24 {
		t.Errorf("the interface has %v", got)
	}
	t.Logf("%d ACKs", rounds)
	s.stillAlive(p, a, 500, parent, worker)
	s.stop()
}

// TestMTUOfEachAnswer: each ACK brings a larger MTU, and the next renewal begins while the
// interface is still changing: no answer is missed, whenever it comes.
func TestMTUOfEachAnswer(t *testing.T) {
	t.Parallel()
	s := newStage(t, "--conflict-detection", "off")
	p := newPuppet(t, s.lab, s.sw, "server")
	a := firstPool.First
	check(t, s.client.Start())
	p.send(p.to(s.hears(dhcp4.Discover, 20*time.Second), dhcp4.Offer, a, 500))
	p.send(p.to(s.requests("SELECTING"), dhcp4.Ack, a, 500))
	s.uses(held{addr: a})
	for i := range 60 {
		s.control("renew")
		r := p.to(s.requests("RENEWING"), dhcp4.Ack, a, 500)
		r = r.set(dhcp4.Option{Code: dhcp4.OptInterfaceMTU, Data: binary.BigEndian.AppendUint16(nil, uint16(1600+100*i))})
		time.Sleep(time.Duration(i%6) * 5 * time.Millisecond)
		p.send(r)
		s.state("bound", "ack", 2*time.Second)
	}
	s.stop()
}
