package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/urfave/cli/v2"
	"golang.org/x/mod/semver"

	"ss-setup/installer/machine"
	"ss-setup/installer/move"
	"ss-setup/installer/plan"
	"ss-setup/installer/plan/legacy"
	"ss-setup/installer/preflight"
	"ss-setup/installer/step"
	"ss-setup/installer/txn"
	"ss-setup/runtime/config"
)

// The verbs that take a server from one machine to another.
const (
	moveOutVerb = "move-out"
	moveInVerb  = "move-in"
)

func moveOutFlags() []cli.Flag {
	return append([]cli.Flag{
		boolFlag("cancel", "let this machine serve again, after it has moved out"),
	}, without(changeFlags(), "root")...)
}

func moveInFlags() []cli.Flag {
	return append([]cli.Flag{
		boolFlag("files-later", "go on although files of users are not here yet"),
	}, without(installFlags(), "update", "repair", "force", "root", "no-start", "managed-by", "import", "import-password-file", "accept-drops",
		"v6-url", "v6-superadmin", "v6-password-file", "v6-code", v6Password, "sftp-port")...)
}

// oneFolder reads the argument of the verbs that move.
func oneFolder(c *cli.Context) (string, error) {
	verb := c.Command.Name
	if verb == moveOutVerb && c.Bool("cancel") {
		if c.Args().Present() {
			return "", usagef(again(verb, "--cancel"), "%s --cancel takes no argument %q", verb, c.Args().First())
		}
		return "", nil
	}
	if c.NArg() != 1 {
		return "", usagef(again(verb, "FOLDER"), "%s needs the name of one folder", verb)
	}
	folder, err := filepath.Abs(c.Args().First())
	if err != nil || verb == moveInVerb {
		return folder, err
	}
	if info, err := os.Stat(filepath.Dir(folder)); err != nil || !info.IsDir() {
		return "", usagef("", "there is no folder %s to make %s in", filepath.Dir(folder), filepath.Base(folder))
	}
	return folder, notInside(folder, machine.ProgramDir, machine.ServerStateDir, machine.LicensedStateDir, machine.ConfigDir, machine.SetupDir, machine.ServerLogDir, machine.FilesDir)
}

// notInside refuses a folder for what moves where the server, or users, have theirs.
func notInside(folder string, others ...string) error {
	if err := move.Apart(folder, others...); err != nil {
		return usagef("", "%w, where the server or its users get at it; name another", err)
	}
	return nil
}

// moveOut is the verb move-out.
func (s *session) moveOut(ctx context.Context) (*ending, error) {
	end, err := s.change(ctx, func(ctx context.Context, sit *plan.Situation) (*plan.Proposal, error) {
		if s.cancelMove {
			return plan.ForStaying(sit, s.options)
		}
		l := plan.Leaving{Folder: s.folder}
		if !sit.Installed() || sit.State.Moved != nil {
			return plan.ForMoveOut(sit, l, s.options)
		}
		if _, err := os.Lstat(s.folder); err == nil {
			return nil, usagef("", "%s is there already; name a new folder", s.folder)
		}
		l.Addresses = s.servedAt()
		for _, name := range []string{machine.ServerService, machine.LicensedService} {
			startup, err := step.StartupOf(ctx, s.m, name)
			if err != nil {
				return nil, err
			}
			l.Services = append(l.Services, startup)
		}
		return plan.ForMoveOut(sit, l, s.options)
	})
	if err == nil && end.Outcome == string(txn.Committed) && !s.cancelMove {
		end.Cure = strings.Join(s.nextSteps(), "\n")
	}
	return end, err
}

// checkMoveOut looks, while the server still serves, whether what moves can be packed into
// the folder: a run that stops the services first finds it out too late for users.
func (s *session) checkMoveOut(ctx context.Context, sit *plan.Situation, p *plan.Proposal) error {
	if p.Action != plan.ActionMoveOut {
		return nil
	}
	size, inside, err := s.tryBackup(ctx, sit)
	if err != nil {
		return s.noMoveOut(ctx, fmt.Errorf("what moves cannot be packed: %w", err))
	}
	if err := notInside(s.folder, inside.Roots...); err != nil {
		return err
	}
	found, err := move.FindConfig(s.m.FS.Real(machine.ConfigDir))
	if err != nil {
		return s.noMoveOut(ctx, fmt.Errorf("the configuration cannot be packed: %w", err))
	}
	const list = 16 << 20 // the list, and what file systems need for themselves
	return s.refusal(preflight.Failed(preflight.Room(preflight.NewProbe(&machine.FS{Root: s.root}, nil),
		preflight.Demand{Path: s.folder, Bytes: size + found.Bytes + list, What: "what moves"})))
}

