package step

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"

	"ss-setup/installer/bundle"
	"ss-setup/installer/machine"
)

// UnpackRelease unpacks the bundle into a release folder of its own.
type UnpackRelease struct {
	Release string `json:"release"`
	// Digest of the manifest.
	Digest string `json:"digest"`
}

type unpackUndo struct {
	Existed bool `json:"existed"`
}

// Kind implements Step.
func (s *UnpackRelease) Kind() string { return "unpack_release" }

func (s *UnpackRelease) String() string { return "verify and unpack release " + s.Release }

// Prepare notes whether the release lies there already: its name carries its
// digest, so it is the same one.
func (s *UnpackRelease) Prepare(_ context.Context, m *Machine) (any, error) {
	return unpackUndo{Existed: m.FS.Exists(machine.Release(s.Release))}, nil
}

// Do unpacks into a staging folder; only what was verified whole gets its name.
func (s *UnpackRelease) Do(ctx context.Context, m *Machine) error {
	dir := machine.Release(s.Release)
	if m.FS.Exists(dir) {
		return s.proveExisting(m)
	}
	part := dir + ".part"
	if err := m.FS.RemoveAll(part); err != nil {
		return err
	}
	if err := m.FS.Mkdir(part, 0o755); err != nil {
		return err
	}
	// The payload's digest in the manifest proves every byte; a second digest of
	// each file would only find a manifest that contradicts its own payload.
	m.Bundle.PayloadDigestOnly = true
	if err := s.unpack(ctx, m, part); err != nil {
		return err
	}
	if err := syncFolders(m.FS, part); err != nil {
		return err
	}
	if err := m.FS.Rename(part, dir); err != nil {
		return err
	}
	return m.FS.SyncDir(machine.ReleasesDir)
}

// proveExisting holds a release that lies there already to its manifest.
func (s *UnpackRelease) proveExisting(m *Machine) error {
	dir := machine.Release(s.Release)
	_, digests, err := releaseFiles(m.FS, dir)
	if err != nil {
		return fmt.Errorf("release folder %s is damaged: %w; run: ss-setup install --repair", dir, err)
	}
	for path, want := range digests {
		if sum, err := fileDigest(m.FS, path); err != nil || sum != want {
			return fmt.Errorf("%s is damaged; run: ss-setup install --repair", path)
		}
	}
	return nil
}

// unpack also keeps manifest and payload, so that a repair works offline, and why
// they were trusted.
func (s *UnpackRelease) unpack(ctx context.Context, m *Machine, part string) error {
	if err := m.FS.WriteFile(filepath.Join(part, bundle.ManifestName), m.Bundle.Raw, machine.Attr{Mode: 0o644}); err != nil {
		return err
	}
	if m.Bundle.Evidence != nil {
		if err := m.FS.WriteFile(filepath.Join(part, bundle.EvidenceName), m.Bundle.Evidence, machine.Attr{Mode: 0o644}); err != nil {
			return err
		}
	}
	keep, err := m.FS.Create(filepath.Join(part, bundle.PayloadName), 0o644)
	if err != nil {
		return err
	}
	err = m.Bundle.UnpackKeeping(ctx, staging{m.FS, part}, keep, m.progress)
	if err == nil {
		err = keep.Sync()
	}
	return errors.Join(err, keep.Close())
}

// syncFolders syncs the folders of a tree whose files are synced already.
func syncFolders(f *machine.FS, dir string) error {
	entries, err := f.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !e.IsDir() {
			continue
		}
		if err := syncFolders(f, filepath.Join(dir, e.Name())); err != nil {
			return err
		}
	}
	return f.SyncDir(dir)
}

// Undo removes the release if this run brought it.
func (s *UnpackRelease) Undo(_ context.Context, m *Machine, undo json.RawMessage) error {
	var u unpackUndo
	if err := json.Unmarshal(undo, &u); err != nil {
		return err
	}
	dir := machine.Release(s.Release)
	if u.Existed {
		return removeTrees(m.FS, dir+".part")
	}
	current, err := CurrentGeneration(m.FS)
	if err != nil {
		return err
	}
	if current != 0 && ReleaseOf(m.FS, current) == s.Release {
		return fmt.Errorf("release %s is in force and will not be removed", s.Release)
	}
	return removeTrees(m.FS, dir+".part", dir)
}

// ReleaseOf reads which release a generation runs; empty when it cannot be told.
func ReleaseOf(f *machine.FS, n int) string {
	target, err := f.ReadPointer(filepath.Join(machine.Generation(n), "release"))
	if err != nil {
		return ""
	}
	return filepath.Base(target)
}

// staging is where a bundle unpacks to: every write goes through the machine's FS.
type staging struct {
	fs  *machine.FS
	dir string
}

func (t staging) Mkdir(path string, mode fs.FileMode) error {
	return t.fs.Mkdir(filepath.Join(t.dir, path), mode)
}

func (t staging) Create(path string, mode fs.FileMode, _ int64) (io.WriteCloser, error) {
	f, err := t.fs.Create(filepath.Join(t.dir, path), mode)
	if err != nil {
		return nil, err
	}
	return syncedFile{f}, nil
}

// syncedFile makes Close durable.
type syncedFile struct{ *machine.File }

func (f syncedFile) Close() error { return errors.Join(f.Sync(), f.File.Close()) }

// SelfTest runs the new programs once before anything is stopped.
type SelfTest struct {
	noUndo
	Release string `json:"release"`
	Program string `json:"program"`
	Account string `json:"account"`
}

// Kind implements Step.
func (s *SelfTest) Kind() string { return "self_test" }

func (s *SelfTest) String() string { return "self-test of " + s.Program + " " + s.Release }

// Do runs the self-test.
func (s *SelfTest) Do(ctx context.Context, m *Machine) error {
	err := m.Programs.Run(ctx, Command{Path: program(s.Release, s.Program), Args: []string{"selftest"}, User: s.Account})
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	}
	return fmt.Errorf("%w: %w", ErrReleaseFailed, err)
}

// Undo has nothing to put back.
func (s *SelfTest) Undo(context.Context, *Machine, json.RawMessage) error { return nil }
