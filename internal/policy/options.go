package policy

import (
	"math/bits"
	"slices"

	"lessor/dhcp4"
)

// OptionSet is encoded options by code, at most one value a code. It is never
// changed once built. A nil *OptionSet is an empty one.
type OptionSet struct {
	present [4]uint64
	opts    []dhcp4.Option // ascending by code
}

// NewOptionSet returns the set of opts; of two values of one code the later wins.
// The set keeps the Data slices, which must not be changed afterwards.
func NewOptionSet(opts ...dhcp4.Option) *OptionSet {
	var last [256]int // index in opts plus one
	for i := range opts {
		last[opts[i].Code] = i + 1
	}
	s := &OptionSet{opts: make([]dhcp4.Option, 0, len(opts))}
	for code, i := range last {
		if i > 0 {
			s.present[code>>6] |= 1 << (code & 63)
			s.opts = append(s.opts, opts[i-1])
		}
	}
	return s
}

// Has reports whether s has a value for code.
func (s *OptionSet) Has(code dhcp4.Code) bool {
	return s != nil && s.present[code>>6]&(1<<(code&63)) != 0
}

// Get returns the encoded value of code, which belongs to s and must not be
// changed. It does not allocate, and its cost does not depend on the size of s:
// the place of an option is the number of options with smaller codes.
func (s *OptionSet) Get(code dhcp4.Code) ([]byte, bool) {
	if !s.Has(code) {
		return nil, false
	}
	word := int(code >> 6)
	n := bits.OnesCount64(s.present[word] & (1<<(code&63) - 1))
	for i := range word {
		n += bits.OnesCount64(s.present[i])
	}
	return s.opts[n].Data, true
}

// All returns the options of s in ascending order of code. The slice belongs to s.
func (s *OptionSet) All() []dhcp4.Option {
	if s == nil {
		return nil
	}
	return s.opts
}

// Len is the number of options in s.
func (s *OptionSet) Len() int { return len(s.All()) }

// Merge returns the options of both sets; where both have a value inner's wins.
// It may return one of its arguments.
func Merge(outer, inner *OptionSet) *OptionSet {
	switch {
	case outer.Len() == 0:
		return inner
	case inner.Len() == 0:
		return outer
	}
	return NewOptionSet(slices.Concat(outer.opts, inner.opts)...)
}
