package tracefile

import (
	"lessor/dhcp4"
	"lessor/internal/lease"
)

// line is one entry as it is written: the clocks, and one of the bodies.
type line struct {
	M    int64  `json:"m,omitempty"`
	W    int64  `json:"w,omitempty"`
	T    int64  `json:"t,omitempty"`    // of a world's trace
	Host string `json:"host,omitempty"` // of a world's trace

	Clock      *clockLine      `json:"clock,omitempty"`
	Loaded     *loadedLine     `json:"loaded,omitempty"`
	Started    *startedLine    `json:"started,omitempty"`
	Ended      *endedLine      `json:"ended,omitempty"`
	Config     *configLine     `json:"config,omitempty"`
	Served     *servedLine     `json:"served,omitempty"`
	Interface  *interfaceLine  `json:"interface,omitempty"`
	Commit     *commitLine     `json:"commit,omitempty"`
	Disk       *diskLine       `json:"disk,omitempty"`
	Store      *storeLine      `json:"store,omitempty"`
	Frame      *frameLine      `json:"frame,omitempty"`
	Event      *eventLine      `json:"event,omitempty"`
	Counts     *countsLine     `json:"counts,omitempty"`
	Override   *overrideLine   `json:"override,omitempty"`
	Client     *clientLine     `json:"client,omitempty"`
	Phase      *phaseLine      `json:"phase,omitempty"`
	Usage      *usageLine      `json:"usage,omitempty"`
	Incomplete *incompleteLine `json:"incomplete,omitempty"`
}

