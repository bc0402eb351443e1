//go:build !soak

package engine_test

// nthEvery says that TestNthCallFails gives every call a turn.
const nthEvery = false
