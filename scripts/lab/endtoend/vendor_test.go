//go:build linux && lab

package endtoend

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"ss-setup/packaging/release"
	"ss-setup/packaging/signing"
	"ss-setup/scripts/lab/fixtures"
)

// vendor publishes releases with ss-release and uploads them to a mirror, as
// docs/releasing.md tells. Its keys are those that the fixtures trust.
type vendor struct {
	t     *testing.T
	m     *mirror
	vault *signing.Vault
	// folder of the mirror that is uploaded to, its address, and what is uploaded.
	folder, base, dist string
	// before are metadata that were served earlier; see save.
	before string
}

// changelog has an entry for every version that is published here.
const changelog = `# Changelog

## [7.0.2] - 2026-11-23

- The third.

## [7.0.1] - 2026-11-22

- A thing was mended.

## [7.0.0] - 2026-11-21

- The first.
`

// newVendor is a vendor who has published nothing yet.
func newVendor(t *testing.T, m *mirror) *vendor {
	t.Helper()
	v := (&vendor{t: t, m: m, vault: signing.Open(t.TempDir())}).in("")
	fixtures.Keys(t, v.vault.Dir)
	for _, version := range []string{"7.0.0", "7.0.1", "7.0.2"} {
		// The fixtures themselves were signed, too.
		if err := v.vault.Withdraw(version); err != nil && !errors.Is(err, signing.ErrNotPublished) {
			t.Fatal(err)
		}
	}
	return v
}

// in is the same vendor with a place of its own on the mirror.
func (v *vendor) in(folder string) *vendor {
	v.t.Helper()
	w := *v
	w.folder, w.base, w.dist = filepath.Join(v.m.files, folder), strings.TrimSuffix(v.m.url+"/"+folder, "/"), v.t.TempDir()
	v.must(os.WriteFile(filepath.Join(w.dist, "CHANGELOG.md"), []byte(changelog), 0o644))
	return &w
}

func (v *vendor) must(err error) {
	v.t.Helper()
	if err != nil {
		v.t.Fatal(err)
	}
}

var buildRelease = sync.OnceValues(func() (string, error) {
	program := filepath.Join(savedDir, "ss-release")
	out, err := exec.Command("go", "build", "-buildvcs=false", "-o", program, "ss-setup/packaging/cmd/ss-release").CombinedOutput()
	if err != nil {
		err = fmt.Errorf("build ss-release: %w\n%s", err, out)
	}
	return program, err
})

// release runs ss-release.
func (v *vendor) release(args ...string) {
	v.t.Helper()
	program, err := buildRelease()
	v.must(err)
	if out, err := exec.Command(program, args...).CombinedOutput(); err != nil {
		v.t.Fatalf("ss-release %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// published is what a release was published from, for patches from it.
type published string

// publish makes a release of a fixture and uploads it; more are further flags of
// ss-release publish.
func (v *vendor) publish(fixture string, more ...string) published {
	v.t.Helper()
	version, _, _ := strings.Cut(fixture, "-")
	dir := filepath.Join(v.t.TempDir(), "ss-server-"+version+"-linux-amd64")
	v.must(os.CopyFS(dir, os.DirFS(fixtures.Bundle(v.t, fixture))))
	return v.publishBundle(dir, more...)
}

func (v *vendor) publishBundle(dir string, more ...string) published {
	v.t.Helper()
	v.release(append([]string{
		"publish", "--keys", v.vault.Dir, "--out", v.dist, "--changelog", filepath.Join(v.dist, "CHANGELOG.md"),
		"--templates", "../../install", "--base-url", v.base, "--bundles", dir,
	}, more...)...)
	v.upload()
	return published(dir)
}

// publishForARM makes the archive and the scripts for 64-bit ARM out of what was
// published: machines of the lab only say that they are of that kind.
func (v *vendor) publishForARM(p published) {
	v.t.Helper()
	const amd64, arm64 = "-linux-amd64", "-linux-arm64"
	name := strings.TrimSuffix(filepath.Base(string(p)), amd64)
	dir := filepath.Join(v.t.TempDir(), name+arm64)
	v.must(os.CopyFS(dir, os.DirFS(string(p))))
	v.must(release.Archive(dir, filepath.Join(v.dist, name+arm64+".tar.gz"), time.Unix(1, 0)))
	v.release("scripts", "--version", strings.TrimPrefix(name, "ss-server-"), "--dist", v.dist, "--base-url", v.base,
		"--targets", "linux/arm64", "--templates", "../../install", "--out", v.dist)
	v.upload()
}

// upload copies what was published to the mirror, the repository into the same folder.
func (v *vendor) upload() {
	v.t.Helper()
	v.must(os.MkdirAll(v.folder, 0o755))
	for _, from := range []string{v.dist, filepath.Join(v.dist, "repository")} {
		entries, err := os.ReadDir(from)
		v.must(err)
		for _, e := range entries {
			if name := e.Name(); name != "repository" && name != "patches" {
				v.put(filepath.Join(from, name), name)
			}
		}
	}
}

// put copies a file or folder to a place on the mirror, and takes away what was there.
func (v *vendor) put(from, name string) {
	v.t.Helper()
	to := filepath.Join(v.folder, name)
	v.must(os.RemoveAll(to))
	info, err := os.Stat(from)
	v.must(err)
	if info.IsDir() {
		v.must(os.CopyFS(to, os.DirFS(from)))
		return
	}
	text, err := os.ReadFile(from)
	v.must(err)
	v.must(os.WriteFile(to, text, 0o644))
}
