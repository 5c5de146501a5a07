package machine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/kardianos/service"
	"golang.org/x/sys/unix"
)

// ErrNoServices is found in the error of NewServices on a machine whose service
// manager is none that this program knows.
var ErrNoServices = errors.New("no service manager that ss-setup knows")

// Bounds of what a service manager is waited for. A release's definition lets a
// service end by itself for 45 s before it is killed - for 30 of them transfers may come
// to their end -; the manager gets longer than that, so that its own end of the matter is
// the one that happens.
const (
	startBound  = 30 * time.Second
	termBound   = 45 * time.Second
	killBound   = 5 * time.Second
	askBound    = 10 * time.Second
	reloadBound = 90 * time.Second
)

// stopBound is a variable for the tests of what happens at its end.
var stopBound = 60 * time.Second

// conventions is how one service manager keeps its services as files. All of it
// is known without the manager running.
type conventions interface {
	Name() string
	Definition(service string) Definition
	BootJob(j BootJob) Definition
	// fileState is the part of a service's state that lies in files.
	fileState(service string) (ServiceState, error)
	Find(ctx context.Context, prefix string) ([]string, error)
	StartLinks(service string) ([]Link, error)
	Starters(ctx context.Context, service string, unlinked bool) ([]string, error)
}

// NewServices finds the machine's service manager. Below a root nothing runs, so
// there the manager is the one whose files the image has, and what needs
// processes does nothing.
func NewServices(f *FS) (Services, error) {
	if f.Root != "" {
		c, err := imageConventions(f)
		if err != nil {
			return nil, err
		}
		return offline{c}, nil
	}
	switch runningManager(f) {
	case "systemd":
		return &systemd{systemdFiles: systemdFiles{f}, run: runCommand}, nil
	case "openrc":
		return &openrc{openrcFiles: openrcFiles{f}, run: runCommand}, nil
	case "sysv":
		return &sysv{sysvFiles: sysvFiles{f}, run: runCommand}, nil
	}
	return nil, fmt.Errorf("%w: it looked for systemd (/run/systemd/system), OpenRC (/run/openrc) and System V scripts "+
		"(/etc/init.d with /etc/rc2.d or /etc/inittab); prepare an image with ss-setup install --root DIR instead", ErrNoServices)
}

// runningManager looks for what the managers themselves leave in /run.
// kardianos/service answers by what is installed as well - rpm-ostree, an
// openrc-init beside another init, and System V for everything else - so its
// opinion only decides where /run is silent.
func runningManager(f *FS) string {
	switch {
	case isDir(f, "/run/systemd/system"):
		return "systemd"
	case isDir(f, "/run/openrc"):
		return "openrc"
	case !hasSysvScripts(f):
		return ""
	}
	// upstart, procd and BusyBox's rcS keep an /etc/init.d for other purposes.
	switch service.Platform() {
	case "linux-upstart", "linux-procd", "linux-rcs":
		return ""
	}
	return "sysv"
}

func hasSysvScripts(f *FS) bool {
	return isDir(f, initDir) && (isDir(f, "/etc/rc2.d") || f.Exists("/etc/inittab"))
}

// imageConventions reads from an image's files which manager will run it. An
// image may carry the files of several; what /sbin/init is decides then.
func imageConventions(f *FS) (conventions, error) {
	init, _ := f.Readlink("/sbin/init")
	hasSystemd := f.Exists("/usr/lib/systemd/systemd") || f.Exists("/lib/systemd/systemd")
	hasOpenRC := isDir(f, runlevelsDir) && (f.Exists("/sbin/openrc-run") || f.Exists("/usr/sbin/openrc-run"))
	switch {
	case path.Base(init) == "systemd":
		return systemdFiles{f}, nil
	case hasOpenRC:
		return openrcFiles{f}, nil
	case hasSystemd && (init == "" && !f.Exists("/sbin/init") || !hasSysvScripts(f)):
		return systemdFiles{f}, nil
	case hasSysvScripts(f):
		return sysvFiles{f}, nil
	}
	return nil, fmt.Errorf("%w in %s: it has no files of systemd, OpenRC or System V scripts; "+
		"install an init system into the image first", ErrNoServices, cmp.Or(f.Root, "/"))
}

