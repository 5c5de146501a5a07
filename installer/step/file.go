package step

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"ss-setup/installer/machine"
)

// placed is the common part of the steps that put one file or link at a path.
type placed struct {
	Path string `json:"path"`
}

func (s *placed) undo(m *Machine, undo json.RawMessage) error {
	var p preImage
	if err := json.Unmarshal(undo, &p); err != nil {
		return err
	}
	return p.restore(m, s.Path)
}

// place writes content unless it stands there already with the same mode and owner.
func (s *placed) place(m *Machine, content []byte, mode fs.FileMode, uid, gid int) error {
	info, err := m.FS.Lstat(s.Path)
	if err == nil && machine.SameMode(info.Mode(), mode) {
		now, err := fileDigest(m.FS, s.Path)
		if err == nil && now == digest(content) && machine.SameOwner(info, uid, gid) {
			return nil
		}
	}
	if err := makeParents(m, m.FS.MissingParents(s.Path)); err != nil {
		return err
	}
	return m.FS.WriteFile(s.Path, content, machine.Attr{Mode: mode, UID: uid, GID: gid})
}

// WriteFile writes a configuration file, once: one that is there is the
// administrator's and stays as it is.
type WriteFile struct {
	placed
	Content string      `json:"content"`
	Owner   string      `json:"owner"`
	Mode    fs.FileMode `json:"mode"`
}

// NewWriteFile makes a WriteFile step.
func NewWriteFile(path, content, owner string, mode fs.FileMode) *WriteFile {
	return &WriteFile{placed{path}, content, owner, mode}
}

// Kind implements Step.
func (s *WriteFile) Kind() string { return "write_file" }

func (s *WriteFile) String() string { return "write " + s.Path + " unless it is there" }

// Prepare notes whether the file is there.
func (s *WriteFile) Prepare(_ context.Context, m *Machine) (any, error) {
	return savePreImage(m, s.Path, digest([]byte(s.Content)))
}

// Do writes the file if nothing is there.
func (s *WriteFile) Do(_ context.Context, m *Machine) error {
	if m.FS.Exists(s.Path) {
		return nil
	}
	uid, gid, err := m.owner(s.Owner)
	if err != nil {
		return err
	}
	return s.place(m, []byte(s.Content), s.Mode, uid, gid)
}

// Undo removes the file if this step wrote it.
func (s *WriteFile) Undo(_ context.Context, m *Machine, undo json.RawMessage) error {
	var p preImage
	if err := json.Unmarshal(undo, &p); err != nil || p.Existed {
		return err
	}
	return p.restore(m, s.Path)
}

// MakeProbeKey makes the secret by which services know the installer's probes:
// 32 random bytes, in hexadecimal, readable by the account. One that is there stays.
type MakeProbeKey struct {
	placed
	Account string `json:"account"`
	// CopyOf, when set, is the file whose secret is shared.
	CopyOf string `json:"copy_of,omitempty"`
}

// NewMakeProbeKey makes a MakeProbeKey step.
func NewMakeProbeKey(path, account, copyOf string) *MakeProbeKey {
	return &MakeProbeKey{placed{path}, account, copyOf}
}

// Kind implements Step.
func (s *MakeProbeKey) Kind() string { return "make_probe_key" }

func (s *MakeProbeKey) String() string {
	return "make the probe secret " + s.Path + " unless it is there"
}

// Prepare notes whether the secret is there.
func (s *MakeProbeKey) Prepare(_ context.Context, m *Machine) (any, error) {
	return savePreImage(m, s.Path, "")
}

// Do writes the secret if nothing is there.
func (s *MakeProbeKey) Do(_ context.Context, m *Machine) error {
	if m.FS.Exists(s.Path) {
		return nil
	}
	_, gid, err := m.owner(s.Account)
	if err != nil {
		return err
	}
	key, err := s.key(m)
	if err != nil {
		return err
	}
	return s.place(m, key, 0o640, 0, gid)
}

func (s *MakeProbeKey) key(m *Machine) ([]byte, error) {
	if s.CopyOf != "" {
		return m.FS.ReadFile(s.CopyOf)
	}
	raw := make([]byte, 32)
	if _, err := io.ReadFull(m.Rand, raw); err != nil {
		return nil, fmt.Errorf("make a secret: %w", err)
	}
	return []byte(hex.EncodeToString(raw) + "\n"), nil
}

// Undo removes the secret if it was not there. Nobody edits it, so its content
// need not be compared.
func (s *MakeProbeKey) Undo(_ context.Context, m *Machine, undo json.RawMessage) error {
	var p preImage
	if err := json.Unmarshal(undo, &p); err != nil || p.Existed {
		return err
	}
	var err error
	if p.Wrote, err = fingerprint(m.FS, s.Path); err != nil {
		return err
	}
	return p.restore(m, s.Path)
}

// InstallSetup puts a copy of ss-setup where administrators find it. Where another
// program keeps the one that is there open, the system puts the copy in its place
// when the machine restarts.
type InstallSetup struct {
	placed
	SHA256 string `json:"sha256"`
}

