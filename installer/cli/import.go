package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"ss-setup/installer/machine"
	"ss-setup/installer/plan"
	"ss-setup/installer/plan/legacy"
	"ss-setup/installer/step"
	"ss-setup/migrate/report"
)

// importSettings are what an install may import, and how.
type importSettings struct {
	// server is the running version 6 that is asked for its backup.
	server legacy.Server
	// passwordFile has passwords of PFX certificates and encrypted keys.
	passwordFile string
	acceptDrops  bool
}

func importFlags() []cli.Flag {
	return []cli.Flag{
		textFlag("import", "fill the new server with the backup `FILE` of version 4, 5, 6 or 7"),
		textFlag("import-password-file", "a `FILE` with passwords of PFX certificates and encrypted keys in the backup, one a line"),
		boolFlag("accept-drops", "go on without asking when somebody cannot log in after an import, something does not serve, or is not understood"),
		textFlag("v6-url", "ask the version 6 on this machine for its backup at `ADDRESS`; else where it answers"),
		textFlag("v6-superadmin", "log in to version 6 as the SuperAdmin `NAME`; else sa"),
		textFlag("v6-password-file", "the `FILE` whose first line is that SuperAdmin's password"),
		textFlag("v6-code", "the `CODE` that the SuperAdmin's authenticator app shows"),
		// For the environment and for answers alone: command lines are seen by others.
		&cli.StringFlag{Name: v6Password, Hidden: true, EnvVars: envTwin(v6Password)},
	}
}

const v6Password = "v6-password"

// superAdmin6 is the one that every version 6 has.
const superAdmin6 = "sa"

// takeImport reads the flags of an import.
func (s *settings) takeImport(c *cli.Context) error {
	for _, a := range s.args {
		if name, _, _ := strings.Cut(strings.TrimLeft(a, "-"), "="); strings.HasPrefix(a, "-") && name == v6Password {
			return usagef("", "a password on the command line is seen by others; give it by --v6-password-file, in the answers or as %s", envTwin(v6Password)[0])
		}
	}
	s.imports.acceptDrops = c.Bool("accept-drops")
	s.imports.server = legacy.Server{
		URL: c.String("v6-url"), User: c.String("v6-superadmin"), Password: c.String(v6Password), Code: c.String("v6-code"),
	}
	for _, f := range []struct {
		flag string
		into *string
	}{{"import", &s.options.Import}, {"import-password-file", &s.imports.passwordFile}} {
		path := c.String(f.flag)
		if path == "" {
			continue
		}
		if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
			return usagef("", "--%s: there is no file %s", f.flag, path)
		}
		abs, err := filepath.Abs(path)
		if err != nil {
			return err
		}
		*f.into = abs
	}
	if err := onlyPrivileged(s.imports.passwordFile); err != nil {
		return usagef("", "--import-password-file: %w", err)
	}
	if file := c.String("v6-password-file"); file != "" {
		err := onlyPrivileged(file)
		line := ""
		if err == nil {
			line, err = firstLine(file)
		}
		if err != nil {
			return usagef("", "--v6-password-file: %w", err)
		}
		s.imports.server.Password = line
	}
	return nil
}

// onlyPrivileged refuses a file with passwords that others may read, as answers are; the
// other end of a pipe is nobody's file.
func onlyPrivileged(file string) error {
	if file == "" {
		return nil
	}
	if info, err := os.Stat(file); err != nil || !info.Mode().IsRegular() {
		return err
	}
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	if !machine.OnlyPrivileged(f) {
		return fmt.Errorf("others than %s can read %s: take that right from them", machine.PrivilegedUser, file)
	}
	return nil
}

func firstLine(file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	line, err := bufio.NewReader(io.LimitReader(f, 4096)).ReadString('\n')
	if err != nil && err != io.EOF {
		return "", err
	}
	if line = strings.TrimRight(line, "\r\n"); line == "" {
		return "", fmt.Errorf("%s is empty", file)
	}
	return line, nil
}

