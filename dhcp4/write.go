package dhcp4

import (
	"encoding/binary"
	"slices"
)

// MinReply is the least size of a message that AppendMessage writes, the size of
// a BOOTP message, which old clients and relay agents insist on (RFC 1542 2.1).
const MinReply = 300

var zeros [MinReply]byte

// Sizes of the fields that option 52 makes available.
const (
	sizeSName = 64
	sizeFile  = 128
)

// Where the placement puts an option.
const (
	left     = iota // out of the message
	inOption        // in the options field
	inFile
	inSName
)

// maxOptions is how many options one message can carry: one for each code.
const maxOptions = 256

// plan says for each option where it goes.
type plan struct {
	place [maxOptions]uint8
	room  [4]int // octets left in each place
	agent bool   // option 82 fits
	over  uint8  // the value of option 52; 0: none
}

// AppendMessage appends one message to dst and returns it with the number of
// options that had to be left out. It allocates nothing when dst has room for
// limit octets more. h, opts and agent are only read, and must not lie in dst's
// free space.
//
// The message is the header h, the cookie, the options opts in the order given,
// and option 82 last when agent, its whole value, is not nil. PAD, END, 52 and 82
// in opts are skipped: they are the writer's own. Values of more than 255 octets
// are split (RFC 3396 5), all parts in the same field.
//
// limit is that of the whole message, header included; it is taken as at least
// 300, and shorter messages are padded to 300 with zeros. When the options field
// is full, options go on into file and sname as far as h leaves them nil, and
// option 52 says so. What still does not fit is left out whole: 58 and 59 first,
// then the later options of opts (a later one that is smaller may still find
// room). 53, 54 and 51 stay, and next to them option 82.
func AppendMessage(dst []byte, h *Header, opts []Option, agent []byte, limit int) (out []byte, dropped int) {
	limit = max(limit, MinReply)
	if len(opts) > maxOptions {
		dropped = len(opts) - maxOptions
		opts = opts[:maxOptions]
	}
	room := limit - offOptions - 1
	total := encodedTotal(opts, agent)
	if total > room {
		dst, n := appendTight(dst, h, opts, agent, room)
		return dst, dropped + n
	}
	start := len(dst)
	dst = appendHeader(slices.Grow(dst, size(total)), h)
	for _, o := range opts {
		if !ours(o.Code) {
			dst = appendOption(dst, o.Code, o.Data)
		}
	}
	return finish(dst, start, agent), dropped
}

// encodedTotal is the octets that the options and the agent's take together.
func encodedTotal(opts []Option, agent []byte) (n int) {
	for _, o := range opts {
		if !ours(o.Code) {
			n += encodedLen(o.Data)
		}
	}
	if agent != nil {
		n += encodedLen(agent)
	}
	return n
}

// size is the octets of a message whose options field takes n without END.
func size(n int) int { return max(MinReply, offOptions+n+1) }

// finish writes option 82, END and the padding of the message that begins at
// start.
func finish(dst []byte, start int, agent []byte) []byte {
	if agent != nil {
		dst = appendOption(dst, OptDHCPAgentOptions, agent)
	}
	dst = append(dst, byte(OptEnd))
	if n := len(dst) - start; n < MinReply {
		dst = append(dst, zeros[n:]...)
	}
	return dst
}

// appendTight writes a message whose options do not all fit into room octets of
// the options field.
func appendTight(dst []byte, h *Header, opts []Option, agent []byte, room int) (out []byte, dropped int) {
	var p plan
	dropped = p.make(h, opts, agent, room)
	start := len(dst)
	dst = appendHeader(slices.Grow(dst, size(room)), h)
	dst = p.append(dst, opts, inOption)
	if p.over != 0 {
		dst = append(dst, byte(OptDHCPOptionOverload), 1, p.over)
	}
	if !p.agent {
		agent = nil
	}
	dst = finish(dst, start, agent)
	// The fields have room for what the plan puts into them, so these appends
	// write in place.
	if p.over&1 != 0 {
		f := dst[start+offFile : start+offFile : start+offFile+sizeFile]
		_ = append(p.append(f, opts, inFile), byte(OptEnd))
	}
	if p.over&2 != 0 {
		f := dst[start+offSName : start+offSName : start+offSName+sizeSName]
		_ = append(p.append(f, opts, inSName), byte(OptEnd))
	}
	return dst, dropped
}

