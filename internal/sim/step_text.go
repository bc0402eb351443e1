package sim

import (
	"fmt"

	"lessor/dhcp4"
)

var stepNames = [...]string{
	StepNone: "nothing", StepKill: "kill", StepPower: "power cut", StepStop: "stop", StepSuspend: "suspend",
	StepDiskError: "disk error", StepDiskSlow: "slow disk", StepWall: "wall clock step", StepDrift: "clock rate",
	StepPart: "partition", StepLinkDown: "link down", StepRenumber: "renumber", StepMove: "move", StepReload: "reload",
	StepRelease: "leases release", StepRenew: "renew", StepRebind: "rebind", StepGiveUp: "give up", StepBoot: "boot through the ROM",
	StepForge: "forge",
}

// String names the kind of a step.
func (k StepKind) String() string {
	if int(k) < len(stepNames) {
		return stepNames[k]
	}
	return fmt.Sprintf("step %d", uint8(k))
}

var forgeNames = [...]string{
	ForgeDiscover: "DISCOVER", ForgeRequest: "REQUEST", ForgeRenew: "REQUEST (renewing)", ForgeRelease: "RELEASE", ForgeDecline: "DECLINE",
	ForgeARP: "ARP answers", ForgeReply: "replies of a server", ForgeBytes: "random octets", ForgeMutant: "changed copies of frames",
}

// String names what is forged.
func (f Forgery) String() string {
	if int(f) < len(forgeNames) {
		return forgeNames[f]
	}
	return fmt.Sprintf("forgery %d", uint8(f))
}

// String is what the step does to its host, for a reader.
func (p *Step) String() string {
	text := p.Kind.String()
	switch p.Kind {
	case StepKill:
		text += after(p.N)
	case StepPower:
		text += after(p.N>>2) + ", what was not synced is " + [...]string{"kept", "lost", "torn", "torn"}[p.N&3]
		if p.Size != 0 {
			text += ", wall clock then " + signed(p.Size)
		}
	case StepDiskError:
		if p.N == 0 {
			return text + ", once"
		}
	case StepDiskSlow:
		text += ", " + SpanText(p.Size) + " more a sync"
	case StepWall:
		text += " " + signed(p.Size)
	case StepDrift:
		text += fmt.Sprintf(" %+d ppm", p.N)
	case StepPart:
		text += p.partition()
	case StepLinkDown:
		text += fmt.Sprintf(" eth%d", p.N)
	case StepRenumber:
		text += fmt.Sprintf(" eth%d to %s", p.N, dhcp4.Prefix{Addr: p.Addr, Bits: p.Bits})
	case StepMove:
		text += fmt.Sprintf(" to segment %d", p.N)
	case StepRelease:
		text += " " + p.Addr.String()
		if p.N == 1 {
			text += " --now"
		}
	case StepForge:
		text += fmt.Sprintf(" %d × %s", p.Size, p.Forge)
	}
	if p.For != 0 {
		text += ", for " + SpanText(p.For)
	}
	return text
}

func after(boundaries int) string {
	if boundaries == 0 {
		return ""
	}
	return fmt.Sprintf(" after %s", plural(boundaries, "more effect"))
}

func (p *Step) partition() string {
	switch {
	case p.Peer == "":
		return ": nobody hears it"
	case p.N == 1:
		return " from " + p.Peer + ", both ways"
	}
	return ": " + p.Peer + " does not hear it"
}
