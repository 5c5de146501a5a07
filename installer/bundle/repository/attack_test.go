package repository

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"ss-setup/installer/bundle"
	"ss-setup/installer/bundle/trust"
	"ss-setup/packaging/signing"
)

// wantRefusal holds an error to the check that must have failed.
func wantRefusal(t *testing.T, err error, check trust.Check) {
	t.Helper()
	r, ok := errors.AsType[*trust.Refusal](err)
	if !ok || r.Check != check {
		t.Fatalf("error is %v, want a refusal for %s", err, check)
	}
	if !errors.Is(err, bundle.ErrUntrusted) || !strings.Contains(err.Error(), string(check)) {
		t.Errorf("the refusal %q does not say what failed", err)
	}
	if r.Cure == "" {
		t.Errorf("the refusal %q has no cure", err)
	}
	for _, raw := range []string{"must be", ".json is", "mismatch", "verification failed"} {
		if strings.Contains(err.Error(), raw) {
			t.Errorf("the refusal %q has the library's words %q", err, raw)
		}
	}
}

func TestARollbackOfTheMetadataIsRefused(t *testing.T) {
	v := newVendor(t)
	v.release("7.0.0", trust.Stable, []byte("old payload"))
	old := v.saved()
	v.release("7.0.1", trust.Stable, []byte("new payload"))
	c := v.client(v.serve())
	seen := v.mustOpen(c, nil).Seen()

	v.restore(old)
	_, err := v.open(c, seen)
	wantRefusal(t, err, trust.Rollback)
	if want := regexp.MustCompile(`behind what this machine has seen: timestamp \d+ is offered, \d+ was seen$`); !want.MatchString(err.Error()) {
		t.Errorf("the refusal %q does not say which is newer", err)
	}
	if _, err := v.open(c, nil); err != nil {
		t.Errorf("a machine that has seen nothing cannot know: %v", err)
	}
}

// The keys of timestamp and snapshot lie on a machine that is online: who has stolen
// them can still not take a release back.
func TestARollbackOfTheTargetsWithStolenOnlineKeysIsRefused(t *testing.T) {
	v := newVendor(t)
	v.release("7.0.0", trust.Stable, []byte("payload"))
	stolen := signing.Open(t.TempDir())
	v.must(os.CopyFS(stolen.Dir, os.DirFS(v.vault.Dir)))
	keys, err := filepath.Glob(filepath.Join(stolen.Dir, "keys", "*.pem"))
	v.must(err)
	for _, k := range keys {
		v.must(os.Chmod(k, 0o600))
	}
	v.release("7.0.1", trust.Stable, []byte("payload"))
	c := v.client(v.serve())
	seen := v.mustOpen(c, nil).Seen()

	for range 5 {
		v.must(stolen.Refresh())
	}
	v.must(stolen.CopyMetadata(filepath.Join(v.site, trust.MetadataDir)))
	_, err = v.open(c, seen)
	wantRefusal(t, err, trust.Rollback)
}

func TestAFreezeIsRefusedWhenTheMetadataExpire(t *testing.T) {
	v := newVendor(t)
	v.release("7.0.0", trust.Stable, []byte("payload"))
	c := v.client(v.serve())
	seen := v.mustOpen(c, nil).Seen()
	for _, known := range []*trust.Seen{nil, seen} {
		v.clock = time.Now().Add(v.vault.Lifetimes.Timestamp + time.Hour)
		_, err := v.open(c, known)
		wantRefusal(t, err, trust.Freeze)
		if !strings.Contains(err.Error(), "clock") {
			t.Errorf("a wrong clock is not thought of: %v", err)
		}
	}
	v.must(v.vault.Refresh())
	v.upload()
	v.mustOpen(c, seen)
}

func TestMixedUpMetadataAreRefused(t *testing.T) {
	v := newVendor(t)
	v.release("7.0.0", trust.Stable, []byte("payload"))
	old := v.saved()
	v.release("7.0.1", trust.Stable, []byte("payload"))
	for name, from := range map[string]string{"3.targets.json": "2.targets.json", "3.snapshot.json": "2.snapshot.json"} {
		t.Run(name, func(t *testing.T) {
			v.upload()
			content, err := os.ReadFile(filepath.Join(old, from))
			v.must(err)
			v.put("metadata/"+name, content)
			_, err = v.open(v.client(v.serve()), nil)
			wantRefusal(t, err, trust.MixAndMatch)
		})
	}
	t.Run("a manifest of one release with the payload of another", func(t *testing.T) {
		v.upload()
		trusted := v.mustOpen(v.client(v.serve()), nil)
		a, b := &trusted.Releases[0], trusted.Releases[1]
		raw, err := os.ReadFile(filepath.Join(v.site, "targets", a.Manifest.StoredAs()))
		v.must(err)
		v.must(trusted.Verify(raw))
		a.Setup = b.Setup
		wantRefusal(t, trusted.Verify(raw), trust.MixAndMatch)
	})
}

