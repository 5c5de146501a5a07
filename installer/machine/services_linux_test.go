package machine

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestImagesTellTheirServiceManager(t *testing.T) {
	const (
		systemdProgram = "/usr/lib/systemd/systemd"
		openrcProgram  = "/usr/sbin/openrc-run"
	)
	tests := []struct {
		name  string
		files map[string]string
		want  string
	}{
		{"systemd", map[string]string{systemdProgram: "", "/sbin/init": "-> ../lib/systemd/systemd"}, "systemd"},
		{"systemd beside old scripts", map[string]string{
			systemdProgram: "", "/sbin/init": "-> /lib/systemd/systemd", "/etc/init.d/": "", "/etc/rc2.d/": "",
		}, "systemd"},
		{"systemd without an init yet", map[string]string{systemdProgram: "", "/etc/init.d/": "", "/etc/rc2.d/": ""}, "systemd"},
		{"System V", map[string]string{"/sbin/init": "ELF", "/etc/init.d/": "", "/etc/rc2.d/": ""}, "sysv"},
		{"System V with systemd installed", map[string]string{
			systemdProgram: "", "/sbin/init": "ELF", "/etc/init.d/": "", "/etc/inittab": "",
		}, "sysv"},
		{"OpenRC", map[string]string{openrcProgram: "", "/etc/runlevels/": "", "/etc/init.d/": "", "/etc/inittab": ""}, "openrc"},
		{"none", map[string]string{"/etc/passwd": ""}, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s, err := NewServices(image(t, test.files))
			if test.want == "" {
				if !errors.Is(err, ErrNoServices) {
					t.Fatalf("error is %v", err)
				}
				return
			}
			check(t, err)
			if s.Name() != test.want {
				t.Errorf("it is %s", s.Name())
			}
		})
	}
}

func TestDefinitionsLieWhereTheManagersLook(t *testing.T) {
	sysv := image(t, map[string]string{"/etc/rc2.d/": "", "/etc/rc5.d/": "", "/etc/rc0.d/": ""})
	tests := []struct {
		c    conventions
		want Definition
	}{
		{systemdFiles{}, Definition{
			Source: "services/systemd/ss-server.service", Path: "/etc/systemd/system/ss-server.service", Mode: 0o644,
			Enable: []Link{{"/etc/systemd/system/multi-user.target.wants/ss-server.service", "/etc/systemd/system/ss-server.service"}},
		}},
		{openrcFiles{}, Definition{
			Source: "services/openrc/ss-server", Path: "/etc/init.d/ss-server", Mode: 0o755,
			Enable: []Link{{"/etc/runlevels/default/ss-server", "/etc/init.d/ss-server"}},
		}},
		{sysvFiles{sysv}, Definition{
			Source: "services/sysv/ss-server", Path: "/etc/init.d/ss-server", Mode: 0o755,
			Enable: []Link{
				{"/etc/rc2.d/S20ss-server", "../init.d/ss-server"},
				{"/etc/rc5.d/S20ss-server", "../init.d/ss-server"},
				{"/etc/rc0.d/K01ss-server", "../init.d/ss-server"},
			},
		}},
	}
	for _, test := range tests {
		if got := test.c.Definition("ss-server"); !reflect.DeepEqual(got, test.want) {
			t.Errorf("%s: %+v, want %+v", test.c.Name(), got, test.want)
		}
	}
	if n := len((sysvFiles{image(t, nil)}).Definition("ss-server").Enable); n != 7 {
		t.Errorf("a machine without folders for runlevels gets %d links", n)
	}
}

// enabled are the files that a definition makes of an image.
func enabled(d Definition) map[string]string {
	files := map[string]string{d.Path: "definition"}
	for _, link := range d.Enable {
		files[link.Path] = "-> " + link.Target
	}
	return files
}

