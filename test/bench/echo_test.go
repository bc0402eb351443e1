package bench

import (
	"encoding/binary"
	"net"
	"net/netip"
	"sync"

	"github.com/cockroachdb/pebble/v2"

	"lessor/dhcp4"
)

// echoed is a message that waits for its record.
type echoed struct {
	data []byte
	to   netip.AddrPort
}

// serveEcho is a server that turns each request into a reply and sends it when a record of 160
// octets is durable. One goroutine receives, another one commits what has
// gathered: the least that a durable server written with the same means must do.
func serveEcho(dir string) error {
	db, err := pebble.Open(dir, &pebble.Options{})
	if err != nil {
		return err
	}
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{Port: dhcp4.ServerPort})
	if err != nil {
		return err
	}
	if err := conn.SetReadBuffer(8 << 20); err != nil {
		return err
	}
	var mu sync.Mutex
	var gathering []echoed
	more := make(chan struct{}, 1)
	failed := make(chan error, 2)
	free := make(chan []byte, 4096)
	go func() {
		for {
			var buf []byte
			select {
			case buf = <-free:
			default:
				buf = make([]byte, 1500)
			}
			n, from, err := conn.ReadFromUDPAddrPort(buf[:cap(buf)])
			if err != nil {
				failed <- err
				return
			}
			if n < 240 {
				continue
			}
			buf = buf[:n]
			buf[0] = 2
			to := netip.AddrPortFrom(from.Addr(), dhcp4.ClientPort)
			if gi := dhcp4.AddrFromBytes(buf[24:]); gi != 0 {
				to = netip.AddrPortFrom(netip.AddrFrom4(gi.As4()), dhcp4.ServerPort)
			}
			mu.Lock()
			gathering = append(gathering, echoed{buf, to})
			mu.Unlock()
			select {
			case more <- struct{}{}:
			default:
			}
		}
	}()
	go func() { failed <- commitEchoes(conn, db, &mu, &gathering, more, free) }()
	return <-failed
}

// commitEchoes commits group after group and sends what waited for it.
func commitEchoes(conn *net.UDPConn, db *pebble.DB, mu *sync.Mutex, gathering *[]echoed, more <-chan struct{}, free chan<- []byte) error {
	var group []echoed
	batch := db.NewBatch()
	var key [5]byte
	var value [155]byte
	for range more {
		mu.Lock()
		group, *gathering = *gathering, group[:0]
		mu.Unlock()
		for _, e := range group {
			binary.BigEndian.PutUint32(key[1:], binary.BigEndian.Uint32(e.data[30:])%poolSize)
			copy(value[:], e.data[:44])
			if err := batch.Set(key[:], value[:], nil); err != nil {
				return err
			}
		}
		if err := db.Apply(batch, pebble.Sync); err != nil {
			return err
		}
		batch.Reset()
		for _, e := range group {
			if _, err := conn.WriteToUDPAddrPort(e.data, e.to); err != nil {
				return err
			}
			select {
			case free <- e.data:
			default:
			}
		}
	}
	return nil
}
