package step

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"ss-setup/installer/machine"
)

func importing() *ImportBackup {
	return &ImportBackup{Store: server(0, 2), Release: newRelease, What: "a backup"}
}

func TestAnImportReachesOnlyItsOwnGeneration(t *testing.T) {
	for name, c := range map[string]struct {
		from Import
		want []string
	}{
		"of an older product": {
			Import{File: "/b.zip", PasswordFile: "/p", Losses: "abcd", Reports: []string{"/r.html"}},
			[]string{"import", "/b.zip", "--accept-losses", "abcd", "--password-file", "/p", "--report", "/r.html", "--yes"},
		},
		"of version 7": {Import{File: "/b.zip", Own: true}, []string{"restore", "/b.zip", "--yes"}},
	} {
		t.Run(name, func(t *testing.T) {
			k := newKit(t)
			withGeneration2(k)
			k.Import = &c.from
			must(t, k.do(importing()))
			run := k.Programs.(*fakePrograms).runs[0]
			at := slices.Index(run.Args, "--home")
			if at < 0 || run.Args[at+1] != k.FS.Real(machine.Generation(2)) || !slices.Contains(run.Args, k.FS.Real(machine.SetupDir+"/none")) {
				t.Errorf("ran %q", run.Args)
			}
			if at := slices.Index(run.Args, "--state"); at < 0 || run.Args[at+1] != k.FS.Real(machine.ServerStateDir) || slices.Contains(run.Args, "--accept-drops") {
				t.Errorf("ran %q", run.Args)
			}
			for _, w := range c.want {
				if !slices.Contains(run.Args, w) {
					t.Errorf("%q has not %q", run.Args, w)
				}
			}
		})
	}
}

// refusing is a program that ends with an exit code.
type refusing int

func (r refusing) Run(context.Context, Command) error { return r }
func (r refusing) Error() string                      { return fmt.Sprintf("it ends with %d", int(r)) }
func (r refusing) ExitCode() int                      { return int(r) }

func TestAnImportOfOtherLossesThanThoseAgreedToIsToldFromOneThatFails(t *testing.T) {
	for code, refused := range map[int]bool{exitNotAgreed: true, 1: false} {
		k := newKit(t)
		withGeneration2(k)
		k.Import = &Import{File: "/b.zip", Losses: "abcd"}
		k.Programs = refusing(code)
		if err := k.do(importing()); err == nil || errors.Is(err, ErrNotAgreed) != refused {
			t.Errorf("exit code %d: %v", code, err)
		}
	}
}

// TestARecoveryHasNothingToImport: what was staged went with the run.
func TestARecoveryHasNothingToImport(t *testing.T) {
	k := newKit(t)
	withGeneration2(k)
	if err := k.do(importing()); !errors.Is(err, errImportGone) {
		t.Errorf("%v", err)
	}
}

// TestReportsOfAnImportThatARecoveryPutBackSaySo in their names: nobody is left who could
// write them anew.
func TestReportsOfAnImportThatARecoveryPutBackSaySo(t *testing.T) {
	k := newKit(t)
	withGeneration2(k)
	const html, text = machine.SetupLogDir + "/import-1.html", machine.SetupLogDir + "/import-1.txt"
	k.Import = &Import{File: "/b.zip", Reports: []string{html, text}}
	undo := k.prepare(importing())
	must(t, k.do(importing()))
	k.file(html, "what was imported")
	k.file(text, "what was imported")
	must(t, k.undo(importing(), undo))
	if k.text(html) == "" {
		t.Error("a report is gone that its own run writes anew")
	}
	k.Import = nil
	for range 2 { // a recovery may be cut as well
		must(t, k.undo(importing(), undo))
	}
	for _, name := range []string{"import-1-undone.html", "import-1-undone.txt"} {
		if k.text(machine.SetupLogDir+"/"+name) != "what was imported" {
			t.Errorf("there is no %s", name)
		}
	}
	if k.FS.Exists(html) || k.FS.Exists(text) {
		t.Error("a report still says that something was imported")
	}
}

// TestWhatWasChangedMeanwhileIsImportedIntoAnEmptyStore: one with a configuration would
// keep its SuperAdmins.
func TestWhatWasChangedMeanwhileIsImportedIntoAnEmptyStore(t *testing.T) {
	k := newKit(t)
	withGeneration2(k)
	k.file(machine.ServerData(2)+"/of-the-first-import", "")
	left := 1
	k.Import = &Import{File: "/b.zip", Losses: "abcd", Again: func(context.Context) (bool, error) {
		left--
		return left >= 0, nil
	}}
	refresh := &RefreshImport{Store: server(0, 2), Release: newRelease}
	must(t, k.do(refresh))
	var verbs []string
	for _, run := range k.Programs.(*fakePrograms).runs {
		verbs = append(verbs, run.Args[0])
	}
	if !slices.Equal(verbs, []string{"migrate", "import"}) || left != -1 {
		t.Errorf("ran %q; looked %d times more", verbs, -left)
	}
	if k.FS.Exists(machine.ServerData(2) + "/of-the-first-import") {
		t.Error("the store of the first import is left")
	}
	// Something that never rests is imported a few times, and then taken.
	k.Import.Again = func(context.Context) (bool, error) { return true, nil }
	must(t, k.do(refresh))
	refused := errors.New("no")
	k.Import.Again = func(context.Context) (bool, error) { return false, refused }
	if err := k.do(refresh); !errors.Is(err, refused) {
		t.Errorf("%v", err)
	}
	k.Import.Again = nil
	must(t, k.do(refresh))
	k.Import = nil
	if err := k.do(refresh); !errors.Is(err, errImportGone) {
		t.Errorf("%v", err)
	}
}
