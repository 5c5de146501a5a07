//go:build linux && lab

package endtoend

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"ss-setup/scripts/lab"
	"ss-setup/scripts/lab/fixtures"
)

func TestUpdateKeepsTheDataAndRollbackReturnsToThem(t *testing.T) {
	for _, root := range inits {
		t.Run(root, func(t *testing.T) {
			b := from(t, lab.Options{Root: root}, "7.0.0", "7.0.1")
			old := b.MustExec("sha256sum", "/var/lib/ss-server/1/store.db")

			out := b.must("7.0.1", updateArgs()...)
			b.serves(recoveryTime, "7.0.1")
			if !strings.Contains(out.stdout, "without the service for") {
				t.Errorf("the downtime is not told: %s", out.stdout)
			}
			if notes := b.notes(2); !strings.Contains(notes, "first") {
				t.Errorf("generation 2 lost the note: %s", notes)
			}
			if now := b.MustExec("sha256sum", "/var/lib/ss-server/1/store.db"); now != old {
				t.Error("the update touched the old store")
			}
			b.note("7.0.1", "second", 10)

			b.must("7.0.1", "rollback", "-S", "--yes", "--health-timeout", healthTimeout.String())
			b.serves(recoveryTime, "7.0.0")
			if now := b.MustExec("sha256sum", "/var/lib/ss-server/1/store.db"); now != old {
				t.Error("7.0.0 does not have its data as they were")
			}
			if notes := b.notes(2); !strings.Contains(notes, "second") {
				t.Errorf("generation 2 was not kept: %s", notes)
			}
			var status struct {
				Generations []struct {
					Number  int    `json:"number"`
					EndedBy string `json:"ended_by"`
				} `json:"generations"`
			}
			if err := json.Unmarshal([]byte(b.must("7.0.1", "status", "--json").stdout), &status); err != nil {
				t.Fatal(err)
			}
			if len(status.Generations) != 2 || status.Generations[1].EndedBy != "rollback" {
				t.Errorf("status lists %+v", status.Generations)
			}
			b.must("7.0.1", "forget", "2", "-S", "--yes")
			if _, _, code := b.Exec(context.Background(), "test", "-e", "/var/lib/ss-server/2"); code == 0 {
				t.Error("generation 2 is still there after forget")
			}
			b.serves(recoveryTime, "7.0.0")
		})
	}
}

func TestAReleaseThatDoesNotBecomeHealthyIsPutBack(t *testing.T) {
	for _, bad := range fixtures.Misbehaving() {
		t.Run(bad, func(t *testing.T) {
			b := from(t, lab.Options{Disk: "384M"}, "7.0.0", bad)
			before := b.look()
			r := b.setup(bad, updateArgs()...)
			if r.code != 1 {
				t.Fatalf("want exit 1, got %s\n%s", r, b.Logs())
			}
			b.serves(recoveryTime, "7.0.0")
			b.settled(recoveryTime)
			b.same(before, "update to "+bad)
			if strings.Contains(r.stderr, "not healthy") && !strings.Contains(r.stderr, "users were without the service for") {
				t.Errorf("the downtime is not told: %s", r.stderr)
			}
			// It is remembered: trying again needs a word.
			if r := b.setup(bad, updateArgs()...); r.code != 2 || !strings.Contains(r.stdout+r.stderr, "--yes") {
				t.Errorf("a second try: want exit 2 and --yes, got %s", r)
			}
		})
	}
}

func TestAnOldReleaseRefusesNewerDataAndAServerItsMissingStore(t *testing.T) {
	b := from(t, lab.Options{}, "7.0.0", "7.0.1")
	b.must("7.0.1", updateArgs()...)
	run := func(generation, data int) (string, int) {
		dir := fmt.Sprintf("/tmp/g%d-%d/1", generation, data)
		script := fmt.Sprintf(`mkdir -p %[1]s && ln -sfn /opt/ss-server/generations/%[2]d/release %[1]s/release && rm -rf %[1]s/data && cp -rp /var/lib/ss-server/%[3]d %[1]s/data && systemctl stop ss-server`, dir, generation, data)
		if data == 0 {
			script = fmt.Sprintf(`mkdir -p %[1]s/data && ln -sfn /opt/ss-server/generations/%[2]d/release %[1]s/release && systemctl stop ss-server`, dir, generation)
		}
		b.MustExec("sh", "-c", script)
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		stdout, stderr, code := b.Exec(ctx, dir+"/release/bin/ss-server", "run", "--home", dir)
		return stdout + stderr, code
	}
	if out, code := run(1, 2); code != 21 {
		t.Errorf("7.0.0 on the data of 7.0.1: exit %d\n%s", code, out)
	}
	if out, code := run(2, 0); code != 20 {
		t.Errorf("7.0.1 without its store: exit %d\n%s", code, out)
	}
}

func TestEveryReleaseStartsUnderItsNeighboursDefinition(t *testing.T) {
	for _, root := range inits {
		t.Run(root, func(t *testing.T) {
			b := from(t, lab.Options{Root: root}, "7.0.0", "7.0.1")
			b.must("7.0.1", updateArgs()...)
			// Definitions of 7.0.1, release 7.0.0: what a rollback leaves.
			b.must("7.0.1", "rollback", "-S", "--yes", "--health-timeout", healthTimeout.String())
			b.service("restart", "ss-server")
			b.serves(recoveryTime, "7.0.0")
		})
	}
}

