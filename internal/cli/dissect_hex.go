package cli

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// hexReader gathers packets from lines of hexadecimal.
type hexReader struct {
	packets  [][]byte
	packet   []byte // the one being read
	offsets  bool   // the text has offsets
	squeezed bool   // a line "*" was read: the line before it repeats
	wrong    error  // about a line that is neither hexadecimal nor a dump's
}

// hexText reads packets from hexadecimal text as people have it: digits with or
// without spaces, colons, commas, hyphens, dots, quotes and 0x between them, on
// any number of lines, or the output of hexdump -C, xxd, tcpdump -x or Wireshark
// with offsets before and characters after the octets. An offset of zero begins a
// new packet. Where there are offsets, lines without one are talk, such as
// tcpdump's line about the packet. Lines that begin with # are skipped.
func hexText(text []byte) (packets [][]byte, err error) {
	var r hexReader
	for n, line := range strings.Split(string(text), "\n") {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		if err := r.line(n+1, line); err != nil {
			return nil, fmt.Errorf("line %d: %w", n+1, err)
		}
	}
	if r.wrong != nil && !r.offsets {
		return nil, r.wrong
	}
	if len(r.packet) > 0 {
		r.packets = append(r.packets, r.packet)
	}
	if len(r.packets) == 0 {
		return nil, errors.New("no octet in it")
	}
	return r.packets, nil
}

func (r *hexReader) line(n int, line string) error {
	if off, rest, ok := cutOffset(line); ok && (r.offsets || off == 0) {
		return r.dumped(off, columns(rest))
	}
	switch {
	case line == "*" && r.offsets:
		r.squeezed = true
	case !r.offsets:
		b, bad := hexLine(line)
		if bad != "" && r.wrong == nil {
			r.wrong = fmt.Errorf("line %d: %q is not hexadecimal", n, bad)
		}
		r.packet = append(r.packet, b...)
	}
	return nil
}

// dumped takes the octets that a dump shows at an offset.
func (r *hexReader) dumped(off int, b []byte) error {
	if !r.offsets {
		r.packet = nil // what came before was talk
	}
	if off == 0 && len(r.packet) > 0 {
		r.packets, r.packet = append(r.packets, r.packet), nil
	}
	for n := len(r.packet); r.squeezed && n >= 16 && off > n && off <= maxHexOffset; n += 16 {
		r.packet = append(r.packet, r.packet[n-16:n]...)
	}
	r.offsets, r.squeezed = true, false
	if off > len(r.packet) {
		return fmt.Errorf("offset %#x, but only %d octets came before it", off, len(r.packet))
	}
	r.packet = append(r.packet[:off], b...)
	return nil
}

// maxHexOffset is more than any packet has.
const maxHexOffset = 1 << 16

// cutOffset splits a line of a dump into its offset and the rest. An offset is
// three hexadecimal digits or more with a colon or at least two spaces after them,
// or alone on the line, as hexdump ends.
func cutOffset(line string) (off int, rest string, ok bool) {
	i := strings.IndexAny(line, ": \t")
	if i < 0 {
		i = len(line)
	}
	digits, hex := strings.CutPrefix(line[:i], "0x")
	n, err := strconv.ParseUint(digits, 16, 31)
	if err != nil || len(digits) < 3 || len(digits) > 8 {
		return 0, "", false
	}
	rest = line[i:]
	switch {
	case rest == "" && len(digits) >= 7: // the last line of hexdump
	case strings.HasPrefix(rest, ": ") || strings.HasPrefix(rest, ":\t") || strings.HasPrefix(rest, "  ") || strings.HasPrefix(rest, "\t"):
		rest = strings.TrimLeft(rest, ": \t")
	case hex && strings.HasPrefix(rest, " "):
		rest = strings.TrimLeft(rest, " ")
	default:
		return 0, "", false
	}
	return int(n), rest, true
}

// columns reads the octets of a dump's line: at most 16, up to the column of
// characters.
func columns(s string) (b []byte) {
	s, _, _ = strings.Cut(s, "|")
	if i := strings.Index(s, "   "); i >= 0 {
		s = s[:i]
	}
	for _, word := range strings.Fields(s) {
		w, bad := hexLine(word)
		if bad != "" || len(b)+len(w) > 16 {
			break
		}
		b = append(b, w...)
	}
	return b
}

// hexLine reads hexadecimal without offsets; bad is the first word that is none.
func hexLine(s string) (b []byte, bad string) {
	for _, word := range strings.FieldsFunc(s, func(r rune) bool {
		return strings.ContainsRune(" \t\r\n:,;.-\"'[]{}", r)
	}) {
		digits := strings.TrimPrefix(strings.TrimPrefix(word, "0x"), `\x`)
		digits = strings.ReplaceAll(digits, `\x`, "")
		if len(digits) == 1 { // "1:2:a" as some programs write hardware addresses
			digits = "0" + digits
		}
		for i := 0; i < len(digits); i += 2 {
			if i+2 > len(digits) {
				return nil, shortWord(word)
			}
			n, err := strconv.ParseUint(digits[i:i+2], 16, 8)
			if err != nil {
				return nil, shortWord(word)
			}
			b = append(b, byte(n))
		}
		if digits == "" {
			return nil, shortWord(word)
		}
	}
	return b, ""
}

// shortWord is word as an error shows it.
func shortWord(word string) string { return shorten(printable(word), 40) }

// isText reports whether b can be hexadecimal text: printable ASCII and spaces.
func isText(b []byte) bool {
	return bytes.IndexFunc(b, func(r rune) bool {
		return (r < ' ' || r > '~') && r != '\n' && r != '\r' && r != '\t'
	}) < 0
}
