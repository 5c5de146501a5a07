package windows

import (
	"bytes"
	"context"
	"debug/pe"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ss-setup/packaging/release"
)

// small makes a bundle of small files for a target, and the helper beside it.
func small(t *testing.T, goos string) Options {
	t.Helper()
	top := t.TempDir()
	suffix := map[string]string{"windows": ".exe"}[goos]
	for _, name := range append([]string{"ss-setup", "ss-wizard"}, release.Programs...) {
		write(t, filepath.Join(top, "bin", name+suffix), name)
	}
	write(t, filepath.Join(top, "LICENSE"), "Terms\nand conditions\n")
	write(t, filepath.Join(top, "services", "systemd", "ss-server.service"), "[Unit]")
	o := Options{
		Bundle: filepath.Join(top, "bundle"), Helper: filepath.Join(top, "bin", "ss-wizard"+suffix), License: filepath.Join(top, "LICENSE"),
		Compressor: "zlib", Out: filepath.Join(top, "setup.exe"),
	}
	_, err := release.Bundle(release.Options{
		Version: "7.1.0-beta.1", Bin: filepath.Join(top, "bin"), Services: filepath.Join(top, "services"),
		Setup: filepath.Join(top, "bin", "ss-setup"+suffix), Out: o.Bundle, OS: goos, Arch: "amd64", Level: 1,
	})
	if err != nil {
		t.Fatal(err)
	}
	if goos == "windows" {
		write(t, filepath.Join(o.Bundle, "metadata", "root.json"), "{}")
	}
	return o
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
}

// needNSIS skips a test where the package is not installed; .ci/run installs it.
func needNSIS(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("makensis"); err != nil {
		t.Skip(ErrNoNSIS)
	}
}

func TestAWizardIsTheSameBytesTwiceAndAProgramFor64Bits(t *testing.T) {
	needNSIS(t)
	o := small(t, "windows")
	var first []byte
	for _, when := range []time.Time{time.Unix(1700000000, 0), time.Now()} {
		// Neither the times of what goes in nor that of the build count.
		for _, file := range []string{o.Helper, filepath.Join(o.Bundle, "manifest.json")} {
			if err := os.Chtimes(file, when, when); err != nil {
				t.Fatal(err)
			}
		}
		if err := Build(context.Background(), o); err != nil {
			t.Fatal(err)
		}
		made, err := os.ReadFile(o.Out)
		if err != nil {
			t.Fatal(err)
		}
		if first == nil {
			first = made
			time.Sleep(1100 * time.Millisecond) // the next second
		} else if !bytes.Equal(first, made) {
			t.Error("two builds differ")
		}
	}
	f, err := pe.NewFile(bytes.NewReader(first))
	if err != nil {
		t.Fatal(err)
	}
	if f.Machine != pe.IMAGE_FILE_MACHINE_AMD64 {
		t.Errorf("it is a program for machine %#x", f.Machine)
	}
	for _, want := range []string{"requireAdministrator", "<dpiAware", "8e0f7a12-bfb3-4fe8-b9a5-48fd50a15a9a"} {
		if !bytes.Contains(first, []byte(want)) {
			t.Errorf("its manifest lacks %s", want)
		}
	}
	for _, want := range []string{"7.1.0-beta.1", "SS Server Setup", Name("7.1.0-beta.1")} {
		if !bytes.Contains(first, wide(want)) {
			t.Errorf("its version information lacks %s", want)
		}
	}
}

// wide is a text as programs for Windows hold it.
func wide(text string) []byte {
	var out []byte
	for i := range len(text) {
		out = append(out, text[i], 0)
	}
	return out
}

func TestAWizardIsForWindowsOnly(t *testing.T) {
	needNSIS(t)
	if err := Build(context.Background(), small(t, "linux")); err == nil || !strings.Contains(err.Error(), "linux/amd64") {
		t.Errorf("a bundle for Linux: %v", err)
	}
}

func TestABundleThatNobodySignedGetsNoWizard(t *testing.T) {
	needNSIS(t)
	o := small(t, "windows")
	if err := os.RemoveAll(filepath.Join(o.Bundle, "metadata")); err != nil {
		t.Fatal(err)
	}
	if err := Build(context.Background(), o); err == nil || !strings.Contains(err.Error(), "is not signed") {
		t.Errorf("%v", err)
	}
}

func TestAFileThatIsNotOfTheBundleGetsIntoNoWizard(t *testing.T) {
	needNSIS(t)
	o := small(t, "windows")
	write(t, filepath.Join(o.Bundle, "metadata", "note.txt"), "no")
	if err := Build(context.Background(), o); err == nil || !strings.Contains(err.Error(), "note.txt is no file of a bundle") {
		t.Errorf("%v", err)
	}
}

func TestWithoutNSISTheErrorNamesThePackage(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	err := Build(context.Background(), Options{})
	if !errors.Is(err, ErrNoNSIS) || !strings.Contains(err.Error(), "apt-get install nsis") {
		t.Errorf("%v", err)
	}
}

func TestAVersionIsFourNumbers(t *testing.T) {
	for version, want := range map[string]string{"7.0.0": "7.0.0.0", "7.12.3-rc.1": "7.12.3.0", "7.0.0+build": "7.0.0.0"} {
		if got := fileVersion(version); got != want {
			t.Errorf("%s: %s, want %s", version, got, want)
		}
	}
}
