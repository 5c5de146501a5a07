package signing

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"
	"golang.org/x/mod/semver"

	"ss-setup/installer/bundle"
	"ss-setup/installer/bundle/trust"
)

func sha256Of(data []byte) metadata.HexBytes {
	sum := sha256.Sum256(data)
	return sum[:]
}

// Publication is a release for one target that is to be signed.
type Publication struct {
	// Dir is the folder of its bundle.
	Dir  string
	Info trust.ReleaseInfo
	// Patches are files that make this release out of earlier ones.
	Patches []PatchFile
}

// PatchFile is a patch on its way into the repository.
type PatchFile struct {
	File string
	Info trust.PatchInfo
}

// Publish signs releases beside those that were published before. What is published
// already in the same form is not signed again, so that building twice gives the same
// bytes; only a timestamp or snapshot that is past half its life is renewed. keep,
// when not 0, is how many releases of a platform stay listed; the oldest go.
func (v *Vault) Publish(publications []Publication, keep int) error {
	return v.change(func(s *state) (part, error) {
		before, err := json.Marshal(s.targets.Signed.Targets)
		if err != nil {
			return 0, err
		}
		for _, p := range publications {
			if err := s.add(p, keep, v.now()); err != nil {
				return 0, err
			}
		}
		after, err := json.Marshal(s.targets.Signed.Targets)
		if err != nil {
			return 0, err
		}
		if string(before) != string(after) {
			return all, nil
		}
		return v.due(s), nil
	})
}

// nothing is to be signed.
const nothing part = -1

// due is what is past half of its life.
func (v *Vault) due(s *state) part {
	half := func(expires time.Time, life time.Duration) bool { return expires.Sub(v.now()) < life/2 }
	switch {
	case half(s.targets.Signed.Expires, v.Lifetimes.Targets):
		return all
	case half(s.snapshot.Signed.Expires, v.Lifetimes.Snapshot):
		return snapshotToo
	case half(s.timestamp.Signed.Expires, v.Lifetimes.Timestamp):
		return timestampOnly
	}
	return nothing
}

// Refresh signs timestamp and snapshot anew, so that machines go on trusting what is
// published. It needs their keys only.
func (v *Vault) Refresh() error {
	return v.change(func(*state) (part, error) { return snapshotToo, nil })
}

// change signs what edit says that it has changed.
func (v *Vault) change(edit func(*state) (part, error)) error {
	if !exists(v.MetadataDir()) {
		return v.noKeys()
	}
	unlock, err := lock(filepath.Join(v.Dir, ".lock"))
	if err != nil {
		return err
	}
	defer unlock()
	s, err := v.load()
	if err != nil {
		return err
	}
	what, err := edit(s)
	if err != nil {
		return err
	}
	if what = max(what, s.unsigned()); what == nothing {
		return nil
	}
	s.raise(what)
	return v.save(s, what)
}

// unsigned is what the root in force does not accept: a rotation that was cut has
// left it behind.
func (s *state) unsigned() part {
	switch {
	case s.root.VerifyDelegate(metadata.TARGETS, s.targets) != nil:
		return all
	case s.root.VerifyDelegate(metadata.SNAPSHOT, s.snapshot) != nil:
		return snapshotToo
	case s.root.VerifyDelegate(metadata.TIMESTAMP, s.timestamp) != nil:
		return timestampOnly
	}
	return nothing
}

// add lists the files of a release among the targets.
func (s *state) add(p Publication, keep int, now time.Time) error {
	raw, err := os.ReadFile(filepath.Join(p.Dir, bundle.ManifestName))
	if err != nil {
		return err
	}
	m, err := bundle.Parse(raw)
	if err != nil {
		return fmt.Errorf("publish %s: %w", p.Dir, err)
	}
	dir := trust.ReleaseDir(m.Version, m.OS, m.Arch, bundle.Digest(raw))
	targets := s.targets.Signed.Targets
	info := p.Info
	if old := targets[path.Join(dir, bundle.ManifestName)]; old != nil && info.Released.IsZero() {
		info = keptInfo(old, info)
	}
	if info.Released.IsZero() {
		info.Released = now
	}
	info.Released = info.Released.UTC()
	custom, err := json.Marshal(info)
	if err != nil {
		return err
	}
	for name, b := range map[string]bundle.Blob{
		bundle.ManifestName:   {Size: int64(len(raw)), SHA256: bundle.Digest(raw)},
		bundle.PayloadName:    m.Payload,
		trust.SetupName(m.OS): m.Setup,
	} {
		if err := provesFile(filepath.Join(p.Dir, name), b); err != nil {
			return err
		}
		f, err := targetFile(b)
		if err != nil {
			return err
		}
		if name == bundle.ManifestName {
			f.Custom = (*json.RawMessage)(&custom)
		}
		targets[path.Join(dir, name)] = f
	}
	for _, patch := range p.Patches {
		if err := addPatch(targets, dir, patch); err != nil {
			return err
		}
	}
	return s.prune(m, keep, dir, info.Channel)
}

