package setup

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Limits of the hook program.
const (
	hooksAtOnce = 4
	hooksQueued = 1000
)

// hookUsers are the users that the hook program may run as, the first that exists. The
// second belongs to nobody in particular, which others may use too.
var hookUsers = []string{"lessor-hook", "nobody"}

// hooks runs the hook program.
type hooks struct {
	program  string
	ifname   string
	uid, gid uint32
	warn     func(string)
	starts   chan hookStart // to the thread that starts programs

	mu       sync.Mutex
	queue    []hookRun
	running  int
	dropped  uint64
	lastSaid time.Time
	unsaid   int
	closing  time.Time // when those that still run are killed; zero: not closing
	idle     chan struct{}
}

// hookRun is one run of the program.
type hookRun struct {
	event string
	env   []string
	stdin []byte
}

type hookStart struct {
	run    *hookRun
	result chan<- hookStarted
}

type hookStarted struct {
	pid int
	err error
}

// newHooks checks that program may be run, and that it can be run as somebody else.
func newHooks(program, ifname string, warn func(string)) (*hooks, error) {
	if err := checkProgram(program); err != nil {
		return nil, fmt.Errorf("the hook program cannot be used: %w", err)
	}
	k := &hooks{program: program, ifname: ifname, warn: warn, starts: make(chan hookStart), idle: make(chan struct{})}
	var err error
	if k.uid, k.gid, err = hookUser(); err != nil {
		return nil, err
	}
	if err := canBecome(k.uid, k.gid); err != nil {
		return nil, err
	}
	if err := closeOnExec(); err != nil {
		return nil, fmt.Errorf("the hook program cannot be run: %w", err)
	}
	ready := make(chan error)
	go k.starter(ready)
	if err := <-ready; err != nil {
		return nil, fmt.Errorf("the hook program cannot be run: %w", err)
	}
	return k, nil
}

// canBecome says why a process of this user namespace cannot become this user.
func canBecome(uid, gid uint32) error {
	for file, id := range map[string]uint32{"/proc/self/uid_map": uid, "/proc/self/gid_map": gid} {
		text, err := os.ReadFile(file)
		if err != nil {
			return fmt.Errorf("the hook program cannot be run: %w", err)
		}
		mapped := false
		for line := range strings.Lines(string(text)) {
			var first, outside, count uint64
			if n, _ := fmt.Sscan(line, &first, &outside, &count); n == 3 {
				mapped = mapped || first <= uint64(id) && uint64(id) < first+count
			}
		}
		if !mapped {
			return fmt.Errorf("the hook program runs as user %d and group %d, which this user namespace does not have: make it with a range of users (newuidmap and newgidmap), or leave out --hook", uid, gid)
		}
	}
	return nil
}

// closeOnExec keeps from the hook program what this process was started with beside
// its standard files. What it opens itself is of that kind already.
func closeOnExec() error {
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return err
	}
	for _, f := range files {
		if n, err := strconv.Atoi(f.Name()); err == nil && n > 2 {
			unix.CloseOnExec(n)
		}
	}
	return nil
}

func hookUser() (uid, gid uint32, err error) {
	for _, name := range hookUsers {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		id, err1 := strconv.ParseUint(u.Uid, 10, 32)
		group, err2 := strconv.ParseUint(u.Gid, 10, 32)
		if err1 == nil && err2 == nil && id != 0 && group != 0 {
			return uint32(id), uint32(group), nil
		}
	}
	return 0, 0, fmt.Errorf("the hook program needs a user of its own to run as: make one, for example useradd --system --no-create-home %s", hookUsers[0])
}

// starter starts programs. It lives on a thread of its own, which has given up what it
// does not need to become the hook's user, and which may not gain anything by
// execve: what it starts inherits that. The thread ends with it.
func (k *hooks) starter(ready chan<- error) {
	runtime.LockOSThread()
	err := k.tie()
	ready <- err
	if err != nil {
		return
	}
	null, err := unix.Open("/dev/null", unix.O_RDWR|unix.O_CLOEXEC, 0)
	for s := range k.starts {
		if err != nil {
			s.result <- hookStarted{0, fmt.Errorf("open /dev/null: %w", err)}
			continue
		}
		pid, err := k.startOne(s.run, null)
		s.result <- hookStarted{pid, err}
	}
	if err == nil {
		unix.Close(null)
	}
}

