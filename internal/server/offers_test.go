package server

import (
	"testing"

	"pgregory.net/rapid"

	"lessor/dhcp4"
)

// TestOffersModel holds the table of offers to two maps and a list: identities and
// addresses whose searches begin at the same slot, in an index as small as can be.
func TestOffersModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := newOffers()
		for _, x := range []*offerIndex{&o.byAddr, &o.byID} {
			x.slots = make([]int32, 4)
		}
		type key struct {
			addr dhcp4.Addr
			id   identity
		}
		live := map[dhcp4.Addr]key{}
		newest := map[identity]dhcp4.Addr{}
		var order []key // oldest first; every offer, live or past
		now := int64(0)
		t.Repeat(map[string]func(*rapid.T){
			"add": func(t *rapid.T) {
				k := key{dhcp4.Addr(rapid.Uint32Range(0, 40).Draw(t, "addr")), identity{rapid.Uint64Range(0, 3).Draw(t, "home"), rapid.Uint64Range(0, 9).Draw(t, "rest")}}
				if _, taken := live[k.addr]; taken || k.addr == 0 {
					return
				}
				if of := o.ofID(k.id); of != nil && of.live {
					return
				}
				now++
				o.add(offer{addr: k.addr, id: k.id, made: now})
				live[k.addr], newest[k.id] = k, k.addr
				order = append(order, k)
			},
			"end": func(t *rapid.T) {
				if of := o.oldestLive(); of != nil && rapid.Bool().Draw(t, "really") {
					delete(live, of.addr)
					o.end(of)
				}
			},
			"forget": func(t *rapid.T) {
				if of := o.oldest(); of != nil && !of.live {
					if len(order) == 0 || order[0].addr != of.addr || order[0].id != of.id {
						t.Fatalf("the oldest is %v, want %v", of, order)
					}
					last := true
					for _, k := range order[1:] {
						last = last && k.id != of.id
					}
					if last {
						delete(newest, of.id)
					}
					order = order[1:]
					o.forget(of)
				}
			},
			"": func(t *rapid.T) {
				if o.len() != len(order) || o.byAddr.used != len(live) || o.byID.used != len(newest) {
					t.Fatalf("%d offers, %d live, %d identities; want %d, %d, %d", o.len(), o.byAddr.used, o.byID.used, len(order), len(live), len(newest))
				}
				for a, k := range live {
					if of := o.ofAddr(a); of == nil || of.id != k.id || !of.live {
						t.Fatalf("the live offer of %v is %v", a, of)
					}
				}
				for id, a := range newest {
					if of := o.ofID(id); of == nil || of.addr != a || of.id != id {
						t.Fatalf("the newest offer to %v is %v, want %v", id, of, a)
					}
				}
			},
		})
	})
}
