package run

import (
	"context"
	"errors"
)

// Errors of Ask, Watch and Command that a caller tells apart.
var (
	ErrNoClient = errors.New("no client is running") // nobody listens on the socket
	ErrNoAccess = errors.New("no access to the client's control socket")
	ErrRefused  = errors.New("refused by the client") // its state does not allow it
)

// Ask asks the client behind the control socket path how it is.
func Ask(ctx context.Context, path string) (*Status, error) { return nil, ErrNoClient }

// Watch calls fn for everything that happens to the client behind the control socket
// path, until ctx or the client ends (nil) or fn returns an error, which it returns.
func Watch(ctx context.Context, path string, fn func(*Line) error) error { return ErrNoClient }

// Command tells the client behind the control socket path to do what: renew, rebind,
// release or stop. It returns the status then: for stop when the address is off
// the interface and the client about to end, for the others without waiting for an answer from
// a server, which Watch shows.
func Command(ctx context.Context, path, what string) (*Status, error) { return nil, ErrNoClient }