// prepareImport gets the backup that a plan imports, tells what becomes of everything in
// it, and asks whether what is lost may be. Nothing was changed until then.
func (s *session) prepareImport(ctx context.Context, sit *plan.Situation, p *plan.Proposal) error {
	imports := importOf(p)
	if imports == nil {
		return nil
	}
	file, err := s.stageBackup(ctx, sit)
	if err != nil {
		return s.notPrepared(ctx, err)
	}
	server := legacy.Machine{
		State: s.m.FS.Real(machine.ServerStateDir), Config: s.m.FS.Real(filepath.Join(machine.ConfigDir, "server.toml")),
		Generations: s.m.FS.Real(machine.GenerationsDir),
	}
	if s.root == "" { // accounts of an image are not those of this machine
		server.Account = imports.Account
	}
	if server.PasswordFile, err = s.stagePasswords(); err != nil {
		return s.notPrepared(ctx, err)
	}
	judged, err := legacy.Judge(ctx, file, server)
	if err != nil {
		return s.notPrepared(ctx, fmt.Errorf("%s cannot be imported: %w", s.importName(), withoutPath(err, file)))
	}
	if p.Action == plan.ActionUpgrade {
		if err := s.fitsOld(sit, judged); err != nil {
			return err
		}
	}
	s.m.Import = &step.Import{File: file, Own: judged.Own, PasswordFile: server.PasswordFile}
	if judged.Own {
		return nil
	}
	s.m.Import.Losses = judged.Report.LossDigest()
	if s.old != nil && s.options.Import == "" {
		s.m.Import.Again = s.importAgain(server, judged)
	}
	s.m.Import.Reports = s.writeReports(judged.Report)
	s.judged = judged.Report
	s.m.Import.ByHand, s.m.Import.AtStart = judged.ByHand, judged.AtStart
	var byHand []string
	if p.Action == plan.ActionUpgrade {
		if byHand, err = sit.OldVersions[len(sit.OldVersions)-1].ByHand(ctx, s.m); err != nil {
			return s.notPrepared(ctx, err)
		}
	}
	if err := s.tellLosses(ctx, judged.Report, byHand); err != nil {
		return err
	}
	s.m.Import.SameSites = sameSites(judged.Report)
	return nil
}

// sameSites tells whether all sites and bindings come along as they were. Where one does
// not, which somebody has agreed to, nobody need be greeted as before.
func sameSites(r *report.Report) bool {
	return !slices.ContainsFunc(r.Losses(), func(l report.Line) bool { return l.Kind == report.Site || l.Kind == report.Binding || l.Kind == "" })
}

// notPrepared is the failure of what comes before anything is changed: a check that failed,
// unless somebody ended it.
func (s *session) notPrepared(ctx context.Context, err error) error {
	if f := cancelled(ctx); f != nil {
		return f
	}
	if f, ok := errors.AsType[*Failure](err); ok {
		return f
	}
	return &Failure{Exit: CheckFailed, Err: fmt.Errorf("%w; nothing was changed", err)}
}

// importOf is the step of a plan that imports; nil without one.
func importOf(p *plan.Proposal) *step.ImportBackup {
	for _, st := range p.Plan.Steps {
		if i, ok := st.(*step.ImportBackup); ok {
			return i
		}
	}
	return nil
}

// importAgain looks whether version 6 still has what it had when it was judged, and tells
// whether that has changed and is to be imported once more. Somebody may have thought for
// long, and who was locked out of version 6 meanwhile must not get in to version 7.
func (s *session) importAgain(server legacy.Machine, judged legacy.Judgement) func(context.Context) (bool, error) {
	return func(ctx context.Context) (bool, error) {
		file := filepath.Join(s.m.FS.Real(machine.ImportDir), "again.zip")
		if err := os.Remove(file); err != nil && !errors.Is(err, os.ErrNotExist) {
			return false, err
		}
		if err := s.exportAgain(ctx, file); err != nil {
			return false, s.notAgain(ctx, fmt.Errorf("ask version 6 whether it was changed meanwhile: %w", err))
		}
		now, err := legacy.Judge(ctx, file, server)
		switch {
		case err != nil:
			return false, s.notAgain(ctx, fmt.Errorf("what version 6 has now cannot be imported: %w", withoutPath(err, file)))
		case now.Objects == judged.Objects && now.Report.LossDigest() == judged.Report.LossDigest():
			return false, nil
		case now.Report.LossDigest() != judged.Report.LossDigest():
			return false, s.notAgain(ctx, fmt.Errorf("%w: version 6 was changed meanwhile, and now there is lost or not as before: %s", step.ErrNotAgreed, now.Report.LossSummary()))
		}
		taken := filepath.Join(filepath.Dir(file), "backup.zip")
		if err := os.Rename(file, taken); err != nil {
			return false, err
		}
		s.warn("version 6 was changed meanwhile; its configuration is imported once more")
		judged, s.m.Import.File = now, taken
		s.m.Import.ByHand, s.m.Import.AtStart = now.ByHand, now.AtStart
		return true, nil
	}
}

