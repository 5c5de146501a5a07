package machine

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// InitRuns tells whether the machine's service manager runs, so that services can
// be started. None runs in a container image that is being built and in a chroot:
// there /proc/1 is somebody else's, or there is no /proc at all.
func InitRuns(f *FS) bool {
	if f.Root != "" || inChroot() {
		return false
	}
	switch runningManager(f) {
	case "systemd", "openrc":
		return true
	case "sysv":
		// Its scripts may lie in a container whose first process is a shell.
		name, err := os.ReadFile("/proc/1/comm")
		return err == nil && strings.TrimSpace(string(name)) == "init"
	}
	return false
}

func inChroot() bool {
	var root, first syscall.Stat_t
	if syscall.Stat("/", &root) != nil || syscall.Stat("/proc/1/root/.", &first) != nil {
		return true
	}
	return root.Dev != first.Dev || root.Ino != first.Ino
}

// FileServices is the machine's service manager as far as it is files: definitions
// and what is enabled. It starts and stops nothing, and is for a machine on which
// no manager runs.
func FileServices(f *FS) (Services, error) {
	c, err := imageConventions(f)
	if err != nil {
		return nil, err
	}
	return offline{c}, nil
}

// PolicyFile is the program by which an administrator of Debian forbids that
// packages start services.
const PolicyFile = "/usr/sbin/policy-rc.d"

// The answers of PolicyFile that forbid: not allowed, and not allowed but for
// other actions.
const (
	policyForbids = 101
	policyInstead = 106
)

// policyPatience is for a program that usually is one line of shell.
const policyPatience = 10 * time.Second

// MayStart asks PolicyFile, where there is one, whether a package may start
// services. One that cannot be run or hangs forbids nothing, as with invoke-rc.d.
func MayStart(ctx context.Context, f *FS, services ...string) bool {
	if !f.Exists(PolicyFile) {
		return true
	}
	for _, service := range services {
		ctx, cancel := context.WithTimeout(ctx, policyPatience)
		err := exec.CommandContext(ctx, f.Real(PolicyFile), service, "start").Run()
		cancel()
		if ended, ok := errors.AsType[*exec.ExitError](err); ok {
			switch ended.ExitCode() {
			case policyForbids, policyInstead:
				return false
			}
		}
	}
	return true
}
