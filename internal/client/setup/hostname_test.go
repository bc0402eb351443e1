package setup

import (
	"strings"
	"testing"
)

func TestHostName(t *testing.T) {
	b := newBed(t)
	uts := b.utsNamespace()
	name := func() string { return strings.TrimSpace(b.run(append(uts, "hostname")...)) }
	a := start(t, b.Host, uts...)
	o := b.options()
	o.ResolvConf = b.dir + "/resolv.conf"
	a.open(o)
	a.apply(full())
	same(t, "before", name()) // nobody asked for it
	a.close(false)

	o.SetHostName = true
	a.open(o)
	long := strings.Repeat("a", 60)
	for _, tc := range [][2]string{{"leased", "leased"}, {"leased.example", "leased.example"}, {long + ".example", long}, {"", "before"}, {"again", "again"}} {
		c := full()
		c.HostName = tc[0]
		a.apply(c)
		same(t, tc[1], name())
	}
	b.run(append(uts, "hostname", "theirs")...) // somebody else's wish stays
	a.close(false)
	same(t, "theirs", name())
	a.open(o)
	a.apply(full())
	a.clear()
	same(t, "theirs", name())
	a.close(false)
	a.quiet()
}
