//go:build linux && lab

package endtoend

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ss-setup/packaging/packages"
	"ss-setup/scripts/lab"
	"ss-setup/scripts/lab/fixtures"
)

// packagesOf makes the packages of a release, once per run of the tests.
func packagesOf(t *testing.T, release string) string {
	t.Helper()
	dir := filepath.Join(savedDir, "packages-"+release)
	if _, err := os.Stat(dir); err == nil {
		return dir
	}
	part := dir + ".part"
	_, err := packages.Build(t.Context(), packages.Options{
		Bundle: fixtures.Bundle(t, release), Out: part, Maintainer: "Tests <root@localhost>", Time: time.Unix(1795219200, 0),
	})
	if err == nil {
		err = os.Rename(part, dir)
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// bootWithPackages makes a machine with the packages of releases in /packages and
// their bundles in /bundles.
func bootWithPackages(t *testing.T, root string, releases ...string) *box {
	t.Helper()
	needsRoot(t)
	o := lab.Options{Root: root, Share: map[string]string{}}
	for _, r := range releases {
		o.Share[fixtures.Bundle(t, r)] = "/bundles/" + r
		o.Share[packagesOf(t, r)] = "/packages/" + r
	}
	return &box{lab.Boot(t, o), t}
}

func deb(release string) string { return packageFile(release, "deb") }

func rpm(release string) string { return packageFile(release, "rpm") }

func packageFile(release, format string) string {
	version, _, _ := strings.Cut(release, "-")
	name := map[string]string{"deb": "ss-server_" + version + "_amd64.deb", "rpm": "ss-server-" + version + "-1.x86_64.rpm"}
	return "/packages/" + release + "/" + name[format]
}

// unattended runs a command as a package manager's caller does: nobody to ask,
// output into a pipe.
func (b *box) unattended(command string) result {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	stdout, stderr, code := b.Exec(ctx, "sh", "-c", "exec </dev/null; export DEBIAN_FRONTEND=noninteractive; "+command)
	return result{code, stdout, stderr}
}

// mustUnattended wants the command to end with 0 and to have said things.
func (b *box) mustUnattended(command string, says ...string) result {
	b.t.Helper()
	return b.wantSh(0, command, says...)
}

func (b *box) wantSh(code int, command string, says ...string) result {
	b.t.Helper()
	r := b.unattended(command)
	if r.code != code {
		b.t.Fatalf("%s: want exit %d, got %s\n%s", command, code, r, b.Logs())
	}
	for _, want := range says {
		if !strings.Contains(r.stdout+r.stderr, want) {
			b.t.Errorf("%s does not say %q: %s", command, want, r)
		}
	}
	return r
}

// managedBy is what the receipt in force says.
func (b *box) managedBy() string {
	b.t.Helper()
	n, err := b.generation()
	if err != nil {
		b.t.Fatal(err)
	}
	content, err := b.ReadFile("/var/lib/ss-setup/receipts/" + strconv.Itoa(n) + ".json")
	if err != nil {
		b.t.Fatal(err)
	}
	var r struct {
		ManagedBy string `json:"managed_by"`
	}
	if err := json.Unmarshal(content, &r); err != nil {
		b.t.Fatal(err)
	}
	return r.ManagedBy
}

// generation is the number of the one in force.
func (b *box) generation() (int, error) {
	b.t.Helper()
	return strconv.Atoi(filepath.Base(strings.TrimSpace(b.MustExec("readlink", "/opt/ss-server/current"))))
}

// dpkgStatus is what dpkg thinks of the package.
func (b *box) dpkgStatus() string {
	b.t.Helper()
	return strings.TrimSpace(b.unattended("dpkg-query -W -f '${Status} ${Version}' ss-server").stdout)
}

func (b *box) wantStatus(want string) {
	b.t.Helper()
	if got := b.dpkgStatus(); got != want {
		b.t.Errorf("dpkg says %q, want %q", got, want)
	}
}

var setupCode = regexp.MustCompile(`\b[A-Z0-9]{4}-[A-Z0-9]{4}\b`)

// manager is a program that people install debs with.
type manager struct{ name, install, again, remove, purge string }

var (
	dpkg = manager{"dpkg", "dpkg -i ", "dpkg -i ", "dpkg -r ss-server", "dpkg --purge ss-server"}
	apt  = manager{"apt", "apt-get install -y ", "apt-get install -y --reinstall ", "apt-get remove -y ss-server", "apt-get purge -y ss-server"}
)

// debLife is a Debian release and the program that installs and removes there.
type debLife struct {
	root string
	by   manager
}

func TestADebLivesFromInstallToPurge(t *testing.T) {
	for _, c := range debLives {
		t.Run(c.root+" "+c.by.name, func(t *testing.T) {
			b := bootWithPackages(t, c.root, "7.0.0", "7.0.1")
			clean := b.look()

			out := b.mustUnattended(c.by.install+deb("7.0.0"), "SS Server 7.0.0 is installed.", "https://127.0.0.1:6443/init/setup", "ss-server genssc")
			if text := out.stdout + out.stderr; setupCode.MatchString(text) || strings.ContainsRune(text, '\x1b') || c.by == dpkg && strings.Count(text, "\n") > 12 {
				t.Errorf("this is not for the log of a package manager:\n%s", text)
			}
			b.serves(recoveryTime, "7.0.0")
			b.settled(recoveryTime)
			b.wantStatus("install ok installed 7.0.0")
			if got := b.managedBy(); got != "dpkg" {
				t.Errorf("the receipt says that %q manages it", got)
			}
			b.ownsItsBundleOnly("dpkg -L ss-server")
			b.mustUnattended("dpkg --verify ss-server")

			b.note("7.0.0", "kept", 10)
			b.mustUnattended(c.by.again+deb("7.0.0"), "installed already")
			if n, err := b.generation(); n != 1 || err != nil {
				t.Errorf("the same version again made generation %d, %v", n, err)
			}

			b.mustUnattended(c.by.install+deb("7.0.1"), "SS Server was updated from 7.0.0 to 7.0.1.")
			b.serves(recoveryTime, "7.0.1")
			b.wantStatus("install ok installed 7.0.1")

			b.mustUnattended(c.by.remove, "its data are kept")
			if _, err := b.health(); err == nil {
				t.Error("the server still answers after the removal")
			}
			b.wantStatus("deinstall ok config-files 7.0.1")
			b.mustUnattended(c.by.install + deb("7.0.1"))
			b.serves(recoveryTime, "7.0.1")
			if notes := b.notes(3); !strings.Contains(notes, "kept") {
				t.Errorf("the data were not taken over: %s", notes)
			}

			b.mustUnattended(c.by.purge)
			b.same(clean, "purge")
		})
	}
}

// ownsItsBundleOnly wants what a package lists to be its bundle, that one's files and
// the folders above it.
func (b *box) ownsItsBundleOnly(list string) {
	b.t.Helper()
	files := 0
	for name := range strings.Lines(b.mustUnattended(list).stdout) {
		name = path.Clean(strings.TrimSpace(name))
		switch {
		case strings.HasPrefix(name, packages.Folder+"/"):
			files++
		case name != "/" && !strings.HasPrefix(packages.Folder+"/", name+"/"):
			b.t.Errorf("the package owns %s", name)
		}
	}
	if files == 0 {
		b.t.Errorf("%s names no file of the bundle", list)
	}
}

func TestPurgingADebKeepsWhatUsersStored(t *testing.T) {
	for _, root := range debShare {
		t.Run(root, func(t *testing.T) {
			b := bootWithPackages(t, root, "7.0.0")
			b.mustUnattended("dpkg -i " + deb("7.0.0"))
			b.MustExec("sh", "-c", "echo mine > /srv/ss-server/mine.txt; chown ss-server: /srv/ss-server/mine.txt")
			b.mustUnattended("dpkg -r ss-server")
			b.mustUnattended("dpkg --purge ss-server")
			if owner := strings.TrimSpace(b.MustExec("stat", "-c", "%U", "/srv/ss-server/mine.txt")); owner != "ss-server" {
				t.Errorf("the user's file belongs to %q", owner)
			}
			if left := b.unattended("ls -d /var/lib/ss-setup /etc/ss-server /usr/bin/ss-setup /opt/ss-server /var/log/ss-setup 2>/dev/null").stdout; left != "" {
				t.Errorf("the purge left %s", left)
			}
		})
	}
}

func TestADebThatFailsLeavesTheOldVersionServingAndIsCuredByTheNext(t *testing.T) {
	for _, root := range debShare {
		t.Run(root, func(t *testing.T) {
			b := bootWithPackages(t, root, "7.0.0", "7.0.2", "7.0.2-exit")
			b.mustUnattended("dpkg -i " + deb("7.0.0"))
			b.note("7.0.0", "kept", 10)

			b.wantSh(1, "SS_SETUP_HEALTH_TIMEOUT=3s dpkg -i "+deb("7.0.2-exit"), "everything was put back", "error exit status 1")
			b.serves(recoveryTime, "7.0.0")
			b.settled(recoveryTime)
			b.wantStatus("install ok half-configured 7.0.2")

			// It is tried again, without anybody to ask.
			b.wantSh(1, "SS_SETUP_HEALTH_TIMEOUT=3s dpkg --configure -a", "everything was put back")
			b.serves(recoveryTime, "7.0.0")

			b.mustUnattended("dpkg -i "+deb("7.0.2"), "SS Server was updated from 7.0.0 to 7.0.2.")
			b.serves(recoveryTime, "7.0.2")
			b.wantStatus("install ok installed 7.0.2")
		})
	}
}

// holdLock stands for another run of ss-setup, which ends with Kill.
func (b *box) holdLock() *lab.Proc {
	b.t.Helper()
	other := b.Spawn("flock", "--no-fork", "/run/ss-setup.lock", "sleep", "1000")
	b.soon("another holds the lock", func() bool {
		_, _, code := b.Exec(context.Background(), "flock", "--nonblock", "/run/ss-setup.lock", "true")
		return code == 1
	})
	return other
}

// soon waits for something that does not take long.
func (b *box) soon(what string, is func() bool) {
	b.t.Helper()
	for end := time.Now().Add(time.Minute); !is(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			b.t.Fatalf("%s: not within a minute", what)
		}
	}
}

func TestADebWaitsForAnotherRunAndConfigureCuresOneThatLastedTooLong(t *testing.T) {
	for _, root := range debShare {
		t.Run(root, func(t *testing.T) {
			b := bootWithPackages(t, root, "7.0.0", "7.0.1")
			other := b.holdLock()
			install := b.Spawn("dpkg", "-i", deb("7.0.0"))
			b.soon("it waits", func() bool {
				stdout, stderr := install.Output()
				return strings.Contains(stdout+stderr, "waiting up to 1m0s")
			})
			other.Kill()
			if stdout, stderr, code := install.Wait(); code != 0 {
				t.Fatalf("dpkg -i under another's lock: exit %d\n%s%s", code, stdout, stderr)
			}
			b.serves(recoveryTime, "7.0.0")

			other = b.holdLock()
			b.wantSh(1, "SS_SETUP_LOCK_WAIT=1s dpkg -i "+deb("7.0.1"), "another ss-setup is running", "error exit status 6")
			b.serves(recoveryTime, "7.0.0")
			other.Kill()
			b.mustUnattended("dpkg --configure -a", "SS Server was updated from 7.0.0 to 7.0.1.")
			b.serves(recoveryTime, "7.0.1")
			b.wantStatus("install ok installed 7.0.1")
		})
	}
}

func TestAPersonIsSentToThePackageManager(t *testing.T) {
	for _, root := range debShare {
		t.Run(root, func(t *testing.T) {
			b := bootWithPackages(t, root, "7.0.0", "7.0.1", "7.0.2")
			b.must("7.0.0", "install", "-S")
			if got := b.managedBy(); got != "" {
				t.Errorf("after an install by hand the receipt says that %q manages it", got)
			}
			b.mustUnattended("dpkg -i "+deb("7.0.0"), "installed already")
			if got := b.managedBy(); got != "dpkg" {
				t.Errorf("the package found it installed, and the receipt says that %q manages it", got)
			}
			for _, args := range [][]string{{"install", "--update"}, {"install"}, {"install", "-F"}} {
				r := b.want(2, "7.0.1", args...)
				if !strings.Contains(r.stderr, "apt-get install --only-upgrade ss-server") || !strings.Contains(r.stderr, "--yes") {
					t.Errorf("%v does not name the package's command: %s", args, r)
				}
			}
			b.must("7.0.0", "install", "--repair", "-S")
			b.must("7.0.2", "install", "--update", "--yes")
			b.serves(recoveryTime, "7.0.2")
			if got := b.managedBy(); got != "dpkg" {
				t.Errorf("after an update by hand the receipt says that %q manages it", got)
			}
			b.mustUnattended("dpkg -i "+deb("7.0.1"), "SS Server 7.0.2 is installed already, which is newer than 7.0.1")
			b.serves(recoveryTime, "7.0.2")
			b.wantStatus("install ok installed 7.0.1")

			b.must("7.0.2", "uninstall", "-S")
			b.mustUnattended("dpkg --purge ss-server")
		})
	}
}

func TestADebStartsNothingUnderAPolicy(t *testing.T) {
	for _, root := range debShare {
		t.Run(root, func(t *testing.T) {
			startsNothingUnderAPolicy(t, root, "dpkg -i "+deb("7.0.0"), "dpkg -i "+deb("7.0.1"), "dpkg --purge ss-server")
		})
	}
}

// On a system that has rpm, the policy may be there all the same: builders of images put it there.
func TestAnRPMStartsNothingUnderAPolicy(t *testing.T) {
	for _, root := range rpmShare {
		t.Run(root, func(t *testing.T) {
			startsNothingUnderAPolicy(t, root, "rpm -i --nodeps "+rpm("7.0.0"), "rpm -U --nodeps "+rpm("7.0.1"), "rpm -e --nodeps ss-server")
		})
	}
}

func startsNothingUnderAPolicy(t *testing.T, root, install, update, remove string) {
	b := bootWithPackages(t, root, "7.0.0", "7.0.1")
	b.MustExec("sh", "-c", "printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d; chmod 755 /usr/sbin/policy-rc.d")
	b.mustUnattended(install, "SS Server 7.0.0 is installed; nothing was started")
	if out := b.unattended("systemctl is-active ss-server ss-licensed; systemctl is-enabled ss-server ss-licensed; id ss-server").stdout; !strings.HasPrefix(out, "inactive\ninactive\nenabled\nenabled\nuid=") {
		t.Errorf("services and account: %s", out)
	}
	b.Stop()
	b.Start()
	b.serves(recoveryTime, "7.0.0")

	// What runs is not stopped, as it could not be started again.
	b.mustUnattended(update, "SS Server 7.0.0 goes on serving", "/usr/share/ss-server/bundle/ss-setup install --update --yes")
	b.serves(recoveryTime, "7.0.0")
	b.mustUnattended("/usr/share/ss-server/bundle/ss-setup install --update --yes")
	b.serves(recoveryTime, "7.0.1")
	b.wantSh(2, "/usr/share/ss-server/bundle/ss-setup install -F --yes --no-start", "ss-server runs, and --no-start could not start it again")
	b.mustUnattended(remove)
	if _, err := b.health(); err == nil {
		t.Error("the server still answers after the removal")
	}
}

func TestADebWithoutARunningInitServesAtTheFirstBoot(t *testing.T) {
	for _, root := range debImages {
		t.Run(root, func(t *testing.T) {
			servesAtItsFirstBoot(t, root, "ss-server_7.0.0_amd64.deb", "dpkg", "-i")
		})
	}
}

func TestAnRPMWithoutARunningInitServesAtTheFirstBoot(t *testing.T) {
	servesAtItsFirstBoot(t, "bookworm-rpm", "ss-server-7.0.0-1.x86_64.rpm", "rpm", "-i", "--nodeps")
}

// servesAtItsFirstBoot installs a package in an image, as who builds one does.
func servesAtItsFirstBoot(t *testing.T, root, file string, command ...string) {
	t.Helper()
	needsRoot(t)
	image := imageOf(t, root)
	if err := exec.Command("cp", filepath.Join(packagesOf(t, "7.0.0"), file), filepath.Join(image, "root")).Run(); err != nil {
		t.Fatal(err)
	}
	// What every builder of images makes; there is no /proc, as with some.
	if err := unix.Mknod(filepath.Join(image, "dev/null"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))); err != nil && !errors.Is(err, unix.EEXIST) {
		t.Fatal(err)
	}
	out, err := exec.Command("chroot", append(append([]string{image}, command...), "/root/"+file)...).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "nothing was started") {
		t.Fatalf("%v in a chroot: %v\n%s", command, err, out)
	}
	b := boot(t, lab.Options{Root: image}, "7.0.0")
	b.serves(recoveryTime, "7.0.0")
	b.must("7.0.0", "verify")
}

