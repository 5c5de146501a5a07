//go:build linux && lab

package endtoend

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"

	"ss-setup/scripts/lab"
	"ss-setup/scripts/lab/fixtures"
	"ss-setup/scripts/lab/snapshot"
)

// What the stand-in for version 6 knows: scripts/lab/ss6.
const (
	oldVersion      = "6.2.60"
	oldSuperAdmin   = "an old secret"
	oldUserPassword = "battery staple"
	oldPort         = 2222
)

// Where its other sites serve, with --sites.
const (
	byHandPort = oldPort + 1 + iota
	familiesPort
	fencedPort
)

// oldProgram is the stand-in, built once.
var oldProgram = sync.OnceValues(func() (string, error) {
	dir := filepath.Join(savedDir, "old")
	cmd := exec.Command("go", "build", "-buildvcs=false", "-o", filepath.Join(dir, "ss6"), "ss-setup/scripts/lab/ss6")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the old server: %w\n%s", err, out)
	}
	return dir, nil
})

// oldBox is a machine on which version 6 serves.
type oldBox struct {
	*box
	key ssh.Signer
}

// oldMachine makes a machine with version 6; flags are those of the stand-in.
func oldMachine(t *testing.T, o lab.Options, flags ...string) *oldBox {
	t.Helper()
	needsRoot(t)
	dir, err := oldProgram()
	if err != nil {
		t.Fatal(err)
	}
	o.Share = map[string]string{fixtures.Bundle(t, "7.0.0"): "/bundles/7.0.0", dir: "/old"}
	b := &oldBox{box: &box{lab.Boot(t, o), t}}
	if o.From != "" {
		return b
	}
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err == nil {
		b.key, err = ssh.NewSignerFromKey(private)
	}
	if err != nil {
		t.Fatal(err)
	}
	line := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(b.key.PublicKey())))
	b.MustExec("sh", "-c", "umask 077; echo '"+line+"' > /root/anna.pub; printf 'v6_password: "+oldSuperAdmin+"\n' > /root/answers.yaml")
	b.MustExec(append([]string{"/old/ss6", "install", "--sftp-port", fmt.Sprint(oldPort), "--user-key", "/root/anna.pub"}, flags...)...)
	b.oldServes(recoveryTime)
	return b
}

// upgradeArgs upgrade unattended.
func upgradeArgs(more ...string) []string {
	return append([]string{"install", "-S", "--answers", "/root/answers.yaml", "--health-timeout", healthTimeout.String()}, more...)
}

var upgrade = verb{"upgrade", "7.0.0", upgradeArgs(), "7.0.0"}

// askOld asks version 6 who it is, over its REST interface and where users log in.
func (b *box) askOld() error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	client := http.Client{Transport: &http.Transport{
		DisableKeepAlives: true, DialContext: b.Dial, TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
	}}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://127.0.0.1:6443/api/v1/version", nil)
	if err != nil {
		return err
	}
	answer, err := client.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	var who struct{ Version string }
	if err := json.NewDecoder(answer.Body).Decode(&who); err != nil || who.Version != oldVersion {
		return fmt.Errorf("it answers as %q: %w", who.Version, err)
	}
	return b.oldLogin(ssh.Password(oldUserPassword))
}

// oldLogin logs anna in to version 6.
func (b *box) oldLogin(auth ssh.AuthMethod) error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	conn, err := b.Dial(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", oldPort))
	if err != nil {
		return err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(2 * time.Second))
	c, _, _, err := ssh.NewClientConn(conn, "old", &ssh.ClientConfig{
		User: "anna", Auth: []ssh.AuthMethod{auth}, HostKeyCallback: func(string, net.Addr, ssh.PublicKey) error { return nil },
	})
	if err != nil {
		return err
	}
	defer c.Close()
	if v := string(c.ServerVersion()); !strings.Contains(v, oldVersion) {
		return fmt.Errorf("it greets as %s", v)
	}
	return nil
}

func (b *box) oldServes(within time.Duration) {
	b.t.Helper()
	var err error
	for end := time.Now().Add(within); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if err = b.askOld(); err == nil {
			return
		}
	}
	b.t.Fatalf("version 6 does not serve within %s: %v\n%s", within, err, b.Logs())
}

