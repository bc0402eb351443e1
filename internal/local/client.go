package local

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"syscall"
)

// Errors of a Client that a caller tells apart; a *Problem is what the daemon said.
var (
	ErrNobody   = errors.New("nobody listens on the socket")
	ErrNoAccess = errors.New("no access to the socket")
)

// Client asks the daemon behind a socket.
type Client struct {
	path string
	http http.Client
}

// NewClient returns a client of the socket path. It does not connect yet.
func NewClient(path string) *Client {
	c := &Client{path: path}
	c.http.Transport = &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", path)
	}}
	return c
}

// Path is the socket.
func (c *Client) Path() string { return c.path }

// Close ends the client's connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Do asks one question; the caller closes the body.
func (c *Client) Do(ctx context.Context, method, path string, query url.Values) (io.ReadCloser, error) {
	u := url.URL{Scheme: "http", Host: "lessor", Path: path, RawQuery: query.Encode()}
	req, err := http.NewRequestWithContext(ctx, method, u.String(), nil)
	if err != nil {
		return nil, err
	}
	resp, err := c.http.Do(req)
	switch {
	case errors.Is(err, os.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return nil, fmt.Errorf("%w (%s)", ErrNobody, c.path)
	case errors.Is(err, os.ErrPermission):
		return nil, fmt.Errorf("%w %s", ErrNoAccess, c.path)
	case err != nil:
		return nil, fmt.Errorf("asking on %s: %w", c.path, errors.Unwrap(err))
	case resp.StatusCode == http.StatusOK:
		return resp.Body, nil
	}
	defer resp.Body.Close()
	p := &Problem{}
	if err := json.NewDecoder(io.LimitReader(resp.Body, MaxBody)).Decode(p); err != nil || p.Text == "" {
		if p.Text = resp.Status; resp.StatusCode == http.StatusNotFound {
			p.Text = fmt.Sprintf("what listens on %s does not know the question: it is another program, or another version", c.path)
		}
	}
	p.Code = resp.StatusCode
	return nil, p
}

// Get asks one question and reads its answer, one JSON value.
func (c *Client) Get(ctx context.Context, method, path string, query url.Values, into any) error {
	body, err := c.Do(ctx, method, path, query)
	if err != nil {
		return err
	}
	defer body.Close()
	return json.NewDecoder(body).Decode(into)
}
