//go:build linux && lab

package clients

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ss-setup/runtime/sftpd"
	"ss-setup/scripts/lab"
)

const sftpPackage = "sftp:openssh-client"

// sftp runs a batch of OpenSSH's client, which ends at the first command that fails.
func (s *server) sftp(batch string, more ...string) string {
	s.t.Helper()
	args := append(s.ssh(), more...)
	args = append(args, "-P", s.port, "-b", "-", "kim@"+s.host)
	return s.run(batch, nil, "sftp", args...)
}

// OpenSSH asks for limits, uses posix-rename, resumes with APPEND, sets times and mode
// by handle, asks names of users, and takes fsync and copy-data if there are.
func TestOpenSSH(t *testing.T) {
	lab.InstallPackages(t, sftpPackage)
	s := serve(t, sftpd.Config{})
	data := s.random("up", 5<<20+3)
	_ = os.Chtimes(s.mine("up"), time.Unix(1e9, 0), time.Unix(1e9, 0))
	_ = os.Chmod(s.mine("up"), 0o640)
	s.write(s.remote("there"), []byte("older"))
	out := s.sftp(`pwd
put -pf up new
get new back
put up there
rename new there
mkdir d
chmod 700 d
cp there d/copy
put up d/second
ls -l d
df
rm d/second
`)
	s.has(s.mine("back"), data)
	s.has(s.remote("there"), data)
	s.has(s.remote("d/copy"), data)
	for _, want := range []string{"Remote working directory: /\n", "kim      kim       5242883", "Size"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	info, err := os.Stat(s.remote("there"))
	if err != nil || info.ModTime().Unix() != 1e9 || info.Mode().Perm() != 0o640 {
		t.Errorf("put -p left %v, %v", info, err)
	}
	if _, err := os.Lstat(s.remote("d/second")); err == nil {
		t.Error("rm left its file")
	}
}

func TestOpenSSHResumes(t *testing.T) {
	lab.InstallPackages(t, sftpPackage)
	s := serve(t, sftpd.Config{})
	data := s.random("f", 3<<20)
	s.write(s.remote("f"), data[:1234567])
	s.write(s.mine("g"), data[:765432])
	s.sftp("reput f f\nreget f g\n")
	s.has(s.remote("f"), data)
	s.has(s.mine("g"), data)
}

func TestOpenSSHMakesNewKeysInATransfer(t *testing.T) {
	lab.InstallPackages(t, sftpPackage)
	s := serve(t, sftpd.Config{Rekey: 3 << 20})
	data := s.random("f", 40<<20)
	s.sftp("put f f\nget f g\n", "-o", "RekeyLimit=2M")
	s.has(s.remote("f"), data)
	s.has(s.mine("g"), data)
}

// The smallest requests and many at once: what old clients send, and paramiko.
func TestOpenSSHWithOtherSizesOfRequests(t *testing.T) {
	lab.InstallPackages(t, sftpPackage)
	s := serve(t, sftpd.Config{})
	data := s.random("f", 2<<20+1)
	for _, size := range []string{"1000", "32768", "261120"} {
		s.sftp("put f f\nget f g\n", "-B", size, "-R", "128")
		s.has(s.remote("f"), data)
		s.has(s.mine("g"), data)
	}
}

func TestOpenSSHWithEachCipher(t *testing.T) {
	lab.InstallPackages(t, sftpPackage)
	a := sftpd.Modern()
	a.Ciphers = sftpd.Possible().Ciphers
	s := serve(t, sftpd.Config{Algorithms: a})
	data := s.random("f", 1<<20)
	for _, cipher := range append(sftpd.Modern().Ciphers, "chacha20-poly1305@openssh.com", "aes128-cbc", "3des-cbc") {
		s.sftp("put f f\nget f g\n", "-o", "Ciphers="+cipher)
		s.has(s.remote("f"), data)
		s.has(s.mine("g"), data)
	}
	if needs := s.site.Needs(); len(needs) != 2 {
		t.Errorf("who needs weak ciphers: %+v", needs)
	}
}

// lftp fails where RENAME does not work on its temporary names, and where an error at
// setting times after the upload makes the transfer one that failed.
func TestLftp(t *testing.T) {
	lab.InstallPackages(t, "lftp:lftp", sftpPackage)
	s := serve(t, sftpd.Config{})
	data := s.random("tree/big", 3<<20)
	s.write(s.mine("tree/sub/small"), []byte("small"))
	s.write(s.remote("half"), data[:1<<20])
	s.run(fmt.Sprintf(`set sftp:connect-program "ssh -a -x %s"
set cmd:fail-exit yes
set net:max-retries 1
set xfer:use-temp-file yes
open -u kim,x -p %s sftp://%s
put tree/big -o up
put tree/big -o up
mirror -R tree tree
mirror tree back
put -c tree/big -o half
get -c half -o down
pget -n 3 up -o parts
ls
mv up moved
rm -r tree
`, strings.Join(s.ssh(), " "), s.port, s.host), nil, "lftp", "-f", "/dev/stdin")
	s.has(s.remote("moved"), data)
	s.has(s.remote("half"), data)
	for _, name := range []string{"down", "parts", "back/big"} {
		s.has(s.mine(name), data)
	}
	s.has(s.mine("back/sub/small"), []byte("small"))
	if _, err := os.Stat(s.remote("tree")); err == nil {
		t.Error("rm -r left the tree")
	}
	left, _ := filepath.Glob(s.remote("[^.]*"))
	if len(left) != 2 {
		t.Errorf("left: %v", left)
	}
}

// curl (libssh2) knows no limits, resumes with -C and writes its commands as -Q.
func TestCurl(t *testing.T) {
	lab.InstallPackages(t, "curl:curl")
	s := serve(t, sftpd.Config{})
	data := s.random("f", 2<<20)
	s.write(s.remote("half"), data[:1<<20])
	curl := func(args ...string) string {
		return s.run("", nil, "curl", append([]string{"-sS", "--insecure", "-u", "kim:secret"}, args...)...)
	}
	curl("-T", "f", "--ftp-create-dirs", s.url("a/b/f"))
	curl("-T", "f", "-C", "1048576", s.url("half"))
	curl("-o", "g", s.url("a/b/f"))
	curl("-o", "part", "-r", "100-199", s.url("a/b/f"))
	s.has(s.remote("a/b/f"), data)
	s.has(s.remote("half"), data)
	s.has(s.mine("g"), data)
	s.has(s.mine("part"), data[100:200])
	if out := curl("-l", "-Q", "rename /half /whole", s.url("")); !strings.Contains(out, "whole") {
		t.Errorf("listed: %s", out)
	}
	if out, err := s.try("", nil, "curl", "-sS", "--insecure", "-u", "kim:guess", s.url("")); err == nil {
		t.Errorf("a wrong password: %s", out)
	}
}

// rclone tries md5sum, sha1sum, echo and df as commands and must go on without them.
func TestRclone(t *testing.T) {
	lab.InstallPackages(t, "rclone:rclone")
	s := serve(t, sftpd.Config{})
	for i := range 30 {
		s.random(fmt.Sprintf("tree/d%d/f%d", i%4, i), 10_000*i)
	}
	env := []string{
		"RCLONE_CONFIG=/dev/null", "RCLONE_CONFIG_SS_TYPE=sftp", "RCLONE_CONFIG_SS_HOST=" + s.host, "RCLONE_CONFIG_SS_PORT=" + s.port,
		"RCLONE_CONFIG_SS_USER=kim", "RCLONE_CONFIG_SS_KEY_FILE=" + s.key,
	}
	s.run("", env, "rclone", "copy", "tree", "ss:tree")
	s.run("", env, "rclone", "check", "--download", "tree", "ss:tree")
	s.run("", env, "rclone", "copy", "ss:tree", "back")
	s.run("", nil, "diff", "-r", "tree", "back")
	s.random("tree/d0/f0", 999)
	s.run("", env, "rclone", "sync", "tree", "ss:tree")
	s.run("", nil, "diff", "-r", "tree", s.remote("tree"))
	s.run("", env, "rclone", "move", "ss:tree", "ss:other")
	s.run("", nil, "diff", "-r", "tree", s.remote("other"))
	s.run("", env, "rclone", "about", "ss:")
	s.run("", env, "rclone", "purge", "ss:other")
	if out := s.run("", env, "rclone", "lsf", "ss:"); strings.Contains(out, "other") {
		t.Errorf("left: %s", out)
	}
}

// paramiko asks for a whole file at once, stats after an upload and compares sizes, and
// knows check-file by a name of its own.
func TestParamiko(t *testing.T) {
	if exec.Command("/usr/bin/python3", "-c", "import paramiko").Run() != nil {
		lab.InstallPackages(t, "paramiko-is-no-program:python3-paramiko")
	}
	s := serve(t, sftpd.Config{})
	data := s.random("f", 40<<20)
	s.run("", nil, "/usr/bin/python3", "-c", `
import hashlib, paramiko, stat, sys
c = paramiko.SSHClient()
c.set_missing_host_key_policy(paramiko.AutoAddPolicy())
c.connect(sys.argv[1], int(sys.argv[2]), "kim", "secret", allow_agent=False, look_for_keys=False)
s = c.open_sftp()
assert s.listdir() == [] and s.normalize(".") == "/"
assert s.put("f", "f").st_size == 40 << 20
s.get("f", "g")
with s.open("f") as f:
    assert f.check("sha1") == hashlib.sha1(open("f", "rb").read()).digest()
with s.open("log", "a") as f: f.write("one\n")
with s.open("log", "a") as f: f.write("two\n")
with s.open("log", "r+") as f:
    f.seek(4); f.write("TWO"); f.truncate(7); f.utime((1, 2)); f.chmod(0o600)
    assert f.stat().st_size == 7
assert s.open("log").read() == b"one\nTWO"
a = s.stat("log")
assert a.st_mtime == 2 and stat.S_IMODE(a.st_mode) == 0o600, a
s.mkdir("d"); s.rename("log", "d/log")
try:
    s.rename("f", "d/log"); raise SystemExit("rename replaced a file")
except OSError: pass
s.posix_rename("f", "d/log")
assert [e.filename for e in s.listdir_attr("d")] == ["log"]
try:
    s.open("none"); raise SystemExit("opened nothing")
except FileNotFoundError: pass
try:
    s.rmdir("d"); raise SystemExit("removed a full folder")
except OSError as e: assert "not empty" in str(e), e
try:
    s.chdir("/etc"); raise SystemExit("left the home")
except OSError: pass
with s.open("x", "wx") as f: f.write("x")
try:
    s.open("x", "wx"); raise SystemExit("made a file twice")
except OSError: pass
c.close()
`, s.host, s.port)
	s.has(s.mine("g"), data)
	s.has(s.remote("d/log"), data)
}

// mount gives kim's home by sshfs.
func (s *server) mount(options ...string) string {
	s.t.Helper()
	lab.InstallPackages(s.t, "sshfs:sshfs", "fusermount3:fuse3")
	if _, err := os.Stat("/dev/fuse"); err != nil || os.Geteuid() != 0 {
		s.t.Skipf("%s needs root and FUSE: %v", s.t.Name(), err)
	}
	dir := s.t.TempDir()
	args := []string{"kim@" + s.host + ":", dir, "-p", s.port, "-o", "IdentityFile=" + s.key}
	for _, o := range append([]string{"StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "dir_cache=no", "ssh_command=ssh -F none"}, options...) {
		args = append(args, "-o", o)
	}
	s.run("", nil, "sshfs", args...)
	s.t.Cleanup(func() { _ = exec.Command("fusermount3", "-u", dir).Run() })
	return dir
}

// sshfs keeps handles open, appends, truncates by name and handle, and renames onto
// what is there.
func TestSshfs(t *testing.T) {
	s := serve(t, sftpd.Config{})
	dir := s.mount()
	in := func(script string) string {
		t.Helper()
		return s.run("", nil, "sh", "-ec", "cd "+dir+"\n"+script)
	}
	in(`echo one >a; echo two >>a; echo three >b; mv b a2; mkdir -p d/e; mv a2 d/e/f
cp d/e/f d/g; echo xx >d/g; truncate -s 1 d/g; touch -d @1000000 d/g; chmod 600 d/g
echo new >n; mv n a; rm -r d/e; sync a; df . >/dev/null
i=0; while [ $i -lt 250 ]; do echo $i >d/many$i; i=$((i+1)); done; [ "$(ls d | wc -l)" = 251 ]`)
	s.has(s.remote("a"), []byte("new\n"))
	s.has(s.remote("d/g"), []byte("x"))
	if info, _ := os.Stat(s.remote("d/g")); info.ModTime().Unix() != 1000000 || info.Mode().Perm() != 0o600 {
		t.Errorf("times and mode: %v", info)
	}
}

func TestSshfsWithRandomAccess(t *testing.T) {
	for name, encrypted := range map[string]bool{"plain": false, "encrypted": true} {
		t.Run(name, func(t *testing.T) {
			s := serveOn(t, sftpd.Config{}, encrypted)
			randomAccess(t, filepath.Join(s.mount("direct_io"), "f"), randomSteps)
		})
	}
}

// randomAccess does at random what programs do to a file and compares it with a copy
// in memory all the time.
func randomAccess(t *testing.T, name string, steps int) {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	r := rand.New(rand.NewPCG(seed, 0))
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	const most = 600_000
	var want []byte
	for step := range steps {
		at, n := r.IntN(most), r.IntN(100_000)
		switch r.IntN(6) {
		case 0, 1:
			piece := bytes.Repeat([]byte{byte(step)}, n)
			if _, err = f.WriteAt(piece, int64(at)); err == nil && n > 0 {
				want = append(want, make([]byte, max(0, at+n-len(want)))...)
				copy(want[at:], piece)
			}
		case 2, 3:
			got := make([]byte, n)
			var m int
			if m, err = f.ReadAt(got, int64(at)); m > 0 || at >= len(want) {
				err = nil
			}
			from, to := min(at, len(want)), min(at+n, len(want))
			if !bytes.Equal(got[:m], want[from:to]) {
				t.Fatalf("seed %d, step %d: a read of %d at %d differs", seed, step, n, at)
			}
			if n == 0 {
				err = nil
			}
		case 4:
			if err = f.Truncate(int64(at)); err == nil {
				want = append(want, make([]byte, max(0, at-len(want)))...)[:at]
			}
		case 5:
			if err = f.Close(); err == nil {
				f, err = os.OpenFile(name, os.O_RDWR, 0)
			}
		}
		if err != nil {
			t.Fatalf("seed %d, step %d: %v", seed, step, err)
		}
	}
	if got, err := os.ReadFile(name); err != nil || !bytes.Equal(got, want) {
		t.Fatalf("seed %d: the file differs in the end: %d bytes, want %d (%v)", seed, len(got), len(want), err)
	}
}