type (
	clockLine struct {
		Boot  Octets `json:"boot"`
		Drift int32  `json:"drift-ppm,omitempty"`
	}
	loadedLine struct {
		Records []bindingLine `json:"records"`
	}
	startedLine struct {
		Boot    Octets `json:"boot"`
		Careful bool   `json:"careful,omitempty"`
		Fresh   bool   `json:"fresh,omitempty"`
		Records int    `json:"records"`
		Version string `json:"version,omitempty"`
		Took    int64  `json:"took,omitempty"`

		Bounds boundsLine `json:"bounds,omitzero"`
	}
	boundsLine struct {
		Offers  int `json:"offers,omitempty"`
		Checks  int `json:"checks,omitempty"`
		Passed  int `json:"passed,omitempty"`
		Changes int `json:"changes,omitempty"`
		Replies int `json:"replies,omitempty"`
	}
	endedLine struct {
		Clean   bool `json:"clean"`
		Power   bool `json:"power,omitempty"`
		Crashed bool `json:"crashed,omitempty"`
	}
	diskLine struct {
		Broken bool `json:"broken"`
		Slow   bool `json:"slow,omitempty"`
	}
	configLine struct {
		Text    string `json:"text"`
		Refused bool   `json:"refused,omitempty"`
		Why     string `json:"why,omitempty"`
		// What the command line or a start without a file sets beside the text.
		Interfaces    []string `json:"interfaces,omitempty"`
		Authoritative *bool    `json:"authoritative,omitempty"`
		Careful       bool     `json:"careful,omitempty"`
	}
	servedLine struct {
		Links []linkLine `json:"links"`
	}
	interfaceLine struct {
		Link  linkLine `json:"link"`
		Ready bool     `json:"ready,omitempty"`
		Up    bool     `json:"up,omitempty"`
	}
	linkLine struct {
		ID    int32          `json:"id"`
		Name  string         `json:"name"`
		MAC   mac            `json:"mac"`
		MTU   int            `json:"mtu,omitempty"`
		Addrs []dhcp4.Prefix `json:"addresses,omitempty"`
	}
	commitLine struct {
		Began   instantLine  `json:"began"`
		Mark    markLine     `json:"mark"`
		Changes []changeLine `json:"changes,omitempty"`
		Err     string       `json:"error,omitempty"`
		Unknown bool         `json:"unknown,omitempty"`
	}
	instantLine struct {
		M int64 `json:"m"`
		W int64 `json:"w"`
	}
	markLine struct {
		W    int64  `json:"w"`
		M    int64  `json:"m"`
		Boot Octets `json:"boot"`
	}
	changeLine struct {
		CompareOnly bool         `json:"compare-only,omitempty"`
		Outcome     string       `json:"outcome,omitempty"`
		Before      *bindingLine `json:"before,omitempty"`
		After       *bindingLine `json:"after,omitempty"`
	}
	bindingLine struct {
		Addr     dhcp4.Addr `json:"address,omitzero"`
		State    string     `json:"state,omitempty"`
		HType    uint8      `json:"htype,omitempty"`
		HW       Octets     `json:"hw,omitempty"`
		ClientID Octets     `json:"client-id,omitempty"`
		Hostname Octets     `json:"hostname,omitempty"`
		GIAddr   dhcp4.Addr `json:"giaddr,omitzero"`
		Agent    Octets     `json:"agent,omitempty"`
		Lifetime uint32     `json:"lifetime,omitempty"`
		Grace    uint32     `json:"grace,omitempty"`
		Start    int64      `json:"start,omitempty"`
		Renewed  int64      `json:"renewed,omitempty"`
		Until    int64      `json:"until,omitempty"`
		Boot     Octets     `json:"boot,omitempty"`
		End      int64      `json:"end,omitempty"`
		Free     int64      `json:"free,omitempty"`
		Rev      uint64     `json:"rev,omitempty"`
	}
	storeLine struct {
		Failing bool   `json:"failing"`
		Why     string `json:"why,omitempty"`
	}
	frameLine struct {
		Link    string     `json:"link,omitempty"`
		Sent    bool       `json:"sent,omitempty"`
		LinkID  int32      `json:"interface,omitempty"`
		SrcMAC  mac        `json:"src-mac"`
		DstMAC  mac        `json:"dst-mac"`
		Src     dhcp4.Addr `json:"src,omitzero"`
		Dst     dhcp4.Addr `json:"dst,omitzero"`
		SrcPort uint16     `json:"src-port,omitempty"`
		DstPort uint16     `json:"dst-port,omitempty"`
		Payload *Octets    `json:"payload,omitempty"`
		ARP     *arpLine   `json:"arp,omitempty"`
	}
	arpLine struct {
		Link      int32      `json:"interface,omitempty"`
		Op        uint16     `json:"op"`
		SenderMAC mac        `json:"sender-mac"`
		SenderIP  dhcp4.Addr `json:"sender-ip"`
		TargetMAC mac        `json:"target-mac"`
		TargetIP  dhcp4.Addr `json:"target-ip"`
		To        mac        `json:"to"`
	}
	eventLine struct {
		Kind     string     `json:"kind"`
		Type     string     `json:"type,omitempty"`
		Reason   string     `json:"reason,omitempty"`
		After    uint64     `json:"after,omitempty"`
		Link     int32      `json:"interface,omitempty"`
		Addr     dhcp4.Addr `json:"address,omitzero"`
		XID      uint32     `json:"xid,omitempty"`
		HType    uint8      `json:"htype,omitempty"`
		HW       Octets     `json:"hw,omitempty"`
		ClientID Octets     `json:"client-id,omitempty"`
		Hostname Octets     `json:"hostname,omitempty"`
		GIAddr   dhcp4.Addr `json:"giaddr,omitzero"`
		Lifetime uint32     `json:"lifetime,omitempty"`
	}
	countsLine struct {
		Pools     []poolLine        `json:"pools,omitempty"`
		Received  map[string]uint64 `json:"received,omitempty"`
		Sent      map[string]uint64 `json:"sent,omitempty"`
		Done      map[string]uint64 `json:"done,omitempty"`
		Dropped   map[string]uint64 `json:"dropped,omitempty"`
		Naks      map[string]uint64 `json:"naks,omitempty"`
		Alarms    map[string]uint64 `json:"alarms,omitempty"`
		Probes    uint64            `json:"probes,omitempty"`
		Unchecked uint64            `json:"unchecked,omitempty"`
		Unfilled  uint64            `json:"unfilled,omitempty"`
		Recalled  uint64            `json:"recalled,omitempty"`
		Bindings  int               `json:"bindings,omitempty"`
		Offers    int               `json:"offers,omitempty"`
		Past      int               `json:"past-offers,omitempty"`
		Checks    int               `json:"checks,omitempty"`
		Changes   int               `json:"changes,omitempty"`
		Replies   int               `json:"replies,omitempty"`
		Queued    int               `json:"queued,omitempty"`
		Overload  bool              `json:"overload,omitempty"`
	}
	poolLine struct {
		Subnet string            `json:"subnet"`
		First  dhcp4.Addr        `json:"first"`
		Last   dhcp4.Addr        `json:"last"`
		Size   uint64            `json:"size"`
		Count  map[string]uint64 `json:"count"`
	}
	overrideLine struct {
		Addr      dhcp4.Addr `json:"address"`
		Immediate bool       `json:"now,omitempty"`
	}
	clientLine struct {
		What     string     `json:"what"`
		Ours     bool       `json:"ours,omitempty"`
		MAC      mac        `json:"mac"`
		ClientID Octets     `json:"client-id,omitempty"`
		Addr     dhcp4.Addr `json:"address,omitzero"`
		State    string     `json:"state,omitempty"`
		Start    int64      `json:"start,omitempty"`
		End      int64      `json:"end,omitempty"`
		Lifetime uint32     `json:"lifetime,omitempty"`

		Probes    int   `json:"probes,omitempty"`
		ProbeMin  int64 `json:"probe-min,omitempty"`
		ProbeWait int64 `json:"probe-wait,omitempty"`
	}
	phaseLine struct {
		Name string `json:"name"`
	}
	usageLine struct {
		Goroutines int    `json:"goroutines"`
		FDs        int    `json:"fds"`
		Heap       uint64 `json:"heap"`
		Idle       bool   `json:"idle,omitempty"`
		Start      bool   `json:"start,omitempty"`
	}
	// incompleteLine ends a run whose later entries could not be written.
	incompleteLine struct {
		Why string `json:"why"`
	}
)