func isDir(f *FS, path string) bool {
	info, err := os.Stat(f.Real(path))
	return err == nil && info.IsDir()
}

// offline is the manager of an image: its files and nothing that runs.
type offline struct{ conventions }

// Reload does nothing: there is nobody to read.
func (offline) Reload(context.Context) error { return nil }

// Start does nothing; the image's first boot starts what is enabled.
func (offline) Start(context.Context, string) error { return nil }

// Stop does nothing.
func (offline) Stop(context.Context, string) error { return nil }

// State tells what the files say.
func (o offline) State(_ context.Context, service string) (ServiceState, error) {
	return o.fileState(service)
}

// Detach does nothing: an image is nobody's to watch over.
func (offline) Detach(context.Context, string, []string, []string) error { return nil }

// EndDetached does nothing.
func (offline) EndDetached(context.Context, string) error { return nil }

// within runs a command under a bound of its own.
func within(ctx context.Context, run Runner, bound time.Duration, argv ...string) (string, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, bound,
		fmt.Errorf("not done after %v: %w", bound, context.DeadlineExceeded))
	defer cancel()
	return run(ctx, argv...)
}

// isOwn tells the services whose processes are known by their program from those
// of other products, such as an older version's, which only their scripts know.
func isOwn(service string) bool { return service == ServerService || service == LicensedService }

// scripts is a manager that starts services by scripts in /etc/init.d.
type scripts interface {
	fileState(service string) (ServiceState, error)
	running(service string) ([]process, error)
}

// startDue tells whether a script is to be run: it is there, an administrator
// allows it, and nothing of the service runs.
func startDue(s scripts, service string) (bool, error) {
	state, err := s.fileState(service)
	if err != nil {
		return false, err
	}
	file := path.Join(initDir, service)
	if !state.Installed {
		return false, fmt.Errorf("start %s: there is no %s; run ss-setup install --repair", service, file)
	}
	if state.Masked {
		return false, fmt.Errorf("start %s: an administrator forbade it; allow it with chmod 755 %s", service, file)
	}
	running, err := s.running(service)
	return err == nil && len(running) == 0, err
}

// endGently asks processes to end and gives them the time a definition would,
// for where there is no definition to do it.
func endGently(ctx context.Context, found []process) error {
	for _, p := range found {
		if err := p.signal(unix.SIGTERM); err != nil {
			return err
		}
	}
	waitUntil(ctx, termBound, func() bool { return !anyAlive(found) })
	return nil
}

// finish makes sure that nothing of a service is left after its manager stopped
// it: what found still lists is killed and waited for.
func finish(ctx context.Context, service string, found func() ([]process, error)) error {
	// What has been killed and what has ended by itself may take a moment to go.
	left, err := found()
	if err != nil || len(left) == 0 {
		return err
	}
	if err := killAll(left); err != nil {
		return fmt.Errorf("stop %s: %w", service, err)
	}
	gone := waitUntil(context.WithoutCancel(ctx), killBound, func() bool {
		left, err = found()
		return err == nil && len(left) == 0
	})
	if gone {
		return nil
	}
	if err != nil {
		return fmt.Errorf("stop %s: %w", service, err)
	}
	return fmt.Errorf("stop %s: process %s does not end, not even by SIGKILL; it may hang in a dead disk or network file system, "+
		"which only a restart of the machine ends", service, pidList(left))
}

func pidList(found []process) string {
	var text []string
	for _, p := range found {
		text = append(text, fmt.Sprint(p.PID))
	}
	return strings.Join(text, ", ")
}

// union is a without what b has already, and b.
func union(a, b []process) []process {
	for _, p := range a {
		if !slices.Contains(b, p) {
			b = append(b, p)
		}
	}
	return b
}

// shellQuote makes one word of a POSIX shell of any text.
func shellQuote(word string) string {
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

func shellWords(words []string) string {
	quoted := make([]string, len(words))
	for i, word := range words {
		quoted[i] = shellQuote(word)
	}
	return strings.Join(quoted, " ")
}
