package storetest

import (
	"bytes"
	"fmt"
	"slices"

	"pgregory.net/rapid"

	"lessor/dhcp4"
	"lessor/internal/lease"
)

// Program is a list of operations with all that they are given. It does not depend on
// the answers, so every store can be given the same one.
type Program []op

type opKind uint8

const (
	opCommit opKind = iota
	opLoad
	opByAddr
	opByClient
	opMark
	opRecreate
	opRestart
)

type op struct {
	kind     opKind
	now      int64 // Unix seconds, for the mark
	changes  []lease.Change
	in       []dhcp4.Range
	addr     dhcp4.Addr
	hw, id   []byte
	from, to int64 // Unix seconds; 0: no limit
	limit    int   // stop after so many; 0: never
}

func (o *op) String() string {
	switch o.kind {
	case opCommit:
		var b bytes.Buffer
		fmt.Fprintf(&b, "commit at %d", o.now)
		for i := range o.changes {
			c := &o.changes[i]
			fmt.Fprintf(&b, "; %v to state %d, revision %d, compare only %t", c.After.Addr, c.After.State, c.After.Rev, c.CompareOnly)
		}
		return b.String()
	case opLoad:
		return fmt.Sprintf("load %v", o.in)
	case opByAddr:
		return fmt.Sprintf("history of %v from %d to %d, first %d", o.addr, o.from, o.to, o.limit)
	case opByClient:
		return fmt.Sprintf("history of %x %x from %d to %d, first %d", o.hw, o.id, o.from, o.to, o.limit)
	}
	return [...]string{opMark: "mark", opRecreate: "recreate", opRestart: "restart"}[o.kind]
}

// later is far enough ahead that no clock of a machine decides what still runs: there
// only the mark does.
const later = int64(2_600_000_000)

// author writes a program. It keeps account of what the program does, so that changes
// fit what is there.
type author struct {
	*model
	now    int64
	future bool
	addrs  int
}

// DrawProgram draws a program of at most n operations.
func DrawProgram(t *rapid.T, n int) Program {
	a := &author{model: &model{records: make(map[dhcp4.Addr]lease.Binding)}, now: T0}
	if a.future = rapid.Bool().Draw(t, "future"); a.future {
		a.now += later
	}
	a.addrs = rapid.SampledFrom([]int{1, 5, 40}).Draw(t, "addresses")
	kinds := []opKind{opCommit, opCommit, opCommit, opCommit, opLoad, opByAddr, opByClient, opMark, opRecreate, opRestart}
	var p Program
	for range rapid.IntRange(1, n).Draw(t, "operations") {
		a.now += int64(rapid.IntRange(-3, 40).Draw(t, "seconds"))
		p = append(p, a.op(t, rapid.SampledFrom(kinds).Draw(t, "operation")))
	}
	// What a program has done is looked at as a whole, and once more after a restart.
	for _, k := range []opKind{opMark, opRestart, opMark} {
		p = append(p, op{kind: opLoad, now: a.now})
		for i := range a.addrs {
			p = append(p, op{kind: opByAddr, now: a.now, addr: Net(i + 1)})
		}
		for i := range someHW {
			p = append(p, op{kind: opByClient, now: a.now, hw: someHW[i], id: someID[i]})
		}
		p = append(p, op{kind: k, now: a.now})
	}
	return p
}

func (a *author) op(t *rapid.T, k opKind) op {
	o := op{kind: k, now: a.now}
	switch k {
	case opCommit:
		o.changes = a.group(t)
	case opLoad:
		if rapid.Bool().Draw(t, "all") {
			break
		}
		o.in = []dhcp4.Range{}
		for range rapid.IntRange(0, 3).Draw(t, "ranges") {
			first := a.address(t)
			o.in = append(o.in, dhcp4.Range{First: first, Last: first + dhcp4.Addr(rapid.IntRange(-1, 9).Draw(t, "length"))})
		}
	case opByAddr, opByClient:
		o.addr = a.address(t)
		o.hw = rapid.SampledFrom(someHW).Draw(t, "hw")
		o.id = rapid.SampledFrom(someID).Draw(t, "id")
		o.from, o.to = a.instant(t, "from"), a.instant(t, "to")
		o.limit = max(0, rapid.IntRange(-3, 3).Draw(t, "limit"))
	}
	return o
}