// eitherServes waits until version 6 or 7 serves, and tells which: its web interface
// answers, and anna logs in.
func (b *box) eitherServes(within time.Duration) string {
	b.t.Helper()
	var old, now error
	for end := time.Now().Add(within); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if old = b.askOld(); old == nil {
			return oldVersion
		}
		var h lab.Health
		if h, now = b.health(); now == nil && h.Ready && h.Open {
			if _, now = b.sftp(oldPort, ssh.Password(oldUserPassword), writeLetter); now == nil {
				return h.Version
			}
		}
	}
	b.t.Fatalf("neither version 6 (%v) nor 7 (%v) serves within %s\n%s", old, now, within, b.Logs())
	return ""
}

// oldLeft wants version 6 stopped and disabled, with its files in place.
func (b *box) oldLeft() {
	b.t.Helper()
	for _, name := range []string{"ss6-webrest", "ss6-worker"} {
		out, _, _ := b.Exec(context.Background(), "sh", "-c", "systemctl is-active "+name+"; systemctl is-enabled "+name)
		if fields := strings.Fields(out); len(fields) != 2 || fields[0] != "inactive" || fields[1] != "disabled" {
			b.t.Errorf("%s is %s", name, fields)
		}
	}
	b.MustExec("test", "-s", "/opt/Syncplify/ServerV6/data/backup/vsites.json")
}

// annaLogsIn wants version 7 to let the old user in as before, and to keep a file.
func (b *oldBox) annaLogsIn(hostKey string) {
	b.t.Helper()
	for what, auth := range map[string]ssh.AuthMethod{"password": ssh.Password(oldUserPassword), "key": ssh.PublicKeys(b.key)} {
		do := writeLetter
		if what == "key" {
			do = func(c *sftp.Client) error { _, err := c.ReadDir("/"); return err }
		}
		is, err := b.sftp(oldPort, auth, do)
		if err != nil {
			b.t.Errorf("anna with her old %s: %v\n%s", what, err, b.Logs())
		}
		if is != hostKey {
			b.t.Errorf("the host key was %s and is %s", hostKey, is)
		}
	}
}

// oldHostKey is what version 6 proves itself with.
func (b *box) oldHostKey() (fingerprint string) {
	b.t.Helper()
	conn, err := b.Dial(context.Background(), "tcp", fmt.Sprintf("127.0.0.1:%d", oldPort))
	if err != nil {
		b.t.Fatal(err)
	}
	defer conn.Close()
	_, _, _, err = ssh.NewClientConn(conn, "old", &ssh.ClientConfig{User: "nobody", HostKeyCallback: func(_ string, _ net.Addr, k ssh.PublicKey) error {
		fingerprint = ssh.FingerprintSHA256(k)
		return nil
	}})
	if fingerprint == "" {
		b.t.Fatal(err)
	}
	return fingerprint
}

// greets tells whether an SSH server greets at an address.
func (b *box) greets(address string) bool {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	conn, err := b.Dial(ctx, "tcp", address)
	if err != nil {
		return false
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(2 * time.Second))
	said := make([]byte, 4)
	_, err = io.ReadFull(conn, said)
	return err == nil && string(said) == "SSH-"
}

// greeted wants SSH servers at some addresses and at no others.
func (b *box) greeted(when string, at map[string]bool) {
	b.t.Helper()
	for address, want := range at {
		if got := b.greets(address); got != want {
			b.t.Errorf("%s: greeted at %s: %t", when, address, got)
		}
	}
}

// The addresses of the sites of --sites.
var (
	byHandSite  = fmt.Sprintf("127.0.0.1:%d", byHandPort)
	bothOfSite4 = fmt.Sprintf("127.0.0.1:%d", familiesPort)
	bothOfSite6 = fmt.Sprintf("[::1]:%d", familiesPort)
	fencedSite  = fmt.Sprintf("127.0.0.1:%d", fencedPort)
)

