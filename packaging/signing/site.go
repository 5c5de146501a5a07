package signing

import (
	"fmt"
	"io"
	"os"
	"path/filepath"

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
