// Package control is how a running server is asked: JSON over HTTP on a Unix
// socket that only its own user can open. The same objects are made from a stopped
// server's store.
package control

import (
	"encoding/hex"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"lessor/dhcp4"
	"lessor/internal/event"
	"lessor/internal/lease"
	"lessor/internal/policy"
	"lessor/internal/store"
)

// Lease is one binding as users see it: in the command line's JSON, on the socket,
// later in the API. The names are part of the interface and stay.
type Lease struct {
	Address   dhcp4.Addr `json:"address"`
	State     string     `json:"state"`            // see States
	Source    string     `json:"source,omitempty"` // pool or reservation; empty: in neither
	Subnet    string     `json:"subnet,omitempty"` // its name; empty: not in the configuration
	HWAddress string     `json:"hw-address,omitempty"`
	ClientID  string     `json:"client-id,omitempty"`
	Hostname  string     `json:"hostname,omitempty"`     // printable form
	HostHex   string     `json:"hostname-hex,omitempty"` // the octets, where the printable form is another
	Starts    *time.Time `json:"starts,omitempty"`
	Renews    *time.Time `json:"renews,omitempty"`     // when the client is expected to renew (T1)
	Expires   *time.Time `json:"expires,omitempty"`    // absent: never
	HeldUntil *time.Time `json:"held-until,omitempty"` // when the address is free for others
	Lifetime  uint32     `json:"valid-lifetime,omitempty"`
	Relay     *Relay     `json:"relay,omitempty"`
	MovesTo   dhcp4.Addr `json:"moves-to,omitzero"` // of a running lease: the address that its client's reservation names
	Revision  uint64     `json:"revision"`

	htype    uint8
	hw       []byte
	clientID []byte
	agent    []byte
}

// Client is the one label of the lease's client.
func (l *Lease) Client() string {
	if l.hw == nil && l.clientID == nil { // came as JSON
		switch {
		case l.ClientID == "" || "01:"+l.HWAddress == l.ClientID:
			return l.HWAddress
		default:
			return "id/" + l.ClientID
		}
	}
	return event.Client(l.htype, l.hw, l.clientID)
}

// Facts are what the record of the lease says of its client, for the functions of a
// policy. The slices belong to l.
func (l *Lease) Facts() *policy.Facts {
	if l.hw == nil && l.clientID == nil { // came as JSON
		text := l.HWAddress
		l.htype = 1
		if htype, hw, ok := strings.Cut(text, "/"); ok {
			if n, err := strconv.ParseUint(htype, 10, 8); err == nil {
				l.htype, text = uint8(n), hw
			}
		}
		l.hw, l.clientID = octets(text), octets(l.ClientID)
		if l.Relay != nil {
			l.agent = octets(l.Relay.Agent)
		}
	}
	f := &policy.Facts{HType: l.htype, HW: l.hw, ClientID: l.clientID, Agent: l.agent}
	if l.Relay != nil {
		f.GIAddr = l.Relay.GIAddr
	}
	return f
}

// octets reads hexadecimal with or without colons; what is no such thing, or was too
// long to be shown, is none.
func octets(text string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(text, ":", ""))
	if err != nil {
		return nil
	}
	return b
}

// Relay is the way a lease's last request came through a relay agent.
type Relay struct {
	GIAddr    dhcp4.Addr `json:"giaddr"`
	CircuitID string     `json:"circuit-id,omitempty"`
	RemoteID  string     `json:"remote-id,omitempty"`
	Agent     string     `json:"information,omitempty"` // all of option 82, in hexadecimal
}

// States are the values of Lease.State. Active is a lease that runs. Held is one
// that has ended but whose address is not given to others yet. Declined is an
// address that somebody unknown uses. Released and expired ones are free and
// only remembered, so that their client gets the address back.
var States = []string{"active", "held", "declined", "released", "expired"}

// InUse reports whether nobody else can get the address now.
func (l *Lease) InUse() bool {
	return l.State == "active" || l.State == "held" || l.State == "declined"
}

