package signing

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"ss-setup/installer/bundle"
	"ss-setup/installer/bundle/trust"
)

// WriteSite makes the repository of what is published, as it is uploaded: the
// files of the publications, then the metadata that name them. Files of releases
// before are on the server already, under other names.
func (v *Vault) WriteSite(dir string, publications []Publication) error {
	for _, p := range publications {
		if err := writeTargets(filepath.Join(dir, "targets"), p); err != nil {
			return fmt.Errorf("write the files of %s into the repository: %w", p.Dir, err)
		}
	}
	return v.UpdateSite(dir)
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
		if err := copyFile(file, filepath.Join(dir, filepath.FromSlash(t.StoredAs()))); err != nil {
			return err
		}
	}
	return nil
}

func copyFile(from, to string) error {
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}
