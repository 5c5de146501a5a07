//go:build faults

package cli

import (
	"syscall"

	"golang.org/x/sys/windows"
)

// record has no service manager to offer that only remembers: tests have a real one.
func (*session) record() error { return nil }

// errnoNamed knows the errors of Windows that stand for those of Linux.
func errnoNamed(name string) syscall.Errno {
	return map[string]syscall.Errno{
		"ENOSPC": windows.ERROR_DISK_FULL, "EIO": windows.ERROR_WRITE_FAULT,
		"EACCES": windows.ERROR_ACCESS_DENIED, "EROFS": windows.ERROR_WRITE_PROTECT,
	}[name]
}

// die ends this process as the task manager would, and never returns.
func die() {
	_ = windows.TerminateProcess(windows.CurrentProcess(), killedCode)
	select {}
}

// killedCode tells tests a process that died here.
const killedCode = 137
