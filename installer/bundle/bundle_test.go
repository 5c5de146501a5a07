package bundle

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestOpenTellsWhatIsInTheBundle(t *testing.T) {
	b := makeBundle(t, release())
	raw, err := os.ReadFile(filepath.Join(filepath.Dir(b.PayloadPath()), ManifestName))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(b.Raw, raw) || b.Digest != Digest(raw) {
		t.Error("the manifest is not kept as it was read")
	}
	if want := "7.0.0-" + Digest(raw)[:8]; b.Release() != want {
		t.Errorf("release is %q, want %q", b.Release(), want)
	}
	var done, total int64
	if err := b.Verify(t.Context(), func(d, of int64) { done, total = d, of }); err != nil {
		t.Error(err)
	}
	if size := b.Manifest.Payload.Size; done != size || total != size {
		t.Errorf("last progress is %d of %d, want %d", done, total, size)
	}
	if err := b.VerifySetup(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestTheCopyOfSetupIsProved(t *testing.T) {
	b := makeBundle(t, release())
	var out bytes.Buffer
	if err := b.CopySetup(t.Context(), &out); err != nil || out.String() != "setup" {
		t.Errorf("copied %q: %v", out.String(), err)
	}
	if err := os.WriteFile(b.SetupPath(), []byte("evil!"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := b.CopySetup(t.Context(), io.Discard); !errors.Is(err, ErrDamaged) {
		t.Errorf("error is %v, want ErrDamaged", err)
	}
}

func TestOpenReleaseNeedsNoSetup(t *testing.T) {
	dir := filepath.Dir(makeBundle(t, release()).PayloadPath())
	if err := os.Remove(filepath.Join(dir, SetupName)); err != nil {
		t.Fatal(err)
	}
	b, err := OpenRelease(dir)
	if err != nil {
		t.Fatal(err)
	}
	dst := newMemory()
	if err := b.Unpack(t.Context(), dst, nil); err != nil {
		t.Fatal(err)
	}
	wantContents(t, dst, release())
	if err := b.VerifySetup(t.Context()); !errors.Is(err, fs.ErrNotExist) || errors.Is(err, ErrDamaged) {
		t.Errorf("error is %v, want fs.ErrNotExist", err)
	}
	if b.SetupPath() != "" {
		t.Errorf("setup is at %q", b.SetupPath())
	}
}

func TestOpenRefusesABundleThatIsNotWhole(t *testing.T) {
	for _, c := range []struct {
		name   string
		harm   func(t *testing.T, dir string)
		reason string
	}{
		{"without a manifest", remove(ManifestName), "cannot find"},
		{"without a payload", remove(PayloadName), "cannot find"},
		{"with a folder for a payload", func(t *testing.T, dir string) {
			remove(PayloadName)(t, dir)
			if err := os.Mkdir(filepath.Join(dir, PayloadName), 0o700); err != nil {
				t.Fatal(err)
			}
		}, "no regular file"},
		{"with a cut payload", func(t *testing.T, dir string) {
			if err := os.Truncate(filepath.Join(dir, PayloadName), 7); err != nil {
				t.Fatal(err)
			}
		}, "has 7 bytes"},
		{"with a cut manifest", func(t *testing.T, dir string) {
			if err := os.Truncate(filepath.Join(dir, ManifestName), 99); err != nil {
				t.Fatal(err)
			}
		}, "cannot read the manifest"},
	} {
		t.Run("refuses one "+c.name, func(t *testing.T) {
			dir := filepath.Dir(makeBundle(t, release()).PayloadPath())
			c.harm(t, dir)
			_, err := Open(dir)
			if !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), c.reason) {
				t.Fatalf("error is %v, want ErrDamaged with %q", err, c.reason)
			}
		})
	}
}

func remove(name string) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		t.Helper()
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestUnpackKeepsThePayloadAsItIs(t *testing.T) {
	for _, size := range []int{0, 1, chunkSize, 5*chunkSize + 7} {
		noise := make([]byte, size)
		_, _ = rand.NewChaCha8([32]byte{byte(size)}).Read(noise)
		b := makeBundle(t, []content{{"bin/ss-server", "0755", noise}})
		want, err := os.ReadFile(b.PayloadPath())
		if err != nil {
			t.Fatal(err)
		}
		var kept chunks
		if err := b.UnpackKeeping(t.Context(), newMemory(), &kept, nil); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(bytes.Join(kept, nil), want) {
			t.Errorf("%d bytes: the copy differs", size)
		}
		for i, c := range kept {
			if i < len(kept)-1 && len(c) != chunkSize {
				t.Errorf("%d bytes: chunk %d has %d", size, i, len(c))
			}
		}
		want[len(want)/2] ^= 1
		writeFile(t, b.PayloadPath(), want)
		if err := b.UnpackKeeping(t.Context(), newMemory(), io.Discard, nil); !errors.Is(err, ErrDamaged) {
			t.Fatalf("error is %v, want ErrDamaged", err)
		}
	}
}

// chunks are the writes that came.
type chunks [][]byte

func (c *chunks) Write(p []byte) (int, error) {
	*c = append(*c, bytes.Clone(p))
	return len(p), nil
}

func TestUnpackEndsWhenThePayloadCannotBeKept(t *testing.T) {
	noise := make([]byte, 40*chunkSize)
	_, _ = rand.NewChaCha8([32]byte{}).Read(noise)
	b := makeBundle(t, []content{{"bin/ss-server", "0755", noise}})
	full := errors.New("disk full")
	for _, after := range []int{0, 1, 20, 40} {
		if err := b.UnpackKeeping(t.Context(), newMemory(), &fullDisk{after, full}, nil); !errors.Is(err, full) || errors.Is(err, ErrDamaged) {
			t.Errorf("after %d chunks: %v", after, err)
		}
	}
}

// fullDisk takes a number of writes.
type fullDisk struct {
	left int
	err  error
}

func (f *fullDisk) Write(p []byte) (int, error) {
	if f.left--; f.left < 0 {
		return 0, f.err
	}
	return len(p), nil
}

func TestSetupOfAWindowsBundleIsAnExe(t *testing.T) {
	b := &Bundle{Manifest: Manifest{OS: "windows"}, dir: "d"}
	if got, want := b.SetupPath(), filepath.Join("d", "ss-setup.exe"); got != want {
		t.Errorf("setup is at %q, want %q", got, want)
	}
}

func TestVerifySetupFindsAnotherSetup(t *testing.T) {
	b := makeBundle(t, release())
	writeFile(t, b.SetupPath(), []byte("setuq"))
	if err := b.VerifySetup(t.Context()); !errors.Is(err, ErrDamaged) {
		t.Fatalf("error is %v, want ErrDamaged", err)
	}
}

func TestVerifyStopsWhenCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := makeBundle(t, release()).Verify(ctx, nil)
	if !errors.Is(err, context.Canceled) || errors.Is(err, ErrDamaged) {
		t.Fatalf("error is %v, want context.Canceled alone", err)
	}
}

func TestOpenTrustedAsksBeforeItParses(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, ManifestName), []byte("no manifest"))
	_, err := OpenTrusted(dir, DigestOnly{SHA256: Digest([]byte("another"))})
	if !errors.Is(err, ErrUntrusted) {
		t.Fatalf("error is %v, want ErrUntrusted", err)
	}
	_, err = OpenTrusted(dir, DigestOnly{SHA256: Digest([]byte("no manifest"))})
	if errors.Is(err, ErrUntrusted) || !errors.Is(err, ErrDamaged) {
		t.Fatalf("error is %v, want ErrDamaged alone", err)
	}
}
