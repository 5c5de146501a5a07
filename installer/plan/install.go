package plan

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/mod/semver"

	"ss-setup/installer/bundle"
	"ss-setup/installer/machine"
	"ss-setup/installer/step"
	"ss-setup/runtime/config"
	"ss-setup/runtime/service"
)

// The actions of install.
const (
	ActionFresh   = "fresh"
	ActionAdopt   = "adopt"
	ActionUpdate  = "update"
	ActionRebuild = "rebuild"
	ActionRepair  = "repair"
	ActionForce   = "force"
	ActionSame    = "same"
)

// ForInstall proposes what install does here with this bundle.
func ForInstall(s *Situation, b *bundle.Bundle, o Options) (*Proposal, error) {
	if err := o.checkInstall(); err != nil {
		return nil, err
	}
	if err := s.CheckLink(); err != nil {
		return nil, err
	}
	action, err := decide(s, b, o)
	if err != nil {
		return nil, err
	}
	if action == ActionUpgrade && o.Offline {
		return nil, fmt.Errorf("%w: version 6 is upgraded while it runs; leave out --root and --no-start", ErrUsage)
	}
	if err := s.checkChanges(action, o); err != nil {
		return nil, err
	}
	if err := s.checkManager(action, b, o); err != nil {
		return nil, err
	}
	p := &Proposal{Action: action, From: s.Version, To: b.Manifest.Version, Previous: s.dataFrom()}
	if action == ActionSame && s.Damaged != "" {
		return nil, fmt.Errorf("%w: %s; to put it back run: ss-setup install --repair", ErrDamaged, s.Damaged)
	}
	if action == ActionSame {
		p.Nothing = true
		p.Generation = s.Current
		p.Summary = fmt.Sprintf("SS Server %s is installed already; to mend it run: ss-setup install --repair", s.Version)
		if o.FirstSetUp != nil {
			p.Summary += "; a server that is not set up yet takes the answers by: ss-server setup --answers FILE"
		}
		if o.Import != "" {
			p.Summary += "; to put the backup in the place of its configuration run: ss-server import " + o.Import
		}
		if newer(s.Version, b.Manifest.Version) {
			p.Summary = fmt.Sprintf("SS Server %s is installed already, which is newer than %s of this package, and stays", s.Version, b.Manifest.Version)
		}
		if down := s.down(); down != "" && !o.Offline {
			p.Summary = fmt.Sprintf("SS Server %s is installed already, but %s does not run; start it with: %s", s.Version, down, service.StartCommand(s.services.Name(), down))
		}
		if len(s.Missing) > 0 {
			p.Summary = fmt.Sprintf("SS Server %s is installed already, but %s is missing; to put it back run: ss-setup install --repair", s.Version, s.Missing[0])
		}
		return p, s.checkMoved(action, p)
	}
	if err := s.checkMoved(action, p); err != nil {
		return nil, err
	}
	i := newInstall(s, b, o, action)
	p.Generation = i.generation
	i.explain(p)
	p.Plan = i.plan()
	return p.seal(o, i.release)
}

// checkChanges refuses options that would change what is installed: only a first
// install takes them.
func (s *Situation) checkChanges(action string, o Options) error {
	if user := s.serverUser(); o.ServiceUser != "" && user != "" && o.ServiceUser != user {
		return fmt.Errorf("%w: the server runs as %s, and what it has stored belongs to that account; leave out --service-user", ErrUsage, user)
	}
	if action != ActionSame {
		return nil
	}
	for _, c := range []struct {
		flag, file, service string
		asked, now          int
	}{
		{"--web-port", serverConfig, machine.ServerService, o.WebPort, s.configured},
		{"--license-port", licensedConfig, machine.LicensedService, o.LicensePort, s.licensePort},
	} {
		if c.asked != 0 && c.asked != c.now {
			return fmt.Errorf("%w: %s %d changes nothing: SS Server %s is installed already, and its configuration is yours; change the port in %s, then run: %s",
				ErrUsage, c.flag, c.asked, s.Version, c.file, service.RestartCommand(s.services.Name(), c.service))
		}
	}
	return nil
}

