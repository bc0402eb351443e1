package run

import (
	"context"
	"errors"
	"fmt"
	"os"

	"lessor/internal/client"
	"lessor/internal/client/setup"
	"lessor/internal/link"
)

// Process is one run of "lessor client". The command line makes it from the same
// flags in two processes and calls Main in both: in the one that the user started, the
// parent, which keeps the privileges, and in the worker, which Main starts from the
// same program with the same arguments and which reads packets. The fields say whose
// they are; the other process does not look at them.
type Process struct {
	Interface string // both

	// The parent's.
	Setup   setup.Options
	Control string // path of the control socket, "" for none
	// Applied is called after c was put on the interface, and with nil after everything was
	// taken off: for sd_notify, which systemd takes from the parent only. It may be nil.
	Applied func(c *setup.Config)

	// The worker's.
	Client client.Config
	Once   bool // end after the first address, and leave it on the interface
	// Report is called by the runner's goroutine with everything that happens. It must not
	// block for long; what it is given is its own. The worker writes to the standard output
	// and error output of the parent, but opens no file: what it needs from files (time zone,
	// machine-id) it reads before Main.
	Report func(*Report)
	// Instead is done in place of running a client, if it is not nil: --dry-run. net opens the
	// one interface and no other.
	Instead func(ctx context.Context, net link.ClientNet) error
}

// IsWorker reports whether this process is the worker.
func IsWorker() bool { return os.Getenv(workerMark) != "" }

// Main runs the client until ctx ends, an address is there (Once), a user's "stop" comes over the
// control socket, or something fails that waiting does not help. When it returns, the
// interface is as it was before, except after a Once that succeeded.
//
// In the worker the error is what failed, to be printed there, and the exit code chosen from
// it becomes the parent's: ErrNotBound, link.PortTakenError, link.PrivilegeError and what
// Instead returned are for errors.Is and errors.As; nil after a stop by ctx. In the parent it
// is nil when the worker ended with code 0, an *Exit when it ended with another, and else
// what is wrong in the parent itself: ErrControlInUse, or what setup.Open said. The parent
// catches no signals: ctx has to end with SIGINT and SIGTERM, in both processes.
func Main(ctx context.Context, p *Process) error {
	if IsWorker() {
		return work(ctx, p)
	}
	return serve(ctx, p)
}

// workerMark is the environment variable that makes a process the worker.
const workerMark = "LESSOR_CLIENT_WORKER"

// ErrNotBound is what a Once that was ended before it had an address returns.
var ErrNotBound = errors.New("no address was obtained")

// ErrControlInUse is wrapped by Main's error when another client of the interface listens on
// the control socket.
var ErrControlInUse = errors.New("the control socket belongs to a running client")

// Exit is the parent's error when the worker ended with a code other than 0; the worker has
// said why, so that there is nothing to print.
type Exit struct{ Code int }

// Error names the code.
func (e *Exit) Error() string { return fmt.Sprintf("exit code %d", e.Code) }
