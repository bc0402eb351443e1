//go:build !amd64

package run

// refusedHere are the refused system calls that only this architecture has.
var refusedHere []uint32
