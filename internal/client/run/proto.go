package run

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"lessor/internal/client/setup"
	"lessor/internal/link"
	"lessor/internal/wire"
)

// maxMessage bounds a message between parent and worker: a lease file in base64 and its
// envelope. It also stays below what a socket takes at once whose buffer has its usual size.
const maxMessage = 192 << 10

// maxFiles bounds the descriptors that come with one message.
const maxFiles = 8

// Operations that the worker may ask for. Each takes the one field of a request that it
// needs, and no other.
const (
	opUp    = "up"    // set the interface up
	opOpen  = "open"  // Link: open the sockets; they come with the answer
	opApply = "apply" // Config: put it on the interface
	opClear = "clear" // take everything off the interface
	opRead  = "read"  // the lease file comes with the answer
	opWrite = "write" // Leases: replace the lease file
	opHook  = "hook"  // Hook: tell the hook program
	opLeave = "leave" // at the end, leave on the interface what is there
)

// request is what the worker asks for, one at a time.
type request struct {
	Op     string           `json:"op"`
	Link   wire.LinkID      `json:"link,omitempty"`
	Config *setup.Config    `json:"config,omitempty"`
	Leases []byte           `json:"leases,omitempty"`
	Hook   *setup.HookEvent `json:"hook,omitempty"`
}

// check refuses a request with fields that do not belong to its operation.
func (q *request) check() error {
	has := map[string]bool{opOpen: q.Link != 0, opApply: q.Config != nil, opWrite: q.Leases != nil, opHook: q.Hook != nil}
	for op, there := range has {
		if there != (op == q.Op) {
			return fmt.Errorf("a request %.20q whose fields do not belong to it", q.Op)
		}
	}
	switch q.Op {
	case opUp, opOpen, opApply, opClear, opRead, opWrite, opHook, opLeave:
		return nil
	}
	return fmt.Errorf("a request %.20q that does not exist", q.Op)
}

// message is what the parent sends: the answer to a request, or something unasked.
type message struct {
	Hello  *hello     `json:"hello,omitempty"` // unasked, the first message
	Stop   bool       `json:"stop,omitempty"`  // unasked: end as after SIGTERM
	Note   string     `json:"note,omitempty"`  // unasked: something to tell the user
	Error  *failure   `json:"error,omitempty"`
	Link   *wire.Link `json:"link,omitempty"` // opOpen: what the sockets were opened for
	Leases []byte     `json:"leases,omitempty"`
}

// asked reports whether m answers a request.
func (m *message) asked() bool { return m.Hello == nil && !m.Stop && m.Note == "" }

// hello is what a worker is told first.
type hello struct {
	UID     int  `json:"uid"`     // of the parent: who may use the control socket
	Control bool `json:"control"` // the control socket is there, as descriptor controlFD
}

// failure is an error on its way between processes: the ones that the runner tells apart
// keep their type.
type failure struct {
	Text   string `json:"text"`
	Kind   string `json:"kind,omitempty"` // down, taken, privilege
	Link   string `json:"link,omitempty"`
	Holder string `json:"holder,omitempty"`
	PID    int    `json:"pid,omitempty"`
	File   string `json:"file,omitempty"`
	Port   uint16 `json:"port,omitempty"`
}

func newFailure(err error) *failure {
	if err == nil {
		return nil
	}
	f := &failure{Text: err.Error()}
	if e, ok := errors.AsType[*link.PortTakenError](err); ok {
		f.Kind, f.Link, f.Holder, f.PID, f.Port = "taken", e.Link, e.Holder, e.PID, e.Port
		return f
	}
	if e, ok := errors.AsType[*link.PrivilegeError](err); ok {
		f.Kind, f.File, f.Port = "privilege", e.File, e.Port
		if e.Err != nil {
			f.Text = e.Err.Error()
		}
		return f
	}
	if errors.Is(err, link.ErrDown) {
		f.Kind = "down"
	}
	return f
}

// err is the error that f was made of, as far as anybody looks.
func (f *failure) err() error {
	if f == nil {
		return nil
	}
	plain := errors.New(f.Text)
	switch f.Kind {
	case "taken":
		return &link.PortTakenError{Port: f.Port, Link: f.Link, Holder: f.Holder, PID: f.PID, Err: plain}
	case "privilege":
		return &link.PrivilegeError{File: f.File, Port: f.Port, Err: plain}
	case "down":
		return &downError{plain}
	}
	return plain
}

// downError is link.ErrDown with the text of the parent.
type downError struct{ error }

func (d *downError) Is(target error) bool { return target == link.ErrDown }

// pipe is one end of the socket pair. One goroutine reads; any may write.
type pipe struct {
	conn *net.UnixConn
	buf  []byte // of the reader
	oob  []byte // nil: descriptors that come are closed by the kernel
	mu   sync.Mutex
}

// newPipe takes file, one end of a pair of SOCK_SEQPACKET sockets, over. files says whether
// descriptors are taken from the other side.
func newPipe(file *os.File, files bool) (*pipe, error) {
	c, err := net.FileConn(file)
	file.Close()
	if err != nil {
		return nil, fmt.Errorf("the socket between the parts of the client: %w", err)
	}
	conn, ok := c.(*net.UnixConn)
	if !ok {
		c.Close()
		return nil, errors.New("the socket between the parts of the client is no Unix socket")
	}
	p := &pipe{conn: conn, buf: make([]byte, maxMessage)}
	if files {
		p.oob = make([]byte, unix.CmsgSpace(4*maxFiles))
	}
	return p, nil
}

// write sends v and the descriptors.
func (p *pipe) write(v any, files ...*os.File) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if len(text) > maxMessage {
		return fmt.Errorf("a message of %d octets is too long", len(text))
	}
	var oob []byte
	if len(files) > 0 {
		fds := make([]int, len(files))
		for i, f := range files {
			fds[i] = int(f.Fd())
		}
		oob = unix.UnixRights(fds...)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	_, _, err = p.conn.WriteMsgUnix(text, oob, nil)
	return err
}

// read waits for one message and reads it into v, strictly: unknown fields, more than one
// value and truncated messages are refused. io.EOF says that the other side has ended.
func (p *pipe) read(v any) (files []*os.File, err error) {
	n, oobn, flags, _, err := p.conn.ReadMsgUnix(p.buf, p.oob)
	switch {
	case err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, unix.ECONNRESET):
		return nil, err
	case err != nil || n == 0:
		return nil, io.EOF
	}
	if oobn > 0 {
		if files, err = descriptors(p.oob[:oobn]); err != nil {
			return files, err
		}
	}
	if flags&unix.MSG_TRUNC != 0 || flags&unix.MSG_CTRUNC != 0 && p.oob != nil {
		return files, errors.New("a message that is too long")
	}
	d := json.NewDecoder(bytes.NewReader(p.buf[:n]))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return files, fmt.Errorf("a message that is not understood: %w", err)
	}
	if _, err := d.Token(); err != io.EOF {
		return files, errors.New("a message with something behind it")
	}
	return files, nil
}

// descriptors takes the files out of a control message. They do not survive an exec.
func descriptors(oob []byte) (files []*os.File, err error) {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil, err
	}
	for i := range messages {
		fds, err := unix.ParseUnixRights(&messages[i])
		if err != nil {
			continue // something else than descriptors
		}
		for _, fd := range fds {
			files = append(files, os.NewFile(uintptr(fd), "passed"))
		}
	}
	return files, nil
}

func closeFiles(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}
