package tracefile

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"

	"lessor/dhcp4"
	"lessor/internal/trace"
	"lessor/internal/wire"
)

var (
	serverMAC = wire.MAC{2, 0, 0, 0, 0, 1}
	clientMAC = wire.MAC{2, 0, 0, 0, 0, 9}
	serverIP  = dhcp4.MustParseAddr("198.18.0.1")
	clientIP  = dhcp4.MustParseAddr("198.18.0.100")
)

// message is a DHCP message in an Ethernet frame, with the checksums that a kernel writes.
func message(src, dst wire.MAC, from, to dhcp4.Addr, sport, dport uint16, typ dhcp4.MessageType, xid uint32) []byte {
	h := dhcp4.Header{Op: 1, HType: 1, HLen: 6, XID: xid}
	payload, _ := dhcp4.AppendMessage(nil, &h, []dhcp4.Option{{Code: dhcp4.OptDHCPMessageType, Data: []byte{byte(typ)}}}, nil, 576)
	buf := gopacket.NewSerializeBuffer()
	ip := &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolUDP, SrcIP: from.Netip().AsSlice(), DstIP: to.Netip().AsSlice()}
	udp := &layers.UDP{SrcPort: layers.UDPPort(sport), DstPort: layers.UDPPort(dport)}
	if err := udp.SetNetworkLayerForChecksum(ip); err != nil {
		panic(err)
	}
	err := gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true},
		&layers.Ethernet{SrcMAC: src[:], DstMAC: dst[:], EthernetType: layers.EthernetTypeIPv4}, ip, udp, gopacket.Payload(payload))
	if err != nil {
		panic(err)
	}
	return buf.Bytes()
}

func request(xid uint32) []byte {
	return message(clientMAC, wire.BroadcastMAC, 0, dhcp4.Broadcast, 68, 67, dhcp4.Request, xid)
}

func ack(xid uint32) []byte {
	return message(serverMAC, clientMAC, serverIP, clientIP, 67, 68, dhcp4.Ack, xid)
}

// shot is one frame at a wall time in seconds.
type shot struct {
	at    float64
	frame []byte
}

func pcap(shots ...shot) []byte {
	var b bytes.Buffer
	w := pcapgo.NewWriterNanos(&b)
	err := w.WriteFileHeader(65536, layers.LinkTypeEthernet)
	for _, s := range shots {
		if err == nil {
			err = w.WritePacket(gopacket.CaptureInfo{Timestamp: time.Unix(0, int64(s.at*1e9)), CaptureLength: len(s.frame), Length: len(s.frame)}, s.frame)
		}
	}
	if err != nil {
		panic(err)
	}
	return b.Bytes()
}

func pcapng(shots ...shot) []byte {
	var b bytes.Buffer
	w, err := pcapgo.NewNgWriterInterface(&b, pcapgo.NgInterface{Name: "eth0", LinkType: layers.LinkTypeEthernet, TimestampResolution: 9}, pcapgo.DefaultNgWriterOptions)
	for _, s := range shots {
		if err == nil {
			err = w.WritePacket(gopacket.CaptureInfo{Timestamp: time.Unix(0, int64(s.at*1e9)), CaptureLength: len(s.frame), Length: len(s.frame)}, s.frame)
		}
	}
	if err == nil {
		err = w.Flush()
	}
	if err != nil {
		panic(err)
	}
	return b.Bytes()
}

// at is a line of a trace: m seconds after the boot, when the wall clock showed w seconds.
func at(m, w float64, body string) string {
	return fmt.Sprintf(`{"m":%d,"w":%d,%s}`+"\n", int64(m*1e9), int64(w*1e9), body)
}

const (
	served  = `"served":{"links":[{"id":3,"name":"eth0","mac":"02:00:00:00:00:01","mtu":1500,"addresses":["198.18.0.1/24"]}]}`
	started = `"started":{"boot":"01010101010101010101010101010101","records":0}`
	commit  = `"commit":{"began":{"m":1,"w":1},"mark":{"w":1,"m":1,"boot":"01"}}`
	ended   = `"ended":{"clean":true}`
)

// merged is a merged trace as text: a line for each entry, with its time in seconds.
func merged(t *testing.T, traces []string, captures ...[]byte) (out string, st Stats, notes string) {
	t.Helper()
	var m Merge
	for i, text := range traces {
		if err := m.Trace(fmt.Sprintf("trace%d", i), strings.NewReader(text)); err != nil {
			t.Fatal(err)
		}
	}
	for i, c := range captures {
		if err := m.Capture(fmt.Sprintf("cap%d", i), bytes.NewReader(c)); err != nil {
			t.Fatal(err)
		}
	}
	es, st, ns := m.Done()
	var b strings.Builder
	for _, e := range es {
		word := e.Body.Kind()
		switch body := e.Body.(type) {
		case *trace.Frame:
			word = "in"
			if body.Sent {
				word = "out"
			}
			if body.LinkID != 3 {
				t.Errorf("a frame on interface %d", body.LinkID)
			}
		case *trace.Ended:
			if !body.Clean {
				word = "killed"
			}
			if body.Power {
				word = "power"
			}
		}
		fmt.Fprintf(&b, "%.3f %s %s\n", float64(e.T)/1e9, e.Host, word)
	}
	return b.String(), st, strings.Join(ns, "\n")
}

