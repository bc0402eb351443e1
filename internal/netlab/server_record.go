package netlab

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"
)

// Record is what a server knows of an address.
type Record struct {
	State string // one of the states below
	MAC   string // of the client, where the server keeps it: 02:00:5e:10:00:01
	Text  string // the server's own words
}

// The states of a Record. Servers that forget a lease that has ended know the
// address as free again.
const (
	RecordNone     = "none"     // nothing is known of it, or it is free
	RecordActive   = "active"   // leased
	RecordReleased = "released" // given back by its client
	RecordDeclined = "declined" // in use by another host, its client said
)

// Record reads what the server has stored of the address. dnsmasq and
// systemd-networkd do not store that an address was declined or released; of these
// the log is read, where systemd-networkd names no address: its word is that of its last client.
func (s *Server) Record(addr netip.Addr) (Record, error) {
	switch s.Kind {
	case Kea:
		return s.keaRecord(addr)
	case Dhcpd:
		return s.dhcpdRecord(addr)
	case Dnsmasq:
		return s.dnsmasqRecord(addr)
	case NetworkdServer:
		return s.networkdRecord(), nil
	case LessorServer:
		return s.lessorRecord(addr)
	}
	return Record{}, fmt.Errorf("no DHCP server is called %q", s.Kind)
}

// AwaitRecord waits until the server has stored that the address is in the state.
func (s *Server) AwaitRecord(addr netip.Addr, state string, timeout time.Duration) (Record, error) {
	for end := time.Now().Add(timeout); ; time.Sleep(20 * time.Millisecond) {
		r, err := s.Record(addr)
		if err != nil || r.State == state {
			return r, err
		}
		if time.Now().After(end) {
			return r, fmt.Errorf("after %s the record of %s for %s is %s (%s), want %s", timeout, s.Kind, addr, r.State, r.Text, state)
		}
	}
}

// lastLine is the last line of text for which ok says yes, without a line that is
// still being written.
func lastLine(text string, ok func(string) bool) string {
	last := ""
	for line := range strings.Lines(text) {
		if strings.HasSuffix(line, "\n") && ok(line) {
			last = strings.TrimSpace(line)
		}
	}
	return last
}

// keaRecord reads the memfile, to which Kea appends a line for each change: address,
// hwaddr, client_id, valid_lifetime, expire, subnet_id, fqdn_fwd, fqdn_rev, hostname, state, …
func (s *Server) keaRecord(addr netip.Addr) (Record, error) {
	b, err := os.ReadFile(s.file("leases"))
	if err != nil {
		return Record{}, err
	}
	line := lastLine(string(b), func(l string) bool { return strings.HasPrefix(l, addr.String()+",") })
	r := Record{State: RecordNone, Text: line}
	f := strings.Split(line, ",")
	if len(f) < 10 {
		return r, nil
	}
	r.MAC = f[1]
	switch {
	case f[9] == "1":
		r.State = RecordDeclined
	case f[9] == "0" && f[3] != "0":
		r.State = RecordActive
	case f[3] == "0": // removed; it removes what is released, and reclaims what has expired
		r.State = RecordReleased
	}
	return r, nil
}

// dhcpdRecord reads dhcpd.leases, to which dhcpd appends a block for each change.
func (s *Server) dhcpdRecord(addr netip.Addr) (Record, error) {
	b, err := os.ReadFile(s.file("leases"))
	if err != nil {
		return Record{}, err
	}
	r := Record{State: RecordNone}
	text := string(b)
	i := strings.LastIndex(text, "lease "+addr.String()+" {")
	if i < 0 {
		return r, nil
	}
	r.Text, _, _ = strings.Cut(text[i:], "\n}")
	for line := range strings.Lines(r.Text) {
		switch f := strings.Fields(strings.Trim(line, " \n;")); {
		case len(f) == 3 && f[0] == "binding":
			r.State = map[string]string{"active": RecordActive, "abandoned": RecordDeclined, "free": RecordReleased}[f[2]]
		case len(f) == 3 && f[0] == "hardware":
			r.MAC = f[2]
		}
	}
	// A lease whose end has passed is free as well, and lies in the past.
	if r.State == RecordReleased && !strings.Contains(s.Log(), "DHCPRELEASE of "+addr.String()+" ") {
		r.State = RecordNone
	}
	return r, nil
}

// dnsmasqRecord reads the lease file, in which dnsmasq keeps living leases only (end, MAC,
// address, …), and the log.
func (s *Server) dnsmasqRecord(addr netip.Addr) (Record, error) {
	b, err := os.ReadFile(s.file("leases"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return Record{}, err
	}
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) > 2 && f[2] == addr.String() {
			return Record{State: RecordActive, MAC: f[1], Text: strings.TrimSpace(line)}, nil
		}
	}
	words := map[string]string{"DHCPDECLINE(": RecordDeclined, "DHCPRELEASE(": RecordReleased}
	return s.lastWord(words, func(l string) bool { return slices.Contains(strings.Fields(l), addr.String()) }), nil
}

func (s *Server) networkdRecord() Record {
	return s.lastWord(map[string]string{"DHCPv4 server: ACK ": RecordActive, "DHCPv4 server: RELEASE ": RecordReleased,
		"DHCPv4 server: DECLINE ": RecordDeclined}, func(string) bool { return true })
}

// lastWord is the state by the last line of the log that has one of the words.
func (s *Server) lastWord(words map[string]string, of func(string) bool) Record {
	r := Record{State: RecordNone}
	lastLine(s.Log(), func(l string) bool {
		for word, state := range words {
			if strings.Contains(l, word) && of(l) {
				r = Record{State: state, Text: strings.TrimSpace(l)}
			}
		}
		return false
	})
	return r
}

// lessorRecord asks the running server.
func (s *Server) lessorRecord(addr netip.Addr) (Record, error) {
	var out, errs bytes.Buffer
	cmd := exec.Command(s.Program, "leases", "--state", "all", "-o", "jsonl", "--connect", s.control())
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := s.Host.Do(cmd.Start)
	if err == nil {
		err = cmd.Wait()
	}
	if err != nil {
		return Record{}, fmt.Errorf("lessor leases: %w: %s", err, errs.String())
	}
	r := Record{State: RecordNone}
	for line := range strings.Lines(out.String()) {
		var l struct {
			Address, State string
			MAC            string `json:"hw-address"`
		}
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			return r, fmt.Errorf("lessor leases wrote %q: %w", line, err)
		}
		if l.Address == addr.String() {
			r = Record{State: l.State, MAC: l.MAC, Text: strings.TrimSpace(line)}
		}
	}
	return r, nil
}
