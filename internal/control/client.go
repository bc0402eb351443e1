package control

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"lessor/dhcp4"
	"lessor/internal/local"
)

// Errors of a Client that a caller tells apart.
var (
	ErrNoServer = errors.New("no server is running") // nobody listens on the socket
	ErrNoAccess = errors.New("no access to the control socket")
	ErrNotFound = errors.New("not found")
	ErrConflict = errors.New("refused by the server")
)

// Client asks the server behind a control socket.
type Client struct{ local *local.Client }

// NewClient returns a client of the socket path. It does not connect yet.
func NewClient(path string) *Client { return &Client{local.NewClient(path)} }

// Close ends the client's connections.
func (c *Client) Close() { c.local.Close() }

// do asks one question; the caller closes the body.
func (c *Client) do(ctx context.Context, method, path string, query url.Values) (io.ReadCloser, error) {
	body, err := c.local.Do(ctx, method, path, query)
	p, said := errors.AsType[*local.Problem](err)
	switch {
	case errors.Is(err, local.ErrNobody):
		return nil, fmt.Errorf("%w (nobody listens on %s)", ErrNoServer, c.local.Path())
	case errors.Is(err, local.ErrNoAccess):
		return nil, fmt.Errorf("%w %s: only the server's own user and root may ask it", ErrNoAccess, c.local.Path())
	case said && p.Code == http.StatusNotFound:
		return nil, &asked{p.Text, ErrNotFound}
	case said && p.Code == http.StatusConflict:
		return nil, &asked{p.Text, ErrConflict}
	}
	return body, err
}

// asked is an answer of the server that says what is wrong in its own words.
type asked struct {
	text string
	is   error
}

func (a *asked) Error() string { return a.text }
func (a *asked) Unwrap() error { return a.is }

func (c *Client) get(ctx context.Context, method, path string, query url.Values, into any) error {
	body, err := c.do(ctx, method, path, query)
	if err != nil {
		return err
	}
	defer body.Close()
	return json.NewDecoder(body).Decode(into)
}

// Leases calls fn for each chosen lease, in no order.
func (c *Client) Leases(ctx context.Context, f Filter, fn func(*Lease) error) error {
	q := url.Values{"part": f.Parts}
	if f.Subnet != "" {
		q.Set("subnet", f.Subnet)
	}
	if f.State != "" {
		q.Set("state", f.State)
	}
	body, err := c.do(ctx, http.MethodGet, "/v1/leases", q)
	if err != nil {
		return err
	}
	defer body.Close()
	lines := bufio.NewScanner(body)
	lines.Buffer(nil, local.MaxBody)
	for lines.Scan() {
		var l Lease
		if bytes.HasPrefix(lines.Bytes(), []byte(`{"error"`)) {
			var p local.Problem
			if err := json.Unmarshal(lines.Bytes(), &p); err != nil {
				return err
			}
			return errors.New(p.Text)
		}
		if err := json.Unmarshal(lines.Bytes(), &l); err != nil {
			return err
		}
		if err := fn(&l); err != nil {
			return err
		}
	}
	return lines.Err()
}

// Lease is the lease of one address; ErrNotFound when there is none.
func (c *Client) Lease(ctx context.Context, a dhcp4.Addr) (l Lease, err error) {
	err = c.get(ctx, http.MethodGet, "/v1/leases/"+a.String(), nil, &l)
	return l, err
}

// Release ends a lease for the operator and returns what it is then.
func (c *Client) Release(ctx context.Context, a dhcp4.Addr, immediate bool) (l Lease, err error) {
	q := url.Values{}
	if immediate {
		q.Set("now", "true")
	}
	err = c.get(ctx, http.MethodPost, "/v1/leases/"+a.String()+"/release", q, &l)
	return l, err
}

// History asks who had an address when, newest first.
func (c *Client) History(ctx context.Context, who string, s Span) (list []Possession, err error) {
	q := url.Values{"who": {who}}
	if !s.From.IsZero() {
		q.Set("from", s.From.Format(time.RFC3339Nano))
	}
	if !s.To.IsZero() {
		q.Set("to", s.To.Format(time.RFC3339Nano))
	}
	err = c.get(ctx, http.MethodGet, "/v1/history", q, &list)
	return list, err
}

// Status asks how the server is.
func (c *Client) Status(ctx context.Context) (s Status, err error) {
	err = c.get(ctx, http.MethodGet, "/v1/status", nil, &s)
	return s, err
}

// Reloaded is the answer to a reload.
type Reloaded struct {
	Config string `json:"config"` // the file, or what stands for it
}

// Reload has the server read its configuration again. The error is ErrConflict when it
// refuses it and keeps the one it has.
func (c *Client) Reload(ctx context.Context) (r Reloaded, err error) {
	err = c.get(ctx, http.MethodPost, "/v1/reload", nil, &r)
	return r, err
}
