package engine

import (
	"errors"
	"net"

	"lessor/internal/link"
)

// Depths of the queue between the receivers and the loop, in packets of all
// interfaces together. From shedNewcomers on DISCOVERs are dropped before they
// cost anything, from shedOrdinary on everything but renewals. Beyond that the
// kernel's own buffer fills, and it drops what comes last.
const (
	shedNewcomers = 512
	shedOrdinary  = 896
)

// receive brings batch after batch from one port to the loop until the port is
// closed (nil) or fails.
func (e *Engine) receive(s *served) error {
	for {
		var b *link.Batch
		select {
		case b = <-s.free:
		case <-s.gone:
			return nil
		}
		in, err := e.receiveOne(s, b)
		switch {
		case errors.Is(err, net.ErrClosed):
			return nil
		case err != nil:
			return err
		case in.batch == nil || len(in.packets)+len(b.ARPs)+len(b.Echoes) == 0: // a recovered panic, or nothing left
			s.free <- b
			continue
		}
		e.queued.Add(int64(len(in.packets)))
		select {
		case e.in <- in:
		case <-s.gone:
			e.queued.Add(-int64(len(in.packets)))
			return nil
		}
	}
}

// receiveOne waits for one batch, counts what the frame checks refused, and under
// overload drops what is cheapest to lose.
func (e *Engine) receiveOne(s *served, b *link.Batch) (in input, err error) {
	defer e.guard("receive", nil)
	if err := s.port.Receive(b); err != nil {
		return in, err
	}
	in = input{from: s, batch: b, packets: b.Packets}
	if b.Dropped != 0 {
		e.stats.socketDropped.Add(b.Dropped)
	}
	for i, n := range b.Bad {
		if n != 0 {
			e.stats.bad[i].Add(n)
		}
	}
	if e.stopping.Load() {
		in.packets = nil
		b.ARPs, b.Echoes = b.ARPs[:0], b.Echoes[:0]
		return in, nil
	}
	least := newcomer
	switch depth := e.queued.Load(); {
	case depth >= shedOrdinary:
		least = holder
	case depth >= shedNewcomers:
		least = ordinary
	}
	if least > newcomer {
		var dropped uint64
		in.packets, dropped = shed(in.packets, least)
		e.stats.shed.Add(dropped)
	}
	return in, nil
}
