package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"
	"golang.org/x/term"

	"ss-setup/runtime/backup"
	"ss-setup/runtime/verbs"
)

func passphraseFlag() cli.Flag {
	return &cli.StringFlag{Name: "passphrase-file", Usage: "the `FILE` whose first line is the backup's passphrase"}
}

func checkBackupCommand() *cli.Command {
	return &cli.Command{
		Name:      "check-backup",
		Usage:     "read a whole backup and tell what it holds and whether this release can restore it",
		ArgsUsage: "FILE",
		Flags:     []cli.Flag{passphraseFlag(), verbs.JSONFlag()},
		Action: func(c *cli.Context) error {
			path := c.Args().First()
			passphrase, err := passphraseFor(path, c.String("passphrase-file"))
			if err != nil {
				return err
			}
			a, file, err := backup.OpenFile(path, backup.ReadOptions{Passphrase: passphrase, Schema: schema().Version()})
			if err != nil {
				return err
			}
			defer file.Close()
			s, err := a.Verify(c.Context)
			if err != nil {
				return fmt.Errorf("check the backup %s: %w", path, err)
			}
			if c.Bool("json") {
				return json.NewEncoder(c.App.Writer).Encode(s)
			}
			fmt.Fprintf(c.App.Writer, "%s is sound: made %s by version %s on %q, schema %d\n",
				path, s.Header.Made.Local().Format(time.DateTime), s.Header.Version, s.Header.Node, s.Header.Schema)
			for _, kind := range slices.Sorted(maps.Keys(s.Objects)) {
				fmt.Fprintf(c.App.Writer, "%8d %s\n", s.Objects[kind], kind)
			}
			fmt.Fprintf(c.App.Writer, "%8d files\n", s.Files)
			return nil
		},
	}
}

// passphraseFor is the passphrase of a backup: none if it is not encrypted; else from the
// file, or asked for at a terminal.
func passphraseFor(path, file string) (string, error) {
	if file != "" {
		return passphraseFrom(file)
	}
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("open the backup: %w", err)
	}
	defer f.Close()
	intro := make([]byte, 64)
	n, _ := f.Read(intro)
	if !backup.Encrypted(intro[:n]) || !term.IsTerminal(int(os.Stdin.Fd())) {
		return "", nil
	}
	fmt.Fprint(os.Stderr, "Passphrase: ")
	text, err := term.ReadPassword(int(os.Stdin.Fd()))
	fmt.Fprintln(os.Stderr)
	if err != nil {
		return "", fmt.Errorf("read the passphrase: %w", err)
	}
	return string(text), nil
}

func passphraseFrom(file string) (string, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("read the passphrase: %w", err)
	}
	line, _, _ := bytes.Cut(text, []byte("\n"))
	passphrase := strings.TrimSuffix(string(line), "\r")
	if passphrase == "" {
		return "", fmt.Errorf("%w: %s begins with an empty line", backup.ErrPassphrase, file)
	}
	return passphrase, nil
}
