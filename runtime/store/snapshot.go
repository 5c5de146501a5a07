package store

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"
	"go.etcd.io/bbolt"

	"ss-setup/runtime/durable"
)

// KeptSnapshots is how many automatic snapshots are kept.
const KeptSnapshots = 7

// Why a snapshot was made.
const (
	SnapshotDaily  = "daily"
	SnapshotUpdate = "update"
	SnapshotManual = "manual"
	// SnapshotRestore is of a store that a backup took the place of.
	SnapshotRestore = "restore"
)

// ErrNoSnapshot: there is no snapshot that a store could be restored from.
var ErrNoSnapshot = errors.New("no usable snapshot")

// Snapshots are copies of a store, made while it is in use, in a folder outside the
// generations. Each is the database compressed with zstd, and its name says what it is:
// STORE-20261122T081500Z-schema1-daily.db.zst. What is cut leaves only a name that ends
// in .part, which the next one takes away.
type Snapshots struct {
	Dir    string
	Schema Schema
	Now    func() time.Time
}

// Snapshot is one copy.
type Snapshot struct {
	Path   string    `json:"path"`
	Made   time.Time `json:"made"`
	Schema int       `json:"schema"`
	Reason string    `json:"reason"`
	Size   int64     `json:"size"`
}

const (
	snapshotTime   = "20060102T150405Z"
	snapshotSuffix = ".db.zst"
	partSuffix     = ".part"
)

// base is the store's name without its extension.
func (s Snapshots) base() string {
	return strings.TrimSuffix(s.Schema.File, filepath.Ext(s.Schema.File))
}

// Take makes a snapshot of an open store, reads the copy once over, and lets go of
// snapshots beyond KeptSnapshots, the oldest first. reason is a word.
func (s Snapshots) Take(st *Store, reason string) (Snapshot, error) {
	if reason == "" || strings.Trim(reason, "abcdefghijklmnopqrstuvwxyz") != "" {
		return Snapshot{}, fmt.Errorf("take a snapshot: %q is not a word that names the reason", reason)
	}
	if err := s.clean(); err != nil {
		return Snapshot{}, err
	}
	snap := Snapshot{Made: s.Now().UTC().Truncate(time.Second), Schema: st.Schema(), Reason: reason}
	snap.Path = filepath.Join(s.Dir, fmt.Sprintf("%s-%s-schema%d-%s%s", s.base(), snap.Made.Format(snapshotTime), snap.Schema, reason, snapshotSuffix))
	if _, err := os.Stat(snap.Path); err == nil {
		return s.describe(filepath.Base(snap.Path))
	}
	if err := s.copy(st, snap.Path); err != nil {
		return Snapshot{}, fmt.Errorf("take a snapshot of %s: %w", st.Path(), err)
	}
	if err := s.prune(snap.Path); err != nil {
		return Snapshot{}, err
	}
	return s.describe(filepath.Base(snap.Path))
}

// copy writes the plain copy, checks it, and compresses it.
func (s Snapshots) copy(st *Store, path string) (err error) {
	plain := path + ".plain" + partSuffix
	defer func() { err = errors.Join(err, removeIfThere(plain)) }()
	err = st.View(func(tx *bbolt.Tx) error { return tx.CopyFile(plain, 0o600) })
	if err != nil {
		return err
	}
	// What is damaged would push the last sound snapshot out.
	if err := s.sound(plain); err != nil {
		return err
	}
	part := path + partSuffix
	if err := compress(plain, part); err != nil {
		return errors.Join(err, removeIfThere(part))
	}
	if err := Adopt(s.Dir, part); err != nil {
		return err
	}
	if err := os.Rename(part, path); err != nil {
		return err
	}
	return durable.SyncDir(s.Dir)
}

// sound checks a copy that nobody else has open. What can be made anew does no harm.
func (s Snapshots) sound(path string) (err error) {
	db, err := s.Schema.openFile(path, true)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if _, err = s.Schema.checkDB(db); errors.Is(err, ErrInconsistent) {
		return nil
	}
	return err
}

func compress(from, to string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	// One core is enough: the server goes on serving beside it.
	z, err := zstd.NewWriter(out, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderCRC(true))
	if err != nil {
		return err
	}
	if _, err := io.Copy(z, in); err != nil {
		return errors.Join(err, z.Close())
	}
	return errors.Join(z.Close(), out.Sync())
}

