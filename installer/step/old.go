package step

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"ss-setup/installer/machine"
	"ss-setup/installer/txn"
)

// OldProduct is what a plan knows of an older product.
type OldProduct struct {
	Services []string `json:"services"`
	// Where is its folder; empty where it is not known.
	Where string `json:"where,omitempty"`
}

// Served is where an older product served: addresses of its own, as they are reached on
// this machine. A port that it only had for a moment, as those of transfers, is none.
type Served struct {
	// SSH are those at which it greets users.
	SSH []string `json:"ssh,omitempty"`
	// REST are those at which its web interface answers.
	REST []string `json:"rest,omitempty"`
	// ByHand are those at which it greets users of a site that somebody started: it does
	// not come back by itself, so that nobody waits for it.
	ByHand []string `json:"by_hand,omitempty"`
}

func (s Served) none() bool { return len(s.SSH) == 0 && len(s.REST) == 0 }

// Listeners are the sockets of the product's own programs: those in its folder, and the
// processes of its services.
func (p OldProduct) Listeners(ctx context.Context, m *Machine) ([]machine.Listener, error) {
	all, err := m.Prober.Listeners()
	if err != nil {
		return nil, err
	}
	return p.own(ctx, m, all)
}

func (p OldProduct) own(ctx context.Context, m *Machine, all []machine.Listener) ([]machine.Listener, error) {
	var pids []int
	for _, name := range p.Services {
		state, err := m.Services.State(ctx, name)
		if err != nil {
			return nil, err
		}
		if state.PID != 0 {
			pids = append(pids, state.PID)
		}
	}
	var own []machine.Listener
	for _, l := range all {
		if slices.Contains(pids, l.PID) || l.Below(p.Where) {
			own = append(own, l)
		}
	}
	return own, nil
}

// probesAtOnce bounds how many addresses are asked at the same time: there may be a
// hundred that wait for data of transfers.
const probesAtOnce = 32

// served asks at all of the product's own addresses what it serves there.
func (p OldProduct) served(ctx context.Context, m *Machine) (Served, error) {
	all, err := m.Prober.Listeners()
	if err != nil {
		return Served{}, err
	}
	own, err := p.own(ctx, m, all)
	if err != nil {
		return Served{}, err
	}
	var (
		found Served
		mu    sync.Mutex
		asked sync.WaitGroup
		slots = make(chan struct{}, probesAtOnce)
	)
	for _, l := range own {
		asked.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			ssh, rest := ask(ctx, m, l, all)
			mu.Lock()
			defer mu.Unlock()
			found.SSH, found.REST = append(found.SSH, ssh...), append(found.REST, rest...)
		})
	}
	asked.Wait()
	for _, list := range []*[]string{&found.SSH, &found.REST} {
		slices.Sort(*list)
		*list = slices.Compact(*list)
	}
	found.ByHand = m.Import.byHand(found.SSH)
	found.SSH = slices.DeleteFunc(found.SSH, func(a string) bool { return slices.Contains(found.ByHand, a) })
	return found, nil
}

// ByHand are the addresses at which the product greets users of sites that somebody has
// started, of what is about to be imported.
func (p OldProduct) ByHand(ctx context.Context, m *Machine) ([]string, error) {
	if m.Import == nil || len(m.Import.ByHand) == 0 {
		return nil, nil
	}
	found, err := p.served(ctx, m)
	return found.ByHand, err
}

// ask asks one listener what it serves. Users of SSH are greeted at once; who says nothing
// may have a web interface.
func ask(ctx context.Context, m *Machine, l machine.Listener, all []machine.Listener) (ssh, rest []string) {
	for _, a := range reached(l.Addr) {
		if at, _ := machine.At(all, a); at != l {
			continue // somebody else has exactly that one
		}
		if withinProbe(ctx, func(ctx context.Context) error { return m.Prober.Greets(ctx, a.String()) }) == nil {
			return []string{a.String()}, nil
		}
		if withinProbe(ctx, func(ctx context.Context) error { return m.Prober.AnswersOld(ctx, a.String()) }) == nil {
			return nil, []string{a.String()}
		}
	}
	return nil, nil
}

func withinProbe(ctx context.Context, probe func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, probePatience)
	defer cancel()
	return probe(ctx)
}

// reached are the addresses by which a listener is reached on this machine.
func reached(a netip.AddrPort) []netip.AddrPort {
	if !a.Addr().IsUnspecified() {
		return []netip.AddrPort{a}
	}
	local := []netip.AddrPort{netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), a.Port())}
	if a.Addr().Is6() {
		local = append(local, netip.AddrPortFrom(netip.IPv6Loopback(), a.Port()))
	}
	return local
}

