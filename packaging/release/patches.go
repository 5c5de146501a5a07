package release

import (
	"errors"
	"os"
	"path/filepath"

	"ss-setup/installer/bundle"
	"ss-setup/installer/bundle/delta"
	"ss-setup/installer/bundle/trust"
	"ss-setup/packaging/signing"
)

// Patches makes, in dir, the patches that turn the files of one bundle into those of
// another. A file for which there can be none gets none: it is downloaded whole.
func Patches(from, to, dir string) ([]signing.PatchFile, error) {
	old, err := bundle.Open(from)
	if err != nil {
		return nil, err
	}
	fresh, err := bundle.Open(to)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	var out []signing.PatchFile
	add := func(of string, patch []byte, info trust.PatchInfo, err error) error {
		if errors.Is(err, delta.ErrUnfit) {
			return nil
		}
		if err != nil {
			return err
		}
		info.From, info.Of = old.Digest, of
		file := filepath.Join(dir, of+".patch")
		out = append(out, signing.PatchFile{File: file, Info: info})
		return os.WriteFile(file, patch, 0o644)
	}
	before, after, err := both(old.SetupPath(), fresh.SetupPath())
	if err != nil {
		return nil, err
	}
	patch, err := delta.Make(before, after)
	if err := add(trust.SetupName(fresh.Manifest.OS), patch, trust.PatchInfo{}, err); err != nil {
		return nil, err
	}
	if before, after, err = both(old.PayloadPath(), fresh.PayloadPath()); err != nil {
		return nil, err
	}
	p, err := delta.MakePayload(before, after)
	if p == nil {
		p = &delta.Payload{}
	}
	err = add(bundle.PayloadName, p.Patch, trust.PatchInfo{Archive: p.Size, Level: int(p.Level)}, err)
	return out, err
}

func both(a, b string) (x, y []byte, err error) {
	if x, err = os.ReadFile(a); err != nil {
		return nil, nil, err
	}
	y, err = os.ReadFile(b)
	return x, y, err
}
