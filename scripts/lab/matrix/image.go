//go:build linux

package matrix

import (
	"archive/zip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"ss-setup/packaging/release"
)

// newImage makes a small machine's tree: what ss-setup looks at and nothing else.
func newImage(dir string) error {
	for _, d := range []string{
		"etc/systemd/system/multi-user.target.wants", "lib/systemd/system", "usr/lib/systemd", "usr/bin", "usr/sbin",
		"usr/local/bin", "var/lib", "var/log", "opt", "srv", "run", "tmp", "root",
	} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			return err
		}
	}
	for path, content := range map[string]string{
		"etc/passwd":              "root:x:0:0:root:/root:/bin/sh\ndaemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin\n",
		"etc/group":               "root:x:0:\ndaemon:x:1:\n",
		"etc/shadow":              "root:*:19000:0:99999:7:::\ndaemon:*:19000:0:99999:7:::\n",
		"etc/gshadow":             "root:*::\ndaemon:*::\n",
		"etc/login.defs":          "SYS_UID_MIN 100\nSYS_UID_MAX 999\nSYS_GID_MIN 100\nSYS_GID_MAX 999\n",
		"usr/sbin/nologin":        "#!/bin/sh\nexit 1\n",
		"usr/lib/systemd/systemd": "#!/bin/sh\n",
		"lib/systemd/systemd":     "#!/bin/sh\n",
		// Somebody else's files at two of our paths.
		"usr/bin/lmu":                            "#!/bin/sh\necho a program of the administrator's\n",
		"etc/systemd/system/ss-licensed.service": "# a unit of the administrator's\n",
	} {
		mode := os.FileMode(0o644)
		if filepath.Dir(path) != "etc" {
			mode = 0o755
		}
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, path)), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, path), []byte(content), mode); err != nil {
			return err
		}
	}
	return nil
}

// addOld puts a version 6 on the machine, whose services run.
func addOld(dir string) error {
	for path, content := range map[string]string{
		"opt/Syncplify/ServerV6/bin/ss6-webrest": "#!/bin/sh\n",
		"opt/Syncplify/ServerV6/bin/ss6-worker":  "#!/bin/sh\n",
		"etc/systemd/system/ss6-webrest.service": "# version 6\n",
		"etc/systemd/system/ss6-worker.service":  "# version 6\n",
		"run/recorded-services.json": `{"running":{"ss6-webrest":{"generation":"","release":"","definition":""},` +
			`"ss6-worker":{"generation":"","release":"","definition":""}},"detached":{}}` + "\n",
	} {
		path = filepath.Join(dir, path)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(content), 0o755)); err != nil {
			return err
		}
	}
	for _, unit := range []string{"ss6-webrest.service", "ss6-worker.service"} {
		if err := os.Symlink("/etc/systemd/system/"+unit, filepath.Join(dir, "etc/systemd/system/multi-user.target.wants", unit)); err != nil {
			return err
		}
	}
	return nil
}

// newBackup makes a backup of a small version 6.
func newBackup(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	z := zip.NewWriter(f)
	for _, part := range [][2]string{
		{"version.json", `{"version":"6.2.60"}`},
		{"vsites.json", `[{"id":"default"}]`},
		{"sites/default/vfs.json", `[{"id":"V1","name":"Files","type":"Disk","target":"/srv/f"}]`},
		{"sites/default/users.json", `[{"id":"anna","home":{"vfsId":"V1"}}]`},
	} {
		w, err := z.Create(part[0])
		if err == nil {
			_, err = io.WriteString(w, part[1])
		}
		if err != nil {
			return errors.Join(err, f.Close())
		}
	}
	return errors.Join(z.Close(), f.Close())
}

// program is a release's program in miniature: the store is a text file that
// says its schema, so that a migration shows.
const program = `#!/bin/sh
# release %s
cmd=$1; shift
create=
while [ $# -gt 0 ]; do
	case $1 in
	--data) data=$2; shift;;
	--create) create=1;;
	esac
	shift
done
db=$data/%s
case $cmd in
migrate)
	if [ ! -e "$db" ]; then
		[ -n "$create" ] || { echo "no store" >&2; exit 1; }
		echo "made by %s" > "$db"
	fi
	echo "schema %s" >> "$db"
	echo '{"done":1,"total":1,"message":"migrated"}';;
esac
exit 0
`

// newBundle makes a bundle of miniature programs around a real ss-setup.
func newBundle(dir, version, build, setup, services string) error {
	bin := filepath.Join(dir, "bin")
	if err := os.MkdirAll(bin, 0o755); err != nil {
		return err
	}
	for name, db := range map[string]string{"ss-server": "store.db", "ss-licensed": "license.db", "lmu": "none", "ss-vfsdecrypt": "none"} {
		text := fmt.Sprintf(program, build, db, version, version)
		if err := os.WriteFile(filepath.Join(bin, name), []byte(text), 0o755); err != nil {
			return err
		}
	}
	_, err := release.Bundle(release.Options{
		Version: version, Bin: bin, Services: services, Setup: setup, Out: filepath.Join(dir, "bundle"),
	})
	return err
}
