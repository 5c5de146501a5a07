// Package node makes backups of a whole node, and puts one in force: the objects with
// their sealed secrets, the key ring that opens them and the encrypted VFSs, and the
// certificates that an authority gave.
//
// A backup is the view of one moment, taken while the server runs or not. Restoring is
// all or nothing: a new store is built and checked in a folder of its own, and comes into
// force by one rename; the store of before stays as a snapshot. Keys are only ever added.
// Both ways memory does not grow with the number of users.
package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"time"

	"ss-setup/runtime/backup"
	"ss-setup/runtime/daemon"
	"ss-setup/runtime/engine"
	"ss-setup/runtime/model"
	"ss-setup/runtime/store"
	"ss-setup/runtime/vfs/keyring"
)

// Place is where a node keeps what a backup is of.
type Place struct {
	// Schema is that of the store.
	Schema store.Schema
	// Data is the folder of the store, State the one outside the generations.
	Data, State string
	// Version is the release's.
	Version string
	Now     func() time.Time
}

// KeyRing is the folder of the node's keys.
func (p Place) KeyRing() string { return daemon.KeyRing(p.State) }

func (p Place) acme() string { return daemon.ACME(p.State) }

func (p Place) snapshots() store.Snapshots {
	return store.Snapshots{Dir: daemon.Snapshots(p.State), Schema: p.Schema, Now: p.Now}
}

// The folders in a backup.
const (
	keyFolder  = "keyring/"
	acmeFolder = "acme/"
)

// Backup writes a backup of the objects of e, and of the files that belong to them, as of
// one moment. The store keeps its state of that moment until the end: w should not make
// it wait.
func (p Place) Backup(ctx context.Context, w io.Writer, e *engine.Engine, opt backup.WriteOptions) (s backup.Summary, err error) {
	err = e.Read(func(r *engine.Reader) error {
		header := backup.Header{Version: p.Version, Schema: p.Schema.Version(), Made: p.Now()}
		for n, err := range engine.Nodes.All(r) {
			if err != nil {
				return err
			}
			header.Node = n.Name
			break
		}
		s, err = backup.Write(ctx, w, header, source{p, r}, opt)
		return err
	})
	return s, err
}

// source is a node as of one moment. Keys are on the disk before anything needs them, so
// those that are read after the moment are enough for it.
type source struct {
	place  Place
	reader *engine.Reader
}

// Files implements backup.Source.
func (s source) Files(context.Context) iter.Seq2[backup.File, error] {
	return func(yield func(backup.File, error) bool) {
		keys, err := keyring.Files(s.place.KeyRing())
		if err != nil {
			yield(backup.File{}, err)
			return
		}
		for _, k := range keys {
			if !yield(backup.File{Name: keyFolder + k.Name, Content: k.Content}, nil) {
				return
			}
		}
		s.certificates(yield)
	}
}

// certificates are those of an authority, and the accounts that they are renewed with.
func (s source) certificates(yield func(backup.File, error) bool) {
	entries, err := os.ReadDir(s.place.acme())
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err != nil {
		yield(backup.File{}, fmt.Errorf("list the certificates: %w", err))
		return
	}
	for _, e := range entries {
		if !isCertificate(e.Name()) || !e.Type().IsRegular() {
			continue
		}
		content, err := os.ReadFile(filepath.Join(s.place.acme(), e.Name()))
		if !yield(backup.File{Name: acmeFolder + e.Name(), Content: content}, err) || err != nil {
			return
		}
	}
}

// isCertificate tells files of the ACME folder from what a cut left there.
func isCertificate(name string) bool {
	return strings.HasPrefix(name, "account-") && strings.HasSuffix(name, ".key") ||
		strings.HasPrefix(name, "cert-") && strings.HasSuffix(name, ".pem")
}

// Objects implements backup.Source.
func (s source) Objects(context.Context) iter.Seq2[backup.Object, error] {
	return func(yield func(backup.Object, error) bool) {
		for _, kind := range model.Kinds() {
			for o, err := range s.reader.All(kind) {
				var text []byte
				if err == nil {
					text, err = json.Marshal(o)
				}
				if err != nil {
					yield(backup.Object{}, fmt.Errorf("read the objects of kind %s: %w", kind, err))
					return
				}
				if !yield(backup.Object{Kind: string(kind), JSON: text}, nil) {
					return
				}
			}
		}
	}
}
