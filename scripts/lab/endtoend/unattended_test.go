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
