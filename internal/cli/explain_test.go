package cli

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"

	"lessor/dhcp4"
	"lessor/internal/control"
	"lessor/internal/wire"
)

const explainConfig = `
interfaces: [eth0, eth1]
conflict-check: off
client-classes:
  - {name: phones, test: 'option["vendor-class-identifier"] == "phone"'}
shared-networks:
  - name: building-a
    subnets:
      - {subnet: 198.18.1.0/24, pools: [198.18.1.50-198.18.1.99], options: {routers: 198.18.1.1}}
      - {subnet: 198.18.2.0/24}
subnets:
  - subnet: 198.18.8.0/22
    name: campus
    relay: 198.18.255.1
    pools: [198.18.8.50-198.18.11.250]
    reservations:
      - {circuit-id: eth1/0/3, ip-address: 198.18.8.10, hostname: printer}
`

// explain runs "lessor explain" with explainConfig.
func explain(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "lessor.yaml")
	if err := os.WriteFile(file, []byte(explainConfig), 0o600); err != nil {
		t.Fatal(err)
	}
	return run(t, nil, nil, append([]string{"explain", "-c", file}, args...)...)
}

// TestExplainFile: each kind of message, and what relay agents add, against a file.
func TestExplainFile(t *testing.T) {
	const hw = "--hw-address 02:00:5e:10:00:01 "
	for _, c := range []struct {
		args string
		code int
		want []string // in the output, in this order; of a refusal in the error
	}{
		{hw, 0, []string{"DISCOVER of 02:00:5e:10:00:01, on eth0", "interface eth0 is in subnet 198.18.1.0/24 of shared network building-a", "lessor.yaml:9", "routers", "lessor.yaml:9 subnet", "→ OFFER 198.18.1."}},
		{hw + "--interface eth1 --interface-address eth1=198.18.8.2/22", 0, []string{"on eth1", "interface eth1 is in subnet campus (198.18.8.0/22)"}},
		{hw + "--relay 198.18.255.1 --circuit-id eth1/0/3", 0, []string{"giaddr 198.18.255.1 stands for subnet campus", `circuit-id "eth1/0/3", believed`, `circuit-id "eth1/0/3" matches the reservation of 198.18.8.10 (printer)`, "reserved 198.18.8.10", "unicast to the relay agent 198.18.255.1", "→ OFFER 198.18.8.10"}},
		{hw + "--relay 198.18.255.1 --circuit-id 0x657468312f302f33", 0, []string{"→ OFFER 198.18.8.10"}},
		{hw + "--relay 198.18.255.1 --remote-id 0x0001 --link-selection 198.18.2.0", 0, []string{"link selection 198.18.2.0 of relay agent 198.18.255.1 lies in subnet 198.18.2.0/24 of shared network building-a", "remote-id 00:01", "→ OFFER 198.18.1."}},
		{hw + "--relay 198.18.255.1 --link-selection 203.0.113.0", 0, []string{"link selection 203.0.113.0 of relay agent 198.18.255.1 lies in no configured subnet", "[no-subnet]"}},
		{hw + "--option subnet-selection=198.18.8.0", 0, []string{"interface eth0 is in subnet 198.18.1.0/24", "✗ subnet selection 198.18.8.0 of the client is not believed", "valid-lifetime in subnet", "→ OFFER 198.18.1."}},
		{hw + "--interface eth0 --circuit-id 7", 0, []string{"echoed but not believed: eth0 is not marked trusted"}},
		{hw + "--option vendor-class-identifier=phone --option 224=0a0b", 0, []string{"✓ phones", `"phone"`}},
		{hw + "--request 198.18.1.60", 0, []string{"✓ requested 198.18.1.60", "→ OFFER 198.18.1.60"}},
		{hw + "--message request --request 198.18.1.60", 0, []string{"selecting 198.18.1.60  free, and not on offer to this client", "198.18.1.60 goes to 02:00:5e:10:00:01", "→ ACK 198.18.1.60", "wait for the disk"}},
		{hw + "--message renew --ciaddr 198.18.1.60", 0, []string{"the client has 198.18.1.60, which lies in subnet", "renewing 198.18.1.60", "→ ACK"}},
		{hw + "--message renew --ciaddr 198.18.8.60", 0, []string{"the client has 198.18.8.60, which lies in subnet campus", "unicast to 198.18.8.60, which the client has", "→ ACK"}},
		{hw + "--message rebind --ciaddr 198.18.1.60", 0, []string{"rebinding 198.18.1.60", "→ no answer", "[no-record]"}},
		{hw + "--message init-reboot --request 203.0.113.7 --exit-code", ExitBad, []string{"rebooting 203.0.113.7", "in another network", "→ NAK", "[nak-wrong-network]"}},
		{hw + "--message inform --ciaddr 198.18.1.60", 0, []string{"INFORM", "→ ACK"}},
		{hw + "--message decline --request 198.18.1.60 --exit-code", ExitBad, []string{"[not-holder]"}},
		{hw + "--message release --ciaddr 198.18.1.60", 0, []string{"[not-holder]"}},
		{"--client-id 00:aa:bb", 0, []string{"→ OFFER"}},
		{hw + "--relay 198.18.77.1 --exit-code", ExitBad, []string{"giaddr 198.18.77.1 lies in no configured subnet", "[unknown-relay]"}},

		{"", ExitUsage, []string{"which client?", "--hw-address"}},
		{"--hw-address 02:00", ExitUsage, []string{"--hw-address"}},
		{hw + "--client-id 1", ExitUsage, []string{"--client-id"}},
		{hw + "--message hello", ExitUsage, []string{"--message", "discover|request"}},
		{hw + "--message renew", ExitUsage, []string{"--ciaddr ADDRESS"}},
		{hw + "--message request", ExitUsage, []string{"--request ADDRESS"}},
		{hw + "--relay there", ExitUsage, []string{"--relay"}},
		{hw + "--circuit-id 7", ExitUsage, []string{"--relay ADDRESS", "--interface"}},
		{hw + "--relay 198.18.255.1 --circuit-id 0x7", ExitUsage, []string{"--circuit-id"}},
		{hw + "--option vendor-class=x", ExitUsage, []string{"vendor-class"}},
		{hw + "--option host-name", ExitUsage, []string{"NAME=VALUE"}},
		{hw + "--option dhcp-message-type=1", ExitUsage, []string{"set already"}},
		{hw + "--request-option mtu", ExitUsage, []string{"interface-mtu"}},
		{hw + "--interface eth7", ExitUsage, []string{`no interface "eth7"`}},
		{hw + "--interface-address eth7=192.0.2.1/24", ExitUsage, []string{`"eth7"`, "eth0, eth1"}},
		{hw + "--interface-address eth0", ExitUsage, []string{"eth0=192.0.2.1/24"}},
		{hw + "--hex 0102", ExitUsage, []string{"--hex"}},
		{hw + "--packet 2", ExitUsage, []string{"--pcap"}},
		{"--hex xyz", ExitUsage, []string{"--hex"}},
		{"--hex 0101", 0, []string{"a message that cannot be read", "[too-short]"}},
		{"--pcap nowhere.pcap", ExitNotFound, []string{"nowhere.pcap"}},
		{hw + "-o csv", ExitUsage, []string{"json"}},
	} {
		code, stdout, stderr := explain(t, strings.Fields(c.args)...)
		text := stdout
		if c.code == ExitUsage || c.code == ExitNotFound {
			text = stderr
		}
		ok, rest := code == c.code, text
		for _, want := range c.want {
			_, after, found := strings.Cut(rest, want)
			if ok, rest = ok && found, after; !found {
				t.Errorf("explain %s: %q is not there, or not in its place", c.args, want)
			}
		}
		if !ok {
			t.Errorf("explain %s: exit %d, want %d:\n%s%s", c.args, code, c.code, stdout, stderr)
		}
	}
}

