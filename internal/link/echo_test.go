package link_test

import (
	"encoding/binary"
	"errors"
	"net"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lessor/internal/link"
	"lessor/internal/wire"
)

// BenchmarkEcho answers requests of 300 octets over a veth pair, a number of them
// outstanding. server-ns/op is the CPU time of the answering thread alone, which on
// veth includes the delivery into the generator's socket.
func BenchmarkEcho(b *testing.B) {
	for _, c := range []struct {
		name        string
		outstanding int
	}{{"alone", 1}, {"64", 64}} {
		b.Run(c.name, func(b *testing.B) { echo(b, c.outstanding) })
	}
}

func echo(b *testing.B, outstanding int) {
	bd := newBed(b)
	l, peer := ready(b, bd)
	port := open(b, bd, l)
	gen := generator(b, bd, peer)
	request := link.AppendFrame(nil, peer.MAC(), 1, &wire.Send{MAC: l.MAC, Src: subnet.Addr + 1, Dst: subnet.Addr,
		SrcPort: 68, DstPort: 67, Data: make([]byte, 300)})
	cpu := make(chan time.Duration)
	go func() { cpu <- echoServer(b, port, l) }()
	var buf [2048]byte
	warm := func(n int) {
		sent := min(n, outstanding)
		for range sent {
			mustWrite(b, gen, request)
		}
		for got := 0; got < n; {
			k, err := unix.Read(gen, buf[:])
			if err == unix.EINTR {
				continue
			}
			if err != nil {
				b.Fatal("no answer: ", err)
			}
			if k < 42 || binary.BigEndian.Uint16(buf[36:]) != 68 {
				continue
			}
			if got++; sent < n {
				mustWrite(b, gen, request)
				sent++
			}
		}
	}
	warm(1000)
	b.ReportAllocs()
	b.ResetTimer()
	warm(b.N)
	b.StopTimer()
	if err := port.Close(); err != nil {
		b.Fatal(err)
	}
	used := <-cpu
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "replies/s")
	b.ReportMetric(float64(used.Nanoseconds())/float64(b.N+1000), "server-ns/op")
}

// echoServer answers every request with its own data until the port is closed, and
// returns the CPU time that took.
func echoServer(b *testing.B, port link.Port, l wire.Link) time.Duration {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	start := threadTime(b)
	var batch link.Batch
	out := make([]wire.Send, 0, link.BatchSize)
	for {
		if err := port.Receive(&batch); err != nil {
			if !errors.Is(err, net.ErrClosed) {
				b.Error(err)
			}
			return threadTime(b) - start
		}
		out = out[:0]
		for i := range batch.Packets {
			q := &batch.Packets[i]
			out = append(out, wire.Send{Link: l.ID, Raw: true, MAC: q.SrcMAC, Src: q.Dst, Dst: q.Src, SrcPort: 67, DstPort: 68, Data: q.Data})
		}
		if failed, err := port.Send(out); err != nil && !errors.Is(err, net.ErrClosed) {
			b.Errorf("%d failed: %v", failed, err)
		}
	}
}

func threadTime(b *testing.B) time.Duration {
	var ru unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_THREAD, &ru); err != nil {
		b.Error(err)
	}
	return time.Duration(ru.Utime.Nano() + ru.Stime.Nano())
}

// generator is a blocking packet socket at the peer's end.
func generator(b *testing.B, bd *bed, peer *kernelPeer) (fd int) {
	peer.file.Close() // it would only collect
	bd.far.do(b, func() (err error) {
		ifi, err := net.InterfaceByName(peer.name)
		if err != nil {
			return err
		}
		if fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0); err != nil {
			return err
		}
		ip := binary.NativeEndian.Uint16([]byte{0x08, 0x00})
		return errors.Join(
			unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 5}),
			unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: ip, Ifindex: ifi.Index}))
	})
	b.Cleanup(func() { unix.Close(fd) })
	return fd
}

func mustWrite(b *testing.B, fd int, frame []byte) {
	if _, err := unix.Write(fd, frame); err != nil {
		b.Fatal(err)
	}
}
