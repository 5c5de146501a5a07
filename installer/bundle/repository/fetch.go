package repository

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/klauspost/compress/zstd"

	"ss-setup/installer/bundle"
	"ss-setup/installer/bundle/delta"
	"ss-setup/installer/bundle/trust"
)

// Fetch is a release on its way into a folder of its own, where it becomes a bundle
// with its metadata.
type Fetch struct {
	Client  *Client
	Release trust.Release
	// Seen are the metadata that vouch for the release.
	Seen *trust.Seen
	// Dir is a private folder for downloads.
	Dir string
	// Base is what this machine has of another release; nil when there is nothing.
	Base *Base
	// Progress gets bytes of all files together. It may be nil.
	Progress func(done, total int64)

	done int64
}

// Base is a release that patches can start from.
type Base struct {
	// Digest of its manifest.
	Digest string
	// Setup and Payload are its files.
	Setup, Payload string
}

// Folder is where the release comes to lie.
func (f *Fetch) Folder() string { return filepath.Join(f.Dir, f.Release.Folder()) }

// Bytes is how much there is to download at most, patches counted where there are
// any.
func (f *Fetch) Bytes() int64 {
	n := f.Release.Manifest.Size
	for _, t := range []trust.Target{f.Release.Setup, f.Release.Payload} {
		n += f.smallest(t).Size
	}
	return n
}

// smallest is the patch for a target, or the target.
func (f *Fetch) smallest(t trust.Target) trust.Target {
	if p, ok := f.patch(t); ok {
		return p.Target
	}
	return t
}

// patch is one that is worth it.
func (f *Fetch) patch(t trust.Target) (trust.Patch, bool) {
	if f.Base == nil {
		return trust.Patch{}, false
	}
	p, ok := f.Release.Patch(f.Base.Digest, filepath.Base(t.Path))
	return p, ok && p.Size < t.Size && p.Size <= delta.MaxSize && t.Size <= delta.MaxSize
}

// Setup gets the manifest and ss-setup, which goes on with the rest: the payload is
// made again out of a patch by the very program that knows how it was made. Other
// releases in Dir are removed.
func (f *Fetch) Setup(ctx context.Context) error {
	if err := onlyKeep(f.Dir, f.Release.Folder()); err != nil {
		return err
	}
	if err := os.MkdirAll(f.Folder(), 0o700); err != nil {
		return err
	}
	if err := f.Seen.WriteTo(filepath.Join(f.Folder(), trust.MetadataDir)); err != nil {
		return err
	}
	if err := f.get(ctx, f.Release.Manifest, nil); err != nil {
		return err
	}
	if err := f.get(ctx, f.Release.Setup, f.patchedSetup); err != nil {
		return err
	}
	// Only what has been proved may be run.
	return os.Chmod(f.file(f.Release.Setup), 0o700)
}

// Payload gets what is missing after Setup.
func (f *Fetch) Payload(ctx context.Context) error {
	return f.get(ctx, f.Release.Payload, f.patchedPayload)
}

func (f *Fetch) file(t trust.Target) string { return filepath.Join(f.Folder(), filepath.Base(t.Path)) }

// get makes a target out of a patch if it can, and downloads it otherwise.
func (f *Fetch) get(ctx context.Context, t trust.Target, patched func(trust.Patch, []byte) ([]byte, error)) error {
	if digest, err := digestOf(f.file(t)); err == nil && digest == t.SHA256 {
		f.advance(f.smallest(t).Size, 0)
		return nil
	}
	if p, ok := f.patch(t); ok && patched != nil {
		err := f.apply(ctx, t, p, patched)
		if err == nil {
			f.advance(p.Size, 0)
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
	err := f.Client.Download(ctx, t, f.file(t), func(done, _ int64) { f.advance(0, done) })
	f.advance(t.Size, 0)
	return err
}

// advance tells the progress: finished bytes for good, running ones for now.
func (f *Fetch) advance(finished, running int64) {
	f.done += finished
	if f.Progress != nil {
		now := f.done + running
		f.Progress(now, max(now, f.Bytes()))
	}
}

// apply gets a patch and writes what it makes, if that is right.
func (f *Fetch) apply(ctx context.Context, t trust.Target, p trust.Patch, patched func(trust.Patch, []byte) ([]byte, error)) error {
	file := f.file(t) + ".patch"
	defer os.Remove(file)
	defer os.Remove(file + partSuffix)
	if err := f.Client.Download(ctx, p.Target, file, func(done, _ int64) { f.advance(0, done) }); err != nil {
		return err
	}
	patch, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	made, err := patched(p, patch)
	if err != nil {
		return err
	}
	if bundle.Digest(made) != t.SHA256 {
		return fmt.Errorf("%w: it made another %s", delta.ErrUnfit, t.Path)
	}
	if err := os.WriteFile(f.file(t)+partSuffix, made, 0o600); err != nil {
		return err
	}
	return os.Rename(f.file(t)+partSuffix, f.file(t))
}

func (f *Fetch) patchedSetup(_ trust.Patch, patch []byte) ([]byte, error) {
	old, err := readUpTo(f.Base.Setup, delta.MaxSize)
	if err != nil {
		return nil, err
	}
	return delta.Apply(old, patch, f.Release.Setup.Size)
}

func (f *Fetch) patchedPayload(info trust.Patch, patch []byte) ([]byte, error) {
	old, err := readUpTo(f.Base.Payload, delta.MaxSize)
	if err != nil {
		return nil, err
	}
	p := delta.Payload{Patch: patch, Size: info.Archive, Level: zstd.EncoderLevel(info.Level)}
	return p.Apply(bytes.NewReader(old))
}

func readUpTo(file string, limit int64) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = fmt.Errorf("%w: %s has more than %d bytes", delta.ErrUnfit, file, limit)
	}
	return data, err
}

// onlyKeep makes dir and removes everything in it but one entry: downloads of other
// releases that were given up.
func onlyKeep(dir, name string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return os.MkdirAll(dir, 0o700)
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Name() == name {
			continue
		}
		if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
			return err
		}
	}
	return nil
}
