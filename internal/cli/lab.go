package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
)

const labLong = `Show the whole life of a lease, in a private network made of Linux namespaces: two
Lessor servers, a Lessor client and a printer on a switch. The client takes the first
of two offers, declines the address because the printer has it, gets another one,
renews it, rebinds it when its server cannot be reached alone, is refused and moves
when the pool changes, gives its address up when the lease ends without an answer,
and is served again from the store. Leases last 10 s. Every message and every state is
printed as it happens. It ends by itself in less than a minute.

Nothing outside is touched: the network has no way out, and the client sees a copy
of /etc. It needs nothing but this program, and runs as root, or in a user namespace
where the kernel allows that.`

// labInside is set in the environment of the process that runs as root of a user namespace.
const labInside = "LESSOR_LAB_INSIDE_USER_NAMESPACE"

func newLab(g *globals) *cobra.Command {
	var keep bool
	cmd := &cobra.Command{
		Use:     "lab",
		Short:   "See two servers and a client at work in a private network",
		Long:    labLong,
		Example: "  lessor lab\n  sudo lessor lab --keep",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if os.Geteuid() != 0 {
				return labInUserNamespace(cmd.Context())
			}
			return runLab(cmd.Context(), g, keep)
		},
	}
	cmd.Flags().BoolVar(&keep, "keep", false, "leave the network, its servers and its client running, and say how to enter it")
	return cmd
}

// labInUserNamespace runs the same command line again as root of a new user
// namespace, which may make network namespaces.
func labInUserNamespace(ctx context.Context) error {
	if os.Getenv(labInside) != "" {
		return exitf(ExitNoAccess, "the user namespace did not make this process root")
	}
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), labInside+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}},
	}
	if err := cmd.Start(); err != nil {
		return &ExitError{Code: ExitNoAccess, Err: fmt.Errorf("this user may not make a user namespace: %w", err),
			Hint: "Run it as root: sudo lessor lab"}
	}
	// Interrupt goes to both, as they share a process group; SIGTERM is passed on.
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM)
	defer signal.Stop(term)
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for {
		select {
		case <-term:
			_ = cmd.Process.Signal(syscall.SIGTERM)
		case err := <-ended:
			var exit *exec.ExitError
			if errors.As(err, &exit) && exit.ExitCode() > 0 {
				return &ExitError{Code: exit.ExitCode()} // it has said why
			}
			return err
		}
	}
}