func TestAnotherBuildOfTheSameVersionIsAnUpdateAndAnOlderOneIsRefused(t *testing.T) {
	b := from(t, lab.Options{}, "7.0.0", "7.0.0-rebuild", "7.0.1")
	b.must("7.0.0-rebuild", "install", "-S", "--health-timeout", healthTimeout.String())
	b.serves(recoveryTime, "7.0.0")
	if target := strings.TrimSpace(b.MustExec("readlink", "/opt/ss-server/current")); target != "generations/2" {
		t.Errorf("current is %s", target)
	}
	b.must("7.0.1", updateArgs()...)
	installed := b.look()
	b.want(13, "7.0.0", "install", "-S")
	b.same(installed, "a refused downgrade")
	b.serves(recoveryTime, "7.0.1")
}

func TestForceSetsTheOldGenerationAsideAndRollbackReturns(t *testing.T) {
	b := from(t, lab.Options{}, "7.0.0", "7.0.1")
	b.want(2, "7.0.1", "install", "-F", "-S")
	out := b.must("7.0.1", "install", "-F", "--yes", "--health-timeout", healthTimeout.String())
	b.serves(recoveryTime, "7.0.1")
	if !strings.Contains(out.stdout, "ss-setup rollback") {
		t.Errorf("the way back is not told: %s", out.stdout)
	}
	b.must("7.0.1", "rollback", "-S", "--yes", "--health-timeout", healthTimeout.String())
	b.serves(recoveryTime, "7.0.0")
	if notes := b.notes(1); !strings.Contains(notes, "first") {
		t.Errorf("the old data are not back: %s", notes)
	}
}

func TestRepairPutsRightWhatDiffersFromTheReceipt(t *testing.T) {
	for _, root := range inits {
		t.Run(root, func(t *testing.T) {
			b := from(t, lab.Options{Root: root}, "7.0.0")
			b.MustExec("sh", "-c", `
				printf X | dd of=/opt/ss-server/current/release/bin/lmu bs=1 seek=5000 conv=notrunc 2>/dev/null
				rm -f /usr/bin/ss-server /etc/systemd/system/multi-user.target.wants/ss-server.service /etc/rc2.d/S*ss-server /etc/runlevels/default/ss-server
				chmod 777 /var/lib/ss-server/keyring; chown root: /srv/ss-server
				f=/etc/systemd/system/ss-server.service; [ -e $f ] || f=/etc/init.d/ss-server; echo '# edited' >> $f`)
			b.want(7, "7.0.0", "verify")
			b.MustExec("/usr/bin/ss-setup", "install", "--repair", "-S", "--health-timeout", healthTimeout.String())
			b.serves(recoveryTime, "7.0.0")
			b.must("7.0.0", "verify")
			if notes := b.notes(2); !strings.Contains(notes, "first") {
				t.Errorf("the repair lost the data: %s", notes)
			}
			saved := "/etc/init.d/ss-server.ss-old"
			if root == "bookworm" {
				saved = "/etc/systemd/system/ss-server.service.ss-old"
			}
			if content, err := b.ReadFile(saved); err != nil || !strings.Contains(string(content), "# edited") {
				t.Errorf("the edited definition was not kept: %v", err)
			}
		})
	}
}

func TestAFullDiskPutsEverythingBack(t *testing.T) {
	b := from(t, lab.Options{Disk: "384M"}, "7.0.0", "7.0.1")
	before := b.look()
	for _, free := range []int64{64 << 10, 8 << 20, 24 << 20} {
		b.Fill(lab.System, free)
		r := b.setup("7.0.1", updateArgs()...)
		if r.code != 7 && r.code != 1 {
			t.Errorf("%d bytes free: %s", free, r)
		}
		b.Unfill(lab.System)
		b.serves(recoveryTime, "7.0.0")
		b.settled(recoveryTime)
		b.same(before, fmt.Sprintf("an update with %d bytes free", free))
	}
	b.must("7.0.1", updateArgs()...)
	b.serves(recoveryTime, "7.0.1")
}

func TestTakenPortsAreNamedWithTheirOwnerAndTheWayOut(t *testing.T) {
	b := boot(t, lab.Options{}, "7.0.0")
	clean := b.look()
	b.Spawn("perl", "-MIO::Socket::INET", "-e", `my $s = IO::Socket::INET->new(LocalPort=>6443,Listen=>1,ReuseAddr=>1) or die; sleep 100`)
	time.Sleep(500 * time.Millisecond)
	r := b.want(7, "7.0.0", "install", "-S")
	for _, want := range []string{"6443", "perl", "--web-port"} {
		if !strings.Contains(r.stdout+r.stderr, want) {
			t.Errorf("%q is not told: %s", want, r)
		}
	}
	b.same(clean, "a failed preflight")
	b.must("7.0.0", "install", "-S", "--web-port", "7443")
	b.MustExec("curl", "-fsk", "https://127.0.0.1:7443/healthz")
}

func TestTwoRunsAtOnceDoNotMeet(t *testing.T) {
	b := from(t, lab.Options{}, "7.0.0", "7.0.1")
	p := b.Spawn(append([]string{program("7.0.1")}, updateArgs()...)...)
	time.Sleep(150 * time.Millisecond)
	if r := b.setup("7.0.1", updateArgs()...); r.code != 6 && r.code != 0 {
		t.Errorf("the second run: %s", r)
	}
	if stdout, stderr, code := p.Wait(); code != 0 {
		t.Errorf("the first run: exit %d\n%s%s", code, stdout, stderr)
	}
	b.serves(recoveryTime, "7.0.1")
}

func TestTheInstalledSetupHandsOverToThatOfAPackage(t *testing.T) {
	b := from(t, lab.Options{}, "7.0.0", "7.0.1")
	b.MustExec("sh", "-c", "ss-setup install --update -S --from /bundles/7.0.1")
	b.serves(recoveryTime, "7.0.1")
	if left := b.MustExec("sh", "-c", "find /var/lib/ss-setup /tmp /run -name 'setup-*' -o -name download"); left != "" {
		t.Errorf("left behind: %s", left)
	}
}
