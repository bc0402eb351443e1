package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"

	"lessor/internal/config"
)

// sourceFile is the text of a configuration and the name under which messages know it.
type sourceFile struct {
	path string // "-": standard input
	name string
	data []byte
}

// readConfig reads the configuration of an argument, or with none that of --config;
// "-" is standard input. What is wrong with the file itself is said.
func (g *globals) readConfig(args []string) (*sourceFile, error) {
	t := &sourceFile{path: g.config}
	if len(args) > 0 {
		t.path = args[0]
	}
	t.name = t.path
	if t.path == "-" {
		t.name = "(standard input)"
		data, err := io.ReadAll(io.LimitReader(g.stdin, config.MaxFile+1))
		if err != nil {
			return nil, fmt.Errorf("cannot read standard input: %w", err)
		}
		t.data = data
		return t, nil
	}
	data, problems := config.Read(t.path)
	if problems != nil {
		return nil, g.refuseConfig(problems, fileExit(t.path))
	}
	t.data = data
	return t, nil
}

// fileExit is the exit code for a file that cannot be read.
func fileExit(path string) int {
	_, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return ExitNotFound
	case err != nil || unix.Access(path, unix.R_OK) != nil:
		return ExitNoAccess
	}
	return ExitFailed
}

// refuseConfig says what is wrong with a configuration and ends with code.
func (g *globals) refuseConfig(problems config.Problems, code int) error {
	writeProblems(g, problems.Errors())
	return &ExitError{Code: code}
}

// loadConfig parses a configuration whose errors end the command.
func (g *globals) loadConfig(t *sourceFile) (*config.Config, error) {
	cfg, problems := config.Parse(t.name, t.data)
	if cfg == nil {
		return nil, g.refuseConfig(problems, ExitBad)
	}
	return cfg, nil
}

// replace writes text over the file that t was read from: all of it or nothing, with the
// mode and the owner that it has, and through symbolic links. If somebody else has
// changed the file meanwhile it is left alone.
func (t *sourceFile) replace(text []byte) error {
	path, err := filepath.EvalSymlinks(t.path)
	if err != nil {
		return t.writeError(err)
	}
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return t.writeError(err)
	case !info.Mode().IsRegular():
		return &ExitError{Code: ExitUsage, Err: fmt.Errorf("%s is not a file that can be replaced", t.path)}
	}
	if err := unix.Access(path, unix.W_OK); err != nil {
		return t.writeError(err)
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return t.writeError(err)
	}
	defer os.Remove(tmp.Name()) // gone already when all went well
	_, err = tmp.Write(text)
	err = errors.Join(err, sameOwner(tmp, info), tmp.Chmod(info.Mode().Perm()), tmp.Sync(), tmp.Close())
	if err != nil {
		return t.writeError(err)
	}
	if now, err := os.ReadFile(path); err != nil || !bytes.Equal(now, t.data) {
		return &ExitError{Code: ExitConflict, Err: fmt.Errorf("%s has been changed by somebody else meanwhile: nothing is written", t.path), Hint: "Try it again."}
	}
	if err := os.Rename(tmp.Name(), path); err != nil {
		return t.writeError(err)
	}
	return t.writeError(syncDir(filepath.Dir(path)))
}

// sameOwner gives the new file the owner of the old one.
func sameOwner(f *os.File, old fs.FileInfo) error {
	was, ok := old.Sys().(*syscall.Stat_t)
	if !ok {
		return nil
	}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if is, ok := info.Sys().(*syscall.Stat_t); ok && is.Uid == was.Uid && is.Gid == was.Gid {
		return nil
	}
	return f.Chown(int(was.Uid), int(was.Gid))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func (t *sourceFile) writeError(err error) error {
	if err == nil {
		return nil
	}
	exit := &ExitError{Code: ExitFailed, Err: fmt.Errorf("cannot write %s: %w", t.path, err)}
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, unix.EROFS) {
		exit.Code, exit.Hint = ExitNoAccess, "Its owner or root can write it: try it with sudo."
	}
	return exit
}