// TestVersion6IsUpgradedInPlaceAndGoneBackTo: it has a site that somebody has started, one
// of both families of addresses, and one whose allow list does not have this machine.
func TestVersion6IsUpgradedInPlaceAndGoneBackTo(t *testing.T) {
	b := oldMachine(t, lab.Options{}, "--sites")
	b.MustExec("/old/ss6", "start")
	for end := time.Now().Add(recoveryTime); !b.greets(byHandSite) && time.Now().Before(end); {
		time.Sleep(50 * time.Millisecond)
	}
	b.greeted("version 6", map[string]bool{byHandSite: true, bothOfSite4: true, bothOfSite6: true, fencedSite: true})
	hostKey := b.oldHostKey()
	before := b.look()
	plan := b.must("7.0.0", upgradeArgs("--plan")...)
	if !strings.Contains(plan.stdout, "pgrade version 6 to SS Server 7.0.0") || !strings.Contains(plan.stdout, "stop ss6-webrest and ss6-worker") {
		t.Errorf("the plan is %s", plan)
	}
	if r := b.want(7, "7.0.0", upgradeArgs()...); !strings.Contains(r.stderr, "what serves at "+byHandSite+" until somebody starts it") {
		t.Errorf("a site that nothing starts again is stopped unasked: %s", r)
	}
	r := b.must("7.0.0", upgradeArgs("--accept-drops")...)
	b.serves(recoveryTime, "7.0.0")
	b.oldLeft()
	b.settled(recoveryTime)
	b.annaLogsIn(hostKey)
	b.greeted("version 7", map[string]bool{byHandSite: false, bothOfSite4: true, bothOfSite6: true, fencedSite: false})
	b.must("7.0.0", "verify")
	for _, secret := range []string{oldSuperAdmin, oldUserPassword} {
		if found := b.unattended("grep -rlF '" + secret + "' /var/lib/ss-setup /var/log /opt/ss-server /etc/ss-server; journalctl --no-pager | grep -F '" + secret + "'"); found.stdout != "" {
			t.Errorf("a password is in %s", found)
		}
	}
	if left := b.unattended("ls /var/lib/ss-setup/import"); left.code == 0 {
		t.Errorf("the backup is left: %s", left)
	}
	b.mustUnattended("cat /var/log/ss-setup/import-*.txt", "What was imported", "To review")
	if out := b.must("7.0.0", "install", "-S", "--output", "json").stdout; !strings.Contains(out, `"outcome":"nothing"`) {
		t.Errorf("a second time: %s", out)
	}
	t.Logf("%s", r)

	// The machine starts with version 7, and goes back to 6 on request.
	b.Stop()
	b.Start()
	b.serves(recoveryTime, "7.0.0")
	// What that undoes is told first, and kept.
	b.api().do("PATCH", "/sites/default/users/anna", `{"disabled":true}`)
	r = b.must("7.0.0", "rollback", "--yes", "--health-timeout", healthTimeout.String())
	if !strings.Contains(r.stdout, "ersion 6 serves again") || !strings.Contains(r.stderr, "users at "+byHandSite+" by a site that is started by hand") {
		t.Errorf("%s", r)
	}
	kept := b.MustExec("cat", "/var/log/ss-setup/undone-1.txt")
	for _, want := range []string{`user "anna"`, "disabled true"} {
		if !strings.Contains(r.stdout+r.stderr, want) || !strings.Contains(kept, want) {
			t.Errorf("no %q in %s\nnor in what is kept: %s", want, r, kept)
		}
	}
	b.oldServes(recoveryTime)
	if err := b.oldLogin(ssh.PublicKeys(b.key)); err != nil {
		t.Error(err)
	}
	b.settled(recoveryTime)
	if d := oldDifference(snapshot.Diff(before, b.look())); len(d) > 0 {
		t.Errorf("after the rollback:\n%s", strings.Join(d, "\n"))
	}
	b.Stop()
	b.Start()
	b.oldServes(recoveryTime)

	// And forward again, as often as somebody likes; an uninstall leaves 6 as it is.
	if r := b.want(2, "7.0.0", upgradeArgs()...); !strings.Contains(r.stderr, "set the data of generation 1 aside?") {
		t.Errorf("what version 7 had is set aside unasked: %s", r)
	}
	b.must("7.0.0", upgradeArgs("--yes")...)
	b.serves(recoveryTime, "7.0.0")
	b.annaLogsIn(hostKey)
	if out := b.must("7.0.0", "uninstall").stdout; !strings.Contains(out, "systemctl enable --now ss6-webrest ss6-worker") {
		t.Errorf("it does not say how version 6 is started: %s", out)
	}
	b.oldLeft()
	b.MustExec("systemctl", "enable", "--now", "ss6-webrest", "ss6-worker")
	b.oldServes(recoveryTime)
}

