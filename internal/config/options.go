package config

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"

	"lessor/dhcp4"
	"lessor/internal/policy"
	"lessor/internal/spell"
	"lessor/internal/template"
)

// owned are the options that the protocol itself sets, with the reason why a
// configuration cannot.
var owned = map[dhcp4.Code]string{
	dhcp4.OptPad:                       "it is only padding",
	dhcp4.OptEnd:                       "it ends each message",
	dhcp4.OptDHCPRequestedAddress:      "only clients send it",
	dhcp4.OptDHCPLeaseTime:             "set valid-lifetime instead",
	dhcp4.OptDHCPOptionOverload:        "it is added where a message needs it",
	dhcp4.OptDHCPMessageType:           "it is part of each message",
	dhcp4.OptDHCPServerIdentifier:      "set server-identifier instead",
	dhcp4.OptDHCPParameterRequestList:  "only clients send it",
	dhcp4.OptDHCPMessage:               "it says why a client is refused",
	dhcp4.OptDHCPMaxMessageSize:        "only clients send it",
	dhcp4.OptDHCPRenewalTime:           "it is always half of the lease",
	dhcp4.OptDHCPRebindingTime:         "it is always 7/8 of the lease",
	dhcp4.OptDHCPClientIdentifier:      "it is the client's own, sent back to it",
	dhcp4.OptRapidCommit:               "set rapid-commit: true instead",
	dhcp4.OptFQDN:                      "it answers the client's own; set hostname in a reservation, or host-name",
	dhcp4.OptDHCPAgentOptions:          "it is the relay agent's own, sent back to it",
	dhcp4.OptAuthenticate:              "authentication is not supported",
	dhcp4.OptClientLastTransactionTime: "it answers lease queries",
	dhcp4.OptAssociatedIP:              "it answers lease queries",
	dhcp4.OptSubnetSelection:           "only clients send it",
	dhcp4.OptStatusCode:                "it answers lease queries",
	dhcp4.OptBaseTime:                  "it answers lease queries",
	dhcp4.OptStartTimeOfState:          "it answers lease queries",
	dhcp4.OptQueryStartTime:            "it answers lease queries",
	dhcp4.OptQueryEndTime:              "it answers lease queries",
	dhcp4.OptDHCPState:                 "it answers lease queries",
	dhcp4.OptDataSource:                "it answers lease queries",
}

// options reads the short form {name: value}, or a list as in option-data.
func (p *parser) options(l *level, n *yaml.Node) {
	if n.Kind == yaml.SequenceNode {
		p.optionData(l, n)
		return
	}
	if n.Kind != yaml.MappingNode {
		p.errorf(n, "type", "write {routers: 192.0.2.1}", "options is a mapping of option names, but this is %s", shape(n))
		return
	}
	l.options = slices.Grow(l.options, len(n.Content)/2) // a site may have 100,000 of these
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, val := n.Content[i], n.Content[i+1]
		if key.Kind != yaml.ScalarNode {
			p.errorf(key, "type", "", "an option is named by a single word, but this is %s", shape(key))
			continue
		}
		entry := optionEntry{name: key, data: val, at: p.place(key)}
		if _, err := strconv.ParseUint(key.Value, 10, 64); err == nil {
			entry.name, entry.code = nil, key
			if val.Kind == yaml.MappingNode {
				entry.data = nil
				inner := optionEntry{}
				if walk(p, typedKeys, val, &inner) == nil {
					continue
				}
				entry.data, entry.typ = inner.data, inner.typ
			}
		}
		if isNull(val) {
			p.errorf(key, "no-value", "give it a value or remove it", "option %s has no value", quotable(key.Value))
			continue
		}
		p.option(l, n, &entry)
	}
}

// optionEntry is one option before its value is read.
type optionEntry struct {
	name, code, space, typ, data *yaml.Node
	always, never                *yaml.Node
	at                           Place
}

