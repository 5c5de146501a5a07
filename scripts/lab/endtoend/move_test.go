//go:build linux && lab

package endtoend

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"ss-setup/scripts/lab"
)

var moveOut = verb{"move-out", "7.0.0", []string{"move-out", "/root/move", "-S", "--yes", "--health-timeout", healthTimeout.String()}, "7.0.0"}

// silent wants nobody to serve, now and after a restart.
func (b *box) silent() {
	b.t.Helper()
	for _, name := range []string{"ss-server", "ss-licensed"} {
		out, _, _ := b.Exec(context.Background(), "sh", "-c", "systemctl is-active "+name+"; systemctl is-enabled "+name)
		if fields := strings.Fields(out); len(fields) != 2 || fields[0] != "inactive" || fields[1] != "disabled" {
			b.t.Errorf("%s is %s", name, fields)
		}
	}
}

// takes copies a folder of another machine.
func (b *box) takes(from *box, folder string) {
	b.t.Helper()
	from.MustExec("tar", "-C", "/", "-cf", "/tmp/taken.tar", strings.TrimPrefix(folder, "/"))
	text, err := from.ReadFile("/tmp/taken.tar")
	if err == nil {
		err = b.WriteFile("/tmp/taken.tar", text, 0o600)
	}
	if err != nil {
		b.t.Fatal(err)
	}
	b.MustExec("tar", "-C", "/", "-xf", "/tmp/taken.tar")
}

