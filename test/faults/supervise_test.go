package faults

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"lessor/internal/netlab"
)

// A supervised server asks before each system call that could change a disk, and the
// test answers for the kernel: go on, EIO, or a lie. That is seccomp's user
// notification; it needs neither a special disk nor a library in the program, and it
// can be switched while the program runs.

// verdict is the answer to every call that would change the disk.
type verdict int32

const (
	letThrough verdict = iota
	// eio makes every write and sync of a file of the state directory, and whatever makes,
	// opens for writing, renames or removes one there, fail with EIO.
	eio
	// lie makes every sync say that it was done although it was not.
	lie
	// stall keeps every such call waiting until another verdict is set.
	stall
)

// supervisor answers for one server.
type supervisor struct {
	verdict atomic.Int32
	failed  atomic.Int64 // calls that were answered with EIO or with a lie

	state string // the directory that it is about
	fd    int
	stop  atomic.Bool
	done  chan struct{}
	err   error // valid after done
}

// set changes the answer from now on.
func (v *supervisor) set(to verdict) { v.verdict.Store(int32(to)) }

// startSupervised starts the site's server under a supervisor that lets everything through.
func (s *site) startSupervised(t *testing.T) (*server, *supervisor) {
	t.Helper()
	at := filepath.Join(filepath.Dir(s.conf), "seccomp")
	_ = os.Remove(at)
	l := try(net.ListenUnix("unix", &net.UnixAddr{Name: at, Net: "unix"}))(t)
	defer l.Close()
	check(t, l.SetDeadline(time.Now().Add(10*time.Second)))
	self := try(os.Executable())(t)
	got := make(chan *supervisor, 1)
	fail := make(chan error, 1)
	go func() {
		v, err := accept(l, s.state)
		if err != nil {
			fail <- err
			return
		}
		got <- v
	}()
	n := s.startSpec(t, netlab.Spec{Args: append([]string{self}, s.args()[1:]...), Env: []string{launchEnv + "=" + at, launchEnv + "_PROGRAM=" + lessor}})
	select {
	case v := <-got:
		t.Cleanup(func() {
			n.Kill()
			v.stop.Store(true)
			<-v.done
			check(t, errors.Join(v.err, unix.Close(v.fd)))
		})
		return n, v
	case err := <-fail:
		t.Fatal(err)
	}
	return nil, nil
}

// accept takes the notification descriptor from the launcher and begins to answer.
func accept(l *net.UnixListener, state string) (*supervisor, error) {
	c, err := l.AcceptUnix()
	if err != nil {
		return nil, err
	}
	defer c.Close()
	var b [1]byte
	oob := make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := c.ReadMsgUnix(b[:], oob)
	if err != nil {
		return nil, err
	}
	msgs, err := unix.ParseSocketControlMessage(oob[:n])
	if err != nil || len(msgs) != 1 {
		return nil, fmt.Errorf("the launcher sent no descriptor: %v", err)
	}
	fds, err := unix.ParseUnixRights(&msgs[0])
	if err != nil {
		return nil, err
	}
	v := &supervisor{state: state, fd: fds[0], done: make(chan struct{})}
	go v.answer()
	return v, nil
}

// notif and resp are struct seccomp_notif and struct seccomp_notif_resp.
type notif struct {
	id         uint64
	pid, flags uint32
	nr         int32
	arch       uint32
	ip         uint64
	args       [6]uint64
}

type resp struct {
	id    uint64
	val   int64
	err   int32
	flags uint32
}

// answer answers until the program has ended or stop is set.
func (v *supervisor) answer() {
	defer close(v.done)
	var parked []notif // asked while the disk stalls
	for !v.stop.Load() && v.err == nil {
		stalling := verdict(v.verdict.Load()) == stall
		if !stalling {
			for i := range parked {
				v.reply(&parked[i])
			}
			parked = nil
		}
		p := []unix.PollFd{{Fd: int32(v.fd), Events: unix.POLLIN}}
		if n, err := unix.Poll(p, 10); n == 0 || errors.Is(err, unix.EINTR) {
			continue
		}
		if p[0].Revents&unix.POLLIN == 0 {
			return // nobody is left who could ask
		}
		var q notif
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(v.fd), unix.SECCOMP_IOCTL_NOTIF_RECV, uintptr(unsafe.Pointer(&q)))
		switch {
		case errno == unix.ENOENT || errno == unix.EINTR: // the thread was killed meanwhile
		case errno != 0:
			v.err = fmt.Errorf("seccomp: receive: %w", errno)
		case stalling && v.onDisk(&q):
			parked = append(parked, q)
		default:
			v.reply(&q)
		}
	}
}

// reply sends the answer to one call.
func (v *supervisor) reply(q *notif) {
	r := v.judge(q)
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(v.fd), unix.SECCOMP_IOCTL_NOTIF_SEND, uintptr(unsafe.Pointer(&r)))
	if errno != 0 && errno != unix.ENOENT {
		v.err = fmt.Errorf("seccomp: answer: %w", errno)
	}
}

// judge decides about one call.
func (v *supervisor) judge(q *notif) resp {
	sync := q.nr == unix.SYS_FSYNC || q.nr == unix.SYS_FDATASYNC || q.nr == unix.SYS_SYNC_FILE_RANGE
	switch verdict(v.verdict.Load()) {
	case eio:
		if v.onDisk(q) {
			v.failed.Add(1)
			return resp{id: q.id, err: -int32(unix.EIO)}
		}
	case lie:
		if sync {
			v.failed.Add(1)
			return resp{id: q.id}
		}
	}
	return resp{id: q.id, flags: unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE}
}