// clientMessage is a message of the flags in hexadecimal.
func clientMessage(t *testing.T, args string) []byte {
	t.Helper()
	q, err := (&story{t: t}).flags(args).question(&globals{})
	if err != nil {
		t.Fatal(err)
	}
	return q.Message
}

// TestExplainCapture: a message is the same from a capture, in hexadecimal and made of
// flags, and of a capture the first of a client is taken.
func TestExplainCapture(t *testing.T) {
	file := filepath.Join(t.TempDir(), "trouble.pcap")
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	w := pcapgo.NewWriter(f)
	if err := w.WriteFileHeader(65536, layers.LinkTypeEthernet); err != nil {
		t.Fatal(err)
	}
	offer := clientMessage(t, "--hw-address 02:00:5e:10:00:09")
	offer[0] = 2
	relayed := clientMessage(t, "--hw-address 02:00:5e:10:00:02 --relay 198.18.255.1")
	for _, p := range []struct {
		payload  []byte
		src, dst dhcp4.Addr
		mac      wire.MAC
	}{
		{offer, dhcp4.MustParseAddr("198.18.1.1"), dhcp4.Broadcast, wire.MAC{2, 0, 0, 0, 0, 1}},
		{clientMessage(t, "--hw-address 02:00:5e:10:00:01"), 0, dhcp4.Broadcast, wire.MAC{2, 0, 0x5e, 0x10, 0, 1}},
		{relayed, dhcp4.MustParseAddr("198.18.255.1"), dhcp4.MustParseAddr("198.18.1.2"), wire.MAC{2, 0, 0, 0, 0, 2}},
	} {
		buf := gopacket.NewSerializeBuffer()
		ip := &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolUDP, SrcIP: p.src.Append(nil), DstIP: p.dst.Append(nil)}
		udp := &layers.UDP{SrcPort: 68, DstPort: 67}
		if err := udp.SetNetworkLayerForChecksum(ip); err != nil {
			t.Fatal(err)
		}
		dst := wire.BroadcastMAC
		if p.dst != dhcp4.Broadcast {
			dst = wire.MAC{2, 0, 0, 0, 1, 0}
		}
		if err := gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true},
			&layers.Ethernet{SrcMAC: p.mac[:], DstMAC: dst[:], EthernetType: layers.EthernetTypeIPv4}, ip, udp, gopacket.Payload(p.payload)); err != nil {
			t.Fatal(err)
		}
		ci := gopacket.CaptureInfo{Timestamp: time.Unix(1, 0), CaptureLength: len(buf.Bytes()), Length: len(buf.Bytes())}
		if err := w.WritePacket(ci, buf.Bytes()); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}

	_, flags, _ := explain(t, "--hw-address", "02:00:5e:10:00:01")
	_, first, _ := explain(t, "--pcap", file)
	_, inHex, _ := explain(t, "--hex", hex.EncodeToString(clientMessage(t, "--hw-address 02:00:5e:10:00:01")))
	if flags != first || flags != inHex || !strings.Contains(flags, "→ OFFER") {
		t.Errorf("one message, three answers:\n%s\n%s\n%s", flags, first, inHex)
	}
	if code, third, _ := explain(t, "--pcap", file, "--packet", "3"); code != 0 || !strings.Contains(third, "stands for subnet campus") {
		t.Errorf("packet 3: exit %d:\n%s", code, third)
	}
	if code, said, _ := explain(t, "--pcap", file, "--packet", "1"); code != 0 || !strings.Contains(said, "[not-a-request]") {
		t.Errorf("packet 1, an answer of a server: exit %d:\n%s", code, said)
	}
	if code, _, said := explain(t, "--pcap", file, "--packet", "4"); code != ExitNotFound || !strings.Contains(said, "there are 3") {
		t.Errorf("packet 4: exit %d: %s", code, said)
	}
}

