package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"lessor/dhcp4"
	"lessor/internal/clock"
	"lessor/internal/config"
	"lessor/internal/control"
	"lessor/internal/lease"
	"lessor/internal/policy"
	"lessor/internal/store"
	"lessor/internal/store/pebble"
)

const leasesLong = `List who has which address: leases that run, addresses that are held back after a
lease, and addresses that are declined because somebody else uses them. Each PART must
be part of the address, of an identifier or of the name; in any case.

It asks the running server, or reads the store of a stopped one.`

func newLeases(g *globals) *cobra.Command {
	var f control.Filter
	var state string
	cmd := &cobra.Command{
		Use:   "leases [PART...]",
		Short: "List who has which address",
		Long:  leasesLong,
		Example: "  lessor leases\n  lessor leases printer\n  lessor leases --state all -o json\n" +
			"  lessor leases release 192.0.2.77",
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, parts []string) error {
			f.Parts = parts
			return listLeases(cmd.Context(), g, f, state)
		},
	}
	cmd.Flags().StringVar(&f.Subnet, "subnet", "", "only of the subnet with this `name`")
	cmd.Flags().StringVar(&f.State, "state", "", "only in this `state`: "+strings.Join(control.States, "|")+"|all")
	cmd.Flags().StringVar(&state, "store", "", "read the store in this state `directory` instead of asking a server")
	cmd.AddCommand(newLeasesRelease(g))
	return cmd
}

// leaseColumns are the columns of a list of leases.
func leaseColumns(g *globals) []column[*control.Lease] {
	now := time.Now()
	text := func(f func(*control.Lease) string) func(*control.Lease) cell {
		return func(l *control.Lease) cell { return cell{text: f(l)} }
	}
	at := func(t *time.Time) string {
		if t == nil {
			return ""
		}
		return g.when(*t, now)
	}
	return []column[*control.Lease]{
		{name: "ADDRESS", cell: text(func(l *control.Lease) string { return addressText(g, l) })},
		{name: "CLIENT", cell: text((*control.Lease).Client)},
		{name: "HOST", cell: text(func(l *control.Lease) string { return l.Hostname })},
		{name: "STATE", cell: func(l *control.Lease) cell { return cell{l.State, stateStyle(l.State)} }},
		{name: "SOURCE", cell: text(func(l *control.Lease) string { return l.Source })},
		{name: "EXPIRES", cell: text(func(l *control.Lease) string { return expires(g, l, now) })},
		{name: "SUBNET", wide: true, cell: text(func(l *control.Lease) string { return l.Subnet })},
		{name: "HW-ADDRESS", wide: true, cell: text(func(l *control.Lease) string { return l.HWAddress })},
		{name: "CLIENT-ID", wide: true, cell: text(func(l *control.Lease) string { return l.ClientID })},
		{name: "STARTS", wide: true, cell: text(func(l *control.Lease) string { return at(l.Starts) })},
		{name: "RELAY", wide: true, cell: text(relayText)},
		{name: "MOVES-TO", wide: true, cell: text(movesText)},
	}
}

func stateStyle(state string) style {
	switch state {
	case "active":
		return good
	case "declined":
		return bad
	case "held":
		return warn
	}
	return dim
}

// expires is when a lease ends; for an address that is held back, how long still.
func expires(g *globals, l *control.Lease, now time.Time) string {
	switch {
	case l.HeldUntil != nil && g.terminal:
		return "held " + span(max(l.HeldUntil.Sub(now), 0))
	case l.HeldUntil != nil:
		return g.stamp(*l.HeldUntil)
	case l.Expires != nil:
		return g.when(*l.Expires, now)
	case l.Lifetime == lease.Infinite:
		return "never"
	}
	return ""
}

// addressText is the address of a lease, on a terminal with the one that its client
// moves to.
func addressText(g *globals, l *control.Lease) string {
	if g.terminal && g.output == "table" && l.MovesTo != 0 {
		return l.Address.String() + " -> " + l.MovesTo.String()
	}
	return l.Address.String()
}

func movesText(l *control.Lease) string {
	if l.MovesTo == 0 {
		return ""
	}
	return l.MovesTo.String()
}

func relayText(l *control.Lease) string {
	if l.Relay == nil {
		return ""
	}
	return strings.TrimSuffix(l.Relay.GIAddr.String()+" "+l.Relay.CircuitID, " ")
}

func listLeases(ctx context.Context, g *globals, f control.Filter, state string) error {
	if f.State != "" && f.State != "all" && !slices.Contains(control.States, f.State) {
		return &ExitError{Code: ExitUsage, Err: fmt.Errorf("no lease state is called %q", f.State),
			Hint: "States: " + strings.Join(control.States, ", ") + ", all."}
	}
	a, err := g.ask(ctx, state)
	if err != nil {
		return err
	}
	defer a.close()
	var all []*control.Lease
	held, moving := 0, 0
	if err := a.leases(ctx, f, func(l *control.Lease) error {
		if l.State == "held" || l.State == "declined" {
			held++
		}
		if l.MovesTo != 0 {
			moving++
		}
		all = append(all, l)
		return nil
	}); err != nil {
		return askError(err)
	}
	slices.SortFunc(all, func(a, b *control.Lease) int { return cmp.Compare(a.Address, b.Address) })
	out := newLister(g, leaseColumns(g))
	for _, l := range all {
		if err := out.add(l); err != nil {
			return err
		}
	}
	if err := out.close(); err != nil {
		return err
	}
	if len(all) == 0 && len(f.Parts) > 0 {
		return exitf(ExitNotFound, "no lease matches %q", strings.Join(f.Parts, " "))
	}
	if g.terminal && f.State == "" {
		line := fmt.Sprintf("%d in use", len(all)-held)
		if held > 0 {
			line += fmt.Sprintf(", %d held back", held)
		}
		if moving > 0 {
			line += fmt.Sprintf("; ->: %s to the address of a reservation at the next renewal", movePhrase(moving))
		}
		g.say("%s%s", line, a.note)
	}
	return nil
}

