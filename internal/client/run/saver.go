package run

import (
	"fmt"
	"sync"
	"time"
)

// saver writes the lease file beside all else that the parent does: a sync that a busy or dying
// disk keeps for seconds must not keep the address on the interface past its end. Only the
// newest text counts. What cannot be written is tried again until there is a newer one, with
// growing pauses, and a person is told once for each reason.
type saver struct {
	mu      sync.Mutex
	next    []byte
	waiting bool          // next is to be written
	ending  bool          // what fails now is not tried again
	hurry   chan struct{} // closed when there is something newer, or the end
	idle    chan struct{} // closed when nothing is being written; nil: nothing ever was
}

// put has b written soon, by write; b is kept. warn is told what is wrong. Both are called by
// another goroutine, and are the same at each call.
func (s *saver) put(b []byte, write func([]byte) error, warn func(string)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.next, s.waiting = b, true
	if s.idle == nil {
		s.hurry, s.idle = make(chan struct{}), make(chan struct{})
		go s.run(s.idle, write, warn)
		return
	}
	s.wake()
}

// wake ends a pause. The caller holds mu.
func (s *saver) wake() {
	close(s.hurry)
	s.hurry = make(chan struct{})
}

// run writes until there is nothing to write.
func (s *saver) run(idle chan struct{}, write func([]byte) error, warn func(string)) {
	defer close(idle)
	pause, told := time.Duration(retryFirst), ""
	for {
		s.mu.Lock()
		if !s.waiting {
			s.idle = nil
			s.mu.Unlock()
			return
		}
		b := s.next
		s.waiting = false
		s.mu.Unlock()

		err := write(b)
		if err == nil {
			pause, told = time.Duration(retryFirst), ""
			continue
		}
		if text := err.Error(); text != told {
			told = text
			warn(fmt.Sprintf("the lease file cannot be written: %v; after a restart the client may get another address. Trying again", err))
		}
		s.mu.Lock()
		hurry, ending := s.hurry, s.ending
		if !s.waiting && !ending {
			s.next, s.waiting = b, true
		}
		s.mu.Unlock()
		if ending {
			continue
		}
		select {
		case <-hurry:
		case <-time.After(pause):
		}
		pause = min(2*pause, time.Duration(retryMost))
	}
}

// close waits until what was put is written, or cannot be.
func (s *saver) close() {
	s.mu.Lock()
	s.ending = true
	idle := s.idle
	if idle != nil {
		s.wake()
	}
	s.mu.Unlock()
	if idle != nil {
		<-idle
	}
}
