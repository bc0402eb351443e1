// Package setup is what a DHCP client changes on its host: address, routes, MTU, DNS,
// host name, a hook program, the lease file. It takes back all that it changed and
// touches nothing else. It is the privileged part of the client: it accepts only
// values that it has checked itself.
//
// What it changed is written down in a file beside the lease file before it is
// changed. So a client that was killed leaves nothing for ever: the next run reads
// that file and can still put back what was there before the first one.
package setup

import (
	"lessor/dhcp4"
	"lessor/internal/client"
	"lessor/internal/lease"
)

// Config is what is put on an interface. It travels as JSON from the part of the
// client that reads packets.
type Config struct {
	Addr          dhcp4.Prefix   `json:"address"`            // the host's own address, not masked
	Broadcast     dhcp4.Addr     `json:"broadcast"`          // 0: none
	Valid         uint32         `json:"valid-lifetime"`     // seconds for the kernel; lease.Infinite for no end
	Preferred     uint32         `json:"preferred-lifetime"` // the same
	Server        dhcp4.Addr     `json:"server"`
	Routes        []client.Route `json:"routes,omitempty"`
	MTU           uint16         `json:"mtu,omitempty"` // 0: leave it
	DNS           []dhcp4.Addr   `json:"domain-name-servers,omitempty"`
	Domain        string         `json:"domain-name,omitempty"`
	Search        []string       `json:"domain-search,omitempty"`
	HostName      string         `json:"host-name,omitempty"` // used only where Options.SetHostName
	NTP           []dhcp4.Addr   `json:"ntp-servers,omitempty"`
	CaptivePortal string         `json:"captive-portal,omitempty"`
	TimeZone      string         `json:"time-zone,omitempty"`
}

// FromLease is what lease l puts on the interface at instant now. It shares the
// slices of l. Valid is what remains of the lease, in whole seconds rounded up: the
// client itself takes the address off at the end, and the kernel, which does so when
// the client is dead, must not be the earlier one. Of a lease that has ended it is 0, which
// Check refuses. Preferred ends at T2: from then on the server that gave the address has not
// answered, and whoever opens a connection should take another address if there is one.
func FromLease(l *client.Lease, now lease.Instant) *Config {
	s := &l.Settings
	c := &Config{
		Addr: l.Addr, Broadcast: s.Broadcast, Server: l.Server,
		Valid: remaining(l.End, now.M), Preferred: remaining(l.T2, now.M),
		Routes: s.Routes, MTU: s.MTU, DNS: s.DNS, Domain: s.Domain, Search: s.Search,
		HostName: s.HostName, NTP: s.NTP, CaptivePortal: s.CaptivePortal, TimeZone: s.TimeZone,
	}
	c.Preferred = min(c.Preferred, c.Valid) // a lease without T2 has T2 at Never
	return c
}

// remaining is the time from now to end in seconds, rounded up, as the kernel counts
// it; 0 when it is over.
func remaining(end, now int64) uint32 {
	if end == lease.Never {
		return lease.Infinite
	}
	return uint32(min(max(lease.CeilSeconds(end-now), 0), int64(lease.Infinite)-1))
}

// Options are how a Host does its work.
type Options struct {
	Metric      int    // of routes, to which the interface's index is added
	Table       int    // routing table; 0: the main one
	ResolvConf  string // file to replace with the lease's DNS servers; "": systemd-resolved or resolvconf, where there is one
	SetHostName bool
	Hook        string // program to run, "" for none: rule H of docs/faults.md
	LeaseFile   string // "": leases are forgotten, and so is what has to be put back after a kill
	NoConfigure bool   // only the lease file and the hook
}
