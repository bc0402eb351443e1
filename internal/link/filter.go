package link

import (
	"encoding/binary"

	"golang.org/x/net/bpf"
)

// kernelFilter is the program that the kernel runs on every frame of an interface,
// so that only frames for us wake us: first the facts that are not in the bytes,
// then those that are.
func kernelFilter() []bpf.Instruction {
	const packetMulticast = 2 // PACKET_HOST 0, PACKET_BROADCAST 1, PACKET_MULTICAST 2; then frames for others and our own
	out := []bpf.Instruction{
		bpf.LoadExtension{Num: bpf.ExtVLANTagPresent},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: 0, SkipTrue: 3},
		bpf.LoadExtension{Num: bpf.ExtVLANTag},
		bpf.JumpIf{Cond: bpf.JumpBitsNotSet, Val: maxVLANID, SkipTrue: 1},
		bpf.RetConstant{Val: 0},
		bpf.LoadExtension{Num: bpf.ExtType},
		bpf.JumpIf{Cond: bpf.JumpLessOrEqual, Val: packetMulticast, SkipTrue: 1},
		bpf.RetConstant{Val: 0},
	}
	return append(out, byteFilter()...)
}

// byteFilter accepts what Wanted accepts. Where a load lies outside the frame the
// kernel drops the frame.
func byteFilter() []bpf.Instruction {
	const (
		arp, drop, keep = 9, 17, 18 // places in the program
		snap            = 0x40000
	)
	to := func(from, place int) uint8 { return uint8(place - from - 1) }
	return []bpf.Instruction{
		0:    bpf.LoadAbsolute{Off: 12, Size: 2},
		1:    bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: etherTypeIPv4, SkipTrue: to(1, arp)},
		2:    bpf.LoadAbsolute{Off: etherLen + 9, Size: 1},
		3:    bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: protoUDP, SkipTrue: to(3, drop)},
		4:    bpf.LoadAbsolute{Off: etherLen + 6, Size: 2},
		5:    bpf.JumpIf{Cond: bpf.JumpBitsSet, Val: 0x3fff, SkipTrue: to(5, drop)}, // a fragment
		6:    bpf.LoadMemShift{Off: etherLen},
		7:    bpf.LoadIndirect{Off: etherLen + 2, Size: 2},
		8:    bpf.JumpIf{Cond: bpf.JumpEqual, Val: serverPort, SkipTrue: to(8, keep), SkipFalse: to(8, drop)},
		arp:  bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: etherTypeARP, SkipTrue: to(arp, drop)},
		10:   bpf.LoadAbsolute{Off: etherLen + 6, Size: 2},
		11:   bpf.JumpIf{Cond: bpf.JumpEqual, Val: 2, SkipTrue: to(11, keep)}, // a reply
		12:   bpf.LoadAbsolute{Off: etherLen + 14, Size: 4},
		13:   bpf.JumpIf{Cond: bpf.JumpEqual, Val: 0, SkipTrue: to(13, keep)}, // a probe
		14:   bpf.TAX{},
		15:   bpf.LoadAbsolute{Off: etherLen + 24, Size: 4},
		16:   bpf.JumpIfX{Cond: bpf.JumpEqual, SkipTrue: to(16, keep)}, // an announcement
		drop: bpf.RetConstant{Val: 0},
		keep: bpf.RetConstant{Val: snap},
	}
}

// Wanted says which frames a port brings, by their bytes: IPv4 UDP datagrams to
// port 67 that are no fragments, ARP replies, ARP announcements (sender and target
// address are the same) and ARP probes (sender address zero). memnet uses it where
// the kernel runs the filter program.
func Wanted(frame []byte) bool {
	if len(frame) < etherLen {
		return false
	}
	m := frame[etherLen:]
	switch binary.BigEndian.Uint16(frame[12:]) {
	case etherTypeIPv4:
		if len(m) < 10 || m[9] != protoUDP || binary.BigEndian.Uint16(m[6:])&0x3fff != 0 {
			return false
		}
		at := int(m[0]&0x0f)*4 + 2
		return at+2 <= len(m) && binary.BigEndian.Uint16(m[at:]) == serverPort
	case etherTypeARP:
		if len(m) < 8 {
			return false
		}
		if binary.BigEndian.Uint16(m[6:]) == 2 {
			return true
		}
		if len(m) < 18 {
			return false
		}
		sender := binary.BigEndian.Uint32(m[14:])
		return sender == 0 || len(m) >= 28 && sender == binary.BigEndian.Uint32(m[24:])
	}
	return false
}
