package dhcp4

// part is one instance of an option as a dump shows it.
type part struct {
	Instance
	n, of int    // which part of a split option this is, from 1
	whole []byte // the joined value, on the last part
	def   *Def   // nil: not in the registry
}

// anatomy is everything a dump shows of a message. Unlike a View it is made of
// what can be read of a message that does not parse, too, and it allocates.
type anatomy struct {
	parts  []part
	ends   []Instance   // where END stands, by area
	errs   []ParseError // in the order in which they were met
	after  int          // where the octets after the END of the options field start
	typ    MessageType  // 0: none
	over   uint8        // as in View
	fixed  bool         // the header is whole
	count  [256]int     // instances that count, by code
	joined [256][]byte  // their values
}

// dissect takes b apart as far as it can be read.
func dissect(b []byte) *anatomy {
	a := &anatomy{after: len(b)}
	var v View
	if err := v.Parse(b); err != nil {
		e := v.err
		if e.Area == AreaHeader {
			a.errs = append(a.errs, e)
			if e.Problem != HardwareTooLong {
				a.fixed = len(b) >= MinSize
				return a
			}
		}
	}
	a.fixed = true
	a.after = a.walk(b, offOptions, len(b), AreaOptions)
	if a.count[OptDHCPOptionOverload] == 1 {
		if val := a.joined[OptDHCPOptionOverload]; len(val) == 1 && val[0] <= 3 {
			a.over = val[0]
		}
	}
	if a.over&1 != 0 {
		a.walk(b, offFile, offCookie, AreaFile)
	}
	if a.over&2 != 0 {
		a.walk(b, offSName, offFile, AreaSName)
	}
	if val := a.joined[OptDHCPMessageType]; len(val) == 1 {
		a.typ = MessageType(val[0])
	}
	a.finish()
	return a
}

// walk notes the options of one field and returns where it stopped.
func (a *anatomy) walk(b []byte, pos, end int, area Area) int {
	for {
		code, at, next, p := step(b, pos, end)
		if p != NoProblem {
			a.errs = append(a.errs, ParseError{at, area, code, p})
			return len(b)
		}
		if code == OptEnd {
			if next > at {
				a.ends = append(a.ends, Instance{Code: OptEnd, Area: area, Offset: at})
			}
			return next
		}
		q := part{Instance: Instance{code, area, at, b[at+2 : next]}, def: Lookup(code)}
		if !q.Ignored() {
			a.count[code]++
			q.n = a.count[code]
			if q.n == 1 {
				a.joined[code] = q.Data[:len(q.Data):len(q.Data)]
			} else {
				a.joined[code] = append(a.joined[code], q.Data...)
			}
		}
		a.parts = append(a.parts, q)
		pos = next
	}
}

// finish gives the last part of each option its whole value.
func (a *anatomy) finish() {
	for i := range a.parts {
		p := &a.parts[i]
		p.of = a.count[p.Code]
		if p.n == p.of && p.n > 0 {
			p.whole = a.joined[p.Code]
			if p.whole == nil {
				p.whole = []byte{}
			}
		}
	}
}
