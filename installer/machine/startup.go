package machine

// Startup is how a service of another product is started, so that it can be kept from
// that and given it back.
type Startup struct {
	Service string `json:"service"`
	// Links start it with the machine, where services are files.
	Links []Link `json:"links,omitempty"`
	// Start is when it starts, where services are entries of their manager.
	Start StartType `json:"start,omitempty"`
	// Active: it runs.
	Active bool `json:"active,omitempty"`
}

// AtBoot tells whether the machine starts the service.
func (s Startup) AtBoot() bool {
	return len(s.Links) > 0 || s.Start == StartAtBoot || s.Start == StartLater
}

// InUse tells whether the service runs, or will after the next boot.
func (s Startup) InUse() bool { return s.Active || s.AtBoot() }