func TestADebWorksWithEveryInit(t *testing.T) {
	for _, root := range debInits {
		t.Run(root, func(t *testing.T) {
			b := bootWithPackages(t, root, "7.0.0", "7.0.1")
			clean := b.look()
			b.mustUnattended("dpkg -i "+deb("7.0.0"), "SS Server 7.0.0 is installed.")
			b.serves(recoveryTime, "7.0.0")
			b.mustUnattended("dpkg -i " + deb("7.0.1"))
			b.serves(recoveryTime, "7.0.1")
			b.mustUnattended("dpkg --purge ss-server")
			b.same(clean, "purge")
		})
	}
}

func TestAnRPMLivesFromInstallToErasure(t *testing.T) {
	for _, root := range rpmShare {
		t.Run(root, func(t *testing.T) { rpmLife(t, root) })
	}
}

func rpmLife(t *testing.T, root string) {
	b := bootWithPackages(t, root, "7.0.0", "7.0.1", "7.0.2")
	b.mustUnattended("rpm -i --nodeps "+rpm("7.0.0"), "SS Server 7.0.0 is installed.", "https://127.0.0.1:6443/init/setup")
	b.serves(recoveryTime, "7.0.0")
	if got := b.managedBy(); got != "rpm" {
		t.Errorf("the receipt says that %q manages it", got)
	}
	b.ownsItsBundleOnly("rpm -ql ss-server")
	b.mustUnattended("rpm -V --nodeps ss-server")
	b.note("7.0.0", "kept", 10)
	b.mustUnattended("rpm -U --nodeps --replacepkgs "+rpm("7.0.0"), "installed already")
	if n, err := b.generation(); n != 1 || err != nil {
		t.Errorf("the same version again made generation %d, %v", n, err)
	}

	b.mustUnattended("rpm -U --nodeps "+rpm("7.0.1"), "SS Server was updated from 7.0.0 to 7.0.1.")
	b.serves(recoveryTime, "7.0.1")
	if r := b.want(2, "7.0.2", "install", "--update"); !strings.Contains(r.stderr, "dnf upgrade ss-server, or rpm -U ss-server-7.0.2-1.x86_64.rpm") {
		t.Errorf("the package's command is not named: %s", r)
	}
	b.must("7.0.2", "install", "--update", "--yes")
	b.serves(recoveryTime, "7.0.2")
	if got := b.managedBy(); got != "rpm" {
		t.Errorf("after an update by hand the receipt says that %q manages it", got)
	}
	b.mustUnattended("rpm -U --nodeps --oldpackage "+rpm("7.0.0"), "SS Server 7.0.2 is installed already, which is newer")
	b.serves(recoveryTime, "7.0.2")

	b.mustUnattended("rpm -e --nodeps ss-server", "its data are kept")
	if _, err := b.health(); err == nil {
		t.Error("the server still answers after the erasure")
	}
	b.wantSh(2, "ls /usr/share/ss-server")
	b.mustUnattended("rpm -i --nodeps " + rpm("7.0.2"))
	b.serves(recoveryTime, "7.0.2")
	n, err := b.generation()
	if err != nil {
		t.Fatal(err)
	}
	if notes := b.notes(n); !strings.Contains(notes, "kept") {
		t.Errorf("the data were not taken over: %s", notes)
	}
	b.mustUnattended("rpm -e --nodeps ss-server")
	b.mustUnattended("ss-setup uninstall --purge --yes")
}

