package run

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// maxOpenFiles is what a worker needs at most: its sockets, timers and the questions on the
// control socket.
const maxOpenFiles = 128

// confine takes from this process what a worker does not need. It was started without
// privileges; here it makes sure of that, and loses files and programs too. What this
// kernel does not know is passed over: capabilities, user and no_new_privs are what counts.
func confine() error {
	caps, err := capabilities()
	if err != nil {
		return err
	}
	if caps != (capSets{}) {
		return errors.New("the part of the client that reads packets has capabilities; it does not run with any")
	}
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return os.NewSyscallError("prctl(PR_SET_DUMPABLE)", err)
	}
	for _, l := range []struct {
		what int
		most uint64
	}{{unix.RLIMIT_CORE, 0}, {unix.RLIMIT_NOFILE, maxOpenFiles}} {
		if err := setLimit(l.what, l.most); err != nil {
			return err
		}
	}
	if err := noFiles(); err != nil {
		return err
	}
	return noPrograms()
}

// setLimit lowers a limit of this process; a lower one stays.
func setLimit(what int, most uint64) error {
	var r unix.Rlimit
	if err := unix.Getrlimit(what, &r); err != nil {
		return os.NewSyscallError("getrlimit", err)
	}
	r.Max = min(r.Max, most)
	r.Cur = min(r.Cur, r.Max)
	return os.NewSyscallError("setrlimit", unix.Setrlimit(what, &r))
}

// noFiles keeps this process, by landlock, from opening, making and removing files, from TCP,
// and from signalling and reaching abstract sockets of processes outside of it.
func noFiles() error {
	version, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if errno != 0 {
		return nil // not in this kernel, or switched off
	}
	attr := unix.LandlockRulesetAttr{Handled_access_fs: 1<<13 - 1} // EXECUTE to MAKE_SYM, version 1
	if version >= 2 {
		attr.Handled_access_fs |= unix.LANDLOCK_ACCESS_FS_REFER
	}
	if version >= 3 {
		attr.Handled_access_fs |= unix.LANDLOCK_ACCESS_FS_TRUNCATE
	}
	if version >= 4 {
		attr.Handled_access_net = unix.LANDLOCK_ACCESS_NET_BIND_TCP | unix.LANDLOCK_ACCESS_NET_CONNECT_TCP
	}
	if version >= 5 {
		attr.Handled_access_fs |= unix.LANDLOCK_ACCESS_FS_IOCTL_DEV
	}
	if version >= 6 {
		attr.Scoped = unix.LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET | unix.LANDLOCK_SCOPE_SIGNAL
	}
	fd, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr), 0)
	if errno != 0 {
		return os.NewSyscallError("landlock_create_ruleset", errno)
	}
	defer unix.Close(int(fd))
	// A program built with cgo cannot reach all its threads; the shipped one is built without,
	// and the filter of system calls refuses files too.
	if _, _, errno := syscall.AllThreadsSyscall(unix.SYS_LANDLOCK_RESTRICT_SELF, fd, 0, 0); errno != 0 && errno != unix.ENOTSUP {
		return os.NewSyscallError("landlock_restrict_self", errno)
	}
	return nil
}

// auditArch are the names of architectures in a filter of system calls.
var auditArch = map[string]uint32{"amd64": unix.AUDIT_ARCH_X86_64, "arm64": unix.AUDIT_ARCH_AARCH64, "riscv64": unix.AUDIT_ARCH_RISCV64}

// refused are system calls that a worker has no use for: files, programs, other processes,
// and what kernels were broken with.
var refused = append([]uint32{
	unix.SYS_OPENAT, unix.SYS_OPENAT2, unix.SYS_OPEN_BY_HANDLE_AT, unix.SYS_NAME_TO_HANDLE_AT,
	unix.SYS_UNLINKAT, unix.SYS_RENAMEAT2, unix.SYS_MKDIRAT, unix.SYS_MKNODAT, unix.SYS_LINKAT, unix.SYS_SYMLINKAT,
	unix.SYS_FCHMODAT, unix.SYS_FCHOWNAT, unix.SYS_TRUNCATE, unix.SYS_CHDIR, unix.SYS_CHROOT, unix.SYS_PIVOT_ROOT,
	unix.SYS_MOUNT, unix.SYS_UMOUNT2, unix.SYS_OPEN_TREE, unix.SYS_MOVE_MOUNT, unix.SYS_FSOPEN, unix.SYS_FSMOUNT,
	unix.SYS_EXECVE, unix.SYS_EXECVEAT, unix.SYS_UNSHARE, unix.SYS_SETNS,
	unix.SYS_KILL, unix.SYS_TKILL, unix.SYS_RT_SIGQUEUEINFO, unix.SYS_RT_TGSIGQUEUEINFO, unix.SYS_PIDFD_SEND_SIGNAL,
	unix.SYS_PTRACE, unix.SYS_PROCESS_VM_READV, unix.SYS_PROCESS_VM_WRITEV, unix.SYS_PIDFD_OPEN, unix.SYS_PIDFD_GETFD,
	unix.SYS_KCMP, unix.SYS_BPF, unix.SYS_PERF_EVENT_OPEN, unix.SYS_USERFAULTFD,
	unix.SYS_IO_URING_SETUP, unix.SYS_IO_URING_ENTER, unix.SYS_IO_URING_REGISTER,
	unix.SYS_ADD_KEY, unix.SYS_REQUEST_KEY, unix.SYS_KEYCTL,
	unix.SYS_INIT_MODULE, unix.SYS_FINIT_MODULE, unix.SYS_DELETE_MODULE, unix.SYS_KEXEC_LOAD, unix.SYS_REBOOT,
	unix.SYS_SWAPON, unix.SYS_SWAPOFF, unix.SYS_ACCT, unix.SYS_QUOTACTL, unix.SYS_SYSLOG, unix.SYS_SETTIMEOFDAY,
	unix.SYS_CLOCK_SETTIME, unix.SYS_ADJTIMEX, unix.SYS_SETHOSTNAME, unix.SYS_SETDOMAINNAME, unix.SYS_PERSONALITY,
	unix.SYS_CONNECT, // its sockets are made for it, and netlink needs none
}, refusedHere...)

