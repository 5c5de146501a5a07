package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"ss-setup/installer/bundle/trust"
	"ss-setup/packaging/packages"
	"ss-setup/packaging/release"
	"ss-setup/packaging/windows"
	"ss-setup/packaging/winget"
)

// What is said of a release where the operator says nothing else.
const (
	defaultMaintainer = "SS Server <root@localhost>"
	defaultWingetID   = "SSServer.SSServer"
	defaultPublisher  = "SS Server"
)

// doors makes the other ways to install what was packed: packages, the wizard, one-liners
// and the manifests for winget. The last two name an address, so without one there are
// none. They have the same names in every release, so of channels but stable there are none either:
// those would take the place of the stable ones on the server.
func (p *publishing) doors(c *command, channel string) error {
	for _, b := range p.now {
		if err := errors.Join(p.packages(c, b), p.wizard(c, b)); err != nil {
			return err
		}
	}
	if channel != trust.Stable {
		c.say("channel %s: no one-liners and no manifests for winget are made; those are of stable releases", channel)
		return nil
	}
	if p.baseURL == "" {
		c.say("no --base-url: no one-liners and no manifests for winget are made")
		return nil
	}
	if strings.HasPrefix(p.baseURL, "http://") {
		fmt.Fprintln(c.stderr, "ss-release: warning: over http:// anybody on the way can change the one-liners; use https://")
	}
	if err := p.scripts(c); err != nil {
		return err
	}
	for _, b := range p.now {
		if err := p.manifests(c, b); err != nil {
			return err
		}
	}
	return nil
}

// packages makes the packages of one bundle, if it is for Linux.
func (p *publishing) packages(c *command, b packed) error {
	if b.manifest.OS != "linux" || len(p.formats) == 0 {
		return nil
	}
	when, err := p.released(b)
	if err != nil {
		return err
	}
	made, err := packages.Build(context.Background(), packages.Options{
		Bundle: b.dir, Out: p.out, Formats: p.formats, Maintainer: p.maintainer, Time: when,
	})
	for _, file := range made {
		p.made = append(p.made, filepath.Base(file))
		c.say("%s", file)
	}
	return err
}

func (p *publishing) released(b packed) (time.Time, error) {
	entry, err := release.EntryOf(p.entries, b.manifest.Version)
	if err != nil {
		return time.Time{}, err
	}
	return released(entry)
}

// scripts renders the one-liners of the targets that were packed.
func (p *publishing) scripts(c *command) error {
	var targets []string
	for _, b := range p.now {
		if target := b.manifest.OS + "/" + b.manifest.Arch; slices.Contains(release.ScriptTargets(), target) {
			targets = append(targets, target)
		}
	}
	if len(targets) == 0 {
		return nil
	}
	names, err := release.Scripts(release.ScriptOptions{
		Version: p.now[0].manifest.Version, Templates: p.templates, Dist: p.out,
		Bases: append([]string{p.baseURL}, p.mirrors...), Targets: targets, Out: p.out,
	})
	if err != nil {
		return err
	}
	p.made = append(p.made, names...)
	c.say("%s: %s", p.out, strings.Join(names, ", "))
	return nil
}

// manifests writes what winget knows a bundle for Windows by: the wizard, else the
// archive. winget takes no address that is not https.
func (p *publishing) manifests(c *command, b packed) error {
	if b.manifest.OS != "windows" || !strings.HasPrefix(p.baseURL, "https://") {
		return nil
	}
	file, kind := filepath.Base(b.dir)+".zip", winget.Zip
	if p.wizards {
		file, kind = windows.Name(b.manifest.Version), winget.Nullsoft
	}
	sum, err := release.FileSum(filepath.Join(p.out, file))
	if err != nil {
		return err
	}
	o := p.winget
	o.Version, o.Type, o.SHA256 = b.manifest.Version, kind, sum
	o.URL = strings.TrimRight(p.baseURL, "/") + "/" + file
	dir := filepath.Join(p.out, "winget")
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	names, err := winget.Write(o, dir)
	if err == nil {
		c.say("%s: %d manifests for winget", dir, len(names))
	}
	return err
}
