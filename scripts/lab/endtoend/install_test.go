//go:build linux && lab

package endtoend

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"ss-setup/scripts/lab"
	"ss-setup/scripts/lab/fixtures"
	"ss-setup/scripts/lab/snapshot"
)

// inits are the machines that every way of installing must work on.
var inits = []string{"bookworm", "bookworm-sysv", "bookworm-openrc"}

func TestInstallServesAndUninstallLeavesNothingButData(t *testing.T) {
	for _, root := range inits {
		t.Run(root, func(t *testing.T) {
			b := boot(t, lab.Options{Root: root}, "7.0.0")
			clean := b.look()

			out := b.must("7.0.0", "install").stdout
			for _, want := range []string{"https://127.0.0.1:6443/init/setup", "ss-server", "7.0.0"} {
				if !strings.Contains(out, want) {
					t.Errorf("the final screen does not tell %q:\n%s", want, out)
				}
			}
			b.serves(recoveryTime, "7.0.0")
			b.settled(recoveryTime)
			b.must("7.0.0", "verify")

			installed := b.look()
			b.must("7.0.0", "install", "-S")
			b.same(installed, "a second install")

			b.note("7.0.0", "kept", 10)
			b.MustExec("sh", "-c", "echo mine > /srv/ss-server/mine.txt; chown ss-server: /srv/ss-server/mine.txt")
			b.MustExec("/usr/bin/ss-setup", "uninstall", "-S")
			if _, err := b.health(); err == nil {
				t.Error("the server still answers after uninstall")
			}
			left := leftOver(clean, b.look())
			for _, path := range left {
				if !isData(path) {
					t.Errorf("uninstall left %s", path)
				}
			}
			if owner := strings.TrimSpace(b.MustExec("stat", "-c", "%U", "/srv/ss-server/mine.txt")); owner != "ss-server" {
				t.Errorf("the user's file belongs to %q after uninstall", owner)
			}

			b.must("7.0.0", "install", "-S")
			b.serves(recoveryTime, "7.0.0")
			if notes := b.notes(2); !strings.Contains(notes, "kept") {
				t.Errorf("the data were not taken over: %s", notes)
			}

			b.MustExec("/usr/bin/ss-setup", "uninstall", "-S", "--purge", "--purge-files", "--yes")
			b.same(clean, "purge")
			if _, _, code := b.Exec(t.Context(), "test", "-e", "/run/ss-server"); code == 0 {
				t.Error("/run/ss-server is left")
			}
		})
	}
}

func TestAServiceWhoseStartTakesLongHasNotFailed(t *testing.T) {
	b := from(t, lab.Options{Root: "bookworm-sysv"}, "7.0.0")
	// The program that gives up root's rights before the daemon runs.
	b.MustExec("sh", "-ec", `mv /usr/bin/setpriv /usr/bin/setpriv.real
printf '#!/bin/sh\nsleep 0.4\nexec /usr/bin/setpriv.real "$@"\n' > /usr/bin/setpriv
chmod 755 /usr/bin/setpriv`)
	for _, name := range services {
		b.service("restart", name)
	}
	b.serves(recoveryTime, "7.0.0")
}

// leftOver are the paths that a has and b has not, or otherwise.
func leftOver(a, b *snapshot.Snapshot) []string {
	var out []string
	for path, now := range b.Files {
		if was, there := a.Files[path]; !there || was != now {
			out = append(out, path)
		}
	}
	for path := range a.Files {
		if _, there := b.Files[path]; !there {
			out = append(out, path)
		}
	}
	return out
}

// isData tells what an uninstall may leave: data, their accounts, ss-setup itself.
func isData(path string) bool {
	for _, p := range []string{
		"/var/lib/ss-server", "/var/lib/ss-licensed", "/var/lib/ss-setup", "/srv/ss-server", "/etc/ss-server",
		"/usr/bin/ss-setup", "/etc/passwd", "/etc/group", "/etc/shadow", "/etc/gshadow",
	} {
		if path == p || strings.HasPrefix(path, p+"/") {
			return true
		}
	}
	return false
}

func TestForeignFilesComeBackWithUninstall(t *testing.T) {
	b := boot(t, lab.Options{}, "7.0.0")
	b.MustExec("sh", "-c", "echo '# theirs' > /etc/systemd/system/ss-server.service; printf '#!/bin/sh\necho theirs\n' > /usr/bin/lmu; chmod 751 /usr/bin/lmu; touch -d '2020-02-02 02:02:02' /usr/bin/lmu")
	before := b.look()
	b.must("7.0.0", "install", "-S")
	b.serves(recoveryTime, "7.0.0")
	b.must("7.0.0", "uninstall", "-S", "--purge", "--yes")
	b.same(before, "uninstall")
}

