package step

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"text/template"

	"ss-setup/installer/machine"
)

// EditedSuffix marks a service definition as an administrator had edited it.
const EditedSuffix = ".ss-old"

// InstallDefinition installs a service definition of a release. One that an
// administrator edited is kept beside it as .ss-old.
type InstallDefinition struct {
	placed
	Service string      `json:"service"`
	Release string      `json:"release"`
	Source  string      `json:"source"`
	Mode    fs.FileMode `json:"mode"`
	User    string      `json:"user"`
	// Was is the SHA-256 that the receipt tells of; another one was edited.
	Was string `json:"was,omitempty"`
}

// NewInstallDefinition makes an InstallDefinition step.
func NewInstallDefinition(service, release, user, was string, d machine.Definition) *InstallDefinition {
	return &InstallDefinition{placed{d.Path}, service, release, d.Source, d.Mode, user, was}
}

type definitionUndo struct {
	preImage
	// Edited is where the edited definition is kept; EditedAt what stood there.
	Edited   string   `json:"edited,omitempty"`
	EditedAt preImage `json:"edited_at,omitzero"`
}

// Kind implements Step.
func (s *InstallDefinition) Kind() string { return "install_definition" }

func (s *InstallDefinition) String() string {
	return "install the definition of " + s.Service + " as " + s.Path
}

// Prepare keeps what stands there and sees whether somebody edited it.
func (s *InstallDefinition) Prepare(_ context.Context, m *Machine) (any, error) {
	content, err := s.render(m.FS)
	if err != nil {
		return nil, err
	}
	u := definitionUndo{}
	if u.preImage, err = savePreImage(m, s.Path, digest(content)); err != nil {
		return nil, err
	}
	if s.edited(m, u.preImage, u.Wrote) {
		if u.Edited, err = editedName(m.FS, s.Path, u.SHA256); err != nil {
			return nil, err
		}
		if u.EditedAt, err = savePreImage(m, u.Edited, u.SHA256); err != nil {
			return nil, err
		}
	}
	return u, nil
}

// edited tells a definition that is not what was installed. Without a receipt
// every other content counts as edited; what stood there before a first install
// is kept as an original instead.
func (s *InstallDefinition) edited(m *Machine, p preImage, wrote string) bool {
	return p.Existed && p.Link == "" && !m.KeepOriginals && p.SHA256 != s.Was && p.SHA256 != wrote
}

// editedName is where an edited definition is kept: a name of which nothing is
// lost, or the one under which this very content lies already.
func editedName(f *machine.FS, path, sum string) (string, error) {
	name := path + EditedSuffix
	for i := 1; ; i++ {
		now, err := fingerprint(f, name)
		if err != nil || now == "" || now == sum {
			return name, err
		}
		name = fmt.Sprintf("%s%s.%d", path, EditedSuffix, i)
	}
}

// definitionData is what the templates of definitions may use.
type definitionData struct {
	User string
	// Mounts are the roots that must be mounted, separated by spaces.
	Mounts string
}

func (s *InstallDefinition) render(f *machine.FS) ([]byte, error) {
	path := filepath.Join(machine.Release(s.Release), s.Source)
	source, err := f.ReadFile(path)
	if err != nil {
		return nil, err
	}
	t, err := template.New(s.Service).Option("missingkey=error").Parse(string(source))
	if err != nil {
		return nil, fmt.Errorf("read the definition %s: %w", path, err)
	}
	mounts := machine.ProgramDir + " " + machine.ServerStateDir + " " + machine.FilesDir
	if s.Service == machine.LicensedService {
		mounts = machine.ProgramDir + " " + machine.LicensedStateDir
	}
	var out bytes.Buffer
	if err := t.Execute(&out, definitionData{User: s.User, Mounts: mounts}); err != nil {
		return nil, fmt.Errorf("fill in the definition %s: %w", path, err)
	}
	return out.Bytes(), nil
}

// Do installs the definition.
func (s *InstallDefinition) Do(_ context.Context, m *Machine) error {
	content, err := s.render(m.FS)
	if err != nil {
		return err
	}
	if err := s.saveEdited(m, digest(content)); err != nil {
		return err
	}
	if m.KeepOriginals {
		if err := keepOriginal(m, s.Path, digest(content)); err != nil {
			return err
		}
	}
	return s.place(m, content, s.Mode, 0, 0)
}

func (s *InstallDefinition) saveEdited(m *Machine, wrote string) error {
	info, err := m.FS.Lstat(s.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil || !info.Mode().IsRegular() {
		return err
	}
	content, err := m.FS.ReadFile(s.Path)
	if err != nil {
		return err
	}
	sum := digest(content)
	if !s.edited(m, preImage{Existed: true, SHA256: sum}, wrote) {
		return nil
	}
	name, err := editedName(m.FS, s.Path, sum)
	if err != nil {
		return err
	}
	uid, gid := machine.Owner(info)
	m.warn(fmt.Sprintf("%s had been edited; it is kept as %s", s.Path, name))
	// OpenRC lists every script that may be run as a service of its own.
	mode := info.Mode() &^ 0o111
	return m.FS.WriteFile(name, content, machine.Attr{Mode: mode, UID: uid, GID: gid, ModTime: info.ModTime()})
}

// Undo puts back what stood there.
func (s *InstallDefinition) Undo(_ context.Context, m *Machine, undo json.RawMessage) error {
	var u definitionUndo
	if err := json.Unmarshal(undo, &u); err != nil {
		return err
	}
	if err := u.preImage.restore(m, s.Path); err != nil || u.Edited == "" {
		return err
	}
	return u.EditedAt.restore(m, u.Edited)
}

// ReloadServices makes the service manager read definitions anew. The one before
// the definitions are changed does so on the way back, the one after them on the
// way forth.
type ReloadServices struct {
	noUndo
	OnUndo bool `json:"on_undo,omitempty"`
}

// Kind implements Step.
func (s *ReloadServices) Kind() string { return "reload_services" }

func (s *ReloadServices) String() string {
	if s.OnUndo {
		return "be ready to reload service definitions when they are put back"
	}
	return "reload service definitions"
}

// Do reloads.
func (s *ReloadServices) Do(ctx context.Context, m *Machine) error {
	if s.OnUndo {
		return nil
	}
	return m.Services.Reload(ctx)
}

// Undo reloads.
func (s *ReloadServices) Undo(ctx context.Context, m *Machine, _ json.RawMessage) error {
	if !s.OnUndo {
		return nil
	}
	return m.Services.Reload(ctx)
}