// bringBack starts services of the product and waits until it serves where it did. Others
// are those that something else starts as well, if they are needed: that one of them
// cannot be started counts only when the product does not serve.
func (p OldProduct) bringBack(ctx context.Context, m *Machine, services, others []string, where Served) error {
	if err := machine.StartAll(ctx, m.Services, services...); err != nil {
		return err
	}
	failed := machine.StartAll(ctx, m.Services, others...)
	if m.Offline {
		return failed
	}
	if err := p.waitServes(ctx, m, where); err != nil {
		return errors.Join(err, failed)
	}
	if failed != nil {
		m.Log.Warn("a service does not start, but the old version serves as before", "error", failed)
	}
	for _, address := range where.ByHand {
		if withinProbe(ctx, func(ctx context.Context) error { return m.Prober.Greets(ctx, address) }) != nil {
			m.warn(fmt.Sprintf("the old version served users at %s by a site that is started by hand; start that site in its pages", address))
		}
	}
	if m.Healthy != nil {
		m.Healthy()
	}
	return nil
}

// waitServes waits until the product serves where it did, by its own programs: that
// somebody else listens there proves nothing. Where nothing is known of that, its web
// interface answers somewhere.
func (p OldProduct) waitServes(ctx context.Context, m *Machine, where Served) error {
	end := time.Now().Add(m.HealthTimeout)
	for {
		missing := p.missing(ctx, m, where)
		if missing == nil {
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if time.Now().After(end) {
			return fmt.Errorf("%s do not serve as before within %s: %w; look at their log", strings.Join(p.Services, " and "), m.HealthTimeout, missing)
		}
		select {
		case <-ctx.Done():
		case <-time.After(socketsPause):
		}
	}
}

// missing names the first address at which the product does not serve as it did.
func (p OldProduct) missing(ctx context.Context, m *Machine, where Served) error {
	all, err := m.Prober.Listeners()
	if err != nil {
		return err
	}
	own, err := p.own(ctx, m, all)
	if err != nil {
		return err
	}
	if where.none() {
		return answersSomewhere(ctx, m, own, all)
	}
	for _, kind := range []struct {
		addresses []string
		probe     func(context.Context, string) error
	}{{where.SSH, m.Prober.Greets}, {where.REST, m.Prober.AnswersOld}} {
		for _, address := range kind.addresses {
			a, err := netip.ParseAddrPort(address)
			if err != nil {
				return fmt.Errorf("where it served: %w", err)
			}
			l, found := machine.At(all, a)
			switch {
			case !found:
				return fmt.Errorf("nothing listens at %s", address)
			case !slices.Contains(own, l):
				return fmt.Errorf("%s listens at %s, which is another program", l.Owner(), address)
			}
			if err := withinProbe(ctx, func(ctx context.Context) error { return kind.probe(ctx, address) }); err != nil {
				return err
			}
		}
	}
	return nil
}

func answersSomewhere(ctx context.Context, m *Machine, own, all []machine.Listener) error {
	for _, l := range own {
		if _, rest := ask(ctx, m, l, all); len(rest) > 0 {
			return nil
		}
	}
	return errors.New("its web interface answers nowhere")
}

// StopOld stops the services of an older product, and waits until nobody listens where
// they did.
type StopOld struct {
	OldProduct
}

// oldUndo is what the stop of an older product notes while it serves. What comes after it
// reads that in the journal, so that a recovery judges as the run does.
type oldUndo struct {
	Services map[string]oldWas `json:"was"`
	Served
	// Owed: the new server is to greet users where this one did.
	Owed bool `json:"owed,omitempty"`
}

// oldWas is how a service of an older product was.
type oldWas struct {
	// Ran: it was running, or between two tries to.
	Ran bool `json:"ran"`
	// Sure: it ran and starts with the machine, so that it can be started again.
	Sure bool `json:"sure,omitempty"`
}

// Kind implements Step.
func (s *StopOld) Kind() string { return "stop_old_services" }

func (s *StopOld) String() string { return "stop " + strings.Join(s.Services, " and ") }

// Prepare notes which of them run, and where they serve.
func (s *StopOld) Prepare(ctx context.Context, m *Machine) (any, error) {
	u := oldUndo{Services: map[string]oldWas{}, Owed: m.Import != nil && m.Import.SameSites}
	for _, name := range s.Services {
		state, err := m.Services.State(ctx, name)
		if err != nil {
			return nil, err
		}
		if err := s.refuseWaking(ctx, m, name); err != nil {
			return nil, err
		}
		start, err := StartupOf(ctx, m, name)
		if err != nil {
			return nil, err
		}
		u.Services[name] = oldWas{Ran: state.Active || state.Failed, Sure: state.Active && start.AtBoot()}
	}
	var err error
	u.Served, err = s.served(ctx, m)
	return u, err
}

// refuseWaking refuses, while the product serves, what would start a service again whether
// it is enabled or not.
func (s *StopOld) refuseWaking(ctx context.Context, m *Machine, name string) error {
	starters, err := startersOf(ctx, m, name, s.Services, false)
	for _, unit := range starters {
		for _, wakes := range []string{".timer", ".socket", ".path"} {
			if strings.HasSuffix(unit, wakes) {
				return stillStarted(name, unit)
			}
		}
	}
	return err
}

// Transient implements txn.Transient.
func (s *StopOld) Transient() {}

// Do stops them.
func (s *StopOld) Do(ctx context.Context, m *Machine) error {
	before, err := m.Prober.Listeners()
	if err != nil {
		return err
	}
	own, err := s.own(ctx, m, before)
	if err != nil {
		return err
	}
	if m.Stopped != nil {
		m.Stopped()
	}
	if err := machine.StopAll(ctx, m.Services, s.Services...); err != nil || m.Offline {
		return err
	}
	return s.waitGone(ctx, m, before, own)
}

// waitGone waits until none of the product's own sockets is left, and nobody has taken
// their addresses or was given them. Who listens at another address of the same port has
// nothing to do with it. Programs of the product that outlive its services are ended.
func (s *StopOld) waitGone(ctx context.Context, m *Machine, before, own []machine.Listener) error {
	patience, ended := min(socketsPatience, m.HealthTimeout), false
	end := time.Now().Add(patience)
	for {
		left, err := s.left(m, before, own)
		if err != nil {
			return err
		}
		if len(left) == 0 {
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if time.Now().After(end) {
			if l := left[0]; ended || !s.endLeft(m, left) {
				return fmt.Errorf("%s have stopped, but %s still listens at %s; end it", strings.Join(s.Services, ", "), l.Owner(), l.Addr)
			}
			ended, end = true, time.Now().Add(patience)
		}
		select {
		case <-ctx.Done():
		case <-time.After(socketsPause):
		}
	}
}

// endLeft ends the product's own programs, of which no service manager knows, and tells
// whether there was any.
func (s *StopOld) endLeft(m *Machine, left []machine.Listener) (ended bool) {
	for _, l := range left {
		if m.EndOwner == nil || !l.Below(s.Where) {
			continue
		}
		m.Log.Warn("a program of the old version has outlived its services and is ended", "program", l.Program, "pid", l.PID)
		if err := m.EndOwner(l); err != nil {
			m.Log.Warn("it does not end", "error", err)
		}
		ended = true
	}
	return ended
}

func (s *StopOld) left(m *Machine, before, own []machine.Listener) ([]machine.Listener, error) {
	now, err := m.Prober.Listeners()
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(now, func(l machine.Listener) bool {
		if l.Below(s.Where) || slices.Contains(own, l) {
			return false
		}
		taken := slices.ContainsFunc(own, func(o machine.Listener) bool { return o.Addr == l.Addr })
		return !taken || slices.Contains(before, l)
	}), nil
}

// Undo starts those that ran, and fails when the product does not serve as it did.
func (s *StopOld) Undo(ctx context.Context, m *Machine, undo json.RawMessage) error {
	var u oldUndo
	if err := json.Unmarshal(undo, &u); err != nil {
		return err
	}
	var sure, others []string
	for _, name := range s.Services {
		switch was := u.Services[name]; {
		case was.Sure:
			sure = append(sure, name)
		case was.Ran:
			others = append(others, name)
		}
	}
	if u.none() { // it served nobody, so that nothing is owed
		return machine.StartAll(ctx, m.Services, slices.Concat(sure, others)...)
	}
	return s.bringBack(ctx, m, sure, others, u.Served)
}

// leftOld is what the stop of an older product in the open transaction noted.
func leftOld(m *Machine) (oldUndo, error) {
	var u oldUndo
	noted, err := txn.UndoOf(m.FS, machine.TxnDir, (*StopOld)(nil).Kind())
	if err == nil && noted != nil {
		err = json.Unmarshal(noted, &u)
	}
	if err != nil {
		return u, fmt.Errorf("read where the old version served: %w", err)
	}
	return u, nil
}

// socketsPatience bounds the wait for sockets of services that have stopped, and once more
// for those of programs that were ended then: the kernel closes them with the process.
const socketsPatience = 5 * time.Second

// socketsPause is the pause between two looks, which cost more than a probe.
const socketsPause = 100 * time.Millisecond

// StartOld starts the services of an older product that is returned to, and waits until
// it serves where it did.
type StartOld struct {
	OldProduct
	// Others are services that may come by themselves, if they are needed.
	Others []string `json:"others,omitempty"`
	Served Served   `json:"served,omitzero"`
}

func (s *StartOld) all() []string { return slices.Concat(s.Services, s.Others) }

// Kind implements Step.
func (s *StartOld) Kind() string { return "start_old_services" }

func (s *StartOld) String() string { return "start " + strings.Join(s.all(), " and ") }

// Prepare needs nothing: the plan starts only what ran.
func (s *StartOld) Prepare(context.Context, *Machine) (any, error) { return nil, nil }

// Transient implements txn.Transient.
func (s *StartOld) Transient() {}

// Do starts them.
func (s *StartOld) Do(ctx context.Context, m *Machine) error {
	product := OldProduct{Services: s.all(), Where: s.Where}
	return product.bringBack(ctx, m, s.Services, s.Others, s.Served)
}

// Undo stops them.
func (s *StartOld) Undo(ctx context.Context, m *Machine, _ json.RawMessage) error {
	return machine.StopAll(ctx, m.Services, s.all()...)
}

// ports are those of addresses.
func ports(addresses []string) []int {
	found := map[int]bool{}
	for _, address := range addresses {
		if a, err := netip.ParseAddrPort(address); err == nil {
			found[int(a.Port())] = true
		}
	}
	return slices.Sorted(maps.Keys(found))
}
