package cli

import (
	"os"
	"strings"
	"testing"

	"ss-setup/installer/plan"
)

// TestARefusalNamesNoCommandButTheOneToRun holds the sentences of this package to
// what names.text makes of them: prose that looks like a command would be rewritten.
func TestARefusalNamesNoCommandButTheOneToRun(t *testing.T) {
	if os.Geteuid() == 0 {
		n := names{called: "./ss-setup", beside: true, installed: func() string { return "" }, needsPackage: func() bool { return true }}
		for _, said := range []string{"only root may change the machine", plan.ErrNothingInstalled.Error()} {
			if got := n.text(said); got != said {
				t.Errorf("%q became %q", said, got)
			}
		}
		return
	}
	s := newSession(settings{verb: "install", args: []string{"install"}, output: outputPlain}, Streams{})
	f := failureOf(s.openToChange(), PutBack)
	if f.Exit != NeedsRoot || s.names.text(f.Error()) != f.Error() || !strings.HasSuffix(f.Cure, calledAs()+" install") {
		t.Errorf("exit %d: %v, cure %q", f.Exit, f, f.Cure)
	}
}
