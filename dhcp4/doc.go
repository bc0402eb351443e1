// Package dhcp4 is the DHCPv4 wire format of RFC 2131 and RFC 2132: a view over
// a caller's bytes to read a message, append-style functions to write one, and
// one table of option codes, names and types that also drives configuration,
// display and documentation. It imports only the standard library.
package dhcp4
