package plan

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"ss-setup/installer/machine"
	"ss-setup/installer/step"
)

// ErrStranger: it is not the older product that listens somewhere.
var ErrStranger = errors.New("another program")

// ListensNow are the sockets of its programs at this moment.
func (o OldVersion) ListensNow(ctx context.Context, m *step.Machine) ([]machine.Listener, error) {
	return o.product().Listeners(ctx, m)
}

// Prove says why the other end of a connection is no program of this version on this
// machine; nil if it is one. It is for secrets of the version: its ports are nobody's own,
// and anybody may listen there while it is down.
func (o OldVersion) Prove(ctx context.Context, m *step.Machine, conn net.Conn) error {
	at, err := netip.ParseAddrPort(conn.RemoteAddr().String())
	if err != nil {
		return err
	}
	at = netip.AddrPortFrom(at.Addr().Unmap().WithZone(""), at.Port())
	local, err := ownAddress(at.Addr())
	if err != nil {
		return err
	}
	if !local {
		return fmt.Errorf("%w: %s is not this machine", ErrStranger, at.Addr())
	}
	all, err := m.Prober.Listeners()
	if err != nil {
		return err
	}
	own, err := o.ListensNow(ctx, m)
	if err != nil {
		return err
	}
	return proven(at, all, own)
}

// proven wants everybody who may be reached at an address to be among those.
func proven(at netip.AddrPort, all, own []machine.Listener) error {
	found := false
	for _, l := range all {
		if !l.Covers(at) {
			continue
		}
		if !slices.Contains(own, l) {
			return fmt.Errorf("%w: at %s listens %s", ErrStranger, at, l.Owner())
		}
		found = true
	}
	if !found {
		return fmt.Errorf("%w: nobody is known to listen at %s", ErrStranger, at)
	}
	return nil
}

// ownAddress tells whether an address is this machine's.
func ownAddress(a netip.Addr) (bool, error) {
	if a.IsLoopback() {
		return true, nil
	}
	list, err := net.InterfaceAddrs()
	if err != nil {
		return false, err
	}
	return slices.ContainsFunc(list, func(l net.Addr) bool {
		p, err := netip.ParsePrefix(l.String())
		return err == nil && p.Addr().Unmap().WithZone("") == a
	}), nil
}
