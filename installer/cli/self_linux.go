package cli

import "syscall"

// selfPath is the file of the running program, even when its name has been
// given to another file meanwhile.
const selfPath = "/proc/self/exe"

// become runs another program in the place of this one.
func become(path string, args, env []string) error {
	return syscall.Exec(path, append([]string{path}, args...), env)
}
