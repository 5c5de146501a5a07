package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"ss-setup/packaging/signing"
)

// keysFlag is the folder of keys: --keys, or the development keys, which lie outside
// of any repository.
func defaultKeys() string {
	base := os.Getenv("XDG_DATA_HOME")
	if base == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return ""
		}
		base = filepath.Join(home, ".local", "share")
	}
	return filepath.Join(base, "ss-release", "dev")
}

// keys makes and changes keys.
func (c *command) keys(args []string) error {
	if len(args) == 0 {
		return fmt.Errorf("%w: keys needs a word: init, rotate or renew", errUsage)
	}
	c.name += " " + args[0]
	f := c.flags()
	dir := f.String("keys", defaultKeys(), "folder of the keys")
	development := f.Bool("development", false, "let ss-setup say of itself that its root is one of a developer")
	arguments := 0
	if args[0] == "rotate" {
		arguments = 1
	}
	words, err := c.parse(f, args[1:], arguments)
	if err != nil {
		return err
	}
	vault := signing.Open(*dir)
	switch args[0] {
	case "init":
		err = vault.Init(rand.Reader, *development)
		if errors.Is(err, signing.ErrThere) && *development {
			return nil // another build was faster
		}
		if err == nil {
			c.say("made keys in %s; keep that of root apart from the others, and build ss-setup with TRUST_ROOT=%s", *dir, vault.RootFile())
		}
		return err
	case "rotate":
		if err := vault.Rotate(words[0], rand.Reader); err != nil {
			return err
		}
		c.say("%s has a new key; upload %s now, or run: ss-release refresh --keys %s --site WEBROOT", words[0], vault.MetadataDir(), *dir)
		if words[0] != metadata.ROOT {
			c.say("machines that have seen it refuse every archive, package and one-liner made before; make those of each release that should stay installable anew: ss-release publish --keys %s --bundles DIR,… (docs/releasing.md, After a rotation)", *dir)
		}
		return nil
	case "renew":
		if err := vault.RenewRoot(); err != nil {
			return err
		}
		c.say("the root in %s has a new expiry; upload %s now", *dir, vault.MetadataDir())
		return nil
	}
	return fmt.Errorf("%w: keys has no word %q; there are init, rotate and renew", errUsage, args[0])
}
