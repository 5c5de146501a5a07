package step

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"ss-setup/installer/machine"
)

// SetRegistry sets values of a registry key.
type SetRegistry struct {
	Key    string                   `json:"key"`
	Values map[string]machine.Value `json:"values"`
}

type registryUndo struct {
	// Existed: the key was there. Values are those of it that the step sets.
	Existed bool                     `json:"existed"`
	Values  map[string]machine.Value `json:"values,omitempty"`
}

// Kind implements Step.
func (s *SetRegistry) Kind() string { return "set_registry" }

func (s *SetRegistry) String() string { return "set values in " + s.Key }

// Prepare keeps the values that are there.
func (s *SetRegistry) Prepare(_ context.Context, m *Machine) (any, error) {
	now, err := m.Registry.Read(s.Key)
	if errors.Is(err, fs.ErrNotExist) {
		return registryUndo{}, nil
	}
	if err != nil {
		return nil, err
	}
	u := registryUndo{Existed: true, Values: map[string]machine.Value{}}
	for name := range s.Values {
		if v, there := now[name]; there {
			u.Values[name] = v
		}
	}
	return u, nil
}

// Do sets the values that differ.
func (s *SetRegistry) Do(_ context.Context, m *Machine) error {
	now, err := m.Registry.Read(s.Key)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	differ := maps.Clone(s.Values)
	maps.DeleteFunc(differ, func(name string, v machine.Value) bool {
		is, there := now[name]
		return there && is == v
	})
	if len(differ) == 0 {
		return nil
	}
	return m.Registry.Write(s.Key, differ)
}

// Undo puts back what was there.
func (s *SetRegistry) Undo(_ context.Context, m *Machine, undo json.RawMessage) error {
	var u registryUndo
	if err := json.Unmarshal(undo, &u); err != nil {
		return err
	}
	if !u.Existed {
		return m.Registry.RemoveKey(s.Key)
	}
	var added []string
	for _, name := range slices.Sorted(maps.Keys(s.Values)) {
		if _, was := u.Values[name]; !was {
			added = append(added, name)
		}
	}
	if err := m.Registry.Remove(s.Key, added...); err != nil || len(u.Values) == 0 {
		return err
	}
	return m.Registry.Write(s.Key, u.Values)
}

// RemoveRegistry removes a key of ours for good.
type RemoveRegistry struct {
	noUndo
	Key string `json:"key"`
}

// Kind implements Step.
func (s *RemoveRegistry) Kind() string { return "remove_registry" }

func (s *RemoveRegistry) String() string { return "remove " + s.Key }

// Do removes the key.
func (s *RemoveRegistry) Do(_ context.Context, m *Machine) error {
	return m.Registry.RemoveKey(s.Key)
}

// Undo is never called: the step stands after the commit.
func (s *RemoveRegistry) Undo(context.Context, *Machine, json.RawMessage) error { return nil }

// AddToPath adds a folder to the machine's PATH, at its end.
type AddToPath struct {
	// Key is where the machine keeps its variables.
	Key    string `json:"key"`
	Folder string `json:"folder"`
}

// pathVariable is the one that programs are looked for by.
const pathVariable = "Path"

type pathUndo struct {
	// Had: the folder was in it. Was is the whole PATH, Set whether there was one.
	Had bool          `json:"had"`
	Set bool          `json:"set"`
	Was machine.Value `json:"was,omitzero"`
}

// Kind implements Step.
func (s *AddToPath) Kind() string { return "add_to_path" }

func (s *AddToPath) String() string { return "add " + s.Folder + " to the PATH" }

// Prepare sees whether it is in there already.
func (s *AddToPath) Prepare(_ context.Context, m *Machine) (any, error) {
	v, set, err := pathOf(m, s.Key)
	return pathUndo{Had: indexOfFolder(v.Text, s.Folder) >= 0, Set: set, Was: v}, err
}

// Do adds the folder.
func (s *AddToPath) Do(_ context.Context, m *Machine) error {
	v, _, err := pathOf(m, s.Key)
	if err != nil || indexOfFolder(v.Text, s.Folder) >= 0 {
		return err
	}
	return setPath(m, s.Key, withFolder(v, s.Folder))
}

func withFolder(v machine.Value, folder string) machine.Value {
	v.Text = strings.TrimSuffix(v.Text, ";")
	if v.Text != "" {
		v.Text += ";"
	}
	v.Text += folder
	return v
}

// Undo takes it out again, and leaves alone what others added meanwhile.
func (s *AddToPath) Undo(_ context.Context, m *Machine, undo json.RawMessage) error {
	var u pathUndo
	if err := json.Unmarshal(undo, &u); err != nil || u.Had {
		return err
	}
	now, set, err := pathOf(m, s.Key)
	switch {
	case err != nil || !set || now == u.Was:
		return err
	case now != withFolder(u.Was, s.Folder):
		return removeFromPath(m, s.Key, s.Folder)
	case u.Set:
		return setPath(m, s.Key, u.Was)
	}
	return m.Registry.Remove(s.Key, pathVariable)
}

