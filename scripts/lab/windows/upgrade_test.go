//go:build linux && lab

package windows

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"ss-setup/scripts/lab"
)

// What the stand-in for version 6 knows: scripts/lab/ss6.
const (
	oldVersion      = "6.2.60"
	oldSuperAdmin   = "SS_SETUP_V6_PASSWORD=an old secret"
	oldUserPassword = "battery staple"
	oldPort         = 2222
)

var oldServices = []string{"ss6-webrest", "ss6-worker"}

// bootOld makes a machine on which version 6 serves, installed with those flags.
func bootOld(t *testing.T, flags []string, releases ...string) *box {
	t.Helper()
	b := boot(t, releases...)
	program := filepath.Join(t.TempDir(), "ss6.exe")
	buildForWindows(t, "build", "-o", program, "ss-setup/scripts/lab/ss6")
	b.Copy(program, drive+"/ss6.exe")
	if out, errs, code := b.run(nil, `C:\ss6.exe`, append([]string{"install", "--sftp-port", fmt.Sprint(oldPort)}, flags...)...); code != 0 {
		t.Fatalf("install the old server: %d %s%s", code, out, errs)
	}
	b.oldServes()
	return b
}

// askOld asks version 6 who it is, and logs a user in.
func (b *box) askOld() error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
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
	conn, err := b.Dial(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", oldPort))
	if err != nil {
		return err
	}
	defer conn.Close()
	c, _, _, err := ssh.NewClientConn(conn, "old", &ssh.ClientConfig{
		User: "anna", Auth: []ssh.AuthMethod{ssh.Password(oldUserPassword)}, HostKeyCallback: func(string, net.Addr, ssh.PublicKey) error { return nil },
	})
	if err != nil {
		return err
	}
	return c.Close()
}

func (b *box) oldServes() {
	b.t.Helper()
	var err error
	for end := time.Now().Add(recoveryTime); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if err = b.askOld(); err == nil {
			return
		}
	}
	b.t.Fatalf("version 6 does not serve: %v\n%s", err, b.logs())
}

// eitherServes waits until version 6 or 7 serves, and tells which.
func (b *box) eitherServes() string {
	b.t.Helper()
	for end := time.Now().Add(recoveryTime); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if b.askOld() == nil {
			return oldVersion
		}
		if h, err := b.health(); err == nil && h.Ready && h.Open {
			return h.Version
		}
	}
	b.t.Fatalf("neither version 6 nor 7 serves\n%s", b.logs())
	return ""
}

// oldStarts tells how the services of version 6 start: 0x2 with the machine, 0x4 not.
func (b *box) oldStarts(how string) {
	b.t.Helper()
	for _, name := range oldServices {
		if is := b.value(servicesKey+name, "Start"); is != how {
			b.t.Errorf("%s starts by %s, not %s", name, is, how)
		}
	}
}

func (b *box) annaLogsIn() {
	b.t.Helper()
	var err error
	for end := time.Now().Add(recoveryTime); time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
		c, failed := lab.SFTP(b.t.Context(), b.Dial, fmt.Sprintf("127.0.0.1:%d", oldPort), "anna", oldUserPassword)
		if err = failed; err != nil {
			continue
		}
		defer c.Close()
		if err = upload(c, "letter", "from anna"); err == nil {
			return
		}
	}
	b.t.Fatalf("anna: %v\n%s", err, b.logs())
}

