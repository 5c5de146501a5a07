package step

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/windows"

	"ss-setup/installer/machine"
)

// childAttr starts a child as this process's own account: a virtual account can
// run services only. What the child writes gets the access list of its folder.
func childAttr(_, _ int, _ bool) *syscall.SysProcAttr { return &syscall.SysProcAttr{} }

// programFolder is where the programs of a release run.
var programFolder = machine.SystemDir

// programEnv is all that they get of an environment: what Windows itself needs.
func programEnv() []string {
	env := []string{"PATH=" + machine.SystemDir + `\System32`, "SystemRoot=" + machine.SystemDir, "windir=" + machine.SystemDir}
	for _, name := range []string{"SystemDrive", "ProgramData", "ProgramFiles", "TEMP", "TMP", "COMPUTERNAME"} {
		if v, set := os.LookupEnv(name); set {
			env = append(env, name+"="+v)
		}
	}
	return env
}

// tieToUs ends a child when this process ends, however it does: a job whose last
// handle is closed ends all that is in it.
func tieToUs(p *os.Process) (release func(), err error) {
	job, err := windows.CreateJobObject(nil, nil)
	if err != nil {
		return nil, fmt.Errorf("make a job: %w", err)
	}
	limits := windows.JOBOBJECT_EXTENDED_LIMIT_INFORMATION{}
	limits.BasicLimitInformation.LimitFlags = windows.JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE
	_, err = windows.SetInformationJobObject(job, windows.JobObjectExtendedLimitInformation, uintptr(unsafe.Pointer(&limits)), uint32(unsafe.Sizeof(limits)))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("set up a job: %w", err), windows.CloseHandle(job))
	}
	child, err := windows.OpenProcess(windows.PROCESS_SET_QUOTA|windows.PROCESS_TERMINATE|windows.SYNCHRONIZE, false, uint32(p.Pid))
	if err == nil {
		err = windows.AssignProcessToJobObject(job, child)
		if event, _ := windows.WaitForSingleObject(child, 0); event == windows.WAIT_OBJECT_0 {
			err = nil // it has ended already
		}
		_ = windows.CloseHandle(child)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("put process %d into a job: %w", p.Pid, err), windows.CloseHandle(job))
	}
	return func() { _ = windows.CloseHandle(job) }, nil
}