func TestAnImageServesAtItsFirstBoot(t *testing.T) {
	for _, root := range inits {
		t.Run(root, func(t *testing.T) {
			needsRoot(t)
			image := imageOf(t, root)
			if host := onHost(t, "7.0.0", "install", "-S", "--root", image); host.code != 0 {
				t.Fatalf("install --root: %s", host)
			}
			b := boot(t, lab.Options{Root: image}, "7.0.0")
			b.serves(recoveryTime, "7.0.0")
			b.must("7.0.0", "verify")
			out := b.must("7.0.0", "status").stdout
			if !strings.Contains(out, "7.0.0") {
				t.Errorf("status: %s", out)
			}
		})
	}
}

func TestEditedConfigurationAndDropInsAreKept(t *testing.T) {
	b := from(t, lab.Options{}, "7.0.0", "7.0.1")
	b.MustExec("sh", "-c", "echo '# my remark' >> /etc/ss-server/server.toml; mkdir -p /etc/systemd/system/ss-server.service.d; printf '[Service]\nEnvironment=MINE=1\n' > /etc/systemd/system/ss-server.service.d/mine.conf; echo '# my edit' >> /etc/systemd/system/ss-licensed.service; systemctl daemon-reload")
	out := b.must("7.0.1", updateArgs()...)
	b.serves(recoveryTime, "7.0.1")
	for file, want := range map[string]string{
		"/etc/ss-server/server.toml":                        "# my remark",
		"/etc/systemd/system/ss-server.service.d/mine.conf": "MINE=1",
		"/etc/systemd/system/ss-licensed.service.ss-old":    "# my edit",
	} {
		if content, err := b.ReadFile(file); err != nil || !strings.Contains(string(content), want) {
			t.Errorf("%s holds %q, %v; want %q", file, content, err, want)
		}
	}
	if !strings.Contains(out.stdout+out.stderr, "ss-licensed.service.ss-old") {
		t.Errorf("nobody was told of the edited unit: %s", out)
	}
}

func TestAServiceThatAnAdministratorStoppedStaysStopped(t *testing.T) {
	b := from(t, lab.Options{}, "7.0.0", "7.0.1")
	b.MustExec("systemctl", "stop", "ss-server")
	b.must("7.0.1", updateArgs()...)
	if _, err := b.health(); err == nil {
		t.Error("ss-server runs although it had been stopped")
	}
	b.MustExec("systemctl", "start", "ss-server")
	b.serves(recoveryTime, "7.0.1")
}

func TestWrongUsageIsToldWithTheRightCommand(t *testing.T) {
	b := boot(t, lab.Options{}, "7.0.0")
	clean := b.look()
	for _, c := range []struct {
		code int
		args []string
		tell string
	}{
		{2, []string{"install", "--update", "--repair"}, "--repair"},
		{12, []string{"install", "--update", "-S"}, "ss-setup install"},
		{12, []string{"install", "--repair", "-S"}, "ss-setup install"},
		{12, []string{"uninstall", "-S"}, "nothing"},
		{12, []string{"rollback", "-S", "--yes"}, "nothing"},
		{2, []string{"forget"}, "forget"},
		{2, []string{"install", "--wep-port", "7443"}, "--web-port"},
	} {
		r := b.want(c.code, "7.0.0", c.args...)
		if !strings.Contains(r.stdout+r.stderr, c.tell) {
			t.Errorf("%v does not tell %q: %s", c.args, c.tell, r)
		}
	}
	b.same(clean, "wrong usage")
}

func TestADamagedBundleChangesNothing(t *testing.T) {
	b := boot(t, lab.Options{}, "7.0.0")
	b.MustExec("cp", "-r", "/bundles/7.0.0", "/root/bundle")
	b.MustExec("sh", "-c", "printf X | dd of=/root/bundle/payload.tar.zst bs=1 seek=100000 conv=notrunc 2>/dev/null")
	clean := b.look()
	r := b.want(9, "7.0.0", "install", "-S", "--from", "/root/bundle")
	if !strings.Contains(r.stdout+r.stderr, "payload.tar.zst") {
		t.Errorf("the file is not named: %s", r)
	}
	b.settled(recoveryTime)
	b.same(clean, "a damaged bundle")
}

// imageOf copies a root file system, to be changed by this test alone.
func imageOf(t *testing.T, root string) string {
	t.Helper()
	dir, err := os.MkdirTemp(savedDir, "image-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	image := filepath.Join(dir, root)
	if out, err := exec.Command("cp", "-a", "--reflink=auto", lab.RootFolder(t, root), image).CombinedOutput(); err != nil {
		t.Fatalf("copy the root file system: %v\n%s", err, out)
	}
	return image
}

// onHost runs ss-setup of a release on the host, as who builds an image does.
func onHost(t *testing.T, release string, args ...string) result {
	t.Helper()
	cmd := exec.Command(filepath.Join(fixtures.Bundle(t, release), "ss-setup"), args...)
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return result{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}
