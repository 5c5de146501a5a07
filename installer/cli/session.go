package cli

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"ss-setup/installer/machine"
	"ss-setup/installer/move"
	"ss-setup/installer/plan"
	"ss-setup/installer/plan/legacy"
	"ss-setup/installer/preflight"
	"ss-setup/installer/step"
	"ss-setup/installer/txn"
	"ss-setup/migrate/report"
)

// session is one call of a verb: its settings, the machine it works on and what
// it talks through.
type session struct {
	settings
	streams Streams
	out     *console
	logTo   *logFile
	log     *slog.Logger

	m      *step.Machine
	engine *txn.Engine[*step.Machine]
	lock   *txn.Lock
	// setUp is what the first set-up has made; nil without one.
	setUp *setUpFields
	// restart: something waits for the machine's restart.
	restart bool
	// self is the SHA-256 of the running program.
	self string
	// names writes the commands that messages name.
	names names
	// idle: no service manager runs on this machine; forbidden: a policy forbids
	// that packages start services.
	idle, forbidden bool
	// trustNotes are told once this program, and no other, goes on with a package.
	trustNotes []string
	// undoes is what a rollback undoes, a line an object.
	undoes []string
	// staged is a folder of a package that goes when the run has ended.
	staged string
	// importing: a backup is staged to be imported.
	importing bool
	// moving is what moves in; nil with every other verb.
	moving *move.List
	// account is whom the server runs as to which everything moves.
	account string
	// old is the session with the version 6 that is taken over; nil without one.
	old *legacy.Session
	// judged is what the dry run of an import told.
	judged *report.Report
	// claimed is the folder for downloads while it is this run's.
	claimed *os.File
}

// newSession prepares a verb that changes the machine, or may.
func newSession(set settings, st Streams) *session {
	s := &session{settings: set, streams: st, logTo: &logFile{}, names: namesOf(set)}
	s.log = newLogger(s.logTo, set.trace)
	// Who asks for the plan wants to see it.
	quiet := set.options.Silent && !set.planOnly || set.guard || set.boot
	s.out = newConsole(st, set.output, quiet, time.Now)
	if set.options.ManagedBy != "" && set.output == outputAuto {
		s.out.show = &packageLines{out: st.Out, err: st.Err}
	}
	return s
}

// open builds the machine and the engine.
func (s *session) open() error {
	if s.root != "" {
		if info, err := os.Stat(s.root); err != nil || !info.IsDir() {
			return usagef("", "--root %s is not a folder", s.root)
		}
	}
	files := &machine.FS{Root: s.root}
	s.decideStart(files)
	if s.trace {
		files.Before = func(op machine.Op, path string) error {
			s.log.Debug("change", "call", op, "path", path)
			return nil
		}
	}
	s.m = &step.Machine{
		FS: files, Accounts: machine.NewAccounts(files),
		Prober: step.NewProber(files), EndOwner: machine.EndOwner, Firewall: &lazyFirewall{fs: files},
		SetupProgram: selfPath, PreDir: txn.PreDir(machine.TxnDir),
		Offline: s.options.Offline, HealthTimeout: s.options.HealthTimeout,
		Now: time.Now, Rand: rand.Reader, Log: s.log,
		Progress: s.out.advance, Warn: s.warn, Stopped: s.out.stopped, Healthy: s.out.healthy,
	}
	if s.root == "" {
		s.m.Relabel = func(ctx context.Context, paths ...string) error { return machine.RestoreContext(ctx, nil, paths...) }
	}
	s.m.Removing, s.m.AtRestart = s.removing, s.atRestart
	s.useSystem()
	s.m.Programs = &step.Exec{FS: files, Accounts: s.m.Accounts}
	s.engine = &txn.Engine[*step.Machine]{
		FS: files, Dir: machine.TxnDir, Kinds: step.Kinds(), Causes: step.Causes(), Observe: s.observe, Log: s.log,
	}
	if err := s.openServices(); err != nil {
		return err
	}
	return s.simulate()
}

