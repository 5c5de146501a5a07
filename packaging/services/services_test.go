// Package services_test checks the service definitions of a release. They are
// templates: ss-setup fills in .User, the account, and .Mounts, the folders whose disks
// a service needs, separated by blanks.
package services_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"text/template"
)

var files = []string{
	"systemd/ss-server.service", "systemd/ss-licensed.service",
	"sysv/ss-server", "sysv/ss-licensed",
	"openrc/ss-server", "openrc/ss-licensed",
}

// values are what ss-setup fills in.
type values struct{ User, Mounts string }

func render(t *testing.T, file string) string {
	t.Helper()
	text, err := template.New("").Option("missingkey=error").ParseFiles(file)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	v := values{User: "some-account", Mounts: "/opt/ss-server /var/lib/some-data"}
	if err := text.ExecuteTemplate(&out, filepath.Base(file), v); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestDefinitionsAreAllThere(t *testing.T) {
	found, err := filepath.Glob("*/*")
	if err != nil || len(found) != len(files) {
		t.Errorf("%d files, want %d: %v, %v", len(found), len(files), found, err)
	}
}

func TestDefinitionsNameTheAccountThatIsFilledIn(t *testing.T) {
	for _, file := range files {
		if text := render(t, file); !strings.Contains(text, "some-account") || strings.Contains(text, "{{") {
			t.Errorf("%s:\n%s", file, text)
		}
	}
}

// An update switches `current`; a definition that named a release would start the old one.
func TestDefinitionsNameNoReleaseButTheCurrentOne(t *testing.T) {
	named := regexp.MustCompile(`/opt/ss-server/\S+`)
	for _, file := range files {
		programs := named.FindAllString(render(t, file), -1)
		if len(programs) == 0 {
			t.Errorf("%s names no program", file)
		}
		for _, p := range programs {
			if !strings.HasPrefix(p, "/opt/ss-server/current/release/bin/") {
				t.Errorf("%s names %s", file, p)
			}
		}
	}
}

func TestScriptsAreExecutableAndUnitsAreNot(t *testing.T) {
	for _, file := range files {
		info, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		want := os.FileMode(0o755)
		if strings.HasPrefix(file, "systemd/") {
			want = 0o644
		}
		if info.Mode().Perm()&0o111 != want&0o111 {
			t.Errorf("%s has mode %v, want %v", file, info.Mode().Perm(), want)
		}
	}
}

func TestUnits(t *testing.T) {
	for name, stop := range map[string]string{"ss-server": "45", "ss-licensed": "20"} {
		unit := render(t, "systemd/"+name+".service")
		for _, line := range []string{
			"TimeoutStopSec=" + stop,
			"Type=exec", "User=some-account", "Restart=on-failure", "RestartSec=1", "StartLimitIntervalSec=0",
			"KillMode=mixed", "NoNewPrivileges=yes", "WantedBy=multi-user.target",
			"RequiresMountsFor=/opt/ss-server /var/lib/some-data",
			"ExecStart=/opt/ss-server/current/release/bin/" + name + " run",
		} {
			if !strings.Contains(unit, "\n"+line+"\n") {
				t.Errorf("%s lacks %s", name, line)
			}
		}
	}
	t.Run("let users' files lie on any local path", func(t *testing.T) {
		unit := render(t, "systemd/ss-server.service")
		for _, hides := range []string{"ProtectSystem=", "ProtectHome=", "PrivateTmp=", "ReadOnlyPaths=", "InaccessiblePaths=", "TemporaryFileSystem="} {
			if strings.Contains(unit, "\n"+hides) {
				t.Errorf("ss-server has %s", hides)
			}
		}
	})
	t.Run("let the server have low ports, and the license daemon nothing", func(t *testing.T) {
		if !strings.Contains(render(t, "systemd/ss-server.service"), "\nAmbientCapabilities=CAP_NET_BIND_SERVICE\nCapabilityBoundingSet=CAP_NET_BIND_SERVICE\n") {
			t.Error("ss-server has other capabilities")
		}
		if !strings.Contains(render(t, "systemd/ss-licensed.service"), "\nCapabilityBoundingSet=\n") {
			t.Error("ss-licensed has capabilities")
		}
	})
}

// maxExposure is what the design allows; systemd-analyze counts to 10.
const maxExposure = 3.0

func TestUnitsAreHardened(t *testing.T) {
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Log("no systemd-analyze on this machine: the lab's tests look at the exposure")
		return
	}
	overall := regexp.MustCompile(`Overall exposure level for \S+: ([0-9.]+)`)
	for _, name := range []string{"ss-server", "ss-licensed"} {
		path := filepath.Join(t.TempDir(), name+".service")
		if err := os.WriteFile(path, []byte(render(t, "systemd/"+name+".service")), 0o644); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command("systemd-analyze", "security", "--offline=true", "--no-pager", path).CombinedOutput()
		found := overall.FindSubmatch(out)
		if err != nil || found == nil {
			t.Fatalf("%v\n%s", err, out)
		}
		exposure, err := strconv.ParseFloat(string(found[1]), 64)
		if err != nil || exposure > maxExposure {
			t.Errorf("%s has exposure %s, %v", name, found[1], err)
		}
	}
}

