package policy

import "lessor/dhcp4"

// Boot says from where and what a client boots over the network. The zero fields are
// not set.
type Boot struct {
	NextServer dhcp4.Addr // siaddr
	ServerName string     // sname, option 66
	File       string     // file, option 67
	Pos        Pos
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
	return &m
}
