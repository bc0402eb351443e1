package run

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// nobody is the user that has no rights, by the kernel's own convention.
const nobody = 65534

// startWithout starts cmd without any privilege: as another user where this process
// may choose one, without capabilities, unable to gain any by running a program. All of
// it is in force at the first instruction of the program.
//
// Capabilities, their bounding set and no_new_privs belong to threads, and a child has
// those of the thread that starts it. So one thread gives them up, starts the child and is
// never used again; the rest of this process keeps what it has.
func startWithout(cmd *exec.Cmd) error {
	started := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with this goroutine
		started <- startOnThread(cmd)
	}()
	return <-started
}

func startOnThread(cmd *exec.Cmd) error {
	caps, err := capabilities()
	if err != nil {
		return err
	}
	keep := uint64(0)
	const change = 1<<unix.CAP_SETUID | 1<<unix.CAP_SETGID
	if caps.effective&change == change {
		if id, ok := lesserUser(); ok {
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: id}
			keep = change // until the child has changed its user, which takes them from it
		}
	}
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil {
		return os.NewSyscallError("prctl(PR_CAP_AMBIENT_CLEAR_ALL)", err)
	}
	if caps.effective&(1<<unix.CAP_SETPCAP) != 0 {
		for c := uintptr(0); c <= 63; c++ {
			if err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0); err == unix.EINVAL {
				break // there is no further capability
			} else if err != nil {
				return os.NewSyscallError("prctl(PR_CAPBSET_DROP)", err)
			}
		}
	}
	if err := setCapabilities(capSets{effective: keep, permitted: keep}); err != nil {
		return err
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return os.NewSyscallError("prctl(PR_SET_NO_NEW_PRIVS)", err)
	}
	err = cmd.Start()
	if os.IsPermission(err) && cmd.SysProcAttr != nil {
		self, _ := os.Readlink("/proc/self/exe")
		return fmt.Errorf("user %d may not run this program: chmod a+rx %s (%w)", cmd.SysProcAttr.Credential.Uid, self, err)
	}
	return err
}

// capSets are the capabilities of a thread, one bit for each.
type capSets struct{ effective, permitted, inheritable uint64 }

// capabilities are those of the calling thread.
func capabilities() (c capSets, err error) {
	h := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var d [2]unix.CapUserData
	if err := unix.Capget(&h, &d[0]); err != nil {
		return c, os.NewSyscallError("capget", err)
	}
	both := func(low, high uint32) uint64 { return uint64(low) | uint64(high)<<32 }
	return capSets{both(d[0].Effective, d[1].Effective), both(d[0].Permitted, d[1].Permitted), both(d[0].Inheritable, d[1].Inheritable)}, nil
}

// setCapabilities sets those of the calling thread.
func setCapabilities(c capSets) error {
	h := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	d := [2]unix.CapUserData{
		{Effective: uint32(c.effective), Permitted: uint32(c.permitted), Inheritable: uint32(c.inheritable)},
		{Effective: uint32(c.effective >> 32), Permitted: uint32(c.permitted >> 32), Inheritable: uint32(c.inheritable >> 32)},
	}
	return os.NewSyscallError("capset", unix.Capset(&h, &d[0]))
}

// lesserUser is whom the worker runs as: lessor where that user exists, else nobody. ok is
// false where the user namespace has neither, and for a parent that is no root, whose own
// user has no rights that matter.
func lesserUser() (id *syscall.Credential, ok bool) {
	uids, gids := mapped("uid"), mapped("gid")
	for _, c := range []func() (uid, gid uint32, ok bool){lessorUser, func() (uint32, uint32, bool) { return nobody, nobody, true }} {
		uid, gid, ok := c()
		if ok && uids(uid) && gids(gid) {
			// A user namespace whose owner is no root may be refused setgroups; its groups are then
			// those of that owner, who may start this program anyway.
			deny, _ := os.ReadFile("/proc/self/setgroups")
			return &syscall.Credential{Uid: uid, Gid: gid, NoSetGroups: bytes.HasPrefix(deny, []byte("deny"))}, true
		}
	}
	return nil, false
}

func lessorUser() (uid, gid uint32, ok bool) {
	u, err := user.Lookup("lessor")
	if err != nil {
		return 0, 0, false
	}
	a, aerr := strconv.ParseUint(u.Uid, 10, 32)
	b, berr := strconv.ParseUint(u.Gid, 10, 32)
	return uint32(a), uint32(b), aerr == nil && berr == nil && a != 0
}

// mapped says which uids or gids exist in this user namespace.
func mapped(what string) func(id uint32) bool {
	text, err := os.ReadFile("/proc/self/" + what + "_map")
	return func(id uint32) bool {
		for line := range strings.Lines(string(text)) {
			var first, outside, n uint64
			if _, serr := fmt.Sscan(line, &first, &outside, &n); serr == nil && uint64(id) >= first && uint64(id) < first+n {
				return true
			}
		}
		return err != nil // a kernel without user namespaces
	}
}
