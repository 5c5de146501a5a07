package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"ss-setup/installer/machine"
	"ss-setup/installer/receipt"
	"ss-setup/installer/step"
	"ss-setup/installer/txn"
)

// bootName is how the service manager knows the boot job.
const bootName = "ss-setup-recover"

func (s *session) newScaffold() txn.Scaffold {
	return &scaffold{
		fs: s.m.FS, services: s.m.Services, program: selfPath, id: s.engine.ID,
		guardEnv: s.guardEnv(),
	}
}

// scaffold keeps a copy of this program, a guard and a boot job at hand while a
// transaction is open, so that somebody recovers it whatever happens.
//
// The boot job is the first thing written and the last removed, and its
// definition carries a note of all that was made. So everything can be taken away
// whole even when the journal, which has the same note, is gone already or not
// there yet: by the next run, or by the boot job itself after a power cut. What
// cannot be had in one instant is the job's own file and the links that enable it.
// They are made, and removed, in a row without a sync between them, so a power cut
// would have to hit those microseconds to leave a file that nothing runs; the next
// run of ss-setup takes that away too.
type scaffold struct {
	fs       *machine.FS
	services machine.Services
	// program is the file to copy, id the name of the copy's folder.
	program  string
	id       string
	guardEnv []string
}

// scaffoldNote is what taking the help away needs.
type scaffoldNote struct {
	ID string `json:"id"`
	// Folders were not there before, or are folders of the product that are to go
	// when nothing is left in them; topmost first.
	Folders []string `json:"folders,omitempty"`
	// JobFolders were not there before the boot job.
	JobFolders []string `json:"job_folders,omitempty"`
	// Mounts are where the copy and the transaction lie, besides the root.
	Mounts []string `json:"mounts,omitempty"`
}

// bootJobPath is where the boot job's definition lies.
func (s *scaffold) bootJobPath() string {
	return s.services.BootJob(machine.BootJob{Name: bootName, Argv: []string{program}}).Path
}

// Prepare implements txn.Scaffold. A boot job that is there already is of a run
// that was cut while its help was put in place or taken away.
func (s *scaffold) Prepare(context.Context) (json.RawMessage, error) {
	content, err := s.fs.ReadFile(s.bootJobPath())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if note := machine.BootJobNote(content); json.Valid([]byte(note)) {
		return json.RawMessage(note), nil
	}
	note := scaffoldNote{ID: s.id, Folders: s.fs.MissingParents(enginePath(s.id))}
	if !slices.Contains(note.Folders, machine.EngineDir) {
		note.Folders = append(note.Folders, machine.EngineDir, machine.Engine(s.id))
	}
	if s.installed() && !s.foreign() {
		// An uninstall leaves it empty, and it is the product's.
		note.Folders = append([]string{machine.ProgramDir}, note.Folders...)
	}
	job := s.bootJob(note)
	note.JobFolders = s.fs.MissingParents(job.Path)
	for _, l := range job.Enable {
		for _, dir := range s.fs.MissingParents(l.Path) {
			if !slices.Contains(note.JobFolders, dir) {
				note.JobFolders = append(note.JobFolders, dir)
			}
		}
	}
	if note.Mounts, err = s.mounts(machine.EngineDir, machine.TxnDir); err != nil {
		return nil, err
	}
	return json.Marshal(note)
}

// mounts are the mount points of paths, besides the root. An image has none.
func (s *scaffold) mounts(paths ...string) ([]string, error) {
	var found []string
	for _, path := range paths {
		if s.fs.Root != "" {
			continue
		}
		on, err := machine.FilesystemAt(s.fs, path)
		if err != nil {
			return nil, err
		}
		if on.MountPoint != "/" && !slices.Contains(found, on.MountPoint) {
			found = append(found, on.MountPoint)
		}
	}
	return found, nil
}

// installed tells a folder of the product from an empty one of somebody else.
func (s *scaffold) installed() bool {
	return s.fs.Exists(machine.ReleasesDir) || s.fs.Exists(machine.GenerationsDir)
}

// foreign tells a folder that was there before the first install: it stays.
func (s *scaffold) foreign() bool {
	state, err := step.LoadState(s.fs)
	return err == nil && slices.ContainsFunc(state.ForeignFolders, func(f receipt.Folder) bool { return f.Path == machine.ProgramDir })
}

func (s *scaffold) bootJob(note scaffoldNote) machine.Definition {
	encoded, _ := json.Marshal(note) // plain fields: it cannot fail
	path := enginePath(note.ID)
	return s.services.BootJob(machine.BootJob{
		Name: bootName, Argv: []string{path, "recover", "--boot"}, Note: string(encoded),
		Files: []string{path, path + machine.TempSuffix}, Folders: note.Folders, JobFolders: note.JobFolders,
		Mounts: note.Mounts,
	})
}

// Arm implements txn.Scaffold.
func (s *scaffold) Arm(ctx context.Context, prepared json.RawMessage) error {
	var note scaffoldNote
	if err := json.Unmarshal(prepared, &note); err != nil {
		return err
	}
	if err := s.writeBootJob(note); err != nil {
		return fmt.Errorf("register recovery for the next boot: %w", err)
	}
	if err := s.copyProgram(note.ID); err != nil {
		return fmt.Errorf("copy %s: %w", program, err)
	}
	argv := []string{enginePath(note.ID), "recover", "--guard"}
	if err := s.services.Detach(ctx, guardName, argv, s.guardEnv); err != nil {
		return fmt.Errorf("start the guard: %w", err)
	}
	return nil
}

