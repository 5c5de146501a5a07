package volume

import (
	"fmt"
	"os"
	"os/user"
)

// account is the one that this process runs under.
func account() string {
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return `NT SERVICE\ss-server`
}

// cure is the command that gives name what it needs in dir. Windows lets everybody
// through the folders above.
func cure(name, dir string) string {
	return fmt.Sprintf(`icacls "%s" /grant "%s:(OI)(CI)M" /T`, dir, name)
}

// makeCure is the command that makes dir, which the account may not make itself.
func makeCure(name, dir string) string {
	return fmt.Sprintf(`mkdir "%s" & %s`, dir, cure(name, dir))
}

// makeDir makes the folder of a VFS; it inherits its access list.
func makeDir(dir string) error {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return explain(dir, "make", err, makeCure)
	}
	return nil
}
