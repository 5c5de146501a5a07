package plan

import (
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strings"

	"ss-setup/installer/machine"
	"ss-setup/installer/receipt"
	"ss-setup/installer/step"
)

// ownAccount is the account that a service runs as unless told otherwise.
func ownAccount(service string) string { return service }

func (i *install) accounts() []step.Step {
	out := []step.Step{}
	if i.account == machine.ServerService {
		out = append(out, &step.CreateAccount{Name: machine.ServerService, Home: machine.ServerStateDir})
	}
	return append(out, &step.CreateAccount{Name: machine.LicensedService, Home: machine.LicensedStateDir})
}

func (i *install) folders() []step.Step {
	var out []step.Step
	for _, d := range []folder{
		{machine.ProgramDir, "root", 0o755},
		{machine.ReleasesDir, "root", 0o755},
		{machine.GenerationsDir, "root", 0o755},
		{machine.ServerStateDir, "root", 0o755},
		{machine.KeyringDir, i.account, 0o700},
		{machine.SnapshotsDir, i.account, 0o700},
		{machine.LicensedStateDir, "root", 0o755},
		{machine.LedgerDir, machine.LicensedService, 0o700},
		{machine.ConfigDir, "root", 0o755},
		{machine.FilesDir, i.account, 0o750},
		{machine.ServerLogDir, i.account, 0o750},
		{machine.ReceiptsDir, "root", 0o700},
		{machine.OriginalsDir, "root", 0o700},
	} {
		keep := d.path == machine.ConfigDir || d.path == machine.FilesDir
		out = append(out, &step.CreateFolder{Path: d.path, Owner: d.owner, Mode: d.mode, Keep: keep, Leave: i.leavesFolders()})
	}
	return out
}

// enableAtLast is nothing: definitions that are linked early start what is in force alone.
func (i *install) enableAtLast() []step.Step { return nil }

// definitions registers the services. An update leaves alone what is masked and
// whether a service starts at boot.
func (i *install) definitions() []step.Step {
	out := []step.Step{&step.ReloadServices{OnUndo: true}}
	for _, name := range []string{machine.ServerService, machine.LicensedService} {
		if i.s.Services[name].Masked {
			continue
		}
		d := i.s.services.Definition(name)
		out = append(out, step.NewInstallDefinition(name, i.release, i.accountOf(name), i.receiptDigest(d.Path), d))
		if i.enables() {
			for _, l := range d.Enable {
				out = append(out, step.NewInstallLink(l.Path, l.Target))
			}
		}
	}
	return append(out, &step.ReloadServices{})
}

// labels gives the files of an installation their SELinux labels.
func (i *install) labels() []step.Step {
	return []step.Step{&step.RestoreLabels{Paths: []string{
		machine.ProgramDir, machine.ServerStateDir, machine.LicensedStateDir, machine.ConfigDir, machine.FilesDir, machine.ServerLogDir,
	}}}
}

// folder is a folder of an installation, before anything is in it.
type folder struct {
	path, owner string
	mode        fs.FileMode
}

func (i *install) receiptDigest(path string) string {
	if i.s.Receipt == nil {
		return ""
	}
	for _, e := range i.s.Receipt.Files {
		if e.Path == path {
			return e.SHA256
		}
	}
	return ""
}

// checkServiceUser accepts every name: whether there is such an account shows later.
func checkServiceUser(string) error { return nil }

// definitionFiles are the files by which the service manager knows a service.
func (s *Situation) definitionFiles(name string) []string {
	d := s.services.Definition(name)
	files := []string{d.Path}
	for _, l := range d.Enable {
		files = append(files, l.Path)
	}
	return files
}

// linked are the programs of a release that get a link on the PATH.
var linked = []string{"ss-server", "lmu", "ss-vfsdecrypt"}

func commandTarget(name string) string { return machine.Current + "/release/bin/" + name }

func (i *install) commands() []step.Step {
	var out []step.Step
	if i.s.bin == machine.FallbackBinDir {
		out = append(out, &step.CreateFolder{Path: machine.FallbackBinDir, Owner: "root", Mode: 0o755})
	}
	out = append(out, step.NewInstallSetup(i.s.setupPath(), i.b.Manifest.Setup.SHA256))
	for _, name := range linked {
		out = append(out, step.NewInstallLink(i.s.bin+"/"+name, commandTarget(name)))
	}
	return out
}

// commandFiles are the commands of an installation besides ss-setup.
func (s *Situation) commandFiles() []string {
	var files []string
	for _, name := range linked {
		files = append(files, s.bin+"/"+name)
	}
	return files
}