// copyProgram copies this program unless there is a copy: a recovery runs from
// one, or takes up a run whose copy has been taken away.
func (s *scaffold) copyProgram(id string) error {
	path := enginePath(id)
	if s.fs.Exists(path) {
		return nil
	}
	if err := s.makeFolders(filepath.Dir(path)); err != nil {
		return err
	}
	content, err := os.ReadFile(s.program)
	if err != nil {
		return err
	}
	return s.fs.WriteFile(path, content, machine.Attr{Mode: 0o755})
}

// writeBootJob writes the job and the links that make it run. The manager need
// not read them: the next boot does.
func (s *scaffold) writeBootJob(note scaffoldNote) error {
	job := s.bootJob(note)
	if err := s.makeFolders(filepath.Dir(job.Path)); err != nil {
		return err
	}
	write := s.fs.WriteNew
	if s.fs.Exists(job.Path) {
		write = s.fs.WriteFile
	}
	if err := write(job.Path, job.Content, machine.Attr{Mode: job.Mode}); err != nil {
		return err
	}
	changed := []string{filepath.Dir(job.Path)}
	for _, l := range job.Enable {
		for _, dir := range append(s.fs.MissingParents(l.Path), filepath.Dir(l.Path)) {
			changed = append(changed, dir)
			if s.fs.Exists(dir) {
				continue
			}
			if err := s.fs.Mkdir(dir, 0o755); err != nil {
				return err
			}
			changed = append(changed, filepath.Dir(dir))
		}
		if err := s.link(l); err != nil {
			return err
		}
	}
	return s.syncDirs(changed)
}

// link makes a link in one call, without a name for the time being.
func (s *scaffold) link(l machine.Link) error {
	if now, err := s.fs.Readlink(l.Path); err == nil && now == l.Target {
		return nil
	}
	if err := s.fs.Remove(l.Path); err != nil {
		return err
	}
	return s.fs.Symlink(l.Target, l.Path)
}

// syncDirs syncs those of the folders that are there, each once.
func (s *scaffold) syncDirs(dirs []string) error {
	slices.Sort(dirs)
	for _, dir := range slices.Compact(dirs) {
		if !s.fs.Exists(dir) {
			continue
		}
		if err := s.fs.SyncDir(dir); err != nil {
			return err
		}
	}
	return nil
}

func (s *scaffold) makeFolders(dir string) error {
	for _, d := range append(s.fs.MissingParents(dir), dir) {
		if s.fs.Exists(d) {
			continue
		}
		if err := s.fs.Mkdir(d, 0o755); err != nil {
			return err
		}
		if err := s.fs.SyncDir(filepath.Dir(d)); err != nil {
			return err
		}
	}
	return nil
}

// Disarm implements txn.Scaffold. The guard may call it: it does not end itself.
func (s *scaffold) Disarm(ctx context.Context, prepared json.RawMessage) error {
	var note scaffoldNote
	if err := json.Unmarshal(prepared, &note); err != nil {
		return err
	}
	if path := s.bootJobPath(); !s.fs.Exists(path) {
		// Nothing was armed, or everything is gone.
		return s.removeTemp(path + machine.TempSuffix)
	}
	if err := s.services.EndDetached(ctx, guardName); err != nil {
		return err
	}
	if err := s.removeCopies(); err != nil {
		return err
	}
	if err := s.removeEmpty(note.Folders, s.fs.SyncDir); err != nil {
		return err
	}
	return s.removeBootJob(note)
}

func (s *scaffold) removeTemp(path string) error {
	if !s.fs.Exists(path) {
		return nil
	}
	if err := s.fs.Remove(path); err != nil {
		return err
	}
	return s.fs.SyncDir(filepath.Dir(path))
}

func (s *scaffold) removeCopies() error {
	if !s.fs.Exists(machine.EngineDir) {
		return nil
	}
	copies, err := s.fs.ReadDir(machine.EngineDir)
	if err != nil {
		return err
	}
	for _, c := range copies {
		if err := s.fs.RemoveAll(filepath.Join(machine.EngineDir, c.Name())); err != nil {
			return err
		}
	}
	return s.fs.SyncDir(machine.EngineDir)
}

// removeBootJob removes the links before the file: without the file nobody would
// know of the links.
func (s *scaffold) removeBootJob(note scaffoldNote) error {
	job := s.bootJob(note)
	var changed []string
	later := func(dir string) error {
		changed = append(changed, dir)
		return nil
	}
	for _, l := range job.Enable {
		if err := s.fs.Remove(l.Path); err != nil {
			return err
		}
		changed = append(changed, filepath.Dir(l.Path))
	}
	if err := s.removeEmpty(note.JobFolders, later); err != nil {
		return err
	}
	for _, path := range []string{job.Path + machine.TempSuffix, job.Path} {
		if err := s.fs.Remove(path); err != nil {
			return err
		}
	}
	changed = append(changed, filepath.Dir(job.Path))
	if err := s.removeEmpty(note.JobFolders, later); err != nil {
		return err
	}
	return s.syncDirs(changed)
}

// removeEmpty removes folders, the last first, as long as nothing is in them, and
// has the folder synced that each was in.
func (s *scaffold) removeEmpty(dirs []string, sync func(dir string) error) error {
	for _, dir := range slices.Backward(dirs) {
		entries, err := s.fs.ReadDir(dir)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if len(entries) > 0 {
			continue
		}
		if err := s.fs.Remove(dir); err != nil {
			return err
		}
		if err := sync(filepath.Dir(dir)); err != nil {
			return err
		}
	}
	return nil
}
