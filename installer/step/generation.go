package step

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"strconv"
	"time"

	"ss-setup/installer/machine"
)

// CurrentGeneration reads which generation is in force; 0 when there is none.
func CurrentGeneration(f *machine.FS) (int, error) {
	target, err := f.ReadPointer(machine.Current)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("%w; move it away and run ss-setup recover", err)
	}
	n, err := strconv.Atoi(path.Base(target))
	if err != nil || n < 1 {
		return 0, fmt.Errorf("%s names %s, which is none of the generations in %s; correct it and run ss-setup recover", machine.Current, target, machine.GenerationsDir)
	}
	return n, nil
}

// refuseCurrent is the last guard of every undo that removes a generation.
func refuseCurrent(f *machine.FS, n int) error {
	current, err := CurrentGeneration(f)
	if err != nil {
		return err
	}
	if current == n {
		return fmt.Errorf("generation %d is in force and will not be removed", n)
	}
	return nil
}

// MakeGeneration makes the folder that ties a release to its copy of the data.
type MakeGeneration struct {
	Generation int    `json:"generation"`
	Release    string `json:"release"`
}

// Kind implements Step.
func (s *MakeGeneration) Kind() string { return "make_generation" }

func (s *MakeGeneration) String() string {
	return fmt.Sprintf("make generation %d of release %s", s.Generation, s.Release)
}

// Prepare needs nothing: a generation's number is never used twice.
func (s *MakeGeneration) Prepare(context.Context, *Machine) (any, error) { return nil, nil }

// Do builds the folder beside its place and renames it in.
func (s *MakeGeneration) Do(_ context.Context, m *Machine) error {
	dir := machine.Generation(s.Generation)
	if m.FS.Exists(dir) {
		return nil
	}
	part := dir + ".part"
	if err := m.FS.RemoveAll(part); err != nil {
		return err
	}
	if err := m.FS.Mkdir(part, 0o755); err != nil {
		return err
	}
	for _, l := range machine.GenerationPointers(s.Generation, s.Release) {
		if err := m.FS.MakePointer(l.Target, filepath.Join(part, l.Path)); err != nil {
			return err
		}
	}
	if err := m.FS.SyncDir(part); err != nil {
		return err
	}
	if err := m.FS.Rename(part, dir); err != nil {
		return err
	}
	return m.FS.SyncDir(machine.GenerationsDir)
}

// Undo removes the folder.
func (s *MakeGeneration) Undo(_ context.Context, m *Machine, _ json.RawMessage) error {
	if err := refuseCurrent(m.FS, s.Generation); err != nil {
		return err
	}
	return removeTrees(m.FS, machine.Generation(s.Generation)+".part", machine.Generation(s.Generation))
}

func removeTrees(f *machine.FS, paths ...string) error {
	for _, p := range paths {
		if !f.Exists(p) {
			continue
		}
		if err := f.RemoveAll(p); err != nil {
			return err
		}
		if err := f.SyncDir(filepath.Dir(p)); err != nil {
			return err
		}
	}
	return nil
}

// SwitchGeneration puts another generation in force: release and data in one rename.
// Where services are entries of the service manager, each entry names release and
// generation and is changed before that rename, so that what the rename says is
// true. Whatever is cut in between serves: each service finds its own release and
// data.
type SwitchGeneration struct {
	From int `json:"from_generation"`
	To   int `json:"generation"`
}

// Kind implements Step.
func (s *SwitchGeneration) Kind() string { return "switch_generation" }

func (s *SwitchGeneration) String() string {
	if s.From == 0 {
		return fmt.Sprintf("put generation %d in force", s.To)
	}
	return fmt.Sprintf("switch from generation %d to %d", s.From, s.To)
}

// Prepare refuses when something else than From is in force.
func (s *SwitchGeneration) Prepare(_ context.Context, m *Machine) (any, error) {
	now, err := CurrentGeneration(m.FS)
	if err == nil && now != s.From {
		err = fmt.Errorf("generation %d is in force, not %d as planned", now, s.From)
	}
	if err != nil {
		return nil, err
	}
	return m.entryCommands()
}

// Do switches.
func (s *SwitchGeneration) Do(ctx context.Context, m *Machine) error {
	if err := m.retarget(ctx, s.To); err != nil {
		return err
	}
	now, err := CurrentGeneration(m.FS)
	if err != nil {
		return err
	}
	if now == s.To {
		return m.FS.SyncDir(filepath.Dir(machine.Current))
	}
	return m.FS.ReplacePointer(machine.CurrentTarget(s.To), machine.Current)
}

