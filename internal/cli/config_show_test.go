package cli

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestConfigShow(t *testing.T) {
	name := writeTemp(t, "interfaces: [eth0]\nsubnets:\n  - {subnet: 192.0.2.0/24, pools: [192.0.2.7], valid-lifetime: 1h}\n")
	code, out, errOut := run(t, nil, nil, "config", "show", "--effective", "--origin", name)
	if code != ExitOK || errOut != "" || !strings.Contains(out, "        max-valid-lifetime: 1h ") || !strings.Contains(out, "# "+name+":3\n") || !strings.Contains(out, "# default\n") {
		t.Errorf("code %d, %s\n%s", code, errOut, out)
	}
	if code, out, _ := run(t, nil, nil, "config", "show", name); code != ExitOK || strings.Contains(out, "#") || strings.Contains(out, "authoritative") {
		t.Errorf("code %d\n%s", code, out)
	}
	var list []struct{ Path, Value, Origin string }
	code, out, _ = run(t, nil, nil, "config", "show", "-o", "json", name)
	if err := json.Unmarshal([]byte(out), &list); err != nil || code != ExitOK || len(list) != 4 || list[3].Path != "subnets[192.0.2.0/24].pools[192.0.2.7].pool" || list[3].Origin != name+":3" {
		t.Errorf("code %d, %v\n%s", code, err, out)
	}
	for args, want := range map[string]int{name + " -o csv": ExitUsage, name + ".none": ExitNotFound, writeTemp(t, "interfaces: []\n"): ExitBad, name + " x": ExitUsage} {
		if code, out, errOut := run(t, nil, nil, append([]string{"config", "show"}, strings.Fields(args)...)...); code != want || out != "" || errOut == "" {
			t.Errorf("config show %s: code %d, %s%s", args, code, out, errOut)
		}
	}
}
