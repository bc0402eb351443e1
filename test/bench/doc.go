// Package bench measures the real lessor binary in network namespaces: a server and
// its clients on two hosts that one wire joins. Beside it, in the same run and on the
// same wire, it measures ISC dhcpd and an echo server that makes each reply durable
// and does nothing else: read the ratios, since the machine is shared with whatever
// else runs on it. One ratio is a promise that a test holds: TestClientStart. All of it needs
// root:
//
//	make bench BENCH='Lone|DORA|Offers|Renewals|Start'      # the server
//	make bench BENCH=ClientStart                            # lessor client beside udhcpc
//
// Clients and server share the processors, so rates are those of both together. The
// processor time of the server for one exchange ("cpu-µs/op") is what compares best.
package bench
