package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"ss-setup/packaging/release"
	"ss-setup/packaging/windows"
)

// small is the compressor of what is shipped.
const small = "lzma"

// wizard makes the wizard of a bundle for Windows.
func (c *command) wizard(args []string) error {
	var o windows.Options
	var sign signature
	f := c.flags()
	f.StringVar(&o.Bundle, "bundle", "", "folder of the bundle")
	f.StringVar(&o.Helper, "helper", "", "the program "+windows.HelperName)
	f.StringVar(&o.License, "license", "LICENSE", "file with the text that users agree to")
	f.StringVar(&o.Compressor, "compressor", small, "lzma, or zlib, which is fast")
	f.StringVar(&o.Out, "out", "", "file to write")
	sign.flags(f)
	if _, err := c.parse(f, args, 0); err != nil {
		return err
	}
	if o.Compressor != small && o.Compressor != "zlib" {
		return fmt.Errorf("%w: --compressor is %q; choose lzma or zlib", errUsage, o.Compressor)
	}
	if o.Bundle == "" || o.Helper == "" || o.Out == "" {
		return fmt.Errorf("%w: wizard needs --bundle, --helper and --out", errUsage)
	}
	return c.buildWizard(o, sign)
}

// buildWizard makes a wizard and signs it. What is not signed never has its name.
func (c *command) buildWizard(o windows.Options, sign signature) error {
	by, err := sign.authenticode(c)
	if err != nil {
		return err
	}
	out := o.Out
	o.Out = filepath.Join(filepath.Dir(out), ".unsigned-"+filepath.Base(out))
	defer os.Remove(o.Out)
	if err := windows.Build(context.Background(), o); err != nil {
		return err
	}
	if err := by.Sign(context.Background(), o.Out); err != nil {
		return err
	}
	if err := os.Rename(o.Out, out); err != nil {
		return err
	}
	c.say("%s: %s", out, sizeOf(out))
	return nil
}

// wizard makes the wizard of a bundle for Windows, if there is one.
func (p *publishing) wizard(c *command, b packed) error {
	if b.manifest.OS != "windows" || !p.wizards {
		return nil
	}
	name := windows.Name(b.manifest.Version)
	p.made = append(p.made, name)
	return c.buildWizard(windows.Options{
		Bundle: b.dir, Helper: filepath.Join(p.bin, b.manifest.OS+"-"+b.manifest.Arch, windows.HelperName),
		License: p.license, Compressor: small, Out: filepath.Join(p.out, name),
	}, p.sign)
}

// tools looks for what a release is made with before anything of it is made.
func (p *publishing) tools() error {
	for _, b := range p.now {
		if b.manifest.OS != "windows" || !p.wizards {
			continue
		}
		if _, err := windows.Tool(); err != nil {
			return err
		}
		if err := release.SignerInstalled(); err != nil {
			return err
		}
	}
	return nil
}
