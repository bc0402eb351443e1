package e2e

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"lessor/dhcp4"
	"lessor/internal/wire"
)

// The set-ups of the examples are served as they stand: a host without a reservation
// gets an address of the pool, each reserved one its own, with its options.
func TestExamplesAreServed(t *testing.T) {
	stranger, printer := wire.MAC{2, 0, 0x5e, 0x20, 0, 1}, wire.MAC{2, 0, 0x5e, 0x10, 0, 1}
	nas := wire.MAC{2, 0, 0x5e, 0x10, 0, 2}
	for file, reserved := range map[string]map[wire.MAC]string{
		"1-lan.yaml":          {},
		"2-reservations.yaml": {printer: "192.0.2.10", nas: "192.0.2.11"},
		"lessor.yaml":         {printer: "192.0.2.10"},
	} {
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			l := newLab(t)
			sw := try(l.Switch("lan"))(t)
			h, c := try(l.Host("server"))(t), try(l.Host("clients"))(t)
			check(t, sw.Join(h, "eth0", "192.0.2.1/24"))
			check(t, sw.Join(c, "eth0"))
			record(t, sw)
			text := try(os.ReadFile(filepath.Join("..", "..", "examples", file)))(t)
			serve(t, h, string(text))
			st := try(NewStation(c, "eth0"))(t)
			defer st.Close()
			for mac, want := range reserved {
				got, err := st.Bind(mac, 0x100+uint32(mac[5]), 3*time.Second)
				if err != nil {
					t.Fatalf("%x: %v", mac, err)
				}
				if got.Addr != dhcp4.MustParseAddr(want) {
					t.Errorf("%x got %s, want its reserved %s", mac, got.Addr, want)
				}
			}
			if file == "2-reservations.yaml" { // the third host is known by its client identifier
				m := Discover(wire.MAC{2, 0, 0x5e, 0x20, 0, 3}, 0x300)
				m.ClientID = []byte{1, 2, 0, 0x5e, 0x10, 0, 3}
				f := try(st.Exchange(m, 3*time.Second))(t)
				if v, _ := f.View(); v.YIAddr() != dhcp4.MustParseAddr("192.0.2.12") {
					t.Errorf("the client identifier's host is offered %s, want 192.0.2.12", v.YIAddr())
				}
			}
			got, err := st.Bind(stranger, 0x200, 3*time.Second)
			if err != nil {
				t.Fatal(err)
			}
			if !(dhcp4.Range{First: dhcp4.MustParseAddr("192.0.2.50"), Last: dhcp4.MustParseAddr("192.0.2.200")}).Contains(got.Addr) {
				t.Errorf("a host without a reservation got %s, which is not of the pool", got.Addr)
			}
		})
	}
}