// TestExplainJSON: the same steps for programs, with places and ids, and the answer as it
// would be sent.
func TestExplainJSON(t *testing.T) {
	code, stdout, stderr := explain(t, "--hw-address", "02:00:5e:10:00:01", "--relay", "198.18.255.1", "--circuit-id", "eth1/0/3", "-o", "json")
	var x control.Explanation
	if err := json.Unmarshal([]byte(stdout), &x); err != nil || code != 0 {
		t.Fatalf("exit %d, %v: %s%s", code, err, stdout, stderr)
	}
	var reserved *control.Step
	for i, s := range x.Steps {
		if s.Stage == "reservation" && s.Verdict == "yes" {
			reserved = &x.Steps[i]
		}
	}
	if reserved == nil || reserved.Name != "circuit-id" || reserved.Address.String() != "198.18.8.10" || reserved.Line != 17 || filepath.Base(reserved.File) != "lessor.yaml" {
		t.Errorf("the reservation is told as %+v", reserved)
	}
	var v dhcp4.View
	data, err := hex.DecodeString(x.Answer.Data)
	if err != nil || v.Parse(data) != nil || v.MessageType() != dhcp4.Offer || v.YIAddr() != x.Answer.Address || x.Answer.Type != "OFFER" {
		t.Errorf("the answer is %+v", x.Answer)
	}
}

