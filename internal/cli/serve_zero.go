package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"lessor/dhcp4"
	"lessor/internal/config"
	"lessor/internal/link"
	"lessor/internal/wire"
)

// derived is what was decided for interfaces without a file.
type derived struct {
	conf     *config.Config
	yaml     string // the file that does the same
	said     []string
	warnings []string
	links    []wire.Link // what it was decided from
}

// derive decides what to serve on the interfaces as they are now; those that are
// not ready are left for later. known reports whether an address is one of our own
// clients': the kernel's neighbour table knows them too, and their addresses must
// stay in the pool.
func derive(names []string, beside bool, known func(dhcp4.Addr) bool) (*derived, error) {
	var d derived
	var yamls []string
	var first error
	for _, name := range names {
		one, l, err := deriveOne(name, known)
		if err != nil {
			if first == nil {
				first = err
			}
			continue
		}
		yamls = append(yamls, one.YAML)
		d.said = append(d.said, one.Said...)
		d.warnings = append(d.warnings, one.Warnings...)
		d.links = append(d.links, l)
		d.conf, d.yaml = one.Config, one.YAML
	}
	if d.conf == nil {
		return nil, first
	}
	if len(yamls) > 1 {
		d.yaml = joinYAML(yamls)
		c, problems := config.Parse("(made from "+strings.Join(names, ", ")+")", []byte(d.yaml))
		if err := problems.Err(); err != nil {
			return nil, fmt.Errorf("the configurations made from %s do not go together: %w", strings.Join(names, " and "), err)
		}
		d.conf = c
	}
	p := d.conf.Policy()
	p.Careful = true
	p.Interfaces = names
	if beside {
		p.Authoritative = false
	}
	return &d, nil
}

func deriveOne(name string, known func(dhcp4.Addr) bool) (*config.Derived, wire.Link, error) {
	l, err := config.ReadLink(name)
	if err != nil {
		return nil, l, err
	}
	facts, err := config.ReadFacts(l)
	if err != nil {
		return nil, l, err
	}
	facts.Neighbours = slices.DeleteFunc(facts.Neighbours, known)
	one, err := config.ForLink(l, facts)
	return one, l, err
}

// joinYAML makes one file of several that ForLink wrote: everything of the first,
// the subnets of all.
func joinYAML(yamls []string) string {
	out := yamls[0]
	for _, y := range yamls[1:] {
		if _, subnets, ok := strings.Cut(y, "\nsubnets:\n"); ok {
			out += subnets
		}
	}
	return out
}

// waitForAny waits until at least one of the interfaces is ready, so that there is
// something to decide from, and says what it waits for.
func waitForAny(ctx context.Context, n link.Net, names []string, say func(string)) error {
	wctx, cancel := context.WithCancel(ctx)
	defer cancel()
	told := false
	err := n.Watch(wctx, names, func(ready []wire.Link, missing []link.Missing) {
		if len(ready) > 0 {
			cancel()
			return
		}
		for _, m := range missing {
			say(m.String())
		}
		if !told && len(missing) < len(names) {
			say(fmt.Sprintf("waiting for %s: it needs to be up, with carrier and an IPv4 address", strings.Join(names, ", ")))
		}
		told = true
	})
	if err != nil {
		return err
	}
	return ctx.Err()
}

// sameAddresses reports whether nothing that derive decides by has changed.
func sameAddresses(a, b []wire.Link) bool {
	return slices.EqualFunc(a, b, func(x, y wire.Link) bool {
		return x.ID == y.ID && slices.Equal(x.Addrs, y.Addrs)
	})
}
