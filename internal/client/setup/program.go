package setup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// programLimit is how long a program may run.
const programLimit = 10 * time.Second

// programPath is the search path in the environment of the programs.
const programPath = "PATH=/usr/sbin:/usr/bin:/sbin:/bin"

// checkProgram says why the program at path must not be started by a privileged process: it
// and every directory above it must belong to root and be writable by nobody else, and
// no part of path may be a symbolic link. Each directory is opened in the one before
// it, so that what is checked is what the kernel walks through.
//
// When all that holds, only root can change what path leads to, or what it contains,
// from the first look on: to rename, replace or write anything there needs a write
// permission that nobody else has. So starting it by its path right afterwards is not a
// race; and a script finds its own name in its arguments, which it would not if it were
// started by its descriptor.
func checkProgram(path string) error {
	dir, err := unix.Open("/", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open /: %w", err)
	}
	defer func() { unix.Close(dir) }()
	var st unix.Stat_t
	if err := unix.Fstat(dir, &st); err != nil {
		return fmt.Errorf("look at /: %w", err)
	}
	if err := onlyRoot("/", &st); err != nil {
		return err
	}
	parts := strings.Split(strings.TrimPrefix(path, "/"), "/")
	for i, part := range parts {
		at := "/" + filepath.Join(parts[:i+1]...)
		next, err := unix.Openat(dir, part, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("open %s: %w", at, err)
		}
		unix.Close(dir)
		dir = next
		if err := unix.Fstat(dir, &st); err != nil {
			return fmt.Errorf("look at %s: %w", at, err)
		}
		if st.Mode&unix.S_IFMT == unix.S_IFLNK {
			real, err := filepath.EvalSymlinks(path)
			if err != nil {
				real = "the file itself"
			}
			return fmt.Errorf("%s is a symbolic link, which may lead elsewhere tomorrow: name %s", at, real)
		}
		if err := onlyRoot(at, &st); err != nil {
			return err
		}
		if last := i == len(parts)-1; !last && st.Mode&unix.S_IFMT != unix.S_IFDIR {
			return fmt.Errorf("%s is no directory", at)
		}
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG || st.Mode&0o111 == 0 {
		return fmt.Errorf("%s is no program: it must be a regular file with an x permission (chmod 755)", path)
	}
	return nil
}

// onlyRoot says why others than root may change the file at path. An access list that
// lets somebody write shows in the bits of the group.
func onlyRoot(path string, st *unix.Stat_t) error {
	switch {
	case st.Uid != 0:
		return fmt.Errorf("%s belongs to user %d, and must belong to root (chown root %s)", path, st.Uid, path)
	case st.Mode&0o022 != 0:
		return fmt.Errorf("%s may be changed by others than root (mode %04o): chmod go-w %s", path, st.Mode&0o7777, path)
	}
	return nil
}

// call is one run of a program of the system.
type call struct {
	program string
	args    []string
	stdin   []byte
	env     []string // beside PATH
}

// run runs the program without a shell, in a clean environment and a process group of
// its own that is killed at the end of limit, and returns what it printed, 4 KiB at most.
func (c *call) run(limit time.Duration) (string, error) {
	what := strings.Join(append([]string{c.program}, c.args...), " ")
	if err := checkProgram(c.program); err != nil {
		return "", fmt.Errorf("%s is not run: %w", what, err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, c.program, c.args...)
	cmd.Dir, cmd.Env, cmd.Stdin = "/", append([]string{programPath, "LC_ALL=C"}, c.env...), bytes.NewReader(c.stdin)
	out := &firstBytes{room: 4096}
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return unix.Kill(-cmd.Process.Pid, unix.SIGKILL) }
	cmd.WaitDelay = time.Second // what it started may hold the pipe
	err := cmd.Run()
	text := out.String()
	switch {
	case ctx.Err() != nil:
		return text, fmt.Errorf("%s did not end within %s and was killed", what, limit)
	case err != nil && !errors.Is(err, exec.ErrWaitDelay):
		said, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
		return text, fmt.Errorf("%s: %w: %.300q", what, err, said)
	}
	return text, nil
}

// firstBytes keeps the beginning of what is written to it.
type firstBytes struct {
	bytes.Buffer
	room int
}

func (b *firstBytes) Write(p []byte) (int, error) {
	n := min(len(p), b.room)
	b.Buffer.Write(p[:n])
	b.room -= n
	return len(p), nil
}
