package checker

import (
	"lessor/dhcp4"
	"lessor/internal/lease"
	"lessor/internal/policy"
	core "lessor/internal/server"
	"lessor/internal/trace"
	"lessor/internal/wire"
)

// mark is a place in the trace.
type mark struct {
	T     int64
	entry int
	host  string
}

// server is the account of one server host, over all its processes.
type server struct {
	l    *ledger
	host *host

	// The process.
	up      bool
	careful bool  // it started in careful mode
	startT  int64 // true time of Started
	startM  int64
	longest uint32 // finite lease of its first configuration, seconds
	starts  int
	boot    lease.BootID
	present lease.Mark   // the wall time at its start, from which its marks go on with M
	marked  lease.BootID // of the newest mark that is durable
	began   int64        // when the newest answered commit was begun: what was decided before it is in it, or in an earlier one

	// What it was told.
	pol    *policy.Policy // in force; nil: none
	oldPol *policy.Policy // before that
	polT   int64          // since when
	links  []wire.Link
	linksT int64
	own    map[dhcp4.Addr]struct{} // names of this process
	ever   map[dhcp4.Addr]struct{} // names of all processes

	// Its store.
	failing bool
	failT   int64 // when it last failed, as far as it shows
	failed  bool  // a commit has ever failed
	records map[dhcp4.Addr]*record
	former  map[dhcp4.Addr]*record // those of the process before, as they were durable
	byKey   map[string][]dhcp4.Addr
	loading bool

	// What it heard and said.
	requests []*request
	oldest   int // requests before are forgotten
	pending  map[key]*request
	found    []*request
	offers   offerBook
	arpHeard map[dhcp4.Addr]int64 // M of the last ARP message from that address
	arpAsked map[dhcp4.Addr]int64 // M of the last question for that address
	asks     bool                 // the trace has its ARP questions
	hears    bool                 // and the ARP messages that it receives
	declines map[dhcp4.Addr]*request
	declined []*record // those that are out, and some that were
	declineM int64     // M of the last DECLINE
	discover *request  // the last DISCOVER
	silentM  int64     // M of the last DISCOVER that nothing had answered when the next came
	events   bool      // the trace has its events
	got      [dhcp4.Inform + 1]uint64
	doubts   []doubt
	keyBuf   []byte
}

func newServer(l *ledger, h *host) *server {
	return &server{l: l, host: h, own: map[dhcp4.Addr]struct{}{}, ever: map[dhcp4.Addr]struct{}{},
		records: map[dhcp4.Addr]*record{}, byKey: map[string][]dhcp4.Addr{}, pending: map[key]*request{},
		offers: newOfferBook(), arpHeard: map[dhcp4.Addr]int64{}, arpAsked: map[dhcp4.Addr]int64{},
		declines: map[dhcp4.Addr]*request{}}
}

// here is the place of entry e.
func (s *server) here(e *trace.Entry) mark { return mark{e.T, s.l.index, e.Host} }

// begun takes a start: what was loaded is now in force, nothing else is left of the
// process before.
func (s *server) begun(e *trace.Entry, b *trace.Started) {
	if !s.loading {
		s.reload()
	}
	s.loading = false
	s.up, s.careful, s.startT, s.startM, s.boot = true, b.Careful, e.T, s.l.m, b.Boot
	s.starts++
	s.failing, s.failT, s.failed = false, 0, false
	s.pol, s.oldPol, s.links = nil, nil, nil
	clear(s.own)
	s.startMark(e, b)
	s.promisesAfterStart(b)
	s.stillOut()
}

// ended takes the end of the process: offers, requests and what was in doubt are gone.
func (s *server) ended() {
	s.up = false
	clear(s.pending)
	s.requests, s.oldest = s.requests[:0], 0
	s.offers = newOfferBook()
	s.doubts = s.doubts[:0]
	s.discover, s.silentM, s.declineM = nil, 0, 0
	clear(s.arpHeard)
	clear(s.arpAsked)
	clear(s.declines)
	s.got = [dhcp4.Inform + 1]uint64{}
}

