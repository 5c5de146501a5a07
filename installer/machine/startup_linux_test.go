package machine

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
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
	others := systemdFiles{imageWith(t, []string{"/run/systemd/system/ss6-webrest.service", "/etc/init.d/ss6-old"}, map[string]string{
		"/lib": "usr/lib",
		"/run/systemd/system/multi-user.target.wants/ss6-webrest.service":     "../ss6-webrest.service",
		"/usr/lib/systemd/system/multi-user.target.wants/ss6-webrest.service": "../ss6-webrest.service",
		"/etc/systemd/system/ss6.target.upholds/ss6-webrest.service":          "../ss6-webrest.service",
		"/etc/rc2.d/S20ss6-old":     "../init.d/ss6-old",
		"/etc/rc2.d/S20ss6-webrest": "../init.d/ss6-webrest",
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
		{others, "[ss6-old ss6-webrest]", 3},
		{sysv, "[ss6-webrest]", 2},
		{openrc, "[ss6-webrest]", 1},
	} {
		names, err := c.files.Find(t.Context(), "ss6-")
		if err != nil || fmt.Sprint(names) != c.names {
			t.Errorf("%s: %v, %v", c.files.Name(), names, err)
		}
		links, err := c.files.StartLinks("ss6-webrest")
		if err != nil || len(links) != c.links {
			t.Errorf("%s: %v, %v", c.files.Name(), links, err)
		}
	}
}

// TestAScriptBelowSystemdIsStartedByTheLinksOfItsRunlevels: the unit that is made of it has
// no others.
func TestAScriptBelowSystemdIsStartedByTheLinksOfItsRunlevels(t *testing.T) {
	s := systemdFiles{imageWith(t, []string{"/etc/init.d/ss6-old"}, map[string]string{"/etc/rc2.d/S20ss6-old": "../init.d/ss6-old"})}
	links, err := s.StartLinks("ss6-old")
	if err != nil || fmt.Sprint(links) != "[{/etc/rc2.d/S20ss6-old ../init.d/ss6-old}]" {
		t.Errorf("%v, %v", links, err)
	}
}

func TestWhatStartsAServiceWithoutItsLinksIsNamed(t *testing.T) {
	states := map[string]string{
		"multi-user.target": "ActiveState=active\nUnitFileState=static\n", "ss6-nightly.timer": "ActiveState=active\nUnitFileState=enabled\n",
		"ss6.target": "ActiveState=inactive\nUnitFileState=static\n", "ss6-webrest.service": "ActiveState=inactive\nUnitFileState=disabled\n",
	}
	reloads := 0
	s := &systemd{systemdFiles: systemdFiles{&FS{Root: t.TempDir()}}, run: func(_ context.Context, argv ...string) (string, error) {
		switch {
		case argv[1] == "daemon-reload":
			reloads++
			return "", nil
		case strings.Contains(argv[2], "WantedBy") && argv[3] == "ss6-webrest.service":
			return "WantedBy=\nRequiredBy=\nTriggeredBy=\n", nil
		case strings.Contains(argv[2], "WantedBy") && reloads > 0:
			return "WantedBy=ss6-webrest.service ss6.target\nTriggeredBy=ss6-nightly.timer\n", nil
		case strings.Contains(argv[2], "WantedBy"):
			return "WantedBy=ss6-webrest.service multi-user.target ss6.target\nTriggeredBy=ss6-nightly.timer\n", nil
		}
		return states[argv[3]], nil
	}}
	found, err := s.Starters(t.Context(), "ss6-worker", true)
	if err != nil || fmt.Sprint(found) != "[ss6-nightly.timer]" || reloads != 1 {
		t.Errorf("%v, %v, %d reloads", found, err, reloads)
	}
	if found, err = s.Starters(t.Context(), "ss6-webrest", true); err != nil || len(found) != 0 || reloads != 1 {
		t.Errorf("%v, %v, %d reloads", found, err, reloads)
	}
}

func TestUnitsThatRunAreFoundInWhatSystemdLists(t *testing.T) {
	out := "ss6-webrest.service    loaded active running Old server\n● ss6-worker@a.service loaded failed failed Worker\nss6.slice loaded active active x\n"
	if got := fmt.Sprint(listedUnits(out, "ss6-")); got != "[ss6-webrest ss6-worker@a]" {
		t.Error(got)
	}
}
