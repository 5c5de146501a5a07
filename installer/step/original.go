package step

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

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

// keepOriginal keeps somebody else's file before a step takes its place. wrote is
// the fingerprint of what the step writes. On a first install whatever stands
// there is somebody else's; later, a link that does not lead to us, or a file
// where we put a link. It comes back with uninstall.
func keepOriginal(m *Machine, path, wrote string) error {
	now, err := fingerprint(m.FS, path)
	if err != nil || now == "" || m.FS.Exists(originalPath(path, ".json")) {
		return err
	}
	if !m.KeepOriginals && (now == wrote || !strings.HasPrefix(wrote, "link:")) {
		return nil
	}
	info, err := m.FS.Lstat(path)
	if err != nil {
		return err
	}
	o := original{Path: path, preImage: preImage{Existed: true, Mode: info.Mode()}}
	o.UID, o.GID = machine.Owner(info)
	if link, ok := strings.CutPrefix(now, "link:"); ok {
		o.Link = link
	} else {
		o.ModTime = info.ModTime()
		content, err := m.FS.ReadFile(path)
		if err != nil {
			return err
		}
		o.SHA256, o.Saved = now, originalPath(path, ".content")
		if err := m.FS.WriteFile(o.Saved, content, machine.Attr{Mode: 0o600}); err != nil {
			return err
		}
	}
	if ours(o.preImage) {
		return nil
	}
	encoded, err := json.Marshal(o)
	if err != nil {
		return err
	}
	m.warn(fmt.Sprintf("%s was there before; it is kept and comes back with ss-setup uninstall", path))
	return m.FS.WriteFile(originalPath(path, ".json"), encoded, machine.Attr{Mode: 0o600})
}

// dropOriginal forgets what a step kept that is undone.
func dropOriginal(f *machine.FS, path string) error {
	if !f.Exists(machine.OriginalsDir) {
		return nil
	}
	for _, suffix := range []string{".json", ".json" + machine.TempSuffix, ".content", ".content" + machine.TempSuffix} {
		if err := f.Remove(originalPath(path, suffix)); err != nil {
			return err
		}
	}
	return f.SyncDir(machine.OriginalsDir)
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
