package sim

import "lessor/internal/lease"

// measure is what a span counts.
type measure uint8

const (
	counts    measure = iota // 3
	shares                   // 30%
	durations                // 90s, 2h, 3d
	ratios                   // 1.5
)

// scenarioKey is one key of a scenario: a span, a number or a choice of words.
type scenarioKey struct {
	key   string
	doc   string // for the list of keys
	as    measure
	least int64
	most  int64
	span  func(*Scenario) *Span
	words []string
	pick  func(*Scenario) *[]string
}

// percent and so on are the units of spans.
const (
	percent  = 10_000 // parts per million
	day      = 86400 * lease.Second
	maxRun   = 400 * day
	maxHosts = 24 // that a /24 has room for in every pool
)

// forgeWords are the names of the forgeries, in their order.
var forgeWords = []string{"discover", "request", "renew", "release", "decline", "arp", "reply", "bytes", "mutant"}

// faultKeys are the kinds of steps that a scenario counts.
var faultKeys = []struct{ key, doc string }{
	{"kill", "the server's process is killed, between two of its effects"},
	{"power", "the server's machine loses power; what was not synced is kept, lost or torn"},
	{"stop", "the server is stopped and started again"},
	{"suspend", "the server's machine sleeps"},
	{"disk-error", "writes and syncs fail, once or for a while"},
	{"disk-slow", "syncs take up to 30 s"},
	{"wall-step", "the server's wall clock is set, a second to 20 years away"},
	{"drift", "a clock runs at another rate, up to 200 ppm"},
	{"partition", "frames from one host reach another one no more, or neither"},
	{"link-down", "an interface loses its carrier"},
	{"renumber", "the server's interface gets another address for a while"},
	{"reload", "the server is offered another configuration, good or bad"},
	{"operator", "leases release, with and without --now"},
	{"user", "a client's user renews, rebinds, or gives the address back"},
	{"client-kill", "a client's process is killed or stopped"},
	{"client-power", "a client's machine loses power"},
	{"client-suspend", "a client's machine sleeps"},
	{"client-wall", "a client's wall clock is set"},
	{"move", "a client is plugged into another segment"},
	{"relay-stop", "a relay agent is stopped and started again"},
	{"relay-power", "a router with a relay agent loses power"},
	{"boot", "a client boots: its ROM asks in another name than its system"},
}

// scenarioKeys are all keys, in the order in which they are shown.
var scenarioKeys = makeScenarioKeys()

