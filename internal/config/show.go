package config

import (
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"lessor/dhcp4"
	"lessor/internal/policy"
)

// Shown is one value of a configuration, and where it comes from.
type Shown struct {
	Path   string `json:"path"`  // such as subnets[office].pools[192.0.2.64/27].valid-lifetime
	Value  string `json:"value"` // as YAML on one line; empty above a list or mapping
	Origin string `json:"origin"`

	key   string
	depth int
	item  bool // the first key of an item of a list
}

// Show lists the values of a file, which has no errors, in its order: those that it
// sets, or with effective all that are in force at each place, inherited ones and
// defaults too.
func Show(name string, data []byte, effective bool) ([]Shown, Problems) {
	cfg, problems := Parse(name, data)
	if cfg == nil {
		return nil, problems
	}
	p := newParser(name, data)
	s := &shower{p: p, policy: cfg.policy, effective: effective, pools: map[policy.Pos]*inForce{}}
	s.level("", "configuration", p.read(), 0, nil)
	return s.out, nil
}

// Text is the values as a YAML file, with the origin of each behind it if asked for.
func Text(values []Shown, origin bool) string {
	var b strings.Builder
	for i := range values {
		v := &values[i]
		line := strings.Repeat("  ", v.depth)
		if v.item {
			line = line[:len(line)-2] + "- "
		}
		line += quote(v.key) + ":"
		if v.Value != "" {
			line += " " + v.Value
		}
		if origin && v.Value != "" {
			line = fmt.Sprintf("%-46s # %s", line, v.Origin)
		}
		b.WriteString(line + "\n")
	}
	return b.String()
}

const originDefault = "default"

// settled are the defaults of the keys of the file that are not inherited.
var settled = []Setting{
	{"authoritative", "true"}, {"nak-delivery", "auto"}, {"offer-lifetime", "60s"}, {"lease-grace", "auto"}, {"decline-probation-period", "24h"},
	{"conflict-check", "arp"}, {"match-client-id", "true"}, {"rapid-commit", "false"}, {"subnet-selection", "relays"},
}

// inForce is what holds at one level: a value for each key, and for options and boot
// one for each name. Both are in the order in which they were first set.
type inForce struct {
	life   policy.Lifetimes // as set, not resolved
	keys   []setAt
	tables map[string][]setAt
}

type setAt struct{ key, value, origin string }

// put sets a key of a list.
func put(list []setAt, s setAt) []setAt {
	if i := slices.IndexFunc(list, func(o setAt) bool { return o.key == s.key }); i >= 0 {
		list[i] = s
		return list
	}
	return append(list, s)
}

func (f *inForce) clone() *inForce {
	g := &inForce{tables: map[string][]setAt{}}
	if f != nil {
		g.life, g.keys = f.life, slices.Clone(f.keys)
		for k, v := range f.tables {
			g.tables[k] = slices.Clone(v)
		}
	}
	return g
}

func (f *inForce) originOf(key string) string {
	for _, s := range f.keys {
		if s.key == key {
			return s.origin
		}
	}
	return originDefault
}

type shower struct {
	p         *parser
	effective bool
	out       []Shown
	policy    *policy.Policy
	pools     map[policy.Pos]*inForce
}

func (s *shower) origin(n *yaml.Node) string { return fmt.Sprintf("%s:%d", s.p.name, n.Line) }

// lists are the lists of mappings, by the key that names an item.
var lists = map[string][]string{"subnets": {"name", "subnet"}, "pools": {"pool"}, "reservations": {"hostname", "ip-address", "hw-address", "client-id"},
	"shared-networks": {"name"}, "client-classes": {"name"}, "option-definitions": {"name"}}

// inherited are the keys that every level has.
func inherited(key string) bool {
	for _, t := range []table{fileKeys, subnetKeys, poolKeys, reservationKeys} {
		if !slices.Contains(t.names(), key) {
			return false
		}
	}
	return key != "client-classes"
}

func isLifetime(key string) bool { return strings.HasSuffix(key, "valid-lifetime") }

