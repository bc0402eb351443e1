package verify

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"

	"lessor/dhcp4"
	"lessor/internal/netlab"
	"lessor/internal/wire"
)

// forgery is a trace and a capture that a test changes.
type forgery struct {
	t      *testing.T
	lines  []string
	frames []netlab.Frame
}

func (s *stage) forge(t *testing.T) *forgery {
	t.Helper()
	text := try(os.ReadFile(s.trace))(t)
	f := &forgery{t: t, lines: strings.SplitAfter(string(text), "\n")}
	for _, fr := range s.rec.Frames() {
		fr.Raw = bytes.Clone(fr.Raw)
		f.frames = append(f.frames, fr)
	}
	return f
}

// judge writes both and has them judged; it returns the promises that were broken.
func (f *forgery) judge() (broken []string, v verdict, code int) {
	f.t.Helper()
	dir := f.t.TempDir()
	tr, capture := filepath.Join(dir, "trace"), filepath.Join(dir, "wire.pcap")
	check(f.t, os.WriteFile(tr, []byte(strings.Join(f.lines, "")), 0o600))
	var b bytes.Buffer
	w := pcapgo.NewWriterNanos(&b)
	check(f.t, w.WriteFileHeader(65536, layers.LinkTypeEthernet))
	for _, fr := range f.frames {
		check(f.t, w.WritePacket(gopacket.CaptureInfo{Timestamp: fr.Time, CaptureLength: len(fr.Raw), Length: len(fr.Raw)}, fr.Raw))
	}
	check(f.t, os.WriteFile(capture, b.Bytes(), 0o600))
	v, code = verify(f.t, "--trace", tr, "--capture", capture)
	for _, x := range v.Breaches {
		broken = append(broken, x.Rule)
	}
	return broken, v, code
}

// entry is what a test looks for in a line of a trace.
type entry struct {
	M, W   int64
	Commit *struct {
		Changes []struct {
			After struct {
				Address string
				HW      string
				State   string
			}
		}
	}
}

// commitOf is the line of the first commit that binds a to the client.
func (f *forgery) commitOf(m wire.MAC, a dhcp4.Addr) int {
	f.t.Helper()
	for i, l := range f.lines {
		var e entry
		if !strings.Contains(l, `"commit"`) || json.Unmarshal([]byte(l), &e) != nil || len(e.Commit.Changes) != 1 {
			continue
		}
		if c := e.Commit.Changes[0].After; c.State == "bound" && c.Address == a.String() && c.HW == hex.EncodeToString(m[:]) {
			return i
		}
	}
	f.t.Fatalf("no commit binds %s to %x", a, m)
	return 0
}

// move has everything that the client did with address from be done with address to.
func (f *forgery) move(m wire.MAC, from, to dhcp4.Addr) {
	hw := `"hw":"` + hex.EncodeToString(m[:]) + `"`
	for i, l := range f.lines {
		if strings.Contains(l, hw) {
			f.lines[i] = strings.ReplaceAll(l, `"`+from.String()+`"`, `"`+to.String()+`"`)
		}
	}
	for i := range f.frames {
		fr := &f.frames[i]
		v, ok := fr.View()
		if !ok || !bytes.Equal(v.CHAddr(), m[:]) {
			continue
		}
		ip := fr.Raw[14:]
		copy(ip, bytes.ReplaceAll(ip, from.Append(nil), to.Append(nil)))
		binary.BigEndian.PutUint16(ip[20+6:], 0) // no UDP checksum
		binary.BigEndian.PutUint16(ip[10:], 0)
		sum := uint32(0)
		for k := 0; k < 20; k += 2 {
			sum += uint32(binary.BigEndian.Uint16(ip[k:]))
		}
		for sum > 0xffff {
			sum = sum>>16 + sum&0xffff
		}
		binary.BigEndian.PutUint16(ip[10:], ^uint16(sum))
	}
}

// delay makes what line i tells later.
func (f *forgery) delay(i int, d time.Duration) {
	f.t.Helper()
	var e entry
	check(f.t, json.Unmarshal([]byte(f.lines[i]), &e))
	was := fmt.Sprintf(`{"m":%d,"w":%d,`, e.M, e.W)
	if !strings.HasPrefix(f.lines[i], was) {
		f.t.Fatalf("line %d begins with %.60s", i+1, f.lines[i])
	}
	f.lines[i] = fmt.Sprintf(`{"m":%d,"w":%d,`, e.M+int64(d), e.W+int64(d)) + f.lines[i][len(was):]
}