// FromBinding makes the Lease of b as of now. p is the configuration in force, or
// nil. It copies what it keeps of b.
func FromBinding(b *lease.Binding, now lease.Instant, p *policy.Policy) Lease {
	l := Lease{
		Address: b.Addr, Revision: b.Rev, Lifetime: b.Lifetime,
		HWAddress: event.HW(b.HType, b.HW), ClientID: event.Hex(b.ClientID),
		Hostname: event.Text(b.Hostname),
		htype:    b.HType, hw: append([]byte{}, b.HW...), clientID: append([]byte{}, b.ClientID...), agent: append([]byte{}, b.Agent...),
	}
	if l.Hostname != string(b.Hostname) {
		l.HostHex = hex.EncodeToString(b.Hostname)
	}
	l.State = stateOf(b, now.M)
	wall := func(m int64) *time.Time { return stamp((now.W + m - now.M) / lease.Second) }
	if b.Start != 0 {
		l.Starts = stamp(b.Start)
	}
	if b.State != lease.Declined && b.End != lease.Never {
		l.Expires = stamp(b.Until)
	}
	if l.State == "active" && b.Lifetime != lease.Infinite {
		l.Renews = stamp(b.Renewed + int64(b.Lifetime)/2)
	}
	if (l.State == "held" || l.State == "declined") && b.Free != lease.Never {
		l.HeldUntil = wall(b.Free)
	}
	if b.GIAddr != 0 || len(b.Agent) > 0 {
		l.Relay = &Relay{GIAddr: b.GIAddr, CircuitID: agentText(b.Agent, 1), RemoteID: agentText(b.Agent, 2), Agent: hex.EncodeToString(b.Agent)}
	}
	if p != nil {
		if fate, r := p.FateOf(l.Facts(), b.Addr); fate == policy.FateMoves && l.State == "active" {
			l.MovesTo = r.Addr
		}
		if sn := p.SubnetOf(b.Addr); sn != nil {
			l.Subnet = sn.Name
			switch r := sn.Network.ReservedBy(b.Addr); {
			case r != nil:
				l.Source = "reservation"
				if l.Hostname == "" && l.State == "active" {
					l.Hostname = r.Hostname // what its client was told
				}
			case sn.PoolOf(b.Addr) != nil:
				l.Source = "pool"
			}
		}
	}
	return l
}

func stateOf(b *lease.Binding, m int64) string {
	switch {
	case b.State == lease.Declined && m < b.Free:
		return "declined"
	case b.State == lease.Bound && m < b.End:
		return "active"
	case m < b.Free:
		return "held"
	case b.State == lease.Released:
		return "released"
	}
	return "expired"
}

func stamp(unix int64) *time.Time {
	t := time.Unix(unix, 0).UTC()
	return &t
}

// agentText is a sub-option of option 82 for people: as text when all of it is
// printable, else as hex.
func agentText(agent []byte, code byte) string {
	for len(agent) >= 2 {
		n := int(agent[1])
		if len(agent) < 2+n {
			return ""
		}
		if agent[0] == code {
			v := agent[2 : 2+n]
			if n > 0 && utf8.Valid(v) && strings.IndexFunc(string(v), func(r rune) bool { return !unicode.IsPrint(r) }) < 0 {
				return event.Text(v)
			}
			return event.Hex(v)
		}
		agent = agent[2+n:]
	}
	return ""
}

// Filter chooses leases.
type Filter struct {
	Parts  []string // each must be part of the address, an identifier or the name; in any case
	Subnet string   // its name
	State  string   // one of States, "all", or "" for what is in use
}

// Match reports whether f chooses l.
func (f *Filter) Match(l *Lease) bool {
	switch f.State {
	case "":
		if !l.InUse() {
			return false
		}
	case "all":
	default:
		if l.State != f.State {
			return false
		}
	}
	if f.Subnet != "" && f.Subnet != l.Subnet {
		return false
	}
	if len(f.Parts) == 0 {
		return true
	}
	hay := strings.ToLower(l.Address.String() + "\n" + l.HWAddress + "\n" + l.ClientID + "\n" + l.Hostname + "\n" + l.Client())
	for _, p := range f.Parts {
		if !strings.Contains(hay, strings.ToLower(p)) {
			return false
		}
	}
	return true
}

// Possession is one interval during which one client had one address.
type Possession struct {
	Address   dhcp4.Addr `json:"address"`
	HWAddress string     `json:"hw-address,omitempty"`
	ClientID  string     `json:"client-id,omitempty"`
	Hostname  string     `json:"hostname,omitempty"`
	From      time.Time  `json:"from"`
	Until     *time.Time `json:"until,omitempty"` // the end; of a running one the end of its lease; absent: no end
	Running   bool       `json:"running"`
	Relay     *Relay     `json:"relay,omitempty"`
}

// Client is the one label of the client.
func (p *Possession) Client() string {
	l := Lease{HWAddress: p.HWAddress, ClientID: p.ClientID}
	return l.Client()
}

// FromPossession makes the Possession of p, and copies what it keeps.
func FromPossession(p *store.Possession) Possession {
	o := Possession{Address: p.Addr, HWAddress: event.HW(p.HType, p.HW), ClientID: event.Hex(p.ClientID),
		Hostname: event.Text(p.Hostname), From: *stamp(p.From), Running: p.Running}
	if p.Until < 1<<40 { // an infinite lease has no end that a calendar knows
		o.Until = stamp(p.Until)
	}
	if p.GIAddr != 0 || len(p.Agent) > 0 {
		o.Relay = &Relay{GIAddr: p.GIAddr, CircuitID: agentText(p.Agent, 1), RemoteID: agentText(p.Agent, 2)}
	}
	return o
}
