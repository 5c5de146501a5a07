package signing

import (
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

	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/theupdateframework/go-tuf/v2/metadata"

	"ss-setup/installer/bundle/trust"
)

// Lifetimes of metadata. Machines that are online refuse what has expired.
type Lifetimes struct {
	Root, Targets, Snapshot, Timestamp time.Duration
}

const day = 24 * time.Hour

// StandardLifetimes are short where a signature can be renewed by a timer, long where
// somebody has to open the safe.
var StandardLifetimes = Lifetimes{Root: 3 * 365 * day, Targets: 365 * day, Snapshot: 30 * day, Timestamp: 7 * day}

// Vault is the folder of keys and metadata.
type Vault struct {
	Dir       string
	Lifetimes Lifetimes
	// Now is the time that metadata are signed at.
	Now func() time.Time
}

// Open is a vault with the standard lifetimes.
func Open(dir string) *Vault {
	return &Vault{Dir: dir, Lifetimes: StandardLifetimes, Now: time.Now}
}

func (v *Vault) keysDir() string { return filepath.Join(v.Dir, "keys") }

// MetadataDir is the folder of what was signed.
func (v *Vault) MetadataDir() string { return filepath.Join(v.Dir, trust.MetadataDir) }

// RootFile is the newest root, to build ss-setup with.
func (v *Vault) RootFile() string { return filepath.Join(v.Dir, "root.json") }

// Development tells whether the keys are some developer's, which their root says.
func (v *Vault) Development() (bool, error) {
	n, err := v.rootVersion()
	if err != nil {
		return false, err
	}
	if n == 0 {
		return false, v.noKeys()
	}
	raw, err := os.ReadFile(v.file(fmt.Sprintf("%d.root.json", n)))
	if err != nil {
		return false, fmt.Errorf("read the root: %w", err)
	}
	anchor, err := trust.NewAnchor(raw)
	return err == nil && anchor.Development(), err
}

func (v *Vault) noKeys() error {
	if v.Dir == "" {
		return errors.New("no folder of keys is named; name one with --keys (make: KEYS=DIR)")
	}
	return fmt.Errorf("there are no keys in %s; make them with: ss-release keys init --keys %s", v.Dir, v.Dir)
}

// ErrThere is found in the error of Init where there are keys already.
var ErrThere = errors.New("there are keys already")

// Init makes a key for every role and signs the first metadata, of no release. With
// development the root says of itself that its keys are not to be relied on.
func (v *Vault) Init(random io.Reader, development bool) error {
	if err := os.MkdirAll(v.keysDir(), 0o700); err != nil {
		return err
	}
	unlock, err := lock(filepath.Join(v.Dir, ".lock"))
	if err != nil {
		return err
	}
	defer unlock()
	if exists(v.RootFile()) {
		return fmt.Errorf("%w: %s", ErrThere, v.RootFile())
	}
	if exists(v.file("timestamp.json")) {
		// All was signed, and the root taken away, or an init cut before its last word.
		s, err := v.load()
		if err != nil {
			return err
		}
		return errors.Join(fmt.Errorf("%w: %s", ErrThere, v.keysDir()), v.publishRoot(s))
	}
	if err := os.MkdirAll(v.MetadataDir(), 0o755); err != nil {
		return err
	}
	s := v.first()
	if development {
		trust.MarkDevelopment(&s.root.Signed)
	}
	for _, role := range Roles {
		key, err := v.newKey(role, random)
		if err != nil {
			return err
		}
		if err := s.root.Signed.AddKey(key, role); err != nil {
			return err
		}
	}
	if err := v.signRoot(s, nil); err != nil {
		return err
	}
	if err := v.save(s, all); err != nil {
		return err
	}
	return v.publishRoot(s)
}

// state is the metadata in force.
type state struct {
	root      *metadata.Metadata[metadata.RootType]
	targets   *metadata.Metadata[metadata.TargetsType]
	snapshot  *metadata.Metadata[metadata.SnapshotType]
	timestamp *metadata.Metadata[metadata.TimestampType]
}

func (v *Vault) first() *state {
	now := v.now()
	return &state{
		root:      metadata.Root(now.Add(v.Lifetimes.Root)),
		targets:   metadata.Targets(now.Add(v.Lifetimes.Targets)),
		snapshot:  metadata.Snapshot(now.Add(v.Lifetimes.Snapshot)),
		timestamp: metadata.Timestamp(now.Add(v.Lifetimes.Timestamp)),
	}
}

// now is in whole seconds, as TUF writes times.
func (v *Vault) now() time.Time { return v.Now().UTC().Truncate(time.Second) }

// load reads the metadata in force.
func (v *Vault) load() (*state, error) {
	s := &state{}
	n, err := v.rootVersion()
	if err != nil {
		return nil, err
	}
	if n == 0 {
		return nil, v.noKeys()
	}
	if s.root, err = metadata.Root().FromFile(v.file(fmt.Sprintf("%d.root.json", n))); err != nil {
		return nil, fmt.Errorf("read the root: %w", err)
	}
	if s.timestamp, err = metadata.Timestamp().FromFile(v.file("timestamp.json")); err != nil {
		return nil, fmt.Errorf("read the timestamp: %w", err)
	}
	snapshot := s.timestamp.Signed.Meta["snapshot.json"].Version
	if s.snapshot, err = metadata.Snapshot().FromFile(v.file(fmt.Sprintf("%d.snapshot.json", snapshot))); err != nil {
		return nil, fmt.Errorf("read the snapshot: %w", err)
	}
	targets := s.snapshot.Signed.Meta["targets.json"].Version
	if s.targets, err = metadata.Targets().FromFile(v.file(fmt.Sprintf("%d.targets.json", targets))); err != nil {
		return nil, fmt.Errorf("read the targets: %w", err)
	}
	return s, nil
}

