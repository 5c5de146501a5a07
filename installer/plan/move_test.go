package plan

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"ss-setup/installer/machine"
	"ss-setup/installer/receipt"
	"ss-setup/installer/step"
)

// leaving is what a machine moves out with.
var leaving = Leaving{Folder: "/root/move", Addresses: []string{"192.0.2.1:6443"}, Services: []machine.Startup{
	{Service: machine.ServerService, Active: true, Links: []machine.Link{{Path: "/etc/a", Target: "/etc/b"}}},
	{Service: machine.LicensedService},
}}

func kindsOf(p *Proposal) (kinds []string) {
	for _, s := range p.Plan.Steps {
		kinds = append(kinds, s.Kind())
	}
	return kinds
}

func TestAServerStopsForGoodBeforeItIsPackedAndThatIsAsked(t *testing.T) {
	w := newWorld(t)
	w.installed(1, 0, bundleOf(t, "7.0.0", "a"))
	p, err := ForMoveOut(w.look(), leaving, Options{})
	must(t, err)
	if want := []string{"stop_services", "disable_services", "pack_move", "note_move"}; !slices.Equal(kindsOf(p), want) {
		t.Errorf("steps %q", kindsOf(p))
	}
	if p.Plan.Gate != 3 || p.Plan.Commit != 3 || len(p.Confirm) != 1 {
		t.Errorf("gate %d, commit %d, questions %v", p.Plan.Gate, p.Plan.Commit, p.Confirm)
	}
	if notes := strings.Join(p.Notes, " "); !strings.Contains(notes, "Licenses: this release activates none") {
		t.Errorf("notes %q", notes)
	}
}

func TestOnlyAServerThatIsThereMovesOut(t *testing.T) {
	w := newWorld(t)
	if _, err := ForMoveOut(w.look(), leaving, Options{}); !errors.Is(err, ErrNothingInstalled) {
		t.Errorf("%v", err)
	}
	w.installed(1, 0, bundleOf(t, "7.0.0", "a"))
	if _, err := ForMoveOut(w.look(), leaving, Options{Offline: true}); !errors.Is(err, ErrUsage) {
		t.Errorf("%v", err)
	}
	if p, err := ForStaying(w.look(), Options{}); err != nil || !p.Nothing {
		t.Errorf("%+v, %v", p, err)
	}
}

func TestAMachineThatMovedOutServesAgainAsBeforeWhenSomebodySaysSo(t *testing.T) {
	w := newWorld(t)
	w.installed(1, 0, bundleOf(t, "7.0.0", "a"))
	w.movedOut()
	if p, err := ForMoveOut(w.look(), leaving, Options{}); err != nil || !p.Nothing || !strings.Contains(p.Summary, "move-out --cancel") {
		t.Errorf("once more: %+v, %v", p, err)
	}
	p, err := ForStaying(w.look(), Options{})
	must(t, err)
	if want := []string{"enable_services", "start_services", "wait_health", "note_move"}; !slices.Equal(kindsOf(p), want) || len(p.Confirm) != 1 {
		t.Errorf("steps %q, questions %v", kindsOf(p), p.Confirm)
	}
	if started := p.Plan.Steps[1].(*step.StartServices).Services; !slices.Equal(started, []string{machine.ServerService}) {
		t.Errorf("started %q", started)
	}
}

func TestNoInstallLetsAMachineThatMovedOutServeAgainUnasked(t *testing.T) {
	w := newWorld(t)
	old, next := bundleOf(t, "7.0.0", "a"), bundleOf(t, "7.0.1", "b")
	w.installed(1, 0, old)
	w.movedOut()
	if p, err := ForInstall(w.look(), old, Options{}); err != nil || !p.Nothing || !strings.Contains(p.Summary, "moved out") {
		t.Errorf("the same release: %+v, %v", p, err)
	}
	if _, err := ForInstall(w.look(), old, Options{Repair: true}); !errors.Is(err, ErrUsage) {
		t.Errorf("repair: %v", err)
	}
	p, err := ForInstall(w.look(), next, Options{})
	must(t, err)
	if kinds := kindsOf(p); slices.Contains(kinds, "note_move") || slices.Contains(kinds, "start_services") || len(p.Confirm) != 0 {
		t.Errorf("an update: %q, %v", kinds, p.Confirm)
	}
	p, err = ForInstall(w.look(), next, Options{Force: true})
	must(t, err)
	if kinds := kindsOf(p); !slices.Contains(kinds, "note_move") || len(p.Confirm) != 2 {
		t.Errorf("-F: %q, %v", kinds, p.Confirm)
	}
}

// A machine that has moved out serves nobody unasked, by an older product neither.
func TestTheWayBackToAnOldVersionAsksAboutTheMachineThatTookThePlace(t *testing.T) {
	w, _ := situation(t, "upgraded", 0)
	w.movedOut()
	p, err := ForRollback(w.look(), Options{})
	must(t, err)
	if len(p.Confirm) != 2 || !strings.Contains(p.Confirm[1].Explain, "moved out on") {
		t.Errorf("it asks %v", p.Confirm)
	}
	kinds := kindsOf(p)
	noted := slices.Index(kinds, "note_move")
	if noted < p.Plan.Commit || !p.Plan.Steps[noted].(*step.NoteMove).Back {
		t.Errorf("steps %q, commit %d", kinds, p.Plan.Commit)
	}
}

func TestWhatMovesInBringsItsConfigurationBeforeAnyIsWritten(t *testing.T) {
	w := newWorld(t)
	p, err := ForInstall(w.look(), bundleOf(t, "7.0.0", "a"), Options{Import: "/m/backup.zip", Moving: &Moving{Host: "old", Files: []File{
		{Name: "server.toml", SHA256: "aa", Mode: 0o644, Owner: "root", Group: "root"},
		{Name: "tls/key.pem", SHA256: "bb", Mode: 0o640, Owner: "root", Group: "server"},
		{Name: "backup.pass", SHA256: "cc", Mode: 0o600, Owner: "root", Group: "root"},
		{Name: "own", SHA256: "dd", Mode: 0o600, Owner: "server", Group: "other"},
	}}})
	must(t, err)
	kinds := kindsOf(p)
	placed := slices.Index(kinds, "place_file")
	if placed < 0 || kinds[placed+1] != "place_file" || placed > slices.Index(kinds, "write_file") || !slices.Contains(kinds, "import_backup") {
		t.Fatalf("steps %q", kinds)
	}
	// What the server may read it may read here, and no more.
	for n, want := range []string{"root root", "root ss-server", "root root", "ss-server root"} {
		if s := p.Plan.Steps[placed+n].(*step.PlaceFile); s.Owner+" "+s.Group != want {
			t.Errorf("%s is to belong to %s %s, not to %s", s.Path, s.Owner, s.Group, want)
		}
	}
	if first := p.Plan.Steps[placed].(*step.PlaceFile); first.Path != serverConfig {
		t.Errorf("%+v", first)
	}
}

// movedOut notes that the machine moved out, and stops its services.
func (w *world) movedOut() {
	w.t.Helper()
	text, err := json.Marshal(leaving.Services)
	must(w.t, err)
	w.state.Moved = &receipt.Moved{At: noon, Folder: leaving.Folder, Services: text}
	w.saveState(2)
	for _, name := range []string{machine.ServerService, machine.LicensedService} {
		w.services[name] = machine.ServiceState{Installed: true}
	}
}
