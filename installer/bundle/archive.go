package bundle

import (
	"archive/tar"
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/klauspost/compress/zstd"
	"github.com/mholt/archiver/v4"
)

// This file alone knows which library reads archives.

// maxWindow is how much memory a payload may make the decompressor hold: what
// `zstd -22 --ultra` asks for, and no more.
const maxWindow = 128 << 20

// entry is one entry of the archive, with nothing believed about it yet.
type entry struct {
	name string
	kind byte // as in archive/tar: TypeReg, TypeDir …
	mode int64
	size int64
	body io.Reader
}

// decompress reads zstd. The reader must be closed.
func decompress(r io.Reader) (io.ReadCloser, error) {
	format := archiver.Zstd{DecoderOptions: []zstd.DOption{
		zstd.WithDecoderMaxWindow(maxWindow),
		// One goroutine, the caller's: hashing keeps the other cores busy, and
		// more only get in its way.
		zstd.WithDecoderConcurrency(1),
	}}
	return format.OpenReader(r)
}

// walk hands every entry of a tar stream to visit, in order, until one fails.
func walk(ctx context.Context, r io.Reader, visit func(entry) error) error {
	return archiver.Tar{}.Extract(ctx, r, func(_ context.Context, info archiver.FileInfo) error {
		header, ok := info.Header.(*tar.Header)
		if !ok {
			return fmt.Errorf("%s has no tar header", info.NameInArchive)
		}
		body, err := info.Open()
		if err != nil {
			return err
		}
		return visit(entry{
			name: header.Name,
			kind: kind(header),
			mode: header.Mode,
			size: header.Size,
			body: body,
		})
	})
}

// kind is the type of an entry, where a sparse file counts as such however it
// is written: its size says nothing about the bytes in the archive.
func kind(header *tar.Header) byte {
	for key := range header.PAXRecords {
		if strings.HasPrefix(key, "GNU.sparse.") {
			return tar.TypeGNUSparse
		}
	}
	return header.Typeflag
}
