package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/urfave/cli/v2"

	"ss-setup/runtime/config"
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
				&cli.StringSliceFlag{Name: "with", Usage: "a `FILE` of keys of another machine: keys that both have, or factors, are told"},
				&cli.BoolFlag{Name: "one-cluster", Usage: "the machines are nodes of one cluster, which share their keys on purpose"},
				&cli.StringSliceFlag{Name: "denylist", Usage: "a `FILE` of known keys, besides those in the folder known-keys and of Debian's openssh-blacklist"},
				&cli.StringFlag{Name: "config", Usage: "the server's configuration `FILE`, beside which known-keys lies", Value: config.ServerPath},
			},
			Action: auditHostKeys,
		}},
	}
}

func auditHostKeys(c *cli.Context) error {
	var a hostkey.Auditor
	var err error
	if file := c.String("passphrase-file"); file != "" {
		if a.Passphrase, err = passphraseFrom(file); err != nil {
			return err
		}
	}
	lists, err := hostkey.DenylistFiles(c.String("config"))
	if err != nil {
		return err
	}
	if a.Known, err = hostkey.LoadDenylist(append(lists, c.StringSlice("denylist")...)...); err != nil {
		return err
	}
	a.OneCluster = c.Bool("one-cluster")
	for _, file := range append([]string{c.Args().First()}, c.StringSlice("with")...) {
		text, err := readAtMost(file, maxKeyFile)
		if err != nil {
			return fmt.Errorf("read the host keys: %w", err)
		}
		a.Add(file, text)
	}
	found := a.Findings()
	if c.Bool("json") {
		err = json.NewEncoder(c.App.Writer).Encode(found)
	} else {
		tellKeys(c.App.Writer, found, a.Known)
	}
	for _, f := range found {
		if !f.OK() {
			err = errors.Join(err, errWeakKeys)
			break
		}
	}
	return err
}

func tellKeys(w io.Writer, found []hostkey.Finding, known *hostkey.Denylist) {
	several := slices.ContainsFunc(found, func(f hostkey.Finding) bool { return f.File != found[0].File })
	for _, f := range found {
		if several {
			fmt.Fprintf(w, "%s, ", f.File)
		}
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
	if known.Len() == 0 {
		fmt.Fprintln(w, "No list of known keys is here, so that keys of Debian from 2006 to 2008 were not looked for; docs/administrator.md says where to put one.")
		return
	}
	fmt.Fprintf(w, "They were looked for among %d known keys of %d lists.\n", known.Len(), len(known.Lists()))
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
