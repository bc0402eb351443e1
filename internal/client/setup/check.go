package setup

import (
	"errors"
	"fmt"
	"strings"

	"lessor/dhcp4"
	"lessor/internal/client"
)

// Limits of a Config: those of what package client reads from a message.
const (
	minMaskBits = 8
	minMTU      = 576
	maxName     = 253
	maxLabel    = 63
	maxText     = 255
)

// Check says what in c no lease that was read by package client can hold. The
// privileged part calls it on everything that it is sent: whoever sends it reads
// packets of strangers, and may have been taken over by one of them.
func (c *Config) Check() error {
	if c == nil {
		return errors.New("there is no configuration")
	}
	if c.Addr.Bits < minMaskBits || c.Addr.Bits > 32 || !c.Addr.Addr.IsUnicastHost() || !c.Addr.IsHost(c.Addr.Addr) {
		return fmt.Errorf("%s is no address that a host can have", c.Addr)
	}
	own, has := c.Addr.BroadcastAddr()
	if c.Broadcast != 0 && (!has || c.Broadcast != own && c.Broadcast != dhcp4.Broadcast) {
		return fmt.Errorf("%s is no broadcast address of %s", c.Broadcast, c.Addr)
	}
	if c.Valid == 0 || c.Preferred > c.Valid {
		return fmt.Errorf("an address valid for %d s and preferred for %d s cannot be used", c.Valid, c.Preferred)
	}
	if !c.Server.IsUnicastHost() || c.Server == c.Addr.Addr {
		return fmt.Errorf("%s is no address of a server", c.Server)
	}
	if c.MTU != 0 && c.MTU < minMTU {
		return fmt.Errorf("an MTU of %d is less than %d", c.MTU, minMTU)
	}
	if err := c.checkRoutes(); err != nil {
		return err
	}
	return c.checkNames()
}

func (c *Config) checkRoutes() error {
	if len(c.Routes) > client.MaxRoutes {
		return fmt.Errorf("%d routes are more than %d", len(c.Routes), client.MaxRoutes)
	}
	for i, r := range c.Routes {
		switch {
		case r.Dst.Bits < 0 || r.Dst.Bits > 32 || r.Dst != r.Dst.Masked():
			return fmt.Errorf("a route to %s/%d is none", r.Dst.Addr, r.Dst.Bits)
		case r.Dst.Bits >= minMaskBits && !r.Dst.Addr.IsUnicastHost():
			return fmt.Errorf("a route to %s leads to no hosts", r.Dst)
		case r.Via != 0 && (!r.Via.IsUnicastHost() || r.Via == c.Addr.Addr):
			return fmt.Errorf("a route to %s via %s has no gateway", r.Dst, r.Via)
		}
		for _, o := range c.Routes[:i] {
			if o.Dst == r.Dst {
				return fmt.Errorf("there are two routes to %s", r.Dst)
			}
		}
	}
	return nil
}

func (c *Config) checkNames() error {
	for _, list := range [][]dhcp4.Addr{c.DNS, c.NTP} {
		if len(list) > client.MaxServers {
			return fmt.Errorf("%d servers of one kind are more than %d", len(list), client.MaxServers)
		}
		for _, a := range list {
			if !a.IsUnicastHost() {
				return fmt.Errorf("%s is no address of a server", a)
			}
		}
	}
	if len(c.Search) > client.MaxServers {
		return fmt.Errorf("%d domains to search are more than %d", len(c.Search), client.MaxServers)
	}
	for _, s := range c.Search {
		if !isName(s) {
			return fmt.Errorf("%.300q is no domain to search", s)
		}
	}
	switch {
	case c.Domain != "" && !isName(c.Domain):
		return fmt.Errorf("%.300q is no domain name", c.Domain)
	case c.HostName != "" && !isName(c.HostName):
		return fmt.Errorf("%.300q is no host name", c.HostName)
	case c.CaptivePortal != "" && !isURL(c.CaptivePortal):
		return fmt.Errorf("%.300q is no URL of a captive portal", c.CaptivePortal)
	case c.TimeZone != "" && !isTimeZone(c.TimeZone):
		return fmt.Errorf("%.300q is no time zone", c.TimeZone)
	}
	return nil
}

// only reports whether s is made of letters, digits and the characters of others.
func only(s, others string) bool {
	for i := range len(s) {
		c := s[i] | 0x20
		if (c < 'a' || c > 'z') && (s[i] < '0' || s[i] > '9') && strings.IndexByte(others, s[i]) < 0 {
			return false
		}
	}
	return true
}

// isName reports whether s is a host or domain name: labels of letters, digits and
// inner hyphens (RFC 1123 2.1), and not an address.
func isName(s string) bool {
	if s == "" || len(s) > maxName {
		return false
	}
	for l := range strings.SplitSeq(s, ".") {
		if l == "" || len(l) > maxLabel || l[0] == '-' || l[len(l)-1] == '-' || !only(l, "-") {
			return false
		}
	}
	_, err := dhcp4.ParseAddr(s)
	return err != nil
}

// isURL reports whether s is a http or https URL of harmless characters.
func isURL(s string) bool {
	rest, ok := strings.CutPrefix(s, "https://")
	if !ok {
		rest, ok = strings.CutPrefix(s, "http://")
	}
	return ok && len(s) <= maxText && rest != "" && only(rest[:1], "") && only(rest, "-._~/?:@=+,%#&")
}

// isTimeZone reports whether s is the name of a time zone, such as Europe/Zurich: a
// path in which nothing is hidden and nothing leads upwards.
func isTimeZone(s string) bool {
	if len(s) > maxText {
		return false
	}
	for p := range strings.SplitSeq(s, "/") {
		if p == "" || !only(p[:1], "") || !only(p, "-+._") {
			return false
		}
	}
	return true
}
