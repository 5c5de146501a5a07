//go:build linux && lab

package endtoend

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"

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

// withAnswers makes a machine with an answers file; key is the first user's.
func withAnswers(t *testing.T, change func(string) string) (b *box, key ssh.Signer) {
	t.Helper()
	b = boot(t, lab.Options{}, "7.0.0")
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if key, err = ssh.NewSignerFromKey(private); err != nil {
		t.Fatal(err)
	}
	line := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key.PublicKey())))
	b.MustExec("sh", "-c", "umask 077; cat > /root/answers.yaml <<'END'\n"+change(strings.ReplaceAll(firstSite, "KEY", line))+"END\n")
	return b, key
}

// sftp logs anna in and does something; hostKey is what the server proved itself with.
func (b *box) sftp(port int, auth ssh.AuthMethod, do func(*sftp.Client) error) (hostKey string, err error) {
	address := fmt.Sprintf("127.0.0.1:%d", port)
	conn, err := b.Dial(context.Background(), "tcp", address)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	c, channels, requests, err := ssh.NewClientConn(conn, address, &ssh.ClientConfig{
		User: "anna", Auth: []ssh.AuthMethod{auth}, HostKeyCallback: func(_ string, _ net.Addr, key ssh.PublicKey) error {
			hostKey = ssh.FingerprintSHA256(key)
			return nil
		},
	})
	if err != nil {
		return hostKey, err
	}
	client, err := sftp.NewClient(ssh.NewClient(c, channels, requests))
	if err != nil {
		return hostKey, err
	}
	defer client.Close()
	return hostKey, do(client)
}

const letter = "what anna keeps here"

func writeLetter(c *sftp.Client) error {
	f, err := c.Create("/letter")
	if err != nil {
		return err
	}
	if _, err := f.Write([]byte(letter)); err != nil {
		return err
	}
	return f.Close()
}

func readLetter(c *sftp.Client) error {
	f, err := c.Open("/letter")
	if err != nil {
		return err
	}
	defer f.Close()
	text := make([]byte, len(letter)+1)
	if n, _ := f.Read(text); string(text[:n]) != letter {
		return fmt.Errorf("the letter is %q", text[:n])
	}
	return nil
}

func TestAnUnattendedInstallEndsWithASiteAndAUserWhoLogsIn(t *testing.T) {
	b, key := withAnswers(t, func(s string) string { return s })
	plan := b.must("7.0.0", "install", "--answers", "/root/answers.yaml", "--plan", "--output", "json").stdout
	if strings.Contains(plan, "correct horse") || !strings.Contains(plan, "set the server up with SuperAdmin sa, site main and user anna") {
		t.Errorf("the plan is %s", plan)
	}
	r := b.must("7.0.0", "install", "-S", "--answers", "/root/answers.yaml", "--save-answers", "/root/saved.yaml", "--output", "json")
	for _, want := range []string{`"set_up":{"node":"romantic-lovelace","superadmin":"sa","site":"main","port":22`, `"serving":true`} {
		if !strings.Contains(r.stdout, want) {
			t.Errorf("the result has not %s:\n%s", want, r)
		}
	}
	if strings.Contains(r.stdout, `"setup_code"`) {
		t.Errorf("a setup code was made for a server that is set up:\n%s", r)
	}
	b.serves(recoveryTime, "7.0.0")
	hostKey, err := b.sftp(22, ssh.PublicKeys(key), writeLetter)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.sftp(22, ssh.Password("battery staple"), readLetter); err != nil {
		t.Error(err)
	}
	if r := b.unattended("grep -rq '" + letter + "' /srv/ss-server/main"); r.code != 1 {
		t.Errorf("the letter lies there in clear: %s", r)
	}
	// The passwords are nowhere.
	if r := b.unattended("grep -rlE 'correct horse|battery staple' /var/lib /var/log /etc /opt /srv /run; journalctl --no-pager | grep -E 'correct horse|battery staple'"); r.stdout != "" {
		t.Errorf("a password is in %s", r)
	}
	// A second time changes nothing and says so, also with what was saved.
	for _, file := range []string{"/root/answers.yaml", "/root/saved.yaml"} {
		if out := b.must("7.0.0", "install", "-S", "--answers", file, "--output", "json").stdout; !strings.Contains(out, `"outcome":"nothing"`) {
			t.Errorf("again with %s: %s", file, out)
		}
	}
	saved := b.MustExec("cat", "/root/saved.yaml")
	if strings.Count(saved, ` "$argon2id$`) != 2 || strings.Contains(saved, "correct horse") || strings.Contains(saved, "battery staple") {
		t.Errorf("saved was:\n%s", saved)
	}
	for _, command := range []string{"ss-setup status", "ss-server status"} {
		b.mustUnattended(command, "main", "listens")
	}
	b.mustUnattended("ss-server setup --answers /root/answers.yaml", "is set up already; nothing was changed")

	// What was set up comes back with a backup, on a server that was made anew.
	b.mustUnattended("echo 'quite a long one' > /root/words; ss-server backup /root/backup.zip --passphrase-file /root/words")
	b.must("7.0.0", "install", "-S", "-F", "--yes")
	b.serves(recoveryTime, "7.0.0")
	if _, err := b.sftp(22, ssh.PublicKeys(key), readLetter); err == nil {
		t.Error("anna is on the empty server")
	}
	b.mustUnattended("ss-server restore /root/backup.zip --passphrase-file /root/words", "objects of \"romantic-lovelace\" are in force")
	b.serves(recoveryTime, "7.0.0")
	if again, err := b.sftp(22, ssh.PublicKeys(key), readLetter); err != nil || again != hostKey {
		t.Errorf("after the restore: %v; the host key was %s, is %s", err, hostKey, again)
	}
}

// TestAFirstSetUpThatFailsPutsTheInstallationBack: its folder is the server's own.
func TestAFirstSetUpThatFailsPutsTheInstallationBack(t *testing.T) {
	b, _ := withAnswers(t, func(s string) string {
		return strings.Replace(s, "first_site:\n", "first_site:\n  folder: /var/lib/ss-server/files\n", 1)
	})
	before := b.look()
	r := b.want(1, "7.0.0", "install", "-S", "--answers", "/root/answers.yaml")
	if !strings.Contains(r.stderr, "first_site.folder: folder cannot hold a VFS") || !strings.Contains(r.stderr, "everything was put back") {
		t.Errorf("%s", r)
	}
	b.same(before, "a set-up that failed")
	// A taken port is told of by the checks before anything is done.
	b.MustExec("sh", "-c", "sed -i 's|/var/lib/ss-server/files|/srv/ss-server/main|' /root/answers.yaml; systemd-run -u taken perl -MIO::Socket::INET -e 'push @kept, IO::Socket::INET->new(Listen=>1,LocalPort=>2022); sleep 600'; sleep 2")
	r = b.want(7, "7.0.0", "install", "-S", "--answers", "/root/answers.yaml", "--sftp-port", "2022")
	if !strings.Contains(r.stderr, "port 2022, which SFTP is to listen on, is taken by perl") || !strings.Contains(r.stderr, "--sftp-port 2023") {
		t.Errorf("%s", r)
	}
}