// RemoveFromPath takes a folder out of the machine's PATH for good.
type RemoveFromPath struct {
	noUndo
	Key    string `json:"key"`
	Folder string `json:"folder"`
}

// Kind implements Step.
func (s *RemoveFromPath) Kind() string { return "remove_from_path" }

func (s *RemoveFromPath) String() string { return "take " + s.Folder + " out of the PATH" }

// Do takes the folder out.
func (s *RemoveFromPath) Do(_ context.Context, m *Machine) error {
	return removeFromPath(m, s.Key, s.Folder)
}

// Undo is never called: the step stands after the commit.
func (s *RemoveFromPath) Undo(context.Context, *Machine, json.RawMessage) error { return nil }

func removeFromPath(m *Machine, key, folder string) error {
	v, _, err := pathOf(m, key)
	if err != nil {
		return err
	}
	i := indexOfFolder(v.Text, folder)
	if i < 0 {
		return nil
	}
	v.Text = strings.Join(slices.Delete(strings.Split(v.Text, ";"), i, i+1), ";")
	return setPath(m, key, v)
}

// pathOf reads the PATH; its type says whether variables in it are put in.
func pathOf(m *Machine, key string) (v machine.Value, set bool, err error) {
	values, err := m.Registry.Read(key)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return v, false, err
	}
	for name, v := range values {
		if strings.EqualFold(name, pathVariable) {
			return v, true, nil
		}
	}
	return machine.Value{Type: machine.RegExpandable}, false, nil
}

// OnPath tells whether a folder is in the machine's PATH.
func OnPath(m *Machine, key, folder string) (bool, error) {
	v, _, err := pathOf(m, key)
	return indexOfFolder(v.Text, folder) >= 0, err
}

func setPath(m *Machine, key string, v machine.Value) error {
	if err := m.Registry.Write(key, map[string]machine.Value{pathVariable: v}); err != nil {
		return err
	}
	m.Registry.Announce()
	return nil
}

// indexOfFolder finds a folder in a PATH as Windows would: in any case, with or
// without a backslash at its end, quoted or not.
func indexOfFolder(list, folder string) int {
	plain := func(s string) string {
		return strings.ToLower(strings.TrimRight(strings.Trim(strings.TrimSpace(s), `"`), `\`))
	}
	return slices.IndexFunc(strings.Split(list, ";"), func(entry string) bool { return plain(entry) == plain(folder) })
}

// ProtectFolder sets who may do what with a folder and all that is in it.
type ProtectFolder struct {
	placed
	// List is the access list in Windows' notation.
	List string `json:"list"`
}

// NewProtectFolder makes a ProtectFolder step.
func NewProtectFolder(path, list string) *ProtectFolder { return &ProtectFolder{placed{path}, list} }

type protectUndo struct {
	// Was is empty for a folder that this run makes: it goes with its list.
	Was string `json:"was,omitempty"`
}

// Kind implements Step.
func (s *ProtectFolder) Kind() string { return "protect_folder" }

func (s *ProtectFolder) String() string { return "set who may use " + s.Path }

// Prepare keeps the list that is there.
func (s *ProtectFolder) Prepare(_ context.Context, m *Machine) (any, error) {
	if !m.FS.Exists(s.Path) {
		return protectUndo{}, nil
	}
	was, err := m.Lists.Access(s.Path)
	return protectUndo{Was: was}, err
}

// Do sets the list.
func (s *ProtectFolder) Do(_ context.Context, m *Machine) error {
	return m.Lists.SetAccess(s.Path, s.List)
}

// Undo puts the list back that was there.
func (s *ProtectFolder) Undo(_ context.Context, m *Machine, undo json.RawMessage) error {
	var u protectUndo
	if err := json.Unmarshal(undo, &u); err != nil || u.Was == "" || !m.FS.Exists(s.Path) {
		return err
	}
	return m.Lists.SetAccess(s.Path, u.Was)
}

// InstallCommand installs a small script by which a program is called from the
// PATH, where a link to it cannot be had.
type InstallCommand struct {
	placed
	Content string `json:"content"`
}

// NewInstallCommand makes an InstallCommand step.
func NewInstallCommand(path, content string) *InstallCommand {
	return &InstallCommand{placed{path}, content}
}

// Kind implements Step.
func (s *InstallCommand) Kind() string { return "install_command" }

func (s *InstallCommand) String() string { return "install the command " + s.Path }

// Prepare keeps what stands there.
func (s *InstallCommand) Prepare(_ context.Context, m *Machine) (any, error) {
	return savePreImage(m, s.Path, digest([]byte(s.Content)))
}

// Do writes the command.
func (s *InstallCommand) Do(_ context.Context, m *Machine) error {
	if err := keepOriginal(m, s.Path, digest([]byte(s.Content))); err != nil {
		return err
	}
	return s.place(m, []byte(s.Content), 0o755, 0, 0)
}

// Undo puts back what stood there.
func (s *InstallCommand) Undo(_ context.Context, m *Machine, undo json.RawMessage) error {
	return s.undo(m, undo)
}

// CommandDigest is the fingerprint of a command's script.
func CommandDigest(content string) string { return digest([]byte(content)) }
