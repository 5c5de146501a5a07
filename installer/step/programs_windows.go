package step

import "syscall"

// childAttr starts a child as this process's own account.
func childAttr(_, _ int, _ bool) *syscall.SysProcAttr { return &syscall.SysProcAttr{} }
