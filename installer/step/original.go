package step

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"ss-setup/installer/machine"
)

// original is what stood at a path before the first install; it waits in
// originals/ until uninstall.
type original struct {
	Path string `json:"path"`
	preImage
}

func originalPath(path, suffix string) string {
	return filepath.Join(machine.OriginalsDir, nameFor(path)+suffix)
}

// keepOriginal keeps somebody else's file when a first install takes its place.
func keepOriginal(m *Machine, path string, p preImage) error {
	if !m.KeepOriginals || !p.Existed || ours(p) {
		return nil
	}
	o := original{Path: path, preImage: p}
	if p.Saved != "" {
		content, err := m.FS.ReadFile(p.Saved)
		if err != nil {
			return err
		}
		o.Saved = originalPath(path, ".content")
		if err := m.FS.WriteFile(o.Saved, content, machine.Attr{Mode: 0o600}); err != nil {
			return err
		}
	}
	encoded, err := json.Marshal(o)
	if err != nil {
		return err
	}
	m.warn(fmt.Sprintf("%s was there before; it is kept and comes back with ss-setup uninstall", path))
	return m.FS.WriteFile(originalPath(path, ".json"), encoded, machine.Attr{Mode: 0o600})
}

func loadOriginal(f *machine.FS, path string) (*original, error) {
	content, err := f.ReadFile(originalPath(path, ".json"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	o := &original{}
	if err := json.Unmarshal(content, o); err != nil {
		return nil, fmt.Errorf("read %s: %w", originalPath(path, ".json"), err)
	}
	return o, nil
}
