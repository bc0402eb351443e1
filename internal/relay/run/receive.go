package run

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"time"

	"lessor/internal/event"
	"lessor/internal/link"
	"lessor/internal/wire"
)

// batchesPerPort go round between a receiver and the loop: one is filled while the other
// is relayed. What comes meanwhile waits in the kernel, which drops what comes last.
const batchesPerPort = 2

// input is one batch on its way from a receiver to the loop, which gives it back to free.
type input struct {
	batch   *link.Batch
	packets []wire.Packet
	free    chan *link.Batch
}

// served is one interface with open sockets.
type served struct {
	link wire.Link // as it is now; belongs to the goroutine of ports, and is not changed once the loop has it
	port link.Port
	free chan *link.Batch
	gone chan struct{} // closed when the port is

	out []wire.Send // belongs to the loop
}

func newFree() chan *link.Batch {
	free := make(chan *link.Batch, batchesPerPort)
	for range batchesPerPort {
		free <- new(link.Batch)
	}
	return free
}

// receive brings batch after batch from one interface to the loop until the port is closed
// (nil) or fails.
func (r *Runner) receive(s *served) error {
	return r.pass(s.port.Receive, s.free, s.gone, r.requests)
}

// pass brings batch after batch to the loop until gone is closed (nil) or receiving fails.
func (r *Runner) pass(receive func(*link.Batch) error, free chan *link.Batch, gone <-chan struct{}, to chan<- input) error {
	for {
		var b *link.Batch
		select {
		case b = <-free:
		case <-gone:
			return nil
		}
		ok := false
		err := func() error {
			defer r.guard("receive")
			err := receive(b)
			ok = true
			return err
		}()
		switch {
		case errors.Is(err, net.ErrClosed):
			return nil
		case err != nil:
			return err
		}
		if ok {
			r.count(b)
		}
		if !ok || len(b.Packets) == 0 {
			free <- b
			continue
		}
		select {
		case to <- input{b, b.Packets, free}:
		case <-gone:
			return nil
		case <-r.ended:
			return nil
		}
	}
}

func (r *Runner) count(b *link.Batch) {
	if b.Dropped != 0 {
		r.dropped.Add(b.Dropped)
	}
	for i, n := range b.Bad {
		if n != 0 {
			r.bad[i].Add(n)
		}
	}
}

// receiveReplies brings what servers answer to the loop until ctx ends.
func (r *Runner) receiveReplies(ctx context.Context) {
	defer context.AfterFunc(ctx, func() { r.upstream.Close() })() // ends Receive
	free := newFree()
	for {
		err := r.pass(r.upstream.Receive, free, ctx.Done(), r.replies)
		if err == nil || ctx.Err() != nil {
			return
		}
		r.log.Say(event.LinkFailed, slog.String("interface", "towards the servers"), slog.Any("error", err))
		free = newFree() // the batch of the failed call is lost
		select {
		case <-ctx.Done():
			return
		case <-time.After(reopenAfter):
		}
	}
}
