//go:build linux

package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"

	"github.com/klauspost/compress/zstd"

	"ss-setup/installer/bundle"
	"ss-setup/installer/bundle/delta"
	"ss-setup/scripts/lab/fixtures"
)

// patchRows compares what an update downloads by patches with the whole of the same
// release, packed as small as a release is. The two releases are real builds that
// differ by their version and by the code of one migration. Sizes do not vary, so
// they are measured once.
func patchRows(b *bench) []row {
	old, fresh := packedFiles(b, "7.0.0"), packedFiles(b, "7.0.1")
	payload, err := delta.MakePayload(old.payload, fresh.payload)
	b.must(err)
	setup, err := delta.Make(old.setup, fresh.setup)
	b.must(err)
	patches := len(payload.Patch) + len(setup) + fresh.manifest
	whole := len(fresh.payload) + len(b.compressed(fresh.setup)) + fresh.manifest
	note := fmt.Sprintf("%d bytes (payload %d, ss-setup %d) in place of %d", patches, len(payload.Patch), len(setup), whole)
	return []row{newRow("patch_ratio", 100*float64(patches)/float64(whole), "%", atMost(15), 1, note)}
}

// packed are the files of a release.
type packed struct {
	payload, setup []byte
	manifest       int // its size
}

// packedFiles reads a fixture; its payload is packed again as that of a release.
func packedFiles(b *bench, name string) packed {
	dir := fixtures.Bundle(b, name)
	read := func(file string) []byte {
		data, err := os.ReadFile(filepath.Join(dir, file))
		b.must(err)
		return data
	}
	archive, err := delta.OpenPayload(bytes.NewReader(read(bundle.PayloadName)))
	b.must(err)
	payload, err := delta.ClosePayload(archive, zstd.SpeedBestCompression)
	b.must(err)
	return packed{payload: payload, setup: read(bundle.SetupName), manifest: len(read(bundle.ManifestName))}
}

func (b *bench) compressed(data []byte) []byte {
	out, err := delta.ClosePayload(data, zstd.SpeedBestCompression)
	b.must(err)
	return out
}
