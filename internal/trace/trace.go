// Package trace is the record of a run, as the checker judges it: what went over the
// wire, what the stores were asked to keep and when they had kept it, what the clocks
// showed. The simulator makes one in memory; `lessor serve --trace` and a capture make
// one on disk (tracefile).
package trace

import (
	"lessor/dhcp4"
	"lessor/internal/lease"
	"lessor/internal/policy"
	"lessor/internal/server"
	"lessor/internal/store"
	"lessor/internal/wire"
)

// Entry is one thing that happened. The entries of a trace are in the order in which
// things happened; of two with the same T the earlier one happened first. What an
// entry refers to is never changed afterwards.
type Entry struct {
	T    int64         // true time, nanoseconds from any origin
	Host string        // the host it is about; "" for the world
	Now  lease.Instant // that host's clocks; zero when they do not matter
	Body Body          // what happened, a pointer to one of the types below
}

// Body is one of Clock, Started, Loaded, Ended, Config, Served, Interface, Commit, Disk, StoreState,
// Frame, Happened, Relaying, Counts, Override, Client, Phase, Usage,
// Note.
type Body interface{ Kind() string }

// Clock says how the host's clocks run from T on: at T they show Now, and CLOCK_BOOTTIME
// gains Drift parts per million on true time. It comes before the first other entry of
// its host and after each step, suspend, boot and change of rate.
type Clock struct {
	Boot  lease.BootID
	Drift int32
}

// Loaded is a part of what a starting server read from its store, deadlines made valid
// for its boot (lease.Resume). All parts come right before Started.
type Loaded struct{ Records []lease.Binding }

// Started says that a server process has loaded its store and begins to serve. A Config
// entry follows at once.
type Started struct {
	Boot    lease.BootID
	Careful bool   // it starts in careful mode
	Fresh   bool   // the state directory was empty: a first start
	Records int    // sum of the Loaded entries before
	Version string // of the program; "" in the simulator
	Took    int64  // nanoseconds since the process began, CLOCK_BOOTTIME; 0 when not known

	Bounds Bounds `json:"-"` // where they are smaller than in service: in a simulated run
}

// Bounds are the most entries that some tables may have (I22). 0: as in service.
type Bounds struct {
	Offers  int // remembered, live and past
	Checks  int // addresses asked for at once
	Passed  int // addresses passed over at once
	Changes int // in one group
	Replies int // in one group
}

// Ended says that a server process is no more. Power: the machine went down with it, and
// what was not synced may be lost.
type Ended struct {
	Clean   bool // it was asked to and finished what it had begun
	Power   bool
	Crashed bool // it gave up by itself: nobody had asked it to, killed it or cut the power
}

// Disk is the truth about the disk below a server's store from T on. Until the first one
// it works.
type Disk struct {
	Broken bool // writes or syncs fail
	Slow   bool // what works may take more than a second, or a call that began then is under way
}

// Config is a configuration that was offered to a server. Refused: it was bad, and the
// old one stays in force.
type Config struct {
	Text    string         // YAML
	Policy  *policy.Policy `json:"-"` // nil when refused
	Refused bool
	Why     string
}

// Served are the interfaces that a server serves from now on.
type Served struct{ Links []wire.Link }

// Interface is the truth about one interface of a host: Ready when it exists, is up, has
// carrier and an address.
type Interface struct {
	Link  wire.Link
	Ready bool
	Up    bool // for a client's interface: carrier alone
}

// Commit is the store's answer to one group: T and Now are when its sync returned. A
// Commit without changes wrote the mark alone.
type Commit struct {
	Began   lease.Instant // when the store was given the group
	Mark    lease.Mark
	Changes []lease.Change
	Results []store.Outcome // one for each change
	Err     string          // "" when the sync succeeded; else nothing of the group is durable
	Unknown bool            // Err wraps store.ErrUnknown
}

// StoreState says that the server knows its store to be failing, or to be whole again.
type StoreState struct {
	Failing bool
	Why     string
}

// Frame is one frame on a link: a DHCP datagram, an ARP message or something else.
type Frame struct {
	Link     string      // name of the segment
	Sent     bool        // Host's send call began at T; else the frame was handed to Host at T
	LinkID   wire.LinkID // Host's interface; 0 when not known
	SrcMAC   wire.MAC
	DstMAC   wire.MAC
	Src, Dst dhcp4.Addr
	SrcPort  uint16
	DstPort  uint16
	Payload  []byte    // the DHCP message; nil when there is none
	ARP      *wire.ARP // nil when it is none
}