// docs/unattended.md tells this: rpm goes on, so status is what to ask.
func TestRPMOnlyWarnsOfAnUpdateThatWasPutBack(t *testing.T) {
	b := bootWithPackages(t, "bookworm-rpm", "7.0.0", "7.0.2", "7.0.2-exit")
	b.mustUnattended("rpm -i --nodeps " + rpm("7.0.0"))
	b.mustUnattended("SS_SETUP_HEALTH_TIMEOUT=3s rpm -U --nodeps "+rpm("7.0.2-exit"), "everything was put back", "scriptlet failed, exit status 1")
	b.serves(recoveryTime, "7.0.0")
	b.mustUnattended("rpm -q ss-server", "ss-server-7.0.2-1")
	b.mustUnattended("ss-setup status", "SS Server 7.0.0", "managed by rpm")

	b.mustUnattended("rpm -U --nodeps --replacepkgs "+rpm("7.0.2"), "SS Server was updated from 7.0.0 to 7.0.2.")
	b.serves(recoveryTime, "7.0.2")

	// A removal that fails does count: the package stays.
	b.holdLock()
	b.wantSh(1, "SS_SETUP_LOCK_WAIT=1s rpm -e --nodeps ss-server", "another ss-setup is running")
	b.serves(recoveryTime, "7.0.2")
	b.mustUnattended("rpm -q ss-server")
}