// tie takes from the calling thread what hooks must not have.
func (k *hooks) tie() error {
	head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var caps [2]unix.CapUserData
	if err := unix.Capget(&head, &caps[0]); err != nil {
		return fmt.Errorf("read the capabilities: %w", err)
	}
	const need = 1<<unix.CAP_SETUID | 1<<unix.CAP_SETGID
	if caps[0].Effective&need != need {
		return errors.New("it runs as a user of its own, and for that CAP_SETUID and CAP_SETGID are needed: run the client as root, or use the unit")
	}
	keep := caps[0].Permitted & (need | 1<<unix.CAP_KILL)
	caps = [2]unix.CapUserData{{Effective: keep, Permitted: keep}}
	if err := unix.Capset(&head, &caps[0]); err != nil {
		return fmt.Errorf("give up capabilities: %w", err)
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("set no_new_privs: %w", err)
	}
	return nil
}

// startOne starts the program for r. The data lies in memory that the program can read
// and nobody can change, so that no one waits for it to be read.
func (k *hooks) startOne(r *hookRun, null int) (pid int, err error) {
	if err := checkProgram(k.program); err != nil {
		return 0, err
	}
	stdin, err := unix.MemfdCreate("hook", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return 0, fmt.Errorf("make its standard input: %w", err)
	}
	defer unix.Close(stdin)
	if _, err := unix.Pwrite(stdin, r.stdin, 0); err != nil {
		return 0, fmt.Errorf("write its standard input: %w", err)
	}
	const seals = unix.F_SEAL_SEAL | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE
	if _, err := unix.FcntlInt(uintptr(stdin), unix.F_ADD_SEALS, seals); err != nil {
		return 0, fmt.Errorf("seal its standard input: %w", err)
	}
	pid, err = syscall.ForkExec(k.program, []string{k.program}, &syscall.ProcAttr{
		Dir: "/", Env: r.env, Files: []uintptr{uintptr(stdin), uintptr(null), uintptr(null)},
		Sys: &syscall.SysProcAttr{
			Credential: &syscall.Credential{Uid: k.uid, Gid: k.gid},
			Setpgid:    true,
			Pdeathsig:  unix.SIGKILL, // it must not outlive a client that was killed
		},
	})
	if errors.Is(err, unix.EACCES) {
		return 0, fmt.Errorf("user %d may not run it: chmod go+rx it and the directories above it (%w)", k.uid, err)
	}
	return pid, err
}

// add puts a run at the end of the queue. When that is full, the oldest goes.
func (k *hooks) add(r hookRun) {
	k.mu.Lock()
	said := ""
	if len(k.queue) == hooksQueued {
		k.queue[0] = hookRun{}
		k.queue = k.queue[1:]
		k.dropped++
		said = k.limited(fmt.Sprintf("the hook program is too slow: %d events were dropped, the oldest first", k.dropped))
	}
	k.queue = append(k.queue, r)
	if k.running < hooksAtOnce {
		k.running++
		go k.work()
	}
	k.mu.Unlock()
	k.say(said)
}

// limited is s, with what was not said before it, or "": at most one warning in ten
// seconds. k.mu is held.
func (k *hooks) limited(s string) string {
	now := time.Now()
	if now.Sub(k.lastSaid) < 10*time.Second {
		k.unsaid++
		return ""
	}
	k.lastSaid = now
	if k.unsaid > 0 {
		s += fmt.Sprintf(" (and %d warnings about it before)", k.unsaid)
		k.unsaid = 0
	}
	return s
}

// say warns; k.mu is not held.
func (k *hooks) say(s string) {
	if s != "" {
		k.warn(s)
	}
}

