package step

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"time"

	"ss-setup/installer/machine"
)

// SaveSuffix marks a file that somebody changed after a step had written it.
const SaveSuffix = ".ss-save"

// preImage is what stood at a path before a step: enough to put it back.
type preImage struct {
	// Existed: something stood there. Link, when not empty, was its target.
	Existed bool        `json:"existed"`
	Link    string      `json:"link,omitempty"`
	SHA256  string      `json:"sha256,omitempty"`
	Mode    fs.FileMode `json:"mode,omitempty"`
	UID     int         `json:"uid,omitempty"`
	GID     int         `json:"gid,omitempty"`
	ModTime time.Time   `json:"mod_time,omitzero"`
	// Saved is where its content is kept.
	Saved string `json:"saved,omitempty"`
	// Parents are the folders that had to be made, topmost first.
	Parents []string `json:"parents,omitempty"`
	// HadOriginal: what stood there before the first install is kept already.
	HadOriginal bool `json:"had_original,omitempty"`
	// Wrote is the SHA-256 of what the step writes, or the target of its link.
	Wrote string `json:"wrote,omitempty"`
}

// savePreImage looks at path and keeps the content of a file that stands there,
// unless it is what the step writes: wrote is the SHA-256 of that, or "link:" and
// the target of a link.
func savePreImage(m *Machine, path, wrote string) (preImage, error) {
	p := preImage{Parents: m.FS.MissingParents(path), Wrote: wrote, HadOriginal: m.FS.Exists(originalPath(path, ".json"))}
	info, err := m.FS.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return p, nil
	}
	if err != nil {
		return p, err
	}
	p.Existed, p.Mode, p.ModTime = true, info.Mode(), info.ModTime()
	p.UID, p.GID = machine.Owner(info)
	switch {
	case info.Mode()&fs.ModeSymlink != 0:
		p.Link, err = m.FS.Readlink(path)
		return p, err
	case !info.Mode().IsRegular():
		return p, fmt.Errorf("%s is not a file; move it away and run ss-setup again", path)
	}
	if p.SHA256, err = fileDigest(m.FS, path); err != nil {
		return p, err
	}
	if p.SHA256 == wrote {
		return p, nil // what will be written is what is there
	}
	p.Saved = filepath.Join(m.PreDir, nameFor(path))
	return p, saveContent(m, path, p)
}

func nameFor(path string) string {
	sum := sha256.Sum256([]byte(path))
	return hex.EncodeToString(sum[:8])
}

func saveContent(m *Machine, path string, p preImage) error {
	for _, dir := range append(m.FS.MissingParents(p.Saved), "") {
		if dir == "" {
			continue
		}
		if err := m.FS.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		if err := m.FS.SyncDir(filepath.Dir(dir)); err != nil {
			return err
		}
	}
	content, err := m.FS.ReadFile(path)
	if err != nil {
		return err
	}
	return m.FS.WriteFile(p.Saved, content, machine.Attr{Mode: 0o600})
}

// saveName is a name under which nothing lies yet.
func saveName(f *machine.FS, path string) string {
	name := path + SaveSuffix
	for i := 1; f.Exists(name); i++ {
		name = fmt.Sprintf("%s%s.%d", path, SaveSuffix, i)
	}
	return name
}

// restore puts back what stood at path, unless somebody changed what the step
// wrote: that is kept as .ss-save first.
func (p preImage) restore(m *Machine, path string) error {
	if err := m.FS.Remove(path + machine.TempSuffix); err != nil {
		return err
	}
	now, err := fingerprint(m.FS, path)
	if err != nil {
		return err
	}
	if now != "" && now != p.Wrote && now != p.content() {
		if p.Existed && p.Link == "" && p.Saved == "" {
			m.warn(fmt.Sprintf("%s was changed meanwhile; it stays as it is now", path))
			return nil
		}
		save := saveName(m.FS, path)
		if err := m.FS.Rename(path, save); err != nil {
			return err
		}
		m.warn(fmt.Sprintf("%s was changed meanwhile; it is kept as %s", path, save))
		now = ""
	}
	if err := p.putBack(m, path, now); err != nil {
		return err
	}
	if !p.HadOriginal {
		if err := dropOriginal(m.FS, path); err != nil {
			return err
		}
	}
	return removeMade(m, p.Parents)
}

