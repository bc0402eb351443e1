package client

import (
	"lessor/dhcp4"
	"lessor/internal/wire"
)

// Refusal is an option that was not used, and why.
type Refusal struct {
	Code   dhcp4.Code
	Reason Reason
}

// ReadLease reads what an OFFER or ACK promises: address, mask, server, lifetime and
// settings. reason is None, or why the message is no lease that a host can use; then
// the rest does not matter. Points of time are left zero; T1 and T2 hold seconds.
// l keeps a copy of the message. c says which routes are taken. refused is appended to
// and returned.
func ReadLease(c *Config, v *dhcp4.View, from wire.MAC, refused []Refusal) (l Lease, _ []Refusal, reason Reason) {
	return l, refused, None
}
