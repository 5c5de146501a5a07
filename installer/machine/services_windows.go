package machine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/windows"
	"golang.org/x/sys/windows/svc"
	"golang.org/x/sys/windows/svc/mgr"
)

// ErrNoServices is found in the error of NewServices on a machine whose service
// manager is none that this program knows.
var ErrNoServices = errors.New("no service manager that ss-setup knows")

// SuperviseVerb is the hidden verb by which this program calls Supervise.
const SuperviseVerb = "supervise"

// Bounds of what the service manager is waited for. A service ends by itself
// within 45 s, of which transfers may take 30 to come to their end; the system gives it 30 s to begin.
const (
	startBound  = 30 * time.Second
	stopBound   = 60 * time.Second
	killBound   = 10 * time.Second
	deleteBound = 30 * time.Second
)

// scm is the service control manager.
type scm struct{}

// NewServices is the service control manager. It does not run in an image, and
// images of Windows are not prepared.
func NewServices(f *FS) (Services, error) {
	if f.Root != "" {
		return nil, errors.Join(ErrNoServices, fmt.Errorf("prepare an image in %s: %w on Windows; install on the running machine", f.Root, errors.ErrUnsupported))
	}
	return scm{}, supported()
}

// NewRegistrar is the same manager's database.
func NewRegistrar() Registrar { return scm{} }

// Name is the manager's.
func (scm) Name() string { return "windows" }

// Definition has no file: services are entries of the manager, see Registrar.
func (scm) Definition(string) Definition { return Definition{} }

// BootJob has no file either: what Detach starts is started again at every boot.
func (scm) BootJob(BootJob) Definition { return Definition{} }

// Reload has nothing to do.
func (scm) Reload(context.Context) error { return nil }

// Start starts a service and waits until it says that it runs.
func (scm) Start(ctx context.Context, service string) error {
	h, err := openService(service, windows.SERVICE_START|windows.SERVICE_QUERY_STATUS|windows.SERVICE_QUERY_CONFIG)
	if err != nil {
		return fmt.Errorf("start %s: %w", service, explain(err))
	}
	defer h.close()
	if err := windows.StartService(h.handle, 0, nil); err != nil && !errors.Is(err, windows.ERROR_SERVICE_ALREADY_RUNNING) {
		return fmt.Errorf("start %s: %w", service, explain(err))
	}
	var status windows.SERVICE_STATUS_PROCESS
	decided := waitUntil(ctx, startBound, func() bool {
		status, err = h.status()
		return err != nil || status.CurrentState == windows.SERVICE_RUNNING || status.CurrentState == windows.SERVICE_STOPPED
	})
	switch {
	case err != nil:
		return fmt.Errorf("start %s: %w", service, err)
	case ctx.Err() != nil:
		return fmt.Errorf("start %s: %w", service, context.Cause(ctx))
	case !decided:
		return fmt.Errorf("start %s: it does not say that it runs after %v; see the event log", service, startBound)
	case status.CurrentState == windows.SERVICE_STOPPED:
		return fmt.Errorf("start %s: it ended at once with code %d; see the event log", service, exitCode(status))
	}
	return nil
}

func exitCode(s windows.SERVICE_STATUS_PROCESS) uint32 {
	if s.Win32ExitCode == uint32(windows.ERROR_SERVICE_SPECIFIC_ERROR) {
		return s.ServiceSpecificExitCode
	}
	return s.Win32ExitCode
}

// toStop are the rights that stop needs: at the end of its patience it also keeps the
// manager from starting the service again.
const toStop = windows.SERVICE_STOP | windows.SERVICE_QUERY_STATUS | windows.SERVICE_QUERY_CONFIG | windows.SERVICE_CHANGE_CONFIG | windows.SERVICE_START

// Stop ends a service and waits until its process is gone; at the end of its
// patience it ends the process.
func (scm) Stop(ctx context.Context, service string) error {
	h, err := openService(service, toStop)
	if errors.Is(err, windows.ERROR_SERVICE_DOES_NOT_EXIST) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("stop %s: %w", service, explain(err))
	}
	defer h.close()
	if err := h.stop(ctx); err != nil {
		return fmt.Errorf("stop %s: %w", service, err)
	}
	return nil
}