// NewInstallSetup makes an InstallSetup step.
func NewInstallSetup(path, sha256 string) *InstallSetup { return &InstallSetup{placed{path}, sha256} }

// waitingSuffix marks the file that takes its place when the machine restarts.
const waitingSuffix = ".ss-waiting"

func waiting(path string) string { return path + waitingSuffix }

// WaitsForRestart tells whether a file of this digest takes the place of path when
// the machine restarts.
func WaitsForRestart(f *machine.FS, path, sha256 string) bool {
	sum, err := fileDigest(f, waiting(path))
	return err == nil && sum == sha256
}

type setupUndo struct {
	preImage
	// Waiting is what an earlier run left to take its place at the next restart.
	Waiting preImage `json:"waiting,omitzero"`
}

// Kind implements Step.
func (s *InstallSetup) Kind() string { return "install_setup" }

func (s *InstallSetup) String() string { return "install " + s.Path }

// Prepare keeps what stands there, and what waits to.
func (s *InstallSetup) Prepare(_ context.Context, m *Machine) (any, error) {
	var u setupUndo
	var err error
	if u.preImage, err = savePreImage(m, s.Path, s.SHA256); err != nil {
		return nil, err
	}
	u.Waiting, err = savePreImage(m, waiting(s.Path), s.SHA256)
	u.Waiting.Parents = nil // they are those of the file itself
	return u, err
}

// Do writes the copy.
func (s *InstallSetup) Do(_ context.Context, m *Machine) error {
	if info, err := m.FS.Lstat(s.Path); err == nil && machine.SameMode(info.Mode(), 0o755) {
		if now, err := fileDigest(m.FS, s.Path); err == nil && now == s.SHA256 && machine.SameOwner(info, 0, 0) {
			return m.FS.Remove(waiting(s.Path))
		}
	}
	state, err := LoadState(m.FS)
	if err != nil {
		return err
	}
	// An uninstall that keeps data leaves ss-setup there to purge them.
	if state.KeptData == 0 {
		if err := keepOriginal(m, s.Path, s.SHA256); err != nil {
			return err
		}
	}
	content, err := os.ReadFile(m.SetupProgram)
	if err != nil {
		return fmt.Errorf("read ss-setup: %w", err)
	}
	if m.SetupSHA256 != s.SHA256 && digest(content) != s.SHA256 {
		return fmt.Errorf("install %s: %s changed while ss-setup was running", s.Path, m.SetupProgram)
	}
	err = s.place(m, content, 0o755, 0, 0)
	if errors.Is(err, machine.ErrLocked) && m.ReplaceAtRestart != nil {
		return s.placeAtRestart(m, content)
	}
	if err != nil {
		return err
	}
	return m.FS.Remove(waiting(s.Path))
}

// placeAtRestart lays the copy beside its place and has the system move it there.
func (s *InstallSetup) placeAtRestart(m *Machine, content []byte) error {
	if err := m.FS.WriteFile(waiting(s.Path), content, machine.Attr{Mode: 0o755}); err != nil {
		return err
	}
	if err := m.ReplaceAtRestart(waiting(s.Path), s.Path); err != nil {
		return fmt.Errorf("replace %s when the machine restarts: %w", s.Path, err)
	}
	m.tellAtRestart(s.Path, "is replaced")
	return nil
}

// Undo puts back what stood there. A file that is gone is not moved at the restart.
func (s *InstallSetup) Undo(_ context.Context, m *Machine, undo json.RawMessage) error {
	var u setupUndo
	if err := json.Unmarshal(undo, &u); err != nil {
		return err
	}
	if err := u.Waiting.restore(m, waiting(s.Path)); err != nil {
		return err
	}
	return u.preImage.restore(m, s.Path)
}

// InstallLink makes a link, for the PATH or to enable a service.
type InstallLink struct {
	placed
	Target string `json:"target"`
}

// NewInstallLink makes an InstallLink step.
func NewInstallLink(path, target string) *InstallLink { return &InstallLink{placed{path}, target} }

// Kind implements Step.
func (s *InstallLink) Kind() string { return "install_link" }

func (s *InstallLink) String() string { return "link " + s.Path + " to " + s.Target }

// Prepare keeps what stands there.
func (s *InstallLink) Prepare(_ context.Context, m *Machine) (any, error) {
	return savePreImage(m, s.Path, "link:"+s.Target)
}

// Do makes the link.
func (s *InstallLink) Do(_ context.Context, m *Machine) error {
	if now, err := m.FS.Readlink(s.Path); err == nil && now == s.Target {
		return nil
	}
	if err := keepOriginal(m, s.Path, "link:"+s.Target); err != nil {
		return err
	}
	if err := makeParents(m, m.FS.MissingParents(s.Path)); err != nil {
		return err
	}
	return m.FS.ReplaceLink(s.Target, s.Path)
}

// Undo puts back what stood there.
func (s *InstallLink) Undo(_ context.Context, m *Machine, undo json.RawMessage) error {
	return s.undo(m, undo)
}

// ours tells whether a link was made by an installation.
func ours(p preImage) bool {
	return strings.HasPrefix(p.Link, machine.ProgramDir+"/")
}
