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

// PortTakenError says that another program holds port 67 on the interface.
type PortTakenError struct {
	Link   string // the interface's name
	Holder string // the program, "" when /proc does not tell
	PID    int    // its process, 0 when /proc does not tell
	Err    error  // what the kernel said
}

// Error says who holds the port and what to do.
func (e *PortTakenError) Error() string {
	if e.PID == 0 {
		return fmt.Sprintf("port %d on %s is used by another program (as root, ss -ulpn 'sport = :%d' names it): "+
			"stop it, or choose another interface", serverPort, e.Link, serverPort)
	}
	return fmt.Sprintf("port %d on %s is used by %s (pid %d): stop it, or choose another interface",
		serverPort, e.Link, e.Holder, e.PID)
}

// Unwrap returns what the kernel said.
func (e *PortTakenError) Unwrap() error { return e.Err }

// PrivilegeError says that the process may not open the sockets.
type PrivilegeError struct {
	File string // the program's file, to be given the capabilities
	Err  error  // what was attempted, and what the kernel said
}

// Error says what is needed and how to get it.
func (e *PrivilegeError) Error() string {
	return fmt.Sprintf("needs CAP_NET_RAW and CAP_NET_BIND_SERVICE: use the unit, or "+
		"sudo setcap cap_net_raw,cap_net_bind_service=+ep %s (%v)", e.File, e.Err)
}

// Unwrap returns what the kernel said.
func (e *PrivilegeError) Unwrap() error { return e.Err }

// privilege wraps err, naming the file that runs.
func privilege(err error) error {
	file, ferr := os.Executable()
	if ferr != nil {
		file = "FILE"
	}
	return &PrivilegeError{File: file, Err: err}
}
