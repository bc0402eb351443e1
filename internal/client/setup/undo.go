package setup

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// undo is what has to be put back. It stands in a file beside the lease file from
// before each change until it has been undone.
type undo struct {
	Boot string   // boot id and network namespace: what follows Files holds there only
	File *oldFile `json:",omitempty"`
	DNS  *oldDNS  `json:",omitempty"`

	SetUp    bool             `json:",omitempty"` // we set the interface up
	Index    int              `json:",omitempty"` // the interface that SetUp is about
	Addr     *ownAddr         `json:",omitempty"`
	MTU      *changed[int]    `json:",omitempty"`
	HostName *changed[string] `json:",omitempty"`
}

func (u *undo) empty() bool {
	return u.File == nil && u.DNS == nil && !u.SetUp && u.Addr == nil && u.MTU == nil && u.HostName == nil
}

// undoPath is where undo is kept; "" for nowhere.
func (h *Host) undoPath() string {
	if h.o.LeaseFile == "" {
		return ""
	}
	return h.o.LeaseFile + ".undo"
}

// readUndo reads what an earlier run did not put back. What it says of the kernel's
// state holds for the same boot and network namespace only; what it says of files
// stays true.
func (h *Host) readUndo() undo {
	here := undo{Boot: bootAndNamespace()}
	path := h.undoPath()
	if path == "" {
		return here
	}
	b, err := readOwn(path)
	if b == nil && err == nil {
		return here
	}
	var u undo
	if err == nil {
		d := json.NewDecoder(bytes.NewReader(b))
		d.DisallowUnknownFields()
		if err = d.Decode(&u); err != nil {
			err = fmt.Errorf("%s cannot be read (%v)", path, err)
		}
	}
	if err != nil {
		h.warn(fmt.Sprintf("what an earlier run changed on %s cannot be put back: %v", h.name, err))
		return here
	}
	if u.Boot != here.Boot {
		here.File = u.File
		return here
	}
	h.last = u.Index
	return u
}

// saveUndo writes down what has to be put back. It is synced only where a power cut
// would not undo it anyway. Without it nothing is lost but the way back after a kill,
// and a host whose disk is full or read-only needs its address: so it is a warning.
func (h *Host) saveUndo() {
	path := h.undoPath()
	if path == "" {
		return
	}
	err := h.writeUndo(path)
	if err != nil {
		err = fmt.Errorf("if this client is killed, nobody will know what to put back on %s: %w", h.name, err)
	}
	h.report("undo", err)
}

func (h *Host) writeUndo(path string) error {
	if err := notAFile(path); err != nil {
		return err
	}
	if h.done.empty() {
		return remove(path)
	}
	h.done.Index = h.last
	b, err := json.MarshalIndent(&h.done, "", "\t")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	return replace(path, append(b, '\n'), meta{Mode: 0o600, UID: -1}, h.done.File != nil)
}

// bootAndNamespace names the life of what the kernel holds for us.
func bootAndNamespace() string {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		boot = []byte("unknown")
	}
	var st unix.Stat_t
	if err := unix.Stat("/proc/thread-self/ns/net", &st); err != nil {
		return strings.TrimSpace(string(boot))
	}
	return fmt.Sprintf("%s %d", strings.TrimSpace(string(boot)), st.Ino)
}
