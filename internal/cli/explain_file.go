package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"

	"lessor/dhcp4"
	"lessor/internal/clock"
	"lessor/internal/config"
	"lessor/internal/control"
	"lessor/internal/lease"
	"lessor/internal/policy"
	"lessor/internal/server"
	"lessor/internal/store"
	"lessor/internal/store/pebble"
	"lessor/internal/wire"
)

// fromFile makes a server of a configuration file that answers questions and nothing else.
func (f *explainFlags) fromFile(ctx context.Context, g *globals) (explainer, error) {
	c, problems := config.Load(g.config)
	writeProblems(g, problems.Errors())
	if c == nil {
		return nil, &ExitError{Code: ExitUsage} // everything has been said
	}
	links, err := f.links(g, c.Policy())
	if err != nil {
		return nil, err
	}
	times, err := clock.New()
	if err != nil {
		return nil, err
	}
	secret := [16]byte{}
	if f.store != "" {
		secret, _ = knownSecret(filepath.Join(f.store, "secret")) // without it a new client lands elsewhere
	}
	core := server.New(secret, times.BootID())
	now := times.Now()
	if f.store != "" {
		if err := restore(ctx, core, f.store, now, times.BootID()); err != nil {
			return nil, err
		}
	}
	now = begin(core, now, c.Policy(), links)
	return func(_ context.Context, q *control.Question) (*control.Explanation, error) {
		x, err := control.Explain(core, now, c.Policy(), q)
		if err != nil {
			return nil, &ExitError{Code: ExitUsage, Err: err, Hint: "The interfaces are those of the file."}
		}
		return x, nil
	}, nil
}

// begin starts a core as a server would, and has it wait for its first questions by ARP
// to stay unanswered: from then on it has addresses that may be offered at once.
func begin(core *server.Core, now lease.Instant, p *policy.Policy, links []wire.Link) lease.Instant {
	var fx server.Effects
	core.SetPolicy(now, p, &fx)
	core.SetLinks(now, links, &fx)
	const enough = 2e9
	for end := now.M + enough; core.NextTick() <= end; {
		at := max(core.NextTick(), now.M)
		now = lease.Instant{M: at, W: now.W + at - now.M}
		fx.Reset()
		core.Tick(now, &fx)
	}
	return now
}

// restore reads the leases of a server that does not run.
func restore(ctx context.Context, core *server.Core, state string, now lease.Instant, boot lease.BootID) error {
	st, err := pebble.OpenReadOnly(filepath.Join(state, "db"), pebble.Options{})
	if errors.Is(err, store.ErrLocked) {
		return &ExitError{Code: ExitNoAccess, Err: err, Hint: "A server is using the store. Without --config it is asked itself."}
	}
	if err != nil {
		return startError(err)
	}
	defer st.Close() // opened for reading only: nothing can be lost
	mark := st.Mark()
	_, err = st.Load(ctx, nil, func(bs []lease.Binding) error {
		for i := range bs {
			lease.Resume(&bs[i], mark, now, boot)
			core.Restore(&bs[i])
		}
		return nil
	})
	return err
}

// links are the interfaces of the configuration, each with the address of --interface-address, else
// with those that it really has in a subnet of the file, else with one of a subnet that
// fits.
func (f *explainFlags) links(g *globals, p *policy.Policy) ([]wire.Link, error) {
	given := map[string][]dhcp4.Prefix{}
	for _, text := range f.addresses {
		name, addr, ok := strings.Cut(text, "=")
		a, err := netip.ParsePrefix(addr) // host bits and all
		if !ok || err != nil || !a.Addr().Is4() {
			return nil, wrongValue("interface-address", text, "an interface and its address, such as eth0=192.0.2.1/24")
		}
		given[name] = append(given[name], dhcp4.Prefix{Addr: dhcp4.AddrFrom4(a.Addr().As4()), Bits: a.Bits()})
	}
	names := p.Interfaces
	for _, text := range f.addresses {
		if name, _, _ := strings.Cut(text, "="); !slices.Contains(names, name) {
			return nil, &ExitError{Code: ExitUsage, Err: fmt.Errorf("--interface-address: the file serves no interface %q", name),
				Hint: "It serves " + strings.Join(names, ", ") + "."}
		}
	}
	agent, _ := dhcp4.ParseAddr(f.relay)
	var links []wire.Link
	used := map[*policy.Subnet]bool{}
	for i, name := range names {
		l := wire.Link{ID: wire.LinkID(i + 1), Name: name, MAC: wire.MAC{2, 0, 0, 0, 1, byte(i)}, MTU: 1500, Addrs: given[name]}
		if len(l.Addrs) == 0 {
			l.Addrs = realAddresses(name, p)
		}
		if len(l.Addrs) == 0 {
			if a, sn := fitting(p, &l, used, agent); sn != nil {
				used[sn] = true
				l.Addrs = []dhcp4.Prefix{a}
				if f.relay == "" && !g.quiet {
					g.say("%s is taken to have the address %s; --interface-address %s=… says otherwise", name, a, name)
				}
			}
		}
		if len(l.Addrs) > 0 {
			links = append(links, l)
		}
	}
	return links, nil
}

// realAddresses are the addresses that an interface of this machine has in subnets of
// the configuration.
func realAddresses(name string, p *policy.Policy) (addrs []dhcp4.Prefix) {
	ifi, err := net.InterfaceByName(name)
	if err != nil {
		return nil
	}
	list, err := ifi.Addrs()
	if err != nil {
		return nil
	}
	for _, a := range list {
		if n, ok := a.(*net.IPNet); ok && n.IP.To4() != nil {
			bits, _ := n.Mask.Size()
			if addr := dhcp4.AddrFromBytes(n.IP.To4()); p.SubnetOf(addr) != nil {
				addrs = append(addrs, dhcp4.Prefix{Addr: addr, Bits: bits})
			}
		}
	}
	return addrs
}

// fitting is an address for the interface: in the network that the configuration gives
// it, else in the first subnet that no other interface is in, and such as it gives to
// nobody; not that of the relay agent.
func fitting(p *policy.Policy, l *wire.Link, used map[*policy.Subnet]bool, agent dhcp4.Addr) (dhcp4.Prefix, *policy.Subnet) {
	own := p.NetworkOfLink(l)
	for _, n := range p.Networks {
		if own != nil && n != own {
			continue
		}
		for _, sn := range n.Subnets {
			if used[sn] {
				continue
			}
			r := sn.Prefix.Range()
			for a := r.First; ; a++ {
				never := sn.NeverOffer.Has(a)
				if sn.Prefix.IsHost(a) && a != agent && !never && sn.PoolOf(a) == nil && n.ReservedBy(a) == nil {
					return dhcp4.Prefix{Addr: a, Bits: sn.Prefix.Bits}, sn
				}
				if a == r.Last {
					break
				}
			}
			return dhcp4.Prefix{Addr: r.First + 1, Bits: sn.Prefix.Bits}, sn // every address is somebody's
		}
	}
	return dhcp4.Prefix{}, nil
}