func TestAServerMovesToAnotherMachineWithEverything(t *testing.T) {
	old := boot(t, lab.Options{IP: "10.77.0.61"}, "7.0.0")
	old.must("7.0.0", "install", "-S", "--license-port", "2390", "--health-timeout", healthTimeout.String())
	old.MustExec("sh", "-c", "mkdir /etc/ss-server/known-keys && echo '# ours' > /etc/ss-server/known-keys/list.txt")
	a := old.api()
	a.furnish()
	a.vault()
	old.uploads("kim", "plain.txt", "plain")
	old.uploads("eve", "sealed.txt", "words nobody sees")
	hostKey := old.MustExec("sh", "-c", "ssh-keyscan -p "+sitePort+" 127.0.0.1 2>/dev/null | sort | cut -d' ' -f2-")

	// Keys of root, what lies behind a link, and what leads nowhere.
	old.MustExec("sh", "-c", "umask 077; echo secret > /etc/ss-server/backup.pass; mkdir /srv/lists; echo '# linked' > /srv/lists/l.txt; ln -s /srv/lists /etc/ss-server/lists; ln -s /none /etc/ss-server/dangling")

	// What cannot be packed stops nobody.
	server := old.MustExec("systemctl", "show", "-p", "MainPID", "ss-server")
	if r := old.want(2, "7.0.0", "move-out", "/srv/files/move", "-S", "--yes"); !strings.Contains(r.stderr, "one in the other") {
		t.Errorf("%s", r)
	}
	old.MustExec("sh", "-c", "mkdir /mnt/small && mount -t tmpfs -o size=1M small /mnt/small")
	if r := old.want(7, "7.0.0", "move-out", "/mnt/small/move", "-S", "--yes"); !strings.Contains(r.stderr, "for what moves in /mnt/small/move") {
		t.Errorf("%s", r)
	}
	if now := old.MustExec("systemctl", "show", "-p", "MainPID", "ss-server"); now != server {
		t.Errorf("the server was %s and is %s", server, now)
	}
	old.MustExec("sh", "-c", "umount /mnt/small; ! test -e /var/lib/ss-setup/import")

	// Nobody is stopped unasked.
	old.want(2, "7.0.0", "move-out", "/root/move", "-S")
	old.downloads("kim", "plain.txt", "plain")
	r := old.must("7.0.0", moveOut.args...)
	old.silent()
	r = old.must("7.0.0", "move-out", "--cancel", "-S", "--yes", "--health-timeout", healthTimeout.String())
	old.downloads("kim", "plain.txt", "plain")
	old.want(2, "7.0.0", moveOut.args...) // the folder is there
	old.MustExec("rm", "-r", "/root/move")
	r = old.must("7.0.0", "move-out", "/root/move", "--yes", "--health-timeout", healthTimeout.String())
	old.silent()
	for _, words := range []string{"dangling is a link that leads to nothing", "this release activates none", "/srv/files", "/srv/vault", "ss-setup move-in FOLDER", "move-out --cancel"} {
		if !strings.Contains(r.stdout+r.stderr, words) {
			t.Errorf("it does not say %q: %s", words, r)
		}
	}
	if s := old.setup("7.0.0", "status"); !strings.Contains(s.stdout, "moved out on") {
		t.Errorf("%s", s)
	}
	old.Stop()
	old.Start()
	old.silent()
	old.want(2, "7.0.0", "install", "-S", "--repair")

	b := boot(t, lab.Options{IP: "10.77.0.62"}, "7.0.0")
	b.takes(old, "/root/move")
	in := []string{"move-in", "/root/move", "-S", "--health-timeout", healthTimeout.String()}
	if r := b.want(7, "7.0.0", in...); !strings.Contains(r.stderr, "/srv/files is not here") || !strings.Contains(r.stderr, "/srv/vault is not here") {
		t.Errorf("%s", r)
	}
	b.takes(old, "/srv/files")
	b.takes(old, "/srv/vault")
	// Somebody has the old machine serve again: the new one asks.
	old.MustExec("systemctl", "start", "ss-server")
	old.serves(recoveryTime, "7.0.0")
	if r := b.want(2, "7.0.0", in...); !strings.Contains(r.stderr, "10.77.0.61:6443") {
		t.Errorf("%s", r)
	}
	old.MustExec("systemctl", "stop", "ss-server")
	b.MustExec("sh", "-c", "cp -r /root/move /root/cut; truncate -s -1 /root/cut/backup.zip")
	if r := b.want(7, "7.0.0", "move-in", "/root/cut", "-S"); !strings.Contains(r.stderr, "copy it again") {
		t.Errorf("%s", r)
	}

	r = b.must("7.0.0", "move-in", "/root/move", "--health-timeout", healthTimeout.String())
	if !strings.Contains(r.stdout, "are in force") {
		t.Errorf("%s", r)
	}
	b.MustExec("chown", "-R", "ss-server:ss-server", "/srv/files", "/srv/vault")
	b.downloads("kim", "plain.txt", "plain")
	b.downloads("eve", "sealed.txt", "words nobody sees")
	if now := b.MustExec("sh", "-c", "ssh-keyscan -p "+sitePort+" 127.0.0.1 2>/dev/null | sort | cut -d' ' -f2-"); now != hostKey {
		t.Errorf("the host keys were %s and are %s", hostKey, now)
	}
	b.MustExec("grep", "-q", "ours", "/etc/ss-server/known-keys/list.txt")
	b.MustExec("grep", "-q", "linked", "/etc/ss-server/lists/l.txt")
	if whose := b.MustExec("stat", "-c", "%U:%G %a", "/etc/ss-server/backup.pass"); strings.TrimSpace(whose) != "root:root 600" {
		t.Errorf("a key of root's belongs to %s", whose)
	}
	b.MustExec("sh", "-c", "! test -e /var/lib/ss-setup/import")
	b.serves(recoveryTime, "7.0.0")
	b.MustExec("grep", "-q", "2390", "/etc/ss-server/licensed.toml")
	b.must("7.0.0", "verify")
	if r := b.setup("7.0.0", in...); r.code != 7 {
		t.Errorf("a second time: %s", r)
	}
}

func TestAKilledMoveOutServesAsBeforeOrHasMovedOut(t *testing.T) {
	first := from(t, lab.Options{}, "7.0.0")
	total, guarded := first.points(moveOut)
	first.Remove()
	b := from(t, lab.Options{}, "7.0.0")
	cases := 0
	for point := 1; point <= total; point += moveShare {
		before := b.look()
		if code := b.killed(moveOut, point); code == 0 {
			t.Fatalf("point %d of %d never came", point, total)
		}
		if point < guarded {
			b.must("7.0.0", "recover")
		}
		b.settled(recoveryTime)
		cases++
		if out := b.MustExec("sh", "-c", "grep -c '\"moved\"' /var/lib/ss-setup/state.json || true"); strings.TrimSpace(out) == "0" {
			b.serves(recoveryTime, "7.0.0")
			b.same(before, fmt.Sprintf("killed at point %d", point))
			b.MustExec("sh", "-c", "! test -e /root/move")
			continue
		}
		b.silent()
		b.MustExec("test", "-s", "/root/move/move.json")
		b.Remove()
		b = from(t, lab.Options{}, "7.0.0")
	}
	count(t, "moves out killed", cases)
}
