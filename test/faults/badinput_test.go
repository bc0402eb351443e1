package faults

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lessor/internal/netlab"
)

// tree lists everything below the directories: kind, mode, owner, and the sum of what
// is in it.
func tree(t *testing.T, dirs ...string) map[string]string {
	t.Helper()
	list := map[string]string{}
	for _, dir := range dirs {
		check(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			info, err := d.Info()
			if err != nil {
				return err
			}
			st := info.Sys().(*syscall.Stat_t)
			text := fmt.Sprintf("%v %d:%d", info.Mode(), st.Uid, st.Gid)
			if d.Type().IsRegular() {
				b, err := os.ReadFile(path)
				if err != nil {
					return err
				}
				text += fmt.Sprintf(" %d %x", len(b), sha256.Sum256(b))
			}
			list[path] = text
			return nil
		}))
	}
	return list
}

// refusal is how a start must end.
type refusal struct {
	code  int
	first string   // the first line of standard error begins like this
	words []string // what else the text must hold
}

// mustRefuse starts the server, which must end by itself with one clear error and leave
// nothing changed.
func (s *site) mustRefuse(t *testing.T, want refusal, attr *syscall.SysProcAttr, args ...string) {
	t.Helper()
	watched := []string{filepath.Dir(s.conf), s.host.Path("/run"), s.host.Path("/var/lib/lessor")}
	if !strings.HasPrefix(s.state, filepath.Dir(s.conf)) {
		watched = append(watched, s.state)
	}
	_ = os.MkdirAll(s.host.Path("/var/lib/lessor"), 0o755)
	before := tree(t, watched...)
	r := s.end(t, attr, args...)
	if after := tree(t, watched...); !maps.Equal(before, after) {
		t.Errorf("the start changed files: %v", difference(before, after))
	}
	line, _, _ := strings.Cut(r.err, "\n")
	if r.code != want.code || !strings.HasPrefix(line, want.first) {
		t.Errorf("exit code %d, want %d; first line %q, want %q", r.code, want.code, line, want.first)
	}
	for _, w := range want.words {
		if !strings.Contains(r.err, w) {
			t.Errorf("%q does not hold %q", r.err, w)
		}
	}
	if got := faults(r.err); got != 1 {
		t.Errorf("%d errors are told, not one: %q", got, r.err)
	}
	if r.out != "" {
		t.Errorf("standard output holds %q", r.out)
	}
	t.Logf("exit %d: %s", r.code, strings.TrimSpace(r.err))
}

// faults counts the errors that a text tells. What to do stands in further, indented lines.
func faults(text string) (n int) {
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "lessor: ") || strings.Contains(line, ": error: ") {
			n++
		} else if !strings.HasPrefix(line, " ") {
			n += 1000 // something else was written
		}
	}
	return n
}

// end runs a server that must end by itself.
func (s *site) end(t *testing.T, attr *syscall.SysProcAttr, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if args == nil {
		args = s.args()
	}
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = &out, &errs, attr
	check(t, s.host.Do(cmd.Start))
	err := cmd.Wait()
	if _, bad := errors.AsType[*exec.ExitError](err); err != nil && !bad || ctx.Err() != nil {
		t.Fatalf("%q has not ended by itself: %v: %q", args, err, errs.String())
	}
	return result{cmd.ProcessState.ExitCode(), out.String(), errs.String()}
}

func difference(a, b map[string]string) (d []string) {
	for k, v := range a {
		if b[k] != v {
			d = append(d, fmt.Sprintf("%s: %q became %q", k, v, b[k]))
		}
	}
	for k, v := range b {
		if _, ok := a[k]; !ok {
			d = append(d, fmt.Sprintf("%s is new: %q", k, v))
		}
	}
	return d
}

// used makes a site whose server has run before, so that there is something to change.
func used(t *testing.T) *site {
	t.Helper()
	s := newSite(t)
	n := s.start(t)
	s.newLoad(4, 0).bind(t, 10)
	check(t, n.Stop(5*time.Second))
	return s
}

// nobody is a user without rights, with these capabilities and no others.
const nobody = 65534

