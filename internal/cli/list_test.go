package cli

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v4"
)

type host struct {
	Address string   `json:"address"`
	Name    string   `json:"name"`
	Tags    []string `json:"tags"`
}

var hostColumns = []column[host]{
	{name: "ADDRESS", cell: func(h host) cell { return cell{h.Address, good} }},
	{name: "NAME", cell: func(h host) cell { return cell{text: h.Name} }},
	{name: "TAGS", wide: true, cell: func(h host) cell { return cell{text: strings.Join(h.Tags, ",")} }},
}

var hosts = []host{
	{"192.0.2.10", "printer", []string{"a", "b"}},
	{"192.0.2.100", "=evil\x1b[2J", nil},
	{"192.0.2.7", "", nil},
}

func list(t *testing.T, g *globals, items []host) string {
	t.Helper()
	var out bytes.Buffer
	g.stdout = &out
	l := newLister(g, hostColumns)
	for _, h := range items {
		if err := l.add(h); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.close(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestTable(t *testing.T) {
	for _, c := range []struct {
		name  string
		g     globals
		items []host
		want  string
	}{
		{"terminal", globals{output: "table", terminal: true}, hosts,
			"ADDRESS      NAME\n192.0.2.10   printer\n192.0.2.100  =evil�[2J\n192.0.2.7    <none>\n"},
		{"narrow terminal", globals{output: "table", terminal: true, width: 16}, hosts[:1],
			"ADDRESS     NAME\n192.0.2.10  pri…\n"},
		{"colour", globals{output: "table", terminal: true, colored: true, noHeaders: true}, hosts[:1],
			"\x1b[32m192.0.2.10\x1b[0m  printer\n"},
		{"pipe", globals{output: "table"}, hosts,
			"ADDRESS\tNAME\n192.0.2.10\tprinter\n192.0.2.100\t=evil�[2J\n192.0.2.7\t<none>\n"},
		{"pipe wide", globals{output: "wide", noHeaders: true}, hosts[:1], "192.0.2.10\tprinter\ta,b\n"},
		{"pipe empty", globals{output: "table"}, nil, "ADDRESS\tNAME\n"},
		{"terminal empty", globals{output: "table", terminal: true}, nil, ""},
		{"json empty", globals{output: "json"}, nil, "[]\n"},
		{"yaml", globals{output: "yaml"}, hosts[:1],
			"- address: 192.0.2.10\n  name: printer\n  tags:\n      - a\n      - b\n"},
	} {
		if diff := cmp.Diff(c.want, list(t, &c.g, c.items)); diff != "" {
			t.Errorf("%s:\n%s", c.name, diff)
		}
	}
}

func TestListsCanBeReadBack(t *testing.T) {
	var fromJSON, fromYAML []host
	if err := json.Unmarshal([]byte(list(t, &globals{output: "json"}, hosts)), &fromJSON); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(hosts, fromJSON); diff != "" {
		t.Errorf("JSON:\n%s", diff)
	}
	if err := yaml.Unmarshal([]byte(list(t, &globals{output: "yaml"}, hosts)), &fromYAML); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(hosts, fromYAML, cmp.Transformer("nil", func(s []string) []string {
		if len(s) == 0 {
			return nil
		}
		return s
	})); diff != "" {
		t.Errorf("YAML:\n%s", diff)
	}
	for line := range strings.Lines(list(t, &globals{output: "jsonl"}, hosts)) {
		if !json.Valid([]byte(line)) {
			t.Errorf("not a JSON line: %q", line)
		}
	}
	rows, err := csv.NewReader(strings.NewReader(list(t, &globals{output: "csv"}, hosts))).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if len(rows) != 4 || rows[2][1] != "'=evil�[2J" || rows[1][2] != "a,b" {
		t.Errorf("CSV: %q", rows)
	}
}

func TestTimes(t *testing.T) {
	now := time.Date(2026, 11, 24, 8, 11, 2, 0, time.UTC)
	for d, want := range map[time.Duration]string{
		0:                             "in 0s",
		59 * time.Second:              "in 59s",
		200 * time.Second:             "in 3m20s",
		6*time.Hour + 3*time.Minute:   "in 6h03m",
		52*time.Hour + 59*time.Minute: "in 2d04h",
		-90 * time.Second:             "1m30s ago",
	} {
		if got := (&globals{terminal: true}).when(now.Add(d), now); got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
	if got := (&globals{utc: true}).when(now, now); got != "2026-11-24T08:11:02Z" {
		t.Errorf("in a pipe: %q", got)
	}
	if got := (&globals{}).when(time.Time{}, now); got != "" {
		t.Errorf("no time: %q", got)
	}
}
