package cli

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"lessor/dhcp4"
	"lessor/internal/event"
	"lessor/internal/lease"
	"lessor/internal/store"
	"lessor/internal/store/pebble"
)

// verifyStore judges the history of a lease store that no server uses.
func verifyStore(ctx context.Context, g *globals, state string) error {
	dir := g.storeDir(state, "")
	if _, err := os.Stat(dir); err != nil {
		return &ExitError{Code: ExitFailed, Err: fmt.Errorf("there is no lease store in %s", state),
			Hint: "Give the state directory of a server, the one that holds LOCK and db."}
	}
	st, err := pebble.OpenReadOnly(dir, pebble.Options{})
	switch {
	case errors.Is(err, store.ErrLocked):
		return &ExitError{Code: ExitConflict, Err: err, Hint: "Stop the server, or judge a copy of its state directory."}
	case err != nil:
		return startError(err)
	}
	v, err := judgeHistory(ctx, st)
	if err = errors.Join(err, st.Close()); err != nil {
		return err
	}
	return v.print(g)
}

// judgeHistory looks at each address that the store has a record of.
func judgeHistory(ctx context.Context, st store.Store) (*verdict, error) {
	v := &verdict{Notes: []string{}, Breaches: []breach{},
		Decided: []string{"I1, the servers' side: double binding and early reuse, to the second, as far as nobody set the wall clock back"},
		Undecided: []undecided{{Rules: []string{"the rest"}, Why: "the history of a store says who had an address and from when until when, nothing else; " +
			"a trace and a capture say more (--trace, --capture)"}}}
	var addrs []dhcp4.Addr
	_, err := st.Load(ctx, nil, func(bs []lease.Binding) error {
		for i := range bs {
			addrs = append(addrs, bs[i].Addr)
		}
		return nil
	})
	unknown := 0
	for _, a := range addrs {
		var all []store.Possession
		if err == nil {
			err = st.HistoryByAddr(ctx, a, time.Time{}, time.Time{}, func(p *store.Possession) bool {
				q := *p
				q.HW, q.ClientID = bytes.Clone(p.HW), bytes.Clone(p.ClientID)
				q.Hostname, q.Agent = nil, nil
				all = append(all, q)
				return true
			})
		}
		slices.Reverse(all) // oldest first
		slices.SortStableFunc(all, func(x, y store.Possession) int { return cmp.Compare(x.From, y.From) })
		v.Possessions += len(all)
		unknown += v.addHistory(all)
	}
	v.Addresses = len(addrs)
	if unknown > 0 {
		v.Notes = append(v.Notes, fmt.Sprintf("of %d leases an earlier version did not write down when others could have the address: only an overlap shows", unknown))
	}
	slices.SortStableFunc(v.Breaches, func(x, y breach) int { return x.Time.Compare(y.Time) })
	return v, err
}

// addHistory judges the possessions of one address, oldest first, and returns how many do
// not say when they made way.
func (v *verdict) addHistory(all []store.Possession) (unknown int) {
	for i := range all {
		if all[i].Free == 0 {
			unknown++
		}
		if i == 0 {
			continue
		}
		was, is := &all[i-1], &all[i]
		if sameClient(was, is) {
			continue
		}
		at := breach{Rule: "I1", Time: time.Unix(is.From, 0).UTC()}
		begin := fmt.Sprintf("%v is given to %s", is.Addr, label(is))
		switch {
		case is.From < was.Until || is.From == was.Until && was.Free > was.Until:
			at.What = fmt.Sprintf("%s while %s has it, since %s", begin, label(was), time.Unix(was.From, 0).UTC().Format(time.RFC3339))
		case is.From < was.Free-1: // the times are in whole seconds
			at.What = fmt.Sprintf("%s %d s after the lease of %s, which is %d s too early", begin, is.From-was.Until, label(was), was.Free-is.From)
		default:
			continue
		}
		v.Breaches = append(v.Breaches, at)
	}
	return unknown
}

// sameClient reports whether two possessions can be one client's: a machine that starts another
// system has another client identifier and the same hardware address.
func sameClient(a, b *store.Possession) bool {
	return len(a.HW) > 0 && a.HType == b.HType && bytes.Equal(a.HW, b.HW) || len(a.ClientID) > 1 && bytes.Equal(a.ClientID, b.ClientID)
}

func label(p *store.Possession) string {
	if len(p.HW) > 0 {
		return event.HW(p.HType, p.HW)
	}
	return "id/" + event.Hex(p.ClientID)
}
