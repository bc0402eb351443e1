package setup

// HookEvent is what the hook program is told, as JSON and as environment variables.
type HookEvent struct {
	Event     string // bound, renewed, lost, …: of a fixed list
	Interface string
	State     string
	Reason    string
	Config    *Config           // nil: no lease
	Options   map[string]string // name of options.csv to hexadecimal value, of the ACK
}

type hooks struct{}

func newHooks(program, ifname string, warn func(string)) (*hooks, error) { return &hooks{}, nil }
func (k *hooks) close()                                                  {}

// Hook starts the hook program for e, or queues it; it never waits.
func (h *Host) Hook(e *HookEvent) {}