func expect(t *testing.T, got, want string) {
	t.Helper()
	if want = strings.ReplaceAll(strings.TrimLeft(want, "\n"), "\t", ""); got != want {
		t.Errorf("merged:\n%swant:\n%s", got, want)
	}
}

// Frames go between the entries by their wall time, whatever the format of the capture;
// what came before the server ran or is not for it is left out.
func TestMerge(t *testing.T) {
	run := header(1) + at(5, 1005, started) + at(5, 1005, served) + at(7.5, 1007.5, commit) + at(9, 1009, ended)
	shots := []shot{{1000, request(1)}, {1007, request(2)},
		{1007.1, message(clientMAC, wire.MAC{2, 7}, 0, dhcp4.Broadcast, 68, 67, dhcp4.Request, 3)},                      // to another station
		{1007.2, message(clientMAC, serverMAC, clientIP, dhcp4.MustParseAddr("203.0.113.1"), 68, 67, dhcp4.Request, 3)}, // to be routed
		{1007.6, ack(2)}, {1010, request(4)}}
	for _, c := range [][]byte{pcap(shots...), pcapng(shots...)} {
		out, st, notes := merged(t, []string{run}, c)
		expect(t, out, `
			1005.000 srv started
			1005.000 srv served
			1007.000 srv in
			1007.500 srv commit
			1007.600 srv out
			1009.000 srv ended
		`)
		if st.Acks != 1 || st.Requests != 1 || st.Frames != 6 || st.Commits != 1 || !strings.Contains(notes, "2 frames of the captures came while srv did not run") {
			t.Errorf("%+v\n%s", st, notes)
		}
	}
}

// A clock that is set in the middle leaves the order as it was, also when an hour comes twice.
func TestMergeClockSteps(t *testing.T) {
	run := header(1) + at(5, 1005, started) + at(5, 1005, served) + at(10, 1010, commit) +
		at(11, 511, `"clock":{"boot":"01"}`) + at(12, 512, commit) + at(600, 1100, commit) + at(601, 5000, `"clock":{"boot":"01"}`) + at(602, 5001, ended)
	out, _, _ := merged(t, []string{run}, pcap(shot{1009, request(1)}, shot{511.5, request(2)}, shot{1009, request(3)}, shot{5000.5, request(4)}, shot{5000.6, ack(4)}))
	expect(t, out, `
		1005.000 srv started
		1005.000 srv served
		1009.000 srv in
		1010.000 srv commit
		1011.000 srv clock
		1011.500 srv in
		1012.000 srv commit
		1509.000 srv in
		1600.000 srv commit
		1601.000 srv clock
		1601.500 srv in
		1601.600 srv out
		1602.000 srv ended
	`)
}

// A process that was killed ends behind its last answer; one that lost its power, or could
// not write on, where its trace ends. Time goes on after a reboot with a clock that was
// set back.
func TestMergeRestarts(t *testing.T) {
	begin := at(5, 1005, started) + at(5, 1005, served)
	runs := header(1) + begin + at(7, 1007, commit) +
		header(1) + at(20, 1020, started) + at(20, 1020, served) + at(21, 1021, commit) +
		header(2) + at(1, 900, started) + at(1, 900, served) + at(2, 901, `"incomplete":{"why":"no space"}`) + at(2, 901, ended)
	runs = strings.Replace(runs, at(2, 901, ended), "", 1)
	out, _, notes := merged(t, []string{runs}, pcap(shot{1006, request(1)}, shot{1007.2, ack(1)}, shot{1008, request(2)}, shot{1021.5, ack(9)}))
	expect(t, out, `
		1005.000 srv started
		1005.000 srv served
		1006.000 srv in
		1007.000 srv commit
		1007.200 srv out
		1007.200 srv killed
		1020.000 srv started
		1020.000 srv served
		1021.000 srv commit
		1021.000 srv power
		1021.000 srv started
		1021.000 srv served
		1021.000 srv killed
	`)
	for _, want := range []string{"a frame of the captures is later than the trace of srv", "a frame of the captures came while srv did not run", "no space"} {
		if !strings.Contains(notes, want) {
			t.Errorf("the notes do not say %q:\n%s", want, notes)
		}
	}
}