// TestAVersion6OfWorkersBesideAnotherServerIsUpgradedAndGoneBackTo: its worker is the
// instance of a template that its other service starts, it waits for a transfer at another
// port each time, and somebody else's SSH server has its port of another address.
func TestAVersion6OfWorkersBesideAnotherServerIsUpgradedAndGoneBackTo(t *testing.T) {
	b := oldMachine(t, lab.Options{}, "--template", "--sftp-ip", "127.0.0.1")
	b.MustExec("systemd-run", "--unit=neighbour", "/old/ss6", "neighbour", fmt.Sprintf("127.0.0.2:%d", oldPort))
	hostKey := b.oldHostKey()
	before := b.look()
	hash := func() string {
		t.Helper()
		out := b.must("7.0.0", upgradeArgs("--plan", "--output", "json")...).stdout
		_, rest, _ := strings.Cut(out, `"hash":"`)
		is, _, _ := strings.Cut(rest, `"`)
		return is
	}
	first := hash()
	b.MustExec("systemctl", "restart", "ss6-worker@default")
	b.oldServes(recoveryTime)
	if again := hash(); first == "" || again != first {
		t.Errorf("the hash of the plan was %q and is %q", first, again)
	}

	b.must("7.0.0", upgradeArgs()...)
	b.serves(recoveryTime, "7.0.0")
	b.annaLogsIn(hostKey)
	if out, _, _ := b.Exec(context.Background(), "systemctl", "is-active", "ss6-webrest", "ss6-worker@default"); strings.Contains(out, "\nactive") || strings.HasPrefix(out, "active") {
		t.Errorf("version 6 is %s", out)
	}
	b.must("7.0.0", "rollback", "--yes", "--health-timeout", healthTimeout.String())
	b.oldServes(recoveryTime)
	b.settled(recoveryTime)
	if d := oldDifference(snapshot.Diff(before, b.look())); len(d) > 0 {
		t.Errorf("after the rollback:\n%s", strings.Join(d, "\n"))
	}
}

// oldDifference leaves out what a rollback keeps: data, configuration and users' files.
func oldDifference(d []string) []string {
	var out []string
	for _, line := range d {
		ours := false
		for _, kept := range []string{"/var/lib/ss-", "/etc/ss-server", "/srv/", "/usr/bin/ss-setup", "account ", "/etc/.pwd.lock"} {
			ours = ours || strings.Contains(line, kept)
		}
		if !ours {
			out = append(out, line)
		}
	}
	return out
}

func TestAnUpgradeThatCannotBeIsRefusedBeforeAnythingStops(t *testing.T) {
	b := oldMachine(t, lab.Options{}, "--lossy", "--wide")
	before := b.look()
	refused := func(what string, code int, args []string, words ...string) {
		t.Helper()
		r := b.want(code, "7.0.0", args...)
		for _, w := range words {
			if !strings.Contains(r.stderr, w) {
				t.Errorf("%s: it does not say %q: %s", what, w, r)
			}
		}
		if err := b.askOld(); err != nil {
			t.Errorf("%s: version 6: %v", what, err)
		}
		b.same(before, what)
	}
	refused("losses", 7, upgradeArgs(), "lost or not as before", "secretive", "everywhere", "accept_drops: true")
	b.MustExec("sh", "-c", "sed 's/an old secret/a wrong one/' /root/answers.yaml > /root/wrong.yaml; chmod 600 /root/wrong.yaml")
	before = b.look()
	refused("a wrong password", 7, []string{"install", "-S", "--answers", "/root/wrong.yaml"}, "refuses the log-in", "--import FILE", "systemctl disable --now ss6-webrest ss6-worker", "-F")
	refused("no password", 7, []string{"install", "-S"}, "SS_SETUP_V6_PASSWORD")
	refused("force", 7, []string{"install", "-S", "-F"}, "version 6 is not stopped and disabled: ss6-webrest, ss6-worker", "systemctl disable --now ss6-webrest ss6-worker")
	refused("something else", 7, []string{"install", "-S", "--import", "/etc/passwd"}, "/etc/passwd cannot be imported")

	// A backup that lies about is named with its age, and taken when it is named.
	b.MustExec("sh", "-c", "sed -i 's/\"mute\": false/\"mute\": true/' /opt/Syncplify/ServerV6/data/config.json; curl -sk -H 'Authorization: Bearer a token' https://127.0.0.1:6443/api/v1/sa/backup -o /root/kept.zip; systemctl restart ss6-webrest")
	b.oldServes(recoveryTime)
	before = b.look()
	refused("no backup", 7, upgradeArgs(), "does not give its backup", "/root/kept.zip", "minutes old")
	b.must("7.0.0", upgradeArgs("--accept-drops", "--import", "/root/kept.zip")...)
	b.serves(recoveryTime, "7.0.0")
	b.oldLeft()
	if _, err := b.sftp(oldPort, ssh.Password(oldUserPassword), writeLetter); err != nil {
		t.Error(err)
	}
}

