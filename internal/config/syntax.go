package config

import (
	"errors"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// syntaxWords restates what the YAML reader says, for people who do not know its
// words.
var syntaxWords = []struct{ says, text, fix string }{
	{"mapping values are not allowed", "there is a second colon, or the line above has the wrong indentation", "put quotes around a value that contains \": \", or align the key with its neighbours"},
	{"did not find expected ',' or ']'", "the list that starts with [ is not closed", "separate its items by commas and end it with ]"},
	{"did not find expected ',' or '}'", "the mapping that starts with { is not closed", "separate its pairs by commas and end it with }"},
	{"did not find expected '-' indicator", "this line does not belong to the list above it", "give the items of one list the same indentation, each with \"- \""},
	{"did not find expected key", "this line does not fit the indentation of the lines above it", "give the keys of one level the same indentation"},
	{"block sequence entries are not allowed", "a list item cannot start here", "begin a new line before \"- \", or write [a, b]"},
	{"found unexpected end of stream", "the quoted text is never closed", "add the closing quote"},
	{"found unknown escape character", "\"\\\" has a special meaning in double quotes", "use single quotes, or write \\\\"},
	{"found character that cannot start any token", "a value cannot start with this character", "put quotes around the value"},
	{"could not find expected ':'", "a key without a colon and a value", "write \"key: value\""},
	{"unknown anchor", "aliases such as *name are not used in a configuration", "write the value out at each place"},
	{"exceeded max depth", "lists or mappings are nested too deep", "no key of a configuration needs that"},
	{"did not find expected node content", "a value is missing here", ""},
	{"did not find expected <document start>", "something stands after the end of the configuration", "give all keys of the file the same indentation"},
}

// syntaxError reports that the file is not YAML.
func (p *parser) syntaxError(err error) {
	line, col, says := 1, 1, err.Error()
	if le, ok := errors.AsType[*yaml.LoadError](err); ok {
		says = le.Message
		if le.Mark.Line > 0 {
			line, col = le.Mark.Line, max(1, le.Mark.Column)
		} else if le.ContextMark.Line > 0 {
			line, col = le.ContextMark.Line, max(1, le.ContextMark.Column)
		}
	}
	if p.tabError(line) {
		return
	}
	line = min(line, len(p.starts))
	if line > 1 && p.line(line) == "" { // the end of the file: its last line says more
		line--
		col = utf8.RuneCountInString(p.line(line)) + 1
	}
	at := p.at(line, col, 1)
	for _, w := range syntaxWords {
		if strings.Contains(says, w.says) {
			p.add(Error, at, "syntax", w.fix, "%s", w.text)
			return
		}
	}
	p.add(Error, at, "syntax", "", "this is not YAML: %s", says)
}

// tabError reports a tab in the indentation of a line up to the one where the
// YAML reader gave up, for then the tab is the reason.
func (p *parser) tabError(upTo int) bool {
	for line := 1; line <= min(upTo, len(p.starts)); line++ {
		text := p.line(line)
		indent := text[:len(text)-len(strings.TrimLeft(text, " \t"))]
		if i := strings.IndexByte(indent, '\t'); i >= 0 && len(indent) < len(text) {
			p.add(Error, p.at(line, i+1, strings.Count(indent[i:], "\t")), "tab", "\"lessor config fmt -w\" repairs it",
				"this line is indented with a tab; YAML allows only spaces")
			return true
		}
	}
	return false
}
