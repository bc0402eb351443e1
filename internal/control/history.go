package control

import (
	"context"
	"encoding/hex"
	"fmt"
	"sort"
	"strings"
	"time"

	"lessor/dhcp4"
	"lessor/internal/lease"
	"lessor/internal/store"
)

// Who is what a history is asked about: an address, or a client by its hardware
// address, its client identifier or its name.
type Who struct {
	Address  dhcp4.Addr
	HW       []byte
	ClientID []byte
	Name     string
}

// ParseWho reads what a person typed: 192.0.2.10, 02:00:5e:10:00:01, id/01:02:…, or
// anything else as a host name.
func ParseWho(s string) Who {
	if a, err := dhcp4.ParseAddr(s); err == nil {
		return Who{Address: a}
	}
	if id, ok := strings.CutPrefix(s, "id/"); ok {
		if b, err := parseHex(id); err == nil {
			return Who{ClientID: b}
		}
	}
	if b, err := parseHex(s); err == nil && len(b) == 6 {
		return Who{HW: b}
	}
	return Who{Name: s}
}

func parseHex(s string) ([]byte, error) {
	if !strings.ContainsAny(s, ":-") {
		return nil, fmt.Errorf("no separators")
	}
	return hex.DecodeString(strings.NewReplacer(":", "", "-", "").Replace(s))
}

// Span is the time that a history is asked about; zero values are no limit.
type Span struct{ From, To time.Time }

// maxHistory bounds what one question brings.
const maxHistory = 10000

// Walk calls yield for what each binding in memory or in a store is.
type Walk func(ctx context.Context, fn func(now lease.Instant, b *lease.Binding) error) error

// History asks h, newest first. A name is looked for in the bindings that walk
// yields, since the store finds possessions by address and identifier only.
func History(ctx context.Context, h store.History, walk Walk, who Who, span Span) ([]Possession, error) {
	var out []Possession
	seen := map[string]bool{}
	add := func(p *store.Possession) bool {
		o := FromPossession(p)
		key := fmt.Sprintf("%v|%v|%v|%v", o.Address, o.From, o.HWAddress, o.ClientID)
		if !seen[key] {
			seen[key] = true
			out = append(out, o)
		}
		return len(out) < maxHistory
	}
	switch {
	case who.Address != 0:
		err := h.HistoryByAddr(ctx, who.Address, span.From, span.To, add)
		return out, err
	case who.Name == "":
		err := h.HistoryByClient(ctx, who.HW, who.ClientID, span.From, span.To, add)
		return out, err
	}
	type client struct{ hw, id string }
	clients := map[client]bool{}
	err := walk(ctx, func(_ lease.Instant, b *lease.Binding) error {
		if strings.EqualFold(string(b.Hostname), who.Name) {
			clients[client{string(b.HW), string(b.ClientID)}] = true
		}
		return nil
	})
	for c := range clients {
		if err == nil {
			err = h.HistoryByClient(ctx, []byte(c.hw), []byte(c.id), span.From, span.To, add)
		}
	}
	sort.SliceStable(out, func(i, j int) bool { return out[i].From.After(out[j].From) })
	return out, err
}
