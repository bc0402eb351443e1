package cli

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"lessor/dhcp4"
	"lessor/internal/config"
	"lessor/internal/event"
	"lessor/internal/policy"
)

const reservationsLong = `List, add and remove reservations: addresses, names or options that are for one client.
They stand in the configuration file. These commands change it as a person would: a
reservation is put in or taken out, and everything else stays as it is, comments and
layout too. The result is checked before it is written, all of it or nothing.

A running server reads its file only when told to: with --reload, or by
"systemctl reload lessor".`

func newReservations(g *globals) *cobra.Command {
	c := &cobra.Command{
		Use:   "reservations",
		Short: "List, add and remove reservations",
		Long:  reservationsLong,
		Example: "  lessor reservations list\n  lessor reservations add 192.0.2.10 --hw-address 02:00:5e:10:00:01 --hostname printer\n" +
			"  lessor reservations from 192.0.2.77 --reload\n  lessor reservations rm printer",
	}
	c.AddCommand(newReservationsList(g), newReservationsAdd(g), newReservationsRemove(g), newReservationsFrom(g))
	return c
}

// reservation is one reservation as users see it.
type reservation struct {
	Address   dhcp4.Addr `json:"address,omitzero"`
	Hostname  string     `json:"hostname,omitempty"`
	HWAddress []string   `json:"hw-address,omitempty"`
	ClientID  []string   `json:"client-id,omitempty"`
	DUID      []string   `json:"duid,omitempty"`
	CircuitID []string   `json:"circuit-id,omitempty"`
	RemoteID  []string   `json:"remote-id,omitempty"`
	FlexID    []string   `json:"flex-id,omitempty"`
	Subnet    string     `json:"subnet"`
	File      string     `json:"file"`
	Line      int        `json:"line"`

	col    int
	prefix dhcp4.Prefix
	is     *policy.Reservation
}

// reservationsOf are the reservations of a configuration by subnet and address.
func reservationsOf(p *policy.Policy) (all []*reservation) {
	for _, n := range p.Networks {
		for _, r := range n.Reservations() {
			v := &reservation{Address: r.Addr, Hostname: r.Hostname, Subnet: r.Subnet.Name, File: p.File,
				Line: int(r.Pos.Line), col: int(r.Pos.Col), prefix: r.Subnet.Prefix, is: r}
			for _, k := range r.Keys {
				v.addKey(k)
			}
			all = append(all, v)
		}
	}
	slices.SortStableFunc(all, func(a, b *reservation) int {
		return cmp.Or(cmp.Compare(a.prefix.Addr, b.prefix.Addr), cmp.Compare(a.Address, b.Address), cmp.Compare(a.Line, b.Line))
	})
	return all
}

func (r *reservation) addKey(k policy.Key) {
	to := map[policy.KeyKind]*[]string{policy.KeyHWAddress: &r.HWAddress, policy.KeyClientID: &r.ClientID, policy.KeyDUID: &r.DUID,
		policy.KeyCircuitID: &r.CircuitID, policy.KeyRemoteID: &r.RemoteID, policy.KeyFlexID: &r.FlexID}[k.Kind]
	text := event.Hex(k.Value)
	switch k.Kind {
	case policy.KeyHWAddress:
		text = event.HW(k.HType, k.Value)
	case policy.KeyCircuitID, policy.KeyRemoteID, policy.KeyFlexID:
		text = event.Text(k.Value)
	}
	*to = append(*to, text)
}

// clients are the keys with their kind, where that is not plain.
func (r *reservation) clients() []string {
	all := slices.Clone(r.HWAddress)
	for _, kind := range []struct {
		name string
		of   []string
	}{{"id", r.ClientID}, {"duid", r.DUID}, {"circuit", r.CircuitID}, {"remote", r.RemoteID}, {"flex", r.FlexID}} {
		for _, v := range kind.of {
			all = append(all, kind.name+"/"+v)
		}
	}
	return all
}

