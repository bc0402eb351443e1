package setup

import (
	"net/netip"
	"strconv"
)

type netipAddr = netip.Addr

// metric is that of the routes on eth0.
func (b *bed) metric(base int) string { return strconv.Itoa(base + b.Index("eth0")) }

// options are the usual ones.
func (b *bed) options() Options { return Options{Metric: 1000, LeaseFile: b.lease} }
