package step

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"ss-setup/installer/machine"
)

// listeningFile is what a server writes into its data folder while it runs: where it
// serves users. It stays when the server stops.
const listeningFile = "listening.json"

// maxListening bounds it: ten thousand bindings.
const maxListening = 2 << 20

// owedBindings are where the server of generation n served users until it stopped. What
// cannot be read is none: nobody is kept from an update by it.
func owedBindings(m *Machine, n int) []Binding {
	if n == 0 {
		return nil
	}
	path := filepath.Join(dataDir(machine.ServerService, n), listeningFile)
	text, err := m.FS.ReadSmall(path, maxListening)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var list []Binding
	if err == nil {
		err = json.Unmarshal(text, &list)
	}
	if err != nil {
		m.Log.Warn("where the server served users before cannot be read; they are not looked for", "path", path, "error", err)
		return nil
	}
	return list
}

// waitBindings waits until users are served again wherever they were. A binding that the
// store in force does not have, or has switched off, owes nothing.
func waitBindings(ctx context.Context, m *Machine, n int, owed []Binding, end time.Time) error {
	for len(owed) > 0 {
		probe, cancel := context.WithTimeout(ctx, probePatience)
		missing := missingBinding(probe, m, n, owed)
		cancel()
		if missing == nil {
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if time.Until(end) < 0 {
			return fmt.Errorf("users were not served again within %s: %w", m.HealthTimeout, missing)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(healthPause):
		}
	}
	return nil
}

// missingBinding names the first binding that does not serve as it did.
func missingBinding(ctx context.Context, m *Machine, n int, owed []Binding) error {
	h, err := m.Prober.Probe(ctx, machine.ServerService, n)
	if err != nil {
		return err
	}
	for _, was := range owed {
		i := slices.IndexFunc(h.Bindings, func(b Binding) bool { return b.Site == was.Site && b.Name == was.Name })
		if i < 0 {
			continue
		}
		is := h.Bindings[i]
		name := fmt.Sprintf("binding %s of site %s at %s", is.Name, is.Site, is.Address)
		if !is.Listening {
			return fmt.Errorf("%s listened before and does not now: %s", name, is.Problem)
		}
		if is.Proxied {
			continue // only a load balancer knows what to say there
		}
		// A release that does not tell whom its lists refuse had a predecessor that did.
		if is.refuses(is.Address) || was.refuses(is.Address) {
			continue
		}
		if err := m.Prober.Greets(ctx, is.Address); err != nil {
			return fmt.Errorf("%s does not answer: %w", name, err)
		}
	}
	return nil
}

// refuses tells whether the lists of the site keep this machine out that asks at an address.
func (b Binding) refuses(address string) bool {
	if len(b.RefusedFrom) == 0 {
		return false
	}
	host, _, err := askedAt(address)
	return err == nil && slices.Contains(b.RefusedFrom, host)
}

// at tells whether it is what answers at an address of this machine.
func (b Binding) at(address string) bool {
	is, err := netip.ParseAddrPort(address)
	host, port, bad := net.SplitHostPort(b.Address)
	if err != nil || bad != nil || port != strconv.Itoa(int(is.Port())) {
		return false
	}
	addr, err := netip.ParseAddr(host)
	return host == "" || err == nil && (addr == is.Addr() || addr.IsUnspecified() && (addr.Is6() || is.Addr().Is4()))
}

// bindingsAt are those bindings whose port is one of some.
func bindingsAt(list []Binding, ports []int) []Binding {
	var found []Binding
	for _, b := range list {
		_, text, err := net.SplitHostPort(b.Address)
		if port, bad := strconv.Atoi(text); err == nil && bad == nil && slices.Contains(ports, port) {
			found = append(found, b)
		}
	}
	return found
}

// waitGreetings waits until the server of generation n greets at all addresses, but for
// those at which its lists refuse this machine.
func waitGreetings(ctx context.Context, m *Machine, n int, addresses []string, end time.Time) error {
	for _, address := range addresses {
		for {
			err := withinProbe(ctx, func(ctx context.Context) error { return m.Prober.Greets(ctx, address) })
			if err == nil || refusedAt(ctx, m, n, address) {
				break
			}
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if time.Until(end) < 0 {
				return fmt.Errorf("users were served at %s before and are not within %s: %w", address, m.HealthTimeout, err)
			}
			select {
			case <-ctx.Done():
			case <-time.After(healthPause):
			}
		}
	}
	return nil
}

// refusedAt tells whether the server of generation n listens at an address, and refuses
// this machine there.
func refusedAt(ctx context.Context, m *Machine, n int, address string) bool {
	var h Health
	err := withinProbe(ctx, func(ctx context.Context) (err error) {
		h, err = m.Prober.Probe(ctx, machine.ServerService, n)
		return err
	})
	return err == nil && slices.ContainsFunc(h.Bindings, func(b Binding) bool { return b.Listening && b.at(address) && b.refuses(address) })
}