// Happened is an event of a server, after what it reports became true.
type Happened struct{ Event server.Event }

// Relaying says that a relay agent runs on the host from now on, by which interfaces with
// clients, as far as they are ready; without any it does not run.
type Relaying struct {
	Ports   []RelayPort
	MaxHops uint8 // it relays no request whose hops are more
}

// RelayPort is an interface of a relay agent with clients.
type RelayPort struct {
	Link    wire.LinkID
	Addr    dhcp4.Addr // its own
	GIAddr  dhcp4.Addr // that it sets
	Trusted bool       // option 82 of requests is believed there
}

// Counts is a look at a server between two inputs.
type Counts struct {
	Pools    []server.PoolCount
	Counters server.Counters
	Bindings int // records in memory
	Offers   int // live offers
	Past     int // offers that are over and still remembered
	Checks   int // conflict checks under way
	Changes  int // changes that wait for the store
	Replies  int // replies that wait for the store
	Queued   int // packets between the interfaces and the core
	Overload bool
}

// Override is an operator's `leases release`; Immediate with --now.
type Override struct {
	Addr      dhcp4.Addr
	Immediate bool
}

// ClientWhat says what a Client entry reports.
type ClientWhat string

// What a client does with an address.
const (
	ClientStart       ClientWhat = "start"       // its program starts
	ClientState       ClientWhat = "state"       // State is its state from now on
	ClientAccept      ClientWhat = "accept"      // it took an ACK of Addr: Start and End are those of its lease
	ClientConfigure   ClientWhat = "configure"   // Addr is on its interface from now on
	ClientDeconfigure ClientWhat = "deconfigure" // Addr is on its interface no more
	ClientKilled      ClientWhat = "killed"      // its program is no more; Addr stays on the interface until End at the latest
	ClientOff         ClientWhat = "off"         // its machine is off, and uses nothing
)

// Client is a step of a conforming client. Start and End are on Host's CLOCK_BOOTTIME.
// Hostile stations leave no Client entries.
type Client struct {
	What     ClientWhat
	Ours     bool // it is Lessor's client, held to I20
	MAC      wire.MAC
	ClientID []byte
	Addr     dhcp4.Addr
	State    string // RFC 2131 figure 5; "CHECKING" between ACK and use
	Start    int64
	End      int64
	Lifetime uint32

	// How it checks a new address before use (RFC 5227 2.1), in its ClientStart: Probes of
	// them, at least ProbeMin nanoseconds apart, and ProbeWait after the last. No
	// probes: it announces the address only, or does nothing.
	Probes    int
	ProbeMin  int64
	ProbeWait int64
}

// The phases of a run.
const (
	PhaseFaults = "faults" // anything may go wrong from now on
	PhaseHealed = "healed" // no more faults: what L1 to L4 promise must come true
	PhaseEnd    = "end"    // the run is over
)

// Phase says which part of a run begins. A trace without one is judged without L1.
type Phase struct{ Name string }

// Usage is what a process occupies (L3). Idle: no load for 60 s, or before any.
type Usage struct {
	Goroutines int
	FDs        int
	Heap       uint64 // octets in use
	Idle       bool
	Start      bool // the measure to compare with
}

// Note is a remark for a reader, of what no other entry says: a step of a simulation, a
// frame that was lost on its way. It has no part in any judgement.
type Note struct{ Text string }

// Kind is the name of the type in files.
func (*Clock) Kind() string      { return "clock" }
func (*Loaded) Kind() string     { return "loaded" }
func (*Started) Kind() string    { return "started" }
func (*Ended) Kind() string      { return "ended" }
func (*Config) Kind() string     { return "config" }
func (*Served) Kind() string     { return "served" }
func (*Interface) Kind() string  { return "interface" }
func (*Commit) Kind() string     { return "commit" }
func (*Disk) Kind() string       { return "disk" }
func (*StoreState) Kind() string { return "store" }
func (*Frame) Kind() string      { return "frame" }
func (*Happened) Kind() string   { return "event" }
func (*Relaying) Kind() string   { return "relaying" }
func (*Counts) Kind() string     { return "counts" }
func (*Override) Kind() string   { return "override" }
func (*Client) Kind() string     { return "client" }
func (*Phase) Kind() string      { return "phase" }
func (*Usage) Kind() string      { return "usage" }
func (*Note) Kind() string       { return "note" }