// appendHeader writes the first 240 octets.
func appendHeader(dst []byte, h *Header) []byte {
	start := len(dst)
	dst = append(dst, zeros[:offOptions]...)
	b := dst[start:]
	b[0], b[1], b[2], b[3] = h.Op, h.HType, h.HLen, h.Hops
	binary.BigEndian.PutUint32(b[4:], h.XID)
	binary.BigEndian.PutUint16(b[8:], h.Secs)
	binary.BigEndian.PutUint16(b[10:], h.Flags)
	binary.BigEndian.PutUint32(b[12:], uint32(h.CIAddr))
	binary.BigEndian.PutUint32(b[16:], uint32(h.YIAddr))
	binary.BigEndian.PutUint32(b[20:], uint32(h.SIAddr))
	binary.BigEndian.PutUint32(b[24:], uint32(h.GIAddr))
	copy(b[28:44], h.CHAddr[:])
	copy(b[offSName:offFile], h.SName)
	copy(b[offFile:offCookie], h.File)
	copy(b[offCookie:], cookie[:])
	return dst
}

// make decides where each option goes and returns how many go nowhere.
func (p *plan) make(h *Header, opts []Option, agent []byte, room int) (dropped int) {
	file, sname := 0, 0
	if h.File == nil {
		file = sizeFile - 1
	}
	if h.SName == nil {
		sname = sizeSName - 1
	}
	if file+sname > 0 {
		dropped = p.fill(opts, agent, [4]int{inOption: room - 3, inFile: file, inSName: sname})
		if p.over != 0 {
			return dropped
		}
	}
	return p.fill(opts, agent, [4]int{inOption: room})
}

// fill places the options into the given room, the most important first.
func (p *plan) fill(opts []Option, agent []byte, room [4]int) (dropped int) {
	p.room, p.over = room, 0
	for i, o := range opts {
		p.place[i] = left
		if vital(o.Code) {
			dropped += p.put(i, o, inOption)
		}
	}
	if p.agent = agent != nil && encodedLen(agent) <= p.room[inOption]; p.agent {
		p.room[inOption] -= encodedLen(agent)
	} else if agent != nil {
		dropped++
	}
	for i, o := range opts {
		if !vital(o.Code) && !spare(o.Code) && !ours(o.Code) {
			dropped += p.put(i, o, inSName)
		}
	}
	for i, o := range opts {
		if spare(o.Code) {
			dropped += p.put(i, o, inSName)
		}
	}
	return dropped
}

// put places option i in the first field with room, up to the field last. It
// returns 1 when there is none.
func (p *plan) put(i int, o Option, last uint8) int {
	n := encodedLen(o.Data)
	for f := uint8(inOption); f <= last; f++ {
		if n > p.room[f] {
			continue
		}
		p.room[f] -= n
		p.place[i] = f
		if f > inOption {
			p.over |= f - inOption // 1 file, 2 sname, 3 both (RFC 2132 9.3)
		}
		return 0
	}
	return 1
}

// append writes the options of one field, in the order of opts.
func (p *plan) append(dst []byte, opts []Option, field uint8) []byte {
	for i, o := range opts {
		if p.place[i] == field {
			dst = appendOption(dst, o.Code, o.Data)
		}
	}
	return dst
}

// ours reports whether the writer itself decides about the option.
func ours(c Code) bool {
	return c == OptPad || c == OptEnd || c == OptDHCPOptionOverload || c == OptDHCPAgentOptions
}

// vital reports whether a reply is worth nothing without the option.
func vital(c Code) bool {
	return c == OptDHCPMessageType || c == OptDHCPServerIdentifier || c == OptDHCPLeaseTime
}

// spare reports whether the client has a good default for the option: 1/2 and
// 7/8 of the lease time (RFC 2131 4.4.5).
func spare(c Code) bool { return c == OptDHCPRenewalTime || c == OptDHCPRebindingTime }

// encodedLen is the octets that a value takes in a message, codes and lengths
// included.
func encodedLen(val []byte) int {
	if len(val) <= 255 {
		return 2 + len(val)
	}
	return len(val) + 2*((len(val)+254)/255)
}

// appendOption writes one option, split when it is longer than 255 octets.
func appendOption(dst []byte, c Code, val []byte) []byte {
	for len(val) > 255 {
		dst = append(append(dst, byte(c), 255), val[:255]...)
		val = val[255:]
	}
	return append(append(dst, byte(c), byte(len(val))), val...)
}