// keptInfo is what was said of a release at its first publication, where the second
// says nothing else.
func keptInfo(old *metadata.TargetFiles, info trust.ReleaseInfo) trust.ReleaseInfo {
	var was trust.ReleaseInfo
	if old.Custom != nil && json.Unmarshal(*old.Custom, &was) == nil {
		info.Released = was.Released
	}
	return info
}

// PatchDir is the folder of patches from one release, inside the folder of another.
func PatchDir(from string) string { return "from-" + from[:min(16, len(from))] }

func addPatch(targets map[string]*metadata.TargetFiles, dir string, p PatchFile) error {
	b, err := blobOf(p.File)
	if err != nil {
		return err
	}
	f, err := targetFile(b)
	if err != nil {
		return err
	}
	custom, err := json.Marshal(p.Info)
	if err != nil {
		return err
	}
	f.Custom = (*json.RawMessage)(&custom)
	targets[path.Join(dir, PatchDir(p.Info.From), p.Info.Of+".patch")] = f
	return nil
}

func targetFile(b bundle.Blob) (*metadata.TargetFiles, error) {
	sum, err := hex.DecodeString(b.SHA256)
	if err != nil {
		return nil, err
	}
	f := metadata.TargetFile()
	f.Length = b.Size
	f.Hashes = metadata.Hashes{"sha256": sum}
	return f, nil
}

// provesFile refuses to sign for a file that is not there as it is described.
func provesFile(file string, want bundle.Blob) error {
	got, err := blobOf(file)
	if err != nil {
		return err
	}
	if got.Size != want.Size || got.SHA256 != want.SHA256 {
		return fmt.Errorf("%s is not the file that its manifest describes; build the bundle again", file)
	}
	return nil
}

func blobOf(file string) (bundle.Blob, error) {
	f, err := os.Open(file)
	if err != nil {
		return bundle.Blob{}, err
	}
	defer f.Close()
	h := sha256.New()
	n, err := io.Copy(h, f)
	return bundle.Blob{Size: n, SHA256: hex.EncodeToString(h.Sum(nil))}, err
}

// prune takes the oldest releases of m's platform and channel off the list, never the
// one in dir. Of one day, the lower version is the older.
func (s *state) prune(m bundle.Manifest, keep int, dir, channel string) error {
	if keep == 0 {
		return nil
	}
	type listed struct {
		dir      string
		released time.Time
	}
	var all []listed
	for name, f := range s.targets.Signed.Targets {
		if path.Base(name) != bundle.ManifestName || path.Dir(name) == dir || !strings.Contains(name, "/"+m.OS+"-"+m.Arch+"/") {
			continue
		}
		var info trust.ReleaseInfo
		if f.Custom != nil {
			if err := json.Unmarshal(*f.Custom, &info); err != nil {
				return fmt.Errorf("read what was signed of %s: %w", name, err)
			}
		}
		if info.Channel == channel {
			all = append(all, listed{path.Dir(name), info.Released})
		}
	}
	version := func(l listed) string {
		v, _, _ := strings.Cut(l.dir, "/")
		return "v" + v
	}
	slices.SortFunc(all, func(a, b listed) int {
		return cmp.Or(b.released.Compare(a.released), semver.Compare(version(b), version(a)), strings.Compare(a.dir, b.dir))
	})
	for _, old := range all[min(keep-1, len(all)):] {
		s.remove(old.dir)
	}
	return nil
}

// remove takes everything in a folder off the list and counts it.
func (s *state) remove(dir string) int {
	n := 0
	for name := range s.targets.Signed.Targets {
		if strings.HasPrefix(name, dir+"/") {
			delete(s.targets.Signed.Targets, name)
			n++
		}
	}
	return n
}

// ErrNotPublished is found in the errors of Withdraw and Promote.
var ErrNotPublished = errors.New("it is not published")

// Withdraw takes a version off the list, on every platform: machines that have seen
// that will not install it any more, from wherever it comes.
func (v *Vault) Withdraw(version string) error {
	return v.change(func(s *state) (part, error) {
		if s.remove(version) == 0 {
			return nothing, fmt.Errorf("withdraw %s: %w", version, ErrNotPublished)
		}
		return all, nil
	})
}

// Promote moves a version to another channel. Its files stay as they are.
func (v *Vault) Promote(version, channel string) error {
	return v.change(func(s *state) (part, error) {
		found := false
		for name, f := range s.targets.Signed.Targets {
			if !strings.HasPrefix(name, version+"/") || path.Base(name) != bundle.ManifestName || f.Custom == nil {
				continue
			}
			var info trust.ReleaseInfo
			if err := json.Unmarshal(*f.Custom, &info); err != nil {
				return nothing, fmt.Errorf("read what was signed of %s: %w", name, err)
			}
			info.Channel, found = channel, true
			custom, err := json.Marshal(info)
			if err != nil {
				return nothing, err
			}
			f.Custom = (*json.RawMessage)(&custom)
		}
		if !found {
			return nothing, fmt.Errorf("promote %s: %w", version, ErrNotPublished)
		}
		return all, nil
	})
}