// TestExplainColour: colour is there when it is asked for, and takes nothing away.
func TestExplainColour(t *testing.T) {
	_, grey, _ := explain(t, "--hw-address", "02:00:5e:10:00:01")
	_, coloured, _ := explain(t, "--hw-address", "02:00:5e:10:00:01", "--color", "always")
	for _, s := range sgr {
		if s != "" {
			coloured = strings.ReplaceAll(coloured, s, "")
		}
	}
	if strings.Contains(grey, "\x1b") || strings.ReplaceAll(coloured, "\x1b[0m", "") != grey {
		t.Errorf("without colour\n%s\nand with\n%q", grey, coloured)
	}
}

// TestExplainServer: a running server explains with its own leases, again and again the
// same, and goes on as if it had not been asked; of a stopped one's store the leases are
// read.
func TestExplainServer(t *testing.T) {
	s := startServed(t)
	mac := wire.MAC{6, 0, 0, 0, 0, 1}
	addr := s.lease(mac, "pixel").String()
	_, before, _ := s.ask("leases", "-o", "json")
	for range 3 {
		s.asks([]asked{
			{"explain --hw-address 06:00:00:00:00:01", 0, "✓ current " + addr},
			{"explain --hw-address 06:00:00:00:00:02 --message init-reboot --request " + addr + " --exit-code", ExitBad, "bound to 06:00:00:00:00:01"},
			{"explain --hw-address 02:00:5e:10:00:09", 0, "→ OFFER 192.0.2.10"},
			{"explain --hw-address 06:00:00:00:00:01 --message release --ciaddr " + addr, 0, addr + " is given back by"},
			{"explain --hw-address 06:00:00:00:00:01 --interface eth7", ExitConflict, ""},
			{"explain --hw-address 06:00:00:00:00:01 --store .", ExitUsage, ""},
		})
	}
	if _, after, _ := s.ask("leases", "-o", "json"); after != before {
		t.Errorf("the leases were\n%s\nand are\n%s", before, after)
	}
	if again := s.lease(mac, "pixel").String(); again != addr {
		t.Errorf("the client had %s and got %s", addr, again)
	}
	s.end()
	if err := <-s.ended; err != nil {
		t.Fatal(err)
	}
	s.ended <- nil // for the clean-up
	if _, errOut, code := s.ask("explain", "--hw-address", "06:00:00:00:00:01"); code != ExitNoAccess || !strings.Contains(errOut, "--config lessor.yaml") {
		t.Errorf("asking a stopped server: exit %d, %s", code, errOut)
	}
	code, stdout, stderr := run(t, nil, nil, "explain", "-c", s.config, "--store", filepath.Join(s.dir, "state"), "--hw-address", "06:00:00:00:00:01")
	if code != 0 || !strings.Contains(stdout, "✓ current "+addr) {
		t.Errorf("with the store: exit %d\n%s%s", code, stdout, stderr)
	}
}

// TestExplainRelayedIsNotAskedFor: an address for a relayed client is not said to be asked
// for by ARP, though the interface is taken to be in its subnet.
func TestExplainRelayedIsNotAskedFor(t *testing.T) {
	file := filepath.Join(t.TempDir(), "lessor.yaml")
	if err := os.WriteFile(file, []byte("interfaces: [eth0]\nsubnets:\n  - {subnet: 198.18.1.0/24, pools: [198.18.1.50-198.18.1.60]}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for relay, want := range map[string]string{"": "free, and unanswered by ARP; pool", "--relay=198.18.1.1": "  free; pool"} {
		code, out, _ := run(t, nil, nil, append([]string{"explain", "-c", file, "--hw-address", "02:00:5e:10:00:01"}, strings.Fields(relay)...)...)
		if code != ExitOK || !strings.Contains(out, want) {
			t.Errorf("explain %s: %d, without %q:\n%s", relay, code, want, out)
		}
	}
}