func TestStateOfAnImageComesFromItsFiles(t *testing.T) {
	inits := map[string]map[string]string{
		"systemd": {"/usr/lib/systemd/systemd": ""},
		"openrc":  {"/usr/sbin/openrc-run": "", "/etc/runlevels/": ""},
		"sysv":    {"/etc/init.d/": "", "/etc/inittab": ""},
	}
	for init, files := range inits {
		t.Run(init, func(t *testing.T) {
			f := image(t, files)
			s, err := NewServices(f)
			check(t, err)
			expect := func(want ServiceState) {
				t.Helper()
				if got, err := s.State(t.Context(), "ss-server"); got != want || err != nil {
					t.Errorf("state is %+v, %v, want %+v", got, err, want)
				}
			}
			expect(ServiceState{})
			d := s.Definition("ss-server")
			for name, text := range enabled(d) {
				check(t, mkdirs(f, name))
				if target, ok := strings.CutPrefix(text, "-> "); ok {
					check(t, f.Symlink(target, name))
					continue
				}
				check(t, f.WriteFile(name, []byte(text), Attr{Mode: d.Mode, UID: -1, GID: -1}))
			}
			expect(ServiceState{Installed: true, Enabled: true})
			check(t, f.Remove(d.Path))
			check(t, f.Symlink("/dev/null", d.Path))
			expect(ServiceState{Installed: true, Masked: true})
			check(t, errors.Join(s.Start(t.Context(), "ss-server"), s.Stop(t.Context(), "ss-server"), s.Reload(t.Context())))
		})
	}
}

func mkdirs(f *FS, name string) error {
	for _, dir := range f.MissingParents(name) {
		if err := f.Mkdir(dir, 0o755); err != nil {
			return err
		}
	}
	return nil
}

var awkward = []string{"/opt/it's $HOME/100%/\"x\" \\n", "recover", "--log=a b", "`id`", "$(id)", "", "é"}

func TestBootJobsStartTheProgramWithItsArgumentsAsTheyAre(t *testing.T) {
	awkwardJob := BootJob{Name: "ss-setup-recover", Argv: awkward, Note: `{"a":"b c"}`, Mounts: []string{"/a b", "/it's"}}
	sysv := sysvFiles{image(t, nil)}.BootJob(awkwardJob)
	openrc := openrcFiles{}.BootJob(awkwardJob)
	for _, job := range []Definition{sysv, openrc} {
		checkShell(t, string(job.Content))
		if note := BootJobNote(job.Content); note != `{"a":"b c"}` {
			t.Errorf("its note is %q", note)
		}
		if job.Mode != 0o755 || job.Path != "/etc/init.d/ss-setup-recover" {
			t.Errorf("the script is %s, %v", job.Path, job.Mode)
		}
	}
	if got := unquoteShell(t, shellWords(supervised("job", awkward))); !slices.Equal(got, supervised("job", awkward)) {
		t.Errorf("the shell makes %q of it", got)
	}
	for _, link := range sysv.Enable {
		if !strings.HasSuffix(link.Path, "/S99ss-setup-recover") || !strings.Contains(string(sysv.Content), link.Path) {
			t.Errorf("link %+v", link)
		}
	}
	if len(sysv.Enable) != 4 || len(openrc.Enable) != 1 {
		t.Errorf("links are %v, %v", sysv.Enable, openrc.Enable)
	}
}

// TestABootJobWaitsForTheDiskOfItsProgram runs the script where what it asks for
// is mounted and where it is not. A folder that is used meanwhile is no failure.
func TestABootJobWaitsForTheDiskOfItsProgram(t *testing.T) {
	for _, c := range []struct {
		mounts []string
		tidies bool
	}{
		{nil, true},
		{[]string{"/proc"}, true},
		{[]string{"/proc", "/no such disk"}, false},
		{[]string{"/pro"}, false},
	} {
		left := path.Join(t.TempDir(), "left")
		check(t, os.WriteFile(left, nil, 0o600))
		inUse := t.TempDir()
		check(t, os.WriteFile(path.Join(inUse, "other"), nil, 0o600))
		job := BootJob{Name: "job", Argv: []string{"/no/program"}, Files: []string{left}, JobFolders: []string{inUse}, Mounts: c.mounts}
		script := job.script("false", Definition{Path: left + ".job"})
		if out, err := exec.Command("/bin/sh", "-c", "sync() { :; }; "+script).CombinedOutput(); err != nil || len(out) > 0 {
			t.Fatalf("%v, %s\n%s", err, out, script)
		}
		if _, err := os.Lstat(left); errors.Is(err, os.ErrNotExist) != c.tidies {
			t.Errorf("mounts %q: it tidied up: %v", c.mounts, err)
		}
	}
}

