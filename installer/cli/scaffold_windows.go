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
	"ss-setup/installer/txn"
)

// scaffold keeps a copy of this program and a service that runs it at hand while a
// transaction is open. The one service is guard and boot job: it waits for the
// run's lock now, and at every boot, and finding the journal open recovers.
//
// The service is the first thing made and the last removed, and carries a note of
// all that was made, so everything can be taken away whole whatever is gone already.
type scaffold struct {
	fs        *machine.FS
	services  machine.Services
	registrar machine.Registrar
	registry  machine.Registry
	// program is the file to copy, id the name of the copy's folder.
	program, id string
}

func (s *session) newScaffold() txn.Scaffold {
	return &scaffold{
		fs: s.m.FS, services: s.m.Services, registrar: s.m.Registrar, registry: s.m.Registry,
		program: selfPath, id: s.engine.ID,
	}
}

// scaffoldNote is what taking the help away needs.
type scaffoldNote struct {
	ID string `json:"id"`
	// Folders are to go when nothing is left in them; topmost first.
	Folders []string `json:"folders"`
}

// noteKey is the service's own key, which goes with it.
const noteKey = `HKLM\SYSTEM\CurrentControlSet\Services\` + guardName

// noteValue in it holds the note.
const noteValue = "SetupNote"

// Prepare implements txn.Scaffold. A service that is there already is of a run
// that was cut while its help was put in place or taken away.
func (s *scaffold) Prepare(context.Context) (json.RawMessage, error) {
	values, err := s.registry.Read(noteKey)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if note := []byte(values[noteValue].Text); json.Valid(note) {
		return note, nil
	}
	// The folder of all data is the product's own; an uninstall leaves it empty.
	note := scaffoldNote{ID: s.id, Folders: []string{machine.StateDir, machine.ProgramDir, machine.EngineDir, machine.Engine(s.id)}}
	return json.Marshal(note)
}

// Arm implements txn.Scaffold.
func (s *scaffold) Arm(ctx context.Context, prepared json.RawMessage) error {
	var note scaffoldNote
	if err := json.Unmarshal(prepared, &note); err != nil {
		return err
	}
	// One that runs is of this run: a guard that takes it up again is its own.
	if state, err := s.services.State(ctx, guardName); err != nil || state.PID == os.Getpid() {
		return err
	}
	if err := s.services.EndDetached(ctx, guardName); err != nil {
		return err
	}
	if err := s.register(ctx, note, prepared); err != nil {
		return fmt.Errorf("register recovery: %w", err)
	}
	if err := s.copyProgram(note.ID); err != nil {
		return fmt.Errorf("copy %s: %w", program, err)
	}
	if err := s.services.Start(ctx, guardName); err != nil {
		return fmt.Errorf("start the guard: %w", err)
	}
	return nil
}

func (s *scaffold) register(ctx context.Context, note scaffoldNote, encoded json.RawMessage) error {
	err := s.registrar.Register(ctx, machine.Registration{
		Service: guardName, DisplayName: "SS Server: recovery of a run of ss-setup", Account: "LocalSystem", Start: machine.StartAtBoot,
		Command:  machine.CommandLine([]string{enginePath(note.ID), "recover", "--guard", machine.ServiceFlag}),
		Restarts: &machine.Restarts{AfterMilliseconds: []uint32{200, 200, 200}},
	})
	if err != nil {
		return err
	}
	return s.registry.Write(noteKey, map[string]machine.Value{noteValue: {Type: machine.RegText, Text: string(encoded)}})
}

// copyProgram copies this program unless there is a copy: a recovery runs from one.
func (s *scaffold) copyProgram(id string) error {
	path := enginePath(id)
	if s.fs.Exists(path) {
		return nil
	}
	for _, dir := range append(s.fs.MissingParents(path), filepath.Dir(path)) {
		if err := s.fs.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		if err := s.fs.SyncDir(filepath.Dir(dir)); err != nil {
			return err
		}
	}
	content, err := os.ReadFile(s.program)
	if err != nil {
		return err
	}
	return s.fs.WriteFile(path, content, machine.Attr{Mode: 0o755})
}

// Disarm implements txn.Scaffold. The entry goes before the program that it names: cut
// in between, Windows would start at every boot what is not there any more, while a copy
// that is left goes with the next run. The guard may call this: its entry goes when its
// process ends, and its own program is moved out of the way.
func (s *scaffold) Disarm(ctx context.Context, prepared json.RawMessage) error {
	var note scaffoldNote
	if err := json.Unmarshal(prepared, &note); err != nil {
		return err
	}
	state, err := s.services.State(ctx, guardName)
	if err != nil || !state.Installed && !s.fs.Exists(machine.EngineDir) {
		return err
	}
	if err := s.services.EndDetached(ctx, guardName); err != nil {
		return err
	}
	if err := s.removeCopies(); err != nil {
		return err
	}
	return s.removeEmpty(note.Folders)
}

func (s *scaffold) removeCopies() error {
	copies, err := s.fs.ReadDir(machine.EngineDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
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

// removeEmpty removes folders, the last first, as long as nothing is in them.
func (s *scaffold) removeEmpty(dirs []string) error {
	for _, dir := range slices.Backward(dirs) {
		entries, err := s.fs.ReadDir(dir)
		if errors.Is(err, fs.ErrNotExist) || err == nil && len(entries) > 0 {
			continue
		}
		if err != nil {
			return err
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
