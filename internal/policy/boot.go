package policy

import "lessor/dhcp4"

// Boot says from where and what a client boots over the network. The zero fields are
// not set.
type Boot struct {
	NextServer dhcp4.Addr // siaddr
	ServerName string     // sname, option 66
	File       string     // file, option 67: whatever the client's architecture is
	IPXE       string     // for clients whose user class is iPXE
	ByArch     []ArchFile // by option 93; looked up before File
	Pos        Pos        // of the innermost level that sets something
}

// ArchFile is what machines of one architecture boot (option 93, RFC 4578 2.1).
type ArchFile struct {
	Arch uint16
	File string // a file name, or for HTTP boot a URL
}

// OfArch returns the file for an architecture, or "".
func (b *Boot) OfArch(arch uint16) string {
	for i := range b.ByArch {
		if b.ByArch[i].Arch == arch {
			return b.ByArch[i].File
		}
	}
	return ""
}

// MergeBoot returns inner within outer: what inner leaves unset is outer's. It may
// return one of its arguments.
func MergeBoot(outer, inner *Boot) *Boot {
	switch {
	case inner == nil:
		return outer
	case outer == nil:
		return inner
	}
	m := *inner
	if m.NextServer == 0 {
		m.NextServer = outer.NextServer
	}
	if m.ServerName == "" {
		m.ServerName = outer.ServerName
	}
	if m.File == "" {
		m.File = outer.File
	}
	if m.IPXE == "" {
		m.IPXE = outer.IPXE
	}
	m.ByArch = append([]ArchFile(nil), inner.ByArch...)
	for _, f := range outer.ByArch {
		if inner.OfArch(f.Arch) == "" {
			m.ByArch = append(m.ByArch, f)
		}
	}
	return &m
}
