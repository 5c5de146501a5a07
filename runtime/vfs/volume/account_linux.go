package volume

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
)

// account is the one that this process runs under.
func account() string {
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return strconv.Itoa(os.Geteuid())
}

// cure is the command that gives name what it needs in dir, and on the way to it.
func cure(name, dir string) string {
	if above := closed(dir); above != "" {
		return fmt.Sprintf("setfacl -m u:%s:x %q && setfacl -R -m u:%s:rwX -m d:u:%s:rwX %q", name, above, name, name, dir)
	}
	return fmt.Sprintf("setfacl -R -m u:%s:rwX -m d:u:%s:rwX %q", name, name, dir)
}

// makeCure is the command that makes dir, which the account may not make itself.
func makeCure(name, dir string) string {
	command := fmt.Sprintf("mkdir -p %q && chown %s: %q", dir, name, dir)
	if above := closed(dir); above != "" {
		return fmt.Sprintf("setfacl -m u:%s:x %q && %s", name, above, command)
	}
	return command
}

// closed is the folder above dir that does not let us through, or "".
func closed(dir string) string {
	for above := filepath.Dir(dir); above != dir; dir, above = above, filepath.Dir(above) {
		if _, err := os.Lstat(dir); err == nil || !errors.Is(err, fs.ErrPermission) {
			return ""
		}
		if _, err := os.Lstat(above); err == nil {
			return above
		}
	}
	return ""
}

// makeDir makes the folder of a VFS, for the service's account and its group.
func makeDir(dir string) error {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return explain(dir, "make", err, makeCure)
	}
	return nil
}
