package setup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"ss-setup/runtime/engine"
	"ss-setup/runtime/hostkey"
	"ss-setup/runtime/model"
	"ss-setup/runtime/setup/answers"
	"ss-setup/runtime/vfs"
)

// ErrDone: the node has a SuperAdmin, and is set up by nobody any more.
var ErrDone = errors.New("this node is set up already")

// by is who the first objects are written by.
const by = "setup"

// First is the first set-up of a node. It must run in the server: what the server's
// account may do with ports and folders is tried.
type First struct {
	Engine *engine.Engine
	// MakeVFS makes the folder of a VFS that is about to be created, and the key of an
	// encrypted one.
	MakeVFS func(*model.VFS) error
	// UnmakeVFS takes back what MakeVFS has made in the folder, with the key.
	UnmakeVFS func(*model.VFS) error
	Random    io.Reader
	Now       func() time.Time
}

// Made is what a set-up has made.
type Made struct {
	Node       string `json:"node"`
	SuperAdmin string `json:"superadmin"`
	// The rest is there with a first site. OtherPort tells that Port is another than the
	// usual one, since that is taken.
	Site      string        `json:"site,omitempty"`
	Address   string        `json:"address,omitempty"`
	Port      int           `json:"port,omitempty"`
	OtherPort bool          `json:"other_port,omitempty"`
	Folder    string        `json:"folder,omitempty"`
	User      string        `json:"user,omitempty"`
	HostKeys  []Fingerprint `json:"host_keys,omitempty"`
}

// Fingerprint is what a client shows of a host key.
type Fingerprint struct {
	Algorithm string `json:"algorithm"`
	SHA256    string `json:"sha256"`
}

// Do makes everything that the answers say, all of it or nothing. Passwords should be
// hashes by now; those that are not become some. Answers that cannot be taken are
// answers.ErrInvalid, a node that is set up ErrDone.
func (f First) Do(ctx context.Context, a *answers.Answers) (m Made, err error) {
	err = f.Engine.Read(func(r *engine.Reader) error { return f.notDone(r) })
	if err != nil {
		return m, err
	}
	a.Complete()
	if wrong := a.Check(); len(wrong) > 0 {
		return m, fmt.Errorf("%w: %s", answers.ErrInvalid, wrong[0])
	}
	if err := a.Hash(ctx); err != nil {
		return m, err
	}
	if a.NodeID == "" {
		if a.NodeID, err = answers.NewNodeID(f.Random); err != nil {
			return m, err
		}
	}
	m = Made{Node: a.NodeID, SuperAdmin: a.SuperAdmin.Name}
	var keyID string
	var keys []model.Object
	if s := a.FirstSite; s != nil {
		if m.OtherPort, err = choosePort(ctx, a); err != nil {
			return m, err
		}
		if keys, err = m.hostKeys(s); err != nil {
			return m, err
		}
		var unmake func() error
		if keyID, unmake, err = f.storage(s); err != nil {
			return m, err
		}
		defer func() {
			// Where another set-up was quicker, the folder may be the one that it made.
			if err != nil && !errors.Is(err, ErrDone) {
				err = errors.Join(err, unmake())
			}
		}()
		m.Site, m.Address, m.Port, m.Folder = s.Name, s.Address, a.SFTPPort, s.Folder
		if s.User != nil {
			m.User = s.User.Name
		}
	}
	return m, f.write(ctx, append(a.Objects(keyID, f.Now()), keys...))
}

func (f First) notDone(r *engine.Reader) error {
	for s, err := range engine.SuperAdmins.All(r) {
		if err != nil {
			return err
		}
		return fmt.Errorf("%w: its SuperAdmin is %s", ErrDone, s.Name)
	}
	return nil
}