// exportAgain has version 6 make another backup. A session that has ended meanwhile is
// begun anew, which an authenticator's code of then does not allow.
func (s *session) exportAgain(ctx context.Context, file string) error {
	err := s.old.Export(ctx, file)
	if err == nil || ctx.Err() != nil {
		return err
	}
	session, failed := legacy.LogIn(ctx, s.imports.server)
	if failed != nil {
		return errors.Join(err, failed)
	}
	s.old.LogOut(ctx)
	s.old = session
	return session.Export(ctx, file)
}

// notAgain is the failure of a run before version 6 was stopped.
func (s *session) notAgain(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return &Failure{Exit: CheckFailed, Err: err, Cure: "version 6 serves as before; to try again run: " + s.command()}
}

// fitsOld refuses to put anything but a configuration of version 6 in the place of the
// version 6 that serves here, and tells how old the one is that was named.
func (s *session) fitsOld(sit *plan.Situation, judged legacy.Judgement) error {
	if !judged.Of6 {
		what := "version 7"
		if !judged.Own {
			what = strings.TrimSpace(judged.Report.Source.Product + " " + judged.Report.Source.Version)
		}
		old := sit.OldVersions[len(sit.OldVersions)-1]
		return &Failure{
			Exit: CheckFailed, Err: fmt.Errorf("%s is of %s, and version 6 is in use here; nothing was changed", s.importName(), what),
			Cure: "to take over what version 6 has, leave out --import; to give it up: " +
				strings.Join(plan.StopOldCommands(s.m.Services.Name(), old.Services), " && ") + ", then: " + s.command("-F"),
		}
	}
	if s.options.Import == "" {
		return nil
	}
	made, err := legacy.MadeAt(s.options.Import)
	if err != nil {
		return err
	}
	s.warn(fmt.Sprintf("%s of %s is taken; what was changed in version 6 since then does not come along", s.options.Import, madeAt(made)))
	return nil
}

// importName is what is imported, for people.
func (s *session) importName() string {
	if s.options.Import != "" {
		return s.options.Import
	}
	return "the backup of version 6"
}

// withoutPath leaves the private copy out of what people read.
func withoutPath(err error, file string) error {
	if text, ok := strings.CutPrefix(err.Error(), file+": "); ok {
		return errors.New(text)
	}
	return err
}

// stagePasswords makes a private copy of the file with passwords, which the dry run and the
// import both read; empty without one.
func (s *session) stagePasswords() (file string, err error) {
	if s.imports.passwordFile == "" {
		return "", nil
	}
	file = filepath.Join(s.m.FS.Real(machine.ImportDir), "passwords")
	return file, copyInto(s.imports.passwordFile, file)
}

// stageBackup makes a private copy of what is imported: the backup that was named, or the
// one that the running version 6 gives. What is told of it holds for what is imported, and
// nobody else reads it.
func (s *session) stageBackup(ctx context.Context, sit *plan.Situation) (file string, err error) {
	dir, err := s.stagingForImport()
	if err != nil {
		return "", err
	}
	file = filepath.Join(dir, "backup.zip")
	if s.options.Import == "" {
		named, err := s.export(ctx, sit, file)
		if err != nil || named == "" {
			return file, err
		}
		s.options.Import = named
	}
	// The name tells what it is, zip or JSON.
	file = filepath.Join(dir, "backup"+strings.ToLower(filepath.Ext(s.options.Import)))
	return file, copyInto(s.options.Import, file)
}

// stagingForImport is the private folder for backups that nobody keeps, empty. It goes with
// the run, or with the next one if that is killed.
func (s *session) stagingForImport() (dir string, err error) {
	if err := s.ownState(); err != nil {
		return "", err
	}
	s.clearImport()
	dir = s.m.FS.Real(machine.ImportDir)
	s.importing = true
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	return dir, makePrivate(dir)
}