func asNobody(caps ...uintptr) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}, AmbientCaps: caps}
}

// giveTo gives the site's files to nobody, and the way to them.
func (s *site) giveTo(t *testing.T, uid int) {
	t.Helper()
	for dir := filepath.Dir(s.conf); dir != "/" && dir != os.TempDir(); dir = filepath.Dir(dir) {
		check(t, os.Chmod(dir, 0o755))
	}
	check(t, filepath.WalkDir(filepath.Dir(s.conf), func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Chown(path, uid, uid)
	}))
}

func TestStartWithoutRights(t *testing.T) {
	s := used(t)
	s.giveTo(t, nobody)
	s.mustRefuse(t, refusal{4, "lessor: ", []string{"CAP_NET_RAW", "CAP_NET_BIND_SERVICE", "setcap"}}, asNobody())
	// With these two and nothing else it serves.
	cmd := append([]string{"setpriv", fmt.Sprint("--reuid=", nobody), fmt.Sprint("--regid=", nobody), "--clear-groups", "--inh-caps=-all,+net_raw,+net_bind_service",
		"--ambient-caps=-all,+net_raw,+net_bind_service", "--bounding-set=-all,+net_raw,+net_bind_service"}, s.args()...)
	n := s.startSpec(t, netlab.Spec{Args: cmd})
	s.newLoad(4, 0).bind(t, 10)
	check(t, n.Stop(5*time.Second))
}

func TestStartWithPort67Taken(t *testing.T) {
	s := used(t)
	other := try(s.host.Start(netlab.Spec{Args: []string{"dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--port=0", "--interface=eth0", "--except-interface=lo",
		"--dhcp-range=198.18.3.10,198.18.3.20", "--dhcp-leasefile=/run/dnsmasq.leases", "--pid-file=", "--user=root", "--log-facility=-"}}))(t)
	check(t, other.WaitOutput("DHCP, IP range", 5*time.Second))
	s.mustRefuse(t, refusal{6, "lessor: port 67 on eth0 is used by dnsmasq", []string{fmt.Sprint("pid ", other.PID()), "stop it"}}, nil)
	check(t, other.Stop(5*time.Second))
	check(t, s.start(t).Stop(5*time.Second))
}

func TestTwoServersOnOneStateDirectory(t *testing.T) {
	s := newSite(t)
	l := s.newLoad(4, 0)
	n := s.start(t)
	l.bind(t, 10)
	// A second interface, so that only the state directory is shared.
	check(t, s.lab.Wire(s.host, "eth1", s.clients, "eth1"))
	check(t, s.host.AddAddr("eth1", "192.0.2.1/24"))
	conf := filepath.Join(filepath.Dir(s.conf), "other.yaml")
	check(t, os.WriteFile(conf, []byte("interfaces: [eth1]\nsubnets:\n  - {subnet: 192.0.2.0/24, pools: [192.0.2.10-192.0.2.20]}\n"), 0o644))
	s.mustRefuse(t, refusal{6, "lessor: ", []string{s.state, fmt.Sprintf("pid %d (lessor serve)", n.PID()), "--state"}}, nil,
		lessor, "serve", "-c", conf, "--state", s.state, "--control", s.socket+"2", "--log-format", "json")
	l.bind(t, 10) // the first one has not noticed
	check(t, n.Stop(5*time.Second))
	l.mustHold(t, "at the end", s.leases(t, false))
}

