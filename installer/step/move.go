package step

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"ss-setup/installer/machine"
	"ss-setup/installer/move"
	"ss-setup/installer/receipt"
)

// PackMove puts what moves to another machine into a new folder: a backup that the release
// makes of its stopped server, the configuration, and the list of what there is.
type PackMove struct {
	Folder     string `json:"folder"`
	Release    string `json:"release"`
	Generation int    `json:"generation"`
	Version    string `json:"version"`
	// Addresses are where the web interface of this machine was reached.
	Addresses []string `json:"addresses,omitempty"`
	// Account is the one that the server runs as.
	Account string `json:"account,omitempty"`
}

// Kind implements Step.
func (s *PackMove) Kind() string { return "pack_move" }

func (s *PackMove) String() string { return "put what moves into " + s.Folder }

// Prepare looks that nobody has the folder.
func (s *PackMove) Prepare(_ context.Context, m *Machine) (any, error) {
	_, err := m.FS.Lstat(s.Folder)
	if err == nil {
		return nil, fmt.Errorf("%s is there already; name a new folder", s.Folder)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return nil, nil
}

// Do makes the folder anew, with nobody else let in at any instant: keys come into it.
func (s *PackMove) Do(ctx context.Context, m *Machine) error {
	if err := s.clear(m); err != nil {
		return err
	}
	if err := m.FS.MkdirPrivate(s.Folder); err != nil {
		return fmt.Errorf("make the folder for what moves: %w", err)
	}
	err := m.Programs.Run(ctx, Command{
		Path: program(s.Release, machine.ServerService), Progress: m.Progress,
		Args: []string{
			"backup", m.FS.Real(filepath.Join(s.Folder, move.BackupName)), "--home", m.FS.Real(machine.Generation(s.Generation)),
			// The server is stopped, and no other is to be asked.
			"--control", m.FS.Real(filepath.Join(machine.SetupDir, "none")),
		},
	})
	if err == nil {
		err = s.pack(ctx, m)
	}
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		return fmt.Errorf("put what moves into %s: %w", s.Folder, err)
	}
	if err := m.FS.SyncTree(s.Folder); err != nil {
		return err
	}
	return m.FS.SyncDir(filepath.Dir(s.Folder))
}

func (s *PackMove) pack(ctx context.Context, m *Machine) error {
	host, err := os.Hostname()
	if err != nil {
		return err
	}
	l, err := move.Pack(ctx, m.FS.Real(s.Folder), move.Old{
		Host: host, Version: s.Version, Addresses: s.Addresses, Config: m.FS.Real(machine.ConfigDir), Owner: s.owners(m), Now: m.Now(),
	})
	for _, what := range l.LeftOut {
		m.warn("it does not move: " + what)
	}
	for _, what := range l.Uncounted() {
		m.warn(what + "; compare them with their copy yourself")
	}
	return err
}

// owners tells files of root and of the server from others.
func (s *PackMove) owners(m *Machine) func(fs.FileInfo) (owner, group string) {
	uid, gid, err := m.Accounts.Lookup(s.Account)
	if err != nil {
		uid, gid = -1, -1 // its files are those of somebody else then
	}
	return func(info fs.FileInfo) (owner, group string) {
		u, g := machine.Owner(info)
		return ownerName(u, uid), ownerName(g, gid)
	}
}

// ownerName is the name that move.File has for the owner n where the server is number server.
func ownerName(n, server int) string {
	switch n {
	case -1:
		return ""
	case 0:
		return move.OwnerRoot
	case server:
		return move.OwnerServer
	}
	return move.OwnerOther
}

// Undo takes the folder away again.
func (s *PackMove) Undo(_ context.Context, m *Machine, _ json.RawMessage) error { return s.clear(m) }

func (s *PackMove) clear(m *Machine) error { return removeTrees(m.FS, s.Folder) }

// NoteMove remembers that this machine has given its place to another, or, with Back, that
// it has taken it again.
type NoteMove struct {
	Folder   string            `json:"folder,omitempty"`
	Services []machine.Startup `json:"services,omitempty"`
	Back     bool              `json:"back,omitempty"`
}

// Kind implements Step.
func (s *NoteMove) Kind() string { return "note_move" }

func (s *NoteMove) String() string {
	if s.Back {
		return "note that this machine serves again"
	}
	return "note that another machine takes the place of this one"
}

// Prepare keeps what is noted now.
func (s *NoteMove) Prepare(_ context.Context, m *Machine) (any, error) {
	state, err := LoadState(m.FS)
	return state.Moved, err
}

// Do notes it.
func (s *NoteMove) Do(_ context.Context, m *Machine) error {
	if s.Back {
		return s.note(m, nil)
	}
	services, err := json.Marshal(s.Services)
	if err != nil {
		return err
	}
	return s.note(m, &receipt.Moved{At: m.Now().UTC(), Folder: s.Folder, Services: services})
}

// Undo notes what was noted before.
func (s *NoteMove) Undo(_ context.Context, m *Machine, undo json.RawMessage) error {
	var was *receipt.Moved
	if err := json.Unmarshal(undo, &was); err != nil {
		return err
	}
	return s.note(m, was)
}

func (s *NoteMove) note(m *Machine, moved *receipt.Moved) error {
	state, err := LoadState(m.FS)
	if err != nil {
		return err
	}
	state.Moved = moved
	return SaveState(m.FS, state)
}

// PlaceFile puts a configuration file of the old machine in place, once: one that is there
// is the administrator's and stays as it is.
type PlaceFile struct {
	placed
	// Name is that of the file in the folder that moves, by its list.
	Name   string      `json:"name"`
	SHA256 string      `json:"sha256"`
	Mode   fs.FileMode `json:"mode"`
	// Owner is an account, Group one whose group it is; root if they are empty.
	Owner string `json:"owner,omitempty"`
	Group string `json:"group,omitempty"`
}

// NewPlaceFile makes a PlaceFile step.
func NewPlaceFile(path, name, sha256, owner, group string, mode fs.FileMode) *PlaceFile {
	return &PlaceFile{placed{path}, name, sha256, mode, owner, group}
}

// Kind implements Step.
func (s *PlaceFile) Kind() string { return "place_file" }

func (s *PlaceFile) String() string {
	return "write " + s.Path + " as on the old machine unless it is there"
}

// Prepare notes whether the file is there.
func (s *PlaceFile) Prepare(_ context.Context, m *Machine) (any, error) {
	return savePreImage(m, s.Path, s.SHA256)
}

// Do writes the file if nothing is there. A recovery does not have it: it goes back, since
// the step lies before the switch.
func (s *PlaceFile) Do(_ context.Context, m *Machine) error {
	if m.FS.Exists(s.Path) {
		return nil
	}
	if m.Moving == "" {
		return errImportGone
	}
	content, err := os.ReadFile(move.File{Name: s.Name}.In(m.Moving))
	if err != nil {
		return err
	}
	if digest(content) != s.SHA256 {
		return fmt.Errorf("%s was changed while it moved; copy the folder again", s.Name)
	}
	uid, _, err := m.owner(s.Owner)
	if err != nil {
		return err
	}
	_, gid, err := m.owner(s.Group)
	if err != nil {
		return err
	}
	return s.place(m, content, s.Mode, uid, gid)
}

// Undo removes the file if this step wrote it.
func (s *PlaceFile) Undo(_ context.Context, m *Machine, undo json.RawMessage) error {
	var p preImage
	if err := json.Unmarshal(undo, &p); err != nil || p.Existed {
		return err
	}
	return p.restore(m, s.Path)
}