var optionKeys = &keys[optionEntry]{
	what: "an option",
	known: map[string]func(*parser, *optionEntry, *yaml.Node){
		"name":        func(_ *parser, e *optionEntry, n *yaml.Node) { e.name = n },
		"code":        func(_ *parser, e *optionEntry, n *yaml.Node) { e.code = n },
		"space":       func(_ *parser, e *optionEntry, n *yaml.Node) { e.space = n },
		"type":        func(_ *parser, e *optionEntry, n *yaml.Node) { e.typ = n },
		"data":        func(_ *parser, e *optionEntry, n *yaml.Node) { e.data = n },
		"always-send": func(_ *parser, e *optionEntry, n *yaml.Node) { e.always = n },
		"never-send":  func(_ *parser, e *optionEntry, n *yaml.Node) { e.never = n },
	},
	later: []string{"client-classes"},
	words: map[string]string{
		"value": "data", "option": "name", "always": "always-send", "never": "never-send",
		"csv-format": "leave it out; type: binary takes data in hexadecimal",
	},
}

var typedKeys = &keys[optionEntry]{
	what:  "an option given by its code",
	known: map[string]func(*parser, *optionEntry, *yaml.Node){"type": optionKeys.known["type"], "data": optionKeys.known["data"]},
	words: map[string]string{"value": "data"},
}

// optionData reads Kea's long form, a list of {name, data} or {code, data}, with
// {code, type, data} for options that the registry does not have.
func (p *parser) optionData(l *level, n *yaml.Node) {
	if n.Kind != yaml.SequenceNode {
		p.errorf(n, "type", "write [{name: routers, data: 192.0.2.1}]", "this is a list of options, but here is %s", shape(n))
		return
	}
	for _, item := range n.Content {
		e := optionEntry{at: p.place(item)}
		if walk(p, optionKeys, item, &e) == nil {
			continue
		}
		p.option(l, item, &e)
	}
}

// option reads one option and adds it to l.
func (p *parser) option(l *level, n *yaml.Node, e *optionEntry) {
	sp, ok := p.space(e.space)
	if !ok {
		return
	}
	d := p.optionDef(n, sp, e)
	if d == nil {
		return
	}
	if why := owned[d.Code]; why != "" && sp == (space{}) {
		p.add(Error, e.at, "option-owned", why, "%s (option %d) cannot be configured", d.Name, d.Code)
		return
	}
	o := optionNode{code: d.Code, name: d.Name, at: e.at, val: e.at}
	if o.flags, ok = p.optionFlags(sp, e); !ok {
		return
	}
	if e.data != nil {
		o.val = p.place(e.data)
	}
	if o.flags&policy.NeverSend == 0 && !p.optionValue(&o, d, sp, e) {
		return
	}
	if sp != (space{}) {
		p.addSub(l, sp, o)
		return
	}
	p.addOption(l, o)
}

// optionFlags reads always-send and never-send.
func (p *parser) optionFlags(sp space, e *optionEntry) (flags policy.Flags, ok bool) {
	always, never := false, false
	if e.always != nil {
		if always, ok = p.boolean(e.always); !ok {
			return 0, false
		}
	}
	if e.never != nil {
		if never, ok = p.boolean(e.never); !ok {
			return 0, false
		}
	}
	switch {
	case always && never:
		p.errorf(e.never, "option-key", "remove one of them", "an option cannot be sent always and never")
		return 0, false
	case never && sp != (space{}):
		p.errorf(e.never, "option-key", fmt.Sprintf("write {name: %s, never-send: true}", dhcp4.Lookup(sp.carrier).Name), "the options of the space %s are sent together or not at all", sp)
		return 0, false
	case never:
		flags = policy.NeverSend
	case always:
		flags = policy.AlwaysSend
	}
	return flags, true
}

// optionValue reads the value of option d into o.
func (p *parser) optionValue(o *optionNode, d *dhcp4.Def, sp space, e *optionEntry) bool {
	if e.data == nil {
		if d.Type != dhcp4.TypeFlag {
			p.add(Error, e.at, "missing-key", "add data: …", "option %d needs the key \"data\"", d.Code)
			return false
		}
		e.data = &yaml.Node{Kind: yaml.ScalarNode, Value: "true", Line: e.at.Line, Column: e.at.Col}
	}
	words, ok := p.words(e.data, true)
	if !ok {
		return false
	}
	if d.Type == dhcp4.TypeString && len(words) == 1 && strings.Contains(words[0], "${") {
		if o.fill, words[0], ok = p.optionTemplate(sp, e.data, words[0]); !ok {
			return false
		}
	}
	var err error
	if o.data, err = d.AppendValue(nil, words); err != nil {
		p.badValue(d, e.data, err)
		return false
	}
	if sp != (space{}) && len(o.data) > 255 {
		p.errorf(e.data, "option-value", "shorten it", "%s (option %d of the space %s) has %d octets, 255 are the most", d.Name, d.Code, sp, len(o.data))
		return false
	}
	return true
}

