package main

import (
	"bytes"
	"crypto/rand"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ss-setup/installer/bundle/trust"
	"ss-setup/packaging/signing"
)

// madeKeys makes keys in a folder.
func madeKeys(t *testing.T, dir string, development bool) *signing.Vault {
	t.Helper()
	v := signing.Open(dir)
	if err := v.Init(rand.Reader, development); err != nil {
		t.Fatal(err)
	}
	return v
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// call runs ss-release and returns what it said.
func call(t *testing.T, code int, args ...string) string {
	t.Helper()
	var stdout, stderr bytes.Buffer
	if got := run(args, &stdout, &stderr); got != code {
		t.Fatalf("%q: exit code %d, want %d: %s%s", args, got, code, stdout.String(), stderr.String())
	}
	return stdout.String() + stderr.String()
}

func says(t *testing.T, said string, words ...string) {
	t.Helper()
	for _, word := range words {
		if !strings.Contains(said, word) {
			t.Errorf("said %q, want %q in it", said, word)
		}
	}
}

// published makes a site with version 7.0.0, and returns it with its keys.
func published(t *testing.T) (site, keys string) {
	t.Helper()
	t.Setenv("SOURCE_DATE_EPOCH", "1795305600")
	keys = filepath.Join(t.TempDir(), "vendor")
	madeKeys(t, keys, false)
	top := t.TempDir()
	write(t, filepath.Join(top, "CHANGELOG.md"), changelog)
	call(
		t, 0, "publish", "--keys", keys, "--out", top, "--changelog", filepath.Join(top, "CHANGELOG.md"),
		"--base-url", "https://releases.test", "--templates", "../../../scripts/install", "--bundles", bundleFor(t, top, "linux"),
	)
	return filepath.Join(top, "repository"), keys
}

func TestAForgottenKeysFlagChangesNoRepositoryOfOtherKeys(t *testing.T) {
	site, keys := published(t)
	t.Setenv("XDG_DATA_HOME", t.TempDir())
	development := madeKeys(t, defaultKeys(), true)
	ofSite, ofDevelopment := filepath.Join(site, "metadata", "timestamp.json"), filepath.Join(development.MetadataDir(), "timestamp.json")
	before, own := read(t, ofSite), read(t, ofDevelopment)
	for _, verb := range []string{"refresh", "promote 7.0.0 beta", "withdraw 7.0.0"} {
		said := call(t, 1, append(strings.Fields(verb), "--site", site)...)
		says(t, said, site, defaultKeys(), "--keys", "development keys", "nothing was changed")
		if read(t, ofSite) != before || read(t, ofDevelopment) != own {
			t.Errorf("%s changed something", verb)
		}
	}
	for verb, done := range map[string]string{"refresh": "refreshed", "promote 7.0.0 beta": "promoted 7.0.0 to beta"} {
		said := call(t, 0, append(strings.Fields(verb), "--site", site, "--keys", keys)...)
		says(t, said, done, keys, site)
		if strings.Count(said, "\n") != 1 || strings.Contains(said, "development") {
			t.Errorf("said %q", said)
		}
	}
	says(t, call(t, 0, "refresh"), "default development keys", defaultKeys())
}

func TestPublishLeavesARepositoryOfOtherKeysAlone(t *testing.T) {
	site, _ := published(t)
	other := filepath.Join(t.TempDir(), "other")
	madeKeys(t, other, false)
	before := read(t, filepath.Join(site, "metadata", "timestamp.json"))
	top := filepath.Dir(site)
	said := call(
		t, 1, "publish", "--keys", other, "--out", top, "--changelog", filepath.Join(top, "CHANGELOG.md"),
		"--bundles", filepath.Join(top, "ss-server-7.0.0-linux-amd64"),
	)
	says(t, said, site, other, "--keys", "--out")
	if read(t, filepath.Join(site, "metadata", "timestamp.json")) != before {
		t.Error("the repository was changed")
	}
}

func TestASiteThatIsNoRepositoryIsNotMade(t *testing.T) {
	keys := t.TempDir()
	madeKeys(t, keys, false)
	typo := filepath.Join(t.TempDir(), "typo")
	says(t, call(t, 1, "refresh", "--keys", keys, "--site", typo), typo, "no repository")
	if _, err := os.Stat(typo); err == nil {
		t.Error("the folder was made")
	}
}

func TestABetaTakesNoPlaceOfTheStableRelease(t *testing.T) {
	site, keys := published(t)
	top := filepath.Dir(site)
	stable := []string{"ss-setup-linux-x64c.sh", "SHA256SUMS"}
	before := map[string]string{}
	for _, name := range stable {
		before[name] = read(t, filepath.Join(top, name))
	}
	write(t, filepath.Join(top, "CHANGELOG.md"), "# Changelog\n\n## [7.1.0-beta.1] - 2026-11-22\n\n- More.\n")
	said := call(
		t, 0, "publish", "--keys", keys, "--out", top, "--changelog", filepath.Join(top, "CHANGELOG.md"), "--channel", "beta",
		"--base-url", "https://releases.test", "--templates", "../../../scripts/install",
		"--bundles", bundleOf(t, "7.1.0-beta.1", top, "linux")+","+bundleOf(t, "7.1.0-beta.1", top, "windows"),
	)
	says(t, said, "no one-liners", "SHA256SUMS-beta")
	for _, name := range stable {
		if read(t, filepath.Join(top, name)) != before[name] {
			t.Errorf("%s is that of the beta", name)
		}
	}
	says(t, read(t, filepath.Join(top, "SHA256SUMS-beta")), "ss-server-7.1.0-beta.1-linux-amd64.tar.gz")
	if _, err := os.Stat(filepath.Join(top, "winget")); err == nil {
		t.Error("there are manifests for winget of a beta")
	}
}

func TestAWithdrawnReleaseIsInNoFeed(t *testing.T) {
	site, keys := published(t)
	feed := filepath.Join(site, "releases.atom")
	says(t, read(t, feed), "/releases/7.0.0<")
	says(t, call(t, 0, "withdraw", "7.0.0", "--keys", keys, "--site", site), "withdrew 7.0.0", "CHANGELOG.md")
	if text := read(t, feed); strings.Contains(text, "7.0.0") || !strings.HasSuffix(text, "</feed>\n") {
		t.Errorf("the feed is %s", text)
	}
}

// The cure that keys rotate and docs/releasing.md name.
func TestAfterARotationPublishSignsTheSameBundleAnew(t *testing.T) {
	site, keys := published(t)
	top := filepath.Dir(site)
	dir := filepath.Join(top, "ss-server-7.0.0-linux-amd64")
	manifest := read(t, filepath.Join(dir, "manifest.json"))
	archive := read(t, dir+".tar.gz")
	call(t, 0, "keys", "rotate", "targets", "--keys", keys)
	call(
		t, 0, "publish", "--keys", keys, "--out", top, "--changelog", filepath.Join(top, "CHANGELOG.md"), "--channel", "stable",
		"--base-url", "https://releases.test", "--templates", "../../../scripts/install", "--bundles", dir,
	)
	if read(t, filepath.Join(dir, "manifest.json")) != manifest || read(t, dir+".tar.gz") == archive {
		t.Error("the bundle is another, or its archive the same")
	}
	anchor, err := trust.NewAnchor([]byte(read(t, filepath.Join(site, "metadata", "1.root.json"))))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := trust.Open(t.Context(), trust.Dir(filepath.Join(dir, "metadata")), trust.Options{Anchor: anchor, Now: time.Now()}); err != nil {
		t.Error(err)
	}
	if read(t, filepath.Join(dir, "metadata", "2.root.json")) == "" {
		t.Error("the archive does not carry the new root")
	}
}
