package link

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// holder finds who has a UDP socket on the port: sockets from /proc/net/udp of this
// network namespace, their owners from the file descriptors of all processes, as
// far as they may be read. Another process is preferred to this one, since
// /proc does not tell on which interface a socket is.
func holder(port int) (name string, pid int) {
	f, err := os.Open("/proc/thread-self/net/udp")
	if err != nil {
		return "", 0
	}
	defer f.Close()
	inodes := socketsOn(f, port)
	if len(inodes) == 0 {
		return "", 0
	}
	fds, err := filepath.Glob("/proc/[0-9]*/fd/*")
	if err != nil {
		return "", 0
	}
	for _, fd := range fds {
		target, err := os.Readlink(fd)
		if err != nil || !inodes[target] {
			continue // not readable, gone, or another file
		}
		owner, err := strconv.Atoi(strings.Split(fd, "/")[2])
		if err != nil || owner == os.Getpid() && pid != 0 {
			continue
		}
		pid = owner
		if pid != os.Getpid() {
			break
		}
	}
	if pid == 0 {
		return "", 0
	}
	comm, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	if err != nil {
		return "a program", pid
	}
	return printable(strings.TrimSpace(string(comm))), pid
}

// socketsOn reads the table of UDP sockets and returns those bound to the port, as
// the targets of their file descriptors.
func socketsOn(table io.Reader, port int) map[string]bool {
	suffix := fmt.Sprintf(":%04X", port)
	found := map[string]bool{}
	for s := bufio.NewScanner(table); s.Scan(); {
		f := strings.Fields(s.Text())
		if len(f) > 9 && strings.HasSuffix(f[1], suffix) {
			found["socket:["+f[9]+"]"] = true
		}
	}
	return found
}

// printable is a process name as it can be shown: a process chooses its own.
func printable(name string) string {
	q := strconv.QuoteToASCII(name)
	if q == `"`+name+`"` {
		return name
	}
	return q
}
