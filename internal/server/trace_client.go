package server

import (
	"fmt"
	"strings"

	"lessor/dhcp4"
	"lessor/internal/policy"
)

// network tells which network the packet is in, and whether its relay information is
// believed.
func (t *Trace) network(c *Core, q *request, reason Reason) {
	s := Step{Stage: StageNetwork, Verdict: Yes, Addr: t.at}
	what := ""
	switch t.how {
	case byLinkSelection:
		s.Name, what = "link selection", fmt.Sprintf("link selection %s of relay agent %s", t.at, q.giaddr)
	case bySubnetSelection:
		s.Name, what = "subnet selection", fmt.Sprintf("subnet selection %s of the client", t.at)
	case byRelay:
		s.Name, what = "giaddr", fmt.Sprintf("giaddr %s", t.at)
	case byCIAddr:
		s.Name, what = "ciaddr", fmt.Sprintf("the client has %s, which", t.at)
	case byInterface:
		if s.Name = "interface"; q.link != nil {
			what = "interface " + q.link.Name
		}
	}
	switch {
	case reason != None:
		s.Verdict, s.Reason = No, reason
		if q.giaddr != 0 && t.how == byInterface {
			s.Name, s.Addr = "giaddr", q.giaddr
			what = fmt.Sprintf("giaddr %s", q.giaddr)
		}
		rest, about := strings.CutPrefix(reason.Text(), s.Name)
		switch {
		case reason == NoSubnet && t.how == byInterface:
			s.Text = what + " is in no configured subnet"
		case reason == NoSubnet:
			s.Text = what + " lies in no configured subnet"
		case about && s.Name != "interface":
			s.Text = what + rest
		default:
			s.Text = reason.Text()
		}
	default:
		sn := c.pol.SubnetOf(t.at)
		if sn == nil || sn.Network != q.net {
			sn = q.net.Subnets[0]
			for _, p := range q.link.Addrs {
				if own := q.net.Contains(p.Addr); own != nil && t.how == byInterface {
					sn = own
				}
			}
		}
		s.Pos = sn.Pos
		verb := " lies in "
		if t.how == byInterface {
			verb = " is in "
		} else if !sn.Prefix.Contains(t.at) {
			verb = " stands for "
		}
		s.Text = what + verb + subnetName(sn)
	}
	t.add(s)
	t.agent(q)
}

func subnetName(sn *policy.Subnet) string {
	name := "subnet " + sn.Prefix.String()
	if sn.Name != sn.Prefix.String() && sn.Name != "" {
		name = fmt.Sprintf("subnet %s (%s)", sn.Name, sn.Prefix)
	}
	if len(sn.Network.Subnets) > 1 {
		name += " of shared network " + sn.Network.Name
	}
	return name
}

// agent tells what the relay agent says of the client, and whether it is believed; and
// before it the subnet selection of a direct client that is not.
func (t *Trace) agent(q *request) {
	if v, ok := q.view.Addr(dhcp4.OptSubnetSelection); ok && q.giaddr == 0 && len(q.subnet) == 0 {
		t.add(Step{Stage: StageNetwork, Verdict: No, Name: "subnet selection", Addr: v,
			Text: fmt.Sprintf("subnet selection %s of the client is not believed: subnet-selection is relays", v)})
	}
	if len(q.agent) == 0 {
		return
	}
	s := Step{Stage: StageNetwork, Name: "relay information", Verdict: Yes, Text: agentText(q.agent) + ", believed"}
	if len(q.facts.Agent) == 0 {
		s.Verdict = No
		s.Text = agentText(q.agent) + ", echoed but not believed"
		if q.giaddr == 0 && q.link != nil {
			s.Text += ": " + q.link.Name + " is not marked trusted"
		}
	}
	t.add(s)
}

func agentText(agent []byte) string {
	var all []string
	for len(agent) >= 2 && len(agent) >= 2+int(agent[1]) {
		name, value := fmt.Sprintf("sub-option %d", agent[0]), said(agent[2:2+int(agent[1])])
		if d := dhcp4.LookupAgent(agent[0]); d != nil {
			if name = d.Name; agent[0] > dhcp4.AgentRemoteID {
				value = string(d.AppendText(nil, agent[2:2+int(agent[1])]))
			}
		}
		all = append(all, name+" "+value)
		agent = agent[2+int(agent[1]):]
	}
	return "option 82 says " + strings.Join(all, ", ")
}

