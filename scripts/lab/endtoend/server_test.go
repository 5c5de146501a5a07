//go:build linux && lab

package endtoend

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ss-setup/scripts/lab"
)

// otherPort is that of the site's second binding.
const otherPort = "2023"

// server is an installed server with the site main and the user sue, who logs in by a key
// with OpenSSH's client.
type server struct {
	*box
	dir  string // of the client
	addr string // which leads to the binding
}

// withSite gives the installed server a site.
func withSite(b *box) *server {
	b.t.Helper()
	b.serves(recoveryTime, "7.0.0")
	lab.InstallPackages(b.t, "sftp:openssh-client")
	s := &server{box: b, dir: b.t.TempDir()}
	key := filepath.Join(s.dir, "key")
	if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key).CombinedOutput(); err != nil {
		b.t.Fatalf("%v: %s", err, out)
	}
	public, err := os.ReadFile(key + ".pub")
	if err != nil {
		b.t.Fatal(err)
	}
	a := b.api()
	a.furnish()
	a.do("POST", "/sites/main/bindings", `{"name":"other","node":"one","port":`+otherPort+`}`)
	a.do("POST", "/sites/main/vfs", `{"name":"vault","type":"encrypted","root":"/srv/ss-server/vault"}`)
	a.do("POST", "/sites/main/users", fmt.Sprintf(`{"name":"sue","keys":[{"key":%q}],
		"home":{"vfs":"vault","permissions":["list","download","upload","overwrite","delete","rename","mkdir"]}}`, strings.TrimSpace(string(public))))
	s.addr = s.forward("127.0.0.1:" + sitePort)
	return s
}

// forward gives a port of the host that leads to an address in the machine.
func (s *server) forward(to string) string {
	s.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			outside, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer outside.Close()
				inside, err := s.Dial(context.Background(), "tcp", to)
				if err != nil {
					return
				}
				defer inside.Close()
				go func() { _, _ = io.Copy(inside, outside) }()
				_, _ = io.Copy(outside, inside)
			}()
		}
	}()
	return l.Addr().String()
}

// sftp runs OpenSSH's client over a batch of commands.
func (s *server) sftp(batch string) (string, error) {
	_, port, err := net.SplitHostPort(s.addr)
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sftp", "-F", "/dev/null", "-P", port, "-i", filepath.Join(s.dir, "key"), "-o", "BatchMode=yes",
		"-o", "StrictHostKeyChecking=accept-new", "-o", "UserKnownHostsFile="+filepath.Join(s.dir, "known"), "-b", "-", "sue@127.0.0.1")
	cmd.Stdin, cmd.Dir = strings.NewReader(batch), s.dir
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (s *server) mustSFTP(batch string) string {
	s.t.Helper()
	out, err := s.sftp(batch)
	if err != nil {
		s.t.Fatalf("sftp %q: %v: %s\n%s", batch, err, out, s.Logs())
	}
	return out
}

// greets tells whether a server of SSH answers at a port.
func (s *server) greets(port string) bool {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	c, err := s.Dial(ctx, "tcp", "127.0.0.1:"+port)
	if err != nil {
		return false
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(2 * time.Second))
	said := make([]byte, 8)
	_, err = io.ReadFull(c, said)
	return err == nil && string(said) == "SSH-2.0-"
}

