package plan

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"ss-setup/installer/machine"
	"ss-setup/installer/step"
	"ss-setup/runtime/service"
)

// ActionUpgrade takes over from version 6 in place: its configuration is imported and its
// services are stopped and disabled.
const ActionUpgrade = "upgrade"

// OldVersion is a version before 7 that was found.
type OldVersion struct {
	Major int `json:"major"`
	// Where is its folder; empty where only its services are known.
	Where    string            `json:"where"`
	Services []machine.Startup `json:"services,omitempty"`

	listeners []machine.Listener
}

// InUse tells whether a service of it runs, or will after the next boot.
func (o OldVersion) InUse() bool { return slices.ContainsFunc(o.Services, machine.Startup.InUse) }

// Runs tells whether a service of it runs.
func (o OldVersion) Runs() bool {
	return slices.ContainsFunc(o.Services, func(s machine.Startup) bool { return s.Active })
}

// Listeners are the sockets of its programs, some of which it may have for a moment alone.
func (o OldVersion) Listeners() []machine.Listener { return o.listeners }

// Names are those of its services.
func (o OldVersion) Names() []string {
	names := []string{}
	for _, s := range o.Services {
		names = append(names, s.Service)
	}
	return names
}

// place is the folder for people.
func (o OldVersion) place() string {
	if o.Where == "" {
		return fmt.Sprintf("version %d is installed as %s", o.Major, strings.Join(o.Names(), ", "))
	}
	return fmt.Sprintf("version %d is installed in %s", o.Major, o.Where)
}

// oldService is how the services of a version are named.
type oldService struct {
	prefix string
	// major is the version; 0 where the name ends in it.
	major int
}

// oldServices are the names that are known: facts of the products, docs/upgrading.md.
var oldServices = []oldService{{"ss6-", 6}, {"SMWebRestServicev", 0}}

func (o oldService) version(name string) int {
	if o.major != 0 {
		return o.major
	}
	var major int
	if _, err := fmt.Sscanf(name[len(o.prefix):], "%d", &major); err != nil || major > 5 {
		return 0
	}
	return major
}

// oldVersions finds what earlier products left, the newest last.
func oldVersions(ctx context.Context, m *step.Machine) ([]OldVersion, error) {
	byMajor := map[int]*OldVersion{}
	of := func(major int) *OldVersion {
		if byMajor[major] == nil {
			byMajor[major] = &OldVersion{Major: major}
		}
		return byMajor[major]
	}
	for major, where := range oldFolders(m.FS) {
		of(major).Where = where
	}
	for _, known := range oldServices {
		names, err := m.Services.Find(ctx, known.prefix)
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			major := known.version(name)
			if major == 0 {
				continue
			}
			s, err := step.StartupOf(ctx, m, name)
			if err != nil {
				return nil, fmt.Errorf("look at service %s: %w", name, err)
			}
			of(major).Services = append(of(major).Services, s)
		}
	}
	var out []OldVersion
	for major := 1; major <= 6; major++ {
		if o := byMajor[major]; o != nil {
			if o.Runs() && m.Prober != nil {
				var err error
				if o.listeners, err = o.product().Listeners(ctx, m); err != nil {
					return nil, err
				}
			}
			out = append(out, *o)
		}
	}
	return out, nil
}

// ByHand are the addresses at which it greets users of sites that somebody has started, of
// what is about to be imported.
func (o OldVersion) ByHand(ctx context.Context, m *step.Machine) ([]string, error) {
	return o.product().ByHand(ctx, m)
}

// product is what the steps know of it.
func (o OldVersion) product() step.OldProduct {
	return step.OldProduct{Services: o.Names(), Where: o.Where}
}

// newestOld is the newest old version; false when there is none.
func (s *Situation) newestOld() (OldVersion, bool) {
	if len(s.OldVersions) == 0 {
		return OldVersion{}, false
	}
	return s.OldVersions[len(s.OldVersions)-1], true
}

// OldInUse are the old versions of which something runs, or will after the next boot.
func (s *Situation) OldInUse() []OldVersion {
	return slices.DeleteFunc(slices.Clone(s.OldVersions), func(o OldVersion) bool { return !o.InUse() })
}

// checkOld says what is to be done about an older product: upgrade it, go on beside it,
// or nothing at all.
func checkOld(s *Situation, o Options) (action string, err error) {
	old, found := s.newestOld()
	switch {
	case !found:
		return "", nil
	case s.dataFrom() != 0 && !old.InUse():
		return "", nil // what version 7 has here already
	case old.Major <= 3:
		return "", fmt.Errorf("%w: %s, which is too old to come from; install beside it with: ss-setup install -F", ErrUnsupported, old.place())
	case old.Major < 6 && o.Import != "":
		return "", nil // the checks want its services stopped and disabled
	case old.Major < 6:
		return "", fmt.Errorf("%w: %s; the safe way from there is another machine: make a backup of it, and on a fresh machine run: "+
			"ss-setup install --import FILE; to do so on this one, stop and disable its services first; without its configuration: ss-setup install -F", ErrUnsupported, old.place())
	case old.InUse():
		return ActionUpgrade, nil
	case o.Import != "":
		return "", nil
	}
	return "", fmt.Errorf("%w: %s, but none of its services runs, so its configuration cannot be had from it%s; to import a backup of it run: "+
		"ss-setup install --import FILE; to install beside it without its configuration: ss-setup install -F", ErrNotExported, old.place(), startOld(s.services.Name(), old.Services))
}

