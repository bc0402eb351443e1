package netlab

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
	"golang.org/x/sys/unix"

	"lessor/dhcp4"
	"lessor/internal/wire"
)

// Frame is one recorded Ethernet frame that carries DHCP or ARP.
type Frame struct {
	Time time.Time // when the kernel received it
	From string    // name of the host that sent it, where a switch recorded it
	Raw  []byte    // the whole frame

	SrcMAC, DstMAC wire.MAC

	// For DHCP: UDP on the ports 67 and 68.
	Src, Dst         dhcp4.Addr
	SrcPort, DstPort uint16
	Payload          []byte // nil for ARP

	ARP *wire.ARP // nil for DHCP; its Link is not set
}

// IsDHCP reports whether the frame carries a DHCP message.
func (f *Frame) IsDHCP() bool { return f.Payload != nil }

// View reads the DHCP message; ok is false when there is none that can be read.
func (f *Frame) View() (v dhcp4.View, ok bool) {
	return v, f.IsDHCP() && v.Parse(f.Payload) == nil
}

// Type is the type of the DHCP message; 0 if the frame carries none.
func (f *Frame) Type() dhcp4.MessageType {
	v, ok := f.View()
	if !ok {
		return 0
	}
	return v.MessageType()
}

// String describes the frame in one line, for failed tests.
func (f *Frame) String() string {
	head := fmt.Sprintf("%s %s %x>%x", f.Time.Format("05.000"), f.From, f.SrcMAC, f.DstMAC)
	v, ok := f.View()
	switch {
	case f.ARP != nil:
		return fmt.Sprintf("%s ARP op %d %s>%s", head, f.ARP.Op, f.ARP.SenderIP, f.ARP.TargetIP)
	case !ok:
		return fmt.Sprintf("%s %s>%s unreadable", head, f.Src, f.Dst)
	}
	req, _ := v.Addr(dhcp4.OptDHCPRequestedAddress)
	sid, _ := v.Addr(dhcp4.OptDHCPServerIdentifier)
	lease, _ := v.Uint32(dhcp4.OptDHCPLeaseTime)
	return fmt.Sprintf("%s %s:%d>%s:%d type %d xid %08x flags %04x ciaddr %s yiaddr %s giaddr %s requested %s server %s lease %d",
		head, f.Src, f.SrcPort, f.Dst, f.DstPort, v.MessageType(), v.XID(), v.Flags(), v.CIAddr(), v.YIAddr(), v.GIAddr(), req, sid, lease)
}

// Capture is a running record of the DHCP and ARP frames on a network. Its methods
// may be called by any goroutine.
type Capture struct {
	file *os.File
	name func(index int) (from string, ok bool)
	done chan struct{}

	mu      sync.Mutex
	frames  []Frame
	more    chan struct{} // closed and replaced when a frame arrives
	err     error
	stopped bool
}

// Capture records every DHCP and ARP frame once, on the port by which it enters
// the switch. Stop ends it.
func (s *Switch) Capture() (*Capture, error) {
	return capture(s.host, true, func(i int) (string, bool) {
		s.mu.Lock()
		defer s.mu.Unlock()
		name, ok := s.ports[i]
		return name, ok
	})
}

// Capture records the DHCP and ARP frames that an interface of the host sends and
// receives. Stop ends it.
func (h *Host) Capture(ifname string) (*Capture, error) {
	index := h.Index(ifname)
	return capture(h, false, func(i int) (string, bool) { return "", i == index })
}

func htons(v uint16) uint16 { return v<<8 | v>>8 }

func capture(h *Host, incomingOnly bool, name func(int) (string, bool)) (*Capture, error) {
	c := &Capture{name: name, done: make(chan struct{}), more: make(chan struct{})}
	err := h.Do(func() error {
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, int(htons(unix.ETH_P_ALL)))
		if err != nil {
			return err
		}
		c.file = os.NewFile(uintptr(fd), "capture")
		if incomingOnly {
			if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1); err != nil {
				return err
			}
		}
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 32<<20)
		return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1)
	})
	if err != nil {
		return nil, fmt.Errorf("record on %s: %w", h.Name, err)
	}
	go c.run()
	return c, nil
}

func (c *Capture) run() {
	defer close(c.done)
	raw, err := c.file.SyscallConn()
	buf, oob := make([]byte, 65536), make([]byte, 256)
	for err == nil {
		var rerr error
		err = raw.Read(func(fd uintptr) bool {
			rerr = c.receive(int(fd), buf, oob)
			return rerr != unix.EAGAIN
		})
		if err == nil && rerr != unix.ENETDOWN && rerr != unix.EINTR {
			err = rerr
		}
	}
	if errors.Is(err, os.ErrDeadlineExceeded) { // Stop: take what has arrived, and no more
		err = raw.Control(func(fd uintptr) {
			for c.receive(int(fd), buf, oob) == nil {
			}
		})
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.err = err
}

// receive records one frame, or passes over one that is not wanted.
func (c *Capture) receive(fd int, buf, oob []byte) error {
	n, oobn, _, from, err := unix.Recvmsg(fd, buf, oob, 0)
	if err != nil {
		return err
	}
	ll, ok := from.(*unix.SockaddrLinklayer)
	if !ok {
		return nil
	}
	host, ok := c.name(ll.Ifindex)
	if !ok {
		return nil
	}
	if f, ok := DecodeFrame(buf[:n]); ok {
		f.From, f.Time = host, stamp(oob[:oobn])
		c.add(f)
	}
	return nil
}

func (c *Capture) add(f Frame) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.frames = append(c.frames, f)
	close(c.more)
	c.more = make(chan struct{})
}

