package machine

import (
	"context"
	"fmt"
	"os"
	"time"
)

// selinuxFile exists where SELinux is on.
var selinuxFile = "/sys/fs/selinux/enforce"

const restoreBound = 2 * time.Minute

// RestoreContext gives files and whole folders the SELinux labels that the
// policy of the machine has for their paths. Where SELinux is off it does
// nothing, not even look for restorecon. A nil run is the system's.
func RestoreContext(ctx context.Context, run Runner, paths ...string) error {
	if _, err := os.Stat(selinuxFile); err != nil || len(paths) == 0 {
		return nil
	}
	if run == nil {
		run = runCommand
	}
	argv := append([]string{"restorecon", "-R", "--"}, paths...)
	if _, err := within(ctx, run, restoreBound, argv...); err != nil {
		return fmt.Errorf("restore SELinux labels: %w; install policycoreutils", err)
	}
	return nil
}
