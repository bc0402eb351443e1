package relay

import (
	"fmt"
	"slices"

	"lessor/dhcp4"
)

// MaxText is the longest text of a template, in octets, that leaves room for nothing else in
// option 82.
const MaxText = maxAgent - 2

var policies = []string{Forward: "forward", Append: "append", Replace: "replace", Drop: "drop"}

// PolicyNames are the words for the policies.
func PolicyNames() []string { return slices.Clone(policies) }

// ParsePolicy is the policy of a word.
func ParsePolicy(word string) (p Policy, ok bool) {
	i := slices.Index(policies, word)
	return Policy(max(i, 0)), i >= 0
}

// String is the word for p.
func (p Policy) String() string {
	if int(p) < len(policies) {
		return policies[p]
	}
	return "unknown"
}

// Faults says for each interface of c what is wrong with its giaddr, "" for nothing: link
// selection needs one that servers reach, and without it two interfaces with one giaddr could not
// be told apart, neither by the server, which chooses the subnet by it, nor by the agent.
func Faults(c *Config) []string {
	out := make([]string, len(c.Downstream))
	first := map[dhcp4.Addr]int{} // looked up only
	for i := range c.Downstream {
		d := &c.Downstream[i]
		if d.GIAddr == 0 {
			if d.LinkSelection {
				out[i] = fmt.Sprintf("link selection of %s needs giaddr: an address of this host that the servers reach", d.Name)
			}
			continue
		}
		j, taken := first[d.GIAddr]
		switch {
		case !taken:
			first[d.GIAddr] = i
		case !d.LinkSelection || !c.Downstream[j].LinkSelection:
			out[i] = fmt.Sprintf("%s and %s have the same giaddr %s, which needs link-selection at both", c.Downstream[j].Name, d.Name, d.GIAddr)
		}
	}
	return out
}