// install gathers what the recipe needs.
type install struct {
	s          *Situation
	b          *bundle.Bundle
	o          Options
	action     string
	generation int
	release    string
	account    string
	// data is the generation whose stores are copied; 0 makes empty ones.
	data int
	// run are the services to start.
	run []string
}

func newInstall(s *Situation, b *bundle.Bundle, o Options, action string) *install {
	i := &install{s: s, b: b, o: o, action: action, generation: s.next(), release: b.Release(), run: []string{}}
	if action == ActionRepair {
		i.release = fmt.Sprintf("%s+r%d", b.Release(), i.generation)
	}
	if action != ActionFresh && action != ActionForce && action != ActionUpgrade {
		i.data = s.dataFrom()
	}
	i.account = i.serverAccount()
	for _, name := range []string{machine.LicensedService, machine.ServerService} {
		if i.starts(name) {
			i.run = append(i.run, name)
		}
	}
	return i
}

// serverAccount stays the one that was chosen at first.
func (i *install) serverAccount() string {
	if user := i.s.serverUser(); i.o.ServiceUser == "" && user != "" {
		return user
	}
	return i.o.serverAccount()
}

// serverUser is the account that the receipt names; empty without a receipt.
func (s *Situation) serverUser() string {
	if s.Receipt == nil {
		return ""
	}
	for _, svc := range s.Receipt.Services {
		if svc.Name == machine.ServerService {
			return svc.User
		}
	}
	return ""
}

// starts tells whether a service is to run afterwards. What an administrator
// stopped or masked stays so over an update and a repair. One that could not run,
// since its definition or a program was gone, nobody stopped.
func (i *install) starts(name string) bool {
	state := i.s.Services[name]
	if state.Masked || i.o.Offline {
		return false
	}
	if i.action == ActionUpdate || i.action == ActionRebuild {
		return state.Active || state.Failed
	}
	if i.action == ActionRepair {
		return state.Active || state.Failed || !state.Installed || i.s.broken()
	}
	return true
}