// label names the reservation in messages: by its host name, its address, its client.
func (r *reservation) label() string {
	switch {
	case r.Hostname != "":
		return "reservation/" + r.Hostname
	case r.Address != 0:
		return "reservation/" + r.Address.String()
	}
	return "reservation/" + strings.Join(r.clients()[:1], "")
}

func newReservationsList(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "list [PART...]",
		Short: "List the reservations of the configuration file",
		Long: `List the reservations of the configuration file, with the place at which each stands.
Each PART must be part of the address, of a key, of the name or of the subnet; in any case.

Exit codes: 0 done, 3 the file has errors, 5 there is no file, or no reservation matches.`,
		Example: "  lessor reservations list\n  lessor reservations list printer -o json",
		Args:    cobra.ArbitraryArgs,
		RunE:    func(_ *cobra.Command, parts []string) error { return listReservations(g, parts) },
	}
}

func listReservations(g *globals, parts []string) error {
	_, cfg, err := g.openConfig()
	if err != nil {
		return err
	}
	text := func(f func(*reservation) string) func(*reservation) cell {
		return func(r *reservation) cell { return cell{text: f(r)} }
	}
	out := newLister(g, []column[*reservation]{
		{name: "ADDRESS", cell: text(func(r *reservation) string {
			if r.Address == 0 {
				return ""
			}
			return r.Address.String()
		})},
		{name: "CLIENT", cell: text(func(r *reservation) string { return strings.Join(r.clients(), " ") })},
		{name: "HOST", cell: text(func(r *reservation) string { return r.Hostname })},
		{name: "SUBNET", cell: text(func(r *reservation) string { return r.Subnet })},
		{name: "WHERE", cell: text(func(r *reservation) string { return fmt.Sprintf("%s:%d", r.File, r.Line) })},
	})
	n := 0
	for _, r := range reservationsOf(cfg.Policy()) {
		if !r.matches(parts) {
			continue
		}
		n++
		if err := out.add(r); err != nil {
			return err
		}
	}
	if err := out.close(); err != nil {
		return err
	}
	if n == 0 && len(parts) > 0 {
		return exitf(ExitNotFound, "no reservation matches %q", strings.Join(parts, " "))
	}
	return nil
}

func (r *reservation) matches(parts []string) bool {
	hay := strings.ToLower(strings.Join(append(r.clients(), r.Address.String(), r.Hostname, r.Subnet), "\n"))
	for _, p := range parts {
		if !strings.Contains(hay, strings.ToLower(p)) {
			return false
		}
	}
	return true
}

// openConfig reads the file of --config, which must have no errors.
func (g *globals) openConfig() (*sourceFile, *config.Config, error) {
	t, err := g.readConfig(nil)
	if err != nil {
		return nil, nil, err
	}
	cfg, err := g.loadConfig(t)
	return t, cfg, err
}

// findReservation is the one that text names: by its address, its host name or one of
// its keys.
func findReservation(p *policy.Policy, text string) (*reservation, error) {
	var found []*reservation
	for _, r := range reservationsOf(p) {
		names := append(r.clients(), r.Hostname, r.onlyClientID())
		if r.Address != 0 {
			names = append(names, r.Address.String())
		}
		if slices.ContainsFunc(names, func(n string) bool { return n != "" && strings.EqualFold(n, text) }) {
			found = append(found, r)
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return nil, &ExitError{Code: ExitNotFound, Err: fmt.Errorf("%s has no reservation of %q", p.File, text), Hint: "\"lessor reservations list\" lists them."}
	}
	var places []string
	for _, r := range found {
		places = append(places, fmt.Sprintf("%s at %s:%d", r.label(), r.File, r.Line))
	}
	return nil, &ExitError{Code: ExitUsage, Err: fmt.Errorf("%q names %s: %s", text, plural(len(found), "reservation"), strings.Join(places, ", ")),
		Hint: "Name the one that is meant by its address."}
}

// onlyClientID is the only client identifier, without its kind.
func (r *reservation) onlyClientID() string {
	if len(r.ClientID) == 1 {
		return r.ClientID[0]
	}
	return ""
}

var errNoKey = errors.New("whose reservation is it?")
