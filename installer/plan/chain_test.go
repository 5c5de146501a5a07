package plan

import (
	"strings"
	"testing"

	"ss-setup/installer/machine"
)

func TestWithoutAWayBackTheOtherGenerationsAreNamed(t *testing.T) {
	w := newWorld(t)
	w.installed(2, 0, bundleOf(t, "7.0.1", "second"))
	w.data(1)
	w.generation(3, 2, bundleOf(t, "7.0.2", "third"))
	_, err := ForRollback(w.look(), Options{})
	if err == nil || !strings.Contains(err.Error(), "of generation 1 only the data are here") || !strings.Contains(err.Error(), "generation 3 came later") {
		t.Error(err)
	}
}

func TestTheGenerationInForceIsKnownWithoutItsLink(t *testing.T) {
	w, _ := situation(t, "installed", 0)
	// Gone back from 3 to 2: the newest is not the one in force.
	w.state.Revive(2)
	w.state.End(3, "rollback", noon)
	w.saveState(4)
	must(t, w.FS.Remove(machine.Current))
	if s := w.look(); s.Lost != 2 {
		t.Errorf("%d, want 2", s.Lost)
	}
	w.generation(5, 2, bundleOf(t, "7.0.2", "third"))
	must(t, w.FS.Remove(machine.Generation(5)+"/"+machine.OpenFile))
	must(t, w.FS.Remove(machine.Receipt(5)))
	if s := w.look(); s.Lost != 2 {
		t.Errorf("%d, want 2: one that nobody used is no candidate", s.Lost)
	}
}
