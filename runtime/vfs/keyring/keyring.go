// Package keyring keeps the keys that encrypted VFSs need: the node's master keys and,
// wrapped by them or by passphrases, the keys of the VFSs.
//
// The folder lies outside the generations, so that going back to an older release makes
// no file unreadable. A key is a file of its own, written and synced before anything is
// encrypted with it, never overwritten, and never removed once anything was.
package keyring

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"ss-setup/runtime/durable"
	"ss-setup/runtime/vfs/crypt"
)

// Ring is the folder of keys.
type Ring struct{ dir string }

// ErrDamaged: a file of the ring is no key, or only part of one.
var ErrDamaged = errors.New("damaged key in the key ring")

// Open takes dir as the key ring and makes it, readable for the service's account alone.
func Open(dir string) (*Ring, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the key ring: %w", err)
	}
	return &Ring{dir}, nil
}

// master is a master key in its file. docs/formats.md has it field by field.
type master struct {
	Format  string `json:"format"`
	Version int    `json:"version"`
	ID      string `json:"id"`
	Key     []byte `json:"key"`
}

const (
	masterFormat = "ss-server-master-key"
	suffix       = ".key"
)

// Masters are all master keys of the node, the newest first.
func (r *Ring) Masters() ([]crypt.Key, error) {
	names, err := filepath.Glob(filepath.Join(r.dir, "master-*"+suffix))
	if err != nil {
		return nil, err
	}
	slices.SortFunc(names, func(a, b string) int { return number(filepath.Base(b)) - number(filepath.Base(a)) })
	keys := make([]crypt.Key, 0, len(names))
	for _, name := range names {
		key, err := readMaster(name)
		if err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	return keys, nil
}

func readMaster(name string) (crypt.Key, error) {
	raw, err := os.ReadFile(name)
	if err != nil {
		return crypt.Key{}, fmt.Errorf("read a master key: %w", err)
	}
	return parseMaster(name, raw)
}

func parseMaster(name string, raw []byte) (crypt.Key, error) {
	var m master
	err := json.Unmarshal(raw, &m)
	if err == nil && (m.Format != masterFormat || m.Version != 1) {
		err = fmt.Errorf("format %q in version %d", m.Format, m.Version)
	}
	var key crypt.Key
	if err == nil {
		key, err = crypt.KeyFrom(m.ID, m.Key)
	}
	if err != nil {
		// The cause could quote the key.
		return key, fmt.Errorf("%w: %s; restore it from a backup", ErrDamaged, name)
	}
	return key, nil
}

// Master is the newest master key, made when there is none.
func (r *Ring) Master() (crypt.Key, error) {
	for {
		keys, err := r.Masters()
		if err != nil || len(keys) > 0 {
			return first(keys), err
		}
		key, err := crypt.NewKey()
		if err != nil {
			return key, err
		}
		raw, err := json.Marshal(master{masterFormat, 1, key.ID(), key.Secret()})
		if err != nil {
			return key, err
		}
		// Where another process is quicker, its key is the node's.
		if err := r.write("master-0001", raw); err != nil && !errors.Is(err, fs.ErrExist) {
			return key, err
		}
	}
}

func first(keys []crypt.Key) crypt.Key {
	if len(keys) == 0 {
		return crypt.Key{}
	}
	return keys[0]
}

// Keep stores the wrapped key of a VFS. It returns when the key is on the disk; one that
// is there already is fs.ErrExist.
func (r *Ring) Keep(w crypt.Wrapped) error {
	raw, err := w.Encode()
	if err != nil {
		return err
	}
	return r.write("vfs-"+w.ID, raw)
}

// Remove takes away the wrapped key of a VFS in which nothing was ever stored; one that is
// not there is no error.
func (r *Ring) Remove(id string) error {
	name, err := r.wrappedFile(id)
	if err != nil {
		return err
	}
	if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove the key of a VFS: %w", err)
	}
	return durable.SyncDir(r.dir)
}

func (r *Ring) wrappedFile(id string) (string, error) {
	if id == "" || strings.Trim(id, "0123456789abcdef") != "" {
		return "", fmt.Errorf("%q is no name of a key", id)
	}
	return filepath.Join(r.dir, "vfs-"+id+suffix), nil
}

// Wrapped is the wrapped key of a VFS by its ID, fs.ErrNotExist if the ring has none.
func (r *Ring) Wrapped(id string) (crypt.Wrapped, error) {
	name, err := r.wrappedFile(id)
	if err != nil {
		return crypt.Wrapped{}, err
	}
	raw, err := os.ReadFile(name)
	if err != nil {
		return crypt.Wrapped{}, fmt.Errorf("read the key of a VFS: %w", err)
	}
	return crypt.ParseWrapped(raw)
}

// write creates a file in one step: a link to what is synced already. A crash leaves a
// whole key or none.
func (r *Ring) write(name string, raw []byte) (err error) {
	temp, err := os.CreateTemp(r.dir, name+".*.part")
	if err != nil {
		return fmt.Errorf("write a key: %w", err)
	}
	defer func() { err = errors.Join(err, os.Remove(temp.Name())) }()
	_, err = temp.Write(raw)
	if err == nil {
		err = adopt(r.dir, temp)
	}
	if err := errors.Join(err, temp.Sync(), temp.Close()); err != nil {
		return fmt.Errorf("write a key: %w", err)
	}
	if err := os.Link(temp.Name(), filepath.Join(r.dir, name+suffix)); err != nil {
		return fmt.Errorf("write a key: %w", err)
	}
	return durable.SyncDir(r.dir)
}