// sh runs a rendered script; args nil only checks its syntax.
func sh(t *testing.T, file string, args ...string) (code int) {
	t.Helper()
	path := filepath.Join(t.TempDir(), filepath.Base(file))
	if err := os.WriteFile(path, []byte(render(t, file)), 0o755); err != nil {
		t.Fatal(err)
	}
	args = append([]string{path}, args...)
	if len(args) == 1 {
		args = []string{"-n", path}
	}
	err := exec.Command("sh", args...).Run()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return exit.ExitCode()
	}
	if err != nil {
		t.Fatal(err)
	}
	return 0
}

func TestScriptsAreGoodShell(t *testing.T) {
	for _, file := range files[2:] {
		if code := sh(t, file); code != 0 {
			t.Errorf("%s: sh -n ends with %d", file, code)
		}
	}
}

func TestSysVScripts(t *testing.T) {
	t.Run("answer what they do not know by the codes of LSB", func(t *testing.T) {
		for _, file := range []string{"sysv/ss-server", "sysv/ss-licensed"} {
			for verb, want := range map[string]int{"dance": 2, "": 2, "reload": 3} {
				if code := sh(t, file, verb); code != want {
					t.Errorf("%s %s ends with %d, want %d", file, verb, code, want)
				}
			}
			if os.Geteuid() == 0 {
				continue
			}
			for _, verb := range []string{"start", "stop", "restart"} {
				if code := sh(t, file, verb); code != 4 {
					t.Errorf("%s %s ends with %d for a user, want 4", file, verb, code)
				}
			}
		}
	})
	t.Run("differ in their settings alone", func(t *testing.T) {
		body := func(file string) string {
			_, after, ok := strings.Cut(render(t, file), "\nCAPS=")
			if !ok {
				t.Fatalf("%s has no settings", file)
			}
			_, after, _ = strings.Cut(after, "\n")
			return after
		}
		if body("sysv/ss-server") != body("sysv/ss-licensed") {
			t.Error("what one learns the other should learn too")
		}
	})
	t.Run("tell update-rc.d when to start and stop", func(t *testing.T) {
		for _, file := range []string{"sysv/ss-server", "sysv/ss-licensed"} {
			text := render(t, file)
			for _, line := range []string{
				"### BEGIN INIT INFO", "# Provides:          " + filepath.Base(file), "# Default-Start:     2 3 4 5",
				"# Default-Stop:      0 1 6", "### END INIT INFO",
			} {
				if !strings.Contains(text, "\n"+line+"\n") {
					t.Errorf("%s lacks %q", file, line)
				}
			}
		}
	})
}
