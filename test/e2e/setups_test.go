package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"lessor/dhcp4"
	"lessor/internal/netlab"
	"lessor/internal/wire"
)

func example(t *testing.T, file string) string {
	return string(try(os.ReadFile(filepath.Join("..", "..", "examples", file)))(t))
}

// The set-up for network boot, as it stands: each kind of machine gets its file, and a
// host that boots nothing its address.
func TestNetbootExampleIsServed(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	sw := try(l.Switch("lan"))(t)
	h, c, pc := try(l.Host("server"))(t), try(l.Host("machines"))(t), try(l.Host("pc"))(t)
	check(t, sw.Join(h, "eth0", "192.0.2.1/24"))
	check(t, sw.Join(c, "eth0"))
	check(t, sw.Join(pc, "eth0"))
	record(t, sw)
	serve(t, h, example(t, "3-netboot.yaml"))
	st := try(NewStation(c, "eth0"))(t)
	defer st.Close()
	opt := func(code dhcp4.Code, data string) dhcp4.Option { return dhcp4.Option{Code: code, Data: []byte(data)} }
	for i, row := range []struct {
		class, arch, user string
		file, echo        string
	}{
		{"PXEClient:Arch:00000:UNDI:002001", "\x00\x00", "", "undionly.kpxe", "PXEClient"},
		{"PXEClient:Arch:00007:UNDI:003016", "\x00\x07", "", "ipxe.efi", "PXEClient"},
		{"PXEClient:Arch:00011:UNDI:003016", "\x00\x0b", "", "ipxe-arm64.efi", "PXEClient"},
		{"HTTPClient:Arch:00016:UNDI:003016", "\x00\x10", "", "http://192.0.2.2/ipxe.efi", "HTTPClient"},
		{"PXEClient:Arch:00007:UNDI:003010", "\x00\x07", "iPXE", "http://192.0.2.2/menu.ipxe", "PXEClient"},
	} {
		m := Discover(wire.MAC{2, 0, 0x5e, 0x20, 0, byte(i)}, 0x100+uint32(i))
		m.Options = []dhcp4.Option{opt(60, row.class), opt(93, row.arch)}
		if row.user != "" {
			m.Options = append(m.Options, opt(77, row.user))
		}
		f := try(st.Exchange(m, 3*time.Second))(t)
		v, _ := f.View()
		class, _ := v.Get(60, nil)
		if string(v.File()) != row.file || string(class) != row.echo || v.SIAddr() != dhcp4.MustParseAddr("192.0.2.2") {
			t.Errorf("%s %s: file %q, option 60 %q, siaddr %s", row.class, row.user, v.File(), class, v.SIAddr())
		}
		if life, _ := v.Uint32(dhcp4.OptDHCPLeaseTime); life != 1800 {
			t.Errorf("%s: a lease of %d s while it boots", row.class, life)
		}
	}
	check(t, pc.Client(netlab.Udhcpc, "eth0").Start())
	awaitAddress(t, pc, "192.0.2.50", "192.0.2.200")
}

// The set-up with relay agents, as it stands: one network behind ISC's, the other behind
// ours, each client in its own network, and a renewal by unicast through routing.
func TestRelayExampleIsServed(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	lan := try(l.Switch("lan"))(t)
	h := try(l.Host("server"))(t)
	check(t, lan.Join(h, "eth0", "198.18.0.2/24"))
	rec := record(t, lan)
	serve(t, h, example(t, "4-relay.yaml"))
	for _, row := range []struct {
		name, up, net, router, first, last string
		relay                              []string
	}{
		{"isc", "198.18.0.3", "198.18.1.0/24", "198.18.1.1/24", "198.18.1.50", "198.18.1.250",
			[]string{"/usr/sbin/dhcrelay", "-4", "-d", "-a", "--no-pid", "-iu", "eth0", "-id", "eth1", "198.18.0.2"}},
		{"ours", "198.18.0.4", "198.18.8.0/22", "198.18.8.1/22", "198.18.8.50", "198.18.11.250",
			[]string{lessor, "relay", "--downstream", "eth1", "--server", "198.18.0.2"}},
	} {
		far := try(l.Switch("far-" + row.name))(t)
		router, c := try(l.Host("router-"+row.name))(t), try(l.Host("client-"+row.name))(t)
		check(t, lan.Join(router, "eth0", row.up+"/24"))
		check(t, far.Join(router, "eth1", row.router))
		check(t, far.Join(c, "eth0"))
		check(t, router.Forward())
		check(t, h.AddRoute(row.net, row.up))
		notify := try(netlab.ListenNotify(filepath.Join(router.Root, "notify")))(t)
		t.Cleanup(func() { notify.Close() })
		relay := try(router.Start(netlab.Spec{Args: row.relay, Env: []string{notify.Env()}}))(t)
		if row.name == "ours" {
			check(t, notify.Await(relay, "READY=1", 10*time.Second))
		} else {
			check(t, relay.WaitOutput("Sending on", 10*time.Second))
		}
		check(t, c.Client(netlab.Udhcpc, "eth0").Start())
		a := awaitAddress(t, c, row.first, row.last)
		offered := false
		for _, f := range rec.Frames() {
			v, ok := f.View()
			if ok && f.Type() == dhcp4.Ack && v.YIAddr() == a {
				gw, _ := v.Addr(dhcp4.OptRouters)
				name, _ := v.Get(dhcp4.OptDomainName, nil)
				offered = strings.HasPrefix(row.router, gw.String()+"/") && string(name) == "corp.example"
			}
		}
		if !offered {
			t.Errorf("behind %s: no ACK of %s with the router of %s and the domain", row.name, a, row.net)
		}
	}
}

// awaitAddress waits until the host has an address of the range.
func awaitAddress(t *testing.T, h *netlab.Host, first, last string) dhcp4.Addr {
	t.Helper()
	r := dhcp4.Range{First: dhcp4.MustParseAddr(first), Last: dhcp4.MustParseAddr(last)}
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if a, ok := dhcp4.AddrFromNetip(h.Addr("eth0")); ok && r.Contains(a) {
			return a
		}
		if time.Now().After(end) {
			t.Fatalf("%s has %s, want an address of %s", h.Name, h.Addr("eth0"), r)
		}
	}
}
