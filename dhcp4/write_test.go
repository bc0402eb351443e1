package dhcp4

import (
	"bytes"
	"testing"
)

// TestAppendHeader: every field is written where Parse reads it, behind what dst
// holds already.
func TestAppendHeader(t *testing.T) {
	h := Header{Op: 2, HType: 6, HLen: 6, Hops: 3, XID: 0x01020304, Secs: 0x0506, Flags: FlagBroadcast | 7,
		CIAddr: 1, YIAddr: 2, SIAddr: 3, GIAddr: 4, CHAddr: [16]byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16},
		SName: []byte("server"), File: bytes.Repeat([]byte("f"), 128)}
	out, dropped := AppendMessage([]byte("before"), &h, []Option{{OptDHCPMessageType, []byte{2}}}, nil, 576)
	if dropped != 0 || string(out[:6]) != "before" || len(out) != 6+MinReply {
		t.Fatalf("%d octets, %d dropped", len(out), dropped)
	}
	v := mustParse(t, out[6:])
	got := Header{v.Op(), v.HType(), v.HLen(), v.Hops(), v.XID(), v.Secs(), v.Flags(), v.CIAddr(), v.YIAddr(),
		v.SIAddr(), v.GIAddr(), v.CHAddr16(), v.SName(), v.File()}
	if got.XID != h.XID || got.CHAddr != h.CHAddr || !bytes.Equal(got.File, h.File) || !bytes.Equal(got.SName, h.SName) ||
		got.Op != 2 || got.HType != 6 || got.HLen != 6 || got.Hops != 3 || got.Secs != h.Secs || got.Flags != h.Flags ||
		got.CIAddr != 1 || got.YIAddr != 2 || got.SIAddr != 3 || got.GIAddr != 4 {
		t.Errorf("read %+v\nwrote %+v", got, h)
	}
	if tail := out[6+offOptions+3:]; tail[0] != 255 || !bytes.Equal(tail[1:], make([]byte, len(tail)-1)) {
		t.Errorf("after the options: %x", tail)
	}
}

// order lists what a message holds, in its order.
func order(t *testing.T, b []byte) (codes []Code, areas []Area) {
	for in := range mustParse(t, b).Instances {
		codes, areas = append(codes, in.Code), append(areas, in.Area)
	}
	return codes, areas
}

func TestOrderAndAgentLast(t *testing.T) {
	opts := []Option{
		{OptPad, nil}, {OptEnd, nil}, {OptDHCPOptionOverload, []byte{3}}, {OptDHCPAgentOptions, []byte{9, 9}}, // the writer's own
		{OptDHCPMessageType, []byte{5}}, {OptRouters, []byte{1, 2, 3, 4}}, {OptSubnetMask, []byte{255, 255, 255, 0}}, {OptDomainName, fill(300)},
	}
	agent := fill(300)
	out, dropped := AppendMessage(nil, &Header{}, opts, agent, 1000)
	codes, _ := order(t, out)
	if want := []Code{53, 3, 1, 15, 15, 82, 82}; dropped != 0 || !equalCodes(codes, want) {
		t.Errorf("%v, %d dropped; want %v", codes, dropped, want)
	}
	v := mustParse(t, out)
	if val, _ := v.Get(OptDHCPAgentOptions, make([]byte, 300)); !bytes.Equal(val, agent) {
		t.Error("option 82 is not what was given")
	}
	if val, _ := v.Get(OptDomainName, make([]byte, 300)); !bytes.Equal(val, opts[7].Data) {
		t.Error("a long option is not what was given")
	}
	if out[len(out)-1] != 255 {
		t.Error("END is not last")
	}
}

func equalCodes(a, b []Code) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// The three that are never left out, and the two that go first.
var replyTimes = []Option{
	{OptDHCPMessageType, []byte{5}}, {OptDHCPServerIdentifier, []byte{192, 0, 2, 1}}, {OptDHCPLeaseTime, []byte{0, 0, 0, 60}},
	{OptDHCPRenewalTime, []byte{0, 0, 0, 30}}, {OptDHCPRebindingTime, []byte{0, 0, 0, 52}},
}

