package signing

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"ss-setup/installer/bundle"
	"ss-setup/installer/bundle/trust"
)

// WriteFiles puts the files of publications into a repository. They have their digest
// in their name, so they can be there before they are signed, and have to: whoever
// reads that they are published asks for them. Files of releases before are on the
// server already, under other names.
func WriteFiles(site string, publications []Publication) error {
	for _, p := range publications {
		if err := writeTargets(filepath.Join(site, "targets"), p); err != nil {
			return fmt.Errorf("write the files of %s into the repository: %w", p.Dir, err)
		}
	}
	return nil
}

func writeTargets(dir string, p Publication) error {
	raw, err := os.ReadFile(filepath.Join(p.Dir, bundle.ManifestName))
	if err != nil {
		return err
	}
	m, err := bundle.Parse(raw)
	if err != nil {
		return err
	}
	own := trust.ReleaseDir(m.Version, m.OS, m.Arch, bundle.Digest(raw))
	files := map[string]string{}
	for _, name := range []string{bundle.ManifestName, bundle.PayloadName, trust.SetupName(m.OS)} {
		files[own+"/"+name] = filepath.Join(p.Dir, name)
	}
	for _, patch := range p.Patches {
		files[own+"/"+PatchDir(patch.Info.From)+"/"+patch.Info.Of+".patch"] = patch.File
	}
	for path, file := range files {
		b, err := blobOf(file)
		if err != nil {
			return err
		}
		t := trust.Target{Path: path, Size: b.Size, SHA256: b.SHA256}
		if err := copyFile(file, filepath.Join(dir, filepath.FromSlash(t.StoredAs())), b); err != nil {
			return err
		}
	}
	return nil
}

// copyFile makes a copy whole or not at all: clients may be reading what is there. A
// right one is left alone.
func copyFile(from, to string, b bundle.Blob) error {
	if there, err := blobOf(to); err == nil && there == b {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	return place(to, func(w io.Writer) error {
		_, err := io.Copy(w, in)
		return err
	})
}

// ErrBehind is found in the error of CheckSite for a repository that another copy of
// the vault has signed since: machines that have seen that would refuse what is older.
var ErrBehind = errors.New("these keys have signed something newer, which is in the repository")

// ErrOtherRoot is found in the error of CheckSite for a repository whose chain of roots
// is not that of the vault: machines that trust it would trust nothing there any more.
var ErrOtherRoot = errors.New("it is signed by other keys")

// ErrNoRepository is found in the error of CheckSite for a folder without metadata.
var ErrNoRepository = errors.New("it is no repository")

// CheckSite tells whether the metadata of this vault belong into a repository that is
// being served: nil, or ErrNoRepository, ErrOtherRoot or ErrBehind. It changes nothing.
func (v *Vault) CheckSite(site string) error {
	s, err := v.load()
	if err != nil {
		return err
	}
	return v.checkSite(s, site)
}

func (v *Vault) checkSite(s *state, site string) error {
	dir := filepath.Join(site, trust.MetadataDir)
	if !exists(filepath.Join(dir, "1.root.json")) && !exists(filepath.Join(dir, "timestamp.json")) {
		return fmt.Errorf("%s: %w: there are no metadata/1.root.json and timestamp.json in it; name the folder that holds metadata/ and targets/ (ss-release publish makes the first one)", site, ErrNoRepository)
	}
	same, err := v.sameRoots(s, dir)
	if err != nil {
		return err
	}
	if !same {
		return fmt.Errorf("%s: %w than those in %s; name the folder of its keys with --keys", site, ErrOtherRoot, v.Dir)
	}
	newer, err := v.isBehind(s, dir)
	if newer {
		return fmt.Errorf("%w: %s; copy what is in %s to %s, then sign again", ErrBehind, site, dir, v.MetadataDir())
	}
	return err
}

// sameRoots tells whether the roots in a folder are those of this vault, from the first
// on, as far as both have them.
func (v *Vault) sameRoots(s *state, dir string) (bool, error) {
	for n := range s.root.Signed.Version {
		name := fmt.Sprintf("%d.root.json", n+1)
		theirs, err := os.ReadFile(filepath.Join(dir, name))
		if errors.Is(err, fs.ErrNotExist) {
			return n > 0, nil
		}
		if err != nil {
			return false, err
		}
		own, err := os.ReadFile(v.file(name))
		if err != nil || !bytes.Equal(own, theirs) {
			return false, err
		}
	}
	return true, nil
}

// isBehind tells whether this vault has not signed the metadata in a folder that have
// its roots.
func (v *Vault) isBehind(s *state, dir string) (bool, error) {
	next, err := metadata.Root().FromFile(filepath.Join(dir, fmt.Sprintf("%d.root.json", s.root.Signed.Version+1)))
	if err == nil && s.root.VerifyDelegate(metadata.ROOT, next) == nil {
		return true, nil
	}
	there, err := metadata.Timestamp().FromFile(filepath.Join(dir, "timestamp.json"))
	if err != nil {
		return false, nil // none, or none that anybody can read
	}
	if there.Signed.Version > s.timestamp.Signed.Version {
		return true, nil
	}
	// A copy of the vault that went its own way may have reached higher numbers.
	name := fmt.Sprintf("%d.snapshot.json", there.Signed.Meta["snapshot.json"].Version)
	theirs, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		return false, nil
	}
	known, err := os.ReadFile(v.file(name))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	return !bytes.Equal(known, theirs), nil
}
