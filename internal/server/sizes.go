package server

// Sizes is how much stands in the tables that strangers could fill (I22).
type Sizes struct {
	Offers int // live ones
	Past   int // offers that are over and still remembered
	Checks int // addresses that are asked for, and those passed over
}

// Sizes looks at the tables; it costs a walk over the offers.
func (c *Core) Sizes() (n Sizes) {
	for of := range c.offers.all {
		if of.live {
			n.Offers++
		} else {
			n.Past++
		}
	}
	n.Checks = len(c.checks.byAddr)
	return n
}