// removing ends the log before the folder goes that it lies in.
func (s *session) removing(path string) {
	if name := s.logTo.name(); name != "" && strings.HasPrefix(name, path+string(filepath.Separator)) {
		s.logTo.close()
	}
}

// atRestart notes what happens at the next restart of the machine only.
func (s *session) atRestart(path, happens string) {
	s.restart = true
	s.warn(fmt.Sprintf("%s is open in another program; it %s when the machine restarts", path, happens))
}

func (s *session) openServices() error {
	find := machine.NewServices
	if s.idle {
		find = machine.FileServices
	}
	var err error
	s.m.Services, err = find(s.m.FS)
	return err
}

// openToChange is open for verbs that change the machine.
func (s *session) openToChange() error {
	if onlyImage := s.planOnly && s.root != ""; !machine.Privileged() && !onlyImage {
		return &Failure{
			Exit: NeedsRoot, Err: errors.New("only " + machine.PrivilegedUser + " may change the machine"),
			Cure: asRoot(s.command()),
		}
	}
	if err := s.open(); err != nil {
		return err
	}
	if err := s.checkOwners(); err != nil {
		return err
	}
	var err error
	if s.self, err = fileSHA256(selfPath); err != nil {
		return fmt.Errorf("read the running %s: %w", program, err)
	}
	s.m.SetupSHA256 = s.self
	s.engine.ID = s.self[:engineDigits]
	if s.root == "" && !s.idle {
		s.engine.Scaffold = s.newScaffold()
	}
	return nil
}

// checkOwners refuses folders that somebody else has made, before anything in them is
// read or written. A recovery that begins by itself goes on with what its run has
// found good.
func (s *session) checkOwners() error {
	if s.root != "" || s.guard || s.boot {
		return nil
	}
	return s.refusal(preflight.Failed(preflight.Owners(preflight.NewProbe(s.m.FS, s.m.Services))))
}

// ownState makes the folder of all data where there is none, before anything is put
// into it, and looks whose it is: nobody else makes anything in it from then on.
func (s *session) ownState() error {
	if s.root != "" {
		return nil
	}
	if err := machine.MakeStateDir(s.m.FS); err != nil {
		return err
	}
	return s.checkOwners()
}

// guardName is how the service manager knows the guard.
const guardName = "ss-setup-guard"

func enginePath(id string) string {
	return filepath.Join(machine.Engine(id), machine.SetupName)
}

// engineDigits of the digest name the engine's copy: enough to never collide.
const engineDigits = 16

func (s *session) close() {
	if s.lock != nil {
		_ = s.lock.Release()
	}
	if s.importing {
		s.clearImport()
	}
	if s.old != nil {
		s.old.LogOut(context.Background())
	}
	s.unstage()
	s.unclaim()
	s.logTo.close()
}

func (s *session) warn(message string) {
	s.log.Warn(message)
	s.out.warn(s.names.text(message))
}

// observe tells what the engine does, to people and to the log.
func (s *session) observe(e txn.Event) {
	switch {
	case e.Err != nil:
		s.log.Error(e.Type, "step", e.Index+1, "kind", e.Kind, "text", e.Text, "error", e.Err)
	default:
		s.log.Info(e.Type, "step", e.Index+1, "kind", e.Kind, "text", e.Text)
	}
	s.out.engine(e)
}

// command is this very command, with more flags: what a person types to go on.
func (s *session) command(more ...string) string {
	words := slices.Clone(s.args)
	for _, m := range more {
		if !slices.Contains(words, m) {
			words = append(words, m)
		}
	}
	return again(words...)
}

// lockPatience is for a run that is about to end; a longer one is another's.
const lockPatience = 500 * time.Millisecond

