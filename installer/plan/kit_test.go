package plan

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"ss-setup/installer/bundle"
	"ss-setup/installer/machine"
	"ss-setup/installer/receipt"
	"ss-setup/installer/step"
)

var update = flag.Bool("update", false, "write the golden plans anew")

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// world is a machine below a root on which plans are made. Nothing is carried out.
type world struct {
	*step.Machine
	t        *testing.T
	services fakeServices
	state    receipt.State
	// predecessor is the older product of which receipts tell.
	predecessor string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, services: fakeServices{}, state: receipt.NewState()}
	w.Machine = &step.Machine{FS: &machine.FS{Root: t.TempDir()}, Services: w.services, Accounts: fakeAccounts{}}
	for _, dir := range []string{machine.BinDir, machine.LocalBinDir, machine.ReceiptsDir} {
		must(t, os.MkdirAll(w.FS.Real(dir), 0o755))
	}
	return w
}

func (w *world) file(path, text string) {
	w.t.Helper()
	must(w.t, os.MkdirAll(filepath.Dir(w.FS.Real(path)), 0o755))
	must(w.t, os.WriteFile(w.FS.Real(path), []byte(text), 0o644))
}

func (w *world) link(path, target string) {
	w.t.Helper()
	must(w.t, os.MkdirAll(filepath.Dir(w.FS.Real(path)), 0o755))
	_ = os.Remove(w.FS.Real(path))
	must(w.t, os.Symlink(target, w.FS.Real(path)))
}

// saveState writes state.json with n as the next number.
func (w *world) saveState(next int) {
	w.t.Helper()
	w.state.NextGeneration = next
	content, err := w.state.Marshal()
	must(w.t, err)
	w.file(machine.StateFile, string(content))
}

// bundleOf is a package of a version; build tells builds of it apart.
func bundleOf(t *testing.T, version, build string) *bundle.Bundle {
	t.Helper()
	digest := bundle.Digest([]byte(build))
	raw, err := json.Marshal(bundle.Manifest{
		Schema: bundle.Schema, Product: bundle.Product, Version: version, OS: "linux", Arch: "amd64",
		Files:   []bundle.File{{Path: "bin/ss-server", Size: 7, Mode: "0755", SHA256: bundle.Digest([]byte("program"))}},
		Payload: bundle.Blob{Name: bundle.PayloadName, Size: 9, SHA256: digest},
		Setup:   bundle.Blob{Size: 5, SHA256: digest},
	})
	must(t, err)
	m, err := bundle.Parse(raw)
	must(t, err)
	return &bundle.Bundle{Manifest: m, Raw: raw, Digest: bundle.Digest(raw)}
}

// generation lays a generation of a package on the machine, with its receipt.
func (w *world) generation(n, previous int, b *bundle.Bundle) {
	w.t.Helper()
	release := machine.Release(b.Release())
	w.file(release+"/"+bundle.ManifestName, string(b.Raw))
	w.file(release+"/bin/ss-server", "program")
	w.link(machine.Generation(n)+"/release", "../../releases/"+b.Release())
	w.link(machine.Generation(n)+"/data", machine.ServerData(n))
	w.link(machine.Generation(n)+"/licensed", machine.LicensedData(n))
	w.file(machine.Generation(n)+"/"+machine.OpenFile, "")
	w.data(n)

	r := receipt.Receipt{
		Generation: n, Previous: previous, Version: b.Manifest.Version, Release: b.Release(), ManifestDigest: b.Digest,
		Predecessor: json.RawMessage(w.predecessor),
		Created:     noon, Verb: "install", Accounts: []string{"ss-server", "ss-licensed"},
	}
	for _, name := range []string{machine.ServerService, machine.LicensedService} {
		d := w.services.Definition(name)
		w.file(d.Path, "installed")
		w.link(d.Enable[0].Path, d.Enable[0].Target)
		r.Services = append(r.Services, receipt.Service{Name: name, User: name, Enabled: true})
		for _, path := range []string{d.Path, d.Enable[0].Path} {
			r.Files = append(r.Files, w.entry(path))
		}
	}
	w.file(serverConfig, "port = 1\n")
	e := w.entry(serverConfig)
	e.Config = true
	r.Files = append(r.Files, e, w.entry(release+"/bin/ss-server"), w.entry(machine.ConfigDir))
	content, err := r.Marshal()
	must(w.t, err)
	w.file(machine.Receipt(n), string(content))
}

func (w *world) entry(path string) receipt.Entry {
	w.t.Helper()
	e, err := step.EntryOf(w.Machine, path)
	must(w.t, err)
	return e
}

// old is a machine on which version 6 is installed, in use or stopped and disabled.
func (w *world) old(inUse bool) {
	w.t.Helper()
	w.file("/opt/Syncplify/ServerV6/bin/ss6-webrest", "program")
	for _, name := range []string{"ss6-webrest", "ss6-worker"} {
		w.services[name] = machine.ServiceState{Installed: true, Enabled: inUse, Active: inUse}
	}
}

func (w *world) data(n int) {
	w.t.Helper()
	w.file(machine.ServerData(n)+"/store.db", "1234567")
	w.file(machine.LicensedData(n)+"/license.db", "123")
}

