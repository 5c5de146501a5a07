//go:build linux && lab

package endtoend

import (
	"strings"
	"testing"
	"time"

	"ss-setup/scripts/lab"
)

func TestALicenseServerIsShownAsInaccessibleUntilItAnswers(t *testing.T) {
	b := boot(t, lab.Options{}, "7.0.0")
	b.MustExec("sh", "-c", "printf 'license_mode: client\nlicense_server: 127.0.0.1:4711\n' > /root/answers.yaml")
	out := b.must("7.0.0", "install", "--answers", "/root/answers.yaml").stdout
	if !strings.Contains(out, "License server   127.0.0.1:4711   inaccessible") {
		t.Errorf("the final screen does not tell it:\n%s", out)
	}
	b.serves(recoveryTime, "7.0.0")
	if out := b.MustExec("lmu"); !strings.Contains(out, "License server  127.0.0.1:4711 inaccessible") {
		t.Errorf("lmu does not tell it:\n%s", out)
	}
	// Its own license daemon is one too.
	b.MustExec("sh", "-c", "sed -i s/4711/2380/ /etc/ss-server/licensed.toml; systemctl restart ss-licensed")
	for end := time.Now().Add(recoveryTime); ; time.Sleep(100 * time.Millisecond) {
		if out, _, _ := b.Exec(t.Context(), "lmu"); strings.Contains(out, "127.0.0.1:2380 reachable") {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("it is never reachable:\n%s", b.MustExec("lmu"))
		}
	}
}

func TestAnArchiveForSupportHoldsNoSecretOfARunningMachine(t *testing.T) {
	b := from(t, lab.Options{}, "7.0.0")
	b.serves(recoveryTime, "7.0.0")
	code := strings.TrimSpace(b.mustUnattended("ss-server genssc | grep -oE '[A-Z2-9]{4}-[A-Z2-9]{4}'").stdout)
	b.MustExec("sh", "-c", "logger -t ss-server 'setup code "+code+" password=sesame'; echo \"code "+code+" token: sesame\" >> /var/log/ss-setup/x.log; journalctl --sync")
	b.MustExec("ss-setup", "support-bundle", "--output", "/root/support.tar.gz")
	b.MustExec("sh", "-c", "mkdir /root/s && tar -xzf /root/support.tar.gz -C /root/s --strip-components 1")
	b.MustExec("sh", "-c", "cd /root/s && ls about.txt status.json verify.json preflight.json setup/receipts/1.json logs/ss-setup/x.log services/ss-server.journal.txt services/ss-server.status.txt versions/ss-server.txt license.json system/mounts system/os-release files.txt")
	for _, secret := range []string{code, "sesame"} {
		if r := b.unattended("grep -r " + secret + " /root/s"); r.code != 1 {
			t.Errorf("%q is in it: %s", secret, r)
		}
	}
	if r := b.unattended("grep -r -f /var/lib/ss-server/probe.key /root/s"); r.code != 1 {
		t.Errorf("the probe key is in it: %s", r)
	}
	if out := b.mustUnattended("find /root/s -name '*.db' -o -name '*.pem' -o -name '*.key'").stdout; out != "" {
		t.Errorf("it has %s", out)
	}
	// Without its receipts and its link the machine is described all the same.
	b.MustExec("sh", "-c", "rm -r /var/lib/ss-setup/receipts; rm /opt/ss-server/current; echo junk > /var/lib/ss-setup/state.json")
	b.mustUnattended("/bundles/7.0.0/ss-setup support-bundle --output /root/broken.tar.gz", "not in the archive: status.json")
	b.mustUnattended("tar -tzf /root/broken.tar.gz", "errors.txt", "services/ss-server.journal.txt")
}

// firstSite is a whole set-up; KEY is the public key of the first user.
const firstSite = `node_id: romantic-lovelace
recovery_email: sa@example.com
superadmin:
  password: correct horse
first_site:
  encrypted: true
  user:
    name: anna
    password: battery staple
    public_keys:
      - KEY
`

