package link

import (
	"context"
	"fmt"
	"time"

	"lessor/internal/wire"
)

// settle is how long Watch lets changes gather before it looks at all interfaces
// again; it bounds the work on a host whose interfaces change all the time.
const settle = 20 * time.Millisecond

// dumpPause is the time between attempts to list interfaces while that fails, for
// example for want of memory.
const dumpPause = 500 * time.Millisecond

// Watch implements Net. It needs no capability.
func (k *Kernel) Watch(ctx context.Context, names []string, changed func([]wire.Link, []Missing)) error {
	t := NewTracker(names)
	return follow(ctx, func(ifs []Interface) {
		k.locals.Set(ifs)
		if ready, missing, news := t.Update(ifs); news {
			changed(ready, missing)
		}
	}, func(i *Interface, gone bool) {
		if !gone && i.Up {
			return
		}
		if ready, missing, news := t.Lost(i.Index, gone); news {
			changed(ready, missing)
		}
	})
}

// WatchClient implements ClientNet. It needs no capability.
func (k *Kernel) WatchClient(ctx context.Context, name string, changed func(l *wire.Link, m *Missing)) error {
	t := NewClientTracker(name, changed)
	return follow(ctx, t.Update, t.Seen)
}

// follow calls update with all interfaces, at once and after changes, and seen with each
// interface that the kernel tells of meanwhile. What is true is always asked for as a
// whole, so that a message lost (ENOBUFS) costs little.
func follow(ctx context.Context, update func([]Interface), seen func(i *Interface, gone bool)) error {
	m, err := newMonitor(seen)
	if err != nil {
		return fmt.Errorf("watch interfaces: %w", err)
	}
	defer m.file.Close()
	defer context.AfterFunc(ctx, func() { m.file.Close() })()
	for known := false; ; known = true {
		ifs, err := interfaces()
		for ; err != nil; ifs, err = interfaces() {
			if !known {
				return fmt.Errorf("watch interfaces: %w", err)
			}
			// What was reported stays in force until the kernel answers again.
			if !sleep(ctx, dumpPause) {
				return nil
			}
		}
		update(ifs)
		for pause := false; ; pause = true {
			err := m.next(!pause)
			if ctx.Err() != nil {
				return nil
			}
			if err != nil {
				return fmt.Errorf("watch interfaces: %w", err)
			}
			if pause {
				break
			}
			if !sleep(ctx, settle) {
				return nil
			}
		}
	}
}

// Explain says why the interface called name is not ready, and what helps; "" when
// it is ready. It looks at the host as it is now.
func (k *Kernel) Explain(name string) (string, error) {
	ifs, err := interfaces()
	if err != nil {
		return "", err
	}
	for i := range ifs {
		if ifs[i].Name == name {
			return ifs[i].Waiting(), nil
		}
	}
	return Missing{Name: name, DidYouMean: nearest(name, ifs)}.String(), nil
}

// Interfaces lists all interfaces of the host as they are now.
func (k *Kernel) Interfaces() ([]Interface, error) { return interfaces() }

// refresh brings the host's own addresses up to date.
func (k *Kernel) refresh() error {
	ifs, err := interfaces()
	if err == nil {
		k.locals.Set(ifs)
	}
	return err
}

// sleep waits for d and reports whether ctx is still alive.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
