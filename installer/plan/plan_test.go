package plan

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"ss-setup/installer/bundle"
	"ss-setup/installer/machine"
	"ss-setup/installer/step"
)

// The machines of these tests. Each of them has generations up to base+3.
var worlds = map[string]func(w *world, base int){
	"nothing": func(*world, int) {},
	// Generation 1 was left by a rollback, 2 ended by an update, 3 serves.
	"installed": func(w *world, base int) {
		w.generation(base+1, 0, bundleOf(w.t, "7.0.0", "left"))
		w.generation(base+2, 0, bundleOf(w.t, "7.0.0", "first"))
		w.state.End(base+1, "rollback", noon)
		w.state.End(base+2, "update", noon)
		w.installed(base+3, base+2, bundleOf(w.t, "7.0.1", "second"))
	},
	"version 6": func(w *world, _ int) { w.old(true) },
	// Generation 2 was upgraded from version 6.
	"upgraded": func(w *world, base int) {
		w.old(false)
		w.predecessor = `{"major":6,"where":"/opt/Syncplify/ServerV6","services":[` +
			`{"service":"ss6-webrest","links":[{"path":"/etc/systemd/system/multi-user.target.wants/ss6-webrest.service","target":"/etc/systemd/system/ss6-webrest.service"}],"active":true},` +
			`{"service":"ss6-worker","active":true}],"ports":[22,6443]}`
		w.installed(base+2, 0, bundleOf(w.t, "7.0.1", "second"))
	},
	"kept": func(w *world, base int) { w.kept(base + 2) },
}

// verbs are every verb and action, each on its machine.
var verbs = map[string]struct {
	world   string
	propose func(t *testing.T, s *Situation) (*Proposal, error)
}{
	"fresh":         {"nothing", installing("7.0.1", "second", Options{})},
	"fresh-options": {"nothing", installing("7.0.1", "second", Options{WebPort: 443, LicensePort: 99, ServiceUser: "alice", OpenFirewall: true})},
	"fresh-offline": {"nothing", installing("7.0.1", "second", Options{Offline: true})},
	"adopt":         {"kept", installing("7.0.1", "second", Options{})},
	"update":        {"installed", installing("7.0.2", "third", Options{})},
	"rebuild":       {"installed", installing("7.0.1", "again", Options{})},
	"repair":        {"installed", installing("7.0.1", "second", Options{Repair: true})},
	"force":         {"installed", installing("7.0.2", "third", Options{Force: true})},
	"force-kept":    {"kept", installing("7.0.2", "third", Options{Force: true})},
	"upgrade":       {"version 6", installing("7.0.1", "second", Options{})},
	"upgrade-named": {"version 6", installing("7.0.1", "second", Options{Import: "/root/v6.zip"})},
	"fresh-import":  {"nothing", installing("7.0.1", "second", Options{Import: "/root/v6.zip"})},
	"rollback-old":  {"upgraded", func(_ *testing.T, s *Situation) (*Proposal, error) { return ForRollback(s, Options{}) }},
	"same":          {"installed", installing("7.0.1", "second", Options{})},
	"uninstall":     {"installed", uninstalling(Options{})},
	"purge":         {"installed", uninstalling(Options{Purge: true})},
	"purge-kept":    {"kept", uninstalling(Options{Purge: true})},
	"purge-files":   {"installed", uninstalling(Options{Purge: true, PurgeFiles: true})},
	"rollback":      {"installed", func(_ *testing.T, s *Situation) (*Proposal, error) { return ForRollback(s, Options{}) }},
	"forget":        {"installed", func(_ *testing.T, s *Situation) (*Proposal, error) { return ForForget(s, s.Current-2) }},
}

func installing(version, build string, o Options) func(*testing.T, *Situation) (*Proposal, error) {
	return func(t *testing.T, s *Situation) (*Proposal, error) {
		return ForInstall(s, bundleOf(t, version, build), o)
	}
}

func uninstalling(o Options) func(*testing.T, *Situation) (*Proposal, error) {
	return func(_ *testing.T, s *Situation) (*Proposal, error) { return ForUninstall(s, o) }
}

func situation(t *testing.T, name string, base int) (*world, *Situation) {
	t.Helper()
	w := newWorld(t)
	worlds[name](w, base)
	return w, w.look()
}

func TestEveryVerbAndActionHasItsPlan(t *testing.T) {
	for name, v := range verbs {
		t.Run(name, func(t *testing.T) {
			_, s := situation(t, v.world, 0)
			p, err := v.propose(t, s)
			must(t, err)
			if action, _, _ := strings.Cut(name, "-"); p.Action != action {
				t.Errorf("the action is %s", p.Action)
			}
			compareGolden(t, "testdata/"+t.Name()+".txt", []byte(text(p)))
			if p.Nothing {
				if len(p.Plan.Steps) > 0 {
					t.Error("nothing to do, in steps")
				}
				return
			}
			encoded, err := json.Marshal(p.Plan)
			must(t, err)
			var pretty bytes.Buffer
			must(t, json.Indent(&pretty, append(encoded, '\n'), "", "  "))
			compareGolden(t, "testdata/"+t.Name()+".json", pretty.Bytes())

			read, err := step.Kinds().Decode(encoded)
			must(t, err)
			again, err := json.Marshal(read)
			must(t, err)
			if !bytes.Equal(again, encoded) {
				t.Errorf("read back as %s", again)
			}
		})
	}
}