// withAnswers makes a machine with sftp's key of root and an answers file with it.
func withAnswers(t *testing.T, change func(string) string) *box {
	t.Helper()
	b := boot(t, lab.Options{}, "7.0.0")
	b.MustExec("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "/root/key")
	text := strings.ReplaceAll(firstSite, "KEY", strings.TrimSpace(b.MustExec("cat", "/root/key.pub")))
	b.MustExec("sh", "-c", "umask 077; cat > /root/answers.yaml <<'END'\n"+change(text)+"END\n")
	return b
}

func TestAnUnattendedInstallEndsWithASiteAndAUserWhoLogsIn(t *testing.T) {
	b := withAnswers(t, func(s string) string { return s })
	before := b.must("7.0.0", "install", "--answers", "/root/answers.yaml", "--plan", "--output", "json").stdout
	if strings.Contains(before, "correct horse") || !strings.Contains(before, "set the server up with SuperAdmin sa, site main and user anna") {
		t.Errorf("the plan is %s", before)
	}
	r := b.must("7.0.0", "install", "-S", "--answers", "/root/answers.yaml", "--output", "json")
	for _, want := range []string{`"set_up":{"node":"romantic-lovelace","superadmin":"sa","site":"main","port":22`, `"serving":true`} {
		if !strings.Contains(r.stdout, want) {
			t.Errorf("the result has not %s:\n%s", want, r)
		}
	}
	if strings.Contains(r.stdout, "setup_code") {
		t.Errorf("a setup code was made for a server that is set up:\n%s", r)
	}
	b.serves(recoveryTime, "7.0.0")
	sftp := "sftp -q -b - -i /root/key -o BatchMode=yes -o StrictHostKeyChecking=accept-new -P 22 anna@127.0.0.1"
	b.mustUnattended("cp /etc/hostname /root/file; printf 'put /root/file\nget file /root/back\n' | " + sftp + " && cmp /root/file /root/back")
	if r := b.unattended("grep -rq \"$(cat /etc/hostname)\" /srv/ss-server/main"); r.code != 1 {
		t.Errorf("the file lies there in clear: %s", r)
	}
	// The passwords are nowhere.
	if r := b.unattended("grep -rlE 'correct horse|battery staple' /var/lib /var/log /etc /opt /srv /run; journalctl --no-pager | grep -E 'correct horse|battery staple'"); r.stdout != "" {
		t.Errorf("a password is in %s", r)
	}
	// A second time changes nothing and says so.
	if out := b.must("7.0.0", "install", "-S", "--answers", "/root/answers.yaml", "--output", "json").stdout; !strings.Contains(out, `"outcome":"nothing"`) {
		t.Errorf("again: %s", out)
	}
	b.mustUnattended("ss-server setup --answers /root/answers.yaml", "is set up already; nothing was changed")

	// What was set up survives a backup that is restored: on a machine that was made anew.
	b.mustUnattended("echo 'quite a long one' > /root/words; ss-server backup /root/backup.zip --passphrase-file /root/words")
	b.must("7.0.0", "install", "-S", "-F", "--yes")
	b.serves(recoveryTime, "7.0.0")
	if r := b.unattended("true | " + sftp); r.code == 0 {
		t.Error("anna is on the empty server")
	}
	b.mustUnattended("ss-server restore /root/backup.zip --passphrase-file /root/words", "objects of \"romantic-lovelace\" are in force")
	b.serves(recoveryTime, "7.0.0")
	b.mustUnattended("printf 'get file /root/again\n' | " + sftp + " && cmp /root/file /root/again")
}

// TestAFirstSetUpThatFailsPutsTheInstallationBack: the port is another program's.
func TestAFirstSetUpThatFailsPutsTheInstallationBack(t *testing.T) {
	b := withAnswers(t, func(s string) string {
		return strings.Replace(s, "first_site:\n", "first_site:\n  folder: /var/lib/ss-server/files\n", 1)
	})
	before := b.look()
	r := b.want(1, "7.0.0", "install", "-S", "--answers", "/root/answers.yaml")
	if !strings.Contains(r.stderr, "first_site.folder: folder cannot hold a VFS") || !strings.Contains(r.stderr, "everything was put back") {
		t.Errorf("%s", r)
	}
	b.same(before, "a set-up that failed")
	// A taken port is told of by the checks before anything is done.
	b.MustExec("sh", "-c", "sed -i 's|/var/lib/ss-server/files|/srv/ss-server/main|' /root/answers.yaml; systemd-run -u taken perl -MIO::Socket::INET -e 'IO::Socket::INET->new(Listen=>1,LocalPort=>2022) or die; sleep 600'; sleep 1")
	r = b.want(7, "7.0.0", "install", "-S", "--answers", "/root/answers.yaml", "--sftp-port", "2022")
	if !strings.Contains(r.stderr, "port 2022, which SFTP is to listen on, is taken by perl") || !strings.Contains(r.stderr, "--sftp-port 2023") {
		t.Errorf("%s", r)
	}
	b.same(before, "a port that is taken")
}
