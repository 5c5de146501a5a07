package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"
	"golang.org/x/term"

	"ss-setup/runtime/audit"
	"ss-setup/runtime/control"
	"ss-setup/runtime/model"
	"ss-setup/runtime/service"
	"ss-setup/runtime/setup"
	"ss-setup/runtime/setup/answers"
	"ss-setup/runtime/verbs"
)

const setupVerb = "setup"

// setUpResult is what a set-up has done.
type setUpResult struct {
	// Already: the node was set up before, and nothing was changed.
	Already bool `json:"already,omitempty"`
	// Serving: an SSH server answers at the site's port.
	Serving bool `json:"serving,omitempty"`
	setup.Made
}

func setupCommand() *cli.Command {
	return &cli.Command{
		Name:  setupVerb,
		Usage: "set this node up without a browser: its name, its SuperAdmin and a first site",
		Description: "It asks what no flag and no file says, if there is a terminal. Passwords are never given as arguments.\n" +
			"Only a node without a SuperAdmin is set up; the server must run.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "answers", Usage: "take what no flag says from the answers `FILE`, or standard input for -"},
			&cli.StringFlag{Name: "node-id", Usage: "the node's `NAME`; one is made otherwise"},
			&cli.StringFlag{Name: "description", Usage: "what the node is for, as one `LINE`"},
			&cli.StringFlag{Name: "superadmin", Usage: "the SuperAdmin's `NAME`", DefaultText: answers.DefaultSuperAdmin},
			&cli.StringFlag{Name: "password-file", Usage: "the `FILE` whose first line is the SuperAdmin's password"},
			&cli.StringFlag{Name: "recovery-email", Usage: "the `ADDRESS` of the SuperAdmin"},
			&cli.StringFlag{Name: "site", Usage: "make the first site with this `NAME`"},
			&cli.StringFlag{Name: "address", Usage: "have the site listen on this `ADDRESS` only"},
			&cli.IntFlag{Name: "sftp-port", Usage: "have the site listen on this `PORT`", DefaultText: "22, or 2222 where 22 is taken"},
			&cli.StringFlag{Name: "folder", Usage: "keep the site's files in this `DIR`"},
			&cli.BoolFlag{Name: "encrypted", Usage: "encrypt the site's files"},
			&cli.StringFlag{Name: "user", Usage: "make a user of the site with this `NAME`"},
			&cli.StringFlag{Name: "user-password-file", Usage: "the `FILE` whose first line is the user's password"},
			&cli.StringSliceFlag{Name: "user-key-file", Usage: "a `FILE` with a public key of the user; may be repeated"},
			&cli.BoolFlag{Name: "check", Usage: "change nothing: tell whether the node is set up (0) or not (1)"},
			controlFlag(), verbs.JSONFlag(),
		},
		Action: func(c *cli.Context) error {
			if err := runSetup(c); err != nil {
				return forRoot(setupVerb, err, os.Geteuid())
			}
			return nil
		},
	}
}

// errNotSetUp is the answer of --check.
var errNotSetUp = errors.New("this node is not set up yet; run: ss-server setup")

func runSetup(c *cli.Context) error {
	state, err := askSetup(c, nil)
	switch {
	case err != nil:
		return err
	case state.Already:
		return tellSetup(c, state)
	case c.Bool("check"):
		return errNotSetUp
	}
	a, person, err := setupAnswers(c)
	if err != nil {
		return err
	}
	// The server need not see a password.
	if err := a.Hash(c.Context); err != nil {
		return err
	}
	for {
		if state, err = askSetup(c, a); err == nil {
			return tellSetup(c, state)
		}
		asked, cancelled := false, error(nil)
		if person != nil {
			asked, cancelled = person.again(a, err)
		}
		switch {
		case cancelled != nil:
			return cancelled
		case !asked:
			return fmt.Errorf("%w; nothing was changed", err)
		}
	}
}