// level shows one mapping. outer is what holds around it.
func (s *shower) level(path, kind string, n *yaml.Node, depth int, outer *inForce) *inForce {
	own := outer.clone()
	s.gather(n, own, outer)
	first := len(s.out)
	var deep []*yaml.Node // lists of other mappings come last
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, val := n.Content[i], n.Content[i+1]
		switch {
		case lists[key.Value] != nil && val.Kind == yaml.SequenceNode && hasMapping(val, key.Value):
			if key.Value == "pools" { // reservations have what pools have
				deep = append([]*yaml.Node{key, val}, deep...)
			} else {
				deep = append(deep, key, val)
			}
		case s.effective && kind != "client class" && inherited(key.Value):
		default:
			s.emit(path, key.Value, oneLine(val), s.origin(val), depth)
		}
	}
	if s.effective {
		s.rest(path, kind, n, depth, own)
	}
	for i := 0; i+1 < len(deep); i += 2 {
		s.list(path, deep[i].Value, deep[i+1], depth, own)
	}
	if depth > 0 && first < len(s.out) {
		s.out[first].item = true
	}
	return own
}

func hasMapping(list *yaml.Node, key string) bool {
	return key == "pools" || len(list.Content) > 0 && list.Content[0].Kind == yaml.MappingNode
}

// gather puts what a mapping sets itself over what holds around it.
func (s *shower) gather(n *yaml.Node, own, outer *inForce) {
	life := policy.Lifetimes{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, val := n.Content[i].Value, n.Content[i+1]
		switch {
		case !inherited(key):
		case isLifetime(key):
			seconds, _ := parseDuration(strings.TrimSpace(val.Value))
			switch key {
			case "valid-lifetime":
				life.Valid = seconds
			case "min-valid-lifetime":
				life.Min = seconds
			default:
				life.Max = seconds
			}
			own.keys = put(own.keys, setAt{key, val.Value, s.origin(val)})
		case key == "options" || key == "option-data":
			s.gatherOptions(val, own)
		case val.Kind == yaml.MappingNode:
			for j := 0; j+1 < len(val.Content); j += 2 {
				own.tables[key] = put(own.tables[key], setAt{val.Content[j].Value, oneLine(val.Content[j+1]), s.origin(val.Content[j+1])})
			}
		default:
			own.keys = put(own.keys, setAt{key, oneLine(val), s.origin(val)})
		}
	}
	if outer != nil {
		life = life.Within(outer.life)
	}
	own.life = life
}

func (s *shower) gatherOptions(val *yaml.Node, own *inForce) {
	set := func(name, value string, at *yaml.Node) {
		if d := dhcp4.LookupName(name); d != nil {
			name = d.Name
		}
		own.tables["options"] = put(own.tables["options"], setAt{name, value, s.origin(at)})
	}
	if val.Kind == yaml.MappingNode {
		for j := 0; j+1 < len(val.Content); j += 2 {
			set(val.Content[j].Value, oneLine(val.Content[j+1]), val.Content[j+1])
		}
		return
	}
	for _, item := range val.Content {
		name, rest := "", &yaml.Node{Kind: yaml.MappingNode}
		for j := 0; j+1 < len(item.Content); j += 2 {
			switch key := item.Content[j].Value; key {
			case "name", "code":
				name = item.Content[j+1].Value
			default:
				rest.Content = append(rest.Content, item.Content[j], item.Content[j+1])
			}
		}
		if space := valueOf(item, "space"); space != nil {
			name = space.Value + "/" + name
		}
		value := oneLine(rest)
		if data := valueOf(item, "data"); data != nil && len(rest.Content) == 2 {
			value = oneLine(data)
		}
		set(name, value, item)
	}
}

