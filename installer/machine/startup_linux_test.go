package machine

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// imageWith is a file system with empty files and links.
func imageWith(t *testing.T, files []string, links map[string]string) *FS {
	t.Helper()
	f := &FS{Root: t.TempDir()}
	for _, file := range files {
		if err := os.MkdirAll(filepath.Dir(f.Real(file)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(f.Real(file), []byte("x"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for path, target := range links {
		if err := os.MkdirAll(filepath.Dir(f.Real(path)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(target, f.Real(path)); err != nil {
			t.Fatal(err)
		}
	}
	return f
}

func TestServicesOfAnotherProductAreFoundByTheirFiles(t *testing.T) {
	systemd := systemdFiles{imageWith(t, []string{
		"/etc/systemd/system/ss6-webrest.service", "/lib/systemd/system/ss6-idle.service", "/etc/systemd/system/ss6-worker@.service",
		"/etc/systemd/system/ss-server.service", "/etc/systemd/system/ss6-webrest.service.d/own.conf",
	}, map[string]string{
		"/etc/systemd/system/multi-user.target.wants/ss6-webrest.service":        "/etc/systemd/system/ss6-webrest.service",
		"/etc/systemd/system/multi-user.target.wants/ss6-worker@default.service": "/etc/systemd/system/ss6-worker@.service",
	})}
	sysv := sysvFiles{imageWith(t, []string{"/etc/init.d/ss6-webrest", "/etc/init.d/other"}, map[string]string{
		"/etc/rc2.d/S20ss6-webrest": "../init.d/ss6-webrest", "/etc/rc3.d/S20ss6-webrest": "../init.d/ss6-webrest", "/etc/rc0.d/K01ss6-webrest": "../init.d/ss6-webrest",
	})}
	openrc := openrcFiles{imageWith(t, []string{"/etc/init.d/ss6-webrest"}, map[string]string{"/etc/runlevels/default/ss6-webrest": "/etc/init.d/ss6-webrest"})}
	for _, c := range []struct {
		files conventions
		names string
		links int
	}{
		{systemd, "[ss6-idle ss6-webrest ss6-worker@default]", 1},
		{sysv, "[ss6-webrest]", 2},
		{openrc, "[ss6-webrest]", 1},
	} {
		names, err := c.files.Find("ss6-")
		if err != nil || fmt.Sprint(names) != c.names {
			t.Errorf("%s: %v, %v", c.files.Name(), names, err)
		}
		links, err := c.files.StartLinks("ss6-webrest")
		if err != nil || len(links) != c.links {
			t.Errorf("%s: %v, %v", c.files.Name(), links, err)
		}
	}
}

func TestUnitsThatRunAreFoundInWhatSystemdLists(t *testing.T) {
	out := "ss6-webrest.service    loaded active running Old server\n● ss6-worker@a.service loaded failed failed Worker\nss6.slice loaded active active x\n"
	if got := fmt.Sprint(listedUnits(out, "ss6-")); got != "[ss6-webrest ss6-worker@a]" {
		t.Error(got)
	}
}
