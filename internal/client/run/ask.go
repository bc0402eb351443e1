package run

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"lessor/internal/local"
)

// Errors of Ask, Watch and Command that a caller tells apart.
var (
	ErrNoClient = errors.New("no client is running") // nobody listens on the socket
	ErrNoAccess = errors.New("no access to the client's control socket")
	ErrRefused  = errors.New("refused by the client") // its state does not allow it
)

// Ask asks the client behind the control socket path how it is.
func Ask(ctx context.Context, path string) (*Status, error) {
	return question(ctx, path, http.MethodGet, "/v1/client")
}

// Command tells the client behind the control socket path to do what: renew, rebind,
// release or stop. It returns the status then: for stop when the address is off
// the interface and the client about to end, for the others without waiting for an answer from
// a server, which Watch shows.
func Command(ctx context.Context, path, what string) (*Status, error) {
	return question(ctx, path, http.MethodPost, "/v1/client/"+url.PathEscape(what))
}

func question(ctx context.Context, path, method, what string) (*Status, error) {
	c := local.NewClient(path)
	defer c.Close()
	s := &Status{}
	if err := c.Get(ctx, method, what, nil, s); err != nil {
		return nil, askError(path, err)
	}
	return s, nil
}

// Watch calls fn for everything that happens to the client behind the control socket
// path, until ctx or the client ends (nil) or fn returns an error, which it returns.
func Watch(ctx context.Context, path string, fn func(*Line) error) error {
	c := local.NewClient(path)
	defer c.Close()
	body, err := c.Do(ctx, http.MethodGet, "/v1/client/events", nil)
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return askError(path, err)
	}
	defer body.Close()
	lines := bufio.NewScanner(body)
	lines.Buffer(nil, local.MaxBody)
	for lines.Scan() {
		var l Line
		if err := json.Unmarshal(lines.Bytes(), &l); err != nil {
			return fmt.Errorf("the client on %s says what is no event: %w", path, err)
		}
		if err := fn(&l); err != nil {
			return err
		}
	}
	if err := lines.Err(); errors.Is(err, bufio.ErrTooLong) {
		return err
	}
	return nil // the client or the caller has ended
}

// askError is err in the words of a client.
func askError(path string, err error) error {
	p, said := errors.AsType[*local.Problem](err)
	switch {
	case errors.Is(err, local.ErrNobody):
		return fmt.Errorf("%w (nobody listens on %s)", ErrNoClient, path)
	case errors.Is(err, local.ErrNoAccess), said && p.Code == http.StatusForbidden:
		return fmt.Errorf("%w %s: only root and the user who started it may ask it", ErrNoAccess, path)
	case said && p.Code == http.StatusConflict:
		return fmt.Errorf("%w: %s", ErrRefused, strings.TrimPrefix(p.Text, ErrRefused.Error()+": "))
	}
	return err
}
