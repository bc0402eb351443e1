package tracefile

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"strconv"

	"lessor/dhcp4"
	"lessor/internal/lease"
	"lessor/internal/pool"
	"lessor/internal/server"
	"lessor/internal/store"
	"lessor/internal/wire"
)

// Octets are octets in hexadecimal.
type Octets []byte

// MarshalText implements encoding.TextMarshaler.
func (o Octets) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, o), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (o *Octets) UnmarshalText(b []byte) error {
	v, err := hex.DecodeString(string(b))
	if err != nil {
		return fmt.Errorf("%.40q is not hexadecimal", b)
	}
	if len(v) == 0 {
		v = nil
	}
	*o = v
	return nil
}

// mac is an Ethernet address, as in 02:00:5e:10:00:01.
type mac wire.MAC

func (m mac) MarshalText() ([]byte, error) {
	b := make([]byte, 0, 17)
	for i, o := range m {
		if i > 0 {
			b = append(b, ':')
		}
		b = hex.AppendEncode(b, []byte{o})
	}
	return b, nil
}

func (m *mac) UnmarshalText(b []byte) error {
	v, err := hex.DecodeString(string(bytes.ReplaceAll(b, []byte(":"), nil)))
	if err != nil || len(v) != len(m) {
		return fmt.Errorf("%.40q is not an Ethernet address", b)
	}
	copy(m[:], v)
	return nil
}

// names are the words of a numbered list, by number; "" is none. What has no word is
// written as its number, so that everything can be written and read back.
type names []string

func (n names) of(i int) string {
	if i >= 0 && i < len(n) && (n[i] != "" || i == 0) {
		return n[i]
	}
	return strconv.Itoa(i)
}

func (n names) number(what, word string) (int, error) {
	for i, w := range n {
		if w == word && (w != "" || i == 0) {
			return i, nil
		}
	}
	if i, err := strconv.ParseUint(word, 10, 8); err == nil {
		return int(i), nil
	}
	return 0, fmt.Errorf("no %s is called %.40q", what, word)
}

var (
	stateNames   = names{"", lease.Bound: "bound", lease.Released: "released", lease.Declined: "declined"}
	outcomeNames = names{"", store.Durable: "durable", store.Refused: "refused", store.Failed: "failed"}
	eventNames   = names{"", server.EventDrop: "drop", server.EventBound: "bound", server.EventRenewed: "renewed",
		server.EventReleased: "released", server.EventDeclined: "declined", server.EventConflict: "conflict",
		server.EventNak: "nak", server.EventExpired: "expired", server.EventAlarm: "alarm"}
	messageNames = func() names {
		n := names{""}
		for t := dhcp4.Discover; t <= dhcp4.Inform; t++ {
			n = append(n, t.String())
		}
		return n
	}()
	reasonNames = func() names {
		n := make(names, server.NumReasons)
		for r := range n {
			n[r] = server.Reason(r).String()
		}
		return n
	}()
	poolNames = func() names {
		n := make(names, pool.NumStates)
		for s := range n {
			n[s] = pool.State(s).String()
		}
		return n
	}()
)

// tally turns a table of numbers into one by name, without the zeros.
func (n names) tally(counts []uint64) map[string]uint64 {
	var out map[string]uint64
	for i, c := range counts {
		if c == 0 {
			continue
		}
		if out == nil {
			out = make(map[string]uint64)
		}
		word := n.of(i)
		if word == "" {
			word = "other"
		}
		out[word] = c
	}
	return out
}

// fill is the inverse of tally.
func (n names) fill(what string, counts []uint64, from map[string]uint64) error {
	for word, c := range from {
		i := 0
		if word != "other" {
			var err error
			if i, err = n.number(what, word); err != nil {
				return err
			}
		}
		if i >= len(counts) {
			return fmt.Errorf("no %s has the number %d", what, i)
		}
		counts[i] = c
	}
	return nil
}
