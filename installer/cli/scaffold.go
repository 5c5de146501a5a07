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
)

// The names by which the service manager knows the recovery help.
const (
	guardName = "ss-setup-guard"
	bootName  = "ss-setup-recover"
)

// scaffold keeps a copy of this program, a guard and a boot job at hand while a
// transaction is open, so that somebody recovers it whatever happens.
//
// What it made is known from a note that is written first and removed last, in
// the first folder above ours that was there before. So it can be taken away
// whole even when the journal, which has the same note, is gone already.
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
	// Note is where this lies itself.
	Note string `json:"note"`
	ID   string `json:"id"`
	// Folders were not there before, or are folders of the product that are to go
	// when nothing is left in them; topmost first.
	Folders []string `json:"folders,omitempty"`
	// BootFolders were not there before the boot job.
	BootFolders []string `json:"boot_folders,omitempty"`
}

const noteName = ".ss-setup-open"

func enginePath(id string) string { return filepath.Join(machine.Engine(id), program) }

// notePaths are the places where a note may lie: beside the topmost folder that
// the scaffold may have to make.
func notePaths() []string {
	var paths []string
	for dir := filepath.Dir(machine.ProgramDir); ; dir = filepath.Dir(dir) {
		paths = append(paths, filepath.Join(dir, noteName))
		if dir == filepath.Dir(dir) {
			return paths
		}
	}
}

// Prepare implements txn.Scaffold. A note that is there already is of a run that
// was cut while its help was taken away.
func (s *scaffold) Prepare(context.Context) (json.RawMessage, error) {
	for _, path := range notePaths() {
		content, err := s.fs.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if json.Valid(content) {
			return content, nil
		}
	}
	note := scaffoldNote{ID: s.id, Note: s.notePath(), Folders: s.fs.MissingParents(enginePath(s.id))}
	if !slices.Contains(note.Folders, machine.EngineDir) {
		note.Folders = append(note.Folders, machine.EngineDir, machine.Engine(s.id))
	}
	if s.installed() {
		// An uninstall leaves it empty, and it is the product's.
		note.Folders = append([]string{machine.ProgramDir}, note.Folders...)
	}
	job := s.bootJob(s.id)
	note.BootFolders = s.fs.MissingParents(job.Path)
	for _, l := range job.Enable {
		for _, dir := range s.fs.MissingParents(l.Path) {
			if !slices.Contains(note.BootFolders, dir) {
				note.BootFolders = append(note.BootFolders, dir)
			}
		}
	}
	return json.Marshal(note)
}

func (s *scaffold) notePath() string {
	for _, path := range notePaths() {
		if s.fs.Exists(filepath.Dir(path)) {
			return path
		}
	}
	return notePaths()[0]
}

// installed tells a folder of the product from an empty one of somebody else.
func (s *scaffold) installed() bool {
	return s.fs.Exists(machine.ReleasesDir) || s.fs.Exists(machine.GenerationsDir)
}

func (s *scaffold) bootJob(id string) machine.Definition {
	return s.services.BootJob(bootName, []string{enginePath(id), "recover", "--boot"})
}

// Arm implements txn.Scaffold.
func (s *scaffold) Arm(ctx context.Context, prepared json.RawMessage) error {
	var note scaffoldNote
	if err := json.Unmarshal(prepared, &note); err != nil {
		return err
	}
	if err := s.fs.WriteFile(note.Note, prepared, machine.Attr{Mode: 0o600}); err != nil {
		return err
	}
	if err := s.copyProgram(note.ID); err != nil {
		return fmt.Errorf("copy %s: %w", program, err)
	}
	if err := s.writeBootJob(note.ID); err != nil {
		return fmt.Errorf("register recovery for the next boot: %w", err)
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
func (s *scaffold) writeBootJob(id string) error {
	job := s.bootJob(id)
	if err := s.makeFolders(filepath.Dir(job.Path)); err != nil {
		return err
	}
	if err := s.fs.WriteFile(job.Path, job.Content, machine.Attr{Mode: job.Mode}); err != nil {
		return err
	}
	for _, l := range job.Enable {
		if err := s.makeFolders(filepath.Dir(l.Path)); err != nil {
			return err
		}
		if err := s.fs.ReplaceLink(l.Target, l.Path); err != nil {
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
	if !s.fs.Exists(note.Note) {
		// Nothing was armed, or everything is gone.
		return s.remove(note.Note + machine.TempSuffix)
	}
	if err := s.services.EndDetached(ctx, guardName); err != nil {
		return err
	}
	if err := s.removeCopies(); err != nil {
		return err
	}
	// Without the program the boot job would remove itself, so it may go after it.
	if err := s.removeBootJob(note); err != nil {
		return err
	}
	if err := s.removeEmpty(note.Folders); err != nil {
		return err
	}
	return s.remove(note.Note, note.Note+machine.TempSuffix)
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

func (s *scaffold) removeBootJob(note scaffoldNote) error {
	job := s.bootJob(note.ID)
	for _, l := range job.Enable {
		if err := s.remove(l.Path, l.Path+machine.TempSuffix); err != nil {
			return err
		}
	}
	if err := s.remove(job.Path, job.Path+machine.TempSuffix); err != nil {
		return err
	}
	return s.removeEmpty(note.BootFolders)
}

// remove removes files of one folder, durably.
func (s *scaffold) remove(paths ...string) error {
	found := false
	for _, p := range paths {
		if !s.fs.Exists(p) {
			continue
		}
		found = true
		if err := s.fs.Remove(p); err != nil {
			return err
		}
	}
	if !found {
		return nil
	}
	return s.fs.SyncDir(filepath.Dir(paths[0]))
}

// removeEmpty removes folders, the last first, as long as nothing is in them.
func (s *scaffold) removeEmpty(dirs []string) error {
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
		if err := s.fs.SyncDir(filepath.Dir(dir)); err != nil {
			return err
		}
	}
	return nil
}