// Undo switches back.
func (s *SwitchGeneration) Undo(ctx context.Context, m *Machine, undo json.RawMessage) error {
	if err := m.restoreCommands(ctx, undo); err != nil {
		return err
	}
	if err := m.FS.Remove(machine.Current + machine.TempSuffix); err != nil {
		return err
	}
	now, err := CurrentGeneration(m.FS)
	if err != nil {
		return err
	}
	switch {
	case now == s.From:
		return m.FS.SyncDir(filepath.Dir(machine.Current))
	case s.From == 0:
		if err := m.FS.Remove(machine.Current); err != nil {
			return err
		}
		return m.FS.SyncDir(filepath.Dir(machine.Current))
	}
	return m.FS.ReplacePointer(machine.CurrentTarget(s.From), machine.Current)
}

// Passed reads whether the new generation is in force.
func (s *SwitchGeneration) Passed(_ context.Context, m *Machine) (bool, error) {
	now, err := CurrentGeneration(m.FS)
	return now == s.To, err
}

// CloseGeneration closes a generation that was open once, before it is returned to.
type CloseGeneration struct {
	Generation int `json:"generation"`
}

type closeUndo struct {
	WasOpen bool      `json:"was_open"`
	ModTime time.Time `json:"mod_time,omitzero"`
	Content string    `json:"content,omitempty"`
}

func openFile(n int) string { return filepath.Join(machine.Generation(n), machine.OpenFile) }

// Kind implements Step.
func (s *CloseGeneration) Kind() string { return "close_generation" }

func (s *CloseGeneration) String() string {
	return fmt.Sprintf("close generation %d until it has proven itself", s.Generation)
}

// Prepare notes when it was opened.
func (s *CloseGeneration) Prepare(_ context.Context, m *Machine) (any, error) {
	info, err := m.FS.Lstat(openFile(s.Generation))
	if errors.Is(err, fs.ErrNotExist) {
		return closeUndo{}, nil
	}
	if err != nil {
		return nil, err
	}
	content, err := m.FS.ReadFile(openFile(s.Generation))
	return closeUndo{WasOpen: true, ModTime: info.ModTime(), Content: string(content)}, err
}

// Do closes it.
func (s *CloseGeneration) Do(_ context.Context, m *Machine) error {
	if err := m.FS.Remove(openFile(s.Generation)); err != nil {
		return err
	}
	return m.FS.SyncDir(machine.Generation(s.Generation))
}

// Undo opens it again.
func (s *CloseGeneration) Undo(_ context.Context, m *Machine, undo json.RawMessage) error {
	var u closeUndo
	if err := json.Unmarshal(undo, &u); err != nil || !u.WasOpen {
		return err
	}
	return m.FS.WriteFile(openFile(s.Generation), []byte(u.Content), machine.Attr{Mode: 0o644, ModTime: u.ModTime})
}

// OpenGeneration lets users in: the commit of everything that switches.
type OpenGeneration struct {
	Generation int `json:"generation"`
}

// Kind implements Step.
func (s *OpenGeneration) Kind() string { return "open_generation" }

func (s *OpenGeneration) String() string {
	return fmt.Sprintf("open generation %d for users", s.Generation)
}

// Prepare needs nothing: a generation that was open has been closed by a step of its own.
func (s *OpenGeneration) Prepare(context.Context, *Machine) (any, error) { return nil, nil }

// Do opens the generation and lets go of the old store.
func (s *OpenGeneration) Do(_ context.Context, m *Machine) error {
	if !m.FS.Exists(openFile(s.Generation)) {
		if err := m.FS.WriteFile(openFile(s.Generation), nil, machine.Attr{Mode: 0o644}); err != nil {
			return err
		}
	} else if err := m.FS.SyncDir(machine.Generation(s.Generation)); err != nil {
		return err
	}
	m.releaseStores()
	return nil
}

// Undo is reached only when the generation is not open: an open one is never
// taken back. It removes what a cut left of opening it.
func (s *OpenGeneration) Undo(_ context.Context, m *Machine, _ json.RawMessage) error {
	path := openFile(s.Generation)
	if !m.FS.Exists(filepath.Dir(path)) {
		return nil
	}
	if err := m.FS.Remove(path + machine.TempSuffix); err != nil {
		return err
	}
	return m.FS.SyncDir(filepath.Dir(path))
}

// Committed reads whether the generation is in force and open.
func (s *OpenGeneration) Committed(_ context.Context, m *Machine) (bool, error) {
	now, err := CurrentGeneration(m.FS)
	return now == s.Generation && m.FS.Exists(openFile(s.Generation)), err
}