// State asks for a service. Disabled is what an administrator does who forbids it
// to start.
func (scm) State(_ context.Context, service string) (ServiceState, error) {
	h, err := openService(service, windows.SERVICE_QUERY_STATUS|windows.SERVICE_QUERY_CONFIG)
	if errors.Is(err, windows.ERROR_SERVICE_DOES_NOT_EXIST) {
		return ServiceState{}, nil
	}
	if err != nil {
		return ServiceState{}, fmt.Errorf("ask for %s: %w", service, explain(err))
	}
	defer h.close()
	status, err := h.status()
	if err != nil {
		return ServiceState{}, fmt.Errorf("ask for %s: %w", service, err)
	}
	config, err := h.config()
	if err != nil {
		return ServiceState{}, fmt.Errorf("ask for %s: %w", service, err)
	}
	return stateOf(status, config.StartType), nil
}

func stateOf(status windows.SERVICE_STATUS_PROCESS, startType uint32) ServiceState {
	s := ServiceState{Installed: true, PID: int(status.ProcessId)}
	s.Enabled = startType == windows.SERVICE_AUTO_START
	s.Masked = startType == windows.SERVICE_DISABLED
	s.Active = status.CurrentState != windows.SERVICE_STOPPED
	never := status.Win32ExitCode == uint32(windows.ERROR_SERVICE_NEVER_STARTED)
	s.Failed = !s.Active && !never && exitCode(status) != 0
	return s
}

// Detach makes a service of the program, as LocalSystem, which the manager starts
// now, again when it dies, and at every boot.
func (s scm) Detach(ctx context.Context, name string, argv, _ []string) error {
	if err := s.EndDetached(ctx, name); err != nil {
		return err
	}
	r := Registration{
		Service: name, DisplayName: "SS Server setup: recovery of a run",
		Command: CommandLine(append(argv[:len(argv):len(argv)], ServiceFlag)), Account: "LocalSystem", Start: StartAtBoot,
		Restarts: &Restarts{AfterMilliseconds: []uint32{200, 200, 200}},
	}
	if err := s.Register(ctx, r); err != nil {
		return fmt.Errorf("register %s: %w", name, err)
	}
	return s.Start(ctx, name)
}

// EndDetached ends that service and removes it. Called by the service itself it
// only marks it: it goes when the process ends.
func (s scm) EndDetached(ctx context.Context, name string) error {
	state, err := s.State(ctx, name)
	if err != nil || !state.Installed {
		return err
	}
	if state.PID != os.Getpid() {
		if err := s.Stop(ctx, name); err != nil {
			return err
		}
		return s.Unregister(ctx, name)
	}
	h, err := openService(name, windows.DELETE)
	if err != nil {
		return fmt.Errorf("remove %s: %w", name, explain(err))
	}
	defer h.close()
	if err := windows.DeleteService(h.handle); err != nil && !errors.Is(err, windows.ERROR_SERVICE_MARKED_FOR_DELETE) {
		return fmt.Errorf("remove %s: %w", name, explain(err))
	}
	return flushService(name)
}

// Supervise is not needed where the service manager supervises.
func Supervise(context.Context, *FS, string, []string, []string) error {
	return fmt.Errorf("supervise a program: %w on Windows", errors.ErrUnsupported)
}

// CommandLine writes a command as Windows takes it apart again. The program is
// always quoted: a path with a space in it would name several programs otherwise.
func CommandLine(argv []string) string {
	words := make([]string, len(argv))
	for i, word := range argv {
		words[i] = windows.EscapeArg(word)
	}
	if !strings.HasPrefix(words[0], `"`) {
		words[0] = `"` + words[0] + `"`
	}
	return strings.Join(words, " ")
}

// explain adds the cure to errors that have one.
func explain(err error) error {
	switch {
	case errors.Is(err, windows.ERROR_SERVICE_DOES_NOT_EXIST):
		return fmt.Errorf("%w; run ss-setup install --repair", err)
	case errors.Is(err, windows.ERROR_SERVICE_DISABLED):
		return fmt.Errorf("%w: an administrator has disabled it", err)
	case errors.Is(err, windows.ERROR_SERVICE_MARKED_FOR_DELETE):
		return fmt.Errorf("%w; close the Services window and whatever else looks at it, or restart the machine", err)
	case errors.Is(err, windows.ERROR_SERVICE_LOGON_FAILED):
		return fmt.Errorf("%w; set its account and password in the Services window", err)
	}
	return err
}