// optionTemplate reads text with placeholders. Where it has none it returns the text that is
// sent, else the text as it is written.
func (p *parser) optionTemplate(sp space, n *yaml.Node, text string) (*template.Template, string, bool) {
	t, err := template.Parse(text, policy.Placeholders...)
	if te, ok := errors.AsType[*template.Error](err); ok {
		at := p.place(n)
		if strings.Contains(at.Text, text) { // as it is written, on one line
			if n.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle) != 0 {
				at.Col++
			}
			at.Col += utf8.RuneCountInString(text[:te.Offset])
			at.Len = utf8.RuneCountInString(text[te.Offset : te.Offset+te.Length])
		}
		fix := te.Fix
		if strings.HasPrefix(fix, "There are") { // scripts of boot loaders have such names too
			fix += "; or write $${ where the client is to get ${"
		}
		p.add(Error, at, "option-value", fix, "%s", te.Message)
		return nil, "", false
	}
	if plain, ok := t.Literal(); ok {
		return nil, plain, true
	}
	if sp != (space{}) {
		p.errorf(n, "option-value", "write $${ for the two characters ${ themselves", "an option of the space %s is the same for all clients", sp)
		return nil, "", false
	}
	return &t, text, true
}

// optionDef finds out which option e means and which type it has.
func (p *parser) optionDef(n *yaml.Node, sp space, e *optionEntry) *dhcp4.Def {
	var d *dhcp4.Def
	switch {
	case e.name != nil && e.code != nil:
		p.errorf(e.code, "option-key", "remove one of them", "an option has a name or a code, not both")
		return nil
	case e.name != nil:
		name, ok := p.text(e.name, "the name of an option")
		if !ok {
			return nil
		}
		if d = p.lookupName(sp, name); d == nil {
			p.unknownOption(sp, e.name, name)
			return nil
		}
	case e.code != nil:
		code, ok := p.code(e.code)
		if !ok {
			return nil
		}
		if d = p.lookupCode(sp, code); d == nil {
			d = &dhcp4.Def{Code: code, Name: fmt.Sprintf("option %d", code)}
			if e.typ == nil && e.never == nil {
				p.errorf(e.code, "option-type", fmt.Sprintf("write {code: %d, type: binary, data: 01:02}", code), "option %d is not in the registry, so its type must be given", code)
				return nil
			}
		}
	default:
		p.errorf(n, "missing-key", "add name or code", "the option does not say which one it is")
		return nil
	}
	if e.typ == nil {
		return d
	}
	t, ok := p.optionType(e.typ, optionTypes)
	if !ok {
		return nil
	}
	return &dhcp4.Def{Code: d.Code, Name: d.Name, Type: t, List: listable(t)}
}

// optionTypes are the types that an option given by its code can have.
var optionTypes = []dhcp4.Type{dhcp4.TypeFlag, dhcp4.TypeUint8, dhcp4.TypeUint16, dhcp4.TypeUint32, dhcp4.TypeInt32,
	dhcp4.TypeBool, dhcp4.TypeAddr, dhcp4.TypeAddr6, dhcp4.TypeString, dhcp4.TypeBinary, dhcp4.TypeFQDN, dhcp4.TypeRoutes}

// optionType reads one of the types.
func (p *parser) optionType(n *yaml.Node, types []dhcp4.Type) (dhcp4.Type, bool) {
	s, ok := p.text(n, "the type of an option")
	if !ok {
		return 0, false
	}
	names := make([]string, len(types))
	for i, t := range types {
		if names[i] = t.String(); names[i] == s {
			return t, true
		}
	}
	if word := typeWords[s]; word != "" {
		p.errorf(n, "option-type", "write "+word, "%s is not a type of options", quotable(s))
		return 0, false
	}
	p.errorf(n, "option-type", "write one of "+strings.Join(names, ", "), "%s is not a type of options", quotable(s))
	return 0, false
}

