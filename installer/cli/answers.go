package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"ss-setup/installer/answers"
	"ss-setup/installer/machine"
	"ss-setup/installer/plan"
	"ss-setup/runtime/config"
	setup "ss-setup/runtime/setup/answers"
)

// takeAnswers sets the flags that the answers file answers and that neither the
// command line nor the environment has set. first is what the file says of the first
// set-up of the server, nil if nothing; all of it has been checked.
func takeAnswers(c *cli.Context) (first *setup.Answers, err error) {
	path := c.String("answers")
	if path == "" {
		return nil, nil
	}
	list, file, err := answers.Load(path, machine.OnlyPrivileged)
	if err == nil {
		err = file.Check()
	}
	if err != nil {
		return nil, err
	}
	for _, a := range list {
		flag := a.Key.Flag()
		if !slices.ContainsFunc(c.Command.Flags, func(f cli.Flag) bool { return slices.Contains(f.Names(), flag) }) {
			return nil, fmt.Errorf("%w: %s:%d: %s is not in this version", answers.ErrInvalid, path, a.Line, a.Key.Name)
		}
		if c.IsSet(flag) {
			continue
		}
		if err := c.Set(flag, a.Value); err != nil {
			return nil, fmt.Errorf("%w: %s:%d: %s is %q; it can be %s", answers.ErrInvalid, path, a.Line, a.Key.Name, a.Value, a.Key.Allowed)
		}
	}
	return file.Answers, nil
}

// usedAnswers are the values that this run uses and that are not the standard, by
// the keys of an answers file.
func usedAnswers(c *cli.Context) map[string]string {
	used := map[string]string{}
	for _, k := range answers.Keys {
		if !c.IsSet(k.Flag()) || k.Secret() {
			continue
		}
		value := fmt.Sprint(c.Value(k.Flag()))
		if k.Name == "mirror" {
			value = strings.Join(c.StringSlice(k.Flag()), ",") // as its flag reads more than one
		}
		if value == "" {
			continue
		}
		if k.Name == "from" && !strings.Contains(value, "://") {
			if abs, err := filepath.Abs(value); err == nil {
				value = abs
			}
		}
		used[k.Name] = value
	}
	return used
}

// keepAnswers writes the answers of a run that went well, or was only planned.
func (s *session) keepAnswers() {
	if s.saveAnswers == "" {
		return
	}
	if from := s.used["from"]; answers.WithoutPassword(from) != from {
		s.warn(fmt.Sprintf("%s has the address of the repository without its password; give that with SS_SETUP_FROM where the file is used", s.saveAnswers))
	}
	first := s.first.Clone()
	if first != nil {
		// What cannot be hashed is left out, and told below.
		if err := first.Hash(context.Background()); err != nil {
			s.log.Warn("a password cannot be hashed", "error", err)
		}
	}
	leftOut, err := answers.Save(s.saveAnswers, s.used, first)
	if err != nil {
		s.warn(err.Error())
	}
	if len(leftOut) > 0 {
		s.warn(fmt.Sprintf("%s has no %s; add that where the file is used", s.saveAnswers, strings.Join(leftOut, " and ")))
	}
}

// licenseFlags reads where licenses come from.
func licenseFlags(c *cli.Context) (mode, server string, err error) {
	mode, server = c.String("license-mode"), c.String("license-server")
	switch {
	case mode == config.RoleClient && server == "":
		return "", "", usagef(again(c.Command.Name, "--license-mode", mode, "--license-server", "NAME"), "--license-mode client needs the name of the license server")
	case mode != config.RoleClient && server != "":
		return "", "", usagef(again(c.Command.Name, "--license-mode", config.RoleClient, "--license-server", shellWord(server)), "--license-server goes with --license-mode client only")
	case server == "":
		return mode, "", nil
	}
	if server, err = config.LicenseServer(server); err != nil {
		return "", "", usagef("", "--license-server: %w", err)
	}
	return mode, server, nil
}

// takeFirst takes what a first install sets the server up with.
func (s *settings) takeFirst(c *cli.Context, first *setup.Answers) error {
	if c.IsSet("sftp-port") {
		if first == nil || first.FirstSite == nil {
			return usagef("", "--sftp-port is where the first site listens; it goes with first_site in an answers file")
		}
		first.SFTPPort = c.Int("sftp-port")
	}
	if first == nil {
		return nil
	}
	if s.root != "" || s.noStart {
		return usagef("", "nothing is started, so nothing can be set up: take %s and what belongs to it out of the answers, and run after the first start: ss-server setup --answers FILE", "superadmin")
	}
	public := &plan.FirstSetUp{Node: first.NodeID, SuperAdmin: first.SuperAdmin.Name, Port: first.SFTPPort}
	if site := first.FirstSite; site != nil {
		public.Site, public.Folder = site.Name, site.Folder
		if site.User != nil {
			public.User = site.User.Name
		}
	}
	s.first, s.options.FirstSetUp = first, public
	return nil
}

// handAnswers gives the machine what the server is set up with, and takes what was made.
func (s *session) handAnswers() error {
	if s.first == nil {
		return nil
	}
	var err error
	s.m.Answers, err = json.Marshal(s.first)
	s.m.SetUpDone = func(line []byte) {
		made := &setUpFields{}
		if json.Unmarshal(line, made) == nil {
			s.setUp = made
		}
	}
	return err
}
