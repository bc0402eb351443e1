package engine

import "lessor/internal/server"

// Rare makes what is rare in service common, for simulated runs only: no configuration
// reaches it. The zero value changes nothing.
type Rare struct {
	Changes int // bound of changes in one group, in place of 8192
	Replies int // bound of replies in one group, in place of 8192
	Octets  int // bound of the octets of replies in one group, in place of 8 MiB
	server.Rare
}

// SetRare changes bounds, for simulated runs. It is called before Begin.
func (s *Serving) SetRare(r Rare) {
	s.hold.setRare(r)
	s.core.SetRare(r.Rare)
}

// groupBounds are those of one group (I22).
type groupBounds struct{ changes, replies, octets int }

func (h *Hold) setRare(r Rare) {
	if r.Changes > 0 {
		h.most.changes = r.Changes
	}
	if r.Replies > 0 {
		h.most.replies = r.Replies
	}
	if r.Octets > 0 {
		h.most.octets = r.Octets
	}
}
