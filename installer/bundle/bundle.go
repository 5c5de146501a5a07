package bundle

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// Bundle is an opened package: a manifest that was read, checked and trusted,
// and the place of the files that it speaks of. It holds nothing open.
type Bundle struct {
	Manifest Manifest
	// Raw is the manifest as it was read; an installed release keeps these very
	// bytes.
	Raw []byte
	// Digest is the SHA-256 of Raw.
	Digest string
	// PayloadDigestOnly makes Unpack leave out the digests of the single files.
	// Nothing unproved is unpacked even so: the payload's own digest, from the
	// same manifest, stands for every byte that comes out of it, and names, sizes
	// and modes are compared as ever. What is given up is notice of a manifest
	// that contradicts its own payload. Without instructions for SHA-256 in the
	// processor, hashing the files takes as long as all the rest of Unpack.
	PayloadDigestOnly bool
	// Evidence is why the manifest was trusted, in the form of package trust. An
	// installed release keeps it beside the manifest. It may be nil.
	Evidence []byte

	dir     string
	release bool
}

// Open reads the bundle in a folder: manifest.json, the payload and ss-setup
// side by side. It checks no signature: see DigestOnly.
func Open(dir string) (*Bundle, error) {
	return OpenTrusted(dir, DigestOnly{})
}

// OpenTrusted is Open with the question of trust asked of verifier, before
// anything in the manifest is believed.
func OpenTrusted(dir string, verifier Verifier) (*Bundle, error) {
	return open(dir, verifier, false)
}

// OpenRelease reads the manifest and payload that an installed release keeps in
// its folder, so that a repair works offline. There is no ss-setup in it.
func OpenRelease(dir string) (*Bundle, error) {
	return open(dir, DigestOnly{}, true)
}

func open(dir string, verifier Verifier, release bool) (*Bundle, error) {
	raw, err := readManifest(filepath.Join(dir, ManifestName))
	if err != nil {
		return nil, err
	}
	if err := verifier.Verify(raw); err != nil {
		return nil, fmt.Errorf("cannot trust %s: %w", filepath.Join(dir, ManifestName), err)
	}
	manifest, err := Parse(raw)
	if err != nil {
		return nil, fmt.Errorf("cannot open the package in %s: %w", dir, err)
	}
	b := &Bundle{Manifest: manifest, Raw: raw, Digest: Digest(raw), dir: dir, release: release}
	// A payload that is missing or cut is told at once, not after the questions.
	f, err := openBlob(b.PayloadPath(), manifest.Payload.Size)
	if err != nil {
		return nil, err
	}
	return b, f.Close()
}

// Release is the name of the release in this package: version and digest.
func (b *Bundle) Release() string { return b.Manifest.Release(b.Digest) }

// PayloadPath is where the payload lies.
func (b *Bundle) PayloadPath() string { return filepath.Join(b.dir, PayloadName) }

// SetupPath is where the package's ss-setup lies, or empty for a release folder,
// which has none.
func (b *Bundle) SetupPath() string {
	if b.release {
		return ""
	}
	if b.Manifest.OS == "windows" {
		return filepath.Join(b.dir, SetupName+".exe")
	}
	return filepath.Join(b.dir, SetupName)
}

// Verify reads the whole payload and compares it with the manifest. It is for
// whoever wants to know before anything is written; Unpack looks again by
// itself. progress, which may be nil, gets bytes of the compressed payload.
func (b *Bundle) Verify(ctx context.Context, progress func(done, total int64)) error {
	return verifyBlob(ctx, b.PayloadPath(), b.Manifest.Payload, progress)
}

// VerifySetup compares the package's ss-setup with the manifest. A release
// folder has none and is refused with an error that matches fs.ErrNotExist.
func (b *Bundle) VerifySetup(ctx context.Context) error {
	if b.release {
		return fmt.Errorf("no %s in the release folder %s: %w", SetupName, b.dir, fs.ErrNotExist)
	}
	return verifyBlob(ctx, b.SetupPath(), b.Manifest.Setup, nil)
}

// CopySetup writes the package's ss-setup to w, and fails when that is not what the
// manifest states: what was verified is then out of reach of whoever may write into
// the folder of the package.
func (b *Bundle) CopySetup(ctx context.Context, w io.Writer) error {
	if b.release {
		return fmt.Errorf("no %s in the release folder %s: %w", SetupName, b.dir, fs.ErrNotExist)
	}
	f, err := openBlob(b.SetupPath(), b.Manifest.Setup.Size)
	if err != nil {
		return err
	}
	defer f.Close()
	source := newSource(ctx, f, b.Manifest.Setup, b.SetupPath())
	defer source.stop()
	if _, err := io.Copy(w, source); err != nil {
		return err
	}
	return source.check()
}

func verifyBlob(ctx context.Context, path string, want Blob, progress func(done, total int64)) error {
	f, err := openBlob(path, want.Size)
	if err != nil {
		return err
	}
	defer f.Close()
	source := newSource(ctx, f, want, path)
	defer source.stop()
	buf := make([]byte, chunkSize)
	for {
		_, err := source.Read(buf)
		if progress != nil {
			progress(source.read, want.Size)
		}
		if errors.Is(err, io.EOF) {
			return source.check()
		}
		if err != nil {
			return err
		}
	}
}

// readManifest reads at most one byte more than a manifest may have.
func readManifest(path string) ([]byte, error) {
	f, err := openRegular(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, MaxManifestSize+1))
	if err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", path, err)
	}
	return raw, nil
}

func openBlob(path string, size int64) (*os.File, error) {
	f, err := openRegular(path)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("cannot look at %s: %w", path, err), f.Close())
	}
	if info.Size() != size {
		return nil, errors.Join(damagedf("%s has %d bytes, its manifest says %d", path, info.Size(), size), f.Close())
	}
	return f, nil
}

// openRegular opens a file of the package.
func openRegular(path string) (*os.File, error) {
	f, err := OpenRegular(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, damagedf("cannot find %s: %w", path, err)
	case errors.Is(err, ErrIrregular):
		return nil, damagedf("%w", err)
	case err != nil:
		return nil, fmt.Errorf("cannot open %s: %w", path, err)
	}
	return f, nil
}
