package step

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"ss-setup/installer/machine"
	"ss-setup/installer/receipt"
)

// CreateFolder makes a folder with an owner and mode, or corrects those of one
// that is there.
type CreateFolder struct {
	Path string `json:"path"`
	// Owner is empty where folders have access lists instead.
	Owner string      `json:"owner"`
	Mode  fs.FileMode `json:"mode"`
	// Leave: a folder that is there stays as it is.
	Leave bool `json:"leave,omitempty"`
	// Keep: what somebody put into the folder meanwhile is not this run's to remove.
	Keep bool `json:"keep,omitempty"`
}

// modeBits are all that chmod sets.
const modeBits = fs.ModePerm | fs.ModeSetuid | fs.ModeSetgid | fs.ModeSticky

type folderUndo struct {
	Existed bool        `json:"existed"`
	Mode    fs.FileMode `json:"mode,omitempty"`
	UID     int         `json:"uid,omitempty"`
	GID     int         `json:"gid,omitempty"`
	Parents []string    `json:"parents,omitempty"`
	// Linked: an administrator keeps the folder elsewhere.
	Linked bool `json:"linked,omitempty"`
}

// Kind implements Step.
func (s *CreateFolder) Kind() string { return "create_folder" }

func (s *CreateFolder) String() string {
	if s.Owner == "" {
		return "create folder " + s.Path
	}
	return fmt.Sprintf("create folder %s (%s, %04o)", s.Path, s.Owner, s.Mode)
}

// Prepare notes what the folder was like.
func (s *CreateFolder) Prepare(_ context.Context, m *Machine) (any, error) {
	u := folderUndo{Parents: m.FS.MissingParents(s.Path)}
	info, err := m.FS.Lstat(s.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return u, nil
	}
	if err != nil {
		return nil, err
	}
	if s.linked(m.FS, info) {
		u.Linked = true
		return u, nil
	}
	if !info.IsDir() {
		return nil, fmt.Errorf("%s is in the way: it is not a folder; move it away and run ss-setup again", s.Path)
	}
	u.Existed, u.Mode = true, info.Mode()&modeBits
	u.UID, u.GID = machine.Owner(info)
	return u, nil
}

// Do makes the folder.
func (s *CreateFolder) Do(_ context.Context, m *Machine) error {
	info, err := m.FS.Lstat(s.Path)
	if err == nil && (s.Leave && info.IsDir() || s.linked(m.FS, info)) {
		return nil
	}
	uid, gid, err := m.owner(s.Owner)
	if err != nil {
		return fmt.Errorf("look up account %s: %w", s.Owner, err)
	}
	if err := makeParents(m, m.FS.MissingParents(s.Path)); err != nil {
		return err
	}
	if err := m.FS.Mkdir(s.Path, s.Mode); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if err := setFolder(m.FS, s.Path, s.Mode, uid, gid); err != nil {
		return err
	}
	return m.FS.SyncDir(filepath.Dir(s.Path))
}

// linked tells a link of root's to a folder: an administrator keeps it elsewhere.
func (s *CreateFolder) linked(f *machine.FS, info fs.FileInfo) bool {
	if info.Mode()&fs.ModeSymlink == 0 || s.Path != machine.FilesDir {
		return false
	}
	uid, _ := machine.Owner(info)
	target, err := os.Stat(f.Real(s.Path))
	return uid == 0 && err == nil && target.IsDir()
}

func setFolder(f *machine.FS, path string, mode fs.FileMode, uid, gid int) error {
	info, err := f.Lstat(path)
	if err != nil {
		return err
	}
	if err := f.Chown(path, uid, gid); err != nil {
		return err
	}
	if info.Mode()&modeBits == mode {
		return nil
	}
	return f.Chmod(path, mode)
}

// Undo removes a folder that was not there, with what this run put into it, and
// gives one that was there its mode and owner back.
func (s *CreateFolder) Undo(_ context.Context, m *Machine, undo json.RawMessage) error {
	var u folderUndo
	if err := json.Unmarshal(undo, &u); err != nil {
		return err
	}
	if u.Linked || (u.Existed && s.Leave) {
		return nil
	}
	if u.Existed {
		return setFolder(m.FS, s.Path, u.Mode, u.UID, u.GID)
	}
	if err := refuseInForce(m.FS, s.Path); err != nil {
		return err
	}
	if s.Keep {
		return removeMade(m, append(u.Parents, s.Path))
	}
	if err := m.FS.RemoveAll(s.Path); err != nil {
		return err
	}
	if parent := filepath.Dir(s.Path); m.FS.Exists(parent) {
		if err := m.FS.SyncDir(parent); err != nil {
			return err
		}
	}
	return removeMade(m, u.Parents)
}

// RestoreFolder makes a folder what it was before the first install, when the
// product goes.
type RestoreFolder struct {
	noUndo
	Folder receipt.Folder `json:"folder"`
}

// Kind implements Step.
func (s *RestoreFolder) Kind() string { return "restore_folder" }

func (s *RestoreFolder) String() string {
	return "leave folder " + s.Folder.Path + " as it was before the first install"
}

// Do makes the folder if it has gone with what was in it.
func (s *RestoreFolder) Do(_ context.Context, m *Machine) error {
	path, mode := s.Folder.Path, fs.FileMode(s.Folder.Mode)
	if info, err := m.FS.Lstat(path); err == nil && !info.IsDir() {
		return nil // somebody else has put it there
	}
	if err := makeParents(m, m.FS.MissingParents(path)); err != nil {
		return err
	}
	if err := m.FS.Mkdir(path, mode); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if err := setFolder(m.FS, path, mode, s.Folder.UID, s.Folder.GID); err != nil {
		return err
	}
	return m.FS.SyncDir(filepath.Dir(path))
}

// Undo is never called: the step stands after the commit.
func (s *RestoreFolder) Undo(context.Context, *Machine, json.RawMessage) error { return nil }

// FolderAt describes the folder at path; false when there is none.
func FolderAt(f *machine.FS, path string) (receipt.Folder, bool) {
	info, err := f.Lstat(path)
	if err != nil || !info.IsDir() {
		return receipt.Folder{}, false
	}
	uid, gid := machine.Owner(info)
	return receipt.Folder{Path: path, Mode: uint32(info.Mode() & modeBits), UID: uid, GID: gid}, true
}

// refuseInForce keeps an undo from removing the folders of a generation that is
// in force, because switching back from it failed.
func refuseInForce(f *machine.FS, path string) error {
	current, err := CurrentGeneration(f)
	if err != nil || current == 0 {
		return err
	}
	release := machine.Release(ReleaseOf(f, current))
	for _, used := range []string{machine.Current, machine.Generation(current), machine.ServerData(current), machine.LicensedData(current), release} {
		if used == path || strings.HasPrefix(used, path+string(filepath.Separator)) {
			return fmt.Errorf("generation %d is in force and needs %s, which will not be removed", current, path)
		}
	}
	return nil
}