// askSetup asks the running server to set the node up; without answers it asks whether it
// is.
func askSetup(c *cli.Context, a *answers.Answers) (state setUpResult, err error) {
	// The stream has nothing in it; with one an answer may take its time.
	err = control.Ask(c.Context, c.String("control"), control.Question{Verb: setupVerb, Args: a, Out: io.Discard}, &state)
	if errors.Is(err, control.ErrNotRunning) {
		err = fmt.Errorf("%w; it is set up while it runs: start it with: %s", err, service.StartCommand(service.Manager(), name))
	}
	return state, err
}

// setupAnswers are those of the file, of the flags or of whoever sits at the terminal, who
// is nil otherwise.
func setupAnswers(c *cli.Context) (*answers.Answers, *interview, error) {
	file, err := answersFile(c)
	if err != nil {
		return nil, nil, err
	}
	a := file.Answers
	given := a != nil
	if a == nil {
		a = &answers.Answers{}
		file.Answers = a
	}
	flags, err := takeSetupFlags(c, a)
	if err != nil {
		return nil, nil, err
	}
	if given = given || flags; !given {
		if !term.IsTerminal(int(os.Stdin.Fd())) {
			return nil, nil, fmt.Errorf("%w: nobody can be asked; say it in a file: ss-server setup --answers FILE", verbs.ErrUsage)
		}
		person := newInterview(os.Stdin, os.Stderr)
		return a, person, person.ask(a)
	}
	if err := file.Check(); err != nil {
		return nil, nil, fmt.Errorf("%w: %w", verbs.ErrUsage, err)
	}
	return a, nil, nil
}

func answersFile(c *cli.Context) (*answers.File, error) {
	var file *answers.File
	var err error
	switch path := c.String("answers"); path {
	case "":
		return answers.Parse("flags", nil, true)
	case "-":
		var text []byte
		if text, err = io.ReadAll(io.LimitReader(os.Stdin, answers.MaxSize)); err == nil {
			file, err = answers.Parse("standard input", text, true)
		}
	default:
		file, err = answers.Load(path)
	}
	if errors.Is(err, answers.ErrInvalid) {
		return nil, fmt.Errorf("%w: %w", verbs.ErrUsage, err)
	}
	if err == nil && file.Answers == nil {
		return nil, fmt.Errorf("%w: %s says nothing of the set-up; it needs superadmin at least", verbs.ErrUsage, c.String("answers"))
	}
	return file, err
}

// takeSetupFlags puts flags in the place of answers; given tells whether there was one.
func takeSetupFlags(c *cli.Context, a *answers.Answers) (given bool, err error) {
	set := func(flag string, into func(value string)) {
		if c.IsSet(flag) {
			given = true
			into(c.String(flag))
		}
	}
	superAdmin := func() *answers.SuperAdmin {
		if a.SuperAdmin == nil {
			a.SuperAdmin = &answers.SuperAdmin{}
		}
		return a.SuperAdmin
	}
	site := func() *answers.Site {
		if a.FirstSite == nil {
			a.FirstSite = &answers.Site{}
		}
		return a.FirstSite
	}
	user := func() *answers.User {
		if site().User == nil {
			site().User = &answers.User{}
		}
		return site().User
	}
	set("node-id", func(v string) { a.NodeID = v })
	set("description", func(v string) { a.Description = v })
	set("recovery-email", func(v string) { a.RecoveryEmail = v })
	set("superadmin", func(v string) { superAdmin().Name = v })
	set("password-file", func(v string) { superAdmin().Password, superAdmin().PasswordFile = "", v })
	set("site", func(v string) { site().Name = v })
	set("address", func(v string) { site().Address = v })
	set("folder", func(v string) { site().Folder = v })
	set("encrypted", func(string) { site().Encrypted = c.Bool("encrypted") })
	set("sftp-port", func(string) { a.SFTPPort = c.Int("sftp-port") })
	set("user", func(v string) { user().Name = v })
	set("user-password-file", func(v string) { user().Password, user().PasswordFile = "", v })
	for _, path := range c.StringSlice("user-key-file") {
		given = true
		line, err := answers.FirstLine(path)
		if err != nil {
			return given, fmt.Errorf("%w: --user-key-file: %w", verbs.ErrUsage, err)
		}
		user().PublicKeys = append(user().PublicKeys, line)
	}
	return given, nil
}

