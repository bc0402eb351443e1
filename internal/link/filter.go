package link

import "golang.org/x/net/bpf"

// Kinds of frames as the kernel tells them apart (PACKET_HOST and so on): for this
// interface's address, to all, to a group; then come frames for others and our own.
const (
	packetBroadcast = 1
	packetMulticast = 2
)

// kernelFilter is the program that the kernel runs on every frame of an interface,
// so that only frames for us wake us: first the facts that are not in the bytes,
// then those that are. A client is never sent to by a group's address.
func (r *Rule) kernelFilter() []bpf.Instruction {
	kinds := uint32(packetBroadcast)
	if r.AnyARP {
		kinds = packetMulticast
	}
	out := []bpf.Instruction{
		bpf.LoadExtension{Num: bpf.ExtVLANTagPresent},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: 0, SkipTrue: 3},
		bpf.LoadExtension{Num: bpf.ExtVLANTag},
		bpf.JumpIf{Cond: bpf.JumpBitsNotSet, Val: maxVLANID, SkipTrue: 1},
		bpf.RetConstant{Val: 0},
		bpf.LoadExtension{Num: bpf.ExtType},
		bpf.JumpIf{Cond: bpf.JumpLessOrEqual, Val: kinds, SkipTrue: 1},
		bpf.RetConstant{Val: 0},
	}
	return append(out, r.byteFilter()...)
}

// byteFilter accepts what Wanted accepts. Where a load lies outside the frame the
// kernel drops the frame.
func (r *Rule) byteFilter() []bpf.Instruction {
	const (
		icmp = 9 // place of the part for echo replies in the program
		snap = 0x40000
	)
	arp := icmp // then comes the ARP part
	if r.Echo {
		arp += len(echoFilter(0, 0))
	}
	about := r.watchedFilter
	if r.AnyARP {
		about = anyARPFilter
	}
	drop := arp + len(about(0, 0))
	keep, other := drop+1, drop
	if r.Echo {
		other = icmp
	}
	out := []bpf.Instruction{
		0: bpf.LoadAbsolute{Off: 12, Size: 2},
		1: bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: etherTypeIPv4, SkipTrue: skip(1, arp)},
		2: bpf.LoadAbsolute{Off: etherLen + 9, Size: 1},
		3: bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: protoUDP, SkipTrue: skip(3, other)},
		4: bpf.LoadAbsolute{Off: etherLen + 6, Size: 2},
		5: bpf.JumpIf{Cond: bpf.JumpBitsSet, Val: 0x3fff, SkipTrue: skip(5, drop)}, // a fragment
		6: bpf.LoadMemShift{Off: etherLen},
		7: bpf.LoadIndirect{Off: etherLen + 2, Size: 2},
		8: bpf.JumpIf{Cond: bpf.JumpEqual, Val: uint32(r.Port), SkipTrue: skip(8, keep), SkipFalse: skip(8, drop)},
	}
	if r.Echo {
		out = append(out, echoFilter(icmp, drop)...)
	}
	out = append(out, about(arp, drop)...)
	return append(out, bpf.RetConstant{Val: 0}, bpf.RetConstant{Val: snap})
}

// skip is the jump from one place in the program to another.
func skip(from, place int) uint8 { return uint8(place - from - 1) }

// echoFilter is the part for answersEcho, at place at; drop and keep as in anyARPFilter. The
// protocol of the datagram is loaded.
func echoFilter(at, drop int) []bpf.Instruction {
	return []bpf.Instruction{
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: protoICMP, SkipTrue: skip(at, drop)},
		bpf.LoadAbsolute{Off: etherLen, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: 0x45, SkipTrue: skip(at+2, drop)},
		bpf.LoadAbsolute{Off: etherLen + 2, Size: 2},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: ipLen + echoLen, SkipTrue: skip(at+4, drop)},
		bpf.LoadAbsolute{Off: etherLen + 6, Size: 2},
		bpf.JumpIf{Cond: bpf.JumpBitsSet, Val: 0x3fff, SkipTrue: skip(at+6, drop)},
		bpf.LoadAbsolute{Off: etherLen + ipLen, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: icmpReply, SkipTrue: skip(at+8, drop+1), SkipFalse: skip(at+8, drop)},
	}
}

// anyARPFilter is the part for tellsOfHolder, at place at; what it does not keep comes
// to drop, which follows it, and then keep. The type of the frame is loaded.
func anyARPFilter(at, drop int) []bpf.Instruction {
	keep := drop + 1
	return []bpf.Instruction{
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: etherTypeARP, SkipTrue: skip(at, drop)},
		bpf.LoadAbsolute{Off: etherLen + 6, Size: 2},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: 2, SkipTrue: skip(at+2, keep)}, // a reply
		bpf.LoadAbsolute{Off: etherLen + 14, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: 0, SkipTrue: skip(at+4, keep)}, // a probe
		bpf.TAX{},
		bpf.LoadAbsolute{Off: etherLen + 24, Size: 4},
		bpf.JumpIfX{Cond: bpf.JumpEqual, SkipTrue: skip(at+7, keep)}, // an announcement
	}
}

// watchedFilter is the part for concerns. Without an address to watch it is empty: no ARP
// message wakes the process.
func (r *Rule) watchedFilter(at, drop int) []bpf.Instruction {
	if len(r.Watched) == 0 {
		return nil
	}
	keep := drop + 1
	var out []bpf.Instruction
	here := func() int { return at + len(out) }
	watched := func() {
		for _, a := range r.Watched {
			out = append(out, bpf.JumpIf{Cond: bpf.JumpEqual, Val: uint32(a), SkipTrue: skip(here(), keep)})
		}
	}
	out = append(out,
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: etherTypeARP, SkipTrue: skip(at, drop)},
		bpf.LoadAbsolute{Off: etherLen + 14, Size: 4})
	watched()
	out = append(out, bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: 0, SkipTrue: skip(here(), drop)})
	out = append(out, bpf.LoadAbsolute{Off: etherLen + 24, Size: 4})
	watched()
	return out
}
