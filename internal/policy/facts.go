package policy

import "lessor/dhcp4"

// Pos is a place in the configuration file; the zero Pos is none. The file's name
// is Policy.File.
type Pos struct{ Line, Col int32 }

// Facts is what is known of a packet and its client when classes are tested, a
// flex-id is computed and templates are filled in. The slices alias the packet or
// a record and are valid during the call only.
type Facts struct {
	View *dhcp4.View       // the packet; nil when the facts are those of a record
	Type dhcp4.MessageType // 0 when there is no packet

	HType    uint8
	HW       []byte // chaddr[0:hlen]
	ClientID []byte // option 61 as received

	// The way of the packet. Agent is relay information that is believed: the value of
	// option 82, or in a renewal that came without a relay agent that of the binding.
	CIAddr    dhcp4.Addr
	GIAddr    dhcp4.Addr
	Agent     []byte
	Interface string   // name of the ingress interface
	Network   *Network // nil before it is known

	Known   bool     // the client has a reservation in Network
	Classes ClassSet // that it is in, as far as they have been tested
}

// AgentOption returns the value of sub-option sub of f.Agent (RFC 3046 2.0), and
// whether it is there. It aliases f.Agent.
func (f *Facts) AgentOption(sub uint8) ([]byte, bool) { return AgentOption(f.Agent, sub) }

// AgentOption returns the value of sub-option sub of the value of an option 82 (RFC
// 3046 2.0), and whether it is there; a truncated one is not.
func AgentOption(agent []byte, sub uint8) ([]byte, bool) {
	for len(agent) >= 2 {
		n := 2 + int(agent[1])
		if len(agent) < n {
			break
		}
		if agent[0] == sub {
			return agent[2:n:n], true
		}
		agent = agent[n:]
	}
	return nil, false
}

// Test says whether a client is in a class. It allocates as little as it can and
// reads only the Facts. An error means that the test had no answer for these facts:
// the client is not in the class.
type Test func(*Facts) (bool, error)

// Expression computes a value of Facts, for flex-id; nil: it has none.
type Expression func(*Facts) []byte

// MaxClasses is how many classes a configuration may have, the built-in ones included.
const MaxClasses = 256

// ClassSet is a set of classes by their number in Policy.Classes.
type ClassSet [MaxClasses / 64]uint64

// Add puts class i in the set.
func (s *ClassSet) Add(i int) { s[i/64] |= 1 << (i % 64) }

// Has reports whether class i is in the set.
func (s *ClassSet) Has(i int) bool { return s[i/64]>>(i%64)&1 != 0 }

// Empty reports whether no class is in the set.
func (s *ClassSet) Empty() bool { return *s == ClassSet{} }

// Meets reports whether the sets have a class in common.
func (s *ClassSet) Meets(t *ClassSet) bool {
	for i := range s {
		if s[i]&t[i] != 0 {
			return true
		}
	}
	return false
}

// Union puts the classes of t in s.
func (s *ClassSet) Union(t *ClassSet) {
	for i := range s {
		s[i] |= t[i]
	}
}

// Built-in classes, by their number in Policy.Classes.
const (
	ClassKnown   = 0 // KNOWN: the client has a reservation
	ClassUnknown = 1 // UNKNOWN: it has none
	FirstClass   = 2 // the first class of the configuration
)

// Names of classes with a meaning of their own. DROP is configured like any other
// class; whoever is in it gets no answer.
const (
	NameKnown   = "KNOWN"
	NameUnknown = "UNKNOWN"
	NameDrop    = "DROP"
)

// Class is one client class.
type Class struct {
	Name string
	Test Test   // nil: only a reservation, or what is built in, puts a client in it
	Text string // of the test, for people
	// Values appends the values that the test reads, for people; nil as Test is.
	Values    func(dst []byte, f *Facts) []byte
	Pos       Pos
	Lifetimes            // zero fields: not set here
	Options   *OptionSet // its own
	Boot      *Boot      // its own
	Limits    Limits
}
