package main

import (
	"bytes"
	"crypto/rand"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ss-setup/packaging/release"
	"ss-setup/packaging/signing"
)

const changelog = `# Changelog

## [7.0.0] - 2026-11-22

- The first.
`

// bundleFor makes a bundle of small files, as make does.
func bundleFor(t *testing.T, top, goos string) string {
	t.Helper()
	return bundleOf(t, "7.0.0", top, goos)
}

func bundleOf(t *testing.T, version, top, goos string) string {
	t.Helper()
	suffix := map[string]string{"windows": ".exe"}[goos]
	bin := filepath.Join(top, "bin-"+goos)
	for _, name := range append([]string{"ss-setup"}, release.Programs...) {
		write(t, filepath.Join(bin, name+suffix), name)
	}
	write(t, filepath.Join(top, "services", "systemd", "ss-server.service"), "[Unit]")
	out := filepath.Join(top, "ss-server-"+version+"-"+goos+"-amd64")
	_, err := release.Bundle(release.Options{
		Version: version, Bin: bin, Services: filepath.Join(top, "services"),
		Setup: filepath.Join(bin, "ss-setup"+suffix), Out: out, OS: goos, Arch: "amd64", Level: 1,
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
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

func TestAReleaseHasEveryWayToInstallItAndTheSameBytesTwice(t *testing.T) {
	t.Setenv("SOURCE_DATE_EPOCH", "1795305600")
	keys := t.TempDir()
	if err := signing.Open(keys).Init(rand.Reader, true); err != nil {
		t.Fatal(err)
	}
	var first map[string]string
	for range 2 {
		top := t.TempDir()
		write(t, filepath.Join(top, "CHANGELOG.md"), changelog)
		write(t, filepath.Join(top, "ss-server-6.9.0-linux-amd64.tar.gz"), "what lies there from a release before")
		var stdout, stderr bytes.Buffer
		code := run([]string{
			"publish", "--keys", keys, "--out", top, "--changelog", filepath.Join(top, "CHANGELOG.md"),
			"--templates", "../../../scripts/install", "--base-url", "https://releases.test/ss", "--mirror", "https://a.test,https://b.test",
			"--bundles", bundleFor(t, top, "linux") + "," + bundleFor(t, top, "windows"),
		}, &stdout, &stderr)
		if code != 0 {
			t.Fatalf("exit code %d: %s", code, stderr.String())
		}
		made := map[string]string{}
		for _, name := range []string{
			"SHA256SUMS", "ss-setup-linux-x64c.sh", "ss-setup-linux-x64w.sh", "ss-setup-win-x64.ps1",
			"winget/SSServer.SSServer.installer.yaml", "ss-server-7.0.0-linux-amd64.tar.gz", "ss-server-7.0.0-windows-amd64.zip", "repository/releases.atom",
		} {
			text, err := os.ReadFile(filepath.Join(top, name))
			if err != nil {
				t.Error(err)
			}
			made[name] = string(text)
		}
		var summed []string
		for line := range strings.Lines(made["SHA256SUMS"]) {
			summed = append(summed, strings.Fields(line)[1])
		}
		if want := []string{
			"ss-server-7.0.0-linux-amd64.tar.gz", "ss-server-7.0.0-windows-amd64.zip",
			"ss-setup-linux-x64c.sh", "ss-setup-linux-x64w.sh", "ss-setup-win-x64.ps1",
		}; !slices.Equal(summed, want) {
			t.Errorf("SHA256SUMS lists %q, want what was published: %q", summed, want)
		}
		if _, err := os.Stat(filepath.Join(top, "ss-setup-linux-armc.sh")); err == nil {
			t.Error("there is a one-liner for a target that was not packed")
		}
		for name, want := range map[string]string{
			"SHA256SUMS": "  ss-setup-win-x64.ps1\n",

			"ss-setup-linux-x64c.sh": "'https://b.test'",

			"winget/SSServer.SSServer.installer.yaml": "https://releases.test/ss/ss-server-7.0.0-windows-amd64.zip",
		} {
			if !strings.Contains(made[name], want) {
				t.Errorf("%s does not say %q:\n%s", name, want, made[name])
			}
		}
		for name, text := range first {
			if made[name] != text {
				t.Errorf("%s differs the second time", name)
			}
		}
		first = made
	}
}
