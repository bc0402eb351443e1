package server

// Rare are bounds of a Core that seldom matter in service: how much each table holds
// (I22), and how much is done at a time. A simulated run makes them small, so that what
// happens at a full table happens every few minutes. No configuration reaches them. A
// field of zero leaves its bound as it is.
type Rare struct {
	Offers  int // remembered, live and past
	Checks  int // addresses asked for at once by ARP
	Passed  int // addresses passed over at once because somebody answered for them
	Waiters int // packets that wait for an answer to a check
	Due     int // records, and offers, that one Tick looks at
}

// usual are the bounds in service.
var usual = Rare{Offers: maxOffers, Checks: maxChecks, Passed: maxPassed, Waiters: maxWaiters, Due: maxDue}

// SetRare changes bounds, for simulated runs. It is called before the first input.
func (c *Core) SetRare(r Rare) {
	for _, b := range []struct {
		bound *int
		to    int
	}{{&c.bound.Offers, r.Offers}, {&c.bound.Checks, r.Checks}, {&c.bound.Passed, r.Passed}, {&c.bound.Waiters, r.Waiters}, {&c.bound.Due, r.Due}} {
		if b.to > 0 {
			*b.bound = b.to
		}
	}
}