// service is an open service.
type service struct {
	manager, handle windows.Handle
	name            string
}

func openService(name string, access uint32) (*service, error) {
	manager, err := windows.OpenSCManager(nil, nil, windows.SC_MANAGER_CONNECT)
	if err != nil {
		return nil, fmt.Errorf("reach the service manager: %w", err)
	}
	h, err := windows.OpenService(manager, windows.StringToUTF16Ptr(name), access)
	if err != nil {
		return nil, errors.Join(err, windows.CloseServiceHandle(manager))
	}
	return &service{manager, h, name}, nil
}

func (s *service) close() {
	_ = windows.CloseServiceHandle(s.handle)
	_ = windows.CloseServiceHandle(s.manager)
}

// stop asks for the end, waits for it and for the process, and kills at last.
func (s *service) stop(ctx context.Context) error {
	status, err := s.status()
	if err != nil {
		return err
	}
	if status.CurrentState == windows.SERVICE_STOPPED {
		return nil
	}
	process, err := openProcess(status.ProcessId)
	if err != nil {
		return err
	}
	defer process.close()
	asked, needed := false, false
	stopped := waitUntil(ctx, stopBound, func() bool {
		if !asked {
			asked, err = s.askToStop()
			// Those that depend on it may be about to end as well.
			if needed = errors.Is(err, windows.ERROR_DEPENDENT_SERVICES_RUNNING); needed {
				err = nil
			}
			if err != nil {
				return true
			}
		}
		status, err = s.status()
		return err != nil || status.CurrentState == windows.SERVICE_STOPPED
	})
	if err != nil {
		return err
	}
	if stopped && process.ended(killBound) {
		return nil
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if needed {
		return fmt.Errorf("services that depend on it go on running: %s; stop them first", strings.Join(s.dependents(), ", "))
	}
	return s.kill(process)
}

// dependents are the services that run and depend on it; none when nobody can tell.
func (s *service) dependents() []string {
	h, err := openService(s.name, windows.SERVICE_ENUMERATE_DEPENDENTS)
	if err != nil {
		return nil
	}
	defer h.close()
	names, _ := (&mgr.Service{Name: s.name, Handle: h.handle}).ListDependentServices(svc.Active)
	return names
}

// askToStop tells whether the service took it: one that begins or ends just now takes
// no controls, and one whose process is gone before it has answered breaks the pipe.
// What was taken must not be asked again, for it may be ending already.
func (s *service) askToStop() (asked bool, err error) {
	var status windows.SERVICE_STATUS
	err = windows.ControlService(s.handle, windows.SERVICE_CONTROL_STOP, &status)
	for _, fine := range []error{
		windows.ERROR_SERVICE_NOT_ACTIVE, windows.ERROR_SERVICE_CANNOT_ACCEPT_CTRL,
		windows.ERROR_SERVICE_REQUEST_TIMEOUT, windows.ERROR_INVALID_SERVICE_CONTROL,
		windows.ERROR_BROKEN_PIPE,
	} {
		if errors.Is(err, fine) {
			return false, nil
		}
	}
	return err == nil, err
}

// kill ends the process. The manager must not take that for a failure to mend.
func (s *service) kill(p process) error {
	restarts, err := s.restarts()
	if err == nil && restarts != nil && len(restarts.AfterMilliseconds) > 0 {
		err := s.setRestarts(&Restarts{})
		if err != nil && !errors.Is(err, windows.ERROR_SERVICE_MARKED_FOR_DELETE) { // which is not restarted
			return err
		}
		defer func() { _ = s.setRestarts(restarts) }()
	}
	if err := p.kill(); err != nil {
		return fmt.Errorf("end process %d: %w", p.pid, err)
	}
	if !p.ended(killBound) {
		return fmt.Errorf("process %d does not end, not even when it is terminated; only a restart of the machine ends it", p.pid)
	}
	var status windows.SERVICE_STATUS_PROCESS
	stopped := waitUntil(context.Background(), killBound, func() bool {
		status, err = s.status()
		return err != nil || status.CurrentState == windows.SERVICE_STOPPED
	})
	if err == nil && !stopped {
		err = errors.New("its process has ended, but the service manager still says that it runs; restart the machine")
	}
	return err
}

// EndOwner ends the process that has a socket, if its program still is the one that was
// seen.
func EndOwner(l Listener) error {
	p, err := openProcess(uint32(l.PID))
	if err != nil {
		return err
	}
	defer p.close()
	if l.Program == "" || programOf(uint32(l.PID)) != l.Program {
		return nil // another one has its number
	}
	if err := p.kill(); err != nil {
		return fmt.Errorf("end %s: %w", l.Owner(), err)
	}
	return nil
}

// process is the process of a service; none when pid is 0.
type process struct {
	pid    uint32
	handle windows.Handle
}

func openProcess(pid uint32) (process, error) {
	if pid == 0 {
		return process{}, nil
	}
	h, err := windows.OpenProcess(windows.SYNCHRONIZE|windows.PROCESS_TERMINATE, false, pid)
	if errors.Is(err, windows.ERROR_INVALID_PARAMETER) {
		return process{}, nil // it has just ended
	}
	if err != nil {
		return process{}, fmt.Errorf("open process %d: %w", pid, err)
	}
	return process{pid, h}, nil
}

func (p process) close() {
	if p.handle != 0 {
		_ = windows.CloseHandle(p.handle)
	}
}

func (p process) ended(bound time.Duration) bool {
	if p.handle == 0 {
		return true
	}
	event, err := windows.WaitForSingleObject(p.handle, uint32(bound.Milliseconds()))
	return err == nil && event == windows.WAIT_OBJECT_0
}

func (p process) kill() error {
	if p.handle == 0 || p.ended(0) {
		return nil
	}
	return windows.TerminateProcess(p.handle, 1)
}

// NewAccounts are accounts that exist by themselves: every service has a virtual
// one of its name.
func NewAccounts(*FS) Accounts { return virtualAccounts{} }

// VirtualAccount is the account that Windows makes for a service of that name.
func VirtualAccount(service string) string { return `NT SERVICE\` + service }

type virtualAccounts struct{}

// Lookup tells no numbers: there are none. Accounts of services exist with them; one of
// a domain that cannot be asked just now is taken to be there.
func (virtualAccounts) Lookup(name string) (uid, gid int, err error) {
	if NeedsLogonRight(name) {
		if _, err := sidOf(name); errors.Is(err, fs.ErrNotExist) {
			return 0, 0, err
		}
	}
	return -1, -1, nil
}

// NeedsLogonRight tells the accounts that run no service unless they have got the right
// to: all but those that Windows has for services.
func NeedsLogonRight(account string) bool {
	domain, _, found := strings.Cut(account, `\`)
	if !found {
		return strings.HasSuffix(account, "$")
	}
	return !strings.EqualFold(domain, "NT SERVICE") && !strings.EqualFold(domain, "NT AUTHORITY")
}

// LookupID tells no names: who may do what is in access lists.
func (virtualAccounts) LookupID(int, int) (user, group string) { return "", "" }

// Create makes no account.
func (virtualAccounts) Create(context.Context, string, string) (bool, error) { return false, nil }

// HasGroup knows no group: there are none of our names.
func (virtualAccounts) HasGroup(string) (bool, error) { return false, nil }

// Remove removes no account.
func (virtualAccounts) Remove(context.Context, string, bool) error { return nil }

// PolicyFile is known on Debian alone.
const PolicyFile = ""

// InitRuns is always true: Windows has one service manager.
func InitRuns(*FS) bool { return true }

// FileServices has nothing to offer: services are no files here.
func FileServices(*FS) (Services, error) {
	return nil, fmt.Errorf("control services as files: %w on Windows", errors.ErrUnsupported)
}

// MayStart is always true: nobody forbids it.
func MayStart(context.Context, *FS, ...string) bool { return true }
