package checker

// lifeRules are I12 to I17, I20, I21, I22 and L1 to L4: messages and copies of them, clocks,
// configurations, stores, clients, and what must come true again.
func lifeRules() []rule {
	return []rule{newFaithful(), newIdempotent(), newCauses(), newRecovery(), newStorage(), newClients(), newBounds(),
		newHealing(), newFirstAnswer(), newUsage(), newServed(), newRelays()}
}
