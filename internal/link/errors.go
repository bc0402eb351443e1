package link

import (
	"errors"
	"fmt"
	"os"
)

// ErrDown is what Receive and Send return when the interface went down or away,
// and Open when it is not there any more.
var ErrDown = errors.New("the interface is down or gone")

// ErrTooLong is what Send wraps for a message that does not fit the MTU.
var ErrTooLong = errors.New("the message does not fit the interface's MTU")

// ErrFull is what Send wraps when the interface does not take what is queued.
var ErrFull = errors.New("the interface's transmit queue stays full")

// PortTakenError says that another program holds the port on the interface: another
// DHCP server port 67, another DHCP client port 68.
type PortTakenError struct {
	Port   uint16 // 67 or 68
	Link   string // the interface's name; "": the port was wanted on all of them
	Holder string // the program, "" when /proc does not tell
	PID    int    // its process, 0 when /proc does not tell
	Err    error  // what the kernel said
}

// Error says who holds the port and what to do.
func (e *PortTakenError) Error() string {
	who := fmt.Sprintf("%s (pid %d)", e.Holder, e.PID)
	if e.PID == 0 {
		who = fmt.Sprintf("another program (as root, ss -ulpn 'sport = :%d' names it)", e.Port)
	}
	if e.Link == "" {
		return fmt.Sprintf("port %d is used by %s: stop it", e.Port, who)
	}
	if e.Port == udpClient {
		who += ", so another DHCP client runs here"
	}
	return fmt.Sprintf("port %d on %s is used by %s: stop it, or choose another interface", e.Port, e.Link, who)
}

// Unwrap returns what the kernel said.
func (e *PortTakenError) Unwrap() error { return e.Err }

// PrivilegeError says that the process may not open the sockets.
type PrivilegeError struct {
	File string // the program's file, to be given the capabilities
	Port uint16 // 67 for a server's sockets, 68 for a client's
	Err  error  // what was attempted, and what the kernel said
}

// Error says what is needed and how to get it.
func (e *PrivilegeError) Error() string {
	if e.Port == udpClient {
		return fmt.Sprintf("needs CAP_NET_RAW and CAP_NET_BIND_SERVICE, and CAP_NET_ADMIN to configure the interface: "+
			"use the unit lessor-client@.service, or run it as root (%v)", e.Err)
	}
	return fmt.Sprintf("needs CAP_NET_RAW and CAP_NET_BIND_SERVICE: use the unit, or "+
		"sudo setcap cap_net_raw,cap_net_bind_service=+ep %s (%v)", e.File, e.Err)
}

// Unwrap returns what the kernel said.
func (e *PrivilegeError) Unwrap() error { return e.Err }

// privilege wraps err, naming the file that runs.
func privilege(port uint16, err error) error {
	file, ferr := os.Executable()
	if ferr != nil {
		file = "FILE"
	}
	return &PrivilegeError{File: file, Port: port, Err: err}
}
