package server

import "lessor/internal/wire"

// maxIngresses bounds the table of limiters of relay agents (I22); those beyond share
// one. Interfaces have their own in any case: there are few. So have the subnets and
// classes of the configuration.
const maxIngresses = 1024

// limited says of what a bucket bounds the rate.
type limited uint8

const (
	unoffered    limited = iota // bindings that answer no offer, of an ingress (F5)
	newAtIngress                // new bindings of an ingress, where configured
	newInSubnet
	newInClass
)

// ingress is where a packet came in: an interface, or a relay agent's port; or for the
// rates of subnets and classes which of them it is.
type ingress struct {
	kind  limited
	link  wire.LinkID
	relay uint64 // hash of giaddr and circuit-id, 0: none; or the number of the subnet or class
}

// ofAgent reports whether a station can choose what the bucket is of.
func (in ingress) ofAgent() bool { return in.relay != 0 && in.kind <= newAtIngress }

// bucket is a token bucket: rate tokens a second, burst at most.
type bucket struct {
	tokens, rate, burst float64
	at                  int64
}

// refill gives b the tokens of the time that passed.
func (b *bucket) refill(now int64) {
	b.tokens = min(b.burst, b.tokens+float64(now-b.at)/1e9*b.rate)
	b.at = now
}

// limiter bounds rates. For each ingress it bounds the bindings that answer no offer of
// this server (F5): otherwise forged REQUESTs take a pool within seconds.
type limiter struct {
	buckets map[ingress]*bucket
	agents  int   // buckets of agents
	swept   int64 // when full buckets were last thrown away
}

// allow takes one token of in's bucket; it reports false when there is none.
func (l *limiter) allow(in ingress, now int64, rate, burst float64) bool {
	return l.has(in, now, rate, burst, true)
}

// has reports whether in's bucket has a token, and takes it if asked to.
func (l *limiter) has(in ingress, now int64, rate, burst float64, take bool) bool {
	b := l.buckets[in]
	if b == nil {
		if l.buckets == nil {
			l.buckets = map[ingress]*bucket{}
		}
		if in.ofAgent() && l.agents >= maxIngresses && !l.sweep(now) {
			in = ingress{kind: in.kind}
			b = l.buckets[in]
		}
		if b == nil {
			b = &bucket{tokens: burst, at: now}
			l.buckets[in] = b
			if in.ofAgent() {
				l.agents++
			}
		}
	}
	b.rate, b.burst = rate, burst
	b.refill(now)
	if b.tokens < 1 {
		return false
	}
	if take {
		b.tokens--
	}
	return true
}

// sweep throws full buckets away, which are as good as none, at most once a second; it
// reports whether there is room then.
func (l *limiter) sweep(now int64) bool {
	if now-l.swept < second && l.swept != 0 {
		return false
	}
	l.swept = now
	for in, b := range l.buckets {
		if b.refill(now); b.tokens >= b.burst {
			delete(l.buckets, in)
			if in.ofAgent() {
				l.agents--
			}
		}
	}
	return l.agents < maxIngresses
}
