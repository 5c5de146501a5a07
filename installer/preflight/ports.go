package preflight

import (
	"fmt"
	"slices"
	"strings"

	"ss-setup/installer/machine"
)

func checkPorts(p Probe, in Input) []Check {
	listeners, err := p.Listeners()
	if err != nil {
		return []Check{unknown(Ports, err)}
	}
	listeners = slices.DeleteFunc(listeners, func(l machine.Listener) bool { return slices.Contains(in.Leaving, l) })
	checks := make([]Check, 0, len(in.Ports))
	for _, port := range in.Ports {
		checks = append(checks, checkPort(listeners, port))
	}
	return checks
}

func checkPort(listeners []machine.Listener, port Port) Check {
	by, taken := machine.OnPort(inTheWay(listeners, port), port.Number)
	if !taken {
		return ok(Ports, fmt.Sprintf("port %d is free for %s", port.Number, port.Service))
	}
	c := Check{
		Name: Ports, Status: Fail,
		Message: fmt.Sprintf("port %d, which %s is to listen on, is taken by %s", port.Number, port.Service, by.Owner()),
		Cure:    fmt.Sprintf("stop %s, or choose another port: %s %d", by.Owner(), port.Flag, another(listeners, port)),
	}
	if port.Optional {
		c.Status = Warn
		c.Cure = fmt.Sprintf("nothing: %s gets another port; choose it with %s", port.Service, port.Flag)
	}
	return c
}

// inTheWay are the listeners that a service cannot listen beside: not our own
// services, which are stopped before, and not those of another address.
func inTheWay(listeners []machine.Listener, port Port) []machine.Listener {
	var found []machine.Listener
	for _, l := range listeners {
		addr := l.Addr.Addr()
		elsewhere := port.Loopback && !addr.IsUnspecified() && !addr.IsLoopback()
		if !l.Own() && !elsewhere {
			found = append(found, l)
		}
	}
	return found
}

// another is a free port near the one that is taken; below 1024 the usual place
// is 2000 and something, as with 2222 for 22.
func another(listeners []machine.Listener, port Port) int {
	first := port.Number + 1
	if port.Number < 1024 {
		first = 2200 + port.Number%100
	}
	return machine.FreePort(listeners, first)
}

// checkOld refuses to install beside an older product of which something runs, or would
// after the next boot: both want the same ports and the same users.
func checkOld(in Input) []Check {
	var checks []Check
	for _, old := range in.Old {
		checks = append(checks, Check{
			Name: OldServices, Status: Fail,
			Message: fmt.Sprintf("version %d is not stopped and disabled: %s", old.Version, strings.Join(old.Services, ", ")),
			Cure:    strings.Join(old.Cures, "\n"),
		})
	}
	return checks
}
