// ss-vfsdecrypt recovers the files of encrypted VFSs of versions 4 and 5: it finds out how
// they were encrypted, decrypts them into another folder or straight to an SFTP server,
// and verifies the result.
package main

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"time"

	"github.com/urfave/cli/v2"

	"ss-setup/migrate/vfsdecrypt"
	"ss-setup/runtime/verbs"
)

const program = "ss-vfsdecrypt"

// errLook ends a run that went to its end and met files that somebody should look at.
var errLook = errors.New("some files need a look; they are named above and in the report")

func main() { os.Exit(verbs.Main(app(), os.Args)) }

func app() *cli.App {
	return &cli.App{
		Name:     program,
		Usage:    "recover the files of encrypted VFSs of versions 4 and 5",
		Commands: []*cli.Command{probeCommand(), runCommand(), verifyCommand(), verbs.Version(0)},
	}
}

func sourceFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "from", Required: true, Usage: "the `FOLDER` of the old VFS; nothing is written there"},
		&cli.StringFlag{Name: "passphrase-file", Usage: "the `FILE` whose first line is the passphrase of the old VFS; asked for without it"},
		&cli.IntFlag{Name: "jobs", Usage: "how many files to work on at once (default: as many as there are processors)"},
	}
}

func profileFlag() cli.Flag {
	return &cli.StringFlag{Name: "profile", Usage: "how the files are encrypted, as probe says it; found out without it"}
}

func iterationsFlag() cli.Flag {
	return &cli.IntSliceFlag{Name: "iterations", Usage: "try these `NUMBERS` of iterations of a key derivation, and no others"}
}

func outputFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "output", Value: outputAuto, Usage: "how to tell of it: auto, bar, plain or json (a line each)"},
		&cli.StringFlag{Name: "report", Usage: "write what became of every file into a new `FILE`, as JSON lines"},
	}
}

func jobs(c *cli.Context) int {
	if n := c.Int("jobs"); n > 0 {
		return n
	}
	return runtime.NumCPU()
}

// source is an old VFS, and the passphrase.
type source struct {
	root       *os.Root
	dir        string
	passphrase string
}

func openSource(c *cli.Context) (*source, error) {
	root, err := os.OpenRoot(c.String("from"))
	if err != nil {
		return nil, fmt.Errorf("open the old VFS: %w", err)
	}
	passphrase, err := secret(c.String("passphrase-file"), "Passphrase of the old VFS: ")
	if err != nil {
		return nil, errors.Join(err, root.Close())
	}
	return &source{root, c.String("from"), passphrase}, nil
}

// keys makes them of the profile that is given, or that is found.
func (s *source) keys(c *cli.Context, given string) (*vfsdecrypt.Keys, error) {
	samples, err := vfsdecrypt.Samples(c.Context, s.root.FS())
	if err != nil {
		return nil, err
	}
	if given == "" {
		p := vfsdecrypt.Prober{Passphrase: s.passphrase, Iterations: c.IntSlice("iterations"), Jobs: jobs(c)}
		found, err := p.Find(c.Context, samples)
		if err != nil {
			return nil, explained(found, err)
		}
		return vfsdecrypt.NewKeys(found.Profile, s.passphrase)
	}
	profile, err := vfsdecrypt.ParseProfile(given)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", verbs.ErrUsage, err)
	}
	keys, err := vfsdecrypt.NewKeys(profile, s.passphrase)
	if err != nil || c.Bool("unchecked") {
		return keys, err
	}
	if recognised, of := vfsdecrypt.Check(keys, samples); 2*recognised < of {
		return nil, fmt.Errorf("with this profile and passphrase %d of %d sample files become what their names say; look at both, or give --unchecked to go on nonetheless", recognised, of)
	}
	return keys, nil
}

// explained names the profiles that a search could not decide between.
func explained(found vfsdecrypt.Found, err error) error {
	if len(found.Tied) == 0 {
		return err
	}
	text := "\n  " + found.Profile.String()
	for i, p := range found.Tied {
		if i == 8 {
			text += fmt.Sprintf("\n  and %d more", len(found.Tied)-i)
			break
		}
		text += "\n  " + p.String()
	}
	return fmt.Errorf("%w:%s", err, text)
}

// now is the time of day.
func now() time.Time { return time.Now() }