// typeWords are the names that Kea and dhcpd have for types.
var typeWords = map[string]string{"empty": "flag", "text": "string", "ip-address": "ipv4-address", "domain-name": "fqdn",
	"domain-list": "fqdn with array: true", "integer": "uint32", "unsigned": "uint32", "bool": "boolean", "hex": "binary"}

// unknownOption reports a name that no option has, with the option that was
// probably meant.
func (p *parser) unknownOption(sp space, n *yaml.Node, name string) {
	own := make([]string, len(p.own[sp]))
	for i := range own {
		own[i] = p.own[sp][i].Name
	}
	if near := spell.Nearest(name, own); near != "" {
		p.errorf(n, "unknown-option", fmt.Sprintf("did you mean %q?", near), "no option is called %s", quotable(name))
		return
	}
	if sp != (space{}) {
		p.errorf(n, "unknown-option", "define it under option-definitions, or give its code and type", "no option of the space %s is called %s", sp, quotable(name))
		return
	}
	fix := ""
	if d := dhcp4.LookupName(dhcp4.Suggest(name)); d != nil {
		also := ""
		if near := spell.Nearest(name, []string{d.Name, d.DhcpdName, d.DnsmasqName}); near != "" && near != d.Name {
			server := "dhcpd"
			if near == d.DnsmasqName {
				server = "dnsmasq"
			}
			also = fmt.Sprintf(" (%s: %s)", server, near)
		}
		fix = fmt.Sprintf("option %d is %s%s", d.Code, d.Name, also)
	}
	pr := p.errorf(n, "unknown-option", fix, "no option is called %s", quotable(name))
	if fix == "" {
		pr.note("an option without a name here is written as option-data: [{code: 224, type: binary, data: 01:02}]")
	}
}

// words returns the scalars of a value: one word for each item. An item that is a
// list of its own, such as a route, becomes one word.
func (p *parser) words(n *yaml.Node, nested bool) ([]string, bool) {
	if n.Kind != yaml.SequenceNode {
		s, ok := p.text(n, "a value or a list of values")
		return []string{s}, ok
	}
	words := make([]string, 0, len(n.Content))
	for _, item := range n.Content {
		if item.Kind == yaml.SequenceNode && nested {
			inner, ok := p.words(item, false)
			if !ok {
				return nil, false
			}
			words = append(words, strings.Join(inner, " "))
			continue
		}
		s, ok := p.text(item, "a value")
		if !ok {
			return nil, false
		}
		words = append(words, s)
	}
	return words, true
}

// badValue reports that the option d does not take the value n.
func (p *parser) badValue(d *dhcp4.Def, n *yaml.Node, err error) {
	at, word := n, n
	if n.Kind == yaml.SequenceNode {
		word = nil
		for _, item := range n.Content {
			words, ok := p.words(item, false)
			if !ok {
				return
			}
			if _, e := d.AppendValue(nil, []string{strings.Join(words, " ")}); e != nil && d.List && !d.Pairs && d.Type != dhcp4.TypeRecord {
				at, word, err = item, item, e
				break
			}
		}
	}
	detail := ""
	if inner := errors.Unwrap(err); inner != nil {
		detail = "; " + inner.Error()
	}
	takes := d.Takes()
	if detail == "" && !strings.HasPrefix(err.Error(), d.Name+" takes ") {
		p.errorf(at, "option-value", "", "%s", err)
		return
	}
	addresses := d.Type == dhcp4.TypeAddr
	if addresses && word != nil && looksLikeName(word.Value) {
		p.errorf(at, "option-value", "", "%s (option %d) takes %s; %s is a name", d.Name, d.Code, takes, quotable(word.Value)).
			note("names are not resolved: two clients could get two answers")
		return
	}
	p.errorf(at, "option-value", "", "%s (option %d) takes %s%s", d.Name, d.Code, takes, detail)
}

func looksLikeName(s string) bool {
	letter := false
	for _, label := range strings.Split(strings.TrimSuffix(s, "."), ".") {
		if !isLabel(label) {
			return false
		}
		letter = letter || strings.ContainsFunc(label, func(r rune) bool { return r|0x20 >= 'a' && r|0x20 <= 'z' })
	}
	return letter
}
