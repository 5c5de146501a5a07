package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/urfave/cli/v2"
	"golang.org/x/crypto/ssh"

	"ss-setup/migrate/vfsdecrypt"
	"ss-setup/migrate/vfsdecrypt/upload"
	"ss-setup/runtime/verbs"
)

func runCommand() *cli.Command {
	flags := append(sourceFlags(), profileFlag(), iterationsFlag(),
		&cli.BoolFlag{Name: "unchecked", Usage: "go on although no sample file becomes what its name says"},
		&cli.StringFlag{Name: "to", Usage: "the empty `FOLDER` to decrypt into; a run that was cut off goes on in it"},
		&cli.StringFlag{Name: "upload", Usage: "send the files to sftp://USER@HOST:PORT/FOLDER; they touch no disk in the clear"},
		&cli.StringFlag{Name: "host-key", Usage: "the `FINGERPRINT` of the SFTP server's host key, SHA256:…"},
		&cli.StringFlag{Name: "known-hosts", Usage: "the `FILE` of known host keys (default: that of OpenSSH)"},
		&cli.StringFlag{Name: "password-file", Usage: "the `FILE` whose first line is the SFTP user's password; asked for without it"},
		&cli.StringFlag{Name: "identity", Usage: "the `FILE` of a private key to log in by, in the place of a password"},
		&cli.StringFlag{Name: "identity-passphrase-file", Usage: "the `FILE` whose first line is the passphrase of that key"},
	)
	return &cli.Command{
		Name:   "run",
		Usage:  "decrypt an old VFS into another folder, or send it to an SFTP server",
		Flags:  append(flags, outputFlags()...),
		Action: interruptible(run),
	}
}

func verifyCommand() *cli.Command {
	flags := append(sourceFlags(), profileFlag(), iterationsFlag(),
		&cli.BoolFlag{Name: "unchecked", Usage: "go on although no sample file becomes what its name says"},
		&cli.StringFlag{Name: "to", Required: true, Usage: "the `FOLDER` that was decrypted into"})
	return &cli.Command{
		Name:   "verify",
		Usage:  "decrypt an old VFS again and compare it with a folder, byte by byte; nothing is written. It finds what was damaged or lost on the way, not a wrong profile",
		Flags:  append(flags, outputFlags()...),
		Action: interruptible(verify),
	}
}

// interruptible ends an action by a signal in good order.
func interruptible(do cli.ActionFunc) cli.ActionFunc {
	return func(c *cli.Context) error {
		ctx, stop := signal.NotifyContext(c.Context, os.Interrupt, syscall.SIGTERM)
		defer stop()
		c.Context = ctx
		err := do(c)
		if ctx.Err() != nil && errors.Is(err, context.Canceled) {
			return errors.New("it was interrupted; run the same command again to go on")
		}
		return err
	}
}

func run(c *cli.Context) error {
	if (c.String("to") == "") == (c.String("upload") == "") {
		return fmt.Errorf("%w: give either --to or --upload", verbs.ErrUsage)
	}
	s, err := openSource(c)
	if err != nil {
		return err
	}
	defer s.root.Close()
	given, err := begunWith(c)
	if err != nil {
		return err
	}
	keys, err := s.keys(c, given)
	if err != nil {
		return err
	}
	if c.String("upload") != "" {
		return send(c, s, keys)
	}
	folder, err := vfsdecrypt.OpenFolder(c.String("to"), s.dir, keys, now)
	if err != nil {
		return err
	}
	total, err := decrypt(c, s, keys, folder)
	if err == nil || errors.Is(err, errLook) && total.Of[vfsdecrypt.Failed] == 0 { // nothing is left for another run
		err = errors.Join(err, folder.Finish())
	}
	return errors.Join(err, folder.Close())
}

// begunWith is the profile that is given, or that the target was begun with.
func begunWith(c *cli.Context) (string, error) {
	if c.String("profile") != "" || c.String("to") == "" {
		return c.String("profile"), nil
	}
	p, begun, err := vfsdecrypt.Begun(c.String("to"))
	if !begun {
		return "", err
	}
	return p.String(), nil
}

func verify(c *cli.Context) error {
	s, err := openSource(c)
	if err != nil {
		return err
	}
	defer s.root.Close()
	given, err := begunWith(c)
	if err != nil {
		return err
	}
	keys, err := s.keys(c, given)
	if err != nil {
		return err
	}
	with, err := os.OpenRoot(c.String("to"))
	if err != nil {
		return fmt.Errorf("open the folder to compare with: %w", err)
	}
	defer with.Close()
	_, err = decrypt(c, s, keys, vfsdecrypt.Compare{With: with.FS()})
	return err
}

func send(c *cli.Context, s *source, keys *vfsdecrypt.Keys) error {
	address, err := upload.ParseAddress(c.String("upload"))
	if err != nil {
		return fmt.Errorf("%w: %w", verbs.ErrUsage, err)
	}
	if file := c.String("known-hosts"); file != "" {
		if _, err := os.Stat(file); err != nil {
			return fmt.Errorf("read the known host keys: %w", err)
		}
	}
	auth, err := logIn(c, address)
	if err != nil {
		return err
	}
	server, err := upload.Connect(c.Context, upload.Options{Address: address, Trust: trust(c), Auth: auth})
	if err != nil {
		return err
	}
	_, err = decrypt(c, s, keys, server)
	return errors.Join(err, server.Close())
}

func trust(c *cli.Context) upload.Trust {
	t := upload.Trust{Fingerprint: c.String("host-key")}
	switch file := c.String("known-hosts"); {
	case file != "":
		t.KnownHosts = []string{file}
	default:
		if home, err := os.UserHomeDir(); err == nil {
			t.KnownHosts = []string{filepath.Join(home, ".ssh", "known_hosts"), "/etc/ssh/ssh_known_hosts"}
		}
	}
	return t
}

func logIn(c *cli.Context, a upload.Address) ([]ssh.AuthMethod, error) {
	if file := c.String("identity"); file != "" {
		passphrase := ""
		if from := c.String("identity-passphrase-file"); from != "" {
			var err error
			if passphrase, err = secret(from, ""); err != nil {
				return nil, err
			}
		}
		method, err := upload.KeyFile(file, passphrase)
		return []ssh.AuthMethod{method}, err
	}
	password, err := secret(c.String("password-file"), fmt.Sprintf("Password of %s at %s: ", a.User, a.Host))
	return upload.Password(password), err
}

// decrypt runs, and tells of it.
func decrypt(c *cli.Context, s *source, keys *vfsdecrypt.Keys, to vfsdecrypt.Target) (total vfsdecrypt.Total, err error) {
	show, err := newShow(c.App.Writer, c.String("output"), keys.Profile)
	if err != nil {
		return total, err
	}
	file := c.String("report")
	if file == "" {
		return work(c, s, keys, to, show)
	}
	report, err := os.OpenFile(file, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return total, fmt.Errorf("begin the report: %w", err)
	}
	total, err = work(c, s, keys, to, both{show, newLines(report, keys.Profile)})
	return total, errors.Join(err, report.Close())
}

func work(c *cli.Context, s *source, keys *vfsdecrypt.Keys, to vfsdecrypt.Target, show show) (vfsdecrypt.Total, error) {
	begun := now()
	job := vfsdecrypt.Job{Source: s.root.FS(), Target: to, Keys: keys, Jobs: jobs(c), Reporter: show}
	total, err := job.Run(c.Context)
	show.end(total, now().Sub(begun), err)
	if err == nil && total.Wrong() > 0 {
		err = errLook
	}
	return total, err
}
