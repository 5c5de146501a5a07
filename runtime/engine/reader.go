package engine

import (
	"bytes"
	"fmt"
	"iter"

	"go.etcd.io/bbolt"

	"ss-setup/runtime/model"
	"ss-setup/runtime/store"
)

// Reader reads the objects of one moment. It is valid only inside the function that it
// was handed to; objects that it gave stay valid.
type Reader struct {
	tx     *bbolt.Tx
	index  *index
	engine *Engine
}

// Seq is the number of the last change before the moment.
func (r *Reader) Seq() uint64 { return seqOf(r.tx) }

// Get is the object of a key: *NotFoundError if there is none.
func (r *Reader) Get(key model.Key) (model.Object, error) {
	o, err := r.get(key)
	if err != nil {
		return nil, err
	}
	if o == nil {
		return nil, &NotFoundError{key}
	}
	return o, nil
}

// Has tells whether there is an object of a key.
func (r *Reader) Has(key model.Key) bool {
	b, err := bucket(r.tx, objectsBucket, key.Kind)
	return err == nil && b.Get(rowKey(key)) != nil
}

func (r *Reader) get(key model.Key) (model.Object, error) {
	o := key.Kind.New()
	if o == nil {
		return nil, fmt.Errorf("this release knows no kind %q", key.Kind)
	}
	b, err := bucket(r.tx, objectsBucket, key.Kind)
	if err != nil {
		return nil, err
	}
	row := rowKey(key)
	record := b.Get(row)
	if record == nil {
		return nil, nil
	}
	if err := decode(row, record, o); err != nil {
		return nil, err
	}
	return o, nil
}

// All gives the objects of a kind, of all sites, one after another: those of a site
// follow each other in the order of their IDs. It holds one object at a time.
func (r *Reader) All(kind model.Kind) iter.Seq2[model.Object, error] {
	return r.walk(kind, nil)
}

// InSite gives the objects of a kind in one site.
func (r *Reader) InSite(kind model.Kind, site string) iter.Seq2[model.Object, error] {
	return r.walk(kind, append([]byte(site), 0))
}

func (r *Reader) walk(kind model.Kind, prefix []byte) iter.Seq2[model.Object, error] {
	return func(yield func(model.Object, error) bool) {
		b, err := bucket(r.tx, objectsBucket, kind)
		if err != nil {
			yield(nil, err)
			return
		}
		c := b.Cursor()
		for row, record := c.Seek(prefix); row != nil && bytes.HasPrefix(row, prefix); row, record = c.Next() {
			o := kind.New()
			if err := decode(row, record, o); err != nil {
				yield(nil, err)
				return
			}
			if !yield(o, nil) {
				return
			}
		}
	}
}

// Changes gives what changed after the change of the number since, of each object the
// last change only, in the order of their numbers; without the objects. ErrTooOld says
// that the log does not reach back so far.
func (r *Reader) Changes(since uint64) iter.Seq2[Change, error] {
	return func(yield func(Change, error) bool) {
		if horizon := counter(r.tx, horizonCounter); since < horizon {
			yield(Change{}, fmt.Errorf("%w: they begin after number %d", ErrTooOld, horizon))
			return
		}
		b := r.tx.Bucket(changesBucket)
		if b == nil {
			yield(Change{}, fmt.Errorf("%w: the store has no log of changes; run ss-setup install --repair", store.ErrCorrupt))
			return
		}
		c := b.Cursor()
		for row, record := c.Seek(number(since + 1)); row != nil; row, record = c.Next() {
			change, err := changeOf(row, record)
			if !yield(change, err) || err != nil {
				return
			}
		}
	}
}

// Collection is the objects of one kind, in their own type.
type Collection[T any, P interface {
	*T
	model.Object
}] struct{ Kind model.Kind }

// The collections.
var (
	Nodes        = Collection[model.Node, *model.Node]{model.KindNode}
	SuperAdmins  = Collection[model.SuperAdmin, *model.SuperAdmin]{model.KindSuperAdmin}
	Admins       = Collection[model.Admin, *model.Admin]{model.KindAdmin}
	Tokens       = Collection[model.Token, *model.Token]{model.KindToken}
	Sites        = Collection[model.Site, *model.Site]{model.KindSite}
	Bindings     = Collection[model.Binding, *model.Binding]{model.KindBinding}
	Groups       = Collection[model.Group, *model.Group]{model.KindGroup}
	Users        = Collection[model.User, *model.User]{model.KindUser}
	VFSs         = Collection[model.VFS, *model.VFS]{model.KindVFS}
	LDAPProfiles = Collection[model.LDAPProfile, *model.LDAPProfile]{model.KindLDAP}
	HostKeys     = Collection[model.HostKey, *model.HostKey]{model.KindHostKey}
	Certificates = Collection[model.Certificate, *model.Certificate]{model.KindCertificate}
	Entries      = Collection[model.Entry, *model.Entry]{model.KindEntry}
	LegacyItems  = Collection[model.Legacy, *model.Legacy]{model.KindLegacy}
	AllSettings  = Collection[model.Settings, *model.Settings]{model.KindSettings}
)

// Get is the object of a name as anybody may write it: *NotFoundError if there is none.
// site is empty for kinds that belong to none.
func (c Collection[T, P]) Get(r *Reader, site, name string) (P, error) {
	o, err := r.Get(model.Key{Kind: c.Kind, Site: site, ID: model.Fold(name)})
	if err != nil {
		return nil, err
	}
	return o.(P), nil
}

// All gives the objects of all sites.
func (c Collection[T, P]) All(r *Reader) iter.Seq2[P, error] { return typed[P](r.All(c.Kind)) }

// InSite gives the objects of one site.
func (c Collection[T, P]) InSite(r *Reader, site string) iter.Seq2[P, error] {
	return typed[P](r.InSite(c.Kind, site))
}

func typed[P model.Object](objects iter.Seq2[model.Object, error]) iter.Seq2[P, error] {
	return func(yield func(P, error) bool) {
		for o, err := range objects {
			p, _ := o.(P)
			if !yield(p, err) {
				return
			}
		}
	}
}

// CurrentSettings are the settings, the defaults if none were ever kept.
func CurrentSettings(r *Reader) (*model.Settings, error) {
	o, err := r.get(model.SettingsKey())
	if err != nil || o == nil {
		s := &model.Settings{}
		s.Normalize()
		return s, err
	}
	return o.(*model.Settings), nil
}