// What two captures have of one frame is one frame; a copy on the wire is two.
func TestMergeTwoCaptures(t *testing.T) {
	run := header(1) + at(5, 1005, started) + at(5, 1005, served) + at(9, 1009, ended)
	shots := []shot{{1006, request(1)}, {1006.001, request(1)}, {1007, ack(1)}}
	out, st, _ := merged(t, []string{run}, pcap(shots...), pcapng(shots...))
	expect(t, out, `
		1005.000 srv started
		1005.000 srv served
		1006.000 srv in
		1006.001 srv in
		1007.000 srv out
		1009.000 srv ended
	`)
	if st.Captures != 2 {
		t.Errorf("%+v", st)
	}
}

// Two servers on a link: what one broadcasts is handed to the other. The files come in any
// order, and one of them is a server that writes to two.
func TestMergeTwoServers(t *testing.T) {
	a := header(1) + at(5, 1005, started) + at(5, 1005, served) + at(9, 1009, ended)
	b := strings.NewReplacer(`"srv"`, `"other"`, "02:00:00:00:00:01", "02:00:00:00:00:02", "198.18.0.1/", "198.18.0.2/").Replace(a)
	again := header(1) + at(10, 1010, started) + at(11, 1011, ended)
	offer := message(serverMAC, wire.BroadcastMAC, serverIP, dhcp4.Broadcast, 67, 67, dhcp4.Discover, 1)
	other := message(wire.MAC{2, 0, 0, 0, 0, 2}, clientMAC, serverIP, clientIP, 67, 68, dhcp4.Ack, 1)
	out, st, _ := merged(t, []string{again, b, a}, pcap(shot{1006, offer}, shot{1007, other}))
	expect(t, out, `
		1005.000 srv started
		1005.000 srv served
		1005.000 other started
		1005.000 other served
		1006.000 srv out
		1006.000 other in
		1007.000 other out
		1009.000 srv ended
		1009.000 other ended
		1010.000 srv started
		1011.000 srv ended
	`)
	if !slices.Equal(st.Servers, []string{"srv", "other"}) {
		t.Errorf("servers %q", st.Servers)
	}
}

// What of a capture cannot be judged is told.
func TestCaptureNotes(t *testing.T) {
	run := header(1) + at(5, 1005, started) + at(5, 1005, served) + at(9, 1009, ended)
	r := request(1)
	tagged := slices.Concat(r[:12], []byte{0x81, 0, 0, 5}, r[12:])
	damaged := bytes.Clone(r)
	damaged[len(damaged)-1] ^= 1
	pending := bytes.Clone(r)
	sum := uint32(17) + uint32(len(r)-34) + 0xffff + 0xffff
	binary.BigEndian.PutUint16(pending[40:], uint16(sum&0xffff+sum>>16))
	var b bytes.Buffer
	w := pcapgo.NewWriterNanos(&b)
	if err := w.WriteFileHeader(65536, layers.LinkTypeEthernet); err != nil {
		t.Fatal(err)
	}
	for _, f := range [][]byte{r, tagged, damaged, pending, r[:60]} {
		ci := gopacket.CaptureInfo{Timestamp: time.Unix(1006, 0), CaptureLength: len(f), Length: max(len(f), len(r))}
		if err := w.WritePacket(ci, f); err != nil {
			t.Fatal(err)
		}
	}
	cut := b.Bytes()[:b.Len()-3]
	_, st, notes := merged(t, []string{run}, b.Bytes(), cut, pcap(shot{1007, ack(1)}))
	for _, want := range []string{"cap0: DHCP frames cut short: 1", "cap0: frames of VLANs: 1", "cap0: DHCP frames with a wrong length or checksum: 1",
		"cap1: the last frame is cut short"} {
		if !strings.Contains(notes, want) {
			t.Errorf("the notes do not say %q:\n%s", want, notes)
		}
	}
	if st.Frames != 5 { // twice the request with its checksum whole and pending, and the ACK
		t.Errorf("%d frames", st.Frames)
	}
	if !strings.Contains(notes, "cap0: nothing in it is from or for the Ethernet address") {
		t.Errorf("the notes do not say that cap0 is of another link:\n%s", notes)
	}
}

func TestNoCapture(t *testing.T) {
	var m Merge
	for _, text := range []string{"", "abc", "hello, world", "\x0a\x0d\x0d\x0aabc"} {
		if err := m.Capture("f", strings.NewReader(text)); err == nil || !strings.HasPrefix(err.Error(), "f: ") {
			t.Errorf("%q: error %v", text, err)
		}
	}
}

func FuzzCapture(f *testing.F) {
	f.Add(pcap(shot{1006, request(1)}, shot{1007, ack(1)}))
	f.Add(pcapng(shot{1006, request(1)}, shot{1007, ack(1)}))
	f.Fuzz(func(t *testing.T, b []byte) {
		var m Merge
		if err := m.Trace("t", strings.NewReader(header(1)+at(5, 1005, served)+at(9, 1009, ended))); err != nil {
			t.Fatal(err)
		}
		if m.Capture("c", bytes.NewReader(b)) == nil {
			m.Done()
		}
	})
}
