package cli

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/term"
)

// Paths of a server that runs as root or from its unit.
const (
	systemState  = "/var/lib/lessor"
	systemSocket = "/run/lessor/control.sock"

	// Clients have a directory of their own: systemd removes /run/lessor when the server's
	// unit stops.
	systemClients = "/run/lessor-client"
)

// env is the value of an environment variable, "" when it is not set.
func (g *globals) env(name string) string {
	for i := len(g.environ) - 1; i >= 0; i-- {
		if v, ok := strings.CutPrefix(g.environ[i], name+"="); ok {
			return v
		}
	}
	return ""
}

// storeDir is the directory of the lease database: from --state, from the
// configuration (lease-database), from systemd (StateDirectory), or the usual place of
// the system or of the user. A user without a home gets the system's, never a directory
// that depends on where the command was started: the leases would not be found again.
func (g *globals) storeDir(state, configured string) string {
	switch {
	case state != "":
		return filepath.Join(state, "db")
	case configured != "":
		return configured
	case g.env("STATE_DIRECTORY") != "":
		return filepath.Join(g.env("STATE_DIRECTORY"), "db")
	case os.Geteuid() == 0:
		return filepath.Join(systemState, "db")
	}
	return g.userStoreDir()
}

// userStoreDir is the usual place of a user. Only absolute paths of the environment count.
func (g *globals) userStoreDir() string {
	if dir := g.env("XDG_STATE_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "lessor", "db")
	}
	if home := g.env("HOME"); filepath.IsAbs(home) {
		return filepath.Join(home, ".local", "state", "lessor", "db")
	}
	return filepath.Join(systemState, "db")
}

// ownSocket is where a server of this user answers.
func (g *globals) ownSocket() string {
	switch {
	case g.env("RUNTIME_DIRECTORY") != "":
		return filepath.Join(g.env("RUNTIME_DIRECTORY"), "control.sock")
	case os.Geteuid() == 0 || g.env("XDG_RUNTIME_DIR") == "":
		return systemSocket
	}
	return filepath.Join(g.env("XDG_RUNTIME_DIR"), "lessor", "control.sock")
}

// socket is the server to ask: --connect, else this user's, else the system's.
func (g *globals) socket() string {
	if g.connect != "" {
		return strings.TrimPrefix(g.connect, "unix://")
	}
	own := g.ownSocket()
	if _, err := os.Stat(own); err != nil {
		return systemSocket
	}
	return own
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// clock is the time of a log line on a terminal.
func (g *globals) clock(t time.Time) string {
	if g.utc {
		t = t.UTC()
	}
	return t.Format("15:04:05.000")
}

// clientLeases is the lease file of the client on an interface: in systemd's state
// directory, or the usual place of the system or of the user.
func (g *globals) clientLeases(ifname string) string {
	dir := filepath.Dir(g.storeDir("", ""))
	if s := g.env("STATE_DIRECTORY"); s != "" {
		dir = s
	}
	return filepath.Join(dir, "client-"+ifname+".leases")
}

// clientSockets is the directory in which clients of this user answer, each on IFACE.sock.
func (g *globals) clientSockets() string {
	switch dir := g.env("XDG_RUNTIME_DIR"); {
	case g.env("RUNTIME_DIRECTORY") != "":
		return g.env("RUNTIME_DIRECTORY")
	case os.Geteuid() == 0 || !filepath.IsAbs(dir):
		return systemClients
	default:
		return filepath.Join(dir, "lessor-client")
	}
}

// clientSocket is where the client on an interface answers.
func (g *globals) clientSocket(ifname string) string {
	return filepath.Join(g.clientSockets(), ifname+".sock")
}
