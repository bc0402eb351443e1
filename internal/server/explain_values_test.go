package server_test

import (
	"testing"

	"lessor/dhcp4"
	"lessor/internal/config"
	"lessor/internal/server"
	"lessor/internal/wire"
)

// TestExplainValues: of each class that was tested, explain shows what its test read.
func TestExplainValues(t *testing.T) {
	h := newHarness(t)
	conf, problems := config.Parse("one.yaml", []byte(`
interfaces: [eth0]
client-classes:
  - {name: phones, test: 'giaddr == "192.0.2.9" && message == "DISCOVER"'}
  - {name: direct, test: 'message == "DISCOVER" && !member("phones")'}
  - {name: named, test: 'option["domain-name"] == "corp.example"'}
subnets:
  - {subnet: 198.18.0.0/24, pools: [198.18.0.100-198.18.0.200]}
`))
	if conf == nil {
		t.Fatal(problems)
	}
	h.core.SetPolicy(h.now, conf.Policy(), &h.e)
	h.core.SetLinks(h.now, []wire.Link{{ID: 1, Name: "eth0", MAC: wire.MAC{2, 0, 0, 0, 0xff, 1}, MTU: 1500,
		Addrs: []dhcp4.Prefix{{Addr: dhcp4.MustParseAddr("198.18.0.1"), Bits: 24}}}}, &h.e)
	pkt := newPacket(t, 1).packet()
	var tr server.Trace
	var fx server.Effects
	h.core.Explain(h.now, &pkt, &tr, &fx)
	want := map[string]string{
		"phones": `giaddr == "192.0.2.9" && message == "DISCOVER": giaddr 0.0.0.0, message "DISCOVER"`,
		"direct": `message == "DISCOVER" && !member("phones"): message "DISCOVER", member("phones") false`,
		"named":  `option["domain-name"] == "corp.example": option["domain-name"] is not sent`,
	}
	for _, s := range tr.Steps {
		if w, ok := want[s.Name]; ok && s.Stage == server.StageClass {
			if got := s.Text + ": " + s.Detail; got != w {
				t.Errorf("class %s: %s\nwant %s", s.Name, got, w)
			}
			delete(want, s.Name)
		}
	}
	if len(want) > 0 {
		t.Errorf("not told: %v", want)
	}
}