// refusedControls are the ioctls that do to a terminal what its user could do at its keyboard:
// the worker writes to the terminal of a shell that may be root's.
var refusedControls = []uint32{unix.TIOCSTI, unix.TIOCLINUX, unix.TIOCSETD}

// noPrograms has the kernel refuse all these calls with EACCES, signals to other
// processes than this one (Go's runtime signals its own threads), the refusedControls, and
// sockets to daemons of this machine: those that know users by their number would take the
// worker for another program of its user, the server's for one.
func noPrograms() error {
	arch, ok := auditArch[runtime.GOARCH]
	if !ok {
		return nil
	}
	prog, err := bpf.Assemble(callFilter(arch, uint32(os.Getpid())))
	if err != nil {
		return err
	}
	f := unix.SockFprog{Len: uint16(len(prog)), Filter: (*unix.SockFilter)(unsafe.Pointer(&prog[0]))}
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&f)))
	runtime.KeepAlive(prog)
	switch errno {
	case 0, unix.ENOSYS, unix.EINVAL: // or not in this kernel
		return nil
	}
	return fmt.Errorf("seccomp: %w", errno)
}

// callFilter is the program that judges a system call by its number and architecture, the
// first two words of what it is given, and some by an argument: tgkill by the process, socket by
// the address family, ioctl by the request.
func callFilter(arch, pid uint32) []bpf.Instruction {
	const deny = unix.SECCOMP_RET_ERRNO | uint32(unix.EACCES)
	prog := []bpf.Instruction{
		bpf.LoadAbsolute{Off: 4, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: arch, SkipTrue: 1},
		bpf.RetConstant{Val: deny},
		bpf.LoadAbsolute{Off: 0, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpLessThan, Val: 1 << 30, SkipTrue: 1}, // above are the calls of x32
		bpf.RetConstant{Val: deny},
	}
	prog = append(prog,
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.SYS_TGKILL, SkipTrue: 4},
		bpf.LoadAbsolute{Off: firstArgument, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: pid, SkipTrue: 1},
		bpf.RetConstant{Val: deny},
		bpf.RetConstant{Val: unix.SECCOMP_RET_ALLOW},
	)
	prog = append(prog, denyArgument(unix.SYS_SOCKET, firstArgument, deny, []uint32{unix.AF_UNIX})...)
	prog = append(prog, denyArgument(unix.SYS_IOCTL, secondArgument, deny, refusedControls)...)
	for _, nr := range refused {
		prog = append(prog, bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: nr, SkipTrue: 1}, bpf.RetConstant{Val: deny})
	}
	return append(prog, bpf.RetConstant{Val: unix.SECCOMP_RET_ALLOW})
}

// Where the lower half of an argument of 64 bits stands in what a filter is given: all of
// auditArch have it first.
const (
	firstArgument  = 16
	secondArgument = 24
)

// denyArgument judges system call nr by one argument: the values are denied, all others allowed.
// Behind it the number of the call is loaded as it was before.
func denyArgument(nr, offset, deny uint32, values []uint32) []bpf.Instruction {
	prog := []bpf.Instruction{
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: nr, SkipTrue: uint8(2*len(values) + 2)},
		bpf.LoadAbsolute{Off: offset, Size: 4},
	}
	for _, v := range values {
		prog = append(prog, bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: v, SkipTrue: 1}, bpf.RetConstant{Val: deny})
	}
	return append(prog, bpf.RetConstant{Val: unix.SECCOMP_RET_ALLOW})
}
