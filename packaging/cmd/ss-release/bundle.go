package main

import (
	"fmt"
	"path/filepath"

	"ss-setup/installer/bundle/trust"
	"ss-setup/packaging/release"
	"ss-setup/packaging/signing"
)

// bundle makes the bundle of one target and, with keys, signs it.
func (c *command) bundle(args []string) error {
	var o release.Options
	var keys, channel string
	var keep int
	f := c.flags()
	f.StringVar(&o.Version, "version", "", "version of the release, as 7.0.0")
	f.StringVar(&o.Bin, "bin", "", "folder with the runtime programs")
	f.StringVar(&o.Services, "services", "", "folder with the service definitions")
	f.StringVar(&o.Setup, "setup", "", "the ss-setup program")
	f.StringVar(&o.Out, "out", "", "folder to write the bundle into")
	f.StringVar(&o.OS, "os", "", "operating system of the target (default: that of --setup)")
	f.StringVar(&o.Arch, "arch", "", "architecture of the target (default: that of --setup)")
	f.IntVar(&o.Level, "level", 3, "zstd level, 1 fast to 19 small")
	f.StringVar(&keys, "keys", "", "folder of the keys to sign with; without it the bundle is not signed")
	f.StringVar(&channel, "channel", trust.Stable, "channel of the release")
	f.IntVar(&keep, "keep", 0, "how many releases of a target stay signed; 0 for all")
	if _, err := c.parse(f, args, 0); err != nil {
		return err
	}
	m, err := release.Bundle(o)
	if err != nil {
		return err
	}
	c.say("%s: %s %s for %s/%s, %d files, payload %d bytes", o.Out, m.Product, m.Version, m.OS, m.Arch, len(m.Files), m.Payload.Size)
	if keys == "" {
		return nil
	}
	released, err := release.SourceDate()
	if err != nil {
		return err
	}
	vault := signing.Open(keys)
	publication := signing.Publication{Dir: o.Out, Info: trust.ReleaseInfo{Channel: channel, Released: released}}
	if err := vault.Publish([]signing.Publication{publication}, keep); err != nil {
		return fmt.Errorf("sign %s: %w", o.Out, err)
	}
	return vault.CopyMetadata(filepath.Join(o.Out, trust.MetadataDir))
}
