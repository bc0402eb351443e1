package cli

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"lessor/internal/client"
	"lessor/internal/config"
	"lessor/internal/event"
	"lessor/internal/relay"
	"lessor/internal/server"
	"lessor/internal/spell"
)

// entry is the explanation of one id.
type entry struct {
	ID      string `json:"id"`
	Kind    string `json:"kind"` // message, reason, or fault of a configuration
	Level   string `json:"level,omitempty"`
	Meaning string `json:"meaning"`
	Action  string `json:"action,omitempty"`
}

// entries lists all ids: messages and reasons of the log, then faults of a
// configuration.
func entries() []entry {
	var all []entry
	for id := event.None + 1; id.String() != ""; id++ {
		m := id.Message()
		all = append(all, entry{m.Name, "message", m.Level.String(), m.Meaning, m.Action})
	}
	for r := server.None + 1; r < server.NumReasons; r++ {
		if r.String() != "" {
			all = append(all, entry{ID: r.String(), Kind: "reason", Meaning: sentence(r.Text())})
		}
	}
	also := func(of, id, text string) {
		i := slices.IndexFunc(all, func(e entry) bool { return e.ID == id })
		switch {
		case i < 0:
			all = append(all, entry{ID: id, Kind: "reason of the " + of, Meaning: sentence(text)})
		case all[i].Kind == "reason of the "+of: // one reason with two texts
			all[i].Meaning += " Or: " + text + "."
		case !strings.EqualFold(all[i].Meaning, text+"."):
			all[i].Meaning += " In the " + of + ": " + text + "."
		}
	}
	for r := client.None + 1; r < client.NumReasons; r++ {
		also("client", r.String(), r.Text())
	}
	for r := relay.None + 1; r < relay.NumReasons; r++ {
		also("relay agent", r.String(), r.Text())
	}
	for _, id := range slices.Sorted(maps.Keys(config.Messages)) {
		all = append(all, entry{ID: id, Kind: "fault of a configuration", Meaning: config.Messages[id]})
	}
	return all
}

// sentence begins with a capital and ends with a full stop.
func sentence(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:] + "."
}

const errorLong = `Explain an id of the log or of "lessor config check": what it means, and what to do.
Without an id, list them all.

Messages are written in capitals, such as LEASE_NAK; the reason of a refusal or a dropped
packet is written in small letters, such as no-record. Faults of a configuration begin with config/.`

func newErrorID(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:     "error [ID]",
		Short:   "Explain a message or a reason of the log",
		Long:    errorLong,
		Example: "  lessor error STORE_FAILED\n  lessor error no-record\n  lessor error -o json",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			all := entries()
			if len(args) == 1 {
				return explainID(g, all, args[0])
			}
			l := newLister(g, entryColumns)
			for _, e := range all {
				if err := l.add(e); err != nil {
					return err
				}
			}
			return l.close()
		},
	}
}

var entryColumns = []column[entry]{
	{name: "ID", cell: func(e entry) cell { return cell{text: e.ID, style: bold} }},
	{name: "LEVEL", cell: func(e entry) cell { return cell{text: e.Level} }},
	{name: "MEANING", cell: func(e entry) cell { return cell{text: e.Meaning} }},
	{name: "ACTION", wide: true, cell: func(e entry) cell { return cell{text: e.Action} }},
}

// explainID prints one entry in full, or fails with the closest id there is.
func explainID(g *globals, all []entry, id string) error {
	for _, same := range []func(a, b string) bool{func(a, b string) bool { return a == b }, strings.EqualFold} {
		for _, e := range all {
			if same(e.ID, id) {
				return g.explain(e)
			}
		}
	}
	best, bestDist := "", 4
	for _, e := range all {
		if d := spell.Distance(strings.ToLower(id), strings.ToLower(e.ID)); d < bestDist {
			best, bestDist = e.ID, d
		}
	}
	hint := `"lessor error" lists them all.`
	if best != "" {
		hint = fmt.Sprintf("Did you mean %s? ", best) + hint
	}
	return &ExitError{Code: ExitNotFound, Err: fmt.Errorf("no message or reason is called %q", id), Hint: hint}
}

// explain prints e in full, or in the format of --output.
func (g *globals) explain(e entry) error {
	if g.output != "table" && g.output != "wide" {
		l := newLister(g, entryColumns)
		if err := l.add(e); err != nil {
			return err
		}
		return l.close()
	}
	fmt.Fprintf(g.stdout, "%s  (%s)\n\n%s\n", paint(g.colored, bold, e.ID), strings.TrimSpace(e.Level+" "+e.Kind), e.Meaning)
	if e.Action != "" {
		fmt.Fprintf(g.stdout, "\nWhat to do: %s\n", e.Action)
	}
	return nil
}
