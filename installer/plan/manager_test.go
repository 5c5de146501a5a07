package plan

import (
	"errors"
	"strings"
	"testing"

	"ss-setup/installer/bundle"
	"ss-setup/installer/machine"
	"ss-setup/installer/receipt"
	"ss-setup/installer/step"
)

// managed is a machine on which a package installed a bundle.
func managed(t *testing.T, manager string, b *bundle.Bundle) *Situation {
	t.Helper()
	w := newWorld(t)
	w.generation(1, 0, b)
	w.link(machine.Current, "generations/1")
	w.saveState(2)
	content, err := w.FS.ReadFile(machine.Receipt(1))
	must(t, err)
	r, err := receipt.Parse(content)
	must(t, err)
	r.ManagedBy = manager
	content, err = r.Marshal()
	must(t, err)
	w.file(machine.Receipt(1), string(content))
	s, err := Look(t.Context(), w.Machine)
	must(t, err)
	return s
}

func TestAReleaseOfAPackageIsChangedByThePackage(t *testing.T) {
	old, next := bundleOf(t, "7.0.0", "a"), bundleOf(t, "7.1.0-beta.1", "b")
	for manager, command := range map[string]string{
		ManagerDPKG: "apt-get install --only-upgrade ss-server, or dpkg -i ss-server_7.1.0~beta.1_amd64.deb",
		ManagerRPM:  "dnf upgrade ss-server, or rpm -U ss-server-7.1.0~beta.1-1.x86_64.rpm",
	} {
		s := managed(t, manager, old)
		for _, o := range []Options{{}, {Update: true}, {Force: true}} {
			if _, err := ForInstall(s, next, o); !errors.Is(err, ErrUsage) || !strings.Contains(err.Error(), command) {
				t.Errorf("%s, %+v: %v", manager, o, err)
			}
		}
		for _, o := range []Options{{Yes: true}, {ManagedBy: manager}, {Update: true, Yes: true}} {
			p, err := ForInstall(s, next, o)
			if err != nil {
				t.Errorf("%s, %+v: %v", manager, o, err)
				continue
			}
			if got := receiptOf(p).ManagedBy; got != manager {
				t.Errorf("%s, %+v: the receipt will name %q", manager, o, got)
			}
		}
		if _, err := ForInstall(s, old, Options{Repair: true}); err != nil {
			t.Errorf("%s: a repair changes no release: %v", manager, err)
		}
	}
}

func receiptOf(p *Proposal) *step.WriteReceipt {
	for _, s := range p.Plan.Steps {
		if w, ok := s.(*step.WriteReceipt); ok {
			return w
		}
	}
	return &step.WriteReceipt{}
}

func TestAPackageIsContentWithANewerRelease(t *testing.T) {
	s := managed(t, ManagerDPKG, bundleOf(t, "7.0.1", "b"))
	older := bundleOf(t, "7.0.0", "a")
	p, err := ForInstall(s, older, Options{ManagedBy: ManagerDPKG})
	if err != nil || !p.Nothing || !strings.Contains(p.Summary, "7.0.1 is installed already, which is newer than 7.0.0") {
		t.Errorf("%+v, %v", p, err)
	}
	p, err = ForInstall(s, bundleOf(t, "7.0.1", "b"), Options{FirstSetUp: &FirstSetUp{}})
	if err != nil || !p.Nothing || !strings.Contains(p.Summary, "ss-server setup --answers FILE") {
		t.Errorf("answers for a server that runs: %+v, %v", p, err)
	}
	if _, err := ForInstall(s, older, Options{}); !errors.Is(err, ErrNewerInstalled) {
		t.Errorf("a person is told: %v", err)
	}
}
