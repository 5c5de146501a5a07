package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ss-setup/packaging/release"
	"ss-setup/packaging/windows"
	"ss-setup/packaging/winget"
)

func TestTheWizardIsSignedAndIsWhatWingetInstalls(t *testing.T) {
	for _, tool := range []string{"makensis", "osslsigncode"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skip(err)
		}
	}
	t.Setenv("SOURCE_DATE_EPOCH", "1795305600")
	top, keys := t.TempDir(), t.TempDir()
	write(t, filepath.Join(top, "LICENSE"), "Terms\n")
	write(t, filepath.Join(top, "bin", "windows-amd64", windows.HelperName), "helper")
	dir := bundleFor(t, top, "windows")
	write(t, filepath.Join(dir, "metadata", "root.json"), "{}")
	bundles, err := bundlesIn(dir)
	if err != nil {
		t.Fatal(err)
	}
	p := publishing{
		out: top, bin: filepath.Join(top, "bin"), now: bundles, wizards: true, license: filepath.Join(top, "LICENSE"),
		baseURL: "https://releases.test/ss", sign: signature{keys: keys}, winget: winget.Options{ID: defaultWingetID, Publisher: defaultPublisher},
	}
	var stdout, stderr bytes.Buffer
	c := &command{stdout: &stdout, stderr: &stderr}
	name := filepath.Join(top, "ss-server-7.0.0-windows-amd64-setup.exe")
	var first []byte
	for range 2 {
		if err := p.wizard(c, bundles[0]); err != nil {
			t.Fatal(err)
		}
		made, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if first != nil && !bytes.Equal(first, made) {
			t.Error("with the same certificate and no time stamps it differs the second time")
		}
		first = made
	}
	a := release.Authenticode{Cert: filepath.Join(keys, "authenticode.pem")}
	if err := a.Verify(t.Context(), name); err != nil {
		t.Error(err)
	}
	if !slices.Contains(p.made, filepath.Base(name)) {
		t.Errorf("SHA256SUMS will not have it among %v", p.made)
	}
	if left, err := filepath.Glob(filepath.Join(top, ".unsigned*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	if err := p.manifests(c, bundles[0]); err != nil {
		t.Fatal(err)
	}
	manifest, err := os.ReadFile(filepath.Join(top, "winget", defaultWingetID+".installer.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"InstallerType: nullsoft", "https://releases.test/ss/" + filepath.Base(name)} {
		if !strings.Contains(string(manifest), want) {
			t.Errorf("winget is not told %s:\n%s", want, manifest)
		}
	}
}

func TestAReleaseWithoutNSISIsRefusedBeforeAnythingIsSigned(t *testing.T) {
	top := t.TempDir()
	write(t, filepath.Join(top, "CHANGELOG.md"), changelog)
	dir := bundleFor(t, top, "windows")
	t.Setenv("PATH", t.TempDir())
	var stdout, stderr bytes.Buffer
	code := run([]string{
		"publish", "--keys", filepath.Join(top, "keys"), "--out", top, "--changelog", filepath.Join(top, "CHANGELOG.md"),
		"--bin", top, "--wizard", "--bundles", dir,
	}, &stdout, &stderr)
	if code != 1 || !strings.Contains(stderr.String(), "apt-get install nsis") {
		t.Errorf("exit %d: %s", code, stderr.String())
	}
	if _, err := os.Stat(filepath.Join(dir, "metadata")); err == nil {
		t.Error("the bundle was signed all the same")
	}
}
