package step

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"ss-setup/installer/machine"
)

// Import is what is imported into a new store. It is handed in and stands in no plan: a
// private copy of a backup, which goes with the run.
type Import struct {
	// File is the backup, on this process's own file system.
	File string
	// Own: it is a backup of version 7.
	Own bool
	// PasswordFile has passwords of PFX certificates; may be empty.
	PasswordFile string
	// Losses is the digest of those that somebody has agreed to: the import refuses others.
	Losses string
	// Again, where the configuration was got from a product that serves, looks whether that
	// has changed since, and puts what it has now into File.
	Again func(context.Context) (changed bool, err error)
	// Reports are the files that the report goes into.
	Reports []string
	// SameSites: all sites and bindings of an older product come along as they were, so
	// that users are to be greeted wherever it does.
	SameSites bool
	// ByHand are the bindings, HOST:PORT, of sites that an older product serves by hand
	// alone, AtStart those of its other sites.
	ByHand, AtStart []string
}

// byHand are those of addresses at which only a site serves that is started by hand.
func (i *Import) byHand(addresses []string) []string {
	if i == nil || len(i.ByHand) == 0 {
		return nil
	}
	has := func(list []string, address string) bool {
		return slices.ContainsFunc(list, func(b string) bool { return Binding{Address: b}.at(address) })
	}
	return slices.DeleteFunc(slices.Clone(addresses), func(a string) bool { return !has(i.ByHand, a) || has(i.AtStart, a) })
}

// ImportBackup has the new release read the backup of an older product into its own new
// store, which nobody serves from yet. What the import loses was told and agreed to before
// the run; the release refuses when it finds other losses in the backup than those.
type ImportBackup struct {
	Store
	Release string `json:"release"`
	// What is imported, for people.
	What string `json:"what"`
}

type importUndo struct {
	// Snapshots are those that were there before.
	Snapshots []string `json:"snapshots,omitempty"`
	// Reports are the files in which the import says what it has done.
	Reports []string `json:"reports,omitempty"`
}

// Kind implements Step.
func (s *ImportBackup) Kind() string { return "import_backup" }

func (s *ImportBackup) String() string { return "import " + s.What }

// Prepare notes which snapshots of stores there are: the import makes one of the empty
// store.
func (s *ImportBackup) Prepare(_ context.Context, m *Machine) (any, error) {
	names, err := snapshotNames(m, ofRestore)
	undo := importUndo{Snapshots: names}
	if m.Import != nil {
		undo.Reports = m.Import.Reports
	}
	return undo, err
}

// errImportGone: a recovery has nothing to import. It goes back, since the step lies before
// the switch.
var errImportGone = errors.New("what was to be imported is gone with the run that was cut")

// Do imports. A second time gives the same.
func (s *ImportBackup) Do(ctx context.Context, m *Machine) error {
	if m.Import == nil {
		return errImportGone
	}
	if err := m.Programs.Run(ctx, s.command(m)); err != nil {
		return s.failed(ctx, err)
	}
	uid, gid, err := m.owner(s.Account)
	if err != nil {
		return err
	}
	if err := setOwners(m.FS, s.to(), uid, gid); err != nil {
		return err
	}
	return m.FS.SyncTree(s.to())
}

// exitNotAgreed is how a release ends when its losses are not those that were agreed to.
const exitNotAgreed = 7

// ErrNotAgreed: an import would lose what nobody has agreed to.
var ErrNotAgreed = errors.New("nobody has agreed to what would be lost")

func (s *ImportBackup) failed(ctx context.Context, err error) error {
	var exit interface{ ExitCode() int }
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.As(err, &exit) && exit.ExitCode() == exitNotAgreed:
		return fmt.Errorf("import %s: %w: %w", s.What, ErrNotAgreed, err)
	}
	return fmt.Errorf("import %s: %w", s.What, err)
}

func (s *ImportBackup) command(m *Machine) Command {
	verb := []string{"import", m.Import.File, "--accept-losses", m.Import.Losses}
	if m.Import.Own {
		verb = []string{"restore", m.Import.File}
	} else {
		verb = append(verb, "--config", m.FS.Real(filepath.Join(machine.ConfigDir, "server.toml")))
		if m.FS.Root == "" { // accounts of an image are not those of this machine
			verb = append(verb, "--account", s.Account)
		}
		if m.Import.PasswordFile != "" {
			verb = append(verb, "--password-file", m.Import.PasswordFile)
		}
		for _, file := range m.Import.Reports {
			verb = append(verb, "--report", file)
		}
	}
	return Command{
		Path: program(s.Release, s.Service), Progress: m.Progress,
		Args: append(verb, "--yes", "--home", m.FS.Real(machine.Generation(s.To)), "--state", m.FS.Real(machine.ServerStateDir),
			// No server of this generation runs, and no other is to be asked.
			"--control", m.FS.Real(filepath.Join(machine.SetupDir, "none"))),
	}
}

// ofRestore is how the names of snapshots end that an import or a restore made, whole or cut.
var ofRestore = regexp.MustCompile(`-restore\.db\.zst(\..*)?$`)

