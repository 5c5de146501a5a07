package main

import (
	"encoding/json"
	"fmt"

	"github.com/urfave/cli/v2"

	"ss-setup/migrate/vfsdecrypt"
	"ss-setup/runtime/verbs"
)

func probeCommand() *cli.Command {
	return &cli.Command{
		Name:   "probe",
		Usage:  "find out how the files of an old VFS are encrypted, and write nothing",
		Flags:  append(sourceFlags(), iterationsFlag(), verbs.JSONFlag()),
		Action: probe,
	}
}

func probe(c *cli.Context) error {
	s, err := openSource(c)
	if err != nil {
		return err
	}
	defer s.root.Close()
	samples, err := vfsdecrypt.Samples(c.Context, s.root.FS())
	if err != nil {
		return err
	}
	p := vfsdecrypt.Prober{Passphrase: s.passphrase, Iterations: c.IntSlice("iterations"), Jobs: jobs(c)}
	found, err := p.Find(c.Context, samples)
	if err != nil {
		return explained(found, err)
	}
	if c.Bool("json") {
		return json.NewEncoder(c.App.Writer).Encode(struct {
			Profile    string `json:"profile"`
			Recognised int    `json:"recognised"`
			Samples    int    `json:"samples"`
			Bits       int    `json:"bits"`
		}{found.Profile.String(), found.Recognised, found.Samples, found.Bits})
	}
	fmt.Fprintf(c.App.Writer, "%s\n\n%d of %d sample files become something that is recognised. To decrypt all:\n  %s run --from %q --to NEW-FOLDER --profile %q\n",
		found.Profile, found.Recognised, found.Samples, program, s.dir, found.Profile)
	return nil
}
