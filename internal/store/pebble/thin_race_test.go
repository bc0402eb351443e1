//go:build race

package pebble

// thin makes long tests take every n-th of their cases only: the race detector, which
// looks at how goroutines meet and not at every place of a cut, makes each of them
// ten times slower.
const thin = 6