func makeScenarioKeys() []scenarioKey {
	spans := []scenarioKey{
		{key: "servers", doc: "how many servers, each with a pool of its own", least: 1, most: 2, span: func(s *Scenario) *Span { return &s.Servers }},
		{key: "clients", doc: "how many clients", least: 1, most: maxHosts, span: func(s *Scenario) *Span { return &s.Clients }},
		{key: "segments", doc: "broadcast domains; each server serves all of them", least: 1, most: 2, span: func(s *Scenario) *Span { return &s.Segments }},
		{key: "ratio", doc: "clients to addresses", as: ratios, least: 200, most: 5000, span: func(s *Scenario) *Span { return &s.Ratio }},
		{key: "lease", doc: "how long leases last", as: durations, least: 4 * second, most: 100 * day, span: func(s *Scenario) *Span { return &s.Lease }},
		{key: "infinite", doc: "share of the seeds in which leases have no end", as: shares, most: 100 * percent, span: func(s *Scenario) *Span { return &s.Infinite }},
		{key: "run", doc: "how long a run lasts; fewer if it would have too many exchanges", as: durations, least: 300 * second, most: maxRun, span: func(s *Scenario) *Span { return &s.Run }},
		{key: "plain", doc: "share of the clients that keep the protocol in its simplest form", as: shares, most: 100 * percent, span: func(s *Scenario) *Span { return &s.Plain }},
		{key: "fast", doc: "share of the clients that do not wait before they begin", as: shares, most: 100 * percent, span: func(s *Scenario) *Span { return &s.Fast }},
		{key: "rare", doc: "share of the seeds in which tables and groups are tiny", as: shares, most: 100 * percent, span: func(s *Scenario) *Span { return &s.Rare }},
		{key: "reservations", doc: "how many clients have a reservation at the start", most: 8, span: func(s *Scenario) *Span { return &s.Reservations }},
		{key: "loss", doc: "frames that are lost", as: shares, most: 100 * percent, span: func(s *Scenario) *Span { return &s.Loss }},
		{key: "copies", doc: "frames that arrive twice", as: shares, most: 100 * percent, span: func(s *Scenario) *Span { return &s.Copies }},
		{key: "late", doc: "frames that arrive late, by up to D", as: shares, most: 100 * percent, span: func(s *Scenario) *Span { return &s.Late }},
		{key: "damage", doc: "frames with a bit changed", as: shares, most: 100 * percent, span: func(s *Scenario) *Span { return &s.Damage }},
		{key: "stations", doc: "hostile stations", most: 4, span: func(s *Scenario) *Span { return &s.Stations }},
		{key: "hostile", doc: "bursts of forged frames in a run", most: 100, span: func(s *Scenario) *Span { return &s.Hostile }},
		{key: "burst", doc: "forged frames in a burst", least: 1, most: 2000, span: func(s *Scenario) *Span { return &s.Burst }},
	}
	for i, f := range faultKeys {
		spans = append(spans, scenarioKey{key: f.key, doc: "in a run: " + f.doc, most: 200, span: func(s *Scenario) *Span { return &s.Faults[i].Count }})
	}
	spans = append(spans, networkKeys()...)
	yesNo := []string{"yes", "no"}
	return append(spans, []scenarioKey{
		{key: "exchanges", doc: "about how many exchanges a run may have", least: 20, most: 1_000_000},
		{key: "store", doc: "a model of a disk, or Pebble on a file system in memory", words: []string{"model", "pebble"}, pick: func(s *Scenario) *[]string { return &s.Store }},
		{key: "conflict-check", doc: "as in a configuration", words: []string{"arp", "off"}, pick: func(s *Scenario) *[]string { return &s.Check }},
		{key: "lease-grace", doc: "auto, the least that is allowed, or more than auto", words: []string{"auto", "least", "more"}, pick: func(s *Scenario) *[]string { return &s.Grace }},
		{key: "probation", doc: "how long a declined address is out", words: []string{"day", "short"}, pick: func(s *Scenario) *[]string { return &s.Probation }},
		{key: "match-client-id", doc: "as in a configuration", words: yesNo, pick: func(s *Scenario) *[]string { return &s.MatchID }},
		{key: "authoritative", doc: "as in a configuration; two servers never are", words: yesNo, pick: func(s *Scenario) *[]string { return &s.Authoritative }},
		{key: "rapid-commit", doc: "as in a configuration, and asked for by some clients", words: yesNo, pick: func(s *Scenario) *[]string { return &s.RapidCommit }},
		{key: "identifiers", doc: "what clients send as option 61", words: []string{"mac", "none", "fixed"}, pick: func(s *Scenario) *[]string { return &s.Identifiers }},
		{key: "detection", doc: "how clients check an address before they use it", words: []string{"probe", "announce", "off"}, pick: func(s *Scenario) *[]string { return &s.Detection }},
		{key: "reserved-by", doc: "keys of reservations: the client's own, or what its relay agent says, with its own or without", words: keyWords, pick: func(s *Scenario) *[]string { return &s.Nets.Keys }},
		{key: "forge", doc: "what hostile stations send", words: forgeWords, pick: func(s *Scenario) *[]string { return &s.Forge }},
	}...)
}

// networkKeys are those of relay agents, shared networks and classes.
func networkKeys() []scenarioKey {
	share := func(key, doc string, span func(n *Networks) *Span) scenarioKey {
		return scenarioKey{key: key, doc: doc, as: shares, most: 100 * percent, span: func(s *Scenario) *Span { return span(&s.Nets) }}
	}
	return []scenarioKey{
		{key: "relays", doc: "how many routers with a relay agent, each with one or two segments behind it", most: 3, span: func(s *Scenario) *Span { return &s.Nets.Relays }},
		share("link-selection", "share of the agents' interfaces with link selection and server identifier override", func(n *Networks) *Span { return &n.Selection }),
		share("named-relays", "share of the agents' interfaces with a giaddr that the configuration names", func(n *Networks) *Span { return &n.Named }),
		share("wrong-relays", "share of the agents' interfaces with a giaddr that nobody knows", func(n *Networks) *Span { return &n.Wrong }),
		share("source-port", "share of the agents that do not use port 67 (RFC 8357)", func(n *Networks) *Span { return &n.SourcePort }),
		share("shared", "share of the segments that have two subnets", func(n *Networks) *Span { return &n.Shared }),
		share("snooping", "share of the servers' segments whose switch puts in option 82, believed or not", func(n *Networks) *Span { return &n.Snoop }),
		share("classes", "share of the seeds with client classes and pools that are for some of them", func(n *Networks) *Span { return &n.Classes }),
		share("roms", "share of the clients that can boot from the network", func(n *Networks) *Span { return &n.ROM }),
	}
}

// ScenarioKeys returns each key of a scenario with what it means, for people.
func ScenarioKeys() (keys [][2]string) {
	for _, k := range scenarioKeys {
		keys = append(keys, [2]string{k.key, k.doc})
	}
	return keys
}
