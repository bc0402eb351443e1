// Package config reads the configuration: YAML whose every value has a position,
// unknown keys refused, all faults found at once and said so that they can be
// mended. A configuration without errors is compiled to a policy.Policy.
//
// The way of a file: source.go splits it into lines and nodes, keys.go and the
// parse files turn nodes into a tree that remembers positions, check.go holds the
// parts of the tree against each other, compile.go makes the policy.
package config
