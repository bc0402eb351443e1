package clock

import (
	"errors"
	"fmt"
	"math"
	"os"

	"golang.org/x/sys/unix"
)

// Sleeper is a Clock that also knows when the machine slept. The machine's own clock
// is one.
type Sleeper interface {
	Clock

	// Suspended is how long the machine has been suspended since it was started, in
	// nanoseconds: CLOCK_BOOTTIME counts it and CLOCK_MONOTONIC does not. Two readings of the
	// same value differ by less than a millisecond.
	Suspended() int64

	// NewJumps returns what tells that the machine may have slept.
	NewJumps() (Jumps, error)
}

// Jumps tells when the wall clock was set and when the machine went on after a suspend:
// what a timer on CLOCK_BOOTTIME says only when it is due.
type Jumps interface {
	// C gets a value for some or all jumps since the last one.
	C() <-chan struct{}
	Close() error
}

// Suspended implements Sleeper.
func (c *bootClock) Suspended() int64 {
	var before, boot, after unix.Timespec
	for _, r := range []struct {
		id int32
		t  *unix.Timespec
	}{{unix.CLOCK_MONOTONIC, &before}, {unix.CLOCK_BOOTTIME, &boot}, {unix.CLOCK_MONOTONIC, &after}} {
		if err := unix.ClockGettime(r.id, r.t); err != nil {
			panic("clock_gettime: " + err.Error()) // since Linux 2.6.39 it cannot fail
		}
	}
	return boot.Nano() - before.Nano() - (after.Nano()-before.Nano())/2
}

// NewJumps implements Sleeper with a timer on the wall clock that never rings by itself.
func (c *bootClock) NewJumps() (Jumps, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_REALTIME, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("creating a timer on CLOCK_REALTIME: %w", err)
	}
	spec := unix.ItimerSpec{Value: unix.NsecToTimespec(math.MaxInt64)}
	if err := unix.TimerfdSettime(fd, unix.TFD_TIMER_ABSTIME|unix.TFD_TIMER_CANCEL_ON_SET, &spec, nil); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("watching the wall clock: %w", err)
	}
	j := &jumps{file: os.NewFile(uintptr(fd), "timerfd"), c: make(chan struct{}, 1), done: make(chan struct{})}
	go j.wait()
	return j, nil
}

type jumps struct {
	file *os.File
	c    chan struct{}
	done chan struct{}
}

func (j *jumps) wait() {
	defer close(j.done)
	var count [8]byte
	for {
		if _, err := j.file.Read(count[:]); err != nil && !errors.Is(err, unix.ECANCELED) {
			return
		}
		select {
		case j.c <- struct{}{}:
		default:
		}
	}
}

func (j *jumps) C() <-chan struct{} { return j.c }

func (j *jumps) Close() error {
	err := j.file.Close()
	<-j.done
	return err
}
