package trust

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"ss-setup/installer/bundle"
)

// MetadataDir is the folder of metadata files, in a bundle as in a repository.
const MetadataDir = "metadata"

// Bounds of metadata files in bytes. What is longer is refused unread.
const (
	maxRoot      = 512 << 10
	maxTimestamp = 16 << 10
	maxSnapshot  = 2 << 20
	maxTargets   = 8 << 20
	maxRoots     = 1024
)

// Source has metadata files: N.root.json, timestamp.json, N.snapshot.json and
// N.targets.json.
type Source interface {
	// Metadata reads one file of at most limit bytes. Its error matches
	// ErrNoMetadata when there is no such file, and is a Refusal for Oversized when
	// it is longer.
	Metadata(ctx context.Context, name string, limit int64) ([]byte, error)
}

// Dir is a Source: the metadata folder of a bundle or of a copied repository.
type Dir string

// Metadata implements Source.
func (d Dir) Metadata(_ context.Context, name string, limit int64) ([]byte, error) {
	path := filepath.Join(string(d), name)
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %s", ErrNoMetadata, path)
	}
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, Refuse(Swapped, "%s is no regular file", path)
	}
	f, err := bundle.OpenRegular(path)
	if errors.Is(err, bundle.ErrIrregular) {
		return nil, Refuse(Swapped, "%w", err)
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return ReadLimited(f, path, limit)
}

// ReadLimited reads all of r, which name names, and refuses more than limit bytes.
func ReadLimited(r io.Reader, name string, limit int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	if int64(len(data)) > limit {
		return nil, Refuse(Oversized, "%s goes on after the %d bytes that it may have", name, limit)
	}
	return data, nil
}