// onDisk reports whether a call concerns something in the state directory.
func (v *supervisor) onDisk(q *notif) bool {
	var path string
	if byPath[int(q.nr)] {
		path = pathOf(q)
	} else {
		path, _ = os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", q.pid, int32(q.args[0])))
	}
	return path == v.state || strings.HasPrefix(path, v.state+"/")
}

// pathOf reads the path, which is the second argument of all the calls of byPath that
// lessor makes; of a rename it is the old one.
func pathOf(q *notif) string {
	f, err := os.Open(fmt.Sprintf("/proc/%d/mem", q.pid))
	if err != nil {
		return ""
	}
	defer f.Close()
	b := make([]byte, unix.PathMax)
	n, _ := f.ReadAt(b, int64(q.args[1])) // less than all of it at the end of a mapping
	return unix.ByteSliceToString(b[:n])
}

// byPath are the supervised calls that name what they change by its path. byFD the
// others, whose first argument is a descriptor.
var (
	byPath = map[int]bool{
		unix.SYS_OPENAT: true, unix.SYS_MKDIRAT: true, unix.SYS_UNLINKAT: true, unix.SYS_RENAMEAT: true,
		unix.SYS_RENAMEAT2: true, unix.SYS_LINKAT: true, unix.SYS_SYMLINKAT: true, unix.SYS_FCHMODAT: true,
	}
	byFD = []int{
		unix.SYS_WRITE, unix.SYS_WRITEV, unix.SYS_PWRITE64, unix.SYS_PWRITEV, unix.SYS_PWRITEV2, unix.SYS_FSYNC,
		unix.SYS_FDATASYNC, unix.SYS_SYNC_FILE_RANGE, unix.SYS_FTRUNCATE, unix.SYS_FALLOCATE, unix.SYS_FCHMOD,
	}
)

// launchEnv makes the test binary the launcher of a supervised program: it holds the
// socket to which the notification descriptor is to be sent.
const launchEnv = "LESSOR_FAULTS_LAUNCH"

// launch puts the filter on this thread, hands the descriptor over and becomes the
// program, which inherits the filter with all the threads it will have.
func launch(at string) {
	runtime.LockOSThread()
	program := os.Getenv(launchEnv + "_PROGRAM")
	env := []string{}
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, launchEnv) {
			env = append(env, e)
		}
	}
	err := func() error {
		c, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: at, Net: "unix"})
		if err != nil {
			return err
		}
		fd, err := filter()
		if err != nil {
			return fmt.Errorf("seccomp: %w", err)
		}
		if _, _, err := c.WriteMsgUnix([]byte{0}, unix.UnixRights(fd), nil); err != nil {
			return err
		}
		unix.CloseOnExec(fd)
		return syscall.Exec(program, append([]string{program}, os.Args[1:]...), env)
	}()
	fmt.Fprintln(os.Stderr, "launch:", err)
	os.Exit(1)
}

// filter installs the filter on the calling thread and returns its descriptor.
func filter() (int, error) {
	const (
		offNR    = 0
		offFlags = 16 + 2*8 // low half of the third argument, little-endian
	)
	ins := func(code uint16, k uint32, jt, jf uint8) unix.SockFilter {
		return unix.SockFilter{Code: code, Jt: jt, Jf: jf, K: k}
	}
	const jeq = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
	prog := []unix.SockFilter{
		ins(unix.BPF_LD|unix.BPF_W|unix.BPF_ABS, offNR, 0, 0),
		// openat: only what may change the disk.
		ins(jeq, unix.SYS_OPENAT, 0, 4),
		ins(unix.BPF_LD|unix.BPF_W|unix.BPF_ABS, offFlags, 0, 0),
		ins(unix.BPF_JMP|unix.BPF_JSET|unix.BPF_K, unix.O_WRONLY|unix.O_RDWR|unix.O_CREAT|unix.O_TRUNC, 0, 1),
		ins(unix.BPF_RET|unix.BPF_K, unix.SECCOMP_RET_USER_NOTIF, 0, 0),
		ins(unix.BPF_RET|unix.BPF_K, unix.SECCOMP_RET_ALLOW, 0, 0),
	}
	calls := append([]int(nil), byFD...)
	for nr := range byPath {
		if nr != unix.SYS_OPENAT {
			calls = append(calls, nr)
		}
	}
	for _, nr := range calls {
		prog = append(prog, ins(jeq, uint32(nr), 0, 1), ins(unix.BPF_RET|unix.BPF_K, unix.SECCOMP_RET_USER_NOTIF, 0, 0))
	}
	prog = append(prog, ins(unix.BPF_RET|unix.BPF_K, unix.SECCOMP_RET_ALLOW, 0, 0))
	p := unix.SockFprog{Len: uint16(len(prog)), Filter: &prog[0]}
	// With WAIT_KILLABLE_RECV Go's own signals do not take a question back.
	const flags = unix.SECCOMP_FILTER_FLAG_NEW_LISTENER | unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
	fd, _, errno := unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, flags, uintptr(unsafe.Pointer(&p)))
	if errno != 0 {
		return 0, errno
	}
	return int(fd), nil
}