// test tells what came of a class.
func (t *Trace) test(cl *policy.Class, f *policy.Facts, in, untested bool, err error) {
	s := Step{Stage: StageClass, Verdict: No, Name: cl.Name, Text: cl.Text, Pos: cl.Pos}
	switch {
	case err != nil:
		s.Verdict, s.Detail = Failed, err.Error()
	case in && untested:
		s.Verdict, s.Text = Yes, "by its reservation"
	case in:
		s.Verdict = Yes
	case untested:
		s.Text = "only a reservation puts a client in it"
	}
	if err == nil && !untested && cl.Values != nil {
		s.Detail = string(cl.Values(nil, f))
	}
	t.add(s)
}

// reservation tells which reservation is the client's, and why no other one is.
func (t *Trace) reservation(c *Core, q *request, k *policy.Keys, by policy.KeyKind) {
	if q.agent == nil && len(q.facts.Agent) > 0 {
		t.add(Step{Stage: StageNetwork, Name: "relay information", Verdict: Yes, Text: agentText(q.facts.Agent) + ", kept with the lease"})
	}
	s := Step{Stage: StageReservation, Verdict: No}
	switch n := len(q.net.Reservations()); {
	case q.res != nil:
		s.Verdict, s.Name, s.Addr, s.Pos = Yes, by.String(), q.res.Addr, q.res.Pos
		s.Text = fmt.Sprintf("%s matches %s", keyText(by, k), reservationText(q.res))
	case n == 0:
		s.Text = "none in this network"
	case n == 1:
		s.Text = "this network has one, and it is another client's"
	default:
		s.Text = fmt.Sprintf("this network has %d, none of them this client's", n)
	}
	// What belongs to the answer stands before what it hides.
	t.add(s)
	hidden := t.hidden
	t.hidden = nil
	t.Steps = append(t.Steps, hidden...)
	for _, n := range c.pol.Networks {
		if n == q.net {
			continue
		}
		if r, by := n.Match(k, nil); r != nil {
			t.add(Step{Stage: StageReservation, Verdict: No, Name: by.String(), Addr: r.Addr, Pos: r.Pos,
				Text: fmt.Sprintf("%s of subnet %s is for another network", reservationText(r), r.Subnet.Prefix)})
		}
	}
}

// shadowed notes a reservation that matches too and does not count.
func (t *Trace) shadowed(q *request, by policy.KeyKind, r *policy.Reservation) {
	t.hidden = append(t.hidden, Step{Stage: StageReservation, Verdict: No, Name: by.String(), Addr: r.Addr, Pos: r.Pos,
		Text: fmt.Sprintf("%s matches too, by %s, and does not count", reservationText(r), by)})
}

func reservationText(r *policy.Reservation) string {
	switch {
	case r.Addr != 0 && r.Hostname != "":
		return fmt.Sprintf("the reservation of %s (%s)", r.Addr, r.Hostname)
	case r.Addr != 0:
		return fmt.Sprintf("the reservation of %s", r.Addr)
	case r.Hostname != "":
		return fmt.Sprintf("the reservation of %s, without an address", r.Hostname)
	}
	return "a reservation without an address"
}

func keyText(by policy.KeyKind, k *policy.Keys) string {
	v := []byte(nil)
	switch by {
	case policy.KeyHWAddress:
		return "hw-address " + hwText(k.HW)
	case policy.KeyClientID, policy.KeyDUID:
		return fmt.Sprintf("%s %s", by, hwText(k.ClientID))
	case policy.KeyFlexID:
		v = k.FlexID
	case policy.KeyCircuitID:
		v, _ = policy.AgentOption(k.Agent, dhcp4.AgentCircuitID)
	case policy.KeyRemoteID:
		v, _ = policy.AgentOption(k.Agent, dhcp4.AgentRemoteID)
	}
	return by.String() + " " + said(v)
}

// said is what came from the network as text in quotes, or where it is none in hexadecimal.
func said(b []byte) string {
	for _, x := range b {
		if x < ' ' || x > '~' {
			return hwText(b)
		}
	}
	return string(dhcp4.AppendQuoted(nil, b, 80))
}

// hwText is b as pairs of hexadecimal digits with colons.
func hwText(b []byte) string {
	var s strings.Builder
	for i, x := range b {
		if i > 0 {
			s.WriteByte(':')
		}
		fmt.Fprintf(&s, "%02x", x)
	}
	return s.String()
}

// limit tells which limit refuses a new binding.
func (t *Trace) limit(what, name string, l *policy.Limits, r Reason) {
	s := Step{Stage: StageAddress, Verdict: No, Name: "limit", Reason: r, Pos: l.Pos}
	if r == AddressLimit {
		s.Text = fmt.Sprintf("address-limit %d of %s is reached", l.Count, strings.TrimSpace(what+" "+name))
	} else {
		s.Text = fmt.Sprintf("rate-limit %g/s of %s is used up at present", l.Rate, strings.TrimSpace(what+" "+name))
	}
	t.add(s)
}
