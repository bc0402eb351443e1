package engine

// Rare makes what is rare in service common, for simulated runs only: no configuration
// reaches it. The zero value changes nothing.
type Rare struct {
	Changes int // bound of changes in one group, in place of 8192
	Replies int // bound of replies in one group
	Offers  int // size of the table of offers, in place of 65,536
	Checks  int // conflict checks under way at most
}