// Undo takes away the snapshots that the import made; the store goes with its own step.
func (s *ImportBackup) Undo(_ context.Context, m *Machine, undo json.RawMessage) error {
	var u importUndo
	if err := json.Unmarshal(undo, &u); err != nil {
		return err
	}
	now, err := snapshotNames(m, ofRestore)
	if err != nil {
		return err
	}
	var made []string
	for _, name := range now {
		if !slices.Contains(u.Snapshots, name) {
			made = append(made, filepath.Join(machine.SnapshotsDir, name))
		}
	}
	if err := removeTrees(m.FS, made...); err != nil || m.Import != nil {
		return err // who still knows what was to be imported writes the reports anew
	}
	return markUndone(m, u.Reports)
}

// markUndone has the names of reports say that what they tell was put back.
func markUndone(m *Machine, reports []string) error {
	for _, report := range reports {
		ext := filepath.Ext(report)
		err := m.FS.Rename(report, strings.TrimSuffix(report, ext)+"-undone"+ext)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// KeepImported keeps a copy of a store that was just imported, so that a return to the
// older product can tell what has been changed since.
type KeepImported struct{ Store }

// Kind implements Step.
func (s *KeepImported) Kind() string { return "keep_imported" }

func (s *KeepImported) String() string {
	return fmt.Sprintf("keep the store as it was imported in %s", s.dir())
}

func (s *KeepImported) dir() string { return machine.Imported(s.To) }

type keepUndo struct {
	// Made are the folders above that were missing, the topmost first.
	Made []string `json:"made,omitempty"`
}

// Prepare notes which folders are made.
func (s *KeepImported) Prepare(_ context.Context, m *Machine) (any, error) {
	return keepUndo{Made: m.FS.MissingParents(s.dir())}, nil
}

// Do copies the store's file.
func (s *KeepImported) Do(_ context.Context, m *Machine) error {
	if err := makeParents(m, m.FS.MissingParents(s.dir())); err != nil {
		return err
	}
	if err := m.FS.RemoveAll(s.dir()); err != nil {
		return err
	}
	if err := m.FS.Mkdir(s.dir(), 0o700); err != nil {
		return err
	}
	if err := copyFile(m.FS, filepath.Join(s.to(), storeFile(s.Service)), filepath.Join(s.dir(), storeFile(s.Service))); err != nil {
		return err
	}
	// The server that runs is asked what has changed, and reads it for that.
	uid, gid, err := m.owner(s.Account)
	if err != nil {
		return err
	}
	if err := setOwners(m.FS, s.dir(), uid, gid); err != nil {
		return err
	}
	return m.FS.SyncTree(filepath.Dir(s.dir()))
}

// copyFile copies a file for its owner alone.
func copyFile(f *machine.FS, from, to string) error {
	in, err := f.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := f.Create(to, 0o600)
	if err != nil {
		return err
	}
	// Not by the kernel's own copying: a fault test counts the writes.
	_, err = io.CopyBuffer(struct{ io.Writer }{out}, struct{ io.Reader }{in}, make([]byte, blockSize))
	return errors.Join(err, out.Close())
}

// Undo removes the copy.
func (s *KeepImported) Undo(_ context.Context, m *Machine, undo json.RawMessage) error {
	var u keepUndo
	if err := json.Unmarshal(undo, &u); err != nil {
		return err
	}
	if err := removeTrees(m.FS, s.dir()); err != nil {
		return err
	}
	return removeMade(m, u.Made)
}

// RefreshImport looks, right before an older product is stopped, whether it still has what
// was imported, and imports it anew if not. What is changed in it after that is lost: it
// cannot be asked any more once it has stopped.
type RefreshImport struct {
	Store
	Release string `json:"release"`
}

// Kind implements Step.
func (s *RefreshImport) Kind() string { return "refresh_import" }

func (s *RefreshImport) String() string {
	return "look whether what was imported was changed meanwhile"
}

func (s *RefreshImport) imported() *ImportBackup {
	return &ImportBackup{Store: s.Store, Release: s.Release, What: "what it has now"}
}

// Prepare is that of the import.
func (s *RefreshImport) Prepare(ctx context.Context, m *Machine) (any, error) {
	return s.imported().Prepare(ctx, m)
}

// refreshes bounds how often something may change while it is imported; what is imported
// last is seconds old.
const refreshes = 3

// Do looks, and imports into an empty store: one that has a configuration would keep its
// SuperAdmins.
func (s *RefreshImport) Do(ctx context.Context, m *Machine) error {
	if m.Import == nil {
		return errImportGone
	}
	if m.Import.Again == nil {
		return nil // it was a file
	}
	for range refreshes {
		changed, err := m.Import.Again(ctx)
		if err != nil || !changed {
			return err
		}
		if err := s.remove(m); err != nil {
			return err
		}
		if err := (&MigrateStore{Store: s.Store, Release: s.Release}).Do(ctx, m); err != nil {
			return err
		}
		if err := s.imported().Do(ctx, m); err != nil {
			return err
		}
	}
	return nil
}

// Undo is that of the import, and takes away the store, which may be half made.
func (s *RefreshImport) Undo(ctx context.Context, m *Machine, undo json.RawMessage) error {
	return errors.Join(s.imported().Undo(ctx, m, undo), s.remove(m))
}
