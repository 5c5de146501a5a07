package packages

import (
	"bytes"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"ss-setup/installer/bundle"
	"ss-setup/packaging/release"
)

// day is a time that packages are made at.
var day = time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC)

// makeBundle makes a bundle of small files, written at any time and umask.
func makeBundle(t *testing.T, goos string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range append([]string{"ss-setup", "services/systemd/ss-server.service"}, release.Programs...) {
		if filepath.Dir(name) == "." {
			name = "bin/" + name
		}
		file := filepath.Join(dir, name)
		if goos == "windows" && strings.HasPrefix(name, "bin/") {
			file += ".exe"
		}
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(strings.Repeat(name+"\n", 1000)), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	suffix := map[string]string{"windows": ".exe"}[goos]
	out := filepath.Join(dir, "bundle")
	_, err := release.Bundle(release.Options{
		Version: "7.1.0-beta.1", Bin: filepath.Join(dir, "bin"), Services: filepath.Join(dir, "services"),
		Setup: filepath.Join(dir, "bin", "ss-setup"+suffix), Out: out, OS: goos, Arch: "amd64", Level: 1,
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func build(t *testing.T, o Options) []string {
	t.Helper()
	o.Out, o.Maintainer, o.Time = t.TempDir(), "Tests <root@localhost>", day
	made, err := Build(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func TestTheSameBundleAndTimeGiveTheSameBytes(t *testing.T) {
	one, other := makeBundle(t, "linux"), makeBundle(t, "linux")
	err := filepath.WalkDir(other, func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		long := day.Add(-1000 * time.Hour)
		if err := os.Chtimes(file, long, long); err != nil {
			return err
		}
		return os.Chmod(file, 0o700)
	})
	if err != nil {
		t.Fatal(err)
	}
	first, second := build(t, Options{Bundle: one}), build(t, Options{Bundle: other})
	var names []string
	for i := range first {
		names = append(names, filepath.Base(first[i]))
		a, errA := os.ReadFile(first[i])
		b, errB := os.ReadFile(second[i])
		if errA != nil || errB != nil || !bytes.Equal(a, b) {
			t.Errorf("%s and %s differ, %v, %v", first[i], second[i], errA, errB)
		}
	}
	if want := []string{"ss-server_7.1.0~beta.1_amd64.deb", "ss-server-7.1.0~beta.1-1.x86_64.rpm"}; !slices.Equal(names, want) {
		t.Errorf("made %q, want %q", names, want)
	}
}

func TestABundleWithAStrangerMakesNoPackage(t *testing.T) {
	dir := makeBundle(t, "linux")
	if err := os.WriteFile(filepath.Join(dir, ".payload.tar.zst.123"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Build(t.Context(), Options{Bundle: dir, Out: t.TempDir(), Time: day, Packer: []string{"false"}})
	if err == nil || !strings.Contains(err.Error(), ".payload.tar.zst.123") {
		t.Errorf("error is %v", err)
	}
}

func TestADebOwnsTheBundleAndNothingElse(t *testing.T) {
	if _, err := exec.LookPath("dpkg-deb"); err != nil {
		t.Skip("needs dpkg-deb")
	}
	made := build(t, Options{Bundle: makeBundle(t, "linux"), Formats: []string{"deb"}})
	dir := t.TempDir()
	if out, err := exec.Command("dpkg-deb", "-R", made[0], dir).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var files []string
	err := filepath.WalkDir(dir, func(file string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			files = append(files, strings.TrimPrefix(file, dir))
		}
		return err
	})
	want := []string{
		"/DEBIAN/control", "/DEBIAN/md5sums", "/DEBIAN/postinst", "/DEBIAN/postrm", "/DEBIAN/prerm",
		Folder + "/manifest.json", Folder + "/payload.tar.zst", Folder + "/ss-setup",
	}
	if err != nil || !slices.Equal(files, want) {
		t.Errorf("%v; it has %q, want %q", err, files, want)
	}
	if info, err := os.Stat(dir + Folder + "/ss-setup"); err != nil || info.Mode().Perm() != 0o755 {
		t.Errorf("%v, %v", info, err)
	}
	if _, err := bundle.Open(dir + Folder); err != nil {
		t.Error(err)
	}
}

func TestWhatCannotBePackedIsToldBeforeAnythingIsWritten(t *testing.T) {
	linux, windows := makeBundle(t, "linux"), makeBundle(t, "windows")
	link := makeBundle(t, "linux")
	if err := os.Symlink("/etc/passwd", filepath.Join(link, "extra")); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		says string
		o    Options
	}{
		{"nothing given for --bundle", Options{Time: day}},
		{"SOURCE_DATE_EPOCH", Options{Bundle: linux}},
		{`no packages are made as "apk"`, Options{Bundle: linux, Time: day, Formats: []string{"apk"}}},
		{"deb and rpm are for linux", Options{Bundle: windows, Time: day}},
		{"extra in the bundle is no regular file", Options{Bundle: link, Time: day}},
		{"manifest.json", Options{Bundle: t.TempDir(), Time: day}},
	} {
		c.o.Out = filepath.Join(t.TempDir(), "out")
		if _, err := Build(t.Context(), c.o); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("got %v, want %q", err, c.says)
		}
		if _, err := os.Stat(c.o.Out); err == nil {
			t.Errorf("%s: the folder was made", c.says)
		}
	}
	if _, err := Build(t.Context(), Options{Time: day, Bundle: linux}); err == nil || !strings.Contains(err.Error(), "--out") {
		t.Errorf("got %v", err)
	}
}

// TestScriptsEndWell runs the scripts of the deb in a folder that stands for the
// machine, with a program in the place of ss-setup that ends with a given code.
func TestScriptsEndWell(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("runs shell scripts")
	}
	for _, c := range []struct {
		name, script string
		args         []string
		code, want   int
		runs         string
	}{
		{"a configuration installs", "postinst", []string{"configure", ""}, 0, 0, "install --managed-by dpkg --yes"},
		{"what was put back is a failure", "postinst", []string{"configure", "7.0.0"}, 1, 1, "install --managed-by dpkg --yes"},
		{"after a failure elsewhere nothing is done", "postinst", []string{"abort-upgrade", "7.0.0"}, 1, 0, ""},
		{"a removal uninstalls", "prerm", []string{"remove"}, 0, 0, "uninstall --managed-by dpkg"},
		{"a removal of nothing is well done", "prerm", []string{"remove"}, 12, 0, "uninstall --managed-by dpkg"},
		{"a removal that fails is a failure", "prerm", []string{"remove"}, 3, 3, "uninstall --managed-by dpkg"},
		{"an upgrade needs nothing before", "prerm", []string{"upgrade", "7.0.1"}, 1, 0, ""},
		{"a purge purges", "postrm", []string{"purge"}, 0, 0, "uninstall --purge --managed-by dpkg --yes"},
		{"a purge of nothing is well done", "postrm", []string{"purge"}, 12, 0, "uninstall --purge --managed-by dpkg --yes"},
		{"a removal leaves the data", "postrm", []string{"remove"}, 1, 0, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			root := t.TempDir()
			fake := "#!/bin/sh\necho \"$@\" > " + root + "/ran\nexit " + string(rune('0'+c.code%10)) + "\n"
			if c.code == 12 {
				fake = strings.Replace(fake, "exit 2", "exit 12", 1)
			}
			for _, dir := range []string{Folder, "/usr/bin"} {
				if err := os.MkdirAll(root+dir, 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(root+dir+"/ss-setup", []byte(fake), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			cmd := exec.Command("sh", append([]string{"deb/" + c.script}, c.args...)...)
			cmd.Env = append(os.Environ(), "DPKG_ROOT="+root)
			out, err := cmd.CombinedOutput()
			if code := cmd.ProcessState.ExitCode(); code != c.want {
				t.Errorf("exit %d, %v, want %d\n%s", code, err, c.want, out)
			}
			want := ""
			if c.runs != "" {
				want = c.runs + " --root " + root + "\n"
			}
			if ran, _ := os.ReadFile(root + "/ran"); string(ran) != want {
				t.Errorf("it ran %q, want %q", ran, want)
			}
		})
	}
}

func TestAPurgeWithoutSSSetupSaysWhatToDo(t *testing.T) {
	root := t.TempDir()
	run := func() (string, error) {
		cmd := exec.Command("sh", "deb/postrm", "purge")
		cmd.Env = append(os.Environ(), "DPKG_ROOT="+root)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	if out, err := run(); err != nil {
		t.Errorf("nothing was there to purge: %v\n%s", err, out)
	}
	if err := os.MkdirAll(root+"/var/lib/ss-setup", 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(root+"/var/lib/ss-setup/state.json", []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := run(); err == nil || !strings.Contains(out, "install the package again, then purge it") {
		t.Errorf("%v\n%s", err, out)
	}
}
