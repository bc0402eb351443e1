package engine

import (
	"lessor/dhcp4"
	"lessor/internal/wire"
)

// class says how dear a message is when not all can be handled.
type class uint8

const (
	newcomer class = iota // DISCOVER, and what no server answers: dropped first
	ordinary              // everything else
	holder                // a REQUEST that extends a lease (ciaddr set): dropped last
)

const (
	offCIAddr  = 12
	offOptions = 240
	optType    = 53
	optPad     = 0
	optEnd     = 255
)

// classify looks at the fixed octets and for option 53 in the options field,
// without the checks that the real parser makes: when it errs, a message is at
// most dropped a little too soon. It looks at 16 options at most; nearly every
// client sends 53 first.
func classify(data []byte) class {
	if len(data) < offOptions+3 || data[0] != 1 {
		return newcomer
	}
	at := offOptions
	for range 16 {
		if at+2 >= len(data) {
			break
		}
		switch data[at] {
		case optPad:
			at++
			continue
		case optEnd:
			return newcomer
		case optType:
			switch dhcp4.MessageType(data[at+2]) {
			case dhcp4.Discover:
				return newcomer
			case dhcp4.Request:
				if dhcp4.AddrFromBytes(data[offCIAddr:]) != 0 {
					return holder
				}
			}
			return ordinary
		}
		at += 2 + int(data[at+1])
	}
	return ordinary
}

// shed keeps the messages of ps that are at least as dear as least, in order,
// and returns them with the number of dropped ones.
func shed(ps []wire.Packet, least class) (kept []wire.Packet, dropped uint64) {
	kept = ps[:0]
	for i := range ps {
		if classify(ps[i].Data) >= least {
			if len(kept) != i {
				ps[len(kept)], ps[i] = ps[i], ps[len(kept)]
			}
			kept = kept[:len(kept)+1]
		}
	}
	return kept, uint64(len(ps) - len(kept))
}
