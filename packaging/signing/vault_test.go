package signing

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"ss-setup/installer/bundle"
	"ss-setup/installer/bundle/trust"
)

func newVault(t *testing.T) *Vault {
	t.Helper()
	v := Open(filepath.Join(t.TempDir(), "keys of a vendor"))
	now := time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)
	v.Now = func() time.Time { return now }
	if err := v.Init(rand.Reader, false); err != nil {
		t.Fatal(err)
	}
	return v
}

func (v *Vault) opened(t *testing.T) (*trust.Trusted, error) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(v.MetadataDir(), "1.root.json"))
	if err != nil {
		t.Fatal(err)
	}
	a, err := trust.NewAnchor(raw)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := v.CopyMetadata(dir); err != nil {
		t.Fatal(err)
	}
	return trust.Open(t.Context(), trust.Dir(dir), trust.Options{Anchor: a, Now: v.Now()})
}

func TestKeysAreMadeOnceAndForTheirOwnerOnly(t *testing.T) {
	v := newVault(t)
	files, err := filepath.Glob(filepath.Join(v.keysDir(), "*.pem"))
	if err != nil || len(files) != len(Roles) {
		t.Fatalf("keys are %q, %v", files, err)
	}
	for _, f := range files {
		if info, err := os.Stat(f); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v %v", f, info.Mode(), err)
		}
	}
	if err := v.Init(rand.Reader, false); !errors.Is(err, ErrThere) {
		t.Errorf("a second time: %v", err)
	}
	if _, err := v.opened(t); err != nil {
		t.Error(err)
	}
}

func TestAKeyThatOthersMayReadSignsNothing(t *testing.T) {
	v := newVault(t)
	files, err := filepath.Glob(filepath.Join(v.keysDir(), "timestamp-*.pem"))
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	if err := os.Chmod(files[0], 0o644); err != nil {
		t.Fatal(err)
	}
	if err := v.Refresh(); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("error is %v", err)
	}
}

func TestRefreshNeedsTheKeysOfTimestampAndSnapshotOnly(t *testing.T) {
	v := newVault(t)
	for _, role := range []string{"root", "targets"} {
		files, _ := filepath.Glob(filepath.Join(v.keysDir(), role+"-*.pem"))
		if err := os.Remove(files[0]); err != nil {
			t.Fatal(err)
		}
	}
	later := v.Now().Add(6 * day)
	v.Now = func() time.Time { return later }
	if err := v.Refresh(); err != nil {
		t.Fatal(err)
	}
	later = later.Add(6 * day)
	if _, err := v.opened(t); err != nil {
		t.Error(err)
	}
	if err := v.Withdraw("7.0.0"); !errors.Is(err, ErrNotPublished) {
		t.Errorf("error is %v", err)
	}
	for _, role := range Roles {
		if err := v.Rotate(role, rand.Reader); err == nil || !strings.Contains(err.Error(), "the key of root is not in") {
			t.Errorf("rotating %s without the key of root: %v", role, err)
		}
	}
}

