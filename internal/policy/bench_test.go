package policy

import (
	"fmt"
	"testing"

	"lessor/dhcp4"
)

func BenchmarkSubnetOf(b *testing.B) {
	for _, n := range []int{1, 100, 10000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			p := big(b, n)
			base := addr("198.18.0.0")
			b.ReportAllocs()
			i := uint32(0)
			for b.Loop() {
				i = i*1664525 + 1013904223
				if p.SubnetOf(base+dhcp4.Addr(i>>8%uint32(n*256))) == nil {
					b.Fatal("not found")
				}
			}
		})
	}
}

func BenchmarkReservation(b *testing.B) {
	p := big(b, 10000)
	n := p.Networks[77]
	hw := []byte{2, 0, 0, 0, 0, 77}
	id := append([]byte{1}, hw...)
	for name, key := range map[string][]byte{"client-id": id, "hw-address": nil} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if n.Reservation(&Keys{ClientID: key, HType: 1, HW: hw}) == nil {
					b.Fatal("not found")
				}
			}
		})
	}
}

func BenchmarkOptionGet(b *testing.B) {
	s := big(b, 1).Networks[0].Subnets[0].Options
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := s.Get(42); !ok {
			b.Fatal("not found")
		}
	}
}
