package run

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"lessor/dhcp4"
	"lessor/internal/client"
	"lessor/internal/event"
	"lessor/internal/lease"
	"lessor/internal/wire"
)

// leaseFileVersion is the format of this file; another one is not read.
const leaseFileVersion = 1

// MaxLeaseFile bounds the lease file: MaxMemory leases with the longest ACK need less.
const MaxLeaseFile = 128 << 10

// leaseFile is the lease file. What is used again is the ACK, when it was asked for, and
// the network; the rest is for people.
type leaseFile struct {
	Version int           `json:"version"`
	BootID  string        `json:"boot-id"`      // within which boot the values of boottime compare
	Written time.Time     `json:"written"`      // wall clock
	Clock   int64         `json:"written-boot"` // CLOCK_BOOTTIME then, nanoseconds
	Leases  []leaseRecord `json:"leases"`
}

// leaseRecord is one client.Remembered.
type leaseRecord struct {
	Address   string     `json:"address"`           // for people
	Server    string     `json:"server"`            // for people
	Expires   *time.Time `json:"expires,omitempty"` // for people
	Obtained  time.Time  `json:"obtained"`          // wall clock at the first transmission of the REQUEST
	Start     int64      `json:"obtained-boot"`     // the same on CLOCK_BOOTTIME, of the boot that the file names
	Router    dhcp4.Addr `json:"router"`
	RouterMAC string     `json:"router-hw-address"`
	OwnMAC    string     `json:"hw-address"`
	ServerMAC string     `json:"server-hw-address"`
	Ended     bool       `json:"ended,omitempty"` // before the time that the ACK gives: it was given back
	ACK       []byte     `json:"ack"`
}

// EncodeLeases writes memory, whose points of time are of the boot called boot, as the text
// of a lease file.
func EncodeLeases(memory []client.Remembered, boot lease.BootID, now lease.Instant) []byte {
	f := leaseFile{Version: leaseFileVersion, BootID: hex.EncodeToString(boot[:]), Written: time.Unix(0, now.W).UTC(), Clock: now.M,
		Leases: []leaseRecord{}}
	for i := range memory[:min(len(memory), client.MaxMemory)] {
		m := &memory[i]
		r := leaseRecord{Address: m.Lease.Addr.String(), Server: m.Lease.Server.String(), Obtained: time.Unix(0, m.Lease.Obtained).UTC(),
			Start: m.Lease.Start, Router: m.Router, RouterMAC: macText(m.RouterMAC), OwnMAC: macText(m.OwnMAC),
			ServerMAC: macText(m.Lease.ServerMAC), Ended: m.Lease.End < after(m.Lease.Start, m.Lease.Lifetime), ACK: m.Lease.ACK}
		if m.Lease.End != never {
			at := time.Unix(0, now.W+m.Lease.End-now.M).UTC().Truncate(time.Second)
			r.Expires = &at
		}
		f.Leases = append(f.Leases, r)
	}
	text, err := json.MarshalIndent(&f, "", "  ")
	if err != nil {
		panic(err) // there is nothing in it that JSON cannot express
	}
	return append(text, '\n')
}

func macText(m wire.MAC) string { return net.HardwareAddr(m[:]).String() }

func parseMAC(s string) (m wire.MAC, err error) {
	hw, err := net.ParseMAC(s)
	if err == nil && len(hw) != len(m) {
		err = errors.New("it has not six octets")
	}
	copy(m[:], hw)
	return m, err
}

// DecodeLeases reads the text of a lease file that c's client wrote: each ACK is decoded
// and checked as if it came from the network now, and points of time are made those of the
// boot called boot. What is damaged is left out and problem says so, in one sentence; it is
// "" when there is nothing to say.
func DecodeLeases(text []byte, c *client.Config, boot lease.BootID, now lease.Instant) (memory []client.Remembered, problem string) {
	if len(text) == 0 {
		return nil, ""
	}
	if len(text) > MaxLeaseFile {
		return nil, fmt.Sprintf("the lease file is not used: it has %d octets, and none of this program has more than %d", len(text), MaxLeaseFile)
	}
	f, records, err := splitLeases(text)
	if f.Version != leaseFileVersion {
		if err == nil {
			err = fmt.Errorf("its version is %d, and this program reads %d", f.Version, leaseFileVersion)
		}
		return nil, fmt.Sprintf("the lease file is not used: %v", err)
	}
	age := elapsed(f, boot, now)
	bad := 0
	for _, raw := range records {
		m, rerr := f.decode(raw, c, age, now)
		if rerr != nil {
			bad++
			err = errors.Join(err, rerr)
			continue
		}
		memory = append(memory, m)
	}
	if err != nil {
		first, _, _ := strings.Cut(err.Error(), "\n")
		problem = fmt.Sprintf("the lease file is damaged (%s): %d of its leases can be used", event.Text([]byte(first)), len(memory))
	}
	return memory, problem
}