// announce tells other programs which version is installed; nobody asks here.
func announce(string) []step.Step { return nil }

func removeDefinitions(s *Situation) []step.Step {
	var out []step.Step
	for _, name := range []string{machine.ServerService, machine.LicensedService} {
		d := s.services.Definition(name)
		for _, l := range d.Enable {
			out = append(out, step.NewRemoveInstalled(l.Path, "link:"+l.Target))
		}
		out = append(out, step.NewRemoveInstalled(d.Path, s.receiptFingerprint(d.Path)))
	}
	return append(out, &step.ReloadServices{})
}

func removeCommands(s *Situation) []step.Step {
	var out []step.Step
	for _, name := range linked {
		out = append(out, step.NewRemoveInstalled(s.bin+"/"+name, "link:"+commandTarget(name)))
	}
	return out
}

// ownAccounts are the accounts that installs made: not one that was there before.
func (s *Situation) ownAccounts() []string {
	var out []string
	for _, name := range []string{machine.ServerService, machine.LicensedService} {
		if !slices.Contains(s.State.ForeignAccounts, name) {
			out = append(out, name)
		}
	}
	return out
}

func accountFolders(name string) []string {
	if name == machine.ServerService {
		return []string{machine.FilesDir, machine.KeyringDir}
	}
	return nil
}

// hasHome tells an account that an install made, by its home: one outlives a purge
// that kept users' files.
func hasHome(f *machine.FS, name, home string) bool {
	content, err := f.ReadFile("/etc/passwd")
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(content)) {
		if fields := strings.Split(line, ":"); len(fields) > 5 && fields[0] == name {
			return fields[5] == home
		}
	}
	return false
}

// hasFiles tells whether an account that an install made is there, and users'
// files or a key ring.
func hasFiles(f *machine.FS) bool {
	return hasHome(f, machine.ServerService, machine.ServerStateDir) && (f.Exists(machine.FilesDir) || f.Exists(machine.KeyringDir))
}

// leftByPurge tells a folder of ours that a purge left for the sake of what users
// stored or the key ring: it was not there before us.
func leftByPurge(m *step.Machine, folder receipt.Folder) bool {
	switch folder.Path {
	case machine.ServerStateDir:
		return m.FS.Exists(machine.KeyringDir)
	case machine.FilesDir:
		uid, _, err := m.Accounts.Lookup(machine.ServerService)
		return err == nil && uid == folder.UID && hasHome(m.FS, machine.ServerService, machine.ServerStateDir)
	}
	return false
}

// foreign finds accounts and groups of our names that no install made.
func (s *Situation) foreign(m *step.Machine) error {
	for _, name := range []string{machine.LicensedService, machine.ServerService} {
		home := machine.ServerStateDir
		if name == machine.LicensedService {
			home = machine.LicensedStateDir
		}
		if hasHome(m.FS, name, home) {
			continue
		}
		if _, _, err := m.Accounts.Lookup(name); err == nil {
			s.accounts = append(s.accounts, name)
		}
		group, err := m.Accounts.HasGroup(name)
		if err != nil {
			return err
		}
		if group {
			s.groups = append(s.groups, name)
		}
	}
	return nil
}

// pointCommand is the command that makes path a link to target.
func pointCommand(target, path string) string { return "ln -sfn " + target + " " + path }

// LostLink says that the link current is gone and which command puts it back.
func (s *Situation) LostLink() (damage, cure string) {
	return fmt.Sprintf("the link %s is gone, though generation %d is there", machine.Current, s.Lost),
		fmt.Sprintf("ln -s generations/%d %s", s.Lost, s.current)
}

// numberedPath is a path that ends in a generation's number.
var numberedPath = regexp.MustCompile(`(/ss-(?:server|licensed))/\d+"`)

// oldFolders are where earlier products lie on Linux: v6 in /opt/Syncplify/ServerV6
// (facts: product, 1.2).
func oldFolders(f *machine.FS) map[int]string {
	found := map[int]string{}
	for major := 1; major <= 6; major++ {
		where := fmt.Sprintf("/opt/Syncplify/ServerV%d", major)
		if f.Exists(where) {
			found[major] = where
		}
	}
	return found
}

// unpackCommand is the command that takes a file out of a release's payload.
func unpackCommand(payload, dir, file string) string {
	return fmt.Sprintf("tar --zstd -xpf %s -C %s %s", payload, dir, file)
}
