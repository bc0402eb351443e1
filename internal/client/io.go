package client

import (
	"lessor/dhcp4"
	"lessor/internal/lease"
	"lessor/internal/wire"
)

// InputKind says what an Input is.
type InputKind uint8

// The inputs of a Machine.
const (
	InputTick           InputKind = iota // time has passed; due at NextTick
	InputPacket                          // a DHCP message came to port 68
	InputARP                             // an ARP message came that concerns an address of AppendWatched
	InputLinkUp                          // the interface is up and has carrier: the first time, again, or with another MAC or MTU
	InputLinkDown                        // the interface lost its carrier, is down or gone
	InputNetworkChanged                  // the carrier stayed, but what is behind it may be another network
	InputResume                          // the machine was suspended and runs again
	InputRenew                           // the user asks: extend the lease now, by unicast; begin anew after a release
	InputRebind                          // the user asks: extend the lease now, by broadcast
	InputRelease                         // the user asks: give the address back and wait for InputRenew
	InputStop                            // the program ends: take everything off the interface, keep the lease for the next start
)

// Input is one thing that happens to a Machine. What its pointers and slices refer
// to is read during the call only.
type Input struct {
	Kind   InputKind
	Packet *wire.Packet // InputPacket
	ARP    *wire.ARP    // InputARP
	Link   wire.Link    // InputLinkUp; Addrs does not matter
}

// EffectKind says what an Effect asks for.
type EffectKind uint8

// The effects of a Machine.
const (
	EffectSend        EffectKind = iota // send Effect.Send
	EffectARP                           // send Effect.ARP
	EffectConfigure                     // put Effect.Lease on the interface, or update what is there: address with its remaining lifetime, routes, MTU, DNS
	EffectDeconfigure                   // take everything of the lease off the interface, at once; Reason says why
	EffectSave                          // Machine.Memory has changed: write it to disk
	EffectEvent                         // tell the user Effect.Event
)

// Effect is one thing to do. Effects are done in their order.
type Effect struct {
	Kind   EffectKind
	Send   wire.Send // its Data lies in memory of the Effects
	ARP    wire.ARP
	Lease  *Lease // of the Machine: not to be changed, and valid until the next call of Handle
	Reason Reason
	Event  Event
}

// Effects is what inputs asked for. The caller owns it and resets it when all is done.
type Effects struct {
	List []Effect

	arena []byte
}

// Reset empties e and keeps its memory.
func (e *Effects) Reset() { e.List, e.arena = e.List[:0], e.arena[:0] }

// State is a state of RFC 2131 4.4, figure 5, and Checking between ACK and use.
type State uint8

// The states.
const (
	Init       State = iota // no address, nothing under way: no link, a pause, or released
	Selecting               // DISCOVER is out
	Requesting              // an OFFER was chosen, the REQUEST is out
	Checking                // acknowledged; nobody may answer for the address (RFC 5227 2.1)
	Bound
	Renewing
	Rebinding
	InitReboot // finding out by ARP whether the network is a known one (RFC 4436), before the REQUEST
	Rebooting  // the REQUEST for a remembered address is out
)

var stateNames = [...]string{"INIT", "SELECTING", "REQUESTING", "CHECKING", "BOUND", "RENEWING", "REBINDING", "INIT-REBOOT", "REBOOTING"}

// String is the state's name in RFC 2131.
func (s State) String() string {
	if int(s) < len(stateNames) {
		return stateNames[s]
	}
	return "?"
}

// EventKind says what an Event reports.
type EventKind uint8

// The events.
const (
	EventState    EventKind = iota // From, To, Reason
	EventSent                      // a DHCP message left: Type, Server (0: to all), Addr, Try, Wait
	EventReceived                  // a reply that counts: Type, Server, Addr, MAC, and for a NAK Text
	EventIgnored                   // a message that does not count: Type (0 if unknown), Reason, Server, Addr, MAC
	EventConflict                  // another host has the address: Addr, MAC, Reason
	EventOption                    // an option of the lease is not used: Option, Reason
)

// Event is something to tell the user. Its slices lie in memory of the Effects.
type Event struct {
	Kind     EventKind
	From, To State
	Reason   Reason
	Type     dhcp4.MessageType
	XID      uint32
	Server   dhcp4.Addr
	Addr     dhcp4.Addr
	MAC      wire.MAC // source of the frame
	Try      int      // 1 for the first transmission of an exchange
	Wait     int64    // until the next transmission, nanoseconds; 0: none is planned
	Option   dhcp4.Code
	Text     []byte // option 56: text from the network
}

// Identifier is what the client sends as option 61.
type Identifier uint8

// The identifiers.
const (
	IdentifierMAC   Identifier = iota // 01 and the interface's address (RFC 2132 9.14)
	IdentifierNone                    // none
	IdentifierFixed                   // Config.ClientID
)

// Detection is how an address is checked before use.
type Detection uint8

// The ways of RFC 5227.
const (
	DetectProbe    Detection = iota // probes, announcements, defence
	DetectAnnounce                  // announcements and defence only, as S6 says
	DetectOff                       // nothing
)

