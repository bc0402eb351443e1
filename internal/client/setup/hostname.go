package setup

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// maxHostName is the longest name that the kernel takes.
const maxHostName = 64

func hostName() (string, error) {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return "", err
	}
	name, _, _ := bytes.Cut(u.Nodename[:], []byte{0})
	return string(name), nil
}

// applyHostName gives the kernel the lease's host name; of one that is too long its first
// label. The file /etc/hostname is not touched.
func (h *Host) applyHostName(name string) error {
	if name == "" {
		return h.clearHostName()
	}
	if len(name) > maxHostName {
		name, _, _ = strings.Cut(name, ".")
	}
	now, err := hostName()
	if err != nil {
		return fmt.Errorf("read the host name: %w", err)
	}
	if now == name {
		return nil
	}
	was := h.done.HostName
	old := now
	if was != nil && was.New == now {
		old = was.Old
	}
	h.done.HostName = &changed[string]{Old: old, New: name}
	h.saveUndo()
	if err := unix.Sethostname([]byte(name)); err != nil {
		h.done.HostName = was
		h.saveUndo()
		return hostNameError(name, err)
	}
	return nil
}

// clearHostName gives the kernel the old name back, unless somebody gave it another.
func (h *Host) clearHostName() error {
	c := h.done.HostName
	if c == nil {
		return nil
	}
	now, err := hostName()
	if err != nil {
		return fmt.Errorf("read the host name: %w", err)
	}
	if now == c.New {
		if err := unix.Sethostname([]byte(c.Old)); err != nil {
			return hostNameError(c.Old, err)
		}
	}
	h.done.HostName = nil
	h.saveUndo()
	return nil
}

func hostNameError(name string, err error) error {
	if errors.Is(err, unix.EPERM) {
		return fmt.Errorf("set the host name to %s: needs CAP_SYS_ADMIN: run it as root, or leave out --set-hostname (%w)", name, err)
	}
	return fmt.Errorf("set the host name to %s: %w", name, err)
}
