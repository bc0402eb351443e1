package netlab

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// privateDirs are replaced by directories of the host's own: what DHCP clients and
// servers write to. Those that this machine does not have are passed over.
var privateDirs = []string{"/run", "/var/lib/dhcp", "/var/lib/dhcpcd", "/var/lib/systemd", "/var/lib/misc", "/var/lib/lessor"}

// makePrivate gives the calling thread, which must be alone in its mount
// namespace, private directories below root. The real ones cannot be reached any more.
func makePrivate(root, name string) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	etc := filepath.Join(root, "etc")
	if err := privateEtc(etc); err != nil {
		return err
	}
	// DHCP clients derive their identity from the machine's, so no two may share one.
	id := sha256.Sum256([]byte(root + name))
	if err := replaceFile(filepath.Join(etc, "machine-id"), hex.EncodeToString(id[:16])+"\n", 0o444); err != nil {
		return err
	}
	if err := unix.Mount(etc, "/etc", "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("mount a private /etc: %w", err)
	}
	for _, dir := range privateDirs {
		if _, err := os.Stat(dir); err != nil {
			continue
		}
		own := filepath.Join(root, dir)
		if err := os.MkdirAll(own, 0o755); err != nil {
			return err
		}
		if err := unix.Mount(own, dir, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("mount a private %s: %w", dir, err)
		}
	}
	return mountSys()
}

// mountSys shows the interfaces of the new network namespace under /sys, read-only:
// systemd-networkd waits for udev for ever where /sys can be written to.
func mountSys() error {
	const flags = unix.MS_RDONLY | unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
	if unix.Mount("sysfs", "/sys", "sysfs", flags, "") == nil {
		return nil
	}
	// A container may be refused a new sysfs; the old one, read-only, does too.
	return bindReadOnly("/sys", "/sys", flags)
}

// bindReadOnly shows from at to as well, read-only there.
func bindReadOnly(from, to string, flags uintptr) error {
	if err := unix.Mount(from, to, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("mount %s: %w", to, err)
	}
	// A user namespace may not clear the flags that the file system is mounted with.
	var st unix.Statfs_t
	if err := unix.Statfs(from, &st); err != nil {
		return fmt.Errorf("look at %s: %w", from, err)
	}
	flags |= uintptr(st.Flags) & (unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC)
	flags |= unix.MS_BIND | unix.MS_REMOUNT | unix.MS_RDONLY
	if err := unix.Mount("", to, "", flags, ""); err != nil {
		return fmt.Errorf("make %s read-only: %w", to, err)
	}
	return nil
}

func replaceFile(path, text string, perm os.FileMode) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.WriteFile(path, []byte(text), perm)
}

// writable are the directories of /etc that programs of a lab get a copy of; the
// other directories are the real ones, read-only. Copying all of them takes half a second.
var writable = map[string]bool{"dhcp": true, "systemd": true, "udhcpc": true, "default": true, "network": true, "lessor": true}

// privateEtc makes dst a copy of /etc in which every file of its own may be changed.
// What may not be read, a shadow file for example, is left out.
func privateEtc(dst string) error {
	real := dst + ".real"
	for _, dir := range []string{dst, real} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	if err := bindReadOnly("/etc", real, 0); err != nil {
		return err
	}
	entries, err := os.ReadDir("/etc")
	if err != nil {
		return err
	}
	for _, e := range entries {
		from, to := filepath.Join("/etc", e.Name()), filepath.Join(dst, e.Name())
		switch {
		case e.IsDir() && writable[e.Name()]:
			err = copyTree(to, from)
		case e.IsDir():
			err = os.Symlink(filepath.Join(real, e.Name()), to)
		default:
			err = copyEntry(to, from, e)
		}
		if err != nil {
			return fmt.Errorf("copy %s: %w", from, err)
		}
	}
	return nil
}

func copyTree(dst, src string) error {
	return filepath.WalkDir(src, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(src, path)
		if err != nil {
			return err
		}
		return copyEntry(filepath.Join(dst, rel), path, d)
	})
}

// copyEntry copies one file, symbolic link or empty directory, and passes over
// what cannot be read or is of another kind.
func copyEntry(to, from string, d fs.DirEntry) error {
	info, err := d.Info()
	if err != nil {
		return nil // it went away while we copied
	}
	switch {
	case d.IsDir():
		return os.MkdirAll(to, info.Mode().Perm()|0o700)
	case d.Type() == fs.ModeSymlink:
		target, err := os.Readlink(from)
		if err != nil {
			return nil
		}
		return os.Symlink(target, to)
	case d.Type().IsRegular():
		b, err := os.ReadFile(from)
		if err != nil {
			return nil
		}
		return os.WriteFile(to, b, info.Mode().Perm()|0o200)
	}
	return nil
}
