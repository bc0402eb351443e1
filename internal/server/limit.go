package server

import "lessor/internal/wire"

// maxIngresses bounds the table of limiters (I22); those beyond share one.
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

// limiter bounds, for each ingress, the bindings that answer no offer of this
// server (F5): otherwise forged REQUESTs take a pool within seconds.
type limiter struct{ buckets map[ingress]*bucket }

// allow takes one token of in's bucket; it reports false when there is none.
func (l *limiter) allow(in ingress, now int64, rate, burst float64) bool {
	b := l.buckets[in]
	if b == nil {
		if l.buckets == nil {
			l.buckets = map[ingress]*bucket{}
		}
		if len(l.buckets) >= maxIngresses {
			in = ingress{}
			b = l.buckets[in]
		}
		if b == nil {
			b = &bucket{tokens: burst, at: now}
			l.buckets[in] = b
		}
	}
	b.tokens = min(burst, b.tokens+float64(now-b.at)/1e9*rate)
	b.at = now
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}
