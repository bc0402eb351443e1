//go:build !race

package pebble

// thin is 1: every case of the long tests is run.
const thin = 1