// maxStore bounds what a snapshot may unfold to.
const maxStore = 64 << 30

func decompress(from, to string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	z, err := zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(64<<20), zstd.WithDecoderMaxWindow(32<<20))
	if err != nil {
		return err
	}
	defer z.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	n, err := io.Copy(out, io.LimitReader(z, maxStore))
	if err == nil && n == maxStore {
		err = fmt.Errorf("it unfolds to more than %d bytes", int64(maxStore))
	}
	return errors.Join(err, out.Sync())
}

// aheadBy is how far a clock may be ahead without anybody noticing.
const aheadBy = time.Hour

// ahead tells that the clock was wrong when the snapshot was made: nobody knows how old
// it is.
func (s Snapshots) ahead(snap Snapshot) bool { return snap.Made.After(s.Now().Add(aheadBy)) }

// List is the snapshots there are, the newest first. Those of a time that is yet to come
// are last.
func (s Snapshots) List() ([]Snapshot, error) {
	entries, err := os.ReadDir(s.Dir)
	if err != nil {
		return nil, fmt.Errorf("list the snapshots: %w", err)
	}
	var out []Snapshot
	for _, e := range entries {
		if snap, err := s.describe(e.Name()); err == nil {
			out = append(out, snap)
		}
	}
	slices.SortFunc(out, func(a, b Snapshot) int {
		if one, two := s.ahead(a), s.ahead(b); one != two {
			if one {
				return 1
			}
			return -1
		}
		return cmp.Or(b.Made.Compare(a.Made), strings.Compare(b.Path, a.Path))
	})
	return out, nil
}

// describe reads the name of a snapshot.
func (s Snapshots) describe(name string) (Snapshot, error) {
	stem, ok := strings.CutSuffix(name, snapshotSuffix)
	stem, mine := strings.CutPrefix(stem, s.base()+"-")
	words := strings.Split(stem, "-")
	if !ok || !mine || len(words) != 3 {
		return Snapshot{}, fmt.Errorf("%s is not a snapshot", name)
	}
	snap := Snapshot{Path: filepath.Join(s.Dir, name), Reason: words[2]}
	var err error
	if snap.Made, err = time.Parse(snapshotTime, words[0]); err != nil {
		return Snapshot{}, err
	}
	digits, ok := strings.CutPrefix(words[1], "schema")
	if snap.Schema, err = strconv.Atoi(digits); err != nil || !ok || snap.Schema < 1 {
		return Snapshot{}, fmt.Errorf("%s is not a snapshot", name)
	}
	info, err := os.Stat(snap.Path)
	if err != nil {
		return Snapshot{}, err
	}
	snap.Size = info.Size()
	return snap, nil
}

// prune lets go of the oldest, but not of the one just made: where the clock was set back
// it looks older than all others.
func (s Snapshots) prune(made string) error {
	list, err := s.List()
	if err != nil || len(list) <= KeptSnapshots {
		return err
	}
	for _, old := range list[KeptSnapshots:] {
		if old.Path == made {
			continue
		}
		if err := os.Remove(old.Path); err != nil {
			return fmt.Errorf("remove an old snapshot: %w", err)
		}
	}
	return nil
}

// clean takes away what a cut snapshot left.
func (s Snapshots) clean() error {
	left, err := filepath.Glob(filepath.Join(s.Dir, s.base()+"-*"+partSuffix))
	if err != nil {
		return err
	}
	for _, path := range left {
		if err := removeIfThere(path); err != nil {
			return fmt.Errorf("remove what a cut snapshot left: %w", err)
		}
	}
	return nil
}

// Due tells whether the daily snapshot is to be made: none is younger than the last time
// that the clock showed the hour. An installation of less than a day has none due.
func (s Snapshots) Due(hour int) (bool, error) {
	now := s.Now()
	last := time.Date(now.Year(), now.Month(), now.Day(), hour, 0, 0, 0, now.Location())
	if last.After(now) {
		last = last.AddDate(0, 0, -1)
	}
	list, err := s.List()
	if err != nil {
		return false, err
	}
	return len(list) == 0 || list[0].Made.Before(last) || s.ahead(list[0]), nil
}

func removeIfThere(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