func (i *install) explain(p *Proposal) {
	version := i.b.Manifest.Version
	switch i.action {
	case ActionFresh:
		p.Summary = "install SS Server " + version
	case ActionAdopt:
		p.Summary = fmt.Sprintf("install SS Server %s with the data that generation %d left here", version, i.data)
		p.Notes = append(p.Notes, fmt.Sprintf("The data of generation %d are taken over.", i.data))
	case ActionUpdate:
		p.Summary = fmt.Sprintf("update SS Server %s to %s", i.s.Version, version)
	case ActionRebuild:
		p.Summary = fmt.Sprintf("update SS Server %s to another build of %s", i.s.Version, version)
	case ActionRepair:
		p.Summary = "repair SS Server " + version
	case ActionUpgrade:
		old, _ := i.s.newestOld()
		p.Summary = fmt.Sprintf("upgrade version %d to SS Server %s", old.Major, version)
		p.Notes = append(p.Notes,
			fmt.Sprintf("Version %d stays on the disk, stopped and disabled.", old.Major))
		if kept := i.s.dataFrom(); kept != 0 {
			p.Confirm = append(p.Confirm, Question{
				Text: fmt.Sprintf("Start with the configuration of version %d and set the data of generation %d aside?", old.Major, kept),
				Explain: fmt.Sprintf("Users, keys and settings of generation %d were kept here and would not be served; nothing is deleted. To take them over instead, stop and disable version %d and install again: %s.",
					kept, old.Major, strings.Join(StopOldCommands(i.s.services.Name(), old.Services), " && ")),
			})
		}
		p.GoBack = "ss-setup rollback"
	case ActionForce:
		p.Summary = fmt.Sprintf("install SS Server %s anew and set generation %d aside", version, i.s.dataFrom())
		p.Confirm = append(p.Confirm, Question{
			Text:    fmt.Sprintf("Start with an empty store and set generation %d aside?", i.s.dataFrom()),
			Explain: fmt.Sprintf("Users, keys and settings of generation %d are no longer served, but nothing is deleted%s.", i.s.dataFrom(), wayBack(i.s)),
		})
	}
	if i.o.FirstSetUp != nil && !i.setsUp() {
		p.Notes = append(p.Notes, "What the answers say of the first set-up is for a first install, and is not looked at. A server that is not set up yet takes it by: ss-server setup --answers FILE")
	}
	if i.o.Import != "" && i.imports() == "" {
		p.Notes = append(p.Notes, "The backup is for a first install, and is not imported. To put it in the place of the configuration run: ss-server import "+i.o.Import)
	}
	if i.s.config && i.o.LicenseMode != "" {
		p.Notes = append(p.Notes, fmt.Sprintf("Where licenses come from stays as it is in %s: configuration that is there is never rewritten; change it there.", licensedConfig))
	}
	if i.s.config && (i.o.WebPort != 0 || i.o.LicensePort != 0) {
		p.Notes = append(p.Notes, fmt.Sprintf("The ports in %s stay as they are: configuration that is there is never rewritten; change them there.", machine.ConfigDir))
	}
	if i.s.Installed() {
		p.GoBack = "ss-setup rollback"
	}
	if failed, ok := i.s.State.Failed(i.b.Release()); ok && i.action != ActionRepair {
		p.Confirm = append(p.Confirm, Question{
			Text:    fmt.Sprintf("Release %s failed here before. Try it again?", i.b.Release()),
			Explain: fmt.Sprintf("On %s it failed: %s", failed.At.Format("2006-01-02 15:04"), failed.Reason),
		})
	}
}

func wayBack(s *Situation) string {
	if !s.Installed() {
		return ""
	}
	return "; ss-setup rollback goes back to them"
}

// plan is the recipe.
func (i *install) plan() step.Plan {
	p := step.Plan{Verb: "install"}
	add := func(steps ...step.Step) { p.Steps = append(p.Steps, steps...) }

	// While the old release serves.
	add(&step.ReserveGeneration{Generation: i.generation})
	add(i.accounts()...)
	add(i.folders()...)
	add(i.secretsAndConfig()...)
	add(&step.UnpackRelease{Release: i.release, Digest: i.b.Digest})
	for _, name := range []string{machine.ServerService, machine.LicensedService} {
		add(&step.SelfTest{Release: i.release, Program: name, Account: i.accountOf(name)})
	}
	if now, ok := i.s.generation(i.s.Current); ok && i.updates() && now.Release != "" {
		add(&step.SnapshotStore{Release: now.Release, Generation: now.Number})
	}
	if i.data != 0 {
		for _, store := range i.stores() {
			add(&step.CopyStore{Store: store})
			// A repair looks into the store after the stop.
			if i.data == i.s.Current && i.s.Services[store.Service].Active && i.action != ActionRepair {
				add(&step.MigrateAhead{Store: store, Release: i.release})
			}
		}
	}
	add(&step.MakeGeneration{Generation: i.generation, Release: i.release})
	add(i.definitions()...)
	add(i.commands()...)
	if i.o.OpenFirewall {
		add(&step.OpenFirewall{Ports: []int{i.webPort()}})
	}

	add(i.labels()...)

	// Downtime begins.
	if stops := i.stops(); len(stops) > 0 {
		add(&step.StopServices{Services: stops, Generation: i.s.Current})
	}
	if i.s.Current != 0 {
		for _, store := range i.stores() {
			store.From = i.s.Current
			add(&step.HoldStore{Store: store, Optional: i.data == 0})
		}
	}
	if i.data != 0 {
		for _, store := range i.stores() {
			add(&step.EqualiseStore{Store: store})
			if i.action == ActionRepair && store.Service == machine.ServerService {
				add(&step.RepairStore{Store: store, Release: i.release})
			}
		}
	}
	for _, store := range i.stores() {
		add(&step.MigrateStore{Store: store, Release: i.release})
	}
	if what := i.imports(); what != "" {
		add(&step.ImportBackup{Store: i.stores()[0], Release: i.release, What: what})
		if i.action == ActionUpgrade && i.o.Import == "" {
			add(&step.RefreshImport{Store: i.stores()[0], Release: i.release})
		}
		if i.action == ActionUpgrade {
			add(&step.KeepImported{Store: i.stores()[0]})
		}
	}
	add(i.leaveOld()...)
	p.Gate = len(p.Steps)
	add(&step.SwitchGeneration{From: i.s.Current, To: i.generation})
	if len(i.run) > 0 {
		add(&step.StartServices{Services: i.run})
	}
	add(&step.WaitHealth{Services: i.run, Generation: i.generation, Version: i.b.Manifest.Version, From: i.s.served(), AfterOld: i.action == ActionUpgrade})
	add(i.enableAtLast()...)
	if f := i.o.FirstSetUp; f != nil && i.setsUp() {
		add(&step.SetUp{Release: i.release, Node: f.Node, SuperAdmin: f.SuperAdmin, Site: f.Site, User: f.User, Folder: f.Folder})
	}
	p.Commit = len(p.Steps)
	add(&step.OpenGeneration{Generation: i.generation})

	// Only forward from here.
	add(i.receipt())
	add(i.state())
	add(i.servesAgain()...)
	add(&step.Collect{Generations: i.collected()})
	return p
}

