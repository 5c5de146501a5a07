package plan

import (
	"fmt"
	"path/filepath"
	"regexp"
	"strings"

	"ss-setup/installer/machine"
	"ss-setup/installer/receipt"
	"ss-setup/installer/step"
)

// ownAccount is the account that a service runs as unless told otherwise.
func ownAccount(service string) string { return machine.VirtualAccount(service) }

// checkServiceUser accepts the accounts that need no password: it would have to be
// on the command line, where others read it.
func checkServiceUser(name string) error {
	upper := strings.ToUpper(name)
	switch {
	case name == "", strings.HasSuffix(name, "$"), strings.HasPrefix(upper, `NT SERVICE\`):
		return nil
	case upper == `NT AUTHORITY\LOCALSERVICE`, upper == `NT AUTHORITY\NETWORKSERVICE`:
		return nil
	case upper == "LOCALSYSTEM", upper == `NT AUTHORITY\SYSTEM`:
		return fmt.Errorf("%w: --service-user %s: the server never runs as LocalSystem; leave it out", ErrUsage, name)
	}
	return fmt.Errorf("%w: --service-user %s would need a password; leave it out, and set account and password of the service ss-server in the Services window afterwards (a group managed account, DOMAIN\\NAME$, needs none)", ErrUsage, name)
}

// registeredAccount is the account that a service without an entry is given: the one
// of the receipt, unless that took a password, which only its owner has.
func registeredAccount(service, account string) string {
	if checkServiceUser(account) != nil {
		return ownAccount(service)
	}
	return account
}

// accounts exist by themselves.
func (i *install) accounts() []step.Step { return nil }

// folders makes the folders. Those with data get an access list of their own; all
// that is made in them inherits it.
func (i *install) folders() []step.Step {
	server, licensed := []string{machine.ServerService}, []string{machine.LicensedService}
	both := []string{machine.ServerService, machine.LicensedService}
	var out []step.Step
	for _, d := range []struct {
		path string
		list *machine.Folder
	}{
		{machine.ProgramDir, nil},
		{machine.ReleasesDir, nil},
		{machine.StateDir, &machine.Folder{Passable: true}},
		{machine.GenerationsDir, &machine.Folder{Readers: both}},
		{machine.ServerStateDir, &machine.Folder{Inside: server}},
		{machine.KeyringDir, &machine.Folder{Writers: server}},
		{machine.SnapshotsDir, &machine.Folder{Writers: server}},
		{machine.LicensedStateDir, &machine.Folder{Inside: licensed}},
		{machine.LedgerDir, nil},
		{machine.ConfigDir, &machine.Folder{Readers: both}},
		{machine.FilesDir, &machine.Folder{Writers: server}},
		{machine.ServerLogDir, &machine.Folder{Writers: both}},
		{machine.SetupLogDir, &machine.Folder{}},
		{machine.SetupDir, &machine.Folder{}},
		{machine.ReceiptsDir, nil},
		{machine.OriginalsDir, nil},
	} {
		keep := d.path == machine.ConfigDir || d.path == machine.FilesDir || d.path == machine.StateDir ||
			d.path == machine.SetupDir || d.path == machine.ServerLogDir || d.path == machine.SetupLogDir
		out = append(out, &step.CreateFolder{Path: d.path, Mode: 0o755, Keep: keep, Leave: i.leavesFolders()})
		if d.list != nil && !i.leavesFolders() {
			out = append(out, step.NewProtectFolder(d.path, d.list.List()))
		}
	}
	return out
}

// labels are none: there is no SELinux.
func (i *install) labels() []step.Step { return nil }

// serviceTexts is how the Services window shows the services.
var serviceTexts = map[string][2]string{
	machine.ServerService:   {"SS Server", "File transfer by SFTP, with its web interface."},
	machine.LicensedService: {"SS Server licenses", "The license daemon of SS Server."},
}

// definitions registers the services and what else Windows knows of them. An
// update leaves alone what an administrator may have changed.
func (i *install) definitions() []step.Step {
	var out []step.Step
	for _, name := range []string{machine.ServerService, machine.LicensedService} {
		out = append(out, registerEventSource(name))
		if !i.registers(name) {
			continue
		}
		account := registeredAccount(name, i.accountOf(name))
		if machine.NeedsLogonRight(account) {
			out = append(out, &step.AllowToServe{Account: account})
		}
		out = append(out, &step.RegisterService{
			Service: name, DisplayName: serviceTexts[name][0], Description: serviceTexts[name][1],
			Account: account, Release: i.release, Generation: i.generation, ByHand: i.action == ActionUpgrade,
			Restarts: &machine.Restarts{AfterMilliseconds: []uint32{1000, 1000, 1000}, ForgetSeconds: 24 * 60 * 60},
		})
	}
	return out
}

func (i *install) registers(service string) bool {
	state := i.s.Services[service]
	return !state.Masked && (!state.Installed || i.enables())
}

// enableAtLast lets services start with the machine that take an older product's place: an
// entry names its generation before that is in force, so that a restart of the machine would
// have both of them at the same ports.
func (i *install) enableAtLast() []step.Step {
	if i.action != ActionUpgrade {
		return nil
	}
	enable := &step.EnableServices{}
	for _, name := range []string{machine.LicensedService, machine.ServerService} {
		if i.registers(name) {
			enable.Services = append(enable.Services, machine.Startup{Service: name, Start: machine.StartAtBoot})
		}
	}
	if len(enable.Services) == 0 {
		return nil
	}
	return []step.Step{enable}
}

// definitionFiles are none: services are entries of the service manager.
func (s *Situation) definitionFiles(string) []string { return nil }

// commandNames are the programs of a release that the PATH leads to.
var commandNames = []string{"ss-server", "lmu", "ss-vfsdecrypt"}

// commandScript calls a program of the release in force. The file current names
// the generation, and that its release.
func commandScript(name string) string {
	return strings.Join([]string{
		"@echo off",
		"setlocal",
		`set /p ss_generation=<"` + machine.Current + `"`,
		`set /p ss_release=<"` + machine.GenerationsDir + `\%ss_generation%\release"`,
		`"` + machine.ReleasesDir + `\%ss_release%\bin\` + name + `.exe" %*`,
		"",
	}, "\r\n")
}

func (s *Situation) commandPath(name string) string { return filepath.Join(s.bin, name+".cmd") }

func (i *install) commands() []step.Step {
	out := []step.Step{step.NewInstallSetup(i.s.setupPath(), i.b.Manifest.Setup.SHA256)}
	for _, name := range commandNames {
		out = append(out, step.NewInstallCommand(i.s.commandPath(name), commandScript(name)))
	}
	out = append(out, &step.AddToPath{Key: machine.Environment, Folder: i.s.bin})
	return append(out, announce(i.b.Manifest.Version)...)
}

// commandFiles are the commands of an installation besides ss-setup.
func (s *Situation) commandFiles() []string {
	var files []string
	for _, name := range commandNames {
		files = append(files, s.commandPath(name))
	}
	return files
}

// announce tells Windows which version is installed and how it is removed.
func announce(version string) []step.Step { return []step.Step{registerProduct(version)} }

func removeDefinitions(*Situation) []step.Step {
	var out []step.Step
	for _, name := range []string{machine.ServerService, machine.LicensedService} {
		out = append(out, &step.UnregisterService{Service: name}, &step.RemoveRegistry{Key: eventSources + name})
	}
	return out
}

func removeCommands(s *Situation) []step.Step {
	var out []step.Step
	for _, name := range commandNames {
		path := s.commandPath(name)
		out = append(out, step.NewRemoveInstalled(path, step.CommandDigest(commandScript(name))))
	}
	return append(out, &step.RemoveFromPath{Key: machine.Environment, Folder: s.bin}, &step.RemoveRegistry{Key: productKey})
}

// ownAccounts are none: they go with the services.
func (s *Situation) ownAccounts() []string { return nil }

func accountFolders(string) []string { return nil }

// hasFiles tells whether there are users' files or a key ring.
func hasFiles(f *machine.FS) bool {
	return f.Exists(machine.FilesDir) || f.Exists(machine.KeyringDir)
}

// foreign finds nothing: a service's account is its own.
func (*Situation) foreign(*step.Machine) error { return nil }

// leftByPurge tells a folder that is ours whenever it is there: users' files and logs
// outlive a purge, and a log is written before anything is installed.
func leftByPurge(_ *step.Machine, folder receipt.Folder) bool {
	return folder.Path == machine.FilesDir || folder.Path == machine.ServerLogDir
}

// pointCommand is the command that makes path name target, in cmd and in PowerShell:
// there are quotes around the whole alone, which cd does not need. A number right before
// > would be that of a stream.
func pointCommand(target, path string) string {
	return fmt.Sprintf(`cmd /c "cd /d %s&&(echo %s)>%s"`, filepath.Dir(path), target, filepath.Base(path))
}

// LostLink says that the file current is gone and which command puts it back.
func (s *Situation) LostLink() (damage, cure string) {
	return fmt.Sprintf("the file %s is gone, though generation %d is there", machine.Current, s.Lost),
		pointCommand(machine.CurrentTarget(s.Lost), machine.Current)
}

// numberedPath is a path that ends in a generation's number, as JSON has it.
var numberedPath = regexp.MustCompile(`(\\\\(?:data|licensed))\\\\\d+"`)

// oldFolders are where earlier products lie on Windows: v6 beside our own folder (facts:
// product, 1.2). Of versions before it only services are known.
func oldFolders(f *machine.FS) map[int]string {
	where := filepath.Join(filepath.Dir(machine.ProgramDir), "Syncplify Server!")
	if !f.Exists(where) {
		return nil
	}
	return map[int]string{6: where}
}

// unpackCommand is none: no program that comes with every Windows reads a payload.
func unpackCommand(_, _, _ string) string { return "" }
