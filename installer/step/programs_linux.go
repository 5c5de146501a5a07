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