func tellSetup(c *cli.Context, s setUpResult) error {
	w := c.App.Writer
	if c.Bool("json") {
		return json.NewEncoder(w).Encode(s)
	}
	if s.Already {
		fmt.Fprintln(w, "This node is set up already; nothing was changed.")
		return nil
	}
	fmt.Fprintf(w, "Node %s is set up; its SuperAdmin is %s.\n", s.Node, s.SuperAdmin)
	if s.Site == "" {
		return nil
	}
	fmt.Fprintf(w, "Site %s listens on port %d; its files lie in %s.\n", s.Site, s.Port, s.Folder)
	if s.OtherPort {
		fmt.Fprintf(w, "Port %d is taken by another program.\n", answers.DefaultPort)
	}
	for _, k := range s.HostKeys {
		fmt.Fprintf(w, "Host key %s %s\n", k.Algorithm, k.SHA256)
	}
	if s.User != "" {
		fmt.Fprintf(w, "Log in with: sftp -P %d %s@HOST\n", s.Port, s.User)
	}
	if !s.Serving {
		fmt.Fprintln(w, "Nothing answers at that port yet; the log of ss-server tells why.")
	}
	return nil
}

// setup answers whoever sets this node up.
func (s *server) setup() control.Verb {
	return func(ctx context.Context, r *control.Request) (any, error) {
		var a *answers.Answers
		if err := r.Args(&a); err != nil {
			return nil, err
		}
		done, err := s.codes.Done()
		if err != nil || done || a == nil {
			return setUpResult{Already: done}, err
		}
		made, err := s.setUp(ctx, audit.Event{By: byRoot}, a)
		if errors.Is(err, setup.ErrDone) {
			return setUpResult{Already: true}, nil
		}
		if err != nil {
			return nil, errors.New(strings.TrimPrefix(err.Error(), answers.ErrInvalid.Error()+": "))
		}
		return setUpResult{Made: made, Serving: made.Port != 0 && speaksSSH(ctx, made.Address, made.Port)}, nil
	}
}

// setUp sets this node up, for the command line and the wizard; who tells by whom and from
// where.
func (s *server) setUp(ctx context.Context, who audit.Event, a *answers.Answers) (setup.Made, error) {
	first := setup.First{Engine: s.engine, MakeVFS: s.sites.MakeVFS, UnmakeVFS: s.sites.UnmakeVFS, Random: rand.Reader, Now: time.Now}
	made, err := first.Do(ctx, a)
	who.Event = "node.setup"
	switch {
	case errors.Is(err, setup.ErrDone):
		return made, err
	case err != nil:
		who.Outcome, who.Message = audit.Failed, err.Error()
	default:
		who.Outcome, who.Object = audit.Done, model.NodeKey(made.Node).String()
	}
	s.ops.audit.Append(who)
	return made, err
}

// setUpByWizard is setUp for the pages.
func (s *server) setUpByWizard(ctx context.Context, from netip.Addr, a *answers.Answers) (setup.Made, error) {
	return s.setUp(ctx, audit.Event{By: "setup", From: from.String()}, a)
}

// bannerPatience bounds the wait for a site that was just made.
const bannerPatience = 5 * time.Second

// speaksSSH waits for the banner of an SSH server.
func speaksSSH(ctx context.Context, address string, port int) bool {
	if address == "" {
		address = "127.0.0.1"
	}
	ctx, cancel := context.WithTimeout(ctx, bannerPatience)
	defer cancel()
	for ctx.Err() == nil {
		if hasBanner(ctx, net.JoinHostPort(address, strconv.Itoa(port))) {
			return true
		}
		select {
		case <-ctx.Done():
		case <-time.After(50 * time.Millisecond):
		}
	}
	return false
}

func hasBanner(ctx context.Context, address string) bool {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return false
	}
	defer conn.Close()
	conn.SetReadDeadline(time.Now().Add(time.Second))
	intro := make([]byte, 4)
	_, err = io.ReadFull(conn, intro)
	return err == nil && string(intro) == "SSH-"
}