// TestAUserOfTheWholeMachineIsNotLostUnasked: version 7 lets no user into its own folders,
// so that one whose files are the whole machine cannot come along.
func TestAUserOfTheWholeMachineIsNotLostUnasked(t *testing.T) {
	b := oldMachine(t, lab.Options{}, "--wide")
	hostKey := b.oldHostKey()
	before := b.look()
	r := b.want(7, "7.0.0", upgradeArgs()...)
	for _, words := range []string{"everywhere", "accept_drops: true"} {
		if !strings.Contains(r.stderr, words) {
			t.Errorf("it does not say %q: %s", words, r)
		}
	}
	if err := b.askOld(); err != nil {
		t.Errorf("version 6: %v", err)
	}
	b.same(before, "a loss that nobody agreed to")

	b.must("7.0.0", upgradeArgs("--accept-drops")...)
	b.serves(recoveryTime, "7.0.0")
	b.annaLogsIn(hostKey)
	if err := b.newLogin("everywhere"); err == nil {
		t.Error("a user of the whole machine logs in to version 7")
	}
}

// TestFilesThatVersion7MayNotUseAreToldBeforeAnythingStops: version 6 ran as root, and its
// users' files are root's.
func TestFilesThatVersion7MayNotUseAreToldBeforeAnythingStops(t *testing.T) {
	b := oldMachine(t, lab.Options{}, "--closed")
	hostKey := b.oldHostKey()
	r := b.want(7, "7.0.0", upgradeArgs()...)
	const cure = "setfacl -R -m u:ss-server:rwX,d:u:ss-server:rwX /srv/old-files"
	if !strings.Contains(r.stderr, "may not read and write in its folder") {
		t.Errorf("%s", r)
	}
	b.mustUnattended("cat /var/log/ss-setup/import-*.txt", cure)
	if err := b.askOld(); err != nil {
		t.Error(err)
	}
	b.must("7.0.0", upgradeArgs("--accept-drops")...)
	b.serves(recoveryTime, "7.0.0")
	b.MustExec("chmod", "777", "/srv/old-files") // the machine has no setfacl
	b.annaLogsIn(hostKey)
}

// TestWhoIsLockedOutOfVersion6DuringItsUpgradeStaysOut: what was changed since the export
// comes along.
func TestWhoIsLockedOutOfVersion6DuringItsUpgradeStaysOut(t *testing.T) {
	b := oldMachine(t, lab.Options{}, "--leaving", "bert")
	hostKey := b.oldHostKey()
	b.must("7.0.0", upgradeArgs()...)
	b.serves(recoveryTime, "7.0.0")
	b.annaLogsIn(hostKey)
	if err := b.newLogin("bert"); err == nil {
		t.Error("bert, who was disabled in version 6, logs in")
	}
}

// newLogin logs a user of version 6 in to version 7, with the password that all of them have.
func (b *box) newLogin(name string) error {
	b.t.Helper()
	conn, err := b.Dial(b.t.Context(), "tcp", fmt.Sprintf("127.0.0.1:%d", oldPort))
	if err != nil {
		b.t.Fatal(err)
	}
	defer conn.Close()
	c, _, _, err := ssh.NewClientConn(conn, "new", &ssh.ClientConfig{
		User: name, Auth: []ssh.AuthMethod{ssh.Password(oldUserPassword)}, HostKeyCallback: ssh.InsecureIgnoreHostKey(),
	})
	if err == nil {
		c.Close()
	}
	return err
}

