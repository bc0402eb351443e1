package server

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strings"

	"lessor/dhcp4"
	"lessor/internal/policy"
)

// maxBootLifetime is the longest lease, in seconds, of a client that is booting: it says
// its architecture (option 93), and the system that it loads asks under another client
// identifier.
const maxBootLifetime = 1800

// Classes of clients that boot over the network, at the start of option 60.
var (
	pxeClient  = []byte("PXEClient")
	httpClient = []byte("HTTPClient")
	ipxe       = []byte("iPXE")
)

// useBootFile tells a PXE ROM to load the file that it is named, and to ask for no boot
// server: sub-option 6, bit 3 (Intel's Preboot Execution Environment 2.1, 2.2.3).
var useBootFile = []byte{6, 1, 8, 255}

// bootLayers are the levels that may say what a client boots, the innermost first.
type bootLayers struct {
	of [8]*policy.Boot
	n  int
}

func (l *bootLayers) add(b *policy.Boot) {
	if b != nil && l.n < len(l.of) {
		l.of[l.n] = b
		l.n++
	}
}

// boot is what a client is told of its boot.
type boot struct {
	server dhcp4.Addr // siaddr
	name   string     // sname and option 66
	file   string     // file and option 67
	pos    policy.Pos // of the file, for a trace
}

// isBooting reports whether the client says that it is a boot program.
func (q *request) isBooting() bool { return q.view.Has(dhcp4.OptClientSystem) }

// bootFor finds what the client boots at a: the entry for iPXE if it says in its user
// class that it is one, else that for its architecture, else the file of all.
func (c *Core) bootFor(q *request, a dhcp4.Addr) (b boot) {
	layers := c.bootLayers(q, a)
	if layers.n == 0 {
		return b
	}
	for _, l := range layers.of[:layers.n] {
		if b.server == 0 {
			b.server = l.NextServer
		}
		if b.name == "" {
			b.name = l.ServerName
		}
	}
	b.file, b.pos = c.bootFile(q, &layers)
	return b
}

func (c *Core) bootLayers(q *request, a dhcp4.Addr) (l bootLayers) {
	if q.res != nil {
		l.add(q.res.Boot)
	}
	for i := policy.FirstClass; i < len(c.pol.Classes); i++ {
		if q.facts.Classes.Has(i) {
			l.add(c.pol.Classes[i].Boot)
		}
	}
	if sn := q.net.Contains(a); sn != nil {
		if p := sn.PoolOf(a); p != nil {
			l.add(p.Boot)
		} else {
			l.add(sn.Boot)
		}
	}
	return l
}

// bootFile is the file, and the place that says so.
func (c *Core) bootFile(q *request, layers *bootLayers) (string, policy.Pos) {
	isIPXE := q.userClassIs(ipxe)
	var archs [64]byte
	list, _ := q.view.Get(dhcp4.OptClientSystem, archs[:0])
	http := q.wantsHTTP()
	for _, l := range layers.of[:layers.n] {
		if isIPXE && l.IPXE != "" {
			return l.IPXE, l.Pos
		}
		for b := list; len(b) >= 2; b = b[2:] {
			if f := l.OfArch(binary.BigEndian.Uint16(b)); f != "" {
				return f, l.Pos
			}
		}
		if l.File != "" && (!http || strings.HasPrefix(l.File, "http")) {
			return l.File, l.Pos
		}
	}
	return "", policy.Pos{}
}

// wantsHTTP reports whether the client boots by HTTP, so that only a URL is of use.
func (q *request) wantsHTTP() bool { return q.isVendorClass(httpClient) }

// isVendorClass reports whether option 60 begins with name.
func (q *request) isVendorClass(name []byte) bool {
	var buf [255]byte
	class, _ := q.view.Get(dhcp4.OptVendorClassIdentifier, buf[:0])
	return bytes.HasPrefix(class, name)
}