func stamp(oob []byte) time.Time {
	msgs, _ := unix.ParseSocketControlMessage(oob)
	for _, m := range msgs {
		if m.Header.Level == unix.SOL_SOCKET && m.Header.Type == unix.SO_TIMESTAMPNS && len(m.Data) >= 16 {
			return time.Unix(int64(binary.NativeEndian.Uint64(m.Data)), int64(binary.NativeEndian.Uint64(m.Data[8:])))
		}
	}
	return time.Now()
}

// DecodeFrame copies b and reads it; ok is false when it carries neither DHCP nor
// ARP for IPv4. It does not check checksums, which frames on veth need not have.
func DecodeFrame(b []byte) (f Frame, ok bool) {
	if len(b) < 14 {
		return f, false
	}
	b = append([]byte(nil), b...)
	f.Raw = b
	copy(f.DstMAC[:], b)
	copy(f.SrcMAC[:], b[6:])
	p := b[14:]
	switch binary.BigEndian.Uint16(b[12:]) {
	case unix.ETH_P_ARP:
		if len(p) < 28 || p[4] != 6 || p[5] != 4 {
			return f, false
		}
		a := &wire.ARP{Op: binary.BigEndian.Uint16(p[6:]), SenderIP: dhcp4.AddrFromBytes(p[14:]), TargetIP: dhcp4.AddrFromBytes(p[24:])}
		copy(a.SenderMAC[:], p[8:])
		copy(a.TargetMAC[:], p[18:])
		f.ARP = a
		return f, true
	case unix.ETH_P_IP:
		if len(p) < 20 || p[0]>>4 != 4 || p[9] != unix.IPPROTO_UDP {
			return f, false
		}
		hl, total := int(p[0]&15)*4, int(binary.BigEndian.Uint16(p[2:]))
		if hl < 20 || total < hl+8 || total > len(p) {
			return f, false
		}
		f.Src, f.Dst = dhcp4.AddrFromBytes(p[12:]), dhcp4.AddrFromBytes(p[16:])
		u := p[hl:total]
		f.SrcPort, f.DstPort = binary.BigEndian.Uint16(u), binary.BigEndian.Uint16(u[2:])
		f.Payload = u[8:]
		return f, f.DstPort == dhcp4.ServerPort || f.DstPort == dhcp4.ClientPort
	}
	return f, false
}

// Stop ends the record once everything that has arrived is in it; what was recorded
// stays readable. A second call does nothing.
func (c *Capture) Stop() error {
	c.mu.Lock()
	again := c.stopped
	c.stopped = true
	c.mu.Unlock()
	if again {
		return nil
	}
	err := c.file.SetReadDeadline(time.Now())
	<-c.done
	err = errors.Join(err, c.file.Close())
	c.mu.Lock()
	defer c.mu.Unlock()
	return errors.Join(err, c.err)
}

// Frames are the frames recorded so far, in the order of their arrival. The slice
// must not be changed.
func (c *Capture) Frames() []Frame {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.frames[:len(c.frames):len(c.frames)]
}

// Mark is the number of frames recorded so far, to be given to Wait.
func (c *Capture) Mark() int { return len(c.Frames()) }

// Wait returns the first frame for which ok is true among those recorded since
// mark, waiting until there is one. It returns the mark that follows the frame.
func (c *Capture) Wait(mark int, timeout time.Duration, ok func(*Frame) bool) (*Frame, int, error) {
	end := time.NewTimer(timeout)
	defer end.Stop()
	for {
		c.mu.Lock()
		frames, more, err := c.frames, c.more, c.err
		c.mu.Unlock()
		for ; mark < len(frames); mark++ {
			if f := &frames[mark]; ok(f) {
				return f, mark + 1, nil
			}
		}
		if err != nil {
			return nil, mark, err
		}
		select {
		case <-more:
		case <-end.C:
			return nil, mark, fmt.Errorf("no such frame within %s", timeout)
		}
	}
}

// WritePcap writes what was recorded so far to a file that Wireshark and tcpdump read.
func (c *Capture) WritePcap(path string) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	w := pcapgo.NewWriterNanos(file)
	err = w.WriteFileHeader(65536, layers.LinkTypeEthernet)
	for _, f := range c.Frames() {
		if err != nil {
			break
		}
		err = w.WritePacket(gopacket.CaptureInfo{Timestamp: f.Time, CaptureLength: len(f.Raw), Length: len(f.Raw)}, f.Raw)
	}
	return errors.Join(err, file.Close())
}

// ReadPcap reads the DHCP and ARP frames of a file that WritePcap or tcpdump wrote.
func ReadPcap(path string) ([]Frame, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	r, err := pcapgo.NewReader(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	var frames []Frame
	for {
		b, info, err := r.ReadPacketData()
		if err != nil {
			return frames, nil // the end, or a record cut short by a crash
		}
		if f, ok := DecodeFrame(b); ok {
			f.Time = info.Timestamp
			frames = append(frames, f)
		}
	}
}

// ParseMAC is net.ParseMAC for Ethernet addresses; it panics on anything else.
func ParseMAC(s string) (m wire.MAC) {
	hw, err := net.ParseMAC(s)
	if err != nil || len(hw) != 6 {
		panic(fmt.Sprintf("%q is not an Ethernet address", s))
	}
	copy(m[:], hw)
	return m
}