func (s *session) noMoveOut(ctx context.Context, err error) error {
	if f := cancelled(ctx); f != nil {
		return f
	}
	return &Failure{Exit: CheckFailed, Err: fmt.Errorf("%w; nothing was changed", err)}
}

// tryBackup has the server make a backup that nobody keeps, and tells its size and what is
// in it.
func (s *session) tryBackup(ctx context.Context, sit *plan.Situation) (size int64, inside move.Contents, err error) {
	file, err := s.stagedBackup(ctx, sit, nil)
	defer s.clearImport()
	if err != nil {
		return 0, move.Contents{}, err
	}
	info, err := os.Stat(file)
	if err != nil {
		return 0, move.Contents{}, err
	}
	inside, err = move.Look(ctx, file)
	return info.Size(), inside, err
}

// stagedBackup has the server, which runs or not, make a backup in the folder of what is
// imported: it is private, and collected by the next run if this one is killed.
func (s *session) stagedBackup(ctx context.Context, sit *plan.Situation, line func([]byte)) (file string, err error) {
	dir, err := s.stagingForImport()
	if err != nil {
		return "", err
	}
	file = filepath.Join(dir, "moved.zip")
	return file, s.m.Programs.Run(ctx, step.Command{
		Path: machine.Program(sit.Release, machine.ServerService), Line: line,
		Args: []string{"backup", file, "--home", s.m.FS.Real(machine.Generation(sit.Current)), "--json", "--unkept"},
	})
}

// nextSteps are what is to be done after a machine has moved out.
func (s *session) nextSteps() []string {
	lines := []string{"copy " + s.folder + " to the new machine: it has the keys of the server, so keep it like a key"}
	if l, err := move.Read(s.folder); err == nil {
		for _, f := range l.Folders {
			switch {
			case f.Missing:
			case f.Leads != "":
				lines = append(lines, fmt.Sprintf("copy %s to the same place there (%d files, %d bytes), and have %s lead to it there too", f.Leads, f.Files, f.Bytes, f.Path))
			default:
				lines = append(lines, fmt.Sprintf("copy %s to the same place there (%d files, %d bytes)", f.Path, f.Files, f.Bytes))
			}
		}
	}
	return append(lines,
		"there, from the package of this version or a newer one, run: ss-setup move-in FOLDER",
		"to serve here again instead, run: "+s.names.command(moveOutVerb, "--cancel"))
}

// servedAt is where other machines reach the web interface of this one.
func (s *session) servedAt() []string {
	c, _, _, err := config.LoadServer(s.m.FS.Real(filepath.Join(machine.ConfigDir, serverFile)))
	if err != nil {
		return nil
	}
	host, port, err := net.SplitHostPort(c.Web.Listen)
	if err != nil {
		return nil
	}
	if ip := net.ParseIP(host); host != "" && (ip == nil || !ip.IsUnspecified()) {
		return []string{c.Web.Listen}
	}
	addresses, err := machine.Addresses()
	if err != nil {
		s.log.Warn("cannot tell the addresses of this machine", "error", err)
	}
	var out []string
	for _, a := range addresses {
		out = append(out, net.JoinHostPort(a.String(), port))
	}
	return out
}

// moveIn is the verb move-in: an install that takes what another machine had.
func (s *session) moveIn(ctx context.Context) (*ending, error) {
	l, err := move.Read(s.folder)
	if err != nil {
		return nil, &Failure{Exit: CheckFailed, Err: fmt.Errorf("%w; nothing was changed", err)}
	}
	if err := s.takeMove(l); err != nil {
		return nil, err
	}
	s.moving = &l
	end, err := s.install(ctx)
	if err == nil && end.Outcome == string(txn.Committed) {
		s.checkMove(ctx, end, l)
	}
	return end, err
}

// takeMove has an install do what the list says.
func (s *session) takeMove(l move.List) error {
	s.options.Import = filepath.Join(s.folder, move.BackupName)
	moving := &plan.Moving{Host: l.Host}
	for _, f := range l.Config {
		moving.Files = append(moving.Files, plan.File(f))
		if err := s.takePort(f); err != nil {
			return err
		}
	}
	s.options.Moving = moving
	return nil
}