func TestARotationThatWasCutIsMadeGood(t *testing.T) {
	v := newVault(t)
	before, err := os.ReadFile(v.file("timestamp.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := v.Rotate("timestamp", rand.Reader); err != nil {
		t.Fatal(err)
	}
	// The new root was written, the new timestamp not.
	if err := os.WriteFile(v.file("timestamp.json"), before, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := v.opened(t); err == nil {
		t.Fatal("what the old key signed is trusted")
	}
	if err := v.Publish(nil, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := v.opened(t); err != nil {
		t.Error(err)
	}
}

func TestWhatIsPublishedAlreadyIsNotSignedAgain(t *testing.T) {
	v := newVault(t)
	if err := v.Publish(nil, 0); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(v.file("timestamp.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := v.Publish(nil, 0); err != nil {
		t.Fatal(err)
	}
	after, err := os.ReadFile(v.file("timestamp.json"))
	if err != nil || !bytes.Equal(before, after) {
		t.Errorf("the timestamp was signed again: %v", err)
	}
	later := v.Now().Add(4 * day)
	v.Now = func() time.Time { return later }
	if err := v.Publish(nil, 0); err != nil {
		t.Fatal(err)
	}
	if renewed, _ := os.ReadFile(v.file("timestamp.json")); bytes.Equal(before, renewed) {
		t.Error("a timestamp past half its life was not renewed")
	}
}

func TestADevelopmentRootSaysSo(t *testing.T) {
	for _, development := range []bool{false, true} {
		v := Open(t.TempDir())
		if err := v.Init(rand.Reader, development); err != nil {
			t.Fatal(err)
		}
		if err := v.Rotate("root", rand.Reader); err != nil {
			t.Fatal(err)
		}
		raw, err := os.ReadFile(v.RootFile())
		if err != nil {
			t.Fatal(err)
		}
		a, err := trust.NewAnchor(raw)
		if err != nil || a.Development() != development {
			t.Errorf("development %v: %v, %v", development, a.Development(), err)
		}
		changed := bytes.Replace(raw, []byte(`"x-ss-development": true`), []byte(`"x-ss-development": false`), 1)
		if _, err := trust.NewAnchor(changed); development && err == nil {
			t.Error("the mark can be taken off without the key")
		}
	}
}

// A site is served while it is brought up to date: nothing that a client may have been
// told of goes away, and the timestamp, which leads to all else, is there at any time.
func TestAServedSiteLosesNothingWhileItIsRefreshed(t *testing.T) {
	v := newVault(t)
	site := t.TempDir()
	if err := v.UpdateSite(site); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(site, trust.MetadataDir)
	if err := os.WriteFile(filepath.Join(dir, "2.root.json"), []byte("of other keys"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := v.Refresh(); err != nil {
		t.Fatal(err)
	}
	if err := v.UpdateSite(site); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"1.root.json", "timestamp.json", "1.snapshot.json", "2.snapshot.json", "1.targets.json"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			t.Error(err)
		}
	}
	if exists(filepath.Join(dir, "2.root.json")) {
		t.Error("a root of other keys stays")
	}
	if err := v.CopyMetadata(dir); err != nil || exists(filepath.Join(dir, "1.snapshot.json")) {
		t.Errorf("a package carries old metadata: %v", err)
	}
}

// publication is a release of one file each.
func publication(t *testing.T, version, channel string, released time.Time) Publication {
	t.Helper()
	dir := t.TempDir()
	content := []byte("of " + version)
	blob := bundle.Blob{Size: int64(len(content)), SHA256: bundle.Digest(content)}
	payload := blob
	payload.Name = bundle.PayloadName
	raw, err := json.Marshal(bundle.Manifest{
		Schema: bundle.Schema, Product: bundle.Product, Version: version, OS: "linux", Arch: "amd64",
		Files:   []bundle.File{{Path: "bin/x", Size: 1, Mode: "0755", SHA256: bundle.Digest([]byte("x"))}},
		Payload: payload, Setup: blob,
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string][]byte{bundle.ManifestName: raw, bundle.PayloadName: content, bundle.SetupName: content} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return Publication{Dir: dir, Info: trust.ReleaseInfo{Channel: channel, Released: released}}
}

func (v *Vault) mustPublish(t *testing.T, keep int, p Publication) {
	t.Helper()
	if err := v.Publish([]Publication{p}, keep); err != nil {
		t.Fatal(err)
	}
}

// versions are those that are listed.
func (v *Vault) versions(t *testing.T) []string {
	t.Helper()
	s, err := v.load()
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for name := range s.targets.Signed.Targets {
		if path.Base(name) == bundle.ManifestName {
			version, _, _ := strings.Cut(name, "/")
			found = append(found, version)
		}
	}
	slices.Sort(found)
	return found
}

func TestBetasDoNotPushStableReleasesOffTheList(t *testing.T) {
	v := newVault(t)
	v.mustPublish(t, 2, publication(t, "7.0.0", trust.Stable, v.Now()))
	for i, version := range []string{"7.1.0-beta.1", "7.1.0-beta.2", "7.1.0-beta.3"} {
		v.mustPublish(t, 2, publication(t, version, trust.Beta, v.Now().Add(time.Duration(i+1)*day)))
	}
	if got, want := v.versions(t), []string{"7.0.0", "7.1.0-beta.2", "7.1.0-beta.3"}; !slices.Equal(got, want) {
		t.Errorf("listed are %q, want %q", got, want)
	}
}

func TestOfReleasesOfOneDayTheHigherVersionsStayListed(t *testing.T) {
	v := newVault(t)
	for _, version := range []string{"7.0.9", "7.0.10", "7.0.11", "7.0.12"} {
		v.mustPublish(t, 3, publication(t, version, trust.Stable, v.Now()))
	}
	if got, want := v.versions(t), []string{"7.0.10", "7.0.11", "7.0.12"}; !slices.Equal(got, want) {
		t.Errorf("listed are %q, want %q", got, want)
	}
}

// copied is another copy of the vault.
func (v *Vault) copied(t *testing.T) *Vault {
	t.Helper()
	c := *v
	c.Dir = t.TempDir()
	if err := os.CopyFS(c.Dir, os.DirFS(v.Dir)); err != nil {
		t.Fatal(err)
	}
	keys, err := filepath.Glob(filepath.Join(c.keysDir(), "*.pem"))
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range keys {
		if err := os.Chmod(key, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return &c
}

// Two machines may have a copy of the vault: one that releases and one that refreshes.
func TestAVaultThatIsBehindDoesNotPutASiteBack(t *testing.T) {
	v := newVault(t)
	old := v.copied(t)
	site := t.TempDir()
	v.mustPublish(t, 0, publication(t, "7.0.0", trust.Stable, v.Now()))
	if err := v.Refresh(); err != nil {
		t.Fatal(err)
	}
	if err := v.UpdateSite(site); err != nil {
		t.Fatal(err)
	}
	// It signs a snapshot of the same number without the release, and then a later one.
	for range 3 {
		if err := old.Refresh(); err != nil {
			t.Fatal(err)
		}
		if err := old.UpdateSite(site); !errors.Is(err, ErrBehind) {
			t.Fatalf("error is %v, want ErrBehind", err)
		}
	}
	// The way out that the error names.
	if err := os.RemoveAll(old.MetadataDir()); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(old.MetadataDir(), os.DirFS(filepath.Join(site, trust.MetadataDir))); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(old.Refresh(), old.UpdateSite(site)); err != nil {
		t.Fatal(err)
	}
	if got := old.versions(t); !slices.Equal(got, []string{"7.0.0"}) {
		t.Errorf("listed are %q", got)
	}
}

func TestAVaultThatDoesNotKnowTheNewestRootLeavesItOnTheSite(t *testing.T) {
	v := newVault(t)
	old := v.copied(t)
	site := t.TempDir()
	if err := errors.Join(v.RenewRoot(), v.UpdateSite(site)); err != nil {
		t.Fatal(err)
	}
	if err := old.UpdateSite(site); !errors.Is(err, ErrBehind) {
		t.Errorf("error is %v, want ErrBehind", err)
	}
	if !exists(filepath.Join(site, trust.MetadataDir, "2.root.json")) {
		t.Error("the newest root is gone")
	}
}

// contents are the files below a folder.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(name)
		files[name] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestARepositoryOfOtherKeysIsLeftAsItIs(t *testing.T) {
	v, stranger := newVault(t), newVault(t)
	forked := v.copied(t)
	site := t.TempDir()
	if err := errors.Join(v.RenewRoot(), v.UpdateSite(site)); err != nil {
		t.Fatal(err)
	}
	if err := forked.Rotate("root", rand.Reader); err != nil {
		t.Fatal(err)
	}
	before := contents(t, site)
	for _, other := range []*Vault{stranger, forked} {
		for _, err := range []error{other.CheckSite(site), other.UpdateSite(site)} {
			if !errors.Is(err, ErrOtherRoot) {
				t.Fatalf("error is %v, want ErrOtherRoot", err)
			}
			for _, word := range []string{site, other.Dir, "--keys"} {
				if !strings.Contains(err.Error(), word) {
					t.Errorf("%q does not name %s", err, word)
				}
			}
		}
	}
	if !maps.Equal(before, contents(t, site)) {
		t.Error("the repository was changed")
	}
	if err := v.CheckSite(site); err != nil {
		t.Errorf("with its own keys: %v", err)
	}
}

func TestARotatedRootContinuesTheChainOfASite(t *testing.T) {
	v := newVault(t)
	site := t.TempDir()
	if err := errors.Join(v.UpdateSite(site), v.Rotate("root", rand.Reader), v.CheckSite(site), v.UpdateSite(site)); err != nil {
		t.Fatal(err)
	}
}

func TestAFolderWithoutMetadataIsNoRepository(t *testing.T) {
	v := newVault(t)
	for _, site := range []string{t.TempDir(), filepath.Join(t.TempDir(), "typo")} {
		if err := v.CheckSite(site); !errors.Is(err, ErrNoRepository) || !strings.Contains(err.Error(), site) {
			t.Errorf("error is %v, want ErrNoRepository", err)
		}
	}
}

// Clients read what is there while it is published once more, and a copy that was cut
// must not have the name of a whole file.
func TestAFileOfASiteIsReplacedWholeOrLeft(t *testing.T) {
	p := publication(t, "7.0.0", trust.Stable, time.Time{})
	site := t.TempDir()
	if err := WriteFiles(site, []Publication{p}); err != nil {
		t.Fatal(err)
	}
	find := func() string {
		found, err := filepath.Glob(filepath.Join(site, "targets", "*", "*", "*", "*."+bundle.PayloadName))
		if err != nil || len(found) != 1 {
			t.Fatalf("found %q, %v", found, err)
		}
		return found[0]
	}
	before, err := os.Stat(find())
	if err != nil {
		t.Fatal(err)
	}
	if err := WriteFiles(site, []Publication{p}); err != nil {
		t.Fatal(err)
	}
	if after, err := os.Stat(find()); err != nil || !os.SameFile(before, after) {
		t.Errorf("a file that was right was written again: %v", err)
	}
	reader, err := os.Open(find())
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	if err := os.WriteFile(find(), []byte("o"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := WriteFiles(site, []Publication{p}); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(find()); err != nil || string(text) != "of 7.0.0" {
		t.Errorf("the damaged file is %q, %v", text, err)
	}
	if text, err := io.ReadAll(reader); err != nil || string(text) != "o" {
		t.Errorf("it was written in its place: %q, %v", text, err)
	}
}

// Whoever moves root.json to where programs are built has not lost the keys.
func TestKeysAreNotMadeAnewWhereOnlyRootJSONIsGone(t *testing.T) {
	v := newVault(t)
	if err := os.Remove(v.RootFile()); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(v.file("1.root.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := v.Init(rand.Reader, false); !errors.Is(err, ErrThere) {
		t.Fatalf("error is %v, want ErrThere", err)
	}
	for _, file := range []string{v.file("1.root.json"), v.RootFile()} {
		if after, err := os.ReadFile(file); err != nil || !bytes.Equal(before, after) {
			t.Errorf("%s is another: %v", file, err)
		}
	}
}