func TestAMountPointIsWrittenAsTheKernelDoes(t *testing.T) {
	const name = "/a b\tc\nd\\e"
	if got := unescapeMount(escapeMount(name)); got != name || strings.ContainsAny(escapeMount(name), " \t\n") {
		t.Errorf("%q becomes %q", name, escapeMount(name))
	}
}

func checkShell(t *testing.T, script string) {
	t.Helper()
	cmd := exec.Command("/bin/sh", "-n")
	cmd.Stdin = strings.NewReader(script)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v: %s\n%s", err, out, script)
	}
}

func unquoteShell(t *testing.T, words string) []string {
	t.Helper()
	out, err := exec.Command("/bin/sh", "-c", `printf '%s\0' `+words).Output()
	check(t, err)
	return strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00")
}

func TestBootUnitHoldsNothingUp(t *testing.T) {
	job := systemdFiles{}.BootJob(BootJob{
		Name: "ss-setup-recover", Argv: []string{"/opt/ss-server/engine/ab/ss-setup", "recover", "--boot"}, Note: "{}",
		Files: []string{"/opt/ss-server/engine/ab/ss-setup"}, Folders: []string{"/opt/ss-server/engine", "/opt/ss-server/engine/ab"},
		JobFolders: []string{"/etc/systemd/system/multi-user.target.wants"}, Mounts: []string{"/opt"},
	})
	const want = `# ss-setup: {}
[Unit]
Description=Finish or undo an interrupted run of ss-setup
After=local-fs.target
RequiresMountsFor=/opt/ss-server /var/lib
StartLimitIntervalSec=0

[Service]
Type=exec
ExecStart=/bin/sh -c "if [ -x '/opt/ss-server/engine/ab/ss-setup' ]; then exec '/opt/ss-server/engine/ab/ss-setup' 'recover' '--boot'; ` +
		`elif [ ! -e '/var/lib/ss-setup/txn' ] && grep -qF ' /opt ' /proc/mounts; then rm -f '/opt/ss-server/engine/ab/ss-setup'; ` +
		`rmdir '/opt/ss-server/engine/ab' '/opt/ss-server/engine' 2>/dev/null || :; sync; ` +
		`rm -f '/etc/systemd/system/multi-user.target.wants/ss-setup-recover.service' '/etc/systemd/system/ss-setup-recover.service'; ` +
		`rmdir '/etc/systemd/system/multi-user.target.wants' 2>/dev/null || :; fi"
Restart=on-abnormal
RestartSec=200ms

[Install]
WantedBy=multi-user.target
`
	if string(job.Content) != want {
		t.Errorf("the unit is\n%s", job.Content)
	}
	wantLink := Link{"/etc/systemd/system/multi-user.target.wants/ss-setup-recover.service", "/etc/systemd/system/ss-setup-recover.service"}
	if !slices.Equal(job.Enable, []Link{wantLink}) {
		t.Errorf("links are %v", job.Enable)
	}
}

func TestTransientUnitsKeepDollarsAndEnvironment(t *testing.T) {
	got := transient("ss-setup-guard", []string{"/x", "$HOME"}, []string{"A=b c"})
	i := slices.Index(got, "--")
	if !slices.Equal(got[i+1:], []string{"/x", "$$HOME"}) || !slices.Contains(got[:i], "--setenv=A=b c") {
		t.Errorf("the line is %q", got)
	}
}

const shownActive = `MainPID=812
Result=success
ExecMainStatus=0
ControlGroup=/system.slice/ss-server.service
LoadState=loaded
ActiveState=active
SubState=running
UnitFileState=enabled
`