// bodies are how many kinds of body the line has, and the one it has when it is one.
func (l *line) body() (one any, n int) {
	add := func(there bool, b any) {
		if there {
			one = b
			n++
		}
	}
	add(l.Clock != nil, l.Clock)
	add(l.Loaded != nil, l.Loaded)
	add(l.Started != nil, l.Started)
	add(l.Ended != nil, l.Ended)
	add(l.Config != nil, l.Config)
	add(l.Served != nil, l.Served)
	add(l.Interface != nil, l.Interface)
	add(l.Commit != nil, l.Commit)
	add(l.Disk != nil, l.Disk)
	add(l.Store != nil, l.Store)
	add(l.Frame != nil, l.Frame)
	add(l.Event != nil, l.Event)
	add(l.Counts != nil, l.Counts)
	add(l.Override != nil, l.Override)
	add(l.Client != nil, l.Client)
	add(l.Phase != nil, l.Phase)
	add(l.Usage != nil, l.Usage)
	add(l.Incomplete != nil, l.Incomplete)
	return one, n
}

// instant of a line, and of an entry.
func instantOf(i lease.Instant) instantLine  { return instantLine{i.M, i.W} }
func (i instantLine) instant() lease.Instant { return lease.Instant{M: i.M, W: i.W} }
func boot(b lease.BootID) Octets             { return append(Octets(nil), b[:]...) }
func (o Octets) bootID() (b lease.BootID)    { copy(b[:], o); return b }