// updates tells whether another release takes the place of the one in force.
func (i *install) updates() bool { return i.action == ActionUpdate || i.action == ActionRebuild }

// served is the generation whose server serves users now; 0 if none does. What stood
// still before owes nothing.
func (s *Situation) served() int {
	if s.Services[machine.ServerService].Active {
		return s.Current
	}
	return 0
}

// setsUp tells whether a server that may not be set up yet is started.
func (i *install) setsUp() bool {
	first := (i.action == ActionFresh || i.action == ActionForce || i.action == ActionAdopt) && i.imports() == ""
	return first && slices.Contains(i.run, machine.ServerService)
}

// leavesFolders: an update does not touch the mode and owner of folders that an
// administrator may have changed; a repair puts them right.
func (i *install) leavesFolders() bool { return i.updates() }

// webPort is the one in force: configuration that is there is not rewritten.
func (i *install) webPort() int {
	if i.s.configured != 0 {
		return i.s.configured
	}
	return i.o.web()
}

func (i *install) accountOf(service string) string {
	if service == machine.ServerService {
		return i.account
	}
	return ownAccount(service)
}

// ourFolders are those that may have been there before the first install, and then
// stay after the last uninstall.
var ourFolders = []string{
	machine.ProgramDir, machine.ServerStateDir, machine.LicensedStateDir, machine.ConfigDir, machine.FilesDir, machine.ServerLogDir,
}

// The files that only a first install writes.
var (
	serverKey      = filepath.Join(machine.ServerStateDir, "probe.key")
	licensedKey    = filepath.Join(machine.LicensedStateDir, "probe.key")
	serverConfig   = filepath.Join(machine.ConfigDir, "server.toml")
	licensedConfig = filepath.Join(machine.ConfigDir, "licensed.toml")
)

func (i *install) secretsAndConfig() []step.Step {
	return append(i.movedConfig(), []step.Step{
		step.NewMakeProbeKey(serverKey, i.account, ""),
		step.NewMakeProbeKey(licensedKey, i.accountOf(machine.LicensedService), serverKey),
		step.NewWriteFile(serverConfig, string(config.RenderServer(i.o.web())), "root", 0o644),
		step.NewWriteFile(licensedConfig, string(i.o.licensed()), "root", 0o644),
	}...)
}