// takePort has the services listen where the configuration says that comes along.
func (s *session) takePort(f move.File) error {
	var listen string
	var port *int
	var flag string
	switch f.Name {
	case serverFile:
		c, _, _, err := config.LoadServer(f.In(s.folder))
		if err != nil {
			return err
		}
		listen, port, flag = c.Web.Listen, &s.options.WebPort, "--web-port"
	case licensedFile:
		c, _, _, err := config.LoadLicensed(f.In(s.folder))
		if err != nil {
			return err
		}
		listen, port, flag = c.Listen, &s.options.LicensePort, "--license-port"
	default:
		return nil
	}
	_, digits, err := net.SplitHostPort(listen)
	if err != nil {
		return fmt.Errorf("%s: listen: %w", f.Name, err)
	}
	was, err := strconv.Atoi(digits)
	if err != nil {
		return fmt.Errorf("%s: listen: %w", f.Name, err)
	}
	if *port != 0 && *port != was {
		return usagef("", "%s is %d, and the configuration that moves in says %d; leave the flag out, and change the port in %s afterwards",
			flag, *port, was, filepath.Join(machine.ConfigDir, f.Name))
	}
	*port = was
	return nil
}

// judgeMove looks whether the new machine has what the list tells, and asks where the old
// one still answers.
func (s *session) judgeMove(ctx context.Context, p *plan.Proposal) error {
	l := *s.moving
	if imports := importOf(p); imports != nil {
		s.account = imports.Account
	}
	if p.Nothing || p.Action != plan.ActionFresh {
		return &Failure{
			Exit: CheckFailed, Err: errors.New("SS Server is, or was, on this machine, and a server moves only to one that never had it; nothing was changed"),
			Cure: "to take its configuration all the same, run: ss-server restore " + shellWord(s.options.Import),
		}
	}
	if l.OS != runtime.GOOS {
		return &Failure{
			Exit: CheckFailed, Err: fmt.Errorf("%s ran %s and this machine runs %s, where folders have other names; nothing was changed", l.Host, l.OS, runtime.GOOS),
			Cure: "install SS Server here, then run: ss-server restore " + shellWord(s.options.Import) + "\nthen give the VFSs the folders that they have here",
		}
	}
	if older(p.To, l.Version) {
		return &Failure{
			Exit: CheckFailed, Err: fmt.Errorf("this package is of version %s, and %s ran %s, whose data no older release can take; nothing was changed", p.To, l.Host, l.Version),
			Cure: fmt.Sprintf("get the package of version %s or of a newer one", l.Version),
		}
	}
	if err := s.checkListening(ctx, l); err != nil {
		return err
	}
	lacking, err := l.Lacking(ctx)
	if err != nil {
		return err
	}
	if len(lacking) > 0 && !s.filesLater {
		return &Failure{
			Exit: CheckFailed, Err: fmt.Errorf("files of users are not on this machine: %s; nothing was changed", strings.Join(lacking, "; ")),
			Cure: "copy them from " + l.Host + " to the same places, then run it again\nto install without them, run: " + s.command("--files-later"),
		}
	}
	for _, what := range lacking {
		s.out.warn("files of users: " + what + "; copy them before users come")
	}
	s.warnOfMove(ctx, l)
	p.Summary += fmt.Sprintf(", with everything that %s (%s) had", l.Host, l.Version)
	if at := reachable(ctx, foreign(l.Addresses)); len(at) > 0 {
		p.Confirm = append(p.Confirm, plan.Question{
			Text:    fmt.Sprintf("Something answers at %s, where the old machine %s served. Serve here all the same?", strings.Join(at, ", "), l.Host),
			Explain: "If that is the old machine, users have two servers, and what is stored or changed on one of them is not on the other. There, run: ss-setup move-out FOLDER",
		})
	}
	return nil
}

// older tells whether a release comes before another.
func older(a, b string) bool {
	a, b = "v"+a, "v"+b
	return semver.IsValid(a) && semver.IsValid(b) && semver.Compare(a, b) < 0
}

// checkListening looks whether the services can listen here where their configuration says.
func (s *session) checkListening(ctx context.Context, l move.List) error {
	for _, f := range l.Config {
		listen, err := s.listensAt(f)
		if err != nil {
			return err
		}
		host, _, err := net.SplitHostPort(listen)
		if err != nil {
			continue
		}
		if err = machine.CanListen(ctx, host); err == nil {
			continue
		}
		return &Failure{
			Exit: CheckFailed, Err: fmt.Errorf("%s has its service listen at %s, which is no address of this machine, so it could not start: %w; nothing was changed", f.Name, listen, err),
			Cure: fmt.Sprintf("give this machine the address now, which %s needs no more, and run it again\nor on %s run: ss-setup move-out --cancel, take the address out of %s, and move out anew",
				l.Host, l.Host, f.Name),
		}
	}
	return nil
}

// listensAt is where a service will listen by a configuration file that moves in, or by the
// one that is in its place already; empty for other files.
func (s *session) listensAt(f move.File) (string, error) {
	path := s.m.FS.Real(filepath.Join(machine.ConfigDir, f.Name))
	if _, err := os.Stat(path); err != nil {
		path = f.In(s.folder)
	}
	switch f.Name {
	case serverFile:
		c, _, _, err := config.LoadServer(path)
		return c.Web.Listen, err
	case licensedFile:
		c, _, _, err := config.LoadLicensed(path)
		return c.Listen, err
	}
	return "", nil
}

