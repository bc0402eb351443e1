package config

import (
	"maps"
	"strings"

	"go.yaml.in/yaml/v4"

	"lessor/internal/policy"
)

// architectures are the machines that a boot table tells apart, by their numbers in
// option 93 (RFC 4578 2.1 and the registry that it began). Number 9 is what the RFC
// meant for x64 and many machines do not use, 7 is what they send.
var architectures = map[string][]uint16{
	"bios": {0}, "uefi-ia32": {6}, "uefi-x64": {7, 9}, "uefi-arm32": {10}, "uefi-arm64": {11},
	"uefi-riscv32": {25}, "uefi-riscv64": {27}, "uefi-loongarch64": {39},
	"bios-http": {20}, "uefi-ia32-http": {15}, "uefi-x64-http": {16}, "uefi-arm32-http": {18}, "uefi-arm64-http": {19},
	"uefi-riscv32-http": {26}, "uefi-riscv64-http": {28}, "uefi-loongarch64-http": {40},
}

var bootKeys = &keys[policy.Boot]{
	what: "boot",
	known: func() map[string]func(*parser, *policy.Boot, *yaml.Node) {
		known := maps.Clone(bootWords)
		for name, archs := range architectures {
			known[name] = func(p *parser, b *policy.Boot, n *yaml.Node) {
				file, ok := p.bootFile(n)
				if ok && strings.HasSuffix(name, "-http") && !isHTTP(file) {
					p.errorf(n, "boot", "write http://192.0.2.2/ipxe.efi", "machines that boot by HTTP need a URL, and %s is none", quotable(file))
					return
				}
				for _, a := range archs {
					b.ByArch = append(b.ByArch, policy.ArchFile{Arch: a, File: file})
				}
			}
		}
		return known
	}(),
	words: map[string]string{
		"x64": "uefi-x64", "x86": "bios", "pxe": "bios", "pcbios": "bios", "uefi": "uefi-x64", "efi": "uefi-x64", "http": "uefi-x64-http",
		"arm64": "uefi-arm64", "aarch64": "uefi-arm64", "tftp": "next-server", "server": "next-server", "file": "default",
	},
}

// once reports whether a value is set for the first time: boot and the keys beside it
// mean the same.
func (p *parser) once(n *yaml.Node, set bool) bool {
	if set {
		p.errorf(n, "boot", "keep one of them", "this is set in boot and beside it")
	}
	return !set
}

var bootWords = map[string]func(*parser, *policy.Boot, *yaml.Node){
	"next-server": func(p *parser, b *policy.Boot, n *yaml.Node) {
		if p.once(n, b.NextServer != 0) {
			b.NextServer, _ = p.addr(n, "the address of the boot server, such as 192.0.2.2")
		}
	},
	"server-hostname": func(p *parser, b *policy.Boot, n *yaml.Node) {
		if p.once(n, b.ServerName != "") {
			b.ServerName, _ = p.bootText(n, 255, "a server name")
		}
	},
	"ipxe": func(p *parser, b *policy.Boot, n *yaml.Node) { b.IPXE, _ = p.bootFile(n) },
	"default": func(p *parser, b *policy.Boot, n *yaml.Node) {
		if p.once(n, b.File != "") {
			b.File, _ = p.bootFile(n)
		}
	},
}

func isHTTP(s string) bool {
	return strings.HasPrefix(s, "http://") || strings.HasPrefix(s, "https://")
}

// bootFile reads the name of a boot file: it may be longer than the field of the
// message, for it can go in option 67.
func (p *parser) bootFile(n *yaml.Node) (string, bool) { return p.bootText(n, 255, "a boot file") }

func (p *parser) bootText(n *yaml.Node, most int, what string) (string, bool) {
	s, ok := p.text(n, "the name of a file or server")
	switch {
	case !ok:
		return "", false
	case len(s) == 0 || len(s) >= most:
		p.errorf(n, "boot", "", "%s has 1 to %d octets, this has %d", what, most-1, len(s))
		return "", false
	case strings.ContainsFunc(s, func(r rune) bool { return r < 0x20 || r == 0x7f }):
		p.errorf(n, "boot", "", "there is a control character in the name")
		return "", false
	}
	return s, true
}

// withBoot adds the keys of network boot to a table.
func withBoot[T any](of func(*T) *level, known map[string]func(*parser, *T, *yaml.Node)) {
	boot := func(t *T, p *parser, n *yaml.Node) *policy.Boot {
		l := of(t)
		if l.boot == nil {
			l.boot = &policy.Boot{Pos: p.place(n).pos()}
		}
		return l.boot
	}
	known["boot"] = func(p *parser, t *T, n *yaml.Node) { walk(p, bootKeys, n, boot(t, p, n)) }
	known["next-server"] = func(p *parser, t *T, n *yaml.Node) { bootWords["next-server"](p, boot(t, p, n), n) }
	known["server-hostname"] = func(p *parser, t *T, n *yaml.Node) { bootWords["server-hostname"](p, boot(t, p, n), n) }
	known["boot-file-name"] = func(p *parser, t *T, n *yaml.Node) { bootWords["default"](p, boot(t, p, n), n) }
}
