package trust_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"ss-setup/installer/bundle"
	"ss-setup/installer/bundle/trust"
	"ss-setup/packaging/signing"
)

func TestAProgramWithoutARootTrustsNothing(t *testing.T) {
	if _, err := trust.Embedded(); !refusedFor(err, trust.NoRoot) {
		t.Errorf("error is %v", err)
	}
	if _, err := trust.Open(t.Context(), trust.Dir(t.TempDir()), trust.Options{}); !refusedFor(err, trust.NoRoot) {
		t.Errorf("error is %v", err)
	}
}

func refusedFor(err error, check trust.Check) bool {
	r, ok := errors.AsType[*trust.Refusal](err)
	return ok && r.Check == check && errors.Is(err, bundle.ErrUntrusted)
}

// vault makes keys, and metadata that list nothing.
func vault(t testing.TB) (*signing.Vault, trust.Anchor) {
	t.Helper()
	v := signing.Open(t.TempDir())
	if err := v.Init(rand.Reader, false); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(v.RootFile())
	if err != nil {
		t.Fatal(err)
	}
	a, err := trust.NewAnchor(raw)
	if err != nil {
		t.Fatal(err)
	}
	return v, a
}

func seenOf(t testing.TB, v *signing.Vault, a trust.Anchor) []byte {
	t.Helper()
	trusted, err := trust.Open(context.Background(), trust.Dir(v.MetadataDir()), trust.Options{Anchor: a, Now: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	text, err := trusted.Seen().Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestTheLaterOfTwoMemoriesIsKept(t *testing.T) {
	v, a := vault(t)
	old := seenOf(t, v, a)
	if err := v.Refresh(); err != nil {
		t.Fatal(err)
	}
	fresh := seenOf(t, v, a)
	other, b := vault(t)
	for range 5 {
		if err := other.Refresh(); err != nil {
			t.Fatal(err)
		}
	}
	foreign := seenOf(t, other, b)
	for name, c := range map[string]struct{ before, now, want []byte }{
		"newer":                        {old, fresh, fresh},
		"older":                        {fresh, old, fresh},
		"the first":                    {nil, old, old},
		"instead of damage":            {[]byte("{"), old, old},
		"damage is no memory":          {fresh, []byte("{"), fresh},
		"another vendor's is replaced": {foreign, old, old},
	} {
		if got := trust.Later(c.before, c.now); !bytes.Equal(got, c.want) {
			t.Errorf("%s: the wrong one is kept", name)
		}
	}
}

// Who has stolen the key of the timestamp can number it as high as he likes. The root
// that takes the key away must be remembered all the same, or the stolen key would be
// good again for whoever withholds that root.
func TestANewRootIsRememberedAfterAStolenTimestamp(t *testing.T) {
	v, a := vault(t)
	stolen := signing.Open(t.TempDir())
	if err := os.CopyFS(stolen.Dir, os.DirFS(v.Dir)); err != nil {
		t.Fatal(err)
	}
	keys, err := filepath.Glob(filepath.Join(stolen.Dir, "keys", "*.pem"))
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range keys {
		if err := os.Chmod(k, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for range 5 {
		if err := stolen.Refresh(); err != nil {
			t.Fatal(err)
		}
	}
	forged := seenOf(t, stolen, a)
	for _, role := range []string{"timestamp", "snapshot"} {
		if err := v.Rotate(role, rand.Reader); err != nil {
			t.Fatal(err)
		}
	}
	seen, err := trust.ParseSeen(forged)
	if err != nil {
		t.Fatal(err)
	}
	trusted, err := trust.Open(t.Context(), trust.Dir(v.MetadataDir()), trust.Options{Anchor: a, Seen: seen, Now: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	now, err := trusted.Seen().Marshal()
	if err != nil {
		t.Fatal(err)
	}
	kept := trust.Later(forged, now)
	if seen, err = trust.ParseSeen(kept); err != nil || len(seen.Roots) != 3 {
		t.Fatalf("%d roots are remembered: %v", len(seen.Roots), err)
	}
	// The thief withholds the new roots.
	if err := os.RemoveAll(stolen.MetadataDir()); err != nil {
		t.Fatal(err)
	}
	old, err := trust.ParseSeen(forged)
	if err != nil {
		t.Fatal(err)
	}
	if err := old.WriteTo(stolen.MetadataDir()); err != nil {
		t.Fatal(err)
	}
	_, err = trust.Open(t.Context(), trust.Dir(stolen.MetadataDir()), trust.Options{Anchor: a, Seen: seen, Now: time.Now()})
	if !refusedFor(err, trust.WrongSigner) {
		t.Errorf("error is %v", err)
	}
}

func TestWhatWasSeenOfAnotherVendorDoesNotCount(t *testing.T) {
	v, a := vault(t)
	other, b := vault(t)
	for range 5 {
		if err := other.Refresh(); err != nil {
			t.Fatal(err)
		}
	}
	foreign, err := trust.ParseSeen(seenOf(t, other, b))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := trust.Open(t.Context(), trust.Dir(v.MetadataDir()), trust.Options{Anchor: a, Seen: foreign, Now: time.Now()}); err != nil {
		t.Error(err)
	}
}

func TestAPipeIsNoMetadata(t *testing.T) {
	v, a := vault(t)
	file := filepath.Join(v.MetadataDir(), "timestamp.json")
	if err := errors.Join(os.Remove(file), os.Symlink("/dev/zero", file)); err != nil {
		t.Fatal(err)
	}
	if _, err := trust.Open(t.Context(), trust.Dir(v.MetadataDir()), trust.Options{Anchor: a, Now: time.Now()}); !refusedFor(err, trust.Swapped) {
		t.Errorf("error is %v", err)
	}
}

// memory is a Source in which one file is made up.
type memory struct {
	trust.Dir
	name string
	text []byte
}

func (m memory) Metadata(ctx context.Context, name string, limit int64) ([]byte, error) {
	if name == m.name {
		return trust.ReadLimited(bytes.NewReader(m.text), name, limit)
	}
	return m.Dir.Metadata(ctx, name, limit)
}

func FuzzMetadata(f *testing.F) {
	v, a := vault(f)
	names := []string{"2.root.json", "timestamp.json", "1.snapshot.json", "1.targets.json"}
	for i, name := range names {
		text, err := os.ReadFile(filepath.Join(v.MetadataDir(), name))
		if err != nil {
			text = []byte(`{"signed":{"_type":"root","keys":{"a":null},"roles":{"root":null}},"signatures":[]}`)
		}
		f.Add(i, text)
		f.Add(i, bytes.Replace(text, []byte(`"version": 1`), []byte(`"version": 9`), 1))
	}
	genuine := map[string][]byte{}
	for _, name := range names {
		genuine[name], _ = os.ReadFile(filepath.Join(v.MetadataDir(), name))
	}
	f.Fuzz(func(t *testing.T, i int, text []byte) {
		name := names[uint(i)%uint(len(names))]
		src := memory{trust.Dir(v.MetadataDir()), name, text}
		trusted, err := trust.Open(context.Background(), src, trust.Options{Anchor: a, Now: time.Now()})
		if err == nil && len(trusted.Releases) > 0 {
			t.Error("a release came out of nothing")
		}
	})
}

func FuzzParseSeen(f *testing.F) {
	v, a := vault(f)
	f.Add(seenOf(f, v, a))
	f.Add([]byte(`{"schema":1}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		seen, err := trust.ParseSeen(text)
		if err != nil {
			return
		}
		_, _ = trust.Open(context.Background(), trust.Dir(v.MetadataDir()), trust.Options{Anchor: a, Seen: seen, Now: time.Now()})
		_ = trust.Later(text, text)
	})
}