// work runs what is queued until nothing is.
func (k *hooks) work() {
	k.mu.Lock()
	for len(k.queue) > 0 {
		r := k.queue[0]
		k.queue[0] = hookRun{}
		k.queue = k.queue[1:]
		k.mu.Unlock()
		err := k.run(&r)
		k.mu.Lock()
		if err != nil {
			said := k.limited(fmt.Sprintf("hook %s for %s: %v", k.program, r.event, err))
			k.mu.Unlock()
			k.say(said)
			k.mu.Lock()
		}
	}
	k.running--
	if k.running == 0 && !k.closing.IsZero() {
		close(k.idle)
	}
	k.mu.Unlock()
}

// run runs the program and waits for it. Its process group ends with it, at the latest
// after programLimit.
func (k *hooks) run(r *hookRun) error {
	result := make(chan hookStarted)
	k.starts <- hookStart{r, result}
	s := <-result
	if s.err != nil {
		return s.err
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		// WNOWAIT: until it is reaped below, its number stays its own.
		for unix.Waitid(unix.P_PID, s.pid, nil, unix.WEXITED|unix.WNOWAIT, nil) == unix.EINTR {
		}
	}()
	killed := false
	late := time.NewTimer(k.limit())
	select {
	case <-ended:
	case <-late.C:
		killed = true
		k.kill(s.pid)
		<-ended
	}
	late.Stop()
	k.kill(s.pid) // what it started and left
	var st unix.WaitStatus
	for {
		if _, err := unix.Wait4(s.pid, &st, 0, nil); err != unix.EINTR {
			break
		}
	}
	// Where this process is the first one of a container, what the program started is
	// now its own to reap.
	for {
		if _, err := unix.Wait4(-s.pid, nil, 0, nil); err != nil && err != unix.EINTR {
			break
		}
	}
	switch {
	case killed:
		return fmt.Errorf("it did not end within %s and was killed", programLimit)
	case st.Signaled():
		return fmt.Errorf("it was ended by signal %d (%s)", int(st.Signal()), st.Signal())
	case st.ExitStatus() != 0:
		return fmt.Errorf("it ended with exit code %d", st.ExitStatus())
	}
	return nil
}

// limit is how long a program that starts now may run.
func (k *hooks) limit() time.Duration {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closing.IsZero() {
		return programLimit
	}
	return min(programLimit, max(0, time.Until(k.closing)))
}

// kill kills the process group. Without CAP_KILL not even root may kill another user's
// process, but a thread that has become that user may.
func (k *hooks) kill(group int) {
	if !errors.Is(unix.Kill(-group, unix.SIGKILL), unix.EPERM) {
		return
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // for good: the thread ends here
		id := uintptr(k.uid)
		if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, id, id, id); errno == 0 {
			_ = unix.Kill(-group, unix.SIGKILL)
		}
	}()
	<-done
}

// close waits for the programs that run or are to run, programLimit for all of them;
// then the queue is dropped, and those that still run are killed.
func (k *hooks) close() {
	k.mu.Lock()
	k.closing = time.Now().Add(programLimit)
	if k.running == 0 {
		close(k.idle)
	}
	k.mu.Unlock()
	late := time.NewTimer(programLimit)
	defer late.Stop()
	select {
	case <-k.idle:
	case <-late.C:
		k.mu.Lock()
		n := len(k.queue)
		k.dropped += uint64(n)
		k.queue = nil
		k.mu.Unlock()
		if n > 0 {
			k.warn(fmt.Sprintf("the hook program is too slow: %d events were dropped at the end", n))
		}
		<-k.idle
	}
	close(k.starts)
}

// Hook starts the hook program for e, or queues it; it never waits. e is not kept.
func (h *Host) Hook(e *HookEvent) {
	if h.hook == nil {
		return
	}
	if err := e.Check(); err != nil {
		h.report("hook", fmt.Errorf("the hook program is not run: %w", err))
		return
	}
	told := *e
	told.Interface = h.name
	h.hook.add(hookRun{event: strings.Clone(e.Event), env: told.env(), stdin: told.json()})
}