func copyInto(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// clearImport removes what a run has staged to be imported, this one or one that was cut.
func (s *session) clearImport() {
	if s.m == nil {
		return
	}
	dir := s.m.FS.Real(machine.ImportDir)
	if _, err := os.Lstat(dir); err != nil {
		return
	}
	if err := os.RemoveAll(dir); err != nil {
		s.log.Warn("what was staged for an import is left", "folder", dir, "error", err)
	}
	_ = os.Remove(filepath.Dir(dir)) // while nothing else is in it
}

// export has the version 6 on this machine write its backup into a file. Where that cannot
// be had, named is a backup that somebody has chosen instead.
func (s *session) export(ctx context.Context, sit *plan.Situation, file string) (named string, err error) {
	old := sit.OldVersions[len(sit.OldVersions)-1]
	err = s.exportOld(ctx, old, file)
	if _, ended := errors.AsType[*Failure](err); err == nil || ended || ctx.Err() != nil {
		return "", err
	}
	var found []legacy.Backup
	if !errors.Is(err, errNoPassword) && !errors.Is(err, legacy.ErrRefused) {
		found = legacy.Find(ctx, archivePlaces(old)...)
		if named, asked := s.chooseBackup(ctx, found); named != "" || asked != nil {
			return named, asked
		}
	}
	return "", s.notExported(ctx, old, err, found)
}

// errOldStopped: it cannot be asked.
var errOldStopped = errors.New("it does not run")

// logIns is how often somebody may mistype a password.
const logIns = 3

// exportOld logs in to version 6 and has it write its backup. Who mistypes the password is
// asked again.
func (s *session) exportOld(ctx context.Context, old plan.OldVersion, file string) error {
	if !old.Runs() {
		return errOldStopped
	}
	server := s.imports.server
	if server.URL == "" {
		server.URL = "https://" + s.webOf(ctx, old)
	}
	if server.User == "" {
		server.User = superAdmin6
	}
	// Its port is nobody's own: the password goes to its own programs alone.
	server.Prove = func(conn net.Conn) error { return old.Prove(ctx, s.m, conn) }
	for try := 1; ; try++ {
		if err := s.askCredentials(ctx, &server); err != nil {
			return err
		}
		s.log.Info("export", "from", server.URL, "superadmin", server.User)
		session, err := legacy.LogIn(ctx, server)
		if err == nil {
			s.old, s.imports.server = session, server
			return session.Export(ctx, file)
		}
		if !errors.Is(err, legacy.ErrRefused) || try == logIns || !s.somebody() {
			return err
		}
		s.warn(err.Error())
		server.Password, server.Code = "", ""
	}
}

// webOf is where version 6 has its web interface: at the usual port if that is its own,
// else wherever it answers.
func (s *session) webOf(ctx context.Context, old plan.OldVersion) string {
	const patience, whole = time.Second, 10 * time.Second
	usual := "127.0.0.1:" + strconv.Itoa(plan.DefaultWebPort)
	own, err := old.ListensNow(ctx, s.m)
	if err != nil || slices.ContainsFunc(own, func(l machine.Listener) bool { return int(l.Addr.Port()) == plan.DefaultWebPort }) {
		return usual
	}
	ctx, cancel := context.WithTimeout(ctx, whole)
	defer cancel()
	for _, l := range own {
		at := l.Addr
		if at.Addr().IsUnspecified() {
			at = netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), at.Port())
		}
		probe, cancel := context.WithTimeout(ctx, patience)
		err := s.m.Prober.AnswersOld(probe, at.String())
		cancel()
		if err == nil {
			return at.String()
		}
	}
	return usual
}

// somebody tells whether a person can be asked.
func (s *session) somebody() bool { return s.streams.Ask != nil && !s.options.Silent }

// errNoPassword: nobody has said it.
var errNoPassword = errors.New("the password of a SuperAdmin of version 6 is needed, and nobody can be asked for it; " +
	"give it in the answers as v6_password, in a file named by --v6-password-file, or in the environment as SS_SETUP_V6_PASSWORD")

