package server

import "lessor/internal/wire"

// maxIngresses bounds the table of limiters of relay agents (I22); those beyond share
// one. Interfaces have their own in any case: there are few.
const maxIngresses = 1024

// ingress is where a packet came in: an interface, or a relay agent's port.
type ingress struct {
	link  wire.LinkID
	relay uint64 // hash of giaddr and circuit-id; 0: none
}

// bucket is a token bucket: rate tokens a second, burst at most.
type bucket struct {
	tokens float64
	at     int64
}

// refill gives b the tokens of the time that passed.
func (b *bucket) refill(now int64, rate, burst float64) {
	b.tokens = min(burst, b.tokens+float64(now-b.at)/1e9*rate)
	b.at = now
}

// limiter bounds, for each ingress, the bindings that answer no offer of this
// server (F5): otherwise forged REQUESTs take a pool within seconds.
type limiter struct {
	buckets map[ingress]*bucket
	swept   int64 // when full buckets were last thrown away
}

// allow takes one token of in's bucket; it reports false when there is none.
func (l *limiter) allow(in ingress, now int64, rate, burst float64) bool {
	b := l.buckets[in]
	if b == nil {
		if l.buckets == nil {
			l.buckets = map[ingress]*bucket{}
		}
		if in.relay != 0 && len(l.buckets) >= maxIngresses && !l.sweep(now, rate, burst) {
			in = ingress{}
			b = l.buckets[in]
		}
		if b == nil {
			b = &bucket{tokens: burst, at: now}
			l.buckets[in] = b
		}
	}
	b.refill(now, rate, burst)
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}

// sweep throws full buckets away, which are as good as none, at most once a second; it
// reports whether there is room then.
func (l *limiter) sweep(now int64, rate, burst float64) bool {
	if now-l.swept < second && l.swept != 0 {
		return false
	}
	l.swept = now
	for in, b := range l.buckets {
		if b.refill(now, rate, burst); b.tokens >= burst {
			delete(l.buckets, in)
		}
	}
	return len(l.buckets) < maxIngresses
}