// installed makes generation n the one in force, with both services running.
func (w *world) installed(n, previous int, b *bundle.Bundle) {
	w.t.Helper()
	w.generation(n, previous, b)
	w.link(machine.Current, "generations/"+strconv.Itoa(n))
	w.state.Installed = true
	w.saveState(n + 1)
	for _, name := range []string{machine.ServerService, machine.LicensedService} {
		w.services[name] = machine.ServiceState{Installed: true, Enabled: true, Active: true}
	}
}

// kept is what an uninstall leaves.
func (w *world) kept(n int) {
	w.t.Helper()
	w.data(n)
	w.state.End(n, "uninstall", noon)
	w.state.KeptData = n
	w.saveState(n + 1)
}

func (w *world) look() *Situation {
	w.t.Helper()
	s, err := Look(w.t.Context(), w.Machine)
	must(w.t, err)
	return s
}

func hashOf(t *testing.T, p *Proposal, err error) string {
	t.Helper()
	must(t, err)
	hash, err := p.Hash()
	must(t, err)
	return hash
}

// text is a proposal as people read it.
func text(p *Proposal) string {
	var out strings.Builder
	fmt.Fprintf(&out, "%s: %s\n", p.Action, p.Summary)
	fmt.Fprintf(&out, "generation %d of %q, before %d of %q\n", p.Generation, p.To, p.Previous, p.From)
	for _, n := range p.Notes {
		fmt.Fprintln(&out, "note:", n)
	}
	for _, q := range p.Confirm {
		fmt.Fprintf(&out, "asks: %s (%s)\n", q.Text, q.Explain)
	}
	if p.GoBack != "" {
		fmt.Fprintln(&out, "back:", p.GoBack)
	}
	fmt.Fprintln(&out)
	for i, s := range p.Plan.Steps {
		mark := "  "
		switch i {
		case p.Plan.Commit:
			mark = "! "
		case p.Plan.Gate:
			mark = "> "
		}
		fmt.Fprintf(&out, "%s%2d %s\n", mark, i+1, s)
	}
	return out.String()
}

func compareGolden(t *testing.T, file string, got []byte) {
	t.Helper()
	if *update {
		must(t, os.MkdirAll(filepath.Dir(file), 0o755))
		must(t, os.WriteFile(file, got, 0o644))
		return
	}
	want, err := os.ReadFile(file)
	must(t, err)
	if !bytes.Equal(want, got) {
		t.Errorf("%s differs; see what changed with: go test ./installer/plan -update && git diff\ngot:\n%s", file, got)
	}
}

// fakeServices is a systemd that knows what it is told.
type fakeServices map[string]machine.ServiceState

func (s fakeServices) Name() string { return "systemd" }

func (s fakeServices) Definition(name string) machine.Definition {
	path := "/etc/systemd/system/" + name + ".service"
	return machine.Definition{
		Source: "services/systemd/" + name + ".service", Path: path, Mode: 0o644,
		Enable: []machine.Link{{Path: "/etc/systemd/system/multi-user.target.wants/" + name + ".service", Target: path}},
	}
}

func (s fakeServices) State(_ context.Context, name string) (machine.ServiceState, error) {
	return s[name], nil
}

// Find implements machine.Services.
func (s fakeServices) Find(_ context.Context, prefix string) ([]string, error) {
	var names []string
	for name := range s {
		if strings.HasPrefix(name, prefix) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, nil
}

// StartLinks implements machine.Services.
func (s fakeServices) StartLinks(name string) ([]machine.Link, error) {
	if !s[name].Enabled {
		return nil, nil
	}
	return s.Definition(name).Enable, nil
}

func (fakeServices) Starters(context.Context, string, bool) ([]string, error) { return nil, nil }
func (fakeServices) Reload(context.Context) error                             { return errChange }
func (fakeServices) Start(context.Context, string) error                      { return errChange }
func (fakeServices) Stop(context.Context, string) error                       { return errChange }
func (fakeServices) Detach(context.Context, string, []string, []string) error { return errChange }
func (fakeServices) EndDetached(context.Context, string) error                { return errChange }
func (fakeServices) BootJob(machine.BootJob) machine.Definition               { return machine.Definition{} }

// errChange must not be seen: plans are made without changing anything.
var errChange = fmt.Errorf("a plan changed the machine")

// fakeProber knows who listens.
type fakeProber struct {
	step.Prober
	listeners []machine.Listener
}

func (p fakeProber) Listeners() ([]machine.Listener, error) { return p.listeners, nil }

// fakeAccounts has every account, with the numbers of this process.
type fakeAccounts struct{}

func (fakeAccounts) Lookup(string) (uid, gid int, err error) { return os.Getuid(), os.Getgid(), nil }

func (fakeAccounts) LookupID(uid, gid int) (user, group string) {
	if uid == os.Getuid() && gid == os.Getgid() {
		return "root", "root"
	}
	return strconv.Itoa(uid), strconv.Itoa(gid)
}

func (fakeAccounts) Create(context.Context, string, string) (bool, error) { return false, errChange }
func (fakeAccounts) HasGroup(string) (bool, error)                        { return false, nil }
func (fakeAccounts) Remove(context.Context, string, bool) error           { return errChange }
