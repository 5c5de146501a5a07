package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"ss-setup/installer/bundle/trust"
	"ss-setup/packaging/release"
	"ss-setup/packaging/signing"
)

// refresh signs timestamp and snapshot anew.
func (c *command) refresh(args []string) error {
	s, _, err := c.signer(args, 0)
	if err != nil {
		return err
	}
	return s.sign("refreshed timestamp and snapshot", s.vault.Refresh)
}

// withdraw takes a version off the list.
func (c *command) withdraw(args []string) error {
	s, words, err := c.signer(args, 1)
	if err != nil {
		return err
	}
	if err := s.sign("withdrew "+words[0], func() error { return s.vault.Withdraw(words[0]) }); err != nil || s.site == "" {
		return err
	}
	return s.unlist(words[0])
}

// unlist takes a version out of the feed of the repository, where there is one.
func (s *signer) unlist(version string) error {
	name := filepath.Join(s.site, "releases.atom")
	feed, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	shorter, found := release.WithoutEntry(feed, version)
	if !found {
		return nil
	}
	if err := signing.WriteFile(name, shorter); err != nil {
		return fmt.Errorf("take %s out of the feed: %w", version, err)
	}
	s.c.say("%s does not list %s any more; take its entry out of CHANGELOG.md, too, which the next feed is made of", name, version)
	return nil
}

// promote moves a version to another channel.
func (c *command) promote(args []string) error {
	s, words, err := c.signer(args, 2)
	if err != nil {
		return err
	}
	if words[1] != trust.Stable && words[1] != trust.Beta {
		return fmt.Errorf("%w: there is no channel %q; there are stable and beta", errUsage, words[1])
	}
	return s.sign("promoted "+words[0]+" to "+words[1], func() error { return s.vault.Promote(words[0], words[1]) })
}

// signer is what --keys and --site of a verb name: the keys that sign, and the served
// repository, if any, that gets the new metadata.
type signer struct {
	c     *command
	vault *signing.Vault
	site  string
}

func (c *command) signer(args []string, arguments int) (*signer, []string, error) {
	f := c.flags()
	dir := f.String("keys", defaultKeys(), "folder of the keys")
	site := f.String("site", "", "repository to copy the new metadata to")
	words, err := c.parse(f, args, arguments)
	return &signer{c, signing.Open(*dir), *site}, words, err
}

// sign changes what is signed and brings the repository up to date. One that is not of
// these keys is refused before anything is changed.
func (s *signer) sign(done string, change func() error) error {
	keys, err := keysOf(s.vault)
	if err != nil {
		return err
	}
	if s.site != "" {
		if err := s.vault.CheckSite(s.site); err != nil {
			return s.explain(err, keys)
		}
	}
	if err := change(); err != nil {
		return err
	}
	if s.site == "" {
		s.c.say("%s with %s; no --site: upload %s", done, keys, s.vault.MetadataDir())
		return nil
	}
	if err := s.vault.UpdateSite(s.site); err != nil {
		return err
	}
	s.c.say("%s with %s; %s is up to date", done, keys, s.site)
	return nil
}

// explain says which keys did not fit where none were named.
func (s *signer) explain(err error, keys string) error {
	if errors.Is(err, signing.ErrOtherRoot) {
		return fmt.Errorf("nothing was changed with %s: %w", keys, err)
	}
	return fmt.Errorf("nothing was changed: %w", err)
}

// keysOf names a folder of keys to people, and says what development keys are.
func keysOf(v *signing.Vault) (string, error) {
	name := "the keys in " + v.Dir
	development, err := v.Development()
	if err != nil {
		return "", err
	}
	switch {
	case v.Dir == defaultKeys():
		name += " (the default development keys; --keys names others)"
	case development:
		name += " (development keys)"
	}
	return name, nil
}