// The configuration files of the two services.
const (
	serverFile   = "server.toml"
	licensedFile = "licensed.toml"
)

// warnOfMove tells what of the list hinders no install, and users afterwards.
func (s *session) warnOfMove(ctx context.Context, l move.List) {
	for _, b := range l.Bindings {
		if host, _, err := net.SplitHostPort(b.Address); err == nil && machine.CanListen(ctx, host) != nil {
			s.out.warn(fmt.Sprintf("site %s is served at %s, which is no address of this machine: until it is, nobody gets in there", b.Site, b.Address))
		}
	}
	for _, f := range l.Config {
		if f.Owner == move.OwnerOther || f.Group == move.OwnerOther {
			s.out.warn(fmt.Sprintf("%s belonged to accounts that are neither root nor the server; it becomes root's: let those read it who need it", f.Name))
		}
	}
	for _, what := range l.Uncounted() {
		s.out.warn(what + ": compare them yourself")
	}
	for _, what := range l.LeftOut {
		s.out.warn("the old machine left out of its configuration: " + what)
	}
}

// foreign are the addresses that are not this machine's own: it may have taken over that of
// the old one.
func foreign(addresses []string) []string {
	own, err := machine.Addresses()
	if err != nil {
		return addresses
	}
	return slices.DeleteFunc(slices.Clone(addresses), func(at string) bool {
		host, _, err := net.SplitHostPort(at)
		if err != nil {
			return true
		}
		for _, a := range own {
			if a.String() == host {
				return true
			}
		}
		return false
	})
}

// answerPatience is how long another machine may take to answer.
const answerPatience = 3 * time.Second

// reachable are the addresses at which somebody takes connections.
func reachable(ctx context.Context, addresses []string) []string {
	ctx, cancel := context.WithTimeout(ctx, answerPatience)
	defer cancel()
	answers := make([]bool, len(addresses))
	var all sync.WaitGroup
	for i, at := range addresses {
		all.Go(func() {
			var d net.Dialer
			c, err := d.DialContext(ctx, "tcp", at)
			if answers[i] = err == nil; err == nil {
				_ = c.Close()
			}
		})
	}
	all.Wait()
	var out []string
	for i, at := range addresses {
		if answers[i] {
			out = append(out, at)
		}
	}
	return out
}

// checkMove looks whether everything of the list is in force, and tells what is left.
func (s *session) checkMove(ctx context.Context, end *ending, l move.List) {
	objects, err := s.objectsInForce(context.WithoutCancel(ctx))
	switch differing := l.Differing(objects); {
	case err != nil:
		s.warn(fmt.Sprintf("what is in force could not be compared with the list: %v", err))
	case len(differing) > 0:
		s.warn("not everything is in force: " + strings.Join(differing, ", "))
	default:
		total := 0
		for _, n := range l.Objects {
			total += n
		}
		end.message += fmt.Sprintf("; all %d objects of %s are in force", total, l.Host)
	}
	next := append(s.lookAtFiles(l),
		"log in as a user and look at the files; then give this machine the old one's name or address",
		"licenses: this release activates none; from the release on that has them, activate here",
		"remove "+s.folder+", which has the keys of the server; on "+l.Host+" keep everything until users work here",
	)
	if end.Cure != "" {
		next = append([]string{end.Cure}, next...)
	}
	end.Cure = strings.Join(next, "\n")
}

// lookAtFiles tells which folders of users the server's account may not use, and returns
// what to do about it. The account may have another number here than on the old machine,
// whose files came along with theirs.
func (s *session) lookAtFiles(l move.List) []string {
	if runtime.GOOS == "windows" {
		return []string{"let the account of the server read and write the files of users, if another one owns them"}
	}
	problem := legacy.Access(s.account)
	if problem == nil {
		return nil
	}
	var cures []string
	for _, f := range l.Folders {
		if why, cure := problem(f.Path); why != "" {
			s.warn(why + ": users do not get at their files there")
			cures = append(cures, "run: "+cure)
		}
	}
	return cures
}

// objectsInForce counts the objects that the new server has, by a backup of it.
func (s *session) objectsInForce(ctx context.Context) (map[string]int, error) {
	sit, err := s.look(ctx)
	if err != nil {
		return nil, err
	}
	var sum struct {
		Objects map[string]int `json:"objects"`
	}
	defer s.clearImport()
	_, err = s.stagedBackup(ctx, sit, func(line []byte) { _ = json.Unmarshal(line, &sum) })
	return sum.Objects, err
}
