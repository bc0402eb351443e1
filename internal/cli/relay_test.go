package cli

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"lessor/internal/local"
	runner "lessor/internal/relay/run"
)

func TestRelayUsage(t *testing.T) {
	good := []string{"relay", "--check", "--downstream", "eth1", "--server", "192.0.2.1"}
	for want, args := range map[string][]string{
		"which interfaces, and which servers?":                          {"relay"},
		"--downstream: which interfaces have clients?":                  {"relay", "--server", "192.0.2.1"},
		"--server: which servers are there?":                            {"relay", "--downstream", "eth1"},
		`--server: "192.0.2" is not an IPv4 address`:                    append(good, "--server", "192.0.2"),
		"--server: 224.0.0.1 cannot be the address of a host":           append(good, "--server", "224.0.0.1"),
		"--server: 192.0.2.1 is there twice":                            append(good, "--server", "192.0.2.1"),
		`--downstream: "eth1" is there twice`:                           append(good, "--downstream", "eth1"),
		`--trust: "eth2" is not one of --downstream`:                    append(good, "--trust", "eth2"),
		"--max-hops: write a number from 1 to 16, not 17":               append(good, "--max-hops", "17"),
		"--source-port: write a number from 1 to 65535, not 0":          append(good, "--source-port", "0"),
		`--option-82: "keep" is none of forward, append, replace, drop`: append(good, "--option-82", "keep"),
		`--circuit-id: "interfac" is no placeholder here`:               append(good, "--circuit-id", "${interfac}"),
		"--remote-id: the text has 254 octets, 253 are the most":        append(good, "--remote-id", strings.Repeat("x", 254)),
		"--giaddr: link selection of eth1 needs giaddr":                 append(good, "--link-selection"),
		"--giaddr: eth1 and eth2 have the same giaddr 192.0.2.2":        append(good, "--downstream", "eth2", "--giaddr", "192.0.2.2"),
		"--downstream and --config exclude each other":                  append(good, "-c", "relay.yaml"),
		`"lessor relay" takes no argument, but got "eth1"`:              {"relay", "eth1"},
		"unknown flag: --downstrem":                                     {"relay", "--downstrem", "eth1"},
	} {
		code, stdout, stderr := run(t, nil, nil, args...)
		if code != ExitUsage || stdout != "" || !strings.Contains(stderr, want) {
			t.Errorf("%q: code %d, want %q\n%s%s", args, code, want, stdout, stderr)
		}
	}
}

func TestRelayCheck(t *testing.T) {
	code, stdout, stderr := run(t, nil, nil, "relay", "--check", "--downstream", "eth1", "--downstream", "eth2", "--server", "192.0.2.1",
		"--server", "192.0.2.2", "--trust", "eth2", "--link-selection", "--giaddr", "192.0.2.9", "--circuit-id", "${interface}")
	const want = `relaying from eth1, eth2 to 192.0.2.1, 192.0.2.2 (no file)
  eth1            giaddr 192.0.2.9, link selection, circuit-id ${interface}
  eth2            giaddr 192.0.2.9, link selection, trusted, circuit-id ${interface}
`
	if code != ExitOK || stdout != want || stderr != "" {
		t.Errorf("code %d\n%s%s", code, stdout, stderr)
	}
	code, stdout, stderr = run(t, nil, nil, "relay", "--check", "-c", "../../examples/relay.yaml")
	if code != ExitOK || !strings.Contains(stdout, "  eth3            giaddr its first address, trusted, circuit-id ${hostname}:${interface}\n") || stderr != "" {
		t.Errorf("code %d\n%s%s", code, stdout, stderr)
	}
	bad := filepath.Join(t.TempDir(), "relay.yaml")
	if err := os.WriteFile(bad, []byte("relay: {downstream: eth1, server: 192.0.2.1}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	code, _, stderr = run(t, nil, nil, "relay", "--check", "-c", bad)
	if code != ExitUsage || !strings.Contains(stderr, bad+`:1:27: error: "server" is not a key of relay. Did you mean "servers"? [config/unknown-key]`) {
		t.Errorf("code %d\n%s", code, stderr)
	}
}

func TestRelayStatus(t *testing.T) {
	path := filepath.Join(t.TempDir(), "control.sock")
	code, _, stderr := run(t, nil, nil, "relay", "status", "--control", path)
	if code != ExitNoAccess || !strings.Contains(stderr, "nobody listens") || !strings.Contains(stderr, "lessor relay --downstream") {
		t.Errorf("without a relay agent: code %d\n%s", code, stderr)
	}
	l, err := local.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/relay", func(w http.ResponseWriter, _ *http.Request) {
		local.Answer(w, &runner.Status{Version: "1.2.3", PID: 7, Config: "no file", Servers: []string{"192.0.2.1"}, Requests: 5, ToServers: 3, Replies: 2, ToClients: 2,
			Dropped: []runner.Counter{{Name: "hops", Count: 2}}, Omitted: []runner.Counter{{Name: "no-room", Count: 1}}, SendFailed: 4,
			Interfaces: []runner.Interface{{Name: "eth1", State: "served", Addresses: []string{"198.18.1.1/24"}, GIAddr: "198.18.1.1"},
				{Name: "eth2", State: "waiting", Trusted: true}}})
	})
	s := local.Serve(l, mux)
	defer s.Close()
	code, stdout, stderr := run(t, nil, nil, "relay", "status", "--control", path)
	const want = `relay agent    lessor 1.2.3, pid 7
configuration  no file
servers        192.0.2.1
requests       5, to servers 3
replies        2, to clients 2
dropped        hops 2
no option 82   no-room 1
lost           0 in sockets, 4 at sending, 0 log lines
` + "INTERFACE\tSTATE\tADDRESSES\tGIADDR\tTRUSTED\neth1\tserved\t198.18.1.1/24\t198.18.1.1\tno\neth2\twaiting\t<none>\t<none>\tyes\n"
	if code != ExitOK || stdout != want || stderr != "" {
		t.Errorf("code %d\n%s%s", code, stdout, stderr)
	}
	_, stdout, _ = run(t, nil, nil, "relay", "status", "--control", path, "-o", "json")
	var got runner.Status
	if err := json.Unmarshal([]byte(stdout), &got); err != nil || got.Dropped[0].Name != "hops" || len(got.Interfaces) != 2 {
		t.Errorf("%v\n%s", err, stdout)
	}
	line := relayCounters(&got)
	if line != "requests 5, to servers 3; replies 2, to clients 2; dropped: hops 2; without option 82: no-room 1; lost: 4 at sending, 0 in sockets" {
		t.Errorf("%s", line)
	}
}