func TestAnEncryptedFileReadsBackAfterUpdateRollbackAndUpdate(t *testing.T) {
	s := withSite(from(t, lab.Options{}, "7.0.0", "7.0.1"))
	if err := os.WriteFile(filepath.Join(s.dir, "up"), []byte("in plain"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.mustSFTP("put up f\n")
	readsBack := func(when string) {
		t.Helper()
		s.mustSFTP("get f " + when + "\n")
		if got, err := os.ReadFile(filepath.Join(s.dir, when)); err != nil || string(got) != "in plain" {
			t.Errorf("after the %s: %q, %v", when, got, err)
		}
	}
	s.must("7.0.1", updateArgs()...)
	readsBack("update")
	if list := s.MustExec("ls", "/var/lib/ss-server/snapshots"); !strings.Contains(list, "-update.db.zst") {
		t.Errorf("no snapshot was made: %s", list)
	}
	s.must("7.0.1", "rollback", "-S", "--yes", "--health-timeout", healthTimeout.String())
	s.serves(recoveryTime, "7.0.0")
	readsBack("rollback")
	s.must("7.0.1", updateArgs()...)
	readsBack("second")
	s.closedToOthers()

	// A purge keeps what users stored and the key that reads it.
	s.must("7.0.1", "uninstall", "-S", "--purge", "--yes")
	if left := s.MustExec("sh", "-c", "ls /var/lib/ss-server/keyring /srv/ss-server"); !strings.Contains(left, "vfs-") || !strings.Contains(left, "master-") || !strings.Contains(left, "vault") {
		t.Errorf("the purge left %s", left)
	}
}

// closedToOthers wants the server to run with no more rights than its definition leaves it,
// and nobody else to read what it keeps.
func (s *server) closedToOthers() {
	s.t.Helper()
	const asNobody = "setpriv --reuid=65534 --regid=65534 --clear-groups --inh-caps=-all "
	if seen := s.MustExec("sh", "-c", asNobody+"find /var/lib/ss-server /srv/ss-server /var/log/ss-server -mindepth 1 -readable 2>/dev/null || true"); seen != "" {
		s.t.Errorf("anybody on the machine can read:\n%s", seen)
	}
	const netBindService = 1 << 10 // CAP_NET_BIND_SERVICE
	uid := strings.TrimSpace(s.MustExec("id", "-u", "ss-server"))
	status := s.MustExec("sh", "-c", "cat /proc/$(systemctl show -p MainPID --value ss-server)/status")
	for _, want := range []string{
		fmt.Sprintf("Uid:\t%[1]s\t%[1]s\t%[1]s\t%[1]s\n", uid), fmt.Sprintf("CapBnd:\t%016x\n", netBindService),
		fmt.Sprintf("CapEff:\t%016x\n", netBindService), "NoNewPrivs:\t1\n", "Seccomp:\t2\n",
	} {
		if !strings.Contains(status, want) {
			s.t.Errorf("no %q in what the kernel says of the server:\n%s", want, status)
		}
	}
}

func TestAnUpdateAfterWhichABindingIsSomebodyElsesIsPutBack(t *testing.T) {
	s := withSite(from(t, lab.Options{}, "7.0.0", "7.0.1"))
	if !s.greets(sitePort) || !s.greets(otherPort) {
		t.Fatal("the site does not serve")
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	grabbed := make(chan net.Listener, 1)
	go func() {
		for ctx.Err() == nil {
			err := s.Inside(func() error {
				l, err := net.Listen("tcp", ":"+otherPort)
				if err == nil {
					grabbed <- l
				}
				return err
			})
			if err == nil {
				return
			}
		}
	}()
	r := s.setup("7.0.1", updateArgs()...)
	if r.code != 1 || !strings.Contains(r.stderr, "binding other of site main at :"+otherPort) {
		t.Errorf("want exit 1 and the binding, got %s\n%s", r, s.Logs())
	}
	s.serves(recoveryTime, "7.0.0")
	if !s.greets(sitePort) {
		t.Error("the other binding does not serve")
	}
	if list := s.MustExec("ls", "/var/lib/ss-server/snapshots"); strings.Contains(list, "-update") {
		t.Errorf("the snapshot was left: %s", list)
	}
	select {
	case l := <-grabbed:
		_ = l.Close()
	default:
		t.Fatal("the port was not taken")
	}
	for end := time.Now().Add(recoveryTime); !s.greets(otherPort); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the port is free and not served")
		}
	}
}

func TestARepairRestoresTheNewestSnapshotOfADamagedStore(t *testing.T) {
	s := withSite(from(t, lab.Options{}, "7.0.0"))
	s.MustExec("ss-server", "snapshot")
	s.service("stop", "ss-server")
	s.MustExec("dd", "if=/dev/urandom", "of=/var/lib/ss-server/1/store.db", "bs=4096", "seek=0", "count=3", "conv=notrunc")
	s.MustExec("systemctl", "reset-failed")
	r := s.must("7.0.0", "install", "--repair", "-S", "--health-timeout", healthTimeout.String())
	if out := r.stdout + r.stderr; !strings.Contains(out, "was damaged") || !strings.Contains(out, "/var/lib/ss-server/2/store.db.damaged-") {
		t.Errorf("it is not told: %s", out)
	}
	s.service("start", "ss-server")
	s.serves(recoveryTime, "7.0.0")
	if out := s.mustSFTP("pwd\n"); !strings.Contains(out, "/") {
		t.Error(out)
	}
	if left := s.MustExec("ls", "/var/lib/ss-server/2"); !strings.Contains(left, "store.db.damaged-") {
		t.Errorf("the damaged one is gone: %s", left)
	}
}
