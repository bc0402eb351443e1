package server

import (
	"lessor/dhcp4"
	"lessor/internal/policy"
)

// codeSet is a set of option codes.
type codeSet [4]uint64

func (s *codeSet) has(code dhcp4.Code) bool { return s[code>>6]>>(code&63)&1 != 0 }

func (s *codeSet) add(code dhcp4.Code) { s[code>>6] |= 1 << (code & 63) }

// configured is what the configuration has for one client, as far as a reply needs it.
type configured struct {
	layers []*policy.OptionSet // the innermost first
	addr   dhcp4.Addr          // of the client
	always bool                // some value is sent unasked
	asked  codeSet             // option 55
	fill   policy.Filler
	text   []byte // values that templates gave
}

// lay finds the levels that a client at a gets its options from: its reservation, its
// classes in their order, its pool or subnet with all levels around it.
func (c *Core) lay(q *request, a dhcp4.Addr) {
	r := &c.reply.configured
	r.layers, r.always, r.addr, r.asked, r.text = r.layers[:0], false, a, codeSet{}, r.text[:0]
	for _, p := range q.params {
		r.asked.add(dhcp4.Code(p))
	}
	if q.res != nil {
		r.layer(q.res.Options)
	}
	if !q.facts.Classes.Empty() {
		for i := policy.FirstClass; i < len(c.pol.Classes); i++ {
			if q.facts.Classes.Has(i) {
				r.layer(c.pol.Classes[i].Options)
			}
		}
	}
	if sn := q.net.Contains(a); sn != nil {
		if p := sn.PoolOf(a); p != nil {
			r.layer(p.Options)
		} else {
			r.layer(sn.Options)
		}
	}
}

func (r *configured) layer(s *policy.OptionSet) {
	if s.Len() > 0 {
		r.layers = append(r.layers, s)
		r.always = r.always || s.SendsAlways()
	}
}

// lookup returns the value of the innermost level that says something of code, nil where
// none does or it says that the option is never sent.
func (r *configured) lookup(code dhcp4.Code) *policy.Value {
	for _, s := range r.layers {
		if v := s.Lookup(code); v != nil {
			if v.Flags&policy.NeverSend != 0 {
				return nil
			}
			return v
		}
	}
	return nil
}

// value is what v sends to this client; false: its template has nothing for it.
func (c *Core) value(q *request, v *policy.Value) ([]byte, bool) {
	if v.Template == nil {
		return v.Data, true
	}
	r := &c.reply.configured
	n := len(r.text)
	var ok bool
	if r.text, ok = r.fill.Append(r.text, v, &q.facts, r.addr); !ok {
		c.count.Unfilled++
		return nil, false
	}
	return r.text[n:len(r.text):len(r.text)], true
}

// setting is the value of an option for this client, nil where it has none.
func (c *Core) setting(q *request, code dhcp4.Code) []byte {
	if v := c.reply.lookup(code); v != nil {
		data, _ := c.value(q, v)
		return data
	}
	return nil
}

// first is what a client that asks for nothing in particular needs most; the rest follows by
// code, and what does not fit is left out from the end.
var first = [...]dhcp4.Code{dhcp4.OptSubnetMask, dhcp4.OptRouters, dhcp4.OptClasslessStaticRoute, dhcp4.OptDomainNameServers,
	dhcp4.OptBootFileName, dhcp4.OptTFTPServerName, dhcp4.OptDomainName, dhcp4.OptHostName, dhcp4.OptInterfaceMTU}

// parameters adds what is sent always, and what the client asked for in option 55, in its
// order, as far as it is configured; a client that sends no list gets everything.
func (c *Core) parameters(q *request) {
	r := &c.reply
	if !q.view.Has(dhcp4.OptDHCPParameterRequestList) {
		for _, code := range first {
			c.put(q, r.lookup(code))
		}
		for _, s := range r.layers {
			for i := range s.All() {
				if v := &s.All()[i]; r.lookup(v.Code) == v {
					c.put(q, v)
				}
			}
		}
		return
	}
	if r.always {
		c.unasked(q)
	}
	for _, p := range q.params {
		c.parameter(q, dhcp4.Code(p))
	}
}

// unasked adds what is sent always and the client does not ask for.
func (c *Core) unasked(q *request) {
	r := &c.reply
	for _, s := range r.layers {
		if !s.SendsAlways() {
			continue
		}
		for i := range s.All() {
			v := &s.All()[i]
			if v.Flags&policy.AlwaysSend != 0 && !r.asked.has(v.Code) && r.lookup(v.Code) == v {
				c.parameter(q, v.Code)
			}
		}
	}
}

// parameter adds the option code. The mask stands before the routers (RFC 2132 3.3), and
// a client that asks for the routes of option 121 and gets them has no use for 3 and 33
// (RFC 3442); 249 is the same under an older code.
func (c *Core) parameter(q *request, code dhcp4.Code) {
	r := &c.reply
	switch code {
	case dhcp4.OptRouters, dhcp4.OptStaticRoutes:
		if r.sends(dhcp4.OptClasslessStaticRoute) || r.sends(dhcp4.OptMSClasslessStaticRoute) {
			return
		}
		if r.asked.has(dhcp4.OptSubnetMask) {
			c.put(q, r.lookup(dhcp4.OptSubnetMask))
		}
	}
	c.put(q, r.lookup(code))
}

// sends reports whether the client asks for code and gets it.
func (r *configured) sends(code dhcp4.Code) bool { return r.asked.has(code) && r.lookup(code) != nil }

// put adds the value v; every option of the configuration that a reply has comes this
// way. nil is none.
func (c *Core) put(q *request, v *policy.Value) {
	if v == nil || c.reply.seen.has(v.Code) {
		return
	}
	data, ok := c.value(q, v)
	if !ok {
		c.reply.seen.add(v.Code) // counted once
		return
	}
	c.reply.add(v.Code, data)
}