func TestMakingAPlanChangesNothing(t *testing.T) {
	for name, v := range verbs {
		w := newWorld(t)
		worlds[v.world](w, 0)
		w.FS.Before = func(op machine.Op, path string) error {
			t.Errorf("%s: %s %s", name, op, path)
			return nil
		}
		_, err := v.propose(t, w.look())
		must(t, err)
	}
}

func TestTheHashIsTheSameForTheSameMachineAndOptions(t *testing.T) {
	for name, v := range verbs {
		if name == "same" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			var hashes []string
			for _, base := range []int{0, 0, 7} { // the last with other numbers
				_, s := situation(t, v.world, base)
				p, err := v.propose(t, s)
				hashes = append(hashes, hashOf(t, p, err))
			}
			if len(slices.Compact(hashes)) != 1 {
				t.Errorf("%q", hashes)
			}
		})
	}
}

func TestTheHashChangesWithWhatIsAskedFor(t *testing.T) {
	seen := map[string]string{}
	for name, o := range map[string]Options{
		"nothing": {}, "web port": {WebPort: 443}, "license port": {LicensePort: 99}, "account": {ServiceUser: "alice"},
		"firewall": {OpenFirewall: true}, "offline": {Offline: true},
	} {
		_, s := situation(t, "nothing", 0)
		p, err := ForInstall(s, bundleOf(t, "7.0.1", "second"), o)
		hash := hashOf(t, p, err)
		if seen[hash] != "" {
			t.Errorf("%s has the hash of %s", name, seen[hash])
		}
		seen[hash] = name
	}
	for name, v := range verbs {
		_, s := situation(t, v.world, 0)
		p, err := v.propose(t, s)
		hash := hashOf(t, p, err)
		switch other := seen[hash]; {
		case other != "" && !strings.HasPrefix(name, "fresh"):
			t.Errorf("%s has the hash of %s", name, other)
		}
		seen[hash] = name
	}
}

func TestHowQuestionsAreAnsweredChangesNoPlan(t *testing.T) {
	_, s := situation(t, "nothing", 0)
	a, err := ForInstall(s, bundleOf(t, "7.0.1", "second"), Options{})
	before := hashOf(t, a, err)
	b, err := ForInstall(s, bundleOf(t, "7.0.1", "second"), Options{Silent: true, Yes: true})
	if hashOf(t, b, err) != before {
		t.Error("another hash")
	}
}

