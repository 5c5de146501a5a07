// Package release makes what a vendor ships. A bundle is a folder with three files:
// ss-setup, payload.tar.zst (programs and service definitions) and manifest.json,
// which declares every one of them with size, mode and SHA-256.
//
// The same input gives the same bytes: entries are sorted, times are zero, owners
// are 0, modes follow from the kind of file and not from somebody's umask, and the
// compressor runs on one core.
package release

import (
	"debug/buildinfo"
	"fmt"
	"os"
	"path/filepath"

	"ss-setup/installer/bundle"
	"ss-setup/installer/bundle/trust"
)

// Programs are the runtime programs a bundle carries, without a suffix. It is a list
// and not "whatever lies in the folder", so that a stray file is never shipped.
var Programs = []string{"lmu", "ss-licensed", "ss-server", "ss-vfsdecrypt"}

// Options tells Bundle what to pack.
type Options struct {
	Version  string // as the programs themselves tell it, without a leading v
	Bin      string // folder with Programs
	Services string // folder with the service definitions: systemd/, sysv/, openrc/
	Setup    string // the ss-setup program
	Out      string // folder to write; made if missing
	OS, Arch string // target; when empty, read from the Setup program itself
	Level    int    // zstd's scale, 1 fast to 19 small
}

// Bundle writes the bundle into o.Out and returns its manifest. The manifest is
// written last: a folder without one is not a bundle.
func Bundle(o Options) (*bundle.Manifest, error) {
	if err := o.complete(); err != nil {
		return nil, err
	}
	sources, err := o.sources()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(o.Out, 0o755); err != nil {
		return nil, fmt.Errorf("make bundle folder: %w", err)
	}
	manifestPath := filepath.Join(o.Out, bundle.ManifestName)
	if err := os.Remove(manifestPath); err != nil && !os.IsNotExist(err) {
		return nil, fmt.Errorf("remove the old manifest: %w", err)
	}
	// Signatures of the old manifest would not fit the new one.
	if err := os.RemoveAll(filepath.Join(o.Out, trust.MetadataDir)); err != nil {
		return nil, fmt.Errorf("remove the old signatures: %w", err)
	}
	m := &bundle.Manifest{
		Schema:  bundle.Schema,
		Product: bundle.Product,
		Version: o.Version,
		OS:      o.OS,
		Arch:    o.Arch,
	}
	if m.Setup, err = copySetup(o.Setup, filepath.Join(o.Out, bundle.SetupName+exeSuffix(o.OS))); err != nil {
		return nil, err
	}
	if m.Files, m.Payload, err = writePayload(filepath.Join(o.Out, bundle.PayloadName), sources, o.Level); err != nil {
		return nil, err
	}
	return m, writeManifest(manifestPath, m)
}

// complete fills in what can be read from the input and refuses what is missing.
func (o *Options) complete() error {
	for name, value := range map[string]string{
		"version": o.Version, "bin": o.Bin, "services": o.Services, "setup": o.Setup, "out": o.Out,
	} {
		if value == "" {
			return fmt.Errorf("nothing given for --%s", name)
		}
	}
	if o.OS != "" && o.Arch != "" {
		return nil
	}
	info, err := buildinfo.ReadFile(o.Setup)
	if err != nil {
		return fmt.Errorf("read the target from %s (or name it with --os and --arch): %w", o.Setup, err)
	}
	for _, s := range info.Settings {
		switch {
		case s.Key == "GOOS" && o.OS == "":
			o.OS = s.Value
		case s.Key == "GOARCH" && o.Arch == "":
			o.Arch = s.Value
		}
	}
	return nil
}

func exeSuffix(goos string) string {
	if goos == "windows" {
		return ".exe"
	}
	return ""
}
