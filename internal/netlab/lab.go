// Package netlab makes small private networks out of Linux network namespaces and
// runs real programs in them: DHCP servers, DHCP clients, test clients. Tests and
// the lab command use it.
//
// A Host is one machine: a network namespace and a mount namespace in which /etc,
// /run, /sys and the clients' directories are private, so that a client's script
// can rewrite resolv.conf without the real one being touched. A Switch is an
// Ethernet switch that joins hosts; it sees, records and can block every frame.
//
// Nothing has a name outside this process. Namespaces are held by threads and file
// descriptors of ours, and every program started is killed by the kernel when the
// thread that started it ends. So nothing is left over, even after a crash.
package netlab

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
)

// Lab is a set of hosts and switches that are taken down together. Its methods
// may be called by any goroutine.
type Lab struct {
	dir string
	own bool // dir was made by New

	mu    sync.Mutex
	hosts []*Host
	id    uint32 // makes the Ethernet addresses of labs differ
	nmac  uint32
}

var labs atomic.Uint32

// New makes an empty lab. Files of its hosts are kept in dir, which must exist; an
// empty dir stands for a new directory that Close removes. It needs the rights to
// make namespaces: root, or root of a user namespace.
func New(dir string) (*Lab, error) {
	l := &Lab{dir: dir, id: labs.Add(1)}
	if dir == "" {
		d, err := os.MkdirTemp("", "lessor-lab-")
		if err != nil {
			return nil, fmt.Errorf("make the lab's directory: %w", err)
		}
		l.dir, l.own = d, true
	}
	return l, nil
}

// Dir is the directory that holds the files of the lab's hosts.
func (l *Lab) Dir() string { return l.dir }

// Close kills every program of the lab, gives the namespaces back and removes the
// directory if New made it.
func (l *Lab) Close() error {
	l.mu.Lock()
	hosts := l.hosts
	l.hosts = nil
	l.mu.Unlock()
	errs := make([]error, len(hosts))
	var all sync.WaitGroup
	for i, h := range hosts { // at once: the kernel takes its time to end each program and its namespaces
		all.Go(func() { errs[i] = h.close() })
	}
	all.Wait()
	if l.own {
		errs = append(errs, os.RemoveAll(l.dir))
	}
	return errors.Join(errs...)
}

// Leave gives the lab up without taking it down: programs started with Stay go on
// when this process ends, and as long as they do, the namespaces they are in and
// the wires between these stay. Close does nothing afterwards.
func (l *Lab) Leave() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.hosts, l.own = nil, false
}

// Host makes a machine called name with a network namespace of its own, in which
// only the loopback interface exists.
func (l *Lab) Host(name string) (*Host, error) {
	h, err := newHost(name, filepath.Join(l.dir, name))
	if err != nil {
		return nil, fmt.Errorf("make host %s: %w", name, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.hosts = append(l.hosts, h)
	return h, nil
}

// nextMAC is a new locally administered address, in text form, unlike any other of this process.
func (l *Lab) nextMAC() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.nmac++
	return fmt.Sprintf("02:%02x:5e:%02x:%02x:%02x", l.nmac>>8&0xff, l.id>>8&0x7f, l.id&0xff, l.nmac&0xff)
}