func (a *author) address(t *rapid.T) dhcp4.Addr {
	return Net(rapid.IntRange(1, a.addrs).Draw(t, "address"))
}

// instant draws a limit of time among the times of the program.
func (a *author) instant(t *rapid.T, name string) int64 {
	if rapid.Bool().Draw(t, name+" any") {
		return 0
	}
	return a.now + int64(rapid.IntRange(-500, 100).Draw(t, name))
}

// group draws the changes of a commit: any that a server makes, such as ask only, and
// such as no store can hold.
func (a *author) group(t *rapid.T) []lease.Change {
	var cs []lease.Change
	wrote := false
	for range rapid.IntRange(0, 4).Draw(t, "changes") {
		addr := a.address(t)
		before := a.records[addr]
		switch rapid.SampledFrom([]string{"write", "write", "write", "write", "compare", "no store can"}).Draw(t, "change") {
		case "compare":
			cs = append(cs, lease.Change{CompareOnly: true, Before: before, After: before})
		case "no store can":
			cs = append(cs, lease.Change{Before: before, After: a.unstorable(t, addr)})
		default:
			after := a.draw(t, before, addr, a.now)
			if after.State == 0 { // also where nothing is
				a.rev++
				after = lease.Binding{Addr: addr, Rev: a.rev}
			}
			cs = append(cs, lease.Change{Before: before, After: after})
			a.change(before, after, a.now)
			wrote = true
		}
	}
	if rapid.IntRange(0, 9).Draw(t, "flood") == 0 {
		cs = append(cs, a.flood(t)...)
		wrote = true
	}
	if a.future && !wrote {
		return nil // a group that writes nothing may or may not write its mark
	}
	return cs
}

// unstorable is a binding with a field beyond its limit.
func (a *author) unstorable(t *rapid.T, addr dhcp4.Addr) lease.Binding {
	b := Binding(addr, 1, a.now, a.rev)
	long := bytes.Repeat([]byte{7}, 256)
	switch rapid.IntRange(0, 4).Draw(t, "fault") {
	case 0:
		b.HW = long[:17]
	case 1:
		b.ClientID = long
	case 2:
		b.Hostname = long
	case 3:
		b.Agent = long
	default:
		b.State = lease.Declined + 1
	}
	return b
}

// flood is a group of some tens of kilobytes on addresses of its own.
func (a *author) flood(t *rapid.T) []lease.Change {
	first := 1000 + rapid.IntRange(0, 200).Draw(t, "first")
	var cs []lease.Change
	for i := range rapid.IntRange(20, 120).Draw(t, "length") {
		addr := Net(first + i)
		before := a.records[addr]
		a.rev++
		after := Binding(addr, i%7, a.now, a.rev)
		after.Agent = bytes.Repeat([]byte{byte(i)}, 255)
		if before.State == lease.Bound && i%3 == 0 {
			after.Start = before.Start // a renewal, or somebody else at the same second
		}
		cs = append(cs, lease.Change{Before: before, After: after})
		a.change(before, after, a.now)
	}
	return cs
}

// records lists what is durable after the first n operations of p, for Recreate.
func (p Program) records(n int) []lease.Binding {
	m := &model{records: make(map[dhcp4.Addr]lease.Binding)}
	for i := range p[:n] {
		for _, c := range p[i].changes {
			if !c.CompareOnly && storable(&c.After) {
				m.change(c.Before, c.After, p[i].now)
			}
		}
	}
	return m.sorted()
}

// storable reports whether every store can hold b.
func storable(b *lease.Binding) bool {
	return b.State <= lease.Declined && len(b.HW) <= 16 &&
		!slices.ContainsFunc([][]byte{b.ClientID, b.Hostname, b.Agent}, func(s []byte) bool { return len(s) > 255 })
}
