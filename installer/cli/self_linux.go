package cli

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

// selfPath is the file of the running program, even when its name has been
// given to another file meanwhile.
var selfPath = findSelf()

// ownLink leads to the running program, also after its file was removed.
const ownLink = "/proc/self/exe"

// vanishes tells whether the file of a running program can be removed.
func vanishes() bool { return selfPath == ownLink }

// findSelf asks the kernel; in a chroot without /proc how the program was called
// has to do.
func findSelf() string {
	const link = ownLink
	if _, err := os.Stat(link); err == nil {
		return link
	}
	path, err := exec.LookPath(os.Args[0])
	if err != nil {
		return link
	}
	if path, err = filepath.Abs(path); err != nil {
		return link
	}
	return path
}

// become runs another program in the place of this one.
func become(path string, args, env []string, _ *os.File) error {
	return syscall.Exec(path, append([]string{path}, args...), env)
}
