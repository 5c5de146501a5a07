package tlscert

import (
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
)

// exposed warns of a key that every user of the machine can read.
func exposed(path string) string {
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm()&0o007 == 0 {
		return ""
	}
	return fmt.Sprintf("key %s can be read by every user of this machine; run: chmod o= %s", path, path)
}

// readableCure is how the account of this process gets to read path.
func readableCure(path string) string {
	account := strconv.Itoa(os.Geteuid())
	if u, err := user.LookupId(account); err == nil {
		account = u.Username
	}
	return fmt.Sprintf("let the service's account in: setfacl -m u:%[1]s:r %[2]s (and u:%[1]s:x %[3]s)", account, path, filepath.Dir(path))
}