// startOld is how the services of an older product are started by hand.
func startOld(manager string, services []machine.Startup) string {
	if len(services) == 0 {
		return ""
	}
	return "; to upgrade it, start it with: " + strings.Join(StartOldCommands(manager, services), " && ")
}

// StartOldCommands are the commands by which somebody enables and starts the services of
// an older product.
func StartOldCommands(manager string, services []machine.Startup) []string {
	names := OldVersion{Services: services}.Names()
	return service.EnableCommands(manager, names...)
}

// StopOldCommands are the commands by which somebody stops and disables them.
func StopOldCommands(manager string, services []machine.Startup) []string {
	names := OldVersion{Services: services}.Names()
	return service.DisableCommands(manager, names...)
}

// Predecessor is the older product that an installation took over from: what is needed to
// go back to it.
type Predecessor struct {
	Major    int               `json:"major"`
	Where    string            `json:"where,omitempty"`
	Services []machine.Startup `json:"services"`
	// Served is where it served when it was stopped. The ports that older receipts have
	// instead are not looked at: some were those of transfers and never come again.
	Served step.Served `json:"served,omitzero"`
}

// stoodStill tells that nothing of it ran when it was stopped.
func (p *Predecessor) stoodStill() bool {
	return !slices.ContainsFunc(p.Services, func(s machine.Startup) bool { return s.Active })
}

// starting is what starts it again: what ran, and where nothing did, what was to start with
// the machine. What ran without that somebody else had started, a worker that is there as
// long as it is needed; it may come by itself.
func (p *Predecessor) starting() *step.StartOld {
	start := &step.StartOld{OldProduct: step.OldProduct{Where: p.Where}, Served: p.Served}
	for _, s := range p.Services {
		switch {
		case s.AtBoot() && (s.Active || p.stoodStill()):
			start.Services = append(start.Services, s.Service)
		case s.Active:
			start.Others = append(start.Others, s.Service)
		}
	}
	return start
}

// gone names a service without which there is no way back: one that started with the
// machine and is not there any more, or any when none is; empty when there is a way.
func (s *Situation) gone(before *Predecessor) string {
	old, found := s.newestOld()
	if !found {
		return before.Services[0].Service
	}
	for _, service := range before.Services {
		if service.AtBoot() && !slices.Contains(old.Names(), service.Service) {
			return service.Service
		}
	}
	return ""
}

// before is what receipts say of an older product: that of the generation in force, or
// whose data are kept. Where that receipt is lost, the newest that is there speaks for it.
func (s *Situation) before() json.RawMessage {
	if s.Receipt != nil {
		return s.Receipt.Predecessor
	}
	from := s.dataFrom()
	if g, ok := s.generation(from); from == 0 || ok && g.receipt {
		return g.predecessor
	}
	var newest json.RawMessage
	for _, g := range s.Generations { // in the order of their numbers
		if g.Number <= from && g.receipt {
			newest = g.predecessor
		}
	}
	return newest
}

// predecessor is the product that there is a way back to; nil if there is none.
func (s *Situation) predecessor() *Predecessor {
	p := &Predecessor{}
	if json.Unmarshal(s.before(), p) != nil || len(p.Services) == 0 {
		return nil
	}
	return p
}

// predecessorFor is what the receipt of a new generation says of it.
func (i *install) predecessorFor() json.RawMessage {
	if i.action != ActionUpgrade {
		return i.s.before()
	}
	old, _ := i.s.newestOld()
	text, _ := json.Marshal(Predecessor{Major: old.Major, Where: old.Where, Services: old.Services}) // plain fields: it cannot fail
	return text
}

// imports is what an install imports, for people; empty for nothing.
func (i *install) imports() string {
	switch {
	case i.action != ActionFresh && i.action != ActionForce && i.action != ActionUpgrade:
		return ""
	case i.o.Import != "":
		return "the backup " + i.o.Import
	case i.action == ActionUpgrade:
		return "the configuration of version 6"
	}
	return ""
}

// leaveOld stops and disables the older product: the last thing before the switch, so that
// it serves until then.
func (i *install) leaveOld() []step.Step {
	if i.action != ActionUpgrade {
		return nil
	}
	old, _ := i.s.newestOld()
	return []step.Step{
		&step.StopOld{OldProduct: old.product()},
		&step.DisableServices{Services: old.Names()},
	}
}
