// Package planted tests the tests: each file of testdata is a mistake that somebody
// could have made in Lessor, as a change of a few lines. The simulator must find every
// one of them. The program is built with it by `go build -overlay`; no file of the
// program is touched, and nothing of it is in what is shipped.
//
// A file begins with what is known of the bug and goes on with its edits:
//
//	what: an ACK does not wait until its record is durable
//	rule: I2
//	scenario: crash
//	seed: 17
//
//	--- internal/server/reply.go
//	        the lines as they are, which must occur exactly once in the file
//	+++
//	        the lines that take their place
//
// Lines are compared without the white space around them, so that a bug outlives most
// changes of the code around it. rule names what must be found broken; of several, any
// one will do.
//
//	go test ./test/planted                          each bug at its seed
//	go test ./test/planted -search 10000            look for the first seed of each (and of -bug NAME alone)
//	go test ./test/planted -search 10000 -write     write the seeds found into testdata and the table of docs/simulation.md
package planted
