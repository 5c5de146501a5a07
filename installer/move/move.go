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
)

// Format is the version of the list that this release writes, and the newest it reads.
const Format = 1

// The names in the folder.
const (
	ListName   = "move.json"
	BackupName = "backup.zip"
	configName = "config"
)

// maxList bounds what is read from a folder that somebody else may have touched.
const maxList = 8 << 20

// ErrNotWhole: the folder does not hold a server that moves, or not all of it.
var ErrNotWhole = errors.New("it is not the whole folder of a server that moves")

// ErrInside: the folder lies where users, or the server, put their files.
var ErrInside = errors.New("it is no place for what moves")

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
	// LeftOut are things in the configuration folder that did not come along, each with
	// the reason.
	LeftOut []string `json:"left_out,omitempty"`
	Folders []Folder `json:"folders"`
	// Bindings are the places with an address of their own where sites are served.
	Bindings []Binding `json:"bindings,omitempty"`
}

// Old is what only the old machine knows of itself.
type Old struct {
	Host      string
	Version   string
	Addresses []string
	// Config is its configuration folder.
	Config string
	// Owner tells whose a file is, by the names that File has for that.
	Owner func(fs.FileInfo) (owner, group string)
	Now   time.Time
}

// Pack completes the folder dir, in which the backup lies: it copies the configuration,
// looks what files of users there are, and writes the list, all of it synced. A folder
// that users reach is refused.
func Pack(ctx context.Context, dir string, old Old) (List, error) {
	l := List{
		Format: Format, Made: old.Now.UTC(), Host: old.Host, OS: runtime.GOOS, Version: old.Version, Addresses: old.Addresses,
		Config: []File{}, Folders: []Folder{},
	}
	file := filepath.Join(dir, BackupName)
	inside, err := Look(ctx, file)
	if err != nil {
		return List{}, err
	}
	if err := Apart(dir, inside.Roots...); err != nil {
		return List{}, err
	}
	l.Node, l.Objects, l.Bindings = inside.Node, inside.Objects, inside.Bindings
	if l.Backup, err = sumOf(file); err != nil {
		return List{}, err
	}
	if err := l.copyConfig(old, filepath.Join(dir, configName)); err != nil {
		return List{}, fmt.Errorf("copy the configuration: %w", err)
	}
	for _, root := range inside.Roots {
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