// TestLimit shows, step by step, what happens as the room gets less. The options
// need 3 + 6 + 6 + 12 + 102 + 42 = 171 octets of a field that has limit - 241.
func TestLimit(t *testing.T) {
	opts := append(append([]Option{}, replyTimes...), Option{OptHostName, fill(100)}, Option{OptDomainName, fill(40)})
	for _, tt := range []struct {
		limit       int
		file, sname []byte
		codes       []Code
		areas       []Area
		dropped     int
	}{
		{412, nil, nil, []Code{53, 54, 51, 58, 59, 12, 15}, []Area{1, 1, 1, 1, 1, 1, 1}, 0},
		// One octet less: 52 comes in, 58 still fits, 59 goes to file.
		{411, nil, nil, []Code{53, 54, 51, 58, 12, 15, 52, 59}, []Area{1, 1, 1, 1, 1, 1, 1, 2}, 0},
		{301, nil, nil, []Code{53, 54, 51, 15, 52, 58, 59, 12}, []Area{1, 1, 1, 1, 1, 2, 2, 2}, 0},
		// The fields are taken: T1 and T2 are left out first, whole.
		{411, []byte{}, []byte{}, []Code{53, 54, 51, 58, 12, 15}, []Area{1, 1, 1, 1, 1, 1}, 1},
		{400, []byte{}, []byte{}, []Code{53, 54, 51, 12, 15}, []Area{1, 1, 1, 1, 1}, 2},
		// Then the later option; the smaller ones that follow may fit.
		{398, []byte{}, []byte{}, []Code{53, 54, 51, 58, 59, 12}, []Area{1, 1, 1, 1, 1, 1}, 1},
		{300, []byte{}, []byte{}, []Code{53, 54, 51, 15}, []Area{1, 1, 1, 1}, 3},
		// Only sname is free: 12 finds no room.
		{301, []byte{}, nil, []Code{53, 54, 51, 15, 52, 58, 59}, []Area{1, 1, 1, 1, 1, 3, 3}, 1},
		// A limit below 300 is 300, where 15 has to go to sname.
		{0, nil, nil, []Code{53, 54, 51, 58, 59, 52, 12, 15}, []Area{1, 1, 1, 1, 1, 1, 2, 3}, 0},
	} {
		out, dropped := AppendMessage(nil, &Header{File: tt.file, SName: tt.sname}, opts, nil, tt.limit)
		codes, areas := order(t, out)
		if dropped != tt.dropped || !equalCodes(codes, tt.codes) || !bytes.Equal(bytesOf(areas), bytesOf(tt.areas)) {
			t.Errorf("limit %d: %v in %v, %d dropped; want %v in %v, %d", tt.limit, codes, areas, dropped, tt.codes, tt.areas, tt.dropped)
		}
		if len(out) > max(tt.limit, MinReply) {
			t.Errorf("limit %d: %d octets", tt.limit, len(out))
		}
	}
}

// TestAgentBeforeOptions: option 82 has room before anything but 53, 54 and 51.
func TestAgentBeforeOptions(t *testing.T) {
	opts := append(append([]Option{}, replyTimes...), Option{OptHostName, fill(20)})
	out, dropped := AppendMessage(nil, &Header{File: []byte{}, SName: []byte{}}, opts, fill(40), 300)
	codes, areas := order(t, out)
	if want := []Code{53, 54, 51, 82}; dropped != 3 || !equalCodes(codes, want) {
		t.Errorf("%v in %v, %d dropped", codes, areas, dropped)
	}
	out, dropped = AppendMessage(nil, &Header{}, opts, fill(40), 300)
	codes, areas = order(t, out)
	if want := []Code{53, 54, 51, 52, 82}; dropped != 3 && !equalCodes(codes, want) {
		t.Errorf("%v in %v, %d dropped", codes, areas, dropped)
	}
	for i, c := range codes {
		if c == OptDHCPAgentOptions && areas[i] != AreaOptions {
			t.Error("option 82 is in an overloaded field")
		}
	}
	if out, dropped = AppendMessage(nil, &Header{}, opts, fill(255), 300); dropped != 1 || mustParse(t, out).Has(OptDHCPAgentOptions) {
		t.Errorf("an option 82 that cannot fit: %d dropped", dropped)
	}
}

// TestExactFit: an option fits when its octets do, at every size around the splits;
// one octet less and it is left out.
func TestExactFit(t *testing.T) {
	taken := Header{File: []byte{}, SName: []byte{}}
	for _, n := range []int{100, 253, 254, 255, 256, 257, 509, 510, 511, 764, 765, 766} {
		opts := []Option{{OptRootPath, fill(n)}}
		need := offOptions + n + 2*max(1, (n+254)/255) + 1
		out, dropped := AppendMessage(nil, &taken, opts, nil, need)
		if dropped != 0 || len(out) != max(need, MinReply) {
			t.Errorf("%d octets in %d: %d written, %d dropped", n, need, len(out), dropped)
		}
		if _, dropped = AppendMessage(nil, &taken, opts, nil, need-1); dropped != 1 && need > MinReply {
			t.Errorf("%d octets in %d: they fit", n, need-1)
		}
	}
	// The whole of file and of sname, but for the END.
	for _, tt := range []struct {
		n    int
		h    Header
		fits bool
	}{{125, Header{SName: []byte{}}, true}, {126, Header{SName: []byte{}}, false}, {61, Header{File: []byte{}}, true}, {62, Header{File: []byte{}}, false}} {
		opts := []Option{{OptRootPath, fill(54)}, {OptMeritDump, fill(tt.n)}}
		out, dropped := AppendMessage(nil, &tt.h, opts, nil, 300)
		if (dropped == 0) != tt.fits {
			t.Errorf("%d octets in an overloaded field: %d dropped", tt.n, dropped)
		}
		checkEnds(t, "overloaded", mustParse(t, out))
	}
}

func TestMoreOptionsThanCodes(t *testing.T) {
	opts := make([]Option, 300)
	for i := range opts {
		opts[i] = Option{OptHostName, []byte{byte(i)}}
	}
	out, dropped := AppendMessage(nil, &Header{}, opts, nil, 1500)
	if dropped != 44 || mustParse(t, out).Len(OptHostName) != 256 {
		t.Errorf("%d dropped, %d octets", dropped, mustParse(t, out).Len(OptHostName))
	}
}
