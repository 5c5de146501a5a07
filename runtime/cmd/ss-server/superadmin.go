package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/urfave/cli/v2"
	"golang.org/x/term"

	"ss-setup/runtime/auth"
	"ss-setup/runtime/control"
	"ss-setup/runtime/engine"
	"ss-setup/runtime/model"
	"ss-setup/runtime/setup/answers"
	"ss-setup/runtime/verbs"
)

// The verbs of older versions by which root lets a SuperAdmin in again.
const (
	passwordVerb  = "sapassreset"
	twoFactorVerb = "disable2fa"
)

// resetRequest names a SuperAdmin and what becomes of him.
type resetRequest struct {
	Name     string `json:"name,omitempty"`
	Password string `json:"password,omitempty"`
}

// resetResult is what keeps the SuperAdmin out still, and whether anything changed.
type resetResult struct {
	SuperAdmin string `json:"superadmin"`
	Changed    bool   `json:"changed"`
	TwoFactor  bool   `json:"twoFactor,omitempty"`
	Disabled   bool   `json:"disabled,omitempty"`
	// From are the networks that he may log in from; all if empty.
	From []string `json:"from,omitempty"`
}

func superAdminFlag() cli.Flag {
	return &cli.StringFlag{Name: "superadmin", Aliases: []string{"s"}, Usage: "the SuperAdmin's `NAME`; may be left out where there is one only"}
}

func passwordCommand() *cli.Command {
	return &cli.Command{
		Name:        passwordVerb,
		Usage:       "give a SuperAdmin another password, while the server runs or not",
		Description: "It asks for the password if there is a terminal and none is given. His sessions end; his second factor stays: ss-server disable2fa turns it off.",
		Flags: []cli.Flag{
			superAdminFlag(),
			&cli.StringFlag{Name: "password", Aliases: []string{"p"}, Usage: "the new `PASSWORD`; others can see it in the list of processes, so rather be asked, or use --password-file"},
			&cli.StringFlag{Name: "password-file", Usage: "the `FILE` whose first line is the new password"},
			homeFlag(), stateFlag(), controlFlag(), verbs.JSONFlag(),
		},
		Action: func(c *cli.Context) error {
			password, err := newPassword(c)
			if err != nil {
				return err
			}
			done, err := reset(c, passwordVerb, resetRequest{c.String("superadmin"), password}, resetPassword)
			if err != nil || c.Bool("json") {
				return err
			}
			fmt.Fprintf(c.App.Writer, "SuperAdmin %s has the new password; sessions with the old one have ended.\n", done.SuperAdmin)
			if done.TwoFactor {
				fmt.Fprintf(c.App.Writer, "A code of the authenticator app is still asked for; to turn that off: ss-server disable2fa -s %s\n", done.SuperAdmin)
			}
			if len(done.From) > 0 {
				fmt.Fprintf(c.App.Writer, "The account may log in from %s only.\n", strings.Join(done.From, ", "))
			}
			if done.Disabled {
				fmt.Fprintln(c.App.Writer, "The account is disabled: another SuperAdmin must enable it.")
			}
			return nil
		},
	}
}

func twoFactorCommand() *cli.Command {
	return &cli.Command{
		Name:  twoFactorVerb,
		Usage: "let a SuperAdmin in without the authenticator app, while the server runs or not",
		Flags: []cli.Flag{superAdminFlag(), homeFlag(), stateFlag(), controlFlag(), verbs.JSONFlag()},
		Action: func(c *cli.Context) error {
			done, err := reset(c, twoFactorVerb, resetRequest{Name: c.String("superadmin")}, disableTwoFactor)
			if err != nil || c.Bool("json") {
				return err
			}
			if !done.Changed {
				fmt.Fprintf(c.App.Writer, "SuperAdmin %s has no second factor; nothing was changed.\n", done.SuperAdmin)
				return nil
			}
			fmt.Fprintf(c.App.Writer, "SuperAdmin %s logs in with the password alone; set the authenticator app up again soon.\n", done.SuperAdmin)
			return nil
		},
	}
}

// newPassword is the one of the command line, of a file, or of whoever sits at the terminal.
func newPassword(c *cli.Context) (string, error) {
	switch file := c.String("password-file"); {
	case c.IsSet("password") && file != "":
		return "", fmt.Errorf("%w: --password and --password-file say two things; leave one out", verbs.ErrUsage)
	case c.IsSet("password"):
		return c.String("password"), nil
	case file != "":
		line, err := answers.FirstLine(file)
		if err != nil {
			return "", fmt.Errorf("%w: --password-file: %w", verbs.ErrUsage, err)
		}
		return line, nil
	case !term.IsTerminal(int(os.Stdin.Fd())):
		return "", fmt.Errorf("%w: nobody can be asked for the password; say it in a file: ss-server %s --password-file FILE", verbs.ErrUsage, passwordVerb)
	}
	return newInterview(os.Stdin, os.Stderr).newSecret("New password", func(string) bool { return true })
}

