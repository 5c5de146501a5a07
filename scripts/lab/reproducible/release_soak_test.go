//go:build linux && lab && soak

package reproducible

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// signedApart is what differs when two builds are signed with the same keys at two
// times: everything with an expiry in it, what carries that, and what names its digest.
// Built with one folder of keys nothing may differ.
var signedApart = []Exclusion{
	{"repository/metadata/*.targets.json", "has an expiry"},
	{"repository/metadata/*.snapshot.json", "has an expiry"},
	{"repository/metadata/timestamp.json", "has an expiry"},
	{"ss-server-*/metadata/*.targets.json", "has an expiry"},
	{"ss-server-*/metadata/*.snapshot.json", "has an expiry"},
	{"ss-server-*/metadata/timestamp.json", "has an expiry"},
	{"ss-server-*.tar.gz", "carries metadata"},
	{"ss-server-*.zip", "carries metadata"},
	{"ss-server-*-setup.exe", "carries metadata"},
	{"ss-server_*.deb", "carries metadata"},
	{"ss-server-*.rpm", "carries metadata"},
	{"ss-setup-*.sh", "names the digest of an archive"},
	{"ss-setup-*.ps1", "names the digest of an archive"},
	{"winget/*.installer.yaml", "names the digest of an archive"},
	{"SHA256SUMS", "names the digests of archives"},
}

// clone is a clean copy of the commit that is tested.
func clone(t *testing.T, dir string) string {
	t.Helper()
	top, err := exec.Command("git", "rev-parse", "--show-toplevel").Output()
	if err != nil {
		t.Skipf("%s needs the repository of git to clone: %v", t.Name(), err)
	}
	// Not by hard links, and with nothing of the work tree.
	if out, err := exec.Command("git", "clone", "-q", "--no-local", strings.TrimSpace(string(top)), dir).CombinedOutput(); err != nil {
		t.Fatalf("clone: %v\n%s", err, out)
	}
	return dir
}

// build makes all of dist/ under a umask and an environment.
func build(t *testing.T, dir, umask, keys string, env ...string) string {
	t.Helper()
	cmd := exec.Command("sh", "-c", "umask "+umask+`; exec make -s release KEYS="$1" BASE_URL=https://releases.test/ss MIRRORS=https://a.test,https://b.test`, "sh", keys)
	cmd.Dir = dir
	// A make above this one has set these for itself.
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "MAKE") && !strings.HasPrefix(v, "MFLAGS") {
			cmd.Env = append(cmd.Env, v)
		}
	}
	cmd.Env = append(cmd.Env, "SOURCE_DATE_EPOCH=1795305600")
	cmd.Env = append(cmd.Env, env...)
	start := time.Now()
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("make release in %s: %v\n%s", dir, err, out)
	}
	t.Logf("make release in %s took %.0f s", dir, time.Since(start).Seconds())
	return filepath.Join(dir, "dist")
}

func same(t *testing.T, one, other string, excluded []Exclusion) {
	t.Helper()
	var said strings.Builder
	differs, err := Compare(&said, one, other, excluded)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%s and %s:\n%s", one, other, said.String())
	for _, d := range differs {
		t.Error(d)
	}
}

// asOld gives every file of a clone a time that no checkout has.
func asOld(t *testing.T, dir string) {
	t.Helper()
	long := time.Date(1999, 12, 31, 23, 59, 58, 0, time.UTC)
	err := filepath.WalkDir(dir, func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		return os.Chtimes(file, long, long)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Everything that a vendor puts on a server is made twice: in two clones, at two paths,
// with another umask, language, time zone, number of processors and age of the files,
// and with nothing compiled before.
func TestTwoCleanClonesGiveTheSameRelease(t *testing.T) {
	if out, err := exec.Command("bash", "../packages.sh", "make:make", "git:git", "osslsigncode:osslsigncode", "makensis:nsis").CombinedOutput(); err != nil {
		t.Skipf("%s needs make, git, osslsigncode and makensis: %s", t.Name(), out)
	}
	top := t.TempDir()
	keys, apart := filepath.Join(top, "keys"), filepath.Join(top, "keys-elsewhere")
	dev := "XDG_DATA_HOME=" + filepath.Join(top, "data") // holds the certificate for Windows
	one := clone(t, filepath.Join(top, "a"))
	other := clone(t, filepath.Join(top, "quite-another", "plāce", "for_a.clone"))
	asOld(t, other)

	makeKeys := exec.Command("go", "run", "./packaging/cmd/ss-release", "keys", "init", "--keys", keys)
	makeKeys.Dir = one
	if out, err := makeKeys.CombinedOutput(); err != nil {
		t.Fatalf("make keys: %v\n%s", err, out)
	}
	// With the modes of its files: keys that others may read are refused.
	if out, err := exec.Command("cp", "-a", keys, apart).CombinedOutput(); err != nil {
		t.Fatalf("copy the keys: %v\n%s", err, out)
	}

	first := build(t, one, "022", keys, dev, "LC_ALL=C", "TZ=UTC")
	elsewhere := []string{
		dev, "LC_ALL=C.UTF-8", "LANGUAGE=tr", "TZ=Pacific/Kiritimati",
		"GOCACHE=" + filepath.Join(top, "gocache"), "TMPDIR=" + t.TempDir(),
	}
	second := build(t, other, "077", keys, elsewhere...)
	same(t, first, second, nil)

	// Whoever has the same keys and signs by himself gets all that has no expiry in it. He
	// does so in a clean clone: keys that are behind a repository do not sign into it.
	if err := os.RemoveAll(second); err != nil {
		t.Fatal(err)
	}
	third := build(t, other, "027", apart, append(elsewhere, "GOMAXPROCS=1")...)
	same(t, first, third, signedApart)
}
