package sim

import "lessor/internal/wire"

// hostile is a station that sends what a step of the plan tells it to.
type hostile struct {
	nic  *nic
	seen []byte // the last UDP frame that came by
}

func newHostile(w *world, i int, mac wire.MAC) *hostile {
	h := &hostile{nic: &nic{w: w, host: hostileName(i), seg: w.segments[i%len(w.segments)], id: 2, mac: mac, carrier: true}}
	h.nic.take = func(frame []byte) {
		if frame[12] == 8 && frame[13] == 0 {
			h.seen = frame
		}
	}
	h.nic.seg.nics = append(h.nic.seg.nics, h.nic)
	return h
}

func hostileName(i int) string { return "hostile" + string(rune('0'+i%10)) }
