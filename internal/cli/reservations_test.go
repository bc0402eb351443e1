package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const reservedConfig = `# the office
interfaces: [eth0]
subnets:
  - subnet: 192.0.2.0/24
    name: office
    pools: [192.0.2.50-192.0.2.200]
    reservations:
      # floor 1
      - {hw-address: 02:00:5e:10:00:01, ip-address: 192.0.2.10, hostname: printer} # old
  - {subnet: 198.51.100.0/24, name: lab, pools: [198.51.100.7]}
`

// quiet is an environment in which no server and no store of this machine is found.
func quiet(t *testing.T) []string {
	t.Helper()
	return []string{"STATE_DIRECTORY=" + t.TempDir(), "XDG_RUNTIME_DIR=" + t.TempDir(), "RUNTIME_DIRECTORY=" + t.TempDir()}
}

func TestReservations(t *testing.T) {
	name, env := writeTemp(t, reservedConfig), quiet(t)
	read := func() string {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	for _, c := range []struct {
		args string
		code int
		out  string // a part of standard output
		err  string // a part of standard error
	}{
		{"add 192.0.2.77 --hw-address 02:00:5e:10:00:77 --hostname nas --dry-run", ExitOK, "+      - {hw-address: 02:00:5e:10:00:77, ip-address: 192.0.2.77, hostname: nas}\n", "dry run"},
		{"add 192.0.2.77 --hw-address 02:00:5e:10:00:77 --hostname nas", ExitOK, "reservation/nas added (" + name + ":10)", ""},
		{"add --subnet lab --client-id 'x7' --hostname x", ExitOK, "reservation/x added (" + name + ":11)", ""},
		{"add 192.0.2.77 --hw-address 02:00:5e:10:00:78", ExitConflict, "", "already reserved for 02:00:5e:10:00:77 at 10:"},
		{"add 192.0.2.78 --hw-address 02:00:5e:10:00:77", ExitConflict, "", "at 10:22"},
		{"add 192.0.2.255 --hw-address 02:00:5e:10:00:78", ExitUsage, "", "[config/reservation-address]"},
		{"add 203.0.113.9 --hw-address 02:00:5e:10:00:78", ExitNotFound, "", "no subnet"},
		{"add 192.0.2.78 --subnet lab --hw-address 02:00:5e:10:00:78", ExitUsage, "", "is in the subnet office"},
		{"add --subnet none --hw-address 02:00:5e:10:00:78 --hostname y", ExitNotFound, "", "office, lab"},
		{"add --hw-address 02:00:5e:10:00:78 --hostname y", ExitUsage, "", "--subnet"},
		{"add 192.0.2.78", ExitUsage, "", "whose"},
		{"add 192.0.2.300 --hw-address 02:00:5e:10:00:78", ExitUsage, "", "192.0.2.300"},
		{"rm none", ExitNotFound, "", "no reservation"},
		{"from 192.0.2.99", ExitNoAccess, "", "no server"},
		{"list nas", ExitOK, "192.0.2.77", ""},
		{"list none", ExitNotFound, "", "matches"},
		{"rm nas --dry-run", ExitOK, "-      - {hw-address: 02:00:5e:10:00:77", ""},
		{"rm 02:00:5E:10:00:77", ExitOK, "reservation/nas removed", ""},
	} {
		code, out, errOut := run(t, env, nil, append([]string{"--config", name, "reservations"}, strings.Fields(c.args)...)...)
		if code != c.code || !strings.Contains(out, c.out) || !strings.Contains(errOut, c.err) || c.out == "" && c.code != ExitOK && strings.Contains(out, "added") {
			t.Errorf("%s: code %d\n%s\n%s\nwant %+v", c.args, code, out, errOut, c)
		}
	}
	want := strings.Replace(reservedConfig, "name: lab, pools: [198.51.100.7]}", "name: lab, pools: [198.51.100.7], reservations: [{client-id: \"'x7'\", hostname: x}]}", 1)
	if got := read(); got != want {
		t.Errorf("the file is\n%s\nwant\n%s", got, want)
	}
	var list []map[string]any
	if code, out, _ := run(t, env, nil, "--config", name, "reservations", "list", "-o", "json"); code != ExitOK || json.Unmarshal([]byte(out), &list) != nil || len(list) != 2 {
		t.Errorf("code %d, %s", code, out)
	} else if list[0]["address"] != "192.0.2.10" || list[0]["line"] != 9.0 || list[1]["subnet"] != "lab" {
		t.Errorf("%v", list)
	}
}

// TestReservationsLeaveABadFile: a file with errors, one that is not there and standard
// input are not changed.
func TestReservationsLeaveABadFile(t *testing.T) {
	bad := writeTemp(t, reservedConfig+"colour: blue\n")
	for path, code := range map[string]int{bad: ExitBad, filepath.Join(t.TempDir(), "none"): ExitNotFound} {
		if got, _, errOut := run(t, quiet(t), nil, "-c", path, "reservations", "rm", "printer"); got != code || errOut == "" {
			t.Errorf("%s: code %d, %s", path, got, errOut)
		}
	}
	if b, err := os.ReadFile(bad); err != nil || string(b) != reservedConfig+"colour: blue\n" {
		t.Errorf("%s, %v", b, err)
	}
}

func TestUnified(t *testing.T) {
	for _, c := range []struct{ a, b, want string }{
		{"a\n", "a\n", ""},
		{"1\n2\n3\n4\n5\n", "1\n2\n3\n4\nx\n5\n", "--- f\n+++ f\n@@ -2,4 +2,5 @@\n 2\n 3\n 4\n+x\n 5\n"},
		{"a\n", "", "--- f\n+++ f\n@@ -1,1 +1,0 @@\n-a\n"},
		{"a", "a\n", "--- f\n+++ f\n@@ -1,1 +1,1 @@\n-a\n\\ No newline at end of file\n+a\n"},
	} {
		if got := unified("f", c.a, c.b); got != c.want {
			t.Errorf("%q to %q:\n%s\nwant\n%s", c.a, c.b, got, c.want)
		}
	}
}