// reset does it through the running server, or to the store of a stopped one.
func reset(c *cli.Context, verb string, ask resetRequest, do func(context.Context, *engine.Engine, resetRequest) (*resetResult, error)) (done resetResult, err error) {
	err = onObjects(c, verb, ask, &done, func(ctx context.Context, e *engine.Engine) (any, error) { return do(ctx, e, ask) })
	switch {
	case err != nil && verb == passwordVerb:
		err = fmt.Errorf("set the password of a SuperAdmin: %w; nothing was changed", err)
	case err != nil:
		err = fmt.Errorf("turn the second factor of a SuperAdmin off: %w; nothing was changed", err)
	case c.Bool("json"):
		err = json.NewEncoder(c.App.Writer).Encode(done)
	}
	return done, err
}

func resetPassword(ctx context.Context, e *engine.Engine, ask resetRequest) (*resetResult, error) {
	hasher, err := auth.NewHasher(auth.DefaultParams)
	if err != nil {
		return nil, err
	}
	return changeSuperAdmin(ctx, e, ask.Name, func(tx *engine.Tx, s *model.SuperAdmin) error {
		settings, err := engine.CurrentSettings(tx.Reader)
		if err != nil {
			return err
		}
		if err := auth.PolicyOf(settings.PasswordRule).Check(s.Name, ask.Password); err != nil {
			return err
		}
		hash, err := hasher.Hash(ctx, []byte(ask.Password))
		if err != nil {
			return err
		}
		s.Password = model.Password{Hash: hash, Changed: time.Now().UTC()}
		return nil
	})
}

func disableTwoFactor(ctx context.Context, e *engine.Engine, ask resetRequest) (*resetResult, error) {
	return changeSuperAdmin(ctx, e, ask.Name, func(_ *engine.Tx, s *model.SuperAdmin) error {
		if !s.TOTP.On() {
			return errUnchanged
		}
		s.TOTP = model.TOTP{}
		return nil
	})
}

// errUnchanged: what is asked for is so already.
var errUnchanged = errors.New("nothing is to be changed")

// changeSuperAdmin changes one; name may be empty where there is one only.
func changeSuperAdmin(ctx context.Context, e *engine.Engine, name string, fn func(*engine.Tx, *model.SuperAdmin) error) (done *resetResult, err error) {
	_, err = e.Write(ctx, byRoot, func(tx *engine.Tx) error {
		s, err := superAdminOf(tx.Reader, name)
		if err != nil {
			return err
		}
		if err = fn(tx, s); err == nil {
			err = tx.Update(s)
		}
		done = &resetResult{SuperAdmin: s.Name, Changed: err == nil, TwoFactor: s.TOTP.On(), Disabled: s.Disabled, From: s.AllowFrom}
		return err
	})
	if errors.Is(err, errUnchanged) {
		err = nil
	}
	return done, err
}

// superAdminOf finds one, or tells who there is.
func superAdminOf(r *engine.Reader, name string) (found *model.SuperAdmin, err error) {
	var names []string
	for s, err := range engine.SuperAdmins.All(r) {
		if err != nil {
			return nil, err
		}
		names = append(names, s.Name)
		if model.Fold(s.Name) == model.Fold(name) || name == "" {
			found = s
		}
	}
	switch {
	case len(names) == 0:
		return nil, errNotSetUp
	case name == "" && len(names) > 1:
		return nil, fmt.Errorf("there are several SuperAdmins; name one with -s: %s", strings.Join(names, ", "))
	case found == nil:
		return nil, fmt.Errorf("there is no SuperAdmin %q; there is %s", name, strings.Join(names, ", "))
	}
	return found, nil
}

// superAdminVerbs answer the commands while the server runs.
func superAdminVerbs(e *engine.Engine) map[string]control.Verb {
	answer := func(do func(context.Context, *engine.Engine, resetRequest) (*resetResult, error)) control.Verb {
		return func(ctx context.Context, r *control.Request) (any, error) {
			var ask resetRequest
			if err := r.Args(&ask); err != nil {
				return nil, err
			}
			return do(ctx, e, ask)
		}
	}
	return map[string]control.Verb{passwordVerb: answer(resetPassword), twoFactorVerb: answer(disableTwoFactor)}
}
