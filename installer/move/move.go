// Package move knows the folder in which a server goes from one machine to another: a
// backup of its configuration, its configuration files, and a list of what there was, by
// which the new machine sees whether everything has come along.
//
//	move.json    the list; it is written last, so a folder that has it is whole
//	backup.zip   the backup, as ss-server makes it
//	config/      the files of the configuration folder
//
// The files of users are not in it, for they may be many; the list says how many there are.
package move

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"ss-setup/runtime/backup"
	"ss-setup/runtime/model"
)

// Format is the version of the list that this release writes, and the newest it reads.
const Format = 1

// The names in the folder.
const (
	ListName   = "move.json"
	BackupName = "backup.zip"
	configName = "config"
)

// Bounds of what is read from a folder that somebody else may have touched.
const (
	maxList   = 8 << 20
	maxConfig = 64 << 20
)

// ErrNotWhole: the folder does not hold a server that moves, or not all of it.
var ErrNotWhole = errors.New("it is not the whole folder of a server that moves")

// List tells what moves.
type List struct {
	Format int       `json:"format"`
	Made   time.Time `json:"made"`
	// Host is the name of the old machine, Node that of the server on it.
	Host string `json:"host"`
	Node string `json:"node,omitempty"`
	// OS is its operating system, as runtime.GOOS has it.
	OS      string `json:"os"`
	Version string `json:"version"`
	// Addresses are where the web interface of the old machine was reached, HOST:PORT.
	Addresses []string `json:"addresses,omitempty"`
	// Backup is SHA-256 of the backup, Objects how many of each kind are in it.
	Backup  string         `json:"backup_sha256"`
	Objects map[string]int `json:"objects"`
	Config  []File         `json:"config"`
	Folders []Folder       `json:"folders"`
}

// File is a configuration file.
type File struct {
	// Name is the path below the configuration folder, with slashes.
	Name   string      `json:"name"`
	SHA256 string      `json:"sha256"`
	Mode   fs.FileMode `json:"mode"`
}

// Folder is a folder in which a VFS keeps the files of users.
type Folder struct {
	Path string `json:"path"`
	// Missing: it was not there on the old machine either.
	Missing bool `json:"missing,omitempty"`
	// Files is how many entries that are no folders lie in it, at any depth; Bytes how
	// large its plain files are together.
	Files int64 `json:"files"`
	Bytes int64 `json:"bytes"`
}

// Old is what only the old machine knows of itself.
type Old struct {
	Host      string
	Version   string
	Addresses []string
	// Config is its configuration folder.
	Config string
	Now    time.Time
}

// Pack completes the folder dir, in which the backup lies: it copies the configuration,
// looks what files of users there are, and writes the list, all of it synced.
func Pack(ctx context.Context, dir string, old Old) (List, error) {
	l := List{
		Format: Format, Made: old.Now.UTC(), Host: old.Host, OS: runtime.GOOS, Version: old.Version, Addresses: old.Addresses,
		Config: []File{}, Folders: []Folder{},
	}
	roots, err := l.readBackup(ctx, filepath.Join(dir, BackupName))
	if err != nil {
		return List{}, err
	}
	if err := l.copyConfig(old.Config, filepath.Join(dir, configName)); err != nil {
		return List{}, fmt.Errorf("copy the configuration: %w", err)
	}
	for _, root := range roots {
		f, err := Measure(ctx, root)
		if err != nil {
			return List{}, fmt.Errorf("look at the files of users: %w", err)
		}
		l.Folders = append(l.Folders, f)
	}
	text, err := json.MarshalIndent(l, "", "  ")
	if err != nil {
		return List{}, err
	}
	if err := writeNew(filepath.Join(dir, ListName), append(text, '\n'), 0o600); err != nil {
		return List{}, err
	}
	return l, nil
}

// readBackup reads the whole backup, so that nobody finds out on the new machine that it is
// no good, and tells the folders of its VFSs.
func (l *List) readBackup(ctx context.Context, path string) (roots []string, err error) {
	a, file, err := backup.OpenFile(path, backup.ReadOptions{})
	if err != nil {
		return nil, err
	}
	defer file.Close()
	v := &volumes{}
	s, err := a.Restore(ctx, v)
	if err != nil {
		return nil, fmt.Errorf("read the backup %s: %w", path, err)
	}
	l.Node, l.Objects = s.Header.Node, s.Objects
	if l.Backup, err = sumOf(path); err != nil {
		return nil, err
	}
	slices.Sort(v.roots)
	return slices.Compact(v.roots), nil
}

// volumes is a backup.Sink that only looks where VFSs keep their files.
type volumes struct{ roots []string }

func (v *volumes) Begin(backup.Header) error { return nil }
func (v *volumes) PutFile(backup.File) error { return nil }
func (v *volumes) Commit() error             { return nil }
func (v *volumes) Abort() error              { return nil }

func (v *volumes) Put(o backup.Object) error {
	if model.Kind(o.Kind) != model.KindVFS {
		return nil
	}
	var vfs struct {
		Root string `json:"root"`
	}
	if err := json.Unmarshal(o.JSON, &vfs); err != nil {
		return fmt.Errorf("a VFS: %w", err)
	}
	if vfs.Root != "" {
		v.roots = append(v.roots, vfs.Root)
	}
	return nil
}