func TestStateDirectoryNotWritable(t *testing.T) {
	caps := []uintptr{unix.CAP_NET_RAW, unix.CAP_NET_BIND_SERVICE}
	t.Run("parent", func(t *testing.T) {
		s := newSite(t)
		s.giveTo(t, 0)
		s.mustRefuse(t, refusal{4, "lessor: cannot make state directory", []string{s.state, "permission denied"}}, asNobody(caps...))
	})
	t.Run("another user's", func(t *testing.T) {
		s := used(t)
		s.giveTo(t, 0)
		check(t, os.Chmod(s.state, 0o755))
		s.mustRefuse(t, refusal{4, "lessor: ", []string{s.state, "permission denied"}}, asNobody(caps...))
	})
	t.Run("read-only file system", func(t *testing.T) {
		s := newSite(t)
		check(t, os.Mkdir(s.state, 0o700))
		check(t, s.host.Do(func() error {
			if err := unix.Mount(s.state, s.state, "", unix.MS_BIND, ""); err != nil {
				return err
			}
			return unix.Mount("", s.state, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, "")
		}))
		s.mustRefuse(t, refusal{1, "lessor: ", []string{s.state, "read-only file system"}}, nil)
	})
	t.Run("a file", func(t *testing.T) {
		s := newSite(t)
		check(t, os.WriteFile(s.state, []byte("not a directory\n"), 0o600))
		s.mustRefuse(t, refusal{1, "lessor: ", []string{s.state, "not a directory"}}, nil)
	})
}

// Every fault of a file is told once, with its place and what to do, and the server
// does not start.
func TestBadConfigurations(t *testing.T) {
	s := used(t)
	const head = "interfaces: [eth0]\nsubnets:\n  - subnet: 192.0.2.0/24\n"
	for _, c := range []struct {
		name, text string
		at         string // line and column
		words      []string
	}{
		{"unknown key", head + "    pools: [192.0.2.50-192.0.2.90]\n    reservation: []\n", "5:5", []string{`"reservation"`, `Did you mean "reservations"?`}},
		{"wrong type", head + "    pools: [192.0.2.50-192.0.2.90]\n    valid-lifetime: 12hours\n", "5:21", []string{`"12hours"`, "12h, 90m"}},
		{"wrong type of a map", head + "    pools: [192.0.2.50-192.0.2.90]\n    options: 7\n", "5:14", []string{`"7"`}},
		{"range outside its subnet", head + "    pools: [198.51.100.50-198.51.100.90]\n", "4:13", []string{"outside its subnet 192.0.2.0/24", "192.0.2.50-192.0.2.90"}},
		{"overlapping pools", head + "    pools: [192.0.2.50-192.0.2.120, 192.0.2.100-192.0.2.200]\n", "4:37", []string{"overlap", "192.0.2.100-192.0.2.120", "4:13"}},
		{"overlapping subnets", head + "    pools: [192.0.2.50-192.0.2.90]\n  - subnet: 192.0.2.0/25\n    pools: [192.0.2.10-192.0.2.20]\n", "5:13", []string{"overlap", "192.0.2.0/24"}},
		{"address reserved twice", head + "    pools: [192.0.2.50-192.0.2.90]\n    reservations:\n      - {hw-address: 02:00:5e:10:00:01, ip-address: 192.0.2.10}\n" +
			"      - {hw-address: 02:00:5e:10:00:02, ip-address: 192.0.2.10}\n", "7:53", []string{"192.0.2.10", "already reserved", "02:00:5e:10:00:01", "6:53"}},
		{"client reserved twice", head + "    pools: [192.0.2.50-192.0.2.90]\n    reservations:\n      - {hw-address: 02:00:5e:10:00:01, ip-address: 192.0.2.10}\n" +
			"      - {hw-address: 02:00:5e:10:00:01, ip-address: 192.0.2.11}\n", "7:22", []string{"02:00:5e:10:00:01"}},
		{"short hardware address", head + "    reservations:\n      - {hw-address: 02:00:5e:10:01, ip-address: 192.0.2.10}\n", "5:22", []string{"5 bytes", "6"}},
		{"unknown option", head + "    pools: [192.0.2.50-192.0.2.90]\n    options: {dns-servers: 192.0.2.1}\n", "5:15", []string{"dns-servers", "domain-name-servers"}},
		{"not YAML", head + "\tpools: []\n", "4:1", []string{"tab"}},
		{"empty", "", "1:1", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			s.configure(t, c.text)
			s.mustRefuse(t, refusal{2, s.conf + ":" + c.at, c.words}, nil)
		})
	}
	t.Run("missing", func(t *testing.T) {
		check(t, os.Remove(s.conf))
		s.mustRefuse(t, refusal{2, "", []string{s.conf}}, nil)
	})
}