// rest shows what holds at a level beside its own keys.
func (s *shower) rest(path, kind string, n *yaml.Node, depth int, own *inForce) {
	if kind == "client class" || kind == "option definition" {
		return
	}
	life := own.life.Resolve()
	s.lifetime(path, "valid-lifetime", life.Valid, own.life.Valid, depth, own)
	s.lifetime(path, "min-valid-lifetime", life.Min, own.life.Min, depth, own)
	s.lifetime(path, "max-valid-lifetime", life.Max, own.life.Max, depth, own)
	for _, k := range own.keys {
		if !isLifetime(k.key) {
			s.emit(path, k.key, k.value, k.origin, depth)
		}
	}
	if kind == "configuration" {
		for _, d := range settled {
			if valueOf(n, d.Key) == nil {
				s.emit(path, d.Key, d.Value, originDefault, depth)
			}
		}
	}
	if pre := valueOf(n, "subnet"); kind == "subnet" && pre != nil {
		if valueOf(n, "name") == nil {
			s.emit(path, "name", pre.Value, originDefault, depth)
		}
		if got, err := dhcp4.ParsePrefix(strings.TrimSpace(pre.Value)); err == nil && !slices.ContainsFunc(own.tables["options"], func(o setAt) bool { return o.key == "subnet-mask" }) {
			own.tables["options"] = append(own.tables["options"], setAt{"subnet-mask", got.Mask().String(), originDefault})
		}
	}
	for _, name := range []string{"options", "boot"} {
		if table := own.tables[name]; len(table) > 0 {
			s.emit(path, name, "", "", depth)
			for _, o := range table {
				s.emit(path+"."+name, o.key, o.value, o.origin, depth+1)
			}
		}
	}
}

// lifetime shows a duration: one that no level sets, or that an inner valid-lifetime
// moves, comes from valid-lifetime.
func (s *shower) lifetime(path, key string, seconds, set uint32, depth int, own *inForce) {
	origin := own.originOf(key)
	if key != "valid-lifetime" && (set != seconds || origin == originDefault) {
		origin = own.originOf("valid-lifetime")
	}
	s.emit(path, key, formatDuration(seconds), origin, depth)
}

// list shows a list of mappings.
func (s *shower) list(path, key string, list *yaml.Node, depth int, own *inForce) {
	s.emit(path, key, "", "", depth)
	for _, item := range list.Content {
		if item.Kind != yaml.MappingNode { // a pool that is only a range
			item = &yaml.Node{Kind: yaml.MappingNode, Line: item.Line, Column: item.Column, Content: []*yaml.Node{scalarNode("pool"), item}}
		}
		name := ""
		for _, by := range lists[key] {
			if v := valueOf(item, by); v != nil && name == "" {
				name = oneLine(v)
			}
		}
		inner := strings.TrimPrefix(path+"."+key, ".") + "[" + name + "]"
		outer := own
		if key == "reservations" {
			outer = s.poolOf(item, own)
		}
		in := s.level(inner, kindOf[key], item, depth+2, outer)
		if key == "pools" {
			s.pools[s.p.place(valueOf(item, "pool")).pos()] = in
		}
	}
}

// poolOf is what holds for a reservation: what its pool has, if its address lies in one,
// else what its subnet has.
func (s *shower) poolOf(res *yaml.Node, own *inForce) *inForce {
	at := valueOf(res, "ip-address")
	if at == nil {
		return own
	}
	a, err := dhcp4.ParseAddr(strings.TrimSpace(at.Value))
	if err != nil {
		return own
	}
	if sn := s.policy.SubnetOf(a); sn != nil {
		if pool := sn.PoolOf(a); pool != nil && s.pools[pool.Pos] != nil {
			return s.pools[pool.Pos]
		}
	}
	return own
}

func (s *shower) emit(path, key, value, origin string, depth int) {
	s.out = append(s.out, Shown{Path: strings.TrimPrefix(path+"."+key, "."), Value: value, Origin: origin, key: key, depth: depth})
}

// oneLine is a value on one line.
func oneLine(n *yaml.Node) string {
	var parts []string
	switch n.Kind {
	case yaml.ScalarNode:
		return quote(n.Value)
	case yaml.SequenceNode:
		for _, c := range n.Content {
			parts = append(parts, oneLine(c))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		parts = append(parts, quote(n.Content[i].Value)+": "+oneLine(n.Content[i+1]))
	}
	return "{" + strings.Join(parts, ", ") + "}"
}
