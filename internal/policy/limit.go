package policy

// Limits bound what is given to new clients. The zero Limits are none.
type Limits struct {
	Rate  float64 // new bindings a second; 0: any number
	Burst float64 // that may come at once, where Rate is set
	Count uint32  // addresses in use at once; 0: any number
	Pos   Pos
}

// Set reports whether there is a limit.
func (l *Limits) Set() bool { return l.Rate > 0 || l.Count > 0 }
