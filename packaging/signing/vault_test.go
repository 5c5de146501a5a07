package signing

import (
	"bytes"
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

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
