package cli

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"ss-setup/installer/bundle"
	"ss-setup/installer/plan"
	"ss-setup/installer/txn"
)

func TestDocumentListsTheExitCodes(t *testing.T) {
	var doc strings.Builder
	doc.WriteString("# Exit codes of ss-setup\n\n" +
		"A test holds this table to the one in `installer/cli/exit.go`; write it anew with\n" +
		"`go test ./installer/cli -update`.\n\n" +
		"| meaning | Linux | Windows |\n|---|---|---|\n")
	for _, x := range exits {
		fmt.Fprintf(&doc, "| %s | %d | %d |\n", x.meaning, x.linux, x.windows)
	}
	doc.WriteString("\nAn upgrade of version 6 that would lose other things than those that were agreed to, or that cannot\n" +
		"ask version 6 again right before its stop, is put back and ends with 7, too.\n" +
		"\nNo repository that answers ends with 7, too: the message names what was tried. A package\n" +
		"that is not trusted ends with 9; the message names the check in brackets, and what to do.\n" +
		"\n`ss-setup status` ends with 12 when nothing is installed, `ss-setup verify` with 7 when\n" +
		"something differs from what was installed or a service failed. A service that somebody\n" +
		"stopped or masked is no difference: verify names it and ends with 0.\n")
	compareGolden(t, docs+"exit-codes.md", doc.String())
}

func TestEveryExitHasNumbersOfItsOwn(t *testing.T) {
	linux, windows := map[int]bool{}, map[int]bool{}
	for i, x := range exits {
		if x.exit != Exit(i) {
			t.Errorf("row %d is of another exit: %s", i, x.meaning)
		}
		if linux[x.linux] || windows[x.windows] {
			t.Errorf("%s: a number is taken", x.meaning)
		}
		linux[x.linux], windows[x.windows] = true, true
	}
}

func TestErrorsOfThePackagesBelowEndInTheirExit(t *testing.T) {
	for _, c := range []struct {
		err  error
		want Exit
	}{
		{fmt.Errorf("x: %w", plan.ErrUsage), WrongUsage},
		{fmt.Errorf("x: %w", plan.ErrNothingInstalled), NothingInstalled},
		{fmt.Errorf("x: %w", plan.ErrNewerInstalled), NewerInstalled},
		{fmt.Errorf("x: %w", plan.ErrUnsupported), Unsupported},
		{fmt.Errorf("x: %w", bundle.ErrDamaged), BadPackage},
		{fmt.Errorf("x: %w", bundle.ErrUntrusted), BadPackage},
		{errors.Join(errors.New("x"), txn.ErrBusy), Busy},
		{fmt.Errorf("%w by Ctrl-C", errCancelled), Cancelled},
		{fmt.Errorf("x: %w", &Failure{Exit: NeedsRoot, Err: errors.New("y")}), NeedsRoot},
		{os.ErrNotExist, PutBack},
	} {
		if got := failureOf(c.err, PutBack).Exit; got != c.want {
			t.Errorf("%v: exit %d, want %d", c.err, got, c.want)
		}
	}
}

func TestSentenceOfWrongUsageDoesNotSaySoTwice(t *testing.T) {
	f := failureOf(fmt.Errorf("%w: generation 3 is in force", plan.ErrUsage), PutBack)
	if f.Error() != "generation 3 is in force" {
		t.Errorf("got %q", f)
	}
}

func TestTheKitForConfigurationManagerKnowsEveryExitCode(t *testing.T) {
	content, err := os.ReadFile("../../packaging/sccm/README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range exits {
		if row := fmt.Sprintf("| %d | ", x.windows); !strings.Contains(string(content), row) {
			t.Errorf("packaging/sccm/README.md does not tell code %d: %s", x.windows, x.meaning)
		}
	}
}