func TestAWrongSignerIsRefused(t *testing.T) {
	v, stranger := newVendor(t), newVendor(t)
	v.release("7.0.0", trust.Stable, []byte("payload"))
	stranger.release("7.0.1", trust.Stable, []byte("payload"))
	c := v.client(v.serve())
	seen := v.mustOpen(c, nil).Seen()
	for _, part := range []string{"whole", "timestamp.json", "2.snapshot.json", "2.targets.json"} {
		t.Run(part, func(t *testing.T) {
			v.upload()
			if part == "whole" {
				v.restore(stranger.saved())
			} else {
				content, err := os.ReadFile(filepath.Join(stranger.site, "metadata", part))
				v.must(err)
				v.put("metadata/"+part, content)
			}
			_, err := v.open(c, nil)
			if part == "whole" || part == "timestamp.json" {
				wantRefusal(t, err, trust.WrongSigner)
			} else {
				wantRefusal(t, err, trust.MixAndMatch) // its digest tells before its signature
			}
		})
	}
	v.restore(stranger.saved())
	_, err := v.open(c, seen)
	wantRefusal(t, err, trust.WrongSigner)
}

func TestAnExpiredRootIsRefused(t *testing.T) {
	v := newVendor(t)
	v.release("7.0.0", trust.Stable, []byte("payload"))
	c := v.client(v.serve())
	v.clock = time.Now().Add(v.vault.Lifetimes.Root + time.Hour)
	v.must(v.vault.Refresh())
	v.upload()
	_, err := v.open(c, nil)
	wantRefusal(t, err, trust.ExpiredRoot)

	v.must(v.vault.RenewRoot())
	v.must(v.vault.Publish(nil, 0))
	v.upload()
	v.mustOpen(c, nil)
}

func TestTruncatedMetadataAreRefused(t *testing.T) {
	v := newVendor(t)
	v.release("7.0.0", trust.Stable, []byte("payload"))
	for name, check := range map[string]trust.Check{
		"timestamp.json": trust.Truncated, "2.snapshot.json": trust.MixAndMatch, "2.targets.json": trust.MixAndMatch,
	} {
		v.upload()
		v.must(os.Truncate(filepath.Join(v.site, "metadata", name), 100))
		_, err := v.open(v.client(v.serve()), nil)
		wantRefusal(t, err, check)
	}
}

// endless answers a path with bytes that never end.
func (v *vendor) endless(path string) {
	v.answer = func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasSuffix(r.URL.Path, path) {
			return false
		}
		w.Header().Set("Content-Type", "application/octet-stream")
		w.WriteHeader(http.StatusOK)
		junk := bytes.Repeat([]byte("endless "), 4096)
		for {
			if _, err := w.Write(junk); err != nil {
				return true
			}
		}
	}
}

func TestEndlessMetadataAreRefused(t *testing.T) {
	v := newVendor(t)
	v.release("7.0.0", trust.Stable, []byte("payload"))
	for _, name := range []string{"2.root.json", "timestamp.json", "2.snapshot.json", "2.targets.json"} {
		v.endless(name)
		_, err := v.open(v.client(v.serve()), nil)
		wantRefusal(t, err, trust.Oversized)
	}
}

func TestAnEndlessChainOfRootsIsNotFollowedForEver(t *testing.T) {
	v := newVendor(t)
	root, err := os.ReadFile(v.vault.RootFile())
	v.must(err)
	v.answer = func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasSuffix(r.URL.Path, ".root.json") {
			return false
		}
		_, _ = w.Write(root)
		return true
	}
	_, err = v.open(v.client(v.serve()), nil)
	wantRefusal(t, err, trust.Rollback)
}

func TestEndlessDataAreRefused(t *testing.T) {
	v := newVendor(t)
	r := v.release("7.0.0", trust.Stable, bytes.Repeat([]byte("payload "), 50_000))
	v.endless(bundle.PayloadName)
	dir := t.TempDir()
	err := v.client(v.serve()).Download(t.Context(), r.Payload, filepath.Join(dir, "payload"), nil)
	wantRefusal(t, err, trust.Oversized)
	wantNothingBut(t, dir, "payload.part", r.Payload.Size)
}

func TestAnOversizedTargetIsRefusedBeforeItIsRead(t *testing.T) {
	v := newVendor(t)
	r := v.release("7.0.0", trust.Stable, []byte("payload"))
	v.put("targets/"+r.Payload.StoredAs(), bytes.Repeat([]byte("x"), 1<<20))
	dir := t.TempDir()
	err := v.client(v.serve()).Download(t.Context(), r.Payload, filepath.Join(dir, "payload"), nil)
	wantRefusal(t, err, trust.Oversized)
	wantNothingBut(t, dir, "payload.part", 0)
}

