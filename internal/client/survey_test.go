package client_test

import (
	"encoding/binary"
	"testing"

	"lessor/dhcp4"
	"lessor/internal/client"
	"lessor/internal/lease"
	"lessor/internal/wire"
)

// surveyed runs a survey of ten seconds to whose first DISCOVER the answers of the
// callback come, and returns it with the messages that it sent.
func surveyed(t *testing.T, c client.Config, answers func(xid uint32) []wire.Packet) (*client.Survey, [][]byte) {
	t.Helper()
	now := lease.Instant{M: 5e9}
	s := client.NewSurvey(c, secret, wire.Link{ID: 7, MAC: ownMAC, MTU: 1500}, now.M+10e9)
	var sent [][]byte
	for range 100 {
		now.M = max(now.M, s.NextTick())
		if s.Done() {
			return s, sent
		}
		var e client.Effects
		s.Handle(now, &client.Input{Kind: client.InputTick}, &e)
		for _, f := range e.List {
			if f.Kind == client.EffectSend {
				sent = append(sent, f.Send.Data)
			}
		}
		if len(sent) == 1 {
			now.M += 1e6
			for _, p := range answers(binary.BigEndian.Uint32(sent[0][4:])) {
				s.Handle(now, &client.Input{Kind: client.InputPacket, Packet: &p}, &e)
			}
		}
	}
	t.Fatal("the survey does not end")
	return nil, nil
}

// answer is an OFFER of 192.0.2.n from server; change may spoil it.
func answer(xid uint32, server string, n byte, change func(h *dhcp4.Header, opts []dhcp4.Option) []dhcp4.Option) wire.Packet {
	h := dhcp4.Header{Op: 2, HType: 1, HLen: 6, XID: xid, YIAddr: dhcp4.MustParseAddr("192.0.2.0") + dhcp4.Addr(n)}
	copy(h.CHAddr[:], ownMAC[:])
	id := dhcp4.MustParseAddr(server)
	opts := []dhcp4.Option{{Code: 53, Data: []byte{2}}, {Code: 54, Data: id.Append(nil)}, {Code: 51, Data: []byte{0, 0, 1, 0}},
		{Code: 1, Data: []byte{255, 255, 255, 0}}}
	if change != nil {
		opts = change(&h, opts)
	}
	data, _ := dhcp4.AppendMessage(nil, &h, opts, nil, 1500)
	return wire.Packet{Data: data, SrcMAC: macOf(id), Src: id}
}

// TestSurvey holds that a survey finds every server, names what is wrong with an offer,
// and asks for nothing.
func TestSurvey(t *testing.T) {
	c := client.Config{RapidCommit: true, Deny: []dhcp4.Prefix{{Addr: dhcp4.MustParseAddr("192.0.2.3"), Bits: 32}}}
	s, sent := surveyed(t, c, func(xid uint32) []wire.Packet {
		noTime := func(_ *dhcp4.Header, o []dhcp4.Option) []dhcp4.Option { return append(o[:2:2], o[3:]...) }
		noServer := func(_ *dhcp4.Header, o []dhcp4.Option) []dhcp4.Option { return append(o[:1:1], o[2:]...) }
		otherXID := func(h *dhcp4.Header, o []dhcp4.Option) []dhcp4.Option { h.XID++; return o }
		otherMAC := func(h *dhcp4.Header, o []dhcp4.Option) []dhcp4.Option { h.CHAddr[5]++; return o }
		request := func(h *dhcp4.Header, o []dhcp4.Option) []dhcp4.Option { h.Op = 1; return o }
		ack := func(_ *dhcp4.Header, o []dhcp4.Option) []dhcp4.Option { o[0].Data = []byte{5}; return o }
		otherID := func(_ *dhcp4.Header, o []dhcp4.Option) []dhcp4.Option {
			return append(o, dhcp4.Option{Code: 61, Data: []byte{1, 2}})
		}
		behindRelay := answer(xid, "198.51.100.1", 60, nil)
		copied := answer(xid, "192.0.2.1", 61, nil)
		copied.SrcMAC = wire.MAC{2, 0xbb}
		return []wire.Packet{
			answer(xid, "192.0.2.1", 50, nil), answer(xid, "192.0.2.1", 51, nil), // once for each server
			answer(xid, "192.0.2.2", 0, nil), answer(xid, "192.0.2.3", 53, nil),
			answer(xid, "192.0.2.4", 54, noTime), answer(xid, "192.0.2.4", 55, nil), // the good one counts
			answer(xid, "192.0.2.5", 56, noServer), answer(xid, "192.0.2.6", 57, otherID),
			answer(xid, "192.0.2.7", 1, otherXID), answer(xid, "192.0.2.7", 1, otherMAC), answer(xid, "192.0.2.7", 1, request),
			answer(xid, "192.0.2.7", 1, ack), {Data: []byte{1, 2, 3}}, behindRelay, copied,
		}
	})
	want := []struct {
		server, addr string
		mac          byte
		reason       client.Reason
	}{
		{"192.0.2.1", "192.0.2.50/24", 0xaa, client.None}, {"192.0.2.2", "", 0xaa, client.LeaseNotHost},
		{"192.0.2.3", "192.0.2.53/24", 0xaa, client.ServerDenied}, {"192.0.2.4", "192.0.2.55/24", 0xaa, client.None},
		{"192.0.2.5", "", 0xaa, client.LeaseNoServer}, {"192.0.2.6", "192.0.2.57/24", 0xaa, client.OtherClientID},
		{"198.51.100.1", "192.0.2.60/24", 0xaa, client.None}, {"192.0.2.1", "192.0.2.61/24", 0xbb, client.None},
	}
	got := s.Offers()
	if len(got) != len(want) {
		t.Fatalf("%d offers, want %d: %+v", len(got), len(want), got)
	}
	for i, w := range want {
		o := got[i]
		if o.Server.String() != w.server || o.Reason != w.reason || w.addr != "" && o.Lease.Addr.String() != w.addr || o.MAC[1] != w.mac {
			t.Errorf("offer %d is %v %v %v from %v, want %+v", i, o.Server, o.Lease.Addr, o.Reason, o.MAC, w)
		}
	}
	if len(sent) != 2 { // after 4 s, and the next would be 8 s later
		t.Errorf("%d messages in ten seconds, want 2", len(sent))
	}
	for _, data := range sent {
		var v dhcp4.View
		if err := v.Parse(data); err != nil || v.MessageType() != dhcp4.Discover || v.Has(dhcp4.OptRapidCommit) {
			t.Errorf("a survey sent %x (%v)", data, err)
		}
	}
}

// TestSurveyIsBounded holds that made-up servers do not fill memory.
func TestSurveyIsBounded(t *testing.T) {
	s, _ := surveyed(t, client.Config{}, func(xid uint32) (all []wire.Packet) {
		for i := range 1000 {
			all = append(all, answer(xid, dhcp4.Addr(0xc6120000+uint32(i)).String(), 50, nil))
		}
		return all
	})
	if n := len(s.Offers()); n != client.MaxOffers {
		t.Errorf("%d offers kept, want %d", n, client.MaxOffers)
	}
}