// copyConfig copies every plain file of the configuration folder.
func (l *List) copyConfig(from, to string) error {
	var total int64
	err := filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) && path == from {
			return nil
		}
		if err != nil || d.IsDir() {
			return err
		}
		info, err := os.Stat(path) // a link is copied as what it names
		if err != nil || !info.Mode().IsRegular() {
			return err
		}
		if total += info.Size(); total > maxConfig {
			return fmt.Errorf("%s has more than %d bytes; move what is no configuration elsewhere", from, maxConfig)
		}
		name, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		copied := filepath.Join(to, name)
		if err := os.MkdirAll(filepath.Dir(copied), 0o700); err != nil {
			return err
		}
		l.Config = append(l.Config, File{Name: filepath.ToSlash(name), SHA256: digest(content), Mode: info.Mode().Perm()})
		return writeNew(copied, content, 0o600)
	})
	return err
}

// Measure counts what lies in a folder.
func Measure(ctx context.Context, root string) (Folder, error) {
	f := Folder{Path: root}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if path == root && errors.Is(err, fs.ErrNotExist) {
			f.Missing = true
			return nil
		}
		if err = errors.Join(err, ctx.Err()); err != nil || d.IsDir() {
			return err
		}
		f.Files++
		if !d.Type().IsRegular() {
			return nil
		}
		info, err := d.Info()
		if err == nil {
			f.Bytes += info.Size()
		}
		return err
	})
	return f, err
}

// Read reads the list in a folder and compares with it what lies there.
func Read(dir string) (List, error) {
	var l List
	text, err := readSmall(filepath.Join(dir, ListName), maxList)
	if errors.Is(err, fs.ErrNotExist) {
		return l, fmt.Errorf("%w: %s has no %s; copy the whole folder that ss-setup move-out made", ErrNotWhole, dir, ListName)
	}
	if err != nil {
		return l, err
	}
	if err := json.Unmarshal(text, &l); err != nil {
		return List{}, fmt.Errorf("%w: %s: %w", ErrNotWhole, ListName, err)
	}
	if l.Format > Format {
		return List{}, fmt.Errorf("%w: version %s wrote it in format %d, this release reads up to %d; take a newer ss-setup", ErrNotWhole, l.Version, l.Format, Format)
	}
	if l.Format < 1 || l.Backup == "" {
		return List{}, fmt.Errorf("%w: %s says nothing of a backup", ErrNotWhole, ListName)
	}
	sum, err := sumOf(filepath.Join(dir, BackupName))
	if err == nil && sum != l.Backup {
		err = fmt.Errorf("%s is not the one that was made; copy it again", BackupName)
	}
	if err != nil {
		return List{}, fmt.Errorf("%w: %w", ErrNotWhole, err)
	}
	for _, f := range l.Config {
		if err := f.check(dir); err != nil {
			return List{}, fmt.Errorf("%w: %w", ErrNotWhole, err)
		}
	}
	return l, nil
}

// check looks whether a copied file is the one that the list tells of.
func (f File) check(dir string) error {
	if !filepath.IsLocal(filepath.FromSlash(f.Name)) {
		return fmt.Errorf("a configuration file is named %.80q", f.Name)
	}
	content, err := readSmall(f.In(dir), maxConfig)
	if err == nil && digest(content) != f.SHA256 {
		err = fmt.Errorf("%s/%s is not the one that was copied; copy it again", configName, f.Name)
	}
	return err
}

// In is where the file lies in the folder dir.
func (f File) In(dir string) string {
	return filepath.Join(dir, configName, filepath.FromSlash(f.Name))
}

// Lacking says, a line for each folder, what of the files of users is not on this machine.
func (l List) Lacking(ctx context.Context) ([]string, error) {
	var out []string
	for _, was := range l.Folders {
		if was.Missing {
			continue
		}
		now, err := Measure(ctx, was.Path)
		if err != nil {
			return nil, fmt.Errorf("look at the files of users: %w", err)
		}
		switch {
		case now.Missing:
			out = append(out, fmt.Sprintf("%s is not here (%s)", was.Path, was.size()))
		case now.Files < was.Files || now.Bytes < was.Bytes:
			out = append(out, fmt.Sprintf("%s has %s, and had %s", was.Path, now.size(), was.size()))
		}
	}
	return out, nil
}

func (f Folder) size() string { return fmt.Sprintf("%d files, %d bytes", f.Files, f.Bytes) }

// Differing says which kinds of objects another count has not in the same number.
func (l List) Differing(objects map[string]int) []string {
	var out []string
	for kind, n := range l.Objects {
		if objects[kind] < n {
			out = append(out, fmt.Sprintf("%d of %d objects of kind %s", objects[kind], n, kind))
		}
	}
	slices.Sort(out)
	return out
}

func digest(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

func sumOf(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

func readSmall(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(text)) > limit {
		err = fmt.Errorf("%s has more than %d bytes", path, limit)
	}
	return text, err
}

// writeNew writes a new file that is on the disk when it returns.
func writeNew(path string, content []byte, mode fs.FileMode) (err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if _, err := f.Write(content); err != nil {
		return err
	}
	return f.Sync()
}
