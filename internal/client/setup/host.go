package setup

import (
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"sync"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Host changes one interface of this machine. Its methods are called by one goroutine.
type Host struct {
	name string // of the interface, as the user gave it
	o    Options
	warn func(string) // may be called by any goroutine
	nl   *netlink.Handle
	last int // the interface's index when it was last seen; 0: never
	done undo
	dns  *resolver
	hook *hooks            // nil: no hook program
	told map[string]string // what was last said of each part of the work
}

// Open looks at the interface and takes over what an earlier run that was killed
// left on it. The interface need not be there yet. Warnings are said by warn, one line
// each and one at a time, also while no method runs. The namespaces of the calling
// thread are those that are changed; all threads of the process must share them
// where Options names a hook or DNS is changed by a program.
func Open(ifname string, o Options, warn func(string)) (*Host, error) {
	if err := o.check(ifname); err != nil {
		return nil, err
	}
	var mu sync.Mutex
	h := &Host{name: ifname, o: o, told: map[string]string{}, warn: func(s string) {
		mu.Lock()
		defer mu.Unlock()
		warn(s)
	}}
	if o.Hook != "" {
		var err error
		if h.hook, err = newHooks(o.Hook, ifname, h.warn); err != nil {
			return nil, err
		}
	}
	if o.NoConfigure {
		return h, nil
	}
	if err := h.open(); err != nil {
		if h.hook != nil {
			h.hook.close()
		}
		return nil, err
	}
	return h, nil
}

func (h *Host) open() (err error) {
	if h.nl, err = newHandle(); err != nil {
		return err
	}
	h.dns = newResolver(h.warn)
	h.done = h.readUndo()
	leases, err := h.ReadLeases()
	if own := h.done.Addr; own != nil && (own.ended(bootTime()) || len(leases) == 0 || err != nil) {
		// Its lease ran out while nobody looked after it, or nobody knows of it any more.
		if err := h.clearAddress(); err != nil {
			h.warn(err.Error())
		}
	}
	return nil
}

func (o *Options) check(ifname string) error {
	if ifname == "" || len(ifname) >= unix.IFNAMSIZ || ifname == "." || ifname == ".." || filepath.Base(ifname) != ifname {
		return fmt.Errorf("%q is no name of an interface", ifname)
	}
	if o.Metric < 0 || o.Metric > 1<<31-1 {
		return fmt.Errorf("metric %d is not in 0 to %d", o.Metric, 1<<31-1)
	}
	if o.Table < 0 || int64(o.Table) > 1<<32-1 || o.Table == unix.RT_TABLE_LOCAL {
		return fmt.Errorf("routing table %d cannot be used: give one of 1 to 4294967295, but not 255, the table of local addresses", o.Table)
	}
	for _, f := range []struct{ what, path string }{{"the resolv.conf file", o.ResolvConf}, {"the hook program", o.Hook}, {"the lease file", o.LeaseFile}} {
		if f.path != "" && (!filepath.IsAbs(f.path) || filepath.Clean(f.path) != f.path || len(f.path) >= unix.PathMax) {
			return fmt.Errorf("%s %q must be named by its full path, for example %s", f.what, f.path, filepath.Join("/", f.path))
		}
	}
	return nil
}

// Up sets the interface up if it is down; Close sets it down again.
func (h *Host) Up() error {
	if h.o.NoConfigure {
		return nil
	}
	l, err := h.link()
	if err != nil {
		return err
	}
	if l.Attrs().Flags&net.FlagUp != 0 {
		return nil
	}
	h.done.SetUp = true
	h.saveUndo()
	if err := h.nl.LinkSetUp(l); err != nil {
		return explain("set "+h.name+" up", err)
	}
	return nil
}

// Apply puts c on the interface in place of what was there of ours. What is the same
// stays untouched, so that a renewal only changes the address's lifetimes; new routes come
// before old ones go. An error says that the address is not on the interface. Everything
// else that does not work is a warning, said when it begins: a host with an address and without
// its MTU is better off than one without both.
func (h *Host) Apply(c *Config) error {
	if err := c.Check(); err != nil {
		return fmt.Errorf("refused: %w", err)
	}
	if h.o.NoConfigure {
		return nil
	}
	l, err := h.link()
	if err != nil {
		return err
	}
	if err := h.applyAddress(l, c); err != nil {
		return err
	}
	h.report("mtu", h.applyMTU(l, c.MTU))
	h.report("routes", h.applyRoutes(l, c))
	if h.o.SetHostName {
		h.report("name", h.applyHostName(c.HostName))
	}
	h.report("dns", h.applyDNS(c))
	return nil
}

// Clear takes everything of ours off the interface, the address first. An error says
// that address or routes are still there. What else could not be put back is a warning, and
// is tried again at the next Clear or Close.
func (h *Host) Clear() error {
	if h.o.NoConfigure {
		return nil
	}
	err := h.clearAddress()
	h.report("mtu", h.clearMTU())
	h.report("name", h.clearHostName())
	h.report("dns", h.clearDNS())
	return err
}

// Close ends the hooks; leave says whether what is on the interface stays there. A
// Host that left something takes it over when it is opened again. Hooks that run or
// wait, and a program that changes DNS, are waited for, ten seconds for each of them at most.
func (h *Host) Close(leave bool) error {
	var errs []error
	if !h.o.NoConfigure {
		if !leave {
			errs = append(errs, h.Clear(), h.clearUp())
		}
		h.dns.close()
		h.saveUndo()
		h.nl.Close()
	}
	if h.hook != nil {
		h.hook.close()
	}
	return errors.Join(errs...)
}

// clearUp sets the interface down if Up had set it up.
func (h *Host) clearUp() error {
	if !h.done.SetUp {
		return nil
	}
	h.done.SetUp = false
	l, err := h.link()
	if err != nil {
		return nil // gone, and with it what was changed on it
	}
	if err := h.nl.LinkSetDown(l); err != nil {
		return explain("set "+h.name+" down again", err)
	}
	return nil
}

// report warns of what went wrong with part of the work, when it begins or changes.
func (h *Host) report(part string, err error) {
	text := ""
	if err != nil {
		text = strings.ReplaceAll(err.Error(), "\n", "; ")
	}
	if text != "" && h.told[part] != text {
		h.warn(text)
	}
	h.told[part] = text
}
