package checker

// conductRules are the promises about how replies, clocks, stores and clients behave:
// I12 to I17, I20, I22 and L1 to L4.
func conductRules() []rule { return nil }