func TestATruncatedTargetIsRefused(t *testing.T) {
	v := newVendor(t)
	r := v.release("7.0.0", trust.Stable, bytes.Repeat([]byte("payload "), 50_000))
	v.must(os.Truncate(filepath.Join(v.site, "targets", r.Payload.StoredAs()), 1000))
	dir := t.TempDir()
	err := v.client(v.serve()).Download(t.Context(), r.Payload, filepath.Join(dir, "payload"), nil)
	wantRefusal(t, err, trust.Truncated)
	wantNothingBut(t, dir, "payload.part", 1000)
}

func TestASwappedTargetIsRefused(t *testing.T) {
	v := newVendor(t)
	r := v.release("7.0.0", trust.Stable, []byte("payload"))
	v.put("targets/"+r.Setup.StoredAs(), []byte("SETUP of 7.0.0"))
	dir := t.TempDir()
	c := v.client(v.serve())
	err := (&Fetch{Client: c, Release: r, Seen: v.mustOpen(c, nil).Seen(), Dir: dir}).Setup(t.Context())
	wantRefusal(t, err, trust.Swapped)
	if _, err := os.Stat(filepath.Join(dir, "7.0.0-"+r.Digest[:8], bundle.SetupName)); err == nil {
		t.Error("the false ss-setup has its name")
	}
}

func TestAWithdrawnReleaseOnAnOldMediumIsRefused(t *testing.T) {
	v := newVendor(t)
	withdrawn := v.release("7.0.2", trust.Stable, []byte("payload"))
	medium := v.saved()
	kept := v.release("7.0.1", trust.Stable, []byte("payload"))
	v.must(v.vault.Withdraw("7.0.2"))
	v.upload()
	seen := v.mustOpen(v.client(v.serve()), nil).Seen()

	trusted, err := trust.Open(t.Context(), trust.Dir(medium), trust.Options{Anchor: v.anchor, Seen: seen, Now: v.clock, Offline: true})
	v.must(err)
	manifest := func(r trust.Release) []byte {
		raw, err := os.ReadFile(filepath.Join(v.site, "targets", r.Manifest.StoredAs()))
		v.must(err)
		return raw
	}
	wantRefusal(t, trusted.Verify(manifest(withdrawn)), trust.Rollback)
	if err := trusted.Verify(manifest(kept)); err != nil {
		t.Errorf("a release that is still listed: %v", err)
	}
}

func TestAnOldMediumWarnsOnly(t *testing.T) {
	v := newVendor(t)
	v.release("7.0.0", trust.Stable, []byte("payload"))
	trusted, err := trust.Open(t.Context(), trust.Dir(v.saved()), trust.Options{
		Anchor: v.anchor, Now: v.clock.Add(10 * 365 * 24 * time.Hour), Offline: true,
	})
	v.must(err)
	if len(trusted.Stale) != 4 {
		t.Errorf("past their date are %q, want all four", trusted.Stale)
	}
}

func TestRotatedKeysAreFollowed(t *testing.T) {
	for _, role := range []string{"root", "targets", "snapshot", "timestamp"} {
		t.Run(role, func(t *testing.T) {
			v := newVendor(t)
			v.release("7.0.0", trust.Stable, []byte("payload"))
			c := v.client(v.serve())
			seen := v.mustOpen(c, nil).Seen()
			before := v.saved()

			v.must(v.vault.Rotate(role, testRandom{}))
			v.upload()
			after := v.mustOpen(c, seen)
			if len(after.Seen().Roots) != 2 {
				t.Errorf("%d roots are remembered, want 2", len(after.Seen().Roots))
			}
			// What the old key signed is worth nothing to who has seen the new root.
			v.restore(before)
			_, err := v.open(c, after.Seen())
			if role == "root" {
				v.must(err) // nothing but the root changed hands
			} else if err == nil {
				t.Error("metadata of the old key are trusted")
			}
			v.release("7.0.1", trust.Stable, []byte("payload"))
			if got := v.mustOpen(c, after.Seen()); len(got.Releases) != 2 {
				t.Errorf("%d releases after the rotation, want 2", len(got.Releases))
			}
		})
	}
}

func wantNothingBut(t *testing.T, dir, name string, limit int64) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		if e.Name() != name || info.Size() > limit {
			t.Errorf("%s with %d bytes was left", e.Name(), info.Size())
		}
	}
}

// testRandom makes another key at every call.
type testRandom struct{}

var counter int

func (testRandom) Read(p []byte) (int, error) {
	counter++
	return copy(p, []byte(fmt.Sprintf("%0*d", len(p), counter))), nil
}
