package step

import (
	"context"
	"testing"
)

// idleFirewall is one that somebody has turned off: it lets everything in, and
// there is nothing to ask to close.
type idleFirewall struct{ fakeFirewall }

func (idleFirewall) Opened(_ context.Context, ports []int) ([]int, error) { return ports, nil }

func TestPortsThatCannotBeClosedAreTold(t *testing.T) {
	k := newKit(t)
	k.Firewall = &idleFirewall{}
	must(t, (&CloseFirewall{Ports: []int{6443}}).Do(t.Context(), k.Machine))
	if !k.warned("[6443] are let in still") {
		t.Errorf("warnings are %q", k.warnings)
	}
}
