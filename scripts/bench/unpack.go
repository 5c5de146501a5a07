//go:build linux

package main

import (
	"context"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"ss-setup/installer/bundle"
)

// unpackShare is how many times more runs there are than of what boots machines: a
// run is short, and noise weighs the more.
const unpackShare = 3

// unpackRows compares opening, verifying and unpacking a bundle, as the installer's
// step does it, with tar. Neither side syncs: tar cannot. Both are new processes: a
// kernel under load treats one that has just begun better than one that has written
// gigabytes.
func unpackRows(b *bench) []row {
	self, err := os.Executable()
	b.must(err)
	ours := func(t *bench, _ int) time.Duration {
		return t.timed(exec.Command(self, "-bundle", t.bundle, "-unpack", t.tempDir()))
	}
	peers := func(t *bench, _ int) time.Duration {
		return t.timed(exec.Command("tar", "--zstd", "-xf", filepath.Join(t.bundle, bundle.PayloadName), "-C", t.tempDir()))
	}
	o, p := b.interleave(unpackShare*b.runs, ours, peers)
	return []row{ratioRow("unpack_vs_tar", o, p, atMost(1.2), "peer: tar --zstd -x of the same payload on the same disk; no syncs on either side")}
}

// timed runs a program to its end.
func (b *bench) timed(cmd *exec.Cmd) time.Duration {
	start := time.Now()
	if out, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("%s: %w\n%s(tar needs the package zstd)", cmd, err, out)
	}
	return time.Since(start)
}

func unpack(from, to string) error {
	opened, err := bundle.Open(from)
	if err != nil {
		return err
	}
	opened.PayloadDigestOnly = true // as step.UnpackRelease has it
	return opened.Unpack(context.Background(), unsynced(to), nil)
}

// unsynced is a folder that a bundle is unpacked to.
type unsynced string

// Mkdir implements bundle.Target.
func (t unsynced) Mkdir(path string, mode fs.FileMode) error {
	return os.Mkdir(filepath.Join(string(t), path), mode)
}

// Create implements bundle.Target.
func (t unsynced) Create(path string, mode fs.FileMode, _ int64) (io.WriteCloser, error) {
	return os.OpenFile(filepath.Join(string(t), path), os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
}
