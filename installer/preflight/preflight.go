// Package preflight looks, before anything is changed, whether a run can succeed
// on this machine. Each check answers for itself and names the cure; none knows
// of the others, of plans or of steps, and none leaves anything behind.
package preflight

import (
	"context"
	"time"

	"ss-setup/installer/machine"
)

// Status is how a check came out.
type Status string

// The outcomes of a check.
const (
	OK   Status = "ok"
	Warn Status = "warn"
	Fail Status = "fail"
)

// The names of the checks. Those that end a run with an exit code of their own
// are told apart by them.
const (
	Root        = "root"
	Platform    = "platform"
	InitSystem  = "init system"
	OtherRun    = "other run"
	Interrupted = "interrupted run"
	Clock       = "clock"
	Links       = "links"
	Ownership   = "ownership"
	FileSystems = "file systems"
	Writing     = "writing"
	DiskSpace   = "disk space"
	Ports       = "ports"
	Masks       = "masked services"
	Account     = "service account"
	OldServices = "services of old versions"
)

// Check is the outcome of one check.
type Check struct {
	Name    string `json:"name"`
	Status  Status `json:"status"`
	Message string `json:"message"`
	// Cure is what to do about it; empty when all is well.
	Cure string `json:"cure,omitempty"`
}

// Port is a port that a service is to listen on.
type Port struct {
	Service string
	Number  int
	// Loopback says that it listens on 127.0.0.1 only.
	Loopback bool
	// Flag chooses another number.
	Flag string
	// Optional: the run goes on without it, the service gets another number.
	Optional bool
}

// Demand is room that a run needs somewhere.
type Demand struct {
	Path  string
	Bytes int64
	What  string
}

// Old is an older product that goes on to be installed, and of which nothing may run.
type Old struct {
	Version  int
	Services []string
	// Cures are the commands that stop and disable the services.
	Cures []string
}

// Input is what a run is about to do.
type Input struct {
	// OS and Arch are those of the manifest, as in GOOS and GOARCH.
	OS, Arch string
	// Demands are without reserve. Release and Stores make the usual ones.
	Demands []Demand
	Ports   []Port
	// Leaving are the sockets of programs that the run stops first.
	Leaving []machine.Listener
	// Old are the older products of which something runs, or would after a boot.
	Old []Old
	// Services are those that are to be started.
	Services []string
	// Account runs the server in place of its own; empty for that.
	Account string
	// Installed says that the services are there already; one that is masked
	// stays so then.
	Installed bool
	// NotBefore is a time that is known to have been: of the release, or of the
	// newest receipt.
	NotBefore time.Time
	// Journal is the file of an interrupted run.
	Journal string
	// HoldsLock says that the caller has the lock itself.
	HoldsLock bool
	// Image says that this is not the running machine but one below a root.
	Image bool
}

// Run makes all checks, in the order in which a person would put them right.
func Run(ctx context.Context, p Probe, in Input) []Check {
	checks := []Check{
		checkRoot(p),
		checkPlatform(p, in),
		checkInit(p),
		checkOtherRun(p, in),
		checkInterrupted(p, in),
		checkClock(p, in),
	}
	checks = append(checks, ServiceAccount(p, in.Account)...)
	checks = append(checks, Owners(p)...)
	checks = append(checks, checkLinks(p)...)
	if !in.Image {
		// An image is built wherever there is room; its own disks come later.
		checks = append(checks, checkFileSystems(p)...)
	}
	if !failed(checks, Root) {
		// Without the rights it could only say what the first check has said.
		checks = append(checks, checkWriting(p)...)
	}
	checks = append(checks, checkSpace(p, in)...)
	if !in.Image {
		checks = append(checks, checkPorts(p, in)...)
	}
	checks = append(checks, checkOld(in)...)
	if !failed(checks, InitSystem) {
		checks = append(checks, checkMasks(ctx, p, in)...)
	}
	return checks
}

// Room makes the one check whether there is room for demands.
func Room(p Probe, demands ...Demand) []Check {
	return checkSpace(p, Input{Demands: demands})
}

// Failed picks the checks that forbid the run.
func Failed(checks []Check) []Check {
	var found []Check
	for _, c := range checks {
		if c.Status == Fail {
			found = append(found, c)
		}
	}
	return found
}

func failed(checks []Check, name string) bool {
	for _, c := range checks {
		if c.Name == name && c.Status == Fail {
			return true
		}
	}
	return false
}

func ok(name, message string) Check { return Check{Name: name, Status: OK, Message: message} }

// unknown is a check that could not be made. The run is not forbidden for it:
// what the check is about will be found out, and put back, later.
func unknown(name string, err error) Check {
	return Check{
		Name: name, Status: Warn, Message: "cannot be checked: " + err.Error(),
		Cure: say.unknown,
	}
}

// Where everything of an installation lies, and which of it must be safe from a
// power cut.
var (
	allFolders = []string{
		machine.ProgramDir, machine.ServerStateDir, machine.LicensedStateDir, machine.SetupDir,
		machine.ConfigDir, machine.FilesDir, machine.ServerLogDir, machine.SetupLogDir,
	}
	safeFolders = []string{machine.ProgramDir, machine.ServerStateDir, machine.LicensedStateDir, machine.SetupDir}
)
