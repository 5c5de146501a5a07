package step

import (
	"os"
	"syscall"
)

// childAttr makes a child die with this process and, where asked, run as an account.
func childAttr(uid, gid int, switchUser bool) *syscall.SysProcAttr {
	a := &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	if switchUser && os.Geteuid() == 0 {
		a.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	}
	return a
}

// programFolder is where the programs of a release run.
const programFolder = "/"

// programEnv is all that they get of an environment.
func programEnv() []string { return []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C"} }

// tieToUs has nothing to do: childAttr has asked the kernel for it.
func tieToUs(*os.Process) (release func(), err error) { return func() {}, nil }
