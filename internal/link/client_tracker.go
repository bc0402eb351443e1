package link

import "lessor/internal/wire"

// ClientTracker follows the one interface of a client: it turns what the host has into the
// reports of WatchClient. It is the part of WatchClient that the kernel and memnet share.
type ClientTracker struct {
	name    *tracked
	changed func(l *wire.Link, m *Missing)
	link    *wire.Link // as reported, nil: absent
	missing *Missing
	flaps   uint32 // CarrierChanges at the report
	started bool
}

// NewClientTracker returns a tracker that calls changed at its first Update and then at
// each change.
func NewClientTracker(name string, changed func(l *wire.Link, m *Missing)) *ClientTracker {
	return &ClientTracker{name: &tracked{name: name}, changed: changed}
}

// Usable reports whether a client can run on the interface now. It needs no address.
func (i *Interface) Usable() bool { return i.Refusal() == "" && i.Up && i.Carrier }

// Update takes all interfaces of the host as they are now.
func (t *ClientTracker) Update(ifs []Interface) {
	i := t.name.find(ifs)
	if i == nil {
		t.name.index = 0
		t.absent(&Missing{Name: t.name.name, DidYouMean: nearest(t.name.name, ifs)})
		return
	}
	t.name.index, t.name.last, t.name.mac = i.Index, i.Name, i.MAC
	if why := i.Refusal(); why != "" {
		t.absent(&Missing{Name: t.name.name, Reason: why})
		return
	}
	if !i.Usable() || t.link != nil && t.another(i) {
		t.absent(nil)
	}
	if i.Usable() {
		t.present(i)
	}
}

// Seen takes one interface as it was at some moment since the last Update, perhaps
// for so short a time that the next Update does not show it; gone says that it was
// taken away.
func (t *ClientTracker) Seen(i *Interface, gone bool) {
	if i.Index != t.name.index {
		return
	}
	if gone {
		t.name.index = 0
	}
	if t.link == nil {
		return
	}
	// What was told before the last Update may be read after it.
	old := int32(i.CarrierChanges-t.flaps) < 0
	if gone || !old && (!i.Usable() || t.another(i)) {
		t.absent(nil)
	}
}

// another reports whether i is not what was reported: another interface, with another
// address, or with a loss of carrier in between.
func (t *ClientTracker) another(i *Interface) bool {
	return i.Index != t.link.ID || i.MAC != t.link.MAC || int32(i.CarrierChanges-t.flaps) > 0
}

// present reports the interface unless that is known.
func (t *ClientTracker) present(i *Interface) {
	l := i.link()
	l.Addrs = nil
	if t.started && t.link != nil && sameLink(l, *t.link) {
		return
	}
	t.started, t.link, t.missing, t.flaps = true, &l, nil, i.CarrierChanges
	t.changed(&l, nil)
}

// absent reports that there is no link unless that is known.
func (t *ClientTracker) absent(m *Missing) {
	same := m == nil && t.missing == nil || m != nil && t.missing != nil && *m == *t.missing
	if t.started && t.link == nil && same {
		return
	}
	t.started, t.link, t.missing = true, nil, m
	t.changed(nil, m)
}