// userClassIs reports whether one of the client's user classes (RFC 3004 4) is name. iPXE
// sends it without the octets of length that the RFC asks for.
func (q *request) userClassIs(name []byte) bool {
	var buf [255]byte
	v, _ := q.view.Get(dhcp4.OptUserClass, buf[:0])
	if bytes.Equal(v, name) {
		return true
	}
	for len(v) > 0 {
		n := 1 + int(v[0])
		if len(v) < n {
			return false
		}
		if bytes.Equal(v[1:n], name) {
			return true
		}
		v = v[n:]
	}
	return false
}

// bootFields is where the boot values of a reply are put together.
type bootFields struct {
	siaddr dhcp4.Addr
	sname  []byte // of the header, at most 63 octets
	file   []byte // of the header, at most 127 octets

	buf  [2][255]byte
	uuid [255]byte
}

// Sizes of the fields of a message without the NUL at the end (RFC 2131 2).
const maxSName, maxFile = 63, 127

// putBoot puts what the client boots into the reply: siaddr, sname and file of the header,
// and options 66 and 67 for who asks for them, for clients read one or the other. What
// the configuration sets as option 66 or 67 goes into the header too. A name that is too
// long for its field goes into the option, asked for or not.
func (c *Core) putBoot(q *request, a dhcp4.Addr) {
	r := &c.reply.boot
	r.siaddr, r.sname, r.file = 0, nil, nil
	b := c.bootFor(q, a)
	server, file := append(r.buf[0][:0], b.name...), append(r.buf[1][:0], b.file...)
	if len(server) == 0 {
		server = append(server, c.setting(q, dhcp4.OptTFTPServerName)...)
	}
	if len(file) == 0 {
		file = append(file, c.setting(q, dhcp4.OptBootFileName)...)
	}
	r.siaddr = b.server
	// A field without a name may hold options (RFC 2132 9.3).
	if len(server) > 0 && len(server) <= maxSName {
		r.sname = server
	}
	if len(file) > 0 && len(file) <= maxFile {
		r.file = file
	}
	if len(server) == 0 && b.server != 0 {
		server, _ = b.server.AppendText(server) // 66 may be an address, sname is a name
	}
	if len(file) > 0 {
		c.putBootClass(q)
	}
	c.bootOption(q, dhcp4.OptTFTPServerName, server, maxSName)
	c.bootOption(q, dhcp4.OptBootFileName, file, maxFile)
}

// putBootClass says to a boot program that its kind was understood, for without that it
// passes the answer over (UEFI 2.10, 24.7.3.1; PXE 2.1, 2.2.1). Where the configuration
// sets options 60 and 43 they are what it says.
func (c *Core) putBootClass(q *request) {
	r := &c.reply
	add := func(code dhcp4.Code, v []byte) {
		if own := c.setting(q, code); own != nil {
			v = own
		}
		r.add(code, v)
	}
	switch {
	case q.isVendorClass(httpClient):
		add(dhcp4.OptVendorClassIdentifier, httpClient)
	case q.isVendorClass(pxeClient):
		add(dhcp4.OptVendorClassIdentifier, pxeClient)
		add(dhcp4.OptVendorEncapsulatedOptions, useBootFile)
		if id, ok := q.view.Get(dhcp4.OptUUIDGUID, r.boot.uuid[:0]); ok && len(id) <= len(r.boot.uuid) {
			r.add(dhcp4.OptUUIDGUID, id) // RFC 4578 2.3
		}
	}
}

// bootOption adds option 66 or 67 for who asks for it or sends no list, and for all when
// its field has no room.
func (c *Core) bootOption(q *request, code dhcp4.Code, v []byte, room int) {
	if len(v) == 0 {
		return
	}
	if len(v) > room || !q.view.Has(dhcp4.OptDHCPParameterRequestList) || slices.Contains(q.params, byte(code)) {
		c.reply.add(code, v)
	}
}
