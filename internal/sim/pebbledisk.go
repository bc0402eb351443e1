package sim

func newPebbleDisk(w *world, p *ServerPlan) disk { panic("not yet") }
