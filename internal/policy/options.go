package policy

import (
	"math/bits"

	"lessor/dhcp4"
	"lessor/internal/template"
)

// Level is where in the configuration an option is set. An option is looked up from
// the innermost level outwards.
type Level uint8

// The levels, outermost first.
const (
	LevelDerived Level = iota // nobody set it: the mask of a subnet
	LevelGlobal
	LevelSharedNetwork
	LevelSubnet
	LevelPool
	LevelClass
	LevelReservation
)

var levelNames = [...]string{"derived", "global", "shared network", "subnet", "pool", "client class", "reservation"}

// String returns the level's name in messages.
func (l Level) String() string { return levelNames[l] }

// Flags say when an option is sent.
type Flags uint8

const (
	AlwaysSend Flags = 1 << iota // to clients too that do not ask for it
	NeverSend                    // to nobody: it takes the value of an outer level away
)

// Value is one option of a set: what is sent, and where that is written.
type Value struct {
	Code     dhcp4.Code
	Flags    Flags
	Level    Level
	Pos      Pos                // in the configuration file
	Data     []byte             // encoded; of a template its text
	Template *template.Template // filled in for each reply; nil: Data is sent
}

// OptionSet is options by code, at most one value a code. It is never changed once
// built. A nil *OptionSet is an empty one.
type OptionSet struct {
	present [4]uint64
	always  bool    // some value is sent always
	values  []Value // ascending by code
}

// NewOptionSet returns the set of opts; of two values of one code the later wins.
// The set keeps the Data slices, which must not be changed afterwards.
func NewOptionSet(opts ...dhcp4.Option) *OptionSet {
	values := make([]Value, len(opts))
	for i, o := range opts {
		values[i] = Value{Code: o.Code, Data: o.Data}
	}
	return NewValues(values...)
}

// NewValues is NewOptionSet for values with all that belongs to them.
func NewValues(values ...Value) *OptionSet {
	s := &OptionSet{}
	var last [256]uint16 // index in values plus one
	n := 0
	for i := range values {
		if last[values[i].Code] == 0 {
			n++
		}
		last[values[i].Code] = uint16(i + 1)
	}
	s.values = make([]Value, 0, n)
	for _, i := range last {
		if i > 0 {
			s.add(&values[i-1])
		}
	}
	return s
}

// add appends a value whose code is greater than those of s.
func (s *OptionSet) add(v *Value) {
	s.present[v.Code>>6] |= 1 << (v.Code & 63)
	s.always = s.always || v.Flags&AlwaysSend != 0
	s.values = append(s.values, *v)
}

// Lookup returns the value of code, or nil. One with NeverSend is returned too: it
// hides that of an outer level. The value belongs to s and must not be changed. It does not
// allocate, and its cost does not depend on the size of s: the place of an option is the
// number of options with smaller codes.
func (s *OptionSet) Lookup(code dhcp4.Code) *Value {
	if s == nil {
		return nil
	}
	word := code >> 6
	if s.present[word]&(1<<(code&63)) == 0 {
		return nil
	}
	n := bits.OnesCount64(s.present[word] & (1<<(code&63) - 1))
	for i := range word {
		n += bits.OnesCount64(s.present[i])
	}
	return &s.values[n]
}

// Has reports whether s has something to send for code.
func (s *OptionSet) Has(code dhcp4.Code) bool {
	v := s.Lookup(code)
	return v != nil && v.Flags&NeverSend == 0
}

// Get returns the encoded value of code where it is the same for all clients. It
// belongs to s and must not be changed.
func (s *OptionSet) Get(code dhcp4.Code) ([]byte, bool) {
	v := s.Lookup(code)
	if v == nil || v.Flags&NeverSend != 0 || v.Template != nil {
		return nil, false
	}
	return v.Data, true
}

// All returns the values of s in ascending order of code, those with NeverSend too.
// The slice belongs to s.
func (s *OptionSet) All() []Value {
	if s == nil {
		return nil
	}
	return s.values
}

// Len is the number of options in s.
func (s *OptionSet) Len() int { return len(s.All()) }

// SendsAlways reports whether s has a value with AlwaysSend.
func (s *OptionSet) SendsAlways() bool { return s != nil && s.always }

// At returns the options of s as those of level l.
func (s *OptionSet) At(l Level) *OptionSet {
	if s.Len() == 0 {
		return nil
	}
	out := &OptionSet{s.present, s.always, append([]Value(nil), s.values...)}
	for i := range out.values {
		out.values[i].Level = l
	}
	return out
}

// Merge returns the options of both sets; where both have a value inner's wins, with
// its flags. It may return one of its arguments.
func Merge(outer, inner *OptionSet) *OptionSet {
	switch {
	case outer.Len() == 0:
		return inner
	case inner.Len() == 0:
		return outer
	}
	n := 0
	for i := range outer.present {
		n += bits.OnesCount64(outer.present[i] | inner.present[i])
	}
	s := &OptionSet{values: make([]Value, 0, n)}
	a, b := outer.values, inner.values
	for len(a) > 0 && len(b) > 0 {
		switch {
		case a[0].Code < b[0].Code:
			s.add(&a[0])
			a = a[1:]
		case a[0].Code == b[0].Code:
			a = a[1:]
		default:
			s.add(&b[0])
			b = b[1:]
		}
	}
	for i := range a {
		s.add(&a[i])
	}
	for i := range b {
		s.add(&b[i])
	}
	return s
}