func TestABackupIsImportedByTheInstallOfAFreshMachine(t *testing.T) {
	old := oldMachine(t, lab.Options{})
	old.MustExec("sh", "-c", "curl -sk -H 'Authorization: Bearer a token' https://127.0.0.1:6443/api/v1/sa/backup -o /root/kept.zip")
	backup, err := old.ReadFile("/root/kept.zip")
	if err != nil {
		t.Fatal(err)
	}
	b := boot(t, lab.Options{}, "7.0.0")
	if err := b.WriteFile("/root/old.zip", backup, 0o600); err != nil {
		t.Fatal(err)
	}
	b.MustExec("sh", "-c", "mkdir -m 777 /srv/old-files; echo x > /srv/old-files/report.txt; printf 'import: /root/old.zip\n' > /root/answers.yaml")
	out := b.must("7.0.0", upgradeArgs("--output", "json")...).stdout
	if strings.Contains(out, `"setup_code"`) {
		t.Errorf("a setup code was made for a server that has SuperAdmins: %s", out)
	}
	b.serves(recoveryTime, "7.0.0")
	if _, err := b.sftp(oldPort, ssh.PublicKeys(old.key), writeLetter); err != nil {
		t.Error(err)
	}
	if r := b.must("7.0.0", upgradeArgs("--output", "json")...); !strings.Contains(r.stdout, "ss-server import /root/old.zip") {
		t.Errorf("a second time: %s", r)
	}
	// A backup of version 7 comes back the same way.
	b.mustUnattended("ss-server backup /root/new.zip")
	b.must("7.0.0", "install", "-S", "-F", "--yes", "--import", "/root/new.zip")
	b.serves(recoveryTime, "7.0.0")
	if _, err := b.sftp(oldPort, ssh.Password(oldUserPassword), readLetter); err != nil {
		t.Error(err)
	}
}

// savedOld is a machine with version 6, made once.
func savedOld(t *testing.T) string {
	t.Helper()
	saved.Lock()
	defer saved.Unlock()
	if dir, done := saved.dirs["old"]; done {
		return dir
	}
	dir, err := os.MkdirTemp(savedDir, "machine-")
	if err != nil {
		t.Fatal(err)
	}
	dir = filepath.Join(dir, "saved")
	b := oldMachine(t, lab.Options{})
	b.Stop()
	b.Save(dir)
	b.Remove()
	saved.dirs["old"] = dir
	return dir
}

func fromOld(t *testing.T) *oldBox {
	t.Helper()
	b := oldMachine(t, lab.Options{From: savedOld(t)})
	b.oldServes(recoveryTime)
	return b
}

// TestAKilledUpgradeLeavesVersion6Or7Serving kills upgrades at crash points. Nobody
// reboots and nobody runs anything.
func TestAKilledUpgradeLeavesVersion6Or7Serving(t *testing.T) {
	probe := fromOld(t)
	total, guarded := probe.points(upgrade)
	probe.Remove()
	b := fromOld(t)
	cases := 0
	for point := 1; point <= total; point += upgradeShare {
		before := b.look()
		if code := b.killed(upgrade, point); code == 0 {
			t.Fatalf("point %d of %d never came", point, total)
		}
		b.eitherServes(recoveryTime)
		if point < guarded {
			b.must("7.0.0", "recover")
		}
		b.settled(recoveryTime)
		cases++
		if served := b.eitherServes(recoveryTime); served == oldVersion {
			b.same(before, fmt.Sprintf("upgrade killed at point %d", point))
			continue
		}
		b.oldLeft()
		b.must("7.0.0", "verify")
		if _, err := b.sftp(oldPort, ssh.Password(oldUserPassword), writeLetter); err != nil {
			t.Errorf("killed at point %d: %v", point, err)
		}
		b.Remove()
		b = fromOld(t)
	}
	count(t, "upgrades of version 6 killed", cases)
}

var backToOld = verb{"rollback to version 6", "7.0.0", []string{"rollback", "-S", "--yes", "--health-timeout", healthTimeout.String()}, oldVersion}

// TestAKilledWayBackToVersion6LeavesVersion6Or7Serving kills rollbacks at crash points.
func TestAKilledWayBackToVersion6LeavesVersion6Or7Serving(t *testing.T) {
	b := fromOld(t)
	b.must("7.0.0", upgradeArgs()...)
	b.serves(recoveryTime, "7.0.0")
	total, guarded := b.points(backToOld)
	b.oldServes(recoveryTime)
	cases := 0
	for point := 1; point <= total; point += upgradeShare {
		if b.eitherServes(recoveryTime) == oldVersion {
			b.must("7.0.0", upgradeArgs("--yes")...)
			b.serves(recoveryTime, "7.0.0")
		}
		if code := b.killed(backToOld, point); code == 0 {
			t.Fatalf("point %d of %d never came", point, total)
		}
		b.eitherServes(recoveryTime)
		if point < guarded {
			b.must("7.0.0", "recover")
		}
		b.settled(recoveryTime)
		cases++
		switch served := b.eitherServes(recoveryTime); served {
		case oldVersion:
			if out, _, _ := b.Exec(context.Background(), "systemctl", "is-enabled", "ss6-webrest", "ss6-worker"); strings.Count(out, "enabled") != 2 {
				t.Errorf("killed at point %d: version 6 serves and is %s", point, out)
			}
		default:
			b.oldLeft()
			b.must("7.0.0", "verify")
		}
	}
	count(t, "rollbacks to version 6 killed", cases)
}