func (s *server) configured(t int64, p *policy.Policy) {
	s.oldPol, s.pol, s.polT = s.pol, p, t
	if s.oldPol == nil {
		s.longest = longestLease(p)
	}
	if p.ServerIdentifier != 0 {
		s.name(p.ServerIdentifier)
	}
	s.offers.unsure() // a reload may have ended any of them
}

func (s *server) served(t int64, links []wire.Link) {
	s.links, s.linksT = links, t
	for i := range links {
		for _, a := range links[i].Addrs {
			s.name(a.Addr)
			s.offers.end(a.Addr)
		}
	}
}

func (s *server) name(a dhcp4.Addr) {
	s.own[a] = struct{}{}
	s.ever[a] = struct{}{}
}

// isOwn reports whether a is an address of an interface that s serves.
func (s *server) isOwn(a dhcp4.Addr) bool {
	for i := range s.links {
		for _, p := range s.links[i].Addrs {
			if p.Addr == a {
				return true
			}
		}
	}
	return false
}

// isOurs reports whether a server identifier names s for certain, named whether it may:
// a name that it had in an earlier process.
func (s *server) isOurs(a dhcp4.Addr) bool {
	_, ok := s.own[a]
	return ok
}

func (s *server) named(a dhcp4.Addr) bool {
	_, ok := s.ever[a]
	return ok
}

func (s *server) storeState(t int64, b *trace.StoreState) {
	s.failing, s.failT = b.Failing, t
	if b.Failing {
		s.failed = true
		s.lose()
	}
}

// lose marks what may have waited for a commit that failed.
func (s *server) lose() {
	for _, q := range s.requests[s.oldest:] {
		if q.fate == waits {
			q.fate = lost
		}
	}
	s.doubts = s.doubts[:0]
	s.offers.unsure()
}

// happened takes an event: an input that ended in silence waits for nothing more. Of
// several that it can be about it is the newest: a drop is reported at once. An answer that
// came too late is that of the oldest.
func (s *server) happened(ev *core.Event) {
	s.events = true
	s.l.dropped = s.l.dropped[:0]
	if ev.Kind != core.EventDrop || ev.Type == 0 {
		return
	}
	var newest *request
	k := keyOf(ev.XID, ident{htype: ev.HType, hw: ev.HW})
	for q := s.pending[k]; q != nil; q = q.next {
		if q.kind == ev.Type && q.fate == waits {
			if newest == nil || ev.Reason != core.AnswerLate {
				newest = q
			}
			s.l.dropped = append(s.l.dropped, q)
		}
	}
	if newest == nil {
		return
	}
	newest.fate = dropped
	if ev.Reason == core.ForeignServer {
		s.offers.refused(s.offerKey(newest), newest, s.l.m)
	}
}

// override takes an operator's release.
func (s *server) override(b *trace.Override) {
	for _, p := range s.l.promises[b.Addr] {
		if p.server == s {
			p.held = true
			p.leaving = p.leaving || b.Immediate
		}
	}
	r := s.record(b.Addr)
	r.overridden, r.overrideM, r.leaving = true, s.l.m, true
}

// heardARP takes an ARP message that s received: who speaks from an address has it.
func (s *server) heardARP(a *wire.ARP) {
	s.hears = true
	if a.SenderIP != 0 {
		s.arpHeard[a.SenderIP] = s.l.m
		s.offers.end(a.SenderIP)
	}
}

// pings reports whether s asks for addresses behind relay agents by ICMP echo requests.
// A trace does not have those: what an answer to them would explain cannot be judged.
func (s *server) pings() bool {
	return s.pol != nil && s.pol.EchoCheck || s.oldPol != nil && s.oldPol.EchoCheck
}

// asked takes an ARP question of s.
func (s *server) asked(a *wire.ARP) {
	s.arpAsked[a.TargetIP] = s.l.m
	s.asks = true
}

func (s *server) count(t dhcp4.MessageType) {
	if int(t) < len(s.got) {
		s.got[t]++
	}
}
