package setup

import (
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// minLinkMTU is the least MTU that an interface is given: below it the kernel takes
// IPv6 off the interface (RFC 8200 5).
const minLinkMTU = 1280

// changed is the value of something before we changed it and what we made of it. It is put
// back only where it still has our value.
type changed[T comparable] struct {
	Old, New T
	Index    int `json:",omitempty"` // of the interface
}

// applyMTU sets the interface's MTU; that of the routes is applyRoutes' affair. What the
// interface cannot take is left to the routes.
func (h *Host) applyMTU(l netlink.Link, mtu uint16) error {
	if mtu < minLinkMTU {
		return h.clearMTU()
	}
	now, index := l.Attrs().MTU, l.Attrs().Index
	if now == int(mtu) {
		return nil
	}
	was := h.done.MTU
	old := now
	if was != nil && was.Index == index && was.New == now {
		old = was.Old
	}
	h.done.MTU = &changed[int]{Old: old, New: int(mtu), Index: index}
	h.saveUndo()
	err := h.nl.LinkSetMTU(l, int(mtu))
	if err == nil {
		return nil
	}
	h.done.MTU = was
	h.saveUndo()
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ERANGE) || errors.Is(err, unix.EOPNOTSUPP) {
		return fmt.Errorf("%s cannot have the MTU %d that the server gives: only the routes have it", h.name, mtu)
	}
	return explain(fmt.Sprintf("set the MTU of %s to %d", h.name, mtu), err)
}

// clearMTU gives the interface its old MTU back.
func (h *Host) clearMTU() error {
	m := h.done.MTU
	if m == nil {
		return nil
	}
	l, err := h.nl.LinkByIndex(m.Index)
	switch {
	case errors.As(err, new(netlink.LinkNotFoundError)):
	case err != nil:
		return explain("find interface "+h.name, err)
	case l.Attrs().MTU == m.New:
		if err := h.nl.LinkSetMTU(l, m.Old); err != nil {
			return explain(fmt.Sprintf("set the MTU of %s back to %d", h.name, m.Old), err)
		}
	}
	h.done.MTU = nil
	h.saveUndo()
	return nil
}
