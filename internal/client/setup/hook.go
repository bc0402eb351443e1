package setup

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"lessor/dhcp4"
	"lessor/internal/client"
)

// HookEvents are the events that the hook program is told.
var HookEvents = []string{
	"bound",   // the interface has an address
	"renewed", // it has the same one for longer, perhaps with other settings
	"changed", // it has another one
	"lost",    // it has none any more
}

// HookEvent is what the hook program is told, as JSON and as environment variables.
type HookEvent struct {
	Event     string // of HookEvents
	Interface string
	State     string // of the client, in small letters
	Reason    string
	Config    *Config           // nil: no lease
	Options   map[string]string // name of options.csv to hexadecimal value, of the ACK
}

// Check says what in e the client never tells a hook program. Like Config.Check it does
// not trust who sends e.
func (e *HookEvent) Check() error {
	switch {
	case e == nil:
		return errors.New("there is no event")
	case !slices.Contains(HookEvents, e.Event):
		return fmt.Errorf("%.100q is no event", e.Event)
	case !isWord(e.State) || !isWord(e.Reason):
		return fmt.Errorf("%.100q for the reason %.100q is no state", e.State, e.Reason)
	case len(e.Options) > 254:
		return fmt.Errorf("%d options are more than there are codes", len(e.Options))
	}
	total := 0
	for name, val := range e.Options {
		if total += len(val); !isWord(name) || total > 2*client.MaxACK || len(val)%2 != 0 {
			return fmt.Errorf("option %.100q of %d digits is none of an ACK", name, len(val))
		}
		if strings.Trim(val, "0123456789abcdef") != "" {
			return fmt.Errorf("option %s is not in hexadecimal", name)
		}
	}
	if e.Config == nil {
		return nil
	}
	return e.Config.Check()
}

// isWord reports whether s is a name of ours or of options.csv, or empty.
func isWord(s string) bool { return len(s) <= 64 && only(s, "-_.()") }

// hookJSON is what the hook program reads from its standard input.
type hookJSON struct {
	Event     string `json:"event"`
	Interface string `json:"interface"`
	State     string `json:"state"`
	Reason    string `json:"reason"`

	Address   string       `json:"address,omitempty"` // 192.0.2.52/24
	Broadcast string       `json:"broadcast,omitempty"`
	Valid     uint32       `json:"valid,omitempty"` // seconds; 4294967295: no end
	Preferred uint32       `json:"preferred,omitempty"`
	Server    string       `json:"server,omitempty"`
	MTU       uint16       `json:"mtu,omitempty"`
	Routes    []hookRoute  `json:"routes,omitempty"`
	DNS       []dhcp4.Addr `json:"domain-name-servers,omitempty"`
	Domain    string       `json:"domain-name,omitempty"`
	Search    []string     `json:"domain-search,omitempty"`
	HostName  string       `json:"host-name,omitempty"`
	NTP       []dhcp4.Addr `json:"ntp-servers,omitempty"`
	Portal    string       `json:"captive-portal,omitempty"`
	TimeZone  string       `json:"time-zone,omitempty"`

	Options map[string]string `json:"options,omitempty"`
}

type hookRoute struct {
	Destination string `json:"destination"`
	Gateway     string `json:"gateway,omitempty"` // missing: on the link
}

// json is e as JSON, one line.
func (e *HookEvent) json() []byte {
	j := hookJSON{Event: e.Event, Interface: e.Interface, State: e.State, Reason: e.Reason, Options: e.Options}
	if c := e.Config; c != nil {
		j.Address, j.Server, j.Valid, j.Preferred, j.MTU = c.Addr.String(), c.Server.String(), c.Valid, c.Preferred, c.MTU
		if c.Broadcast != 0 {
			j.Broadcast = c.Broadcast.String()
		}
		for _, r := range c.Routes {
			n := hookRoute{Destination: r.Dst.String()}
			if r.Via != 0 {
				n.Gateway = r.Via.String()
			}
			j.Routes = append(j.Routes, n)
		}
		j.DNS, j.Domain, j.Search, j.HostName = c.DNS, c.Domain, c.Search, c.HostName
		j.NTP, j.Portal, j.TimeZone = c.NTP, c.CaptivePortal, c.TimeZone
	}
	b, err := json.Marshal(&j)
	if err != nil {
		panic("setup: a hook event is not JSON: " + err.Error()) // it is made of strings, numbers and addresses
	}
	return append(b, '\n')
}

// env is the environment of the hook program: PATH and always the same LESSOR_ variables.
// The parts of lists are joined by ":", a route is destination@gateway.
func (e *HookEvent) env() []string {
	c := e.Config
	if c == nil {
		c = &Config{}
	}
	number := func(n uint32) string {
		if e.Config == nil {
			return ""
		}
		return strconv.FormatUint(uint64(n), 10)
	}
	some := func(a dhcp4.Addr) string {
		if a == 0 {
			return ""
		}
		return a.String()
	}
	var address string
	if e.Config != nil {
		address = c.Addr.String()
	}
	var routes []string
	for _, r := range c.Routes {
		routes = append(routes, r.Dst.String()+"@"+r.Via.String())
	}
	env := []string{programPath}
	for _, v := range [][2]string{
		{"EVENT", e.Event}, {"INTERFACE", e.Interface}, {"STATE", e.State}, {"REASON", e.Reason},
		{"ADDRESS", address}, {"BROADCAST", some(c.Broadcast)}, {"VALID", number(c.Valid)}, {"PREFERRED", number(c.Preferred)},
		{"SERVER", some(c.Server)}, {"MTU", number(uint32(c.MTU))}, {"ROUTES", strings.Join(routes, ":")},
		{"DNS", strings.Join(texts(c.DNS), ":")}, {"DOMAIN", c.Domain}, {"SEARCH", strings.Join(c.Search, ":")},
		{"HOSTNAME", c.HostName}, {"NTP", strings.Join(texts(c.NTP), ":")}, {"PORTAL", c.CaptivePortal}, {"TIMEZONE", c.TimeZone},
	} {
		env = append(env, variable("LESSOR_"+v[0], v[1]))
	}
	return env
}

// variable is one variable of the environment. A value that could mean something to a careless
// script, or is longer than 255 octets, goes in hexadecimal under another name.
func variable(name, val string) string {
	if len(val) <= 255 && only(val, "._:@/-") {
		return name + "=" + val
	}
	return name + "_HEX=" + hex.EncodeToString([]byte(val))
}
