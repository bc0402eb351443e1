// Package sim is Lessor in a world of its own: servers, clients, links, disks and clocks
// in memory, with a time that only the simulation moves. What runs in it is what is
// shipped: engine.Serving, client.Machine, the frames of package link. A seed decides
// everything, so that one seed is one history, bit for bit, and internal/checker judges
// each by docs/invariants.md.
package sim

import (
	"lessor/dhcp4"
	"lessor/internal/client"
	"lessor/internal/engine"
	"lessor/internal/wire"
)

// Plan is everything of a run that does not follow from traffic: who takes part, how
// good the links are, and what goes wrong when. A seed and a scenario make one (Draw);
// taking Steps, hosts or rates away makes a smaller one that can be run just as well,
// which is how a failing run is shrunk. Times are true time in nanoseconds from the
// start of the run.
type Plan struct {
	Seed     uint64 // of the dice that are thrown while it runs: the fate of each frame, delays of the disk
	Servers  []ServerPlan
	Clients  []ClientPlan
	Hostiles []wire.MAC // stations that only Steps make speak
	Relays   []RelayPlan
	Segments int   // broadcast domains that the servers are on; 0 is the first
	Far      int   // further ones, behind relay agents; their numbers go on from Segments
	Snoops   []int // segments whose switch puts option 82 into what clients broadcast
	Net      NetPlan
	Steps    []Step // in order of At
	Heal     int64  // from then on nothing goes wrong any more, and L1 to L4 must come true
	End      int64
}

// ServerPlan is a server on one interface of one or more segments.
type ServerPlan struct {
	Name    string
	Config  string         // YAML; its interfaces are eth0 for segment 0, eth1 for segment 1, …
	Addrs   []dhcp4.Prefix // of eth0, eth1, …
	Clock   ClockPlan
	Store   StoreKind
	Latency [2]int64 // of a commit's sync: least and most, while nothing makes it slower
	Batch   bool     // packets are taken in batches, with what waits between two
	Rare    engine.Rare
}

// StoreKind says what keeps a server's leases.
type StoreKind uint8

// The stores: a model of a disk around store/memory, or Pebble on a file system in
// memory that loses what was not synced.
const (
	StoreModel StoreKind = iota
	StorePebble
)

// ClientPlan is a host with Lessor's client, or a plain client that keeps the protocol
// in its simplest form (no ARP check; its lease counts from its last transmission).
type ClientPlan struct {
	Name    string
	MAC     wire.MAC
	Segment int
	Start   int64
	Plain   bool
	Config  client.Config
	Clock   ClockPlan

	// ROM is what the machine's network boot asks with before its system runs (StepBoot): the
	// same card in another name. Nil: it has none.
	ROM *client.Config
}

// RelayPlan is a router between segments on which a relay agent runs: eth0 is towards the
// servers, the others have clients.
type RelayPlan struct {
	Name       string
	Up         int          // the segment of eth0
	Addr       dhcp4.Prefix // of eth0
	Ports      []RelayPort  // eth1, eth2, …
	Servers    []dhcp4.Addr
	SourcePort uint16 // of what it sends to servers; 0: 67
}

// RelayPort is an interface of a router with clients.
type RelayPort struct {
	Segment   int
	Addrs     []dhcp4.Prefix
	GIAddr    dhcp4.Addr // 0: the first of Addrs; else an address of the router besides
	Selection bool       // link selection and server identifier override
	CircuitID string     // templates
	RemoteID  string
}

// ClockPlan is how a host's clocks begin: the wall clock's error in nanoseconds, and the
// rate error of CLOCK_BOOTTIME in parts per million, at most 200 either way.
type ClockPlan struct {
	Offset int64
	Drift  int32
}

// NetPlan is how bad the links are until Heal. Rates are parts per million per frame and
// receiver.
type NetPlan struct {
	Loss, Copy, Late, Damage uint32
	MaxDelay                 int64    // of a late frame: up to D
	Base                     [2]int64 // least and most of an ordinary frame's delay
}

// StepKind says what a Step does.
type StepKind uint8

// What can go wrong, or be done. A Host is the name of a server or client.
const (
	StepNone StepKind = iota

	// Processes and machines. N: after so many further effect boundaries (0: at once).
	StepKill    // the process of Host ends without a word; For: until it is started again
	StepPower   // the machine of Host loses power and boots after For; N&3 of what was not synced: 0 kept, 1 lost, 2 torn
	StepStop    // Host is asked to stop, and started again after For
	StepSuspend // Host sleeps for For

	// Disk of Host.
	StepDiskError // writes fail: once (N 0) or for For
	StepDiskSlow  // each sync takes Size nanoseconds longer, for For

	// Clock of Host.
	StepWall  // the wall clock steps by Size nanoseconds
	StepDrift // the rate error becomes N parts per million

	// Links.
	StepPart     // frames from Host reach Peer no more, for For; N 1: nor the other way round. Peer "": nobody
	StepLinkDown // Host's interface N loses its carrier for For
	StepRenumber // Host's interface N has Addr (and Bits) in place of its address, for For (0: for good)
	StepMove     // the client Host is plugged into segment N

	// Configuration and operator of the server Host.
	StepReload  // Text is offered as configuration
	StepRelease // leases release Addr; N 1: --now

	// Wishes of the client Host's user.
	StepRenew
	StepRebind
	StepGiveUp // lessor client release, and renew after For
	StepBoot   // the machine boots: its ROM has an address for For, then its system starts

	// A hostile station (Host is hostileName of its index in Hostiles) sends Size frames like
	// Forge within For.
	StepForge
)

// Forgery says what a hostile station sends.
type Forgery uint8

// The forgeries. "Random" is drawn from the plan's dice while it runs.
const (
	ForgeDiscover Forgery = iota // random identities
	ForgeRequest                 // random identities, addresses of the pool, with and without the server's identifier
	ForgeRenew                   // random identities, ciaddr of a pool
	ForgeRelease                 // of addresses of the pool, in a random identity's name or with half of the holder's identity
	ForgeDecline                 // the same
	ForgeARP                     // answers for addresses of the pool
	ForgeReply                   // OFFER, ACK and NAK to clients, with wrong xid or chaddr
	ForgeBytes                   // random octets to port 67 and 68
	ForgeMutant                  // a frame seen before, with octets changed, but never with its sender's whole identity
)

// Step is one thing that is done to the world at a time.
type Step struct {
	At    int64
	Kind  StepKind
	Host  string
	Peer  string
	N     int
	Size  int64
	For   int64
	Addr  dhcp4.Addr
	Bits  int
	Text  string
	Forge Forgery
}

// Result is what became of a run.
type Result struct {
	Plan     *Plan
	Breaches []string // rule and sentence, in the order in which they showed; empty: all promises were kept
	Rule     string   // of the first breach, "" for none
	Hash     [32]byte // of everything that happened
	Stats    Stats
}

// Stats counts what a run contained.
type Stats struct {
	Seeds    int
	Virtual  int64 // nanoseconds of true time
	Faults   int64 // Steps done, frames lost, copied, late or damaged, forged frames, partitioned frames
	Frames   int64 // handed to a receiver
	Messages int64 // DHCP messages that servers and clients sent
	Acks     int64
	Commits  int64
	Crashes  int64
}
