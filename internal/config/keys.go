package config

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"

	"lessor/dhcp4"
	"lessor/internal/spell"
)

// keys is the table of the keys of one kind of mapping, read into a T.
type keys[T any] struct {
	what  string // "a subnet", for messages
	known map[string]func(p *parser, t *T, v *yaml.Node)
	// later are keys of features that this version does not have.
	later []string
	// words are the names that other servers and people use for a known key, or
	// advice when there is none (it has a space).
	words   map[string]string
	options bool // the mapping has options, whose names are often tried as keys
}

// names returns the known keys in alphabetic order.
func (k *keys[T]) names() []string {
	names := make([]string, 0, len(k.known))
	for n := range k.known {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

// walk reads the mapping n into t and returns the node of each key that was
// there, or nil when n is no mapping.
func walk[T any](p *parser, k *keys[T], n *yaml.Node, t *T) map[string]*yaml.Node {
	if n.Kind != yaml.MappingNode {
		p.errorf(n, "type", "write its keys with their values, such as \""+k.example()+": …\"", "%s is a mapping of keys, but this is %s", k.what, shape(n))
		return nil
	}
	seen := make(map[string]*yaml.Node, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, val := n.Content[i], n.Content[i+1]
		if key.Kind != yaml.ScalarNode {
			p.errorf(key, "type", "", "a key is a single word, but this is %s", shape(key))
			continue
		}
		if first := seen[key.Value]; first != nil {
			at := p.place(first)
			p.errorf(key, "duplicate-key", "keep one of them", "%s is set twice; the other one is at %s", quotable(key.Value), at).relate(at, "the first one")
			continue
		}
		seen[key.Value] = key
		read := k.known[key.Value]
		switch {
		case read == nil:
			k.refuse(p, key)
		case isNull(val):
			p.errorf(key, "no-value", "give it a value or remove it", "%s has no value", quotable(key.Value))
		default:
			read(p, t, val)
		}
	}
	return seen
}

func (k *keys[T]) example() string {
	switch k.what {
	case "a subnet":
		return "subnet"
	case "a pool":
		return "pool"
	case "a reservation":
		return "hw-address"
	case "an option", "an option definition":
		return "name"
	default:
		return k.names()[0]
	}
}

// refuse reports a key that is not in the table, with the key that was probably
// meant.
func (k *keys[T]) refuse(p *parser, key *yaml.Node) {
	name := key.Value
	if slices.Contains(k.later, name) {
		p.errorf(key, "not-supported", "remove it", "%s is not supported by this version", quotable(name))
		return
	}
	if name == "<<" {
		p.errorf(key, "anchor", "write the keys out at each place", "merge keys (<<) are not used in a configuration")
		return
	}
	fix := ""
	switch word := k.words[strings.ToLower(name)]; {
	case strings.Contains(word, " "):
		fix = word
	case word != "":
		fix = fmt.Sprintf("did you mean %q?", word)
	case k.options && dhcp4.LookupName(name) != nil:
		fix = fmt.Sprintf("it is an option: write options: {%s: …}", name)
	default:
		if near := spell.Nearest(name, k.names()); near != "" {
			fix = fmt.Sprintf("did you mean %q?", near)
		}
	}
	p.errorf(key, "unknown-key", fix, "%s is not a key of %s", quotable(name), k.what).
		note("keys here: %s", strings.Join(k.names(), ", "))
}

// need reports a key that must be there and is not.
func (p *parser) need(n *yaml.Node, seen map[string]*yaml.Node, key, what, fix string) bool {
	if seen == nil || seen[key] != nil {
		return seen != nil
	}
	p.errorf(n, "missing-key", fix, "%s needs the key %q", what, key)
	return false
}

// shape names what n is, for a message.
func shape(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case n.Kind == yaml.MappingNode:
		return "a mapping"
	case isNull(n):
		return "empty"
	default:
		return quotable(n.Value)
	}
}

func isNull(n *yaml.Node) bool {
	return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null"
}

// quotable quotes text of the file for a message, at most 64 characters of it.
func quotable(s string) string {
	if utf8.RuneCountInString(s) > 64 {
		s = string([]rune(s)[:60]) + "…"
	}
	return strconv.Quote(s)
}