func (p preImage) putBack(m *Machine, path, now string) error {
	switch {
	case !p.Existed:
		if !m.FS.Exists(filepath.Dir(path)) {
			return nil
		}
		if err := m.FS.Remove(path); err != nil {
			return err
		}
		return m.FS.SyncDir(filepath.Dir(path))
	case p.Link != "":
		if now == p.content() {
			return nil
		}
		return m.FS.ReplaceLink(p.Link, path)
	case now == p.content():
		return setAttr(m.FS, path, p)
	}
	content, err := m.FS.ReadFile(p.Saved)
	if err != nil {
		return fmt.Errorf("read what stood at %s: %w", path, err)
	}
	return m.FS.WriteFile(path, content, machine.Attr{Mode: p.Mode, UID: p.UID, GID: p.GID, ModTime: p.ModTime})
}

// content is the fingerprint of what stood there.
func (p preImage) content() string {
	if p.Link != "" {
		return "link:" + p.Link
	}
	return p.SHA256
}

// setAttr corrects owner, mode and time of a file whose content is right.
func setAttr(f *machine.FS, path string, p preImage) error {
	info, err := f.Lstat(path)
	if err != nil {
		return err
	}
	uid, gid := machine.Owner(info)
	if info.Mode() == p.Mode && uid == p.UID && gid == p.GID && info.ModTime().Equal(p.ModTime) {
		return nil
	}
	if err := f.Chown(path, p.UID, p.GID); err != nil {
		return err
	}
	if err := f.Chmod(path, p.Mode); err != nil {
		return err
	}
	if err := f.Chtimes(path, p.ModTime); err != nil {
		return err
	}
	return f.SyncFile(path)
}

// fingerprint is the SHA-256 of a file, "link:" and the target of a link, and
// empty when nothing is there.
func fingerprint(f *machine.FS, path string) (string, error) {
	info, err := f.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	if info.Mode()&fs.ModeSymlink != 0 {
		target, err := f.Readlink(path)
		return "link:" + target, err
	}
	if !info.Mode().IsRegular() {
		return "", fmt.Errorf("%s is not a file; move it away and run ss-setup again", path)
	}
	return fileDigest(f, path)
}

func fileDigest(f *machine.FS, path string) (string, error) {
	h, err := f.Open(path)
	if err != nil {
		return "", err
	}
	sum := sha256.New()
	_, err = io.Copy(sum, h)
	return hex.EncodeToString(sum.Sum(nil)), errors.Join(err, h.Close())
}

func digest(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

// makeParents makes missing folders, 0755 and root's, each synced into its parent.
func makeParents(m *Machine, dirs []string) error {
	for _, dir := range dirs {
		if err := m.FS.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		if err := m.FS.SyncDir(filepath.Dir(dir)); err != nil {
			return err
		}
	}
	return nil
}

// removeMade removes folders that a step made, unless something else is in them.
func removeMade(m *Machine, dirs []string) error {
	for i := len(dirs) - 1; i >= 0; i-- {
		entries, err := m.FS.ReadDir(dirs[i])
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if len(entries) > 0 {
			return nil
		}
		if err := m.FS.Remove(dirs[i]); err != nil {
			return err
		}
		if err := m.FS.SyncDir(filepath.Dir(dirs[i])); err != nil {
			return err
		}
	}
	return nil
}

// noUndo is embedded by steps that only look, or that come after the commit.
type noUndo struct{}

func (noUndo) Prepare(context.Context, *Machine) (any, error) { return nil, nil }