// ProbeTimes are the constants of RFC 5227 1.1, times in nanoseconds.
type ProbeTimes struct {
	Wait, Min, Max   int64 // before the first probe: random up to Wait; between probes: random from Min to Max
	Num              int   // how many probes
	AnnounceWait     int64 // after the last probe, before use
	AnnounceNum      int
	AnnounceInterval int64
}

// RFC5227 are the constants of the RFC; Quick are for containers and virtual
// machines, whose switch answers at once.
var (
	RFC5227 = ProbeTimes{Wait: 1 * lease.Second, Min: 1 * lease.Second, Max: 2 * lease.Second, Num: 3,
		AnnounceWait: 2 * lease.Second, AnnounceNum: 2, AnnounceInterval: 2 * lease.Second}
	Quick = ProbeTimes{Wait: 0, Min: lease.Second / 20, Max: lease.Second / 10, Num: 3,
		AnnounceWait: lease.Second / 10, AnnounceNum: 2, AnnounceInterval: 2 * lease.Second}
)

// Config is what a Machine is told once. It is not changed afterwards.
type Config struct {
	Identifier  Identifier
	ClientID    []byte         // IdentifierFixed: 2 to 255 octets
	HostName    string         // option 12; "" for none
	FQDN        string         // option 81, sent in place of option 12 (RFC 4702 3.1); "" for none
	UserClass   []string       // option 77 (RFC 3004), each 1 to 255 octets
	VendorClass string         // option 60; "" for none
	Params      []dhcp4.Code   // option 55, but for what is refused anyway; nil: DefaultParams
	Options     []dhcp4.Option // further options of DISCOVER and REQUEST, as the user set them: none that the client sends itself
	Request     dhcp4.Addr     // the address to ask for until there is a lease or a NAK; 0 for none
	Lifetime    uint32         // option 51 to ask for, seconds; 0 for none

	Fast          bool // no random wait before the first message
	Detection     Detection
	Probe         ProbeTimes // zero: RFC5227, or Quick when Fast
	Allow, Deny   []dhcp4.Prefix
	SelectTimeout int64 // how long a better OFFER is waited for, nanoseconds; 0: the first good one is taken
	RapidCommit   bool  // option 80
	IPv6Only      bool  // option 108 (RFC 8925)
	NoRoutes      bool  // options 121, 249 and 33 are refused: only option 3 makes a route (CVE-2024-3661)
	MinRouteBits  int   // routes of 121, 249 and 33 that are shorter than this and no default route are refused
	Broadcast     bool  // sets the broadcast bit: for interfaces that cannot take unicast before they have an address
}

// Route is one route of a lease.
type Route struct {
	Dst dhcp4.Prefix `json:"destination"` // masked; Bits 0 is the default route
	Via dhcp4.Addr   `json:"gateway"`     // 0: on the link itself
}

// Settings are the options of a lease that the client uses, decoded and checked:
// every address can be one, every name is one of letters, digits, hyphens and dots,
// with labels and lengths as RFC 1035 2.3.4 has them. What did not pass is not in it.
type Settings struct {
	Broadcast     dhcp4.Addr // option 28, or what the mask gives; 0 for /31 and /32
	Routes        []Route    // 121, else 249, else 33 and 3 (RFC 3442); at most MaxRoutes
	Routers       []dhcp4.Addr
	MTU           uint16 // option 26; 0: none, else 576 and more
	DNS           []dhcp4.Addr
	Domain        string   // option 15
	Search        []string // option 119
	HostName      string   // option 12
	NTP           []dhcp4.Addr
	CaptivePortal string // option 114: a https or http URL of printable ASCII without spaces and quotes
	TimeZone      string // option 101
}

// Lease is an address with everything that came with it. Points of time are on
// CLOCK_BOOTTIME, in nanoseconds; lease.Never for none.
type Lease struct {
	Addr      dhcp4.Prefix // the host's own address, not masked
	Server    dhcp4.Addr   // option 54
	ServerMAC wire.MAC     // source of the frame that brought the ACK
	Lifetime  uint32       // option 51, lease.Infinite for no end

	Start    int64 // first transmission of the REQUEST that was answered (RFC 2131 4.4.1)
	T1, T2   int64
	End      int64
	Obtained int64 // wall time of Start, for people and for a start after a reboot

	ACK      []byte // the UDP payload of the ACK, at most MaxACK octets
	Settings Settings
}

// MaxACK is the longest ACK that is taken; longer ones are ignored. MaxRoutes and
// MaxServers bound the lists of Settings.
const (
	MaxACK     = 4096
	MaxRoutes  = 64
	MaxServers = 16
)

// MaxMemory is how many networks are remembered.
const MaxMemory = 16

// Remembered is a lease and the network that it belongs to. The network is known by
// the hardware address of its router, or of the server where there is no router.
type Remembered struct {
	Router    dhcp4.Addr // who is asked by ARP whether this is the network
	RouterMAC wire.MAC
	OwnMAC    wire.MAC // of the interface when the lease was obtained
	Lease     Lease
}
