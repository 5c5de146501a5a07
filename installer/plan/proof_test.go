package plan

import (
	"errors"
	"net"
	"net/netip"
	"testing"

	"ss-setup/installer/machine"
	"ss-setup/installer/step"
)

func TestOnlyProgramsOfTheOldVersionAreProven(t *testing.T) {
	listener := func(at, program string) machine.Listener {
		return machine.Listener{Addr: netip.MustParseAddrPort(at), PID: len(program), Process: program}
	}
	for name, c := range map[string]struct {
		all  []machine.Listener
		fits bool
	}{
		"it listens on all addresses":    {[]machine.Listener{listener("0.0.0.0:6443", "old")}, true},
		"it listens on all of version 6": {[]machine.Listener{listener("[::]:6443", "old")}, true},
		"it listens on this one":         {[]machine.Listener{listener("127.0.0.1:6443", "old")}, true},
		"somebody else listens":          {[]machine.Listener{listener("127.0.0.1:6443", "thief")}, false},
		"somebody else listens, too":     {[]machine.Listener{listener("0.0.0.0:6443", "old"), listener("127.0.0.1:6443", "thief")}, false},
		"it listens elsewhere":           {[]machine.Listener{listener("0.0.0.0:8443", "old"), listener("10.0.0.1:6443", "old")}, false},
		"nobody listens":                 {nil, false},
	} {
		var own []machine.Listener
		for _, l := range c.all {
			if l.Process == "old" {
				own = append(own, l)
			}
		}
		if err := proven(netip.MustParseAddrPort("127.0.0.1:6443"), c.all, own); c.fits != (err == nil) || !c.fits && !errors.Is(err, ErrStranger) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestAStrangerAtThePortOfTheOldVersionIsNotProven: this test is no program of it.
func TestAStrangerAtThePortOfTheOldVersionIsNotProven(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	conn, err := net.Dial("tcp", l.Addr().String())
	must(t, err)
	defer conn.Close()
	old := OldVersion{Major: 6, Where: t.TempDir()}
	if err := old.Prove(t.Context(), &step.Machine{Prober: step.NewProber(&machine.FS{})}, conn); !errors.Is(err, ErrStranger) {
		t.Errorf("%v", err)
	}
}