func TestRefusalsHaveExitsOfTheirOwn(t *testing.T) {
	for name, c := range map[string]struct {
		world   string
		propose func(*testing.T, *Situation) (*Proposal, error)
		want    error
		says    string
	}{
		"an older bundle":             {"installed", installing("7.0.0", "first", Options{}), ErrNewerInstalled, "ss-setup rollback"},
		"an update to an older one":   {"installed", installing("7.0.0", "first", Options{Update: true}), ErrNewerInstalled, ""},
		"a pre-release of it":         {"installed", installing("7.0.1-rc.1", "first", Options{}), ErrNewerInstalled, ""},
		"an update of nothing":        {"nothing", installing("7.0.1", "second", Options{Update: true}), ErrNothingInstalled, "ss-setup install"},
		"an update of kept data":      {"kept", installing("7.0.1", "second", Options{Update: true}), ErrNothingInstalled, ""},
		"a repair of nothing":         {"nothing", installing("7.0.1", "second", Options{Repair: true}), ErrNothingInstalled, ""},
		"a repair with another":       {"installed", installing("7.0.2", "third", Options{Repair: true}), ErrUsage, "install --repair"},
		"a repair with a rebuild":     {"installed", installing("7.0.1", "again", Options{Repair: true}), ErrUsage, ""},
		"update and repair":           {"installed", installing("7.0.1", "second", Options{Update: true, Repair: true}), ErrUsage, "--update"},
		"repair and force":            {"installed", installing("7.0.1", "second", Options{Repair: true, Force: true}), ErrUsage, "-F"},
		"update and force":            {"nothing", installing("7.0.1", "second", Options{Update: true, Force: true}), ErrUsage, ""},
		"a port beyond":               {"nothing", installing("7.0.1", "second", Options{WebPort: 65536}), ErrUsage, "--web-port"},
		"a negative port":             {"nothing", installing("7.0.1", "second", Options{WebPort: -1}), ErrUsage, "--web-port"},
		"a license port beyond":       {"nothing", installing("7.0.1", "second", Options{LicensePort: 70000}), ErrUsage, "--license-port"},
		"one port for two":            {"nothing", installing("7.0.1", "second", Options{WebPort: 2380}), ErrUsage, "2380"},
		"an uninstall of nothing":     {"nothing", uninstalling(Options{}), ErrNothingInstalled, ""},
		"an uninstall of kept data":   {"kept", uninstalling(Options{}), ErrNothingInstalled, ""},
		"a purge of files alone":      {"installed", uninstalling(Options{PurgeFiles: true}), ErrUsage, "--purge --purge-files"},
		"a rollback of nothing":       {"nothing", rollingBack, ErrNothingInstalled, ""},
		"forgetting what is not":      {"installed", forgetting(99), ErrNothingInstalled, "ss-setup status"},
		"forgetting what is in force": {"installed", forgetting(3), ErrUsage, "in force"},
	} {
		t.Run(name, func(t *testing.T) {
			_, s := situation(t, c.world, 0)
			_, err := c.propose(t, s)
			if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestRollbackWithoutAReceiptGoesToTheNewestGenerationBeforeThatServed(t *testing.T) {
	w := newWorld(t)
	worlds["installed"](w, 0)
	must(t, os.Remove(w.FS.Real(machine.Receipt(3))))
	p, err := ForRollback(w.look(), Options{})
	must(t, err)
	if p.Generation != 2 || p.To != "7.0.0" {
		t.Errorf("it goes to generation %d, %s", p.Generation, p.To)
	}
	// One that never let users in, and one without its release, are none.
	must(t, os.Remove(w.FS.Real(machine.Generation(2)+"/"+machine.OpenFile)))
	must(t, os.Remove(w.FS.Real(machine.Generation(1)+"/release")))
	if _, err := ForRollback(w.look(), Options{}); !errors.Is(err, ErrNothingInstalled) {
		t.Errorf("with nothing to go back to: %v", err)
	}
}

func TestUninstallClosesThePortsThatWereOpenedAndNoOthers(t *testing.T) {
	for opened, want := range map[string]string{"": "", "[6443]": "close ports [6443]"} {
		w := newWorld(t)
		worlds["installed"](w, 0)
		if opened != "" {
			w.file(machine.OpenedPortsFile, opened)
		}
		p, err := ForUninstall(w.look(), Options{})
		must(t, err)
		if has := strings.Contains(text(p), "close ports"); has != (want != "") || !strings.Contains(text(p), want) {
			t.Errorf("opened %q: %s", opened, text(p))
		}
	}
}

func rollingBack(_ *testing.T, s *Situation) (*Proposal, error) { return ForRollback(s, Options{}) }

func forgetting(n int) func(*testing.T, *Situation) (*Proposal, error) {
	return func(_ *testing.T, s *Situation) (*Proposal, error) { return ForForget(s, n) }
}

func TestAPurgeOfNothingIsRefused(t *testing.T) {
	_, s := situation(t, "nothing", 0)
	if _, err := ForUninstall(s, Options{Purge: true}); !errors.Is(err, ErrNothingInstalled) {
		t.Error(err)
	}
}

func TestAPurgeAfterAnUninstallLeavesCommandsOfOthersAlone(t *testing.T) {
	_, s := situation(t, "kept", 0)
	p, err := ForUninstall(s, Options{Purge: true})
	must(t, err)
	for _, st := range p.Plan.Steps {
		if r, ok := st.(*step.RemoveInstalled); ok && r.Was == "" && strings.HasPrefix(r.Path, machine.BinDir) && !strings.HasSuffix(r.Path, "/ss-setup") {
			t.Errorf("%s goes, whatever it is", r.Path)
		}
	}
}

func TestTheReceiptKeepsTheOptions(t *testing.T) {
	_, s := situation(t, "nothing", 0)
	p, err := ForInstall(s, bundleOf(t, "7.0.1", "second"), Options{WebPort: 443})
	must(t, err)
	for _, st := range p.Plan.Steps {
		if r, ok := st.(*step.WriteReceipt); ok && len(r.Options) == 0 {
			t.Error("no options")
		}
	}
}

func TestOldVersionsAreFoundAndRefusedWithTheCure(t *testing.T) {
	for major := 1; major <= 6; major++ {
		w := newWorld(t)
		where := fmt.Sprintf("/opt/Syncplify/ServerV%d", major)
		w.file(where+"/program", "")
		s := w.look()
		if len(s.OldVersions) != 1 || s.OldVersions[0].Major != major || s.OldVersions[0].Where != where {
			t.Fatalf("found %v", s.OldVersions)
		}
		_, err := ForInstall(s, bundleOf(t, "7.0.1", "second"), Options{})
		want := ErrUnsupported
		if major == 6 {
			want = ErrNotExported // its services are gone
		}
		if !errors.Is(err, want) || !strings.Contains(err.Error(), where) || !strings.Contains(err.Error(), "ss-setup install -F") {
			t.Errorf("version %d: %v", major, err)
		}
		p, err := ForInstall(s, bundleOf(t, "7.0.1", "second"), Options{Force: true})
		if err != nil || p.Action != ActionFresh {
			t.Errorf("version %d, forced: %v", major, err)
		}
	}
}

func TestAnUninstallTellsHowTheOldVersionIsStartedAgain(t *testing.T) {
	_, s := situation(t, "upgraded", 0)
	p, err := ForUninstall(s, Options{})
	must(t, err)
	if !strings.Contains(text(p), "systemctl enable --now ss6-webrest ss6-worker") {
		t.Error(text(p))
	}
}

// TestTheWayBackToAnOldVersionLastsAsLongAsItIsThere: updates keep what is known of it.
func TestTheWayBackToAnOldVersionLastsAsLongAsItIsThere(t *testing.T) {
	w, s := situation(t, "upgraded", 0)
	p, err := ForInstall(s, bundleOf(t, "7.0.2", "third"), Options{})
	must(t, err)
	kept := ""
	for _, st := range p.Plan.Steps {
		if r, ok := st.(*step.WriteReceipt); ok {
			kept = string(r.Predecessor)
		}
	}
	if !strings.Contains(kept, "ss6-webrest") {
		t.Errorf("the update's receipt knows %q of it", kept)
	}
	delete(w.services, "ss6-worker") // which something else started, if it was needed
	if _, err := ForRollback(w.look(), Options{}); err != nil {
		t.Error(err)
	}
	w.services["ss6-worker"] = machine.ServiceState{Installed: true}
	delete(w.services, "ss6-webrest")
	if _, err := ForRollback(w.look(), Options{}); !errors.Is(err, ErrNothingInstalled) || !strings.Contains(err.Error(), "ss6-webrest is gone") {
		t.Errorf("%v", err)
	}
}

// TestTheWayBackToAnOldVersionOutlivesAnUninstall: the data are kept, and so is what is known
// of the version before.
func TestTheWayBackToAnOldVersionOutlivesAnUninstall(t *testing.T) {
	w, _ := situation(t, "upgraded", 0)
	for _, gone := range []string{machine.Current, machine.GenerationsDir, machine.ReleasesDir} {
		must(t, os.RemoveAll(w.FS.Real(gone)))
	}
	w.state.Installed = false
	w.kept(2)
	kept := func(o Options) string {
		t.Helper()
		p, err := ForInstall(w.look(), bundleOf(t, "7.0.2", "third"), o)
		must(t, err)
		for _, st := range p.Plan.Steps {
			if r, ok := st.(*step.WriteReceipt); ok {
				return string(r.Predecessor)
			}
		}
		return ""
	}
	for _, o := range []Options{{}, {Force: true}} {
		if is := kept(o); !strings.Contains(is, "ss6-webrest") {
			t.Errorf("%+v: the receipt knows %q of it", o, is)
		}
	}
	p, err := ForUninstall(w.look(), Options{Purge: true})
	must(t, err)
	if !strings.Contains(text(p), "systemctl enable --now ss6-webrest ss6-worker") {
		t.Error(text(p))
	}
	must(t, os.Remove(w.FS.Real(machine.Receipt(2))))
	if is := kept(Options{}); is != "" {
		t.Errorf("no receipt is there, and it knows %q", is)
	}
}

// TestALostReceiptDoesNotCloseTheWayBack: the one before it tells the same.
func TestALostReceiptDoesNotCloseTheWayBack(t *testing.T) {
	w, _ := situation(t, "upgraded", 0)
	w.installed(3, 2, bundleOf(t, "7.0.2", "third"))
	must(t, os.Remove(w.FS.Real(machine.Receipt(3))))
	if s := w.look(); s.predecessor() == nil {
		t.Error("nothing is known of version 6 any more")
	}
}

// TestTheWayBackStartsWhatRanOrWasToStart: a version that only was to start with the machine
// serves again at once, and one of which nothing was to run is no way back.
func TestTheWayBackStartsWhatRanOrWasToStart(t *testing.T) {
	const link = `"links":[{"path":"/etc/systemd/system/multi-user.target.wants/ss6-webrest.service","target":"/x"}]`
	for name, c := range map[string]struct {
		services string
		start    string // what is started, and others
		note     bool
	}{
		"it ran":               {`{"service":"ss6-webrest",` + link + `,"active":true},{"service":"ss6-worker","active":true}`, "[ss6-webrest] [ss6-worker]", false},
		"it was to start":      {`{"service":"ss6-webrest",` + link + `},{"service":"ss6-worker"}`, "[ss6-webrest] []", true},
		"only a part ran":      {`{"service":"ss6-webrest",` + link + `},{"service":"ss6-worker","active":true}`, "[] [ss6-worker]", false},
		"nothing was to start": {`{"service":"ss6-webrest"}`, "", false},
	} {
		w := newWorld(t)
		w.old(false)
		w.predecessor = `{"major":6,"where":"/opt/Syncplify/ServerV6","services":[` + c.services + `],"ports":[22,64012]}`
		w.installed(2, 0, bundleOf(t, "7.0.1", "second"))
		p, err := ForRollback(w.look(), Options{})
		if c.start == "" {
			if !errors.Is(err, ErrNothingInstalled) || !strings.Contains(err.Error(), "nothing to go back to") {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		must(t, err)
		for _, st := range p.Plan.Steps {
			if s, ok := st.(*step.StartOld); ok && fmt.Sprint(s.Services, s.Others) != c.start {
				t.Errorf("%s: %v %v are started", name, s.Services, s.Others)
			}
		}
		if strings.Contains(text(p), "did not run at the upgrade") != c.note {
			t.Errorf("%s: %s", name, text(p))
		}
	}
}

func TestWhatIsThereDecidesWhetherAnOldVersionIsUpgraded(t *testing.T) {
	for name, c := range map[string]struct {
		inUse, kept bool
		folder      string
		services    []string
		o           Options
		action      string
		err         error
	}{
		"in use":                           {inUse: true, action: ActionUpgrade},
		"in use, a backup is named":        {inUse: true, o: Options{Import: "/x.zip"}, action: ActionUpgrade},
		"in use, data of 7 are kept":       {inUse: true, kept: true, action: ActionUpgrade},
		"disabled":                         {err: ErrNotExported},
		"disabled, a backup is named":      {o: Options{Import: "/x.zip"}, action: ActionFresh},
		"disabled, data of 7 are kept":     {kept: true, action: ActionAdopt},
		"data are kept, and a backup":      {kept: true, o: Options{Import: "/x.zip"}, err: ErrUsage},
		"forced":                           {inUse: true, o: Options{Force: true}, action: ActionFresh},
		"version 5, data of 7 are kept":    {services: []string{"SMWebRestServicev5"}, kept: true, action: ActionAdopt},
		"version 3, data of 7 are kept":    {folder: "/opt/Syncplify/ServerV3", services: []string{}, kept: true, action: ActionAdopt},
		"version 5 in use, data are kept":  {services: []string{"SMWebRestServicev5"}, inUse: true, kept: true, err: ErrUnsupported},
		"version 5":                        {services: []string{"SMWebRestServicev5"}, inUse: true, err: ErrUnsupported},
		"version 5, a backup is named":     {services: []string{"SMWebRestServicev5"}, inUse: true, o: Options{Import: "/x.zip"}, action: ActionFresh},
		"a backup, and nothing is started": {inUse: true, o: Options{Import: "/x.zip", Offline: true}, err: ErrUsage},
		"a backup, and a first set-up":     {o: Options{Import: "/x.zip", FirstSetUp: &FirstSetUp{SuperAdmin: "sa"}}, err: ErrUsage},
	} {
		w := newWorld(t)
		if c.kept {
			w.kept(2)
		}
		if c.services == nil {
			w.old(c.inUse)
		}
		if c.folder != "" {
			w.file(c.folder+"/program", "")
		}
		for _, name := range c.services {
			w.services[name] = machine.ServiceState{Installed: true, Enabled: c.inUse, Active: c.inUse}
		}
		p, err := ForInstall(w.look(), bundleOf(t, "7.0.1", "second"), c.o)
		if !errors.Is(err, c.err) || (c.err == nil) != (err == nil) || err == nil && p.Action != c.action {
			t.Errorf("%s: %+v, %v", name, p, err)
		}
	}
}

// TestATransferDoesNotChangeThePlanOfAnUpgrade: the port on which it waits for data is none
// at which anybody is served.
func TestATransferDoesNotChangeThePlanOfAnUpgrade(t *testing.T) {
	w, _ := situation(t, "version 6", 0)
	program := "/opt/Syncplify/ServerV6/bin/ss6-worker"
	sockets := []machine.Listener{
		{Addr: netip.MustParseAddrPort("[::]:22"), Program: program},
		{Addr: netip.MustParseAddrPort("[::]:8443"), Program: program + "-copy/other"},
		{Addr: netip.MustParseAddrPort("[::]:9443"), Program: "/opt/Syncplify/ServerV6-copy/bin/ss6-worker"},
	}
	var hashes []string
	for _, transfer := range []string{"[::]:64012", "127.0.0.1:41234"} {
		w.Prober = fakeProber{listeners: append(slices.Clone(sockets), machine.Listener{Addr: netip.MustParseAddrPort(transfer), Program: program})}
		s := w.look()
		if n := len(s.OldVersions[0].Listeners()); n != 3 {
			t.Errorf("%d listeners are its own", n)
		}
		p, err := ForInstall(s, bundleOf(t, "7.0.1", "second"), Options{})
		hashes = append(hashes, hashOf(t, p, err))
	}
	if hashes[0] != hashes[1] {
		t.Errorf("the hashes are %v", hashes)
	}
}

// TestAnUpgradeAsksBeforeItSetsKeptDataAside: somebody may only have looked something up in
// version 6.
func TestAnUpgradeAsksBeforeItSetsKeptDataAside(t *testing.T) {
	for _, kept := range []bool{false, true} {
		w := newWorld(t)
		if kept {
			w.kept(2)
		}
		w.old(true)
		p, err := ForInstall(w.look(), bundleOf(t, "7.0.1", "second"), Options{})
		must(t, err)
		if asks := len(p.Confirm) == 1 && strings.Contains(p.Confirm[0].Text, "generation 2") && strings.Contains(p.Confirm[0].Explain, "ss6-webrest"); asks != kept {
			t.Errorf("data are kept: %v, asks %+v", kept, p.Confirm)
		}
	}
}

func TestAnOldVersionBesideAnInstalledOneIsNoHindrance(t *testing.T) {
	w, _ := situation(t, "installed", 0)
	w.file("/opt/Syncplify/ServerV6/program", "")
	if _, err := ForInstall(w.look(), bundleOf(t, "7.0.2", "third"), Options{}); err != nil {
		t.Error(err)
	}
}

func TestOnlyGenerationsThatAnUpdateEndedAreCollected(t *testing.T) {
	for endedBy, collected := range map[string]bool{
		"update": true, "rebuild": true, "repair": true, "adopt": true,
		"rollback": false, "force": false, "uninstall": false, "restore": false, "": false,
	} {
		w := newWorld(t)
		w.generation(1, 0, bundleOf(t, "7.0.0", "first"))
		w.generation(2, 1, bundleOf(t, "7.0.0", "second"))
		if endedBy != "" {
			w.state.End(1, endedBy, noon)
		}
		w.state.End(2, "update", noon) // the one before, which stays until the next
		w.installed(3, 2, bundleOf(t, "7.0.1", "third"))
		s := w.look()
		p, err := ForInstall(s, bundleOf(t, "7.0.2", "fourth"), Options{})
		must(t, err)
		var got []int
		for _, st := range p.Plan.Steps {
			switch st := st.(type) {
			case *step.Collect:
				got = st.Generations
			case *step.WriteState:
				if st.Ended != 3 || st.EndedBy != ActionUpdate {
					t.Errorf("ended %d by %s", st.Ended, st.EndedBy)
				}
			}
		}
		if slices.Contains(got, 1) != collected {
			t.Errorf("ended by %q: collected %v", endedBy, got)
		}
		if slices.Contains(got, 3) {
			t.Errorf("the previous one goes: %v", got)
		}
	}
}

func TestNumbersAreNeverUsedTwice(t *testing.T) {
	for name, c := range map[string]struct {
		arrange func(w *world)
		want    int
	}{
		"nothing was there":               {func(*world) {}, 1},
		"a number was taken by a failure": {func(w *world) { w.saveState(9) }, 9},
		"the state is lost":               {func(w *world) { w.data(4) }, 5},
		"a folder has a higher number":    {func(w *world) { w.saveState(3); w.data(6) }, 7},
	} {
		w := newWorld(t)
		c.arrange(w)
		p, err := ForInstall(w.look(), bundleOf(t, "7.0.1", "second"), Options{})
		must(t, err)
		if p.Generation != c.want {
			t.Errorf("%s: %d, want %d", name, p.Generation, c.want)
		}
	}
}

func TestWhatAnAdministratorStoppedStaysSoOverAnUpdate(t *testing.T) {
	w, _ := situation(t, "installed", 0)
	w.services[machine.LicensedService] = machine.ServiceState{Installed: true, Enabled: true}
	w.services[machine.ServerService] = machine.ServiceState{Installed: true, Masked: true}
	p, err := ForInstall(w.look(), bundleOf(t, "7.0.2", "third"), Options{})
	must(t, err)
	for _, st := range p.Plan.Steps {
		switch st := st.(type) {
		case *step.StartServices:
			t.Errorf("starts %v", st.Services)
		case *step.InstallDefinition:
			if st.Service == machine.ServerService {
				t.Error("a masked service is defined anew")
			}
		case *step.InstallLink:
			if strings.Contains(st.Path, "wants") {
				t.Errorf("enables %s", st.Path)
			}
		}
	}
}

func TestARepairStartsWhatRanOrCouldNot(t *testing.T) {
	stopped := machine.ServiceState{Installed: true, Enabled: true}
	for name, c := range map[string]struct {
		state   machine.ServiceState
		missing bool
		starts  bool
	}{
		"runs":                {machine.ServiceState{Installed: true, Active: true}, false, true},
		"failed":              {machine.ServiceState{Installed: true, Failed: true}, false, true},
		"stopped":             {stopped, false, false},
		"masked":              {machine.ServiceState{Installed: true, Masked: true}, false, false},
		"its program is gone": {stopped, true, true},
		"not registered":      {machine.ServiceState{}, false, true},
	} {
		w, s := situation(t, "installed", 0)
		w.services[machine.ServerService] = c.state
		if c.missing {
			must(t, os.Remove(w.FS.Real(machine.Release(s.Release)+"/bin/ss-server")))
		}
		p, err := ForInstall(w.look(), bundleOf(t, "7.0.1", "second"), Options{Repair: true})
		must(t, err)
		starts := false
		for _, st := range p.Plan.Steps {
			if s, ok := st.(*step.StartServices); ok && slices.Contains(s.Services, machine.ServerService) {
				starts = true
			}
		}
		if starts != c.starts {
			t.Errorf("%s: starts: %v", name, starts)
		}
	}
}

func TestOptionsThatChangeNothingAreRefused(t *testing.T) {
	_, s := situation(t, "installed", 0)
	s.configured, s.licensePort = 6443, 2380
	for want, o := range map[string]Options{
		"":               {WebPort: 6443, LicensePort: 2380, ServiceUser: "ss-server"},
		"--web-port":     {WebPort: 444},
		"--license-port": {LicensePort: 444},
		"--service-user": {ServiceUser: "bob"},
	} {
		_, err := ForInstall(s, bundleOf(t, "7.0.1", "second"), o)
		if want == "" && err != nil || want != "" && (!errors.Is(err, ErrUsage) || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %v", want, err)
		}
	}
}

func TestOnlyTheStoreOfAServiceThatRunsIsMigratedAhead(t *testing.T) {
	for name, active := range map[string][]string{
		"both run":  {machine.ServerService, machine.LicensedService},
		"one runs":  {machine.LicensedService},
		"none runs": {},
	} {
		w, _ := situation(t, "installed", 0)
		for _, service := range []string{machine.ServerService, machine.LicensedService} {
			w.services[service] = machine.ServiceState{Installed: true, Active: slices.Contains(active, service)}
		}
		p, err := ForInstall(w.look(), bundleOf(t, "7.0.2", "third"), Options{})
		must(t, err)
		got := []string{}
		for _, st := range p.Plan.Steps {
			if a, ok := st.(*step.MigrateAhead); ok {
				got = append(got, a.Service)
			}
		}
		if !slices.Equal(got, active) {
			t.Errorf("%s: ahead %v", name, got)
		}
	}
}

func TestTheAccountStaysTheOneThatWasChosenAtFirst(t *testing.T) {
	w, s := situation(t, "installed", 0)
	s.Receipt.Services[1].User = "alice"
	p, err := ForInstall(s, bundleOf(w.t, "7.0.2", "third"), Options{})
	must(t, err)
	for _, st := range p.Plan.Steps {
		if d, ok := st.(*step.InstallDefinition); ok && d.Service == machine.ServerService && d.User != "alice" {
			t.Errorf("runs as %s", d.User)
		}
		if a, ok := st.(*step.CreateAccount); ok && a.Name == machine.ServerService {
			t.Error("makes an account that nobody uses")
		}
	}
}

func TestAReleaseThatFailedHereIsAskedFor(t *testing.T) {
	w, _ := situation(t, "installed", 0)
	b := bundleOf(t, "7.0.2", "third")
	w.state.Fail(b.Release(), "it did not answer", noon)
	w.saveState(4)
	p, err := ForInstall(w.look(), b, Options{})
	must(t, err)
	if len(p.Confirm) != 1 || !strings.Contains(p.Confirm[0].Explain, "it did not answer") {
		t.Errorf("%v", p.Confirm)
	}
}

func TestAReleaseThatFailedIsForgivenByItselfAndByLaterOnes(t *testing.T) {
	for version, want := range map[string][]string{"7.0.2": {"7.0.2"}, "7.0.3": {"7.0.2"}, "7.0.1": nil} {
		w, _ := situation(t, "installed", 0)
		failed := bundleOf(t, "7.0.2", "third").Release()
		w.state.Fail(failed, "it did not answer", noon)
		w.saveState(4)
		p, err := ForInstall(w.look(), bundleOf(t, version, "third"), Options{})
		must(t, err)
		for _, st := range p.Plan.Steps {
			if s, ok := st.(*step.WriteState); ok && (len(s.Forgiven) != len(want) || len(want) > 0 && s.Forgiven[0] != failed) {
				t.Errorf("%s: forgives %v", version, s.Forgiven)
			}
		}
	}
}

func TestARollbackToADamagedGenerationIsRefused(t *testing.T) {
	before := bundleOf(t, "7.0.0", "first")
	program := machine.Release(before.Release()) + "/bin/ss-server"
	for name, c := range map[string]struct {
		arrange func(w *world)
		want    string
	}{
		"nothing":                {func(*world) {}, ""},
		"a program is gone":      {func(w *world) { must(t, os.Remove(w.FS.Real(program))) }, program + " (missing)"},
		"a program is another":   {func(w *world) { w.file(program, "PROGRAM") }, program + " (content)"},
		"the link to the data":   {func(w *world) { w.link(machine.Generation(2)+"/data", "/tmp") }, "ln -sfn " + machine.ServerData(2) + " "},
		"its package is damaged": {func(w *world) { w.file(machine.Release(before.Release())+"/"+bundle.PayloadName, "x") }, ""},
	} {
		w, s := situation(t, "installed", 0)
		c.arrange(w)
		p, err := ForRollback(s, Options{})
		must(t, err)
		err = CheckTarget(w.Machine, p)
		if c.want == "" && err != nil || c.want != "" && (!errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestALostReceiptOrManifestIsSomethingThatARepairMends(t *testing.T) {
	b := bundleOf(t, "7.0.1", "second")
	for name, path := range map[string]string{
		"receipt": machine.Receipt(3), "manifest": machine.Release(b.Release()) + "/" + bundle.ManifestName,
	} {
		for _, damage := range []string{"", "{"} {
			w, _ := situation(t, "installed", 0)
			must(t, w.FS.Remove(path))
			if damage != "" {
				w.file(path, damage)
			}
			p, err := ForInstall(w.look(), b, Options{Repair: true})
			if err != nil || p.Action != ActionRepair {
				t.Errorf("%s %q: %v", name, damage, err)
			}
		}
	}
}

func TestLookTellsWhatIsOnTheMachine(t *testing.T) {
	_, s := situation(t, "installed", 0)
	if !s.Installed() || s.Current != 3 || s.Version != "7.0.1" || s.Receipt == nil || s.Interrupted != nil || len(s.Generations) != 3 {
		t.Errorf("%+v", s)
	}
	g := s.Generations[2]
	if !g.Current || !g.Open || g.Previous != 2 || g.Size != 10 || g.DataOnly || !g.Created.Equal(noon) {
		t.Errorf("%+v", g)
	}
	if s.StoreSize() != 10 {
		t.Errorf("the stores have %d bytes", s.StoreSize())
	}
	_, s = situation(t, "kept", 0)
	if s.Installed() || len(s.Generations) != 1 || !s.Generations[0].DataOnly {
		t.Errorf("%+v", s)
	}
}

func TestWhatCannotBeReadIsNotGuessed(t *testing.T) {
	for name, arrange := range map[string]func(w *world){
		"current is a folder":   func(w *world) { w.file(machine.Current+"/x", "") },
		"current names nothing": func(w *world) { w.link(machine.Current, "generations/none") },
		"the state is damaged":  func(w *world) { w.file(machine.StateFile, "{") },
		"the state is newer":    func(w *world) { w.file(machine.StateFile, `{"schema":99}`) },
	} {
		w := newWorld(t)
		arrange(w)
		if _, err := Look(t.Context(), w.Machine); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// unlisted is a service manager that does not tell which services it has.
type unlisted struct{ fakeServices }

func (unlisted) Find(context.Context, string) ([]string, error) {
	return nil, errors.New("the manager does not answer")
}

// TestWhatNobodyCanTellOfOlderVersionsIsInTheWayOfAnInstallAlone: what is installed can be
// shown, updated and removed.
func TestWhatNobodyCanTellOfOlderVersionsIsInTheWayOfAnInstallAlone(t *testing.T) {
	w := newWorld(t)
	w.Services = unlisted{w.services}
	s := w.look()
	for _, o := range []Options{{}, {Force: true}, {Import: "/root/backup.zip"}} {
		if _, err := ForInstall(s, bundleOf(t, "7.0.0", "a"), o); err == nil || !strings.Contains(err.Error(), "does not answer") {
			t.Errorf("%+v on a fresh machine: %v", o, err)
		}
	}
	w.installed(1, 0, bundleOf(t, "7.0.0", "a"))
	s = w.look()
	if s.OldUnknown == nil || !s.Installed() {
		t.Errorf("%+v", s)
	}
	if p, err := ForInstall(s, bundleOf(t, "7.0.1", "b"), Options{}); err != nil || p.Action != ActionUpdate {
		t.Errorf("%v", err)
	}
	if _, err := ForUninstall(s, Options{}); err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Look(ctx, w.Machine); !errors.Is(err, context.Canceled) {
		t.Errorf("somebody has ended it: %v", err)
	}

	w = newWorld(t)
	w.Services = unlisted{w.services}
	w.predecessor = `{"major":6,"services":[{"service":"ss6-webrest","active":true,"at_boot":true}]}`
	w.installed(1, 0, bundleOf(t, "7.0.0", "a"))
	if _, err := ForRollback(w.look(), Options{}); err == nil || !strings.Contains(err.Error(), "does not answer") {
		t.Errorf("back to version 6: %v", err)
	}
	if p, err := ForUninstall(w.look(), Options{}); err != nil || !strings.Contains(strings.Join(p.Notes, "\n"), "systemctl enable --now ss6-webrest") {
		t.Errorf("%+v, %v", p, err)
	}
}
