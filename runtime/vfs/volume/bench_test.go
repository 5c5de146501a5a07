package volume_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"ss-setup/runtime/vfs"
	"ss-setup/runtime/vfs/keyring"
	"ss-setup/runtime/vfs/vfstest"
	"ss-setup/runtime/vfs/volume"
)

const benchSize = 256 << 20

// eachKind runs a benchmark for requests as old clients send them, and as those that ask
// for the limits do. Files lie in memory where there is a file system for that.
func eachKind(b *testing.B, work func(b *testing.B, f *volume.Tree, request []byte)) {
	for _, kind := range []volume.Kind{volume.Disk, volume.Encrypted} {
		for _, size := range []int{32 << 10, 255 << 10} {
			b.Run(fmt.Sprintf("%s/%dKiB", kind, size>>10), func(b *testing.B) {
				dir, err := os.MkdirTemp("/dev/shm", "vfs")
				if err != nil {
					dir = b.TempDir()
				}
				b.Cleanup(func() { _ = os.RemoveAll(dir) })
				ring, err := keyring.Open(filepath.Join(dir, "keyring"))
				must(b, err)
				c := volume.Config{Kind: kind, Dir: filepath.Join(dir, "vfs"), Ring: ring, Log: slog.New(slog.DiscardHandler)}
				_, err = volume.Create(c)
				must(b, err)
				b.SetBytes(benchSize)
				work(b, home(b, open(b, c), "/", "bench"), bytes.Repeat([]byte("x"), size))
			})
		}
	}
}

func BenchmarkUpload(b *testing.B) {
	eachKind(b, func(b *testing.B, f *volume.Tree, request []byte) {
		for b.Loop() {
			upload(b, f, request)
		}
	})
}

func upload(b *testing.B, f vfs.FS, request []byte) {
	file, err := f.Open(vfstest.Path(b, "/f"), vfs.Write|vfs.Create|vfs.Truncate, 0)
	must(b, err)
	for at := 0; at < benchSize; at += len(request) {
		if _, err := file.WriteAt(request[:min(len(request), benchSize-at)], int64(at)); err != nil {
			b.Fatal(err)
		}
	}
	must(b, file.Close())
}

func BenchmarkDownload(b *testing.B) {
	eachKind(b, func(b *testing.B, f *volume.Tree, request []byte) {
		upload(b, f, request)
		for b.Loop() {
			file, err := f.Open(vfstest.Path(b, "/f"), vfs.Read, 0)
			must(b, err)
			for at := 0; at < benchSize; at += len(request) {
				if _, err := file.ReadAt(request[:min(len(request), benchSize-at)], int64(at)); err != nil {
					b.Fatal(err)
				}
			}
			must(b, file.Close())
		}
	})
}

// BenchmarkPatch is a write of 4 KiB into the middle of a file that is there: what sshfs
// does, with its journal.
func BenchmarkPatch(b *testing.B) {
	eachKind(b, func(b *testing.B, f *volume.Tree, request []byte) {
		upload(b, f, request)
		file, err := f.Open(vfstest.Path(b, "/f"), vfs.Write, 0)
		must(b, err)
		b.SetBytes(4096)
		i := int64(0)
		for b.Loop() {
			i++
			if _, err := file.WriteAt(request[:4096], i*7919*4096%benchSize); err != nil {
				b.Fatal(err)
			}
		}
		must(b, file.Close())
	})
}