// askCredentials asks a person for what was not said.
func (s *session) askCredentials(ctx context.Context, server *legacy.Server) error {
	if server.Password != "" {
		return nil
	}
	if !s.somebody() {
		return errNoPassword
	}
	var err error
	for _, q := range []struct {
		text   string
		secret bool
		into   *string
	}{
		{fmt.Sprintf("Name of a SuperAdmin of version 6 at %s [%s]: ", server.URL, server.User), false, &server.User},
		{"Password: ", true, &server.Password},
		{"Code of the authenticator app (Enter if there is none): ", true, &server.Code},
	} {
		var line string
		if line, err = s.streams.Ask.line(ctx, q.text, q.secret); err != nil {
			return &Failure{Exit: Cancelled, Err: fmt.Errorf("%w; nothing was changed", err)}
		}
		if line != "" {
			*q.into = line
		}
	}
	if server.Password == "" {
		return errNoPassword
	}
	return nil
}

// archivePlaces are the folders in which backups of version 6 are looked for.
func archivePlaces(old plan.OldVersion) []string {
	var places []string
	if old.Where != "" {
		places = append(places, old.Where)
	}
	if dir, err := os.Getwd(); err == nil {
		places = append(places, dir)
	}
	if dir, err := os.UserHomeDir(); err == nil {
		places = append(places, dir)
	}
	return append(places, backupPlaces()...)
}

// chooseBackup asks a person whether the newest backup is to be taken instead.
func (s *session) chooseBackup(ctx context.Context, found []legacy.Backup) (named string, err error) {
	if len(found) == 0 || !s.somebody() {
		return "", nil
	}
	b := found[0]
	yes, err := s.streams.Ask.ask(ctx, plan.Question{
		Text:    fmt.Sprintf("Version 6 does not give its configuration. Take the backup %s of %s instead?", b.Path, madeAt(b.Made)),
		Explain: "What was changed in version 6 since then does not come along.",
	})
	if err != nil || !yes {
		return "", err
	}
	s.log.Info("a backup is taken instead of an export", "file", b.Path)
	return b.Path, nil
}

// madeAt is when something was made, and how long ago.
func madeAt(made time.Time) string {
	text := made.Local().Format("2006-01-02 15:04")
	switch ago := time.Since(made); {
	case ago >= 48*time.Hour:
		return fmt.Sprintf("%s (%d days old)", text, int(ago.Hours()/24))
	case ago >= 2*time.Hour:
		return fmt.Sprintf("%s (%d hours old)", text, int(ago.Hours()))
	case ago >= 0:
		return fmt.Sprintf("%s (%d minutes old)", text, int(ago.Minutes()))
	}
	return text
}

// notExported is the failure of an upgrade whose old version does not give its
// configuration, with all the ways that are left.
func (s *session) notExported(ctx context.Context, old plan.OldVersion, why error, found []legacy.Backup) error {
	if found == nil {
		found = legacy.Find(ctx, archivePlaces(old)...)
	}
	var cures []string
	if errors.Is(why, errOldStopped) {
		cures = append(cures, "start it and run it again: "+strings.Join(plan.StartOldCommands(s.m.Services.Name(), old.Services), " && "))
	}
	if errors.Is(why, legacy.ErrRefused) {
		cures = append(cures, "give the right name and password of a SuperAdmin of version 6 and run it again")
	}
	for _, b := range found {
		version := ""
		if b.Version != "" {
			version = " of version " + b.Version
		}
		cures = append(cures, fmt.Sprintf("to import the backup%s of %s run: %s", version, madeAt(b.Made), s.command("--import", shellWord(b.Path))))
	}
	if len(found) == 0 {
		cures = append(cures, "to import a backup, make one in the SuperAdmin pages of version 6 and run: "+s.command("--import", "FILE"))
	}
	cures = append(cures, "by hand: make that backup, "+strings.Join(plan.StopOldCommands(s.m.Services.Name(), old.Services), " && ")+
		", then: "+s.command("-F")+", and then: ss-server import FILE")
	return &Failure{
		Exit: CheckFailed, Err: fmt.Errorf("version 6 cannot be exported: %w; nothing was changed", why), Cure: strings.Join(cures, "\n"),
	}
}

// leaving are the sockets of programs that the run stops: in nobody's way.
func leaving(sit *plan.Situation, p *plan.Proposal) []machine.Listener {
	if p.Action != plan.ActionUpgrade {
		return nil
	}
	return sit.OldVersions[len(sit.OldVersions)-1].Listeners()
}