// Rotate gives a role a new key. The old one signs nothing from then on; of root it
// signs the new root together with the new one, and may be destroyed afterwards.
func (v *Vault) Rotate(role string, random io.Reader) error {
	if !slices.Contains(Roles, role) {
		return fmt.Errorf("there is no role %q; there are %s", role, strings.Join(Roles, ", "))
	}
	return v.change(func(s *state) (part, error) {
		before := s.root.Signed
		before.Roles = map[string]*metadata.Role{metadata.ROOT: {KeyIDs: slices.Clone(s.root.Signed.Roles[metadata.ROOT].KeyIDs)}}
		// Whoever lost the key of root must be told before anything is made.
		if _, err := v.signers(&before, metadata.ROOT); err != nil {
			return nothing, err
		}
		key, err := v.newKey(role, random)
		if err != nil {
			return nothing, err
		}
		for _, old := range slices.Clone(s.root.Signed.Roles[role].KeyIDs) {
			if err := s.root.Signed.RevokeKey(old, role); err != nil {
				return nothing, err
			}
		}
		if err := s.root.Signed.AddKey(key, role); err != nil {
			return nothing, err
		}
		return v.saveRoot(s, &before, role)
	})
}

// RenewRoot signs the root anew, with a later expiry.
func (v *Vault) RenewRoot() error {
	return v.change(func(s *state) (part, error) {
		before := s.root.Signed
		return v.saveRoot(s, &before, metadata.ROOT)
	})
}

// saveRoot writes the next root and says what else its new keys must sign.
func (v *Vault) saveRoot(s *state, before *metadata.RootType, role string) (part, error) {
	s.root.Signed.Version++
	s.root.Signed.Expires = v.now().Add(v.Lifetimes.Root)
	if err := v.signRoot(s, before); err != nil {
		return nothing, err
	}
	if err := v.publishRoot(s); err != nil {
		return nothing, err
	}
	switch role {
	case metadata.TARGETS:
		return all, nil
	case metadata.SNAPSHOT:
		return snapshotToo, nil
	case metadata.TIMESTAMP:
		return timestampOnly, nil
	}
	return nothing, nil
}

// CopyMetadata puts what a client needs - every root, the newest of the rest - into
// a folder, which is made, and takes away what else lies there.
func (v *Vault) CopyMetadata(dir string) error {
	names, err := v.copyMetadata(dir, nil)
	if err != nil {
		return err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if slices.Contains(names, e.Name()) {
			continue
		}
		if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

// UpdateSite is CopyMetadata into a repository that is being served. What lies there
// stays: a client that has just read the timestamp before asks for it next. The new
// timestamp comes last, when all that it leads to is there. What CheckSite refuses is
// left as it is; a folder that is no repository becomes one.
func (v *Vault) UpdateSite(site string) error {
	dir := filepath.Join(site, trust.MetadataDir)
	names, err := v.copyMetadata(dir, func(s *state) error {
		if err := v.checkSite(s, site); !errors.Is(err, ErrNoRepository) {
			return err
		}
		return nil
	})
	if err != nil {
		return err
	}
	roots, err := filepath.Glob(filepath.Join(dir, "*.root.json"))
	if err != nil {
		return err
	}
	for _, root := range roots {
		// A root of keys that were there before would end the chain for everybody.
		if slices.Contains(names, filepath.Base(root)) {
			continue
		}
		if err := os.Remove(root); err != nil {
			return err
		}
	}
	return nil
}

// copyMetadata writes the metadata in force, if check agrees, the timestamp last, and
// returns the names of their files.
func (v *Vault) copyMetadata(dir string, check func(*state) error) ([]string, error) {
	unlock, err := lock(filepath.Join(v.Dir, ".lock"))
	if err != nil {
		return nil, err
	}
	defer unlock()
	s, err := v.load()
	if err != nil {
		return nil, err
	}
	if check != nil {
		if err := check(s); err != nil {
			return nil, err
		}
	}
	var names []string
	for n := range s.root.Signed.Version {
		names = append(names, fmt.Sprintf("%d.root.json", n+1))
	}
	names = append(
		names, fmt.Sprintf("%d.targets.json", s.targets.Signed.Version),
		fmt.Sprintf("%d.snapshot.json", s.snapshot.Signed.Version), "timestamp.json",
	)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	for _, name := range names {
		text, err := os.ReadFile(v.file(name))
		if err != nil {
			return nil, err
		}
		if err := writeFile(filepath.Join(dir, name), text); err != nil {
			return nil, err
		}
	}
	return names, nil
}