// TestVersion6IsUpgradedInPlaceAndGoneBackTo: its users are served by a program that does not
// end with the service, and bob is disabled while the upgrade runs.
func TestVersion6IsUpgradedInPlaceAndGoneBackTo(t *testing.T) {
	b := bootOld(t, []string{"--outliving", "--leaving", "bob"}, "7.0.0")
	r := b.want(checkFailed, setupOf("7.0.0"), "install")
	if !strings.Contains(r.Message, "SS_SETUP_V6_PASSWORD") {
		t.Errorf("it does not say what is needed: %s", r)
	}
	r = b.want(checkFailed, setupOf("7.0.0"), "install", "-F")
	if !strings.Contains(r.Message, "ss6-webrest, ss6-worker") {
		t.Errorf("it does not name the services: %s", r)
	}
	b.oldServes()
	b.oldStarts("0x2")
	b.upgrade(done, "7.0.0")
	b.serves("7.0.0")
	b.settled()
	b.oldStarts("0x4")
	if how := b.value(servicesKey+"ss-server", "Start"); how != "0x2" {
		t.Errorf("version 7 starts by %s", how)
	}
	b.annaLogsIn()
	if c, err := lab.SFTP(t.Context(), b.Dial, fmt.Sprintf("127.0.0.1:%d", oldPort), "bob", oldUserPassword); err == nil {
		c.Close()
		t.Error("bob, whom version 6 has disabled, logs in")
	}
	b.verified()
	b.restart()
	b.serves("7.0.0")
	b.annaLogsIn()

	b.want(done, installed, "rollback", "--yes")
	b.oldServes()
	b.oldStarts("0x2")
	if b.registered(servicesKey + "ss-server") {
		t.Error("version 7 is still registered")
	}
	b.settled()
	b.restart()
	b.oldServes()
}

// upgrade upgrades with the SuperAdmin's password in the environment.
func (b *box) upgrade(code int, release string) {
	b.t.Helper()
	if r := b.setupWith([]string{oldSuperAdmin}, setupOf(release), "install"); r.code != code {
		b.t.Fatalf("upgrade to %s: want exit %d, got %s\n%s", release, code, r, b.logs())
	}
}

func TestAnUpgradeThatFailsLeavesVersion6Serving(t *testing.T) {
	b := bootOld(t, nil, "7.0.2-exit", "7.0.2-wrong-version", "7.0.2-migrate-fails")
	b.MustExec("mkdir", "-m", "775", drive+"/ProgramData/SS Server") // it stays with the log of a run that failed
	before := b.look()
	for _, bad := range []string{"7.0.2-migrate-fails", "7.0.2-exit", "7.0.2-wrong-version"} {
		t.Run(bad, func(t *testing.T) {
			b.t = t
			b.upgrade(putBack, bad)
			b.oldServes()
			b.oldStarts("0x2")
			b.settled()
			after := b.look()
			if d := differs(state{files: before}, state{files: after}); d != "" {
				t.Errorf("the machine is not as before:\n%s", d)
			}
		})
	}
}

func TestEveryKilledUpgradeOfVersion6IsFinishedOrUndone(t *testing.T) {
	b := bootOld(t, nil, "7.0.0")
	log := `C:\points.log`
	if r := b.setupWith([]string{oldSuperAdmin, "SS_SETUP_FAULT_LOG=" + log}, setupOf("7.0.0"), "install"); r.code != done {
		t.Fatalf("%s\n%s", r, b.logs())
	}
	points := strings.Count(b.MustExec("cat", drive+"/points.log"), "point ")
	b.want(done, installed, "rollback", "--yes")
	for i := range oldKills {
		at := points - points/50 - i*points/oldKills // from its end, so that one of few is past the commit
		t.Run(fmt.Sprintf("killed at %d of %d", at, points), func(t *testing.T) {
			b.t = t
			r := b.setupWith([]string{oldSuperAdmin, fmt.Sprintf("SS_SETUP_FAULT=kill:point:%d", at)}, setupOf("7.0.0"), "install", "--yes")
			if r.code != killed {
				t.Fatalf("it was not killed: %s", r)
			}
			b.restarted = i%3 == 1
			switch i % 3 {
			case 1:
				b.restart()
			case 2:
				if out, errs, code := b.run(nil, setupOf("7.0.0"), "recover", "--output", "plain"); code != 0 {
					t.Errorf("recover: %d %s%s", code, out, errs)
				}
			}
			b.settled()
			served := b.eitherServes()
			if !slices.Contains([]string{oldVersion, "7.0.0"}, served) {
				t.Fatalf("%s serves", served)
			}
			t.Logf("%s serves", served)
			if served == oldVersion {
				b.oldStarts("0x2")
				return
			}
			b.oldStarts("0x4")
			b.annaLogsIn()
			b.verified()
			b.want(done, installed, "rollback", "--yes")
			b.oldServes()
		})
	}
}