func (i *install) stores() []step.Store {
	return []step.Store{
		{Service: machine.ServerService, Account: i.account, From: i.data, To: i.generation},
		{Service: machine.LicensedService, Account: i.accountOf(machine.LicensedService), From: i.data, To: i.generation},
	}
}

func (i *install) enables() bool {
	return i.action != ActionUpdate && i.action != ActionRebuild
}

// stops are the services to stop, the one that users see first.
func (i *install) stops() []string {
	if i.o.Offline {
		return nil
	}
	var out []string
	for _, name := range []string{machine.ServerService, machine.LicensedService} {
		if state := i.s.Services[name]; (state.Installed || state.Active) && !state.Masked {
			out = append(out, name)
		}
	}
	return out
}

func (i *install) receipt() step.Step {
	options, _ := json.Marshal(i.o) // plain fields: it cannot fail
	r := &step.WriteReceipt{
		Options: options,
		Verb:    i.action, Generation: i.generation, Previous: i.s.dataFrom(), Version: i.b.Manifest.Version,
		Release: i.release, Digest: i.b.Digest, Offline: i.o.Offline, ManagedBy: i.managedBy(),
		Predecessor: i.predecessorFor(),
		Accounts:    []string{i.account, i.accountOf(machine.LicensedService)},
		Config:      []string{serverConfig, licensedConfig, serverKey, licensedKey},
	}
	for _, name := range []string{machine.ServerService, machine.LicensedService} {
		enabled := i.enables() || i.s.Services[name].Enabled
		r.Services = append(r.Services, step.ServiceEntry{Name: name, User: i.accountOf(name), Enabled: enabled})
		r.Files = append(r.Files, i.s.definitionFiles(name)...)
	}
	r.Setup = step.InstalledSetup{Path: i.s.setupPath(), SHA256: i.b.Manifest.Setup.SHA256}
	r.Files = append(r.Files, r.Setup.Path)
	r.Files = append(r.Files, i.s.commandFiles()...)
	for _, f := range i.folders() {
		if made, ok := f.(*step.CreateFolder); ok {
			r.Folders = append(r.Folders, made.Path)
		}
	}
	return r
}

func (i *install) state() step.Step {
	w := &step.WriteState{Generation: i.generation, Forgotten: i.collected(), Forgiven: i.forgiven()}
	if i.action == ActionFresh && i.s.State.NextGeneration <= 1 {
		w.ForeignFolders = i.s.folders
		w.ForeignAccounts, w.ForeignGroups = i.s.accounts, i.s.groups
	}
	if from := i.s.dataFrom(); from != 0 {
		w.Ended, w.EndedBy = from, i.action
	}
	return w
}

// forgiven are the releases that failed here and that nobody needs to be warned of
// any more: the one that is installed now, and those of versions before it.
func (i *install) forgiven() []string {
	var out []string
	for _, failed := range i.s.State.FailedReleases {
		if failed.Release == i.b.Release() || semver.Compare("v"+versionOf(failed.Release), "v"+i.b.Manifest.Version) < 0 {
			out = append(out, failed.Release)
		}
	}
	return out
}

// collected are the generations that go: those that a later successful update
// ended. The one that was in force until now stays.
func (i *install) collected() []int {
	out := []int{}
	if i.action == ActionForce || i.action == ActionUpgrade {
		return out
	}
	now, _ := i.s.generation(i.s.Current)
	for _, g := range i.s.Generations {
		if g.Number == i.s.dataFrom() || g.Current {
			continue
		}
		if i.action == ActionRepair && g.Number == now.Previous {
			continue // the way back to the version before is not a repair's to take
		}
		switch g.EndedBy {
		case ActionUpdate, ActionRebuild, ActionRepair, ActionAdopt:
			out = append(out, g.Number)
		}
	}
	return out
}