// TestAPowerCutDuringAnUpgradeLeavesVersion6Or7 cuts upgrades and ways back, while they write
// and at points of the plan. Every second machine has a disk of its own for the programs.
func TestAPowerCutDuringAnUpgradeLeavesVersion6Or7(t *testing.T) {
	probe := fromOld(t)
	upgradePoints, _ := probe.points(upgrade)
	probe.serves(recoveryTime, "7.0.0")
	backPoints, _ := probe.points(backToOld)
	probe.Remove()
	rng := mathrand.New(mathrand.NewPCG(20261122, 1))
	for cut := range upgradeCuts {
		c := upgradeCut{v: upgrade, point: 1 + rng.IntN(upgradePoints), killed: cut%2 == 1, order: lab.SystemFirst}
		if cut%3 == 2 {
			c.v, c.point = backToOld, 1+rng.IntN(backPoints)
		}
		c.late = time.Duration(rng.IntN(100)) * time.Millisecond
		o := lab.Options{}
		if cut%4 >= 2 {
			o.OptDisk = "320M"
			c.gap = time.Duration(rng.IntN(5)) * time.Millisecond
			if rng.IntN(2) == 0 {
				c.order = lab.OptFirst
			}
		}
		t.Run(fmt.Sprint(cut), func(t *testing.T) { c.run(t, o) })
	}
	if !t.Failed() {
		count(t, "power cuts of upgrades of version 6", upgradeCuts)
	}
}

// upgradeCut is one power cut.
type upgradeCut struct {
	// v is the upgrade or the way back to version 6.
	v verb
	// point of the run at which it happens.
	point int
	// killed: the run is killed there before, and its guard is at work; else it is writing
	// itself, and has been for as long as late says.
	killed bool
	late   time.Duration
	order  lab.Order
	gap    time.Duration
}

// reaches has a verb run until it has come to a point, and goes on meanwhile.
func (b *box) reaches(v verb, point int) {
	b.t.Helper()
	const log = "/run/points.log" // in memory: it takes nothing from the disk
	p := b.SpawnCommand(lab.Command{
		Args: append([]string{program(v.release)}, v.args...),
		Env:  []string{"SS_SETUP_FAULT_LOG=" + log},
	})
	for want := fmt.Sprintf("point %d ", point); ; time.Sleep(5 * time.Millisecond) {
		var ended bool
		select {
		case <-p.Done():
			ended = true
		default:
		}
		if text, err := b.ReadFile(log); err == nil && strings.Contains(string(text), want) {
			return
		}
		if ended {
			stdout, stderr, code := p.Wait()
			b.t.Fatalf("%s never came to point %d: exit %d\n%s%s", v.name, point, code, stdout, stderr)
		}
	}
}

func (c upgradeCut) run(t *testing.T, o lab.Options) {
	b := oldMachine(t, o)
	if c.v.name == backToOld.name {
		b.must("7.0.0", upgradeArgs()...)
		b.serves(recoveryTime, "7.0.0")
	}
	b.Sync()
	before := b.look()
	how := fmt.Sprintf("after a kill at point %d", c.point)
	if c.killed {
		if code := b.killed(c.v, c.point); code == 0 {
			t.Fatalf("%s never came to point %d", c.v.name, c.point)
		}
	} else {
		how = fmt.Sprintf("%s after point %d", c.late, c.point)
		b.reaches(c.v, c.point)
		time.Sleep(c.late)
	}
	b.Kill9(c.order, c.gap)
	b.Start()
	b.eitherServes(recoveryTime + 10*time.Second)
	b.settled(recoveryTime)
	served := b.eitherServes(recoveryTime)
	t.Logf("%s cut %s: %s serves", c.v.name, how, served)
	switch {
	case served != oldVersion:
		b.oldLeft()
		b.must("7.0.0", "verify")
	case c.v.name == upgrade.name:
		b.same(before, c.v.name+" cut "+how)
	}
}
