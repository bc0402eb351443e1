package setup

type oldDNS struct{}
type oldFile struct{}

type resolver struct{}

func newResolver(ifname string, o Options, warn func(string)) *resolver { return &resolver{} }
func (r *resolver) close()                                              {}
func (h *Host) applyDNS(c *Config) error                                { return nil }
func (h *Host) clearDNS() error                                         { return nil }