func TestStateComesFromOneAnswerOfSystemctl(t *testing.T) {
	tests := []struct {
		name, out string
		want      ServiceState
	}{
		{"running", shownActive, ServiceState{Installed: true, Enabled: true, Active: true, PID: 812}},
		{"unknown", "MainPID=0\nLoadState=not-found\nActiveState=inactive\nSubState=dead\nUnitFileState=\n", ServiceState{}},
		{
			"stopped and disabled", "LoadState=loaded\nActiveState=inactive\nSubState=dead\nUnitFileState=disabled\n",
			ServiceState{Installed: true},
		},
		{
			"failed", "LoadState=loaded\nActiveState=failed\nSubState=failed\nUnitFileState=enabled\n",
			ServiceState{Installed: true, Enabled: true, Failed: true},
		},
		{
			"between two restarts", "LoadState=loaded\nActiveState=activating\nSubState=auto-restart\nUnitFileState=enabled\n",
			ServiceState{Installed: true, Enabled: true, Failed: true},
		},
		{
			"masked", "LoadState=masked\nActiveState=inactive\nSubState=dead\nUnitFileState=masked\n",
			ServiceState{Installed: true, Masked: true},
		},
		{
			"unreadable", "LoadState=bad-setting\nActiveState=inactive\nSubState=dead\nUnitFileState=enabled\n",
			ServiceState{Installed: true, Enabled: true, Failed: true},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			calls := 0
			s := &systemd{run: func(_ context.Context, argv ...string) (string, error) {
				calls++
				if !slices.Equal(argv[:2], []string{"systemctl", "show"}) || argv[3] != "ss-server.service" {
					t.Errorf("it ran %q", argv)
				}
				return test.out, nil
			}}
			got, err := s.State(t.Context(), "ss-server")
			if got != test.want || err != nil || calls != 1 {
				t.Errorf("state is %+v, %v after %d calls, want %+v", got, err, calls, test.want)
			}
		})
	}
	for _, out := range []string{"", "LoadState=loaded\n", shownActive + "MainPID=x\n", shownActive + "MainPID=-1\n"} {
		if _, err := parseUnit(out); err == nil {
			t.Errorf("%q was understood", out)
		}
	}
}

func FuzzUnit(f *testing.F) {
	f.Add(shownActive)
	f.Add("LoadState=masked\r\nActiveState=inactive\r\n")
	f.Add("=\nActiveState==\nLoadState=a=b\nMainPID=99999999999999999999\n")
	f.Fuzz(func(t *testing.T, out string) {
		u, err := parseUnit(out)
		if err == nil && (u.load == "" || u.active == "" || u.pid < 0 || u.status < 0) {
			t.Fatalf("%q is %+v", out, u)
		}
		u.state()
	})
}

func TestStartLinksAreKnownByTheirForm(t *testing.T) {
	for name, want := range map[string]bool{
		"S20ss-server": true, "S01ss-server": true, "K20ss-server": false, "Sabss-server": false, "S2ss-server": false,
		"S20ss-server2": false, "S20my-ss-server": false, "S": false, "": false,
	} {
		if got := isStartLink(name, "ss-server"); got != want {
			t.Errorf("%q: %v", name, got)
		}
	}
}

func TestCommandsAreBoundedAndTellWhatTheySaid(t *testing.T) {
	out, err := runCommand(t.Context(), "sh", "-c", "echo out; echo err >&2; exit 3")
	if out != "out\nerr\n" || ExitCode(err) != 3 || !strings.Contains(err.Error(), "exit status 3: out\nerr") {
		t.Errorf("%q, %v", out, err)
	}
	// The child of the shell holds the output; neither it nor the shell may hold us.
	_, err = within(t.Context(), runCommand, pollEvery*20, "sh", "-c", "sleep 60 & sleep 60")
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error is %v", err)
	}
	if out, err := within(t.Context(), runCommand, askBound, "sh", "-c", "(sleep 5) & echo done"); out != "done\n" || err != nil {
		t.Errorf("%q, %v", out, err)
	}
	if out, err := runCommand(t.Context(), "env"); err != nil || strings.Contains(out, "MACHINE_TEST") || !strings.Contains(out, "LC_ALL=C\n") {
		t.Errorf("%q, %v", out, err)
	}
	if _, err := runCommand(t.Context(), "no-such-command-here"); !errors.Is(err, exec.ErrNotFound) {
		t.Errorf("error is %v", err)
	}
}
