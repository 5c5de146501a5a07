package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/urfave/cli/v2"

	"ss-setup/runtime/hostkey"
	"ss-setup/runtime/verbs"
)

// maxKeyFile bounds a file of host keys.
const maxKeyFile = 1 << 20

// errWeakKeys ends an audit that refuses a key; the answer has said which and why.
var errWeakKeys = errors.New("at least one key must not be used")

func hostKeysCommand() *cli.Command {
	return &cli.Command{
		Name:  "hostkeys",
		Usage: "look at host keys",
		Subcommands: []*cli.Command{{
			Name:      "audit",
			Usage:     "tell of each key of a file (private or public, of any format) whether it may be used; ends with 1 if one may not",
			ArgsUsage: "FILE",
			Flags: []cli.Flag{
				verbs.JSONFlag(), passphraseFlag(),
				&cli.StringSliceFlag{Name: "denylist", Usage: "a `FILE` of known keys, as of Debian's openssh-blacklist"},
			},
			Action: auditHostKeys,
		}},
	}
}

func auditHostKeys(c *cli.Context) error {
	text, err := readAtMost(c.Args().First(), maxKeyFile)
	if err != nil {
		return fmt.Errorf("read the host keys: %w", err)
	}
	passphrase := ""
	if file := c.String("passphrase-file"); file != "" {
		if passphrase, err = passphraseFrom(file); err != nil {
			return err
		}
	}
	known, err := denylist(c.StringSlice("denylist"))
	if err != nil {
		return err
	}
	found := hostkey.Audit(text, passphrase, known)
	if c.Bool("json") {
		err = json.NewEncoder(c.App.Writer).Encode(found)
	} else {
		tellKeys(c.App.Writer, found)
	}
	for _, f := range found {
		if !f.OK() {
			err = errors.Join(err, errWeakKeys)
			break
		}
	}
	return err
}

func denylist(files []string) (*hostkey.Denylist, error) {
	var readers []io.Reader
	for _, path := range files {
		f, err := os.Open(path)
		if err != nil {
			return nil, fmt.Errorf("read the list of known keys: %w", err)
		}
		defer f.Close()
		readers = append(readers, f)
	}
	list, err := hostkey.ReadDenylist(io.MultiReader(readers...))
	if err != nil {
		return nil, fmt.Errorf("%q: %w", files, err)
	}
	return list, nil
}

func tellKeys(w io.Writer, found []hostkey.Finding) {
	for _, f := range found {
		fmt.Fprintf(w, "line %d: ", f.Line)
		if f.SHA256 != "" {
			fmt.Fprintf(w, "%s, %d bits, %s, MD5:%s: ", f.Algorithm, f.Bits, f.SHA256, f.MD5)
		}
		if f.OK() {
			fmt.Fprintln(w, "may be used")
			continue
		}
		fmt.Fprintf(w, "must not be used: %s; %s\n", f.Reason, f.Cure)
	}
}

func readAtMost(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(text)) > limit {
		err = fmt.Errorf("%s has more than %d bytes", path, limit)
	}
	return text, err
}
