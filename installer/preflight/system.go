package preflight

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"time"

	"ss-setup/installer/machine"
)

func checkRoot(p Probe) Check {
	if uid := p.EUID(); uid != 0 {
		return Check{
			Name: Root, Status: Fail, Message: strings.ReplaceAll(say.root, "{uid}", strconv.Itoa(uid)),
			Cure: say.asRoot,
		}
	}
	return ok(Root, "ss-setup may change the machine")
}

func checkPlatform(p Probe, in Input) Check {
	goos, goarch := p.Platform()
	if in.OS == goos && in.Arch == goarch {
		return ok(Platform, fmt.Sprintf("the package is for %s/%s", goos, goarch))
	}
	return Check{
		Name: Platform, Status: Fail,
		Message: fmt.Sprintf("the package is for %s/%s, this machine is %s/%s", in.OS, in.Arch, goos, goarch),
		Cure:    fmt.Sprintf("get the package for %s/%s", goos, goarch),
	}
}

func checkInit(p Probe) Check {
	name, err := p.InitSystem()
	if err != nil {
		return Check{
			Name: InitSystem, Status: Fail, Message: err.Error(),
			Cure: say.noManager,
		}
	}
	return ok(InitSystem, "services are managed by "+name)
}

func checkOtherRun(p Probe, in Input) Check {
	if in.HoldsLock {
		return ok(OtherRun, "no other ss-setup is running")
	}
	pid, held, err := p.LockHolder()
	switch {
	case err != nil:
		return unknown(OtherRun, err)
	case !held:
		return ok(OtherRun, "no other ss-setup is running")
	case pid == 0:
		return Check{
			Name: OtherRun, Status: Fail, Message: say.hiddenRun,
			Cure: "wait until it has ended",
		}
	}
	return Check{
		Name: OtherRun, Status: Fail, Message: fmt.Sprintf("another ss-setup is running (process %d)", pid),
		Cure: fmt.Sprintf(say.process, pid),
	}
}

func checkInterrupted(p Probe, in Input) Check {
	if in.Journal == "" {
		return ok(Interrupted, "no run was interrupted")
	}
	if _, _, err := p.Lstat(in.Journal); err != nil {
		return ok(Interrupted, "no run was interrupted")
	}
	return Check{
		Name: Interrupted, Status: Fail, Message: "an earlier run was interrupted and is not finished; its journal is " + in.Journal,
		Cure: "ss-setup recover",
	}
}

func checkClock(p Probe, in Input) Check {
	now := p.Now()
	if machine.ClockBehind(now, in.NotBefore) {
		return Check{
			Name: Clock, Status: Fail,
			Message: fmt.Sprintf("the clock says %s, but this release or installation is of %s: certificates made now would not be valid",
				now.UTC().Format(time.DateTime), in.NotBefore.UTC().Format(time.DateOnly)),
			Cure: say.setClock,
		}
	}
	return ok(Clock, "the clock says "+now.UTC().Format(time.DateTime)+" UTC")
}

// ServiceAccount looks whether the server can run as the account of that name, as Run
// does. Empty is the account that an install makes, which needs no look.
func ServiceAccount(p Probe, name string) []Check {
	if name == "" {
		return nil
	}
	return []Check{checkAccount(p, name)}
}

// checkAccount holds the account that is to run the server to what it must be:
// there, and never root.
func checkAccount(p Probe, name string) Check {
	if !accountName.MatchString(name) {
		return Check{
			Name: Account, Status: Fail, Message: fmt.Sprintf("--service-user %q is no name of an account", name),
			Cure: say.listAccounts,
		}
	}
	uid, err := p.Account(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return Check{
			Name: Account, Status: Fail, Message: fmt.Sprintf("there is no account %s, which --service-user names", name),
			Cure: fmt.Sprintf(say.makeAccount, name),
		}
	case err != nil:
		return unknown(Account, err)
	case uid == 0:
		return Check{
			Name: Account, Status: Fail, Message: fmt.Sprintf(say.mightyAccount, name),
			Cure: "name another account, or leave out --service-user: ss-setup then makes the account " + machine.ServerService,
		}
	}
	return ok(Account, fmt.Sprintf("the server can run as %s", name))
}

func checkMasks(ctx context.Context, p Probe, in Input) []Check {
	checks := make([]Check, 0, len(in.Services))
	manager, _ := p.InitSystem()
	for _, service := range in.Services {
		state, err := p.Service(ctx, service)
		switch {
		case err != nil:
			checks = append(checks, unknown(Masks, err))
		case !state.Masked:
			checks = append(checks, ok(Masks, service+" may be started"))
		case in.Installed:
			checks = append(checks, Check{
				Name: Masks, Status: Warn, Message: service + " is " + say.masked + " by an administrator and stays so: it will not be started",
				Cure: Unmask(manager, service),
			})
		default:
			checks = append(checks, Check{
				Name: Masks, Status: Fail, Message: service + " is " + say.masked + " by an administrator, so it could not be started",
				Cure: Unmask(manager, service),
			})
		}
	}
	return checks
}