// splitLeases reads what comes before the leases and cuts them into records, as far as
// the text is whole.
func splitLeases(text []byte) (f leaseFile, records []json.RawMessage, err error) {
	d := json.NewDecoder(bytes.NewReader(text))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return f, nil, errors.New("it is no JSON object")
	}
	into := map[string]any{"version": &f.Version, "boot-id": &f.BootID, "written": &f.Written, "written-boot": &f.Clock}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return f, nil, err
		}
		name, _ := key.(string)
		if name == "leases" {
			break
		}
		var skip json.RawMessage
		at, ok := into[name]
		if !ok {
			at = &skip
		}
		if err := d.Decode(at); err != nil {
			return f, nil, err
		}
	}
	if t, err := d.Token(); err != nil || t != json.Delim('[') {
		return f, nil, errors.New("it has no list of leases")
	}
	for d.More() {
		var r json.RawMessage
		if err := d.Decode(&r); err != nil {
			return f, records, err
		}
		if len(records) == client.MaxMemory {
			return f, records, fmt.Errorf("there are more than %d leases", client.MaxMemory)
		}
		records = append(records, r)
	}
	_, err = d.Token()
	return f, records, err
}

// elapsed is the time since the file was written, in nanoseconds; -1: nobody can tell.
// Within one boot CLOCK_BOOTTIME tells; after another the wall clock does, unless it is
// behind what it was.
func elapsed(f leaseFile, boot lease.BootID, now lease.Instant) int64 {
	if f.BootID == hex.EncodeToString(boot[:]) {
		return max(now.M-f.Clock, -1)
	}
	// A time that nanoseconds cannot express is as good as none.
	if f.Written.Year() < 1970 || f.Written.Year() > 2200 {
		return -1
	}
	return max(now.W-f.Written.UnixNano(), -1)
}

// decode reads one record. age is the time since the file was written.
func (f *leaseFile) decode(raw []byte, c *client.Config, age int64, now lease.Instant) (m client.Remembered, err error) {
	var r leaseRecord
	if err := json.Unmarshal(raw, &r); err != nil {
		return m, err
	}
	var errs [3]error
	m.Router = r.Router
	m.RouterMAC, errs[0] = parseMAC(r.RouterMAC)
	m.OwnMAC, errs[1] = parseMAC(r.OwnMAC)
	from, err := parseMAC(r.ServerMAC)
	errs[2] = err
	if err := errors.Join(errs[:]...); err != nil {
		return m, fmt.Errorf("a hardware address: %w", err)
	}
	var v dhcp4.View
	if len(r.ACK) > client.MaxACK {
		return m, errors.New("an ACK is too long")
	}
	if err := v.Parse(r.ACK); err != nil {
		return m, fmt.Errorf("an ACK: %w", err)
	}
	if v.MessageType() != dhcp4.Ack {
		return m, errors.New("a stored message is no ACK")
	}
	l, _, why := client.ReadLease(c, &v, from, nil)
	if why != client.None {
		return m, fmt.Errorf("an ACK: %s", why.Text())
	}
	f.times(&l, &r, age, now)
	m.Lease = l
	return m, nil
}

// times places lease l, whose T1 and T2 are seconds yet, on this boot's clock. Whatever the
// file says, a lease has no longer than the ACK gives from the time when it was asked
// for, and no longer than it had when the file was written.
func (f *leaseFile) times(l *client.Lease, r *leaseRecord, age int64, now lease.Instant) {
	l.Obtained = now.W
	if y := r.Obtained.Year(); y >= 1970 && y <= 2200 {
		l.Obtained = r.Obtained.UnixNano()
	}
	used := f.Clock - r.Start // of the lease, when the file was written
	if age < 0 || r.Start > f.Clock || used < 0 {
		used, age = int64(lease.Infinite)*second, 0 // nobody knows: it has ended
	}
	l.Start = now.M - min(used, int64(lease.Infinite)*second) - min(age, int64(lease.Infinite)*second)
	t1, t2 := uint32(l.T1), uint32(l.T2)
	l.T1, l.T2, l.End = after(l.Start, t1), after(l.Start, t2), after(l.Start, l.Lifetime)
	if r.Ended {
		l.T1, l.T2, l.End = min(l.T1, now.M), min(l.T2, now.M), min(l.End, now.M)
	}
}

// after is the point of time s seconds after t, never for lease.Infinite.
func after(t int64, s uint32) int64 {
	if s == lease.Infinite {
		return never
	}
	return lease.After(t, s)
}
