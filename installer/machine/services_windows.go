package machine

import (
	"context"
	"errors"
)

// ErrNoServices is found in the error of NewServices on a machine whose service
// manager is none that this program knows.
var ErrNoServices = errors.New("no service manager that ss-setup knows")

// SuperviseVerb is the hidden verb by which this program calls Supervise.
const SuperviseVerb = "supervise"

// NewServices has no service manager to offer here yet.
func NewServices(*FS) (Services, error) {
	return nil, errors.Join(ErrNoServices, unsupported("control services"))
}

// NewAccounts are accounts that cannot be made: services here get virtual ones.
func NewAccounts(*FS) Accounts { return noAccounts{} }

// Supervise is not needed where the service manager supervises.
func Supervise(context.Context, *FS, string, []string, []string) error {
	return unsupported("supervise a program")
}

// StartAll starts several services at once.
func StartAll(context.Context, Services, ...string) error { return unsupported("start services") }

// StopAll stops several services at once.
func StopAll(context.Context, Services, ...string) error { return unsupported("stop services") }

// Runner runs one command of the system and returns what it printed.
type Runner func(ctx context.Context, argv ...string) (string, error)

// RestoreContext has nothing to do: there is no SELinux.
func RestoreContext(context.Context, Runner, ...string) error { return nil }

type noAccounts struct{}

// Lookup knows no account.
func (noAccounts) Lookup(name string) (uid, gid int, err error) {
	return -1, -1, unsupported("look up account " + name)
}

// LookupID knows no names.
func (noAccounts) LookupID(int, int) (user, group string) { return "", "" }

// Create makes no account.
func (noAccounts) Create(_ context.Context, name, _ string) (bool, error) {
	return false, unsupported("create account " + name)
}

// HasGroup knows no group.
func (noAccounts) HasGroup(name string) (bool, error) {
	return false, unsupported("look up group " + name)
}

// Remove removes no account.
func (noAccounts) Remove(_ context.Context, name string, _ bool) error {
	return unsupported("remove account " + name)
}

// PolicyFile is known on Debian alone.
const PolicyFile = ""

// InitRuns is always true: Windows has one service manager.
func InitRuns(*FS) bool { return true }

// FileServices has nothing to offer: services are no files here.
func FileServices(*FS) (Services, error) {
	return nil, errors.Join(ErrNoServices, unsupported("control services"))
}

// MayStart is always true: nobody forbids it.
func MayStart(context.Context, *FS, ...string) bool { return true }
