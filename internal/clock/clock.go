// Package clock is where time comes from: the boot clock, which never steps and
// counts suspend, the wall clock, the boot id, and alarms on the boot clock.
package clock

import (
	"encoding/hex"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"lessor/internal/lease"
)

// Clock is the only place time comes from. The program uses the machine's; tests
// inject one of their own, and no test ever sets the machine's clock.
type Clock interface {
	// Now reads both clocks. It is safe for concurrent use.
	Now() lease.Instant
	// BootID says within which boot the values of M compare.
	BootID() lease.BootID
	// NewAlarm returns an alarm that is not set.
	NewAlarm() (Alarm, error)
}

// Alarm wakes one goroutine at a point of CLOCK_BOOTTIME. Set and Close are
// called by one goroutine.
type Alarm interface {
	// Set replaces the time at which C gets a value; a time that is past gives one at
	// once, math.MaxInt64 none. A value of an earlier setting may still come.
	Set(at int64)
	C() <-chan struct{}
	Close() error
}

// bootClock is the machine's clock.
type bootClock struct{ boot lease.BootID }

// New returns the machine's clock: CLOCK_BOOTTIME, which counts suspend and
// which Go's own timers do not follow, and the wall clock.
func New() (Clock, error) {
	text, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return nil, fmt.Errorf("reading the kernel's boot id: %w", err)
	}
	c := &bootClock{}
	raw, err := hex.DecodeString(strings.ReplaceAll(strings.TrimSpace(string(text)), "-", ""))
	if err != nil || copy(c.boot[:], raw) != len(c.boot) {
		return nil, fmt.Errorf("the kernel's boot id %q is not a UUID", text)
	}
	return c, nil
}

func (c *bootClock) Now() lease.Instant {
	var m, w unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &m); err != nil {
		panic("clock_gettime(CLOCK_BOOTTIME): " + err.Error()) // since Linux 2.6.39 it cannot fail
	}
	if err := unix.ClockGettime(unix.CLOCK_REALTIME, &w); err != nil {
		panic("clock_gettime(CLOCK_REALTIME): " + err.Error())
	}
	return lease.Instant{M: m.Nano(), W: w.Nano()}
}

func (c *bootClock) BootID() lease.BootID { return c.boot }

// timerfd is an alarm that also rings during and after suspend.
type timerfd struct {
	fd   int
	file *os.File
	c    chan struct{}
	done chan struct{}
}

func (c *bootClock) NewAlarm() (Alarm, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_BOOTTIME, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("creating a timer on CLOCK_BOOTTIME: %w", err)
	}
	// The file is non-blocking, so that the runtime's poller waits for it, not a thread.
	t := &timerfd{fd: fd, file: os.NewFile(uintptr(fd), "timerfd"), c: make(chan struct{}, 1), done: make(chan struct{})}
	go t.wait()
	return t, nil
}

func (t *timerfd) wait() {
	defer close(t.done)
	var count [8]byte
	for {
		if _, err := t.file.Read(count[:]); err != nil {
			return
		}
		select {
		case t.c <- struct{}{}:
		default:
		}
	}
}

func (t *timerfd) Set(at int64) {
	var spec unix.ItimerSpec
	if at != lease.Never {
		spec.Value = unix.NsecToTimespec(max(at, 1)) // zero would disarm it
	}
	if err := unix.TimerfdSettime(t.fd, unix.TFD_TIMER_ABSTIME, &spec, nil); err != nil {
		panic("timerfd_settime: " + err.Error()) // only a closed or foreign descriptor can bring it about
	}
}

func (t *timerfd) C() <-chan struct{} { return t.c }

func (t *timerfd) Close() error {
	err := t.file.Close()
	<-t.done
	return err
}
