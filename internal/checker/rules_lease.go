package checker

// leaseRules are the promises about who has which address: I1 to I11.
func leaseRules() []rule {
	return []rule{newBindings(), &durability{}, newRenewals(), &lengths{}, &answers{}, &pools{}, &declines{}, newProbes(), newOffersRule(), &choices{}, &addresses{}, newMoves()}
}