// write makes the objects in one transaction.
func (f First) write(ctx context.Context, objects []model.Object) error {
	_, err := f.Engine.Write(ctx, by, func(tx *engine.Tx) error {
		if err := f.notDone(tx.Reader); err != nil {
			return err
		}
		for _, o := range objects {
			if err := tx.Create(o); err != nil {
				return err
			}
		}
		return nil
	})
	var invalid *model.InvalidError
	if errors.As(err, &invalid) && len(invalid.Errors) > 0 {
		first := invalid.Errors[0]
		if field := answers.FieldOf(invalid.Key.Kind, first.Field); field != "" {
			first.Field = field
		}
		return fmt.Errorf("%w: %s", answers.ErrInvalid, first)
	}
	return err
}

// choosePort tries where the site is to listen; without a wish it is the usual port, or
// another where that is taken.
func choosePort(ctx context.Context, a *answers.Answers) (other bool, err error) {
	// Port 0 is any that is free: what fails there is the address.
	if err := free(ctx, a.FirstSite.Address, 0); err != nil {
		return false, fmt.Errorf("%w: first_site.address: the server cannot listen there: %w; give an address of this machine, or none for all of them", answers.ErrInvalid, err)
	}
	if a.SFTPPort != 0 {
		if err := free(ctx, a.FirstSite.Address, a.SFTPPort); err != nil {
			return false, fmt.Errorf("%w: sftp_port: the server cannot listen there: %w; choose another port, or stop the program that has this one", answers.ErrInvalid, err)
		}
		return false, nil
	}
	for _, port := range []int{answers.DefaultPort, answers.OtherPort} {
		if err = free(ctx, a.FirstSite.Address, port); err == nil {
			a.SFTPPort = port
			return port != answers.DefaultPort, nil
		}
	}
	return false, fmt.Errorf("%w: sftp_port: the server can listen on neither %d nor %d: %w; name a port", answers.ErrInvalid, answers.DefaultPort, answers.OtherPort, err)
}

func free(ctx context.Context, address string, port int) error {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", net.JoinHostPort(address, strconv.Itoa(port)))
	if err != nil {
		return err
	}
	return l.Close()
}

// hostKeys makes the keys that the site proves itself with, and notes their fingerprints.
func (m *Made) hostKeys(s *answers.Site) (objects []model.Object, err error) {
	for _, name := range s.HostKeys {
		key, err := hostkey.Generate(answers.HostKeyAlgorithms[name])
		if err != nil {
			return nil, err
		}
		private, err := key.PEM()
		if err != nil {
			return nil, err
		}
		m.HostKeys = append(m.HostKeys, Fingerprint{key.Algorithm(), key.SHA256()})
		objects = append(objects, &model.HostKey{
			Head: model.Head{Name: name}, Site: s.Name, Public: key.Line(), Private: model.Secret{Clear: private},
		})
	}
	return objects, nil
}

// storage makes the folder of the site's files. unmake takes away what was made. Nothing of
// a VFS that was there before goes.
func (f First) storage(s *answers.Site) (keyID string, unmake func() error, err error) {
	v := &model.VFS{Head: model.Head{Name: answers.VFSName}, Site: s.Name, Root: s.Folder, Type: model.VFSDisk}
	if s.Encrypted {
		v.Type = model.VFSEncrypted
	}
	_, err = os.Lstat(s.Folder)
	made := errors.Is(err, fs.ErrNotExist)
	_, err = os.Lstat(filepath.Join(s.Folder, vfs.Private))
	empty := errors.Is(err, fs.ErrNotExist)
	unmake = func() error {
		if empty {
			if err := f.UnmakeVFS(v); err != nil {
				return err
			}
		}
		if !made {
			return nil
		}
		return os.Remove(s.Folder)
	}
	if err = f.MakeVFS(v); err != nil {
		if made {
			_ = os.Remove(s.Folder)
		}
		return "", nil, fmt.Errorf("%w: first_site.folder: %w", answers.ErrInvalid, err)
	}
	return v.KeyID, unmake, nil
}
