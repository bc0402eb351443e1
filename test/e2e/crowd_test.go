package e2e

import (
	"math/rand/v2"
	"testing"
	"time"

	"lessor/dhcp4"
)

// The pool holds exactly 1,000 addresses.
const crowdConfig = `
interfaces: [eth0]
valid-lifetime: 1h
subnets:
  - {subnet: 198.18.0.0/22, pools: [198.18.0.10-198.18.3.241]}
`

// 1,000 clients start at once on a pool of exactly 1,000 addresses; 30 % of all
// frames are lost and 30 % arrive twice, each way. All are bound within 90 s, to
// 1,000 different addresses (L1, I1).
func TestThousandClientsOnThousandAddressesWithLoss(t *testing.T) {
	l := newLab(t)
	sh, ch := try(l.Host("server"))(t), try(l.Host("clients"))(t)
	check(t, l.Wire(sh, "eth0", ch, "eth0"))
	check(t, sh.AddAddr("eth0", "198.18.0.1/22"))
	srv := serve(t, sh, crowdConfig)
	st := try(NewStation(ch, "eth0"))(t)
	defer st.Close()

	const seed = 7
	crowd := &Crowd{Station: st, Retry: time.Second, Loss: 0.3, Copies: 0.3, First: 1, Rand: rand.New(rand.NewPCG(seed, seed))}
	bound, slowest, err := crowd.Run(1000, 90*time.Second)
	check(t, err)
	holders := map[dhcp4.Addr]int{}
	unbound := 0
	for i, a := range bound {
		if a == 0 {
			unbound++
			continue
		}
		if other, taken := holders[a]; taken {
			t.Errorf("clients %d and %d both have %s", other, i, a)
		}
		holders[a] = i
	}
	if unbound > 0 || len(holders) != 1000 {
		t.Errorf("%d clients have no address after 90 s; %d addresses are in use, want 1000", unbound, len(holders))
	}
	t.Logf("1,000 clients bound in %s: %d frames sent, %d OFFERs, %d ACKs, %d NAKs heard",
		slowest.Round(time.Millisecond), crowd.Sent, crowd.Offers, crowd.Acks, crowd.Naks)
	if err := srv.Stop(5 * time.Second); err != nil {
		t.Errorf("stop: %v", err)
	}
}
