package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"

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
		c.say("%s has a new key; publish the metadata now", words[0])
		return nil
	case "renew":
		return vault.RenewRoot()
	}
	return fmt.Errorf("%w: keys has no word %q; there are init, rotate and renew", errUsage, args[0])
}