func (v *Vault) file(name string) string { return filepath.Join(v.MetadataDir(), name) }

// rootVersion is the number of the newest root, 0 when there is none.
func (v *Vault) rootVersion() (int, error) {
	entries, err := os.ReadDir(v.MetadataDir())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return 0, err
	}
	newest := 0
	for _, e := range entries {
		number, isRoot := strings.CutSuffix(e.Name(), ".root.json")
		if n, err := strconv.Atoi(number); isRoot && err == nil {
			newest = max(newest, n)
		}
	}
	return newest, nil
}

// part says what is to be signed anew.
type part int

const (
	timestampOnly part = iota
	snapshotToo
	all
)

// save signs and writes what has changed, the timestamp last.
func (v *Vault) save(s *state, what part) error {
	now := v.now()
	if what >= all {
		s.targets.Signed.Expires = now.Add(v.Lifetimes.Targets)
		name := fmt.Sprintf("%d.targets.json", s.targets.Signed.Version)
		size, err := signInto(v, s.root, metadata.TARGETS, s.targets, name)
		if err != nil {
			return err
		}
		s.snapshot.Signed.Meta["targets.json"] = size.of(s.targets.Signed.Version)
	}
	if what >= snapshotToo {
		s.snapshot.Signed.Expires = now.Add(v.Lifetimes.Snapshot)
		name := fmt.Sprintf("%d.snapshot.json", s.snapshot.Signed.Version)
		size, err := signInto(v, s.root, metadata.SNAPSHOT, s.snapshot, name)
		if err != nil {
			return err
		}
		s.timestamp.Signed.Meta["snapshot.json"] = size.of(s.snapshot.Signed.Version)
	}
	s.timestamp.Signed.Expires = now.Add(v.Lifetimes.Timestamp)
	_, err := signInto(v, s.root, metadata.TIMESTAMP, s.timestamp, "timestamp.json")
	return err
}

// raise gives a new version to whatever is to be signed anew.
func (s *state) raise(what part) {
	if what >= all {
		s.targets.Signed.Version++
	}
	if what >= snapshotToo {
		s.snapshot.Signed.Version++
	}
	s.timestamp.Signed.Version++
}

// signed is the file that was written.
type signed []byte

// of describes the file as a snapshot or timestamp does.
func (s signed) of(version int64) *metadata.MetaFiles {
	f := metadata.MetaFile(version)
	f.Length = int64(len(s))
	f.Hashes = metadata.Hashes{"sha256": sha256Of(s)}
	return f
}

func signInto[T metadata.Roles](v *Vault, root *metadata.Metadata[metadata.RootType], role string, m *metadata.Metadata[T], name string) (signed, error) {
	signers, err := v.signers(&root.Signed, role)
	if err != nil {
		return nil, err
	}
	text, err := sign(m, signers)
	if err != nil {
		return nil, fmt.Errorf("sign the %s metadata: %w", role, err)
	}
	return text, writeFile(v.file(name), text)
}

func sign[T metadata.Roles](m *metadata.Metadata[T], signers []signature.Signer) ([]byte, error) {
	m.ClearSignatures()
	for _, s := range signers {
		if _, err := m.Sign(s); err != nil {
			return nil, err
		}
	}
	return m.ToBytes(true)
}

// signRoot signs the root with the keys that it names and with those of the root
// before, which makes clients of that one follow.
func (v *Vault) signRoot(s *state, before *metadata.RootType) error {
	signers, err := v.signers(&s.root.Signed, metadata.ROOT)
	if err != nil {
		return err
	}
	if before != nil {
		old, err := v.signers(before, metadata.ROOT)
		if err != nil {
			return err
		}
		signers = distinct(append(signers, old...))
	}
	text, err := sign(s.root, signers)
	if err != nil {
		return fmt.Errorf("sign the root: %w", err)
	}
	return writeFile(v.file(fmt.Sprintf("%d.root.json", s.root.Signed.Version)), text)
}

func distinct(signers []signature.Signer) []signature.Signer {
	var ids []string
	return slices.DeleteFunc(signers, func(s signature.Signer) bool {
		public, err := s.PublicKey()
		if err != nil {
			return false
		}
		key, err := metadata.KeyFromPublicKey(public)
		if err != nil {
			return false
		}
		id, err := key.ID()
		seen := err == nil && slices.Contains(ids, id)
		ids = append(ids, id)
		return seen
	})
}

// publishRoot puts the newest root where builds find it.
func (v *Vault) publishRoot(s *state) error {
	text, err := os.ReadFile(v.file(fmt.Sprintf("%d.root.json", s.root.Signed.Version)))
	if err != nil {
		return err
	}
	return writeFile(v.RootFile(), text)
}

// WriteFile writes a file of a repository that is being served: whole or not at all.
func WriteFile(name string, text []byte) error { return writeFile(name, text) }

// writeFile makes name whole or not at all.
func writeFile(name string, text []byte) error {
	return place(name, func(w io.Writer) error {
		_, err := w.Write(text)
		return err
	})
}

// place makes a file whole or not at all.
func place(name string, write func(io.Writer) error) error {
	f, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	err = write(f)
	if err := errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), name)
}
