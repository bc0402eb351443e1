package setup

import (
	"bufio"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// monitor is ip monitor on the host: every change of addresses and routes, in order.
type monitor struct {
	t   *testing.T
	cmd *exec.Cmd

	mu    sync.Mutex
	lines []string
}

func (b *bed) monitor() *monitor {
	b.t.Helper()
	m := &monitor{t: b.t, cmd: exec.Command("ip", "-4", "-oneline", "monitor", "address", "route")}
	m.cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}
	m.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: unix.SIGKILL}
	out, err := m.cmd.StdoutPipe()
	if err != nil {
		b.t.Fatal(err)
	}
	if err := b.Do(m.cmd.Start); err != nil {
		b.t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for s := bufio.NewScanner(out); s.Scan(); {
			m.mu.Lock()
			m.lines = append(m.lines, strings.Join(strings.Fields(s.Text()), " "))
			m.mu.Unlock()
		}
	}()
	b.t.Cleanup(func() {
		m.cmd.Process.Kill()
		<-ended
		m.cmd.Wait()
	})
	// It listens once it has seen this.
	for end := time.Now().Add(5 * time.Second); ; {
		b.ip("route add 203.0.113.99/32 dev lo")
		b.ip("route del 203.0.113.99/32 dev lo")
		if time.Sleep(10 * time.Millisecond); len(m.take(b)) > 0 {
			return m
		}
		if time.Now().After(end) {
			b.t.Fatal("ip monitor says nothing")
		}
	}
}

// take returns what has happened since the last call, without the kernel's own routes
// in the table of local addresses.
func (m *monitor) take(b *bed) []string {
	b.t.Helper()
	const mark = "203.0.113.98"
	b.ip("route add " + mark + "/32 dev lo")
	b.ip("route del " + mark + "/32 dev lo")
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) {
		m.mu.Lock()
		for i, l := range m.lines {
			if !strings.HasPrefix(l, "Deleted "+mark) {
				continue
			}
			var got []string
			for _, l := range m.lines[:i] {
				if !strings.Contains(l, mark) && !strings.Contains(l, "table local") {
					got = append(got, l)
				}
			}
			m.lines = m.lines[i+1:]
			m.mu.Unlock()
			return got
		}
		m.mu.Unlock()
		if time.Now().After(end) {
			return nil
		}
	}
}