func movePhrase(n int) string {
	if n == 1 {
		return "1 moves"
	}
	return fmt.Sprintf("%d move", n)
}

// asker is whoever answers: a running server, or the store of a stopped one.
type asker struct {
	client *control.Client
	store  *pebble.Store
	policy *policy.Policy
	now    lease.Instant
	boot   lease.BootID
	note   string // who answered, when it is not a running server
}

// ask finds who can answer. With state a store is named; else the server is asked,
// and when none runs the usual store is read.
func (g *globals) ask(ctx context.Context, state string) (*asker, error) {
	if state == "" {
		c := control.NewClient(g.socket())
		ctx, cancel := context.WithTimeout(ctx, g.timeout)
		defer cancel()
		_, err := c.Status(ctx)
		if err == nil {
			return &asker{client: c}, nil
		}
		c.Close()
		if !errors.Is(err, control.ErrNoServer) || g.connect != "" {
			return nil, askError(err)
		}
	}
	return g.openStopped(state)
}

// openStopped reads the store of a server that does not run.
func (g *globals) openStopped(state string) (*asker, error) {
	a := &asker{}
	configured := ""
	if c, problems := config.Load(g.config); problems.Err() == nil {
		a.policy, configured = c.Policy(), c.LeaseDatabase
	}
	dir := g.storeDir(state, configured)
	if _, err := os.Stat(dir); err != nil {
		code := ExitNoAccess
		return nil, &ExitError{Code: code, Err: fmt.Errorf("no server is running (nobody listens on %s), and there is no store in %s", g.socket(), filepath.Dir(dir)),
			Hint: "Name a server with --connect SOCKET, or a store with --store DIR."}
	}
	st, err := pebble.OpenReadOnly(dir, pebble.Options{})
	switch {
	case errors.Is(err, store.ErrLocked):
		return nil, &ExitError{Code: ExitNoAccess, Err: err, Hint: "A server is using the store, but does not answer on " + g.socket() + "; name its socket with --connect."}
	case err != nil:
		return nil, startError(err)
	}
	times, err := clock.New()
	if err != nil {
		return nil, errors.Join(err, st.Close())
	}
	a.store, a.now, a.boot = st, times.Now(), times.BootID()
	a.note = " (no server is running; read from " + filepath.Dir(dir) + ")"
	return a, nil
}

func (a *asker) close() {
	if a.client != nil {
		a.client.Close()
	}
	if a.store != nil {
		a.store.Close() // opened for reading only: nothing can be lost
	}
}

func (a *asker) leases(ctx context.Context, f control.Filter, fn func(*control.Lease) error) error {
	if a.client != nil {
		return a.client.Leases(ctx, f, fn)
	}
	return a.walk(ctx, func(now lease.Instant, b *lease.Binding) error {
		l := control.FromBinding(b, now, a.policy)
		if !f.Match(&l) {
			return nil
		}
		return fn(&l)
	})
}

// lease is the lease of one address; control.ErrNotFound when there is none.
func (a *asker) lease(ctx context.Context, addr dhcp4.Addr) (found control.Lease, err error) {
	if a.client != nil {
		return a.client.Lease(ctx, addr)
	}
	err = fmt.Errorf("there is no lease of %s: %w", addr, control.ErrNotFound)
	werr := a.walk(ctx, func(now lease.Instant, b *lease.Binding) error {
		if b.Addr == addr {
			found, err = control.FromBinding(b, now, a.policy), nil
		}
		return nil
	})
	return found, cmp.Or(werr, err)
}

// walk yields the bindings of a stopped server as they would be if it started now.
func (a *asker) walk(ctx context.Context, fn func(lease.Instant, *lease.Binding) error) error {
	mark := a.store.Mark()
	_, err := a.store.Load(ctx, nil, func(bs []lease.Binding) error {
		for i := range bs {
			lease.Resume(&bs[i], mark, a.now, a.boot)
			if err := fn(a.now, &bs[i]); err != nil {
				return err
			}
		}
		return nil
	})
	return err
}

func (a *asker) history(ctx context.Context, who string, s control.Span) ([]control.Possession, error) {
	if a.client != nil {
		return a.client.History(ctx, who, s)
	}
	return control.History(ctx, a.store, a.walk, control.ParseWho(who), s)
}

// askError gives an error of asking its exit code.
func askError(err error) error {
	switch {
	case errors.Is(err, control.ErrNotFound):
		return &ExitError{Code: ExitNotFound, Err: err}
	case errors.Is(err, control.ErrConflict):
		return &ExitError{Code: ExitConflict, Err: err}
	case errors.Is(err, control.ErrNoServer):
		return &ExitError{Code: ExitNoAccess, Err: err, Hint: "Start one: sudo lessor serve --interface eth0; or name its socket with --connect."}
	case errors.Is(err, control.ErrNoAccess):
		return &ExitError{Code: ExitNoAccess, Err: err, Hint: "Try it with sudo."}
	case errors.Is(err, context.DeadlineExceeded):
		return &ExitError{Code: ExitNoAccess, Err: errors.New("the server did not answer in time"), Hint: "Give it longer with --timeout."}
	}
	return err
}

// addressArg reads an address that was typed.
func addressArg(text string) (dhcp4.Addr, error) {
	a, err := dhcp4.ParseAddr(text)
	if err != nil {
		return 0, &ExitError{Code: ExitUsage, Err: err, Hint: "Write an address such as 192.0.2.77; lessor leases lists them."}
	}
	return a, nil
}