// takeLock takes the right to change the machine. It waits for another run as
// long as --lock-wait says.
func (s *session) takeLock(ctx context.Context) error {
	lock, err := txn.TryLock(s.m.FS.Real(machine.LockFile), lockPatience)
	if errors.Is(err, txn.ErrBusy) && s.lockWait > 0 {
		s.warn(fmt.Sprintf("another ss-setup is running; waiting up to %s for its end", s.lockWait))
		wait, cancel := context.WithTimeoutCause(ctx, s.lockWait, txn.ErrBusy)
		defer cancel()
		lock, err = txn.WaitLock(wait, s.m.FS.Real(machine.LockFile))
	}
	if err == nil {
		s.lock = lock
		return nil
	}
	if !errors.Is(err, txn.ErrBusy) {
		return err
	}
	return s.busy()
}

// busy is the failure of a verb that finds another run under way.
func (s *session) busy() *Failure {
	holder := ""
	if line := s.holder(); line != "" {
		holder = " (" + line + ")"
	}
	return &Failure{
		Exit: Busy, Err: fmt.Errorf("%w%s", txn.ErrBusy, holder),
		Cure: "wait until it has ended, then run: " + s.command(),
	}
}

// lockHeld tells whether a run is under way.
func (s *session) lockHeld() bool {
	_, held, err := machine.LockHolder(s.m.FS, machine.LockFile)
	return err == nil && held
}

func (s *session) releaseLock() {
	if s.lock != nil {
		_ = s.lock.Release()
		s.lock = nil
	}
}

// holder names the process that has the lock, as far as the system tells; empty
// when nobody has it.
func (s *session) holder() string {
	pid, held, err := machine.LockHolder(s.m.FS, machine.LockFile)
	switch {
	case err != nil || !held:
		return ""
	case pid == 0:
		return "a process that cannot be seen from here"
	}
	if command := machine.HolderCommand(machine.LockFile, pid); command != "" {
		return fmt.Sprintf("process %d: %s", pid, command)
	}
	return fmt.Sprintf("process %d", pid)
}

// recoveryHoldsLock tells whether what runs is a recovery that began by itself.
func (s *session) recoveryHoldsLock() bool {
	line := s.holder()
	return strings.Contains(line, " recover --guard") || strings.Contains(line, " recover --boot")
}

// look reads what is on the machine.
func (s *session) look(ctx context.Context) (*plan.Situation, error) {
	sit, err := plan.Look(ctx, s.m)
	if err != nil {
		return nil, fmt.Errorf("look what is installed: %w", err)
	}
	if sit.OldUnknown != nil && (sit.Installed() || s.verb != "install") { // else it is the reason of a failure
		s.warn(fmt.Sprintf("whether an older version is on this machine is not known: %v", sit.OldUnknown))
	}
	return sit, nil
}

func fileSHA256(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// ownFolder is where the running program lies.
func ownFolder() string {
	path, err := os.Executable()
	if err != nil {
		path = selfPath
	}
	return filepath.Dir(path)
}

// lazyFirewall looks for the firewall when it is first asked for: that takes a
// good part of a second, and most runs never need it.
type lazyFirewall struct {
	fs   *machine.FS
	once sync.Once
	wall *machine.Firewall
	err  error
}

func (l *lazyFirewall) find(ctx context.Context) (*machine.Firewall, error) {
	l.once.Do(func() { l.wall, l.err = machine.FindFirewall(context.WithoutCancel(ctx), l.fs) })
	return l.wall, l.err
}

// Opened implements step.Firewall.
func (l *lazyFirewall) Opened(ctx context.Context, ports []int) ([]int, error) {
	w, err := l.find(ctx)
	if err != nil {
		return nil, err
	}
	return w.Opened(ctx, ports)
}

// Open implements step.Firewall.
func (l *lazyFirewall) Open(ctx context.Context, ports []int) error {
	w, err := l.find(ctx)
	if err != nil {
		return err
	}
	return w.Open(ctx, ports)
}

// Close implements step.Firewall.
func (l *lazyFirewall) Close(ctx context.Context, ports []int) error {
	w, err := l.find(ctx)
	if err != nil {
		return err
	}
	return w.Close(ctx, ports)
}
