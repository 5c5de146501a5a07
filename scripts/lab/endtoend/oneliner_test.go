//go:build linux && lab

package endtoend

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"ss-setup/scripts/lab"
	"ss-setup/scripts/lab/fixtures"
)

// oneLiners are the scripts for Linux.
var oneLiners = []string{"ss-setup-linux-x64c.sh", "ss-setup-linux-x64w.sh", "ss-setup-linux-armc.sh", "ss-setup-linux-armw.sh"}

// shells are those that a one-liner must run under, as somebody would start them. That
// of the first is Debian's own; busybox is a whole small system with programs of its own.
var shells = []string{
	"dash", "busybox sh", "bash --posix", "mksh", "ksh93", "zsh --emulate sh", "yash -o posixly-correct",
	"bash", "zsh", "yash", // nobody promised these, but "sh" may be one of them
}

// oneLinerBox is a machine with every shell, on the network of a mirror.
func oneLinerBox(t *testing.T, root string) (*box, *mirror) {
	t.Helper()
	needsRoot(t)
	m := newMirror(t)
	return shellBox(t, root), m
}

// boxes counts machines that have an address.
var boxes atomic.Int64

// address is one on the network of mirrors. Two runs of tests share it.
func address() string {
	return fmt.Sprintf("10.77.0.%d", 10+(int64(os.Getpid())*31+boxes.Add(1))%230)
}

// shellBox is a machine with every shell and an administrator who may use sudo.
func shellBox(t *testing.T, root string) *box {
	t.Helper()
	b := boot(t, lab.Options{Root: root, IP: address()})
	b.MustExec("sh", "-c", `set -e
		useradd -m admin
		echo 'admin ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/admin
		mkdir /busybox && busybox --install -s /busybox
		rm -f /busybox/busybox # so that nobody finds it by name`)
	return b
}

// as makes the machine say that it is of another kind, until the next call.
func (b *box) as(processor string) {
	b.t.Helper()
	text := fmt.Sprintf("#!/bin/sh\ncase $1 in -m) echo %s ;; *) exec /usr/bin/uname \"$@\" ;; esac\n", processor)
	for _, folder := range []string{"/usr/local/sbin", "/busybox"} {
		b.MustExec("rm", "-f", folder+"/uname")
		if err := b.WriteFile(folder+"/uname", []byte(text), 0o755); err != nil {
			b.t.Fatal(err)
		}
	}
}

func processor(script string) string {
	if strings.Contains(script, "-arm") {
		return "aarch64"
	}
	return "x86_64"
}

// sh runs a command line in the machine and returns how it ended.
func (b *box) sh(line string, env ...string) result {
	b.t.Helper()
	p := b.SpawnCommand(lab.Command{Args: []string{"sh", "-c", line}, Env: env})
	select {
	case <-p.Done():
	case <-time.After(2 * time.Minute):
		running := b.MustExec("sh", "-c", `ps -eo pid,ppid,stat,etimes,wchan:20,args --forest; ss -tnp 2>/dev/null || cat /proc/net/tcp`)
		p.Kill()
		stdout, stderr, _ := p.Wait()
		b.t.Fatalf("%s: still running after two minutes: %s%s%s", line, stdout, stderr, running)
	}
	stdout, stderr, code := p.Wait()
	return result{code, stdout, stderr}
}

// fetched puts a script into the machine as the file /root/setup.sh.
func (b *box) fetched(m *mirror, script string) {
	b.t.Helper()
	b.Copy(filepath.Join(m.files, script), "/root/setup.sh")
}

// leftNothing wants no temporary folder of a script to be left.
func (b *box) leftNothing() {
	b.t.Helper()
	if left := b.MustExec("sh", "-c", "ls -d /*/ss-setup.????????* /var/tmp/ss-setup.* 2>/dev/null; true"); left != "" {
		b.t.Errorf("left behind: %s", left)
	}
}

// way is how somebody runs a one-liner: sh is the shell's command line, with sudo where
// that is needed, and options those of ss-setup.
type way struct {
	name string
	root bool // by root, not by an administrator with sudo
	line func(get, pipe, sh, options string) string
}

var ways = []way{
	{"from a file", false, func(get, _, sh, options string) string { return get + " && " + sh + " setup.sh " + options }},
	{"piped into sudo sh", false, func(_, pipe, sh, options string) string { return pipe + " | " + sh + " -s -- " + options }},
	{"piped into sh", true, func(_, pipe, sh, options string) string { return pipe + " | " + sh + " -s -- " + options }},
}

// downloads are the commands that get a script, into setup.sh and to standard output.
func downloads(base, script string) (get, pipe string) {
	if strings.HasSuffix(script, "w.sh") {
		return "wget -nv -O setup.sh " + base + "/" + script, "wget -qO- " + base + "/" + script
	}
	return "curl -fsS -o setup.sh " + base + "/" + script, "curl -fsS " + base + "/" + script
}

// run goes that way. With hard it has it hard: a strict umask, no home, a proxy.
func (w way) run(b *box, base, script, hard, options string) result {
	b.t.Helper()
	sh, before := "sh", "cd && "
	if hard != "" {
		sh, before = "env -u HOME sh", "cd && umask 077 && export http_proxy="+hard+" && "
	}
	if !w.root {
		sh = "sudo --preserve-env=http_proxy " + sh
	}
	get, pipe := downloads(base, script)
	line := before + w.line(get, pipe, sh, options)
	if w.root {
		return b.sh(line, "HOME=/root")
	}
	return b.sh("su - admin -c '" + line + "'")
}

func TestOneLinersInstallUpdateAndLeaveTheSameVersionAlone(t *testing.T) {
	needsRoot(t)
	m := newMirror(t)
	v := newVendor(t, m)
	old, fresh := v.in("old"), v.in("new")
	old.publishForARM(old.publish("7.0.0"))
	fresh.publishForARM(fresh.publish("7.0.1"))
	for i, script := range oneLiners {
		for first := range ways {
			if !everyWay && first != i%len(ways) {
				continue
			}
			// Every stage goes another way.
			stage := func(n int) way { return ways[(first+n)%len(ways)] }
			t.Run(script+", first "+stage(0).name, func(t *testing.T) {
				t.Parallel()
				b := shellBox(t, "bookworm-shells")
				b.as(processor(script))
				if r := stage(0).run(b, old.base, script, "", ""); r.code != 0 || !strings.Contains(r.stdout, "/init/setup") {
					t.Fatalf("fresh: %s", r)
				}
				b.serves(recoveryTime, "7.0.0")
				b.MustExec("ss-setup", "verify")
				b.leftNothing()

				installed := b.look()
				if r := stage(1).run(b, old.base, script, "", ""); r.code != 0 || !strings.Contains(r.stdout, "is installed already") {
					t.Fatalf("the same version: %s", r)
				}
				b.same(installed, "the same version")
				b.leftNothing()

				b.MustExec("mount", "-t", "tmpfs", "-o", "noexec", "tmpfs", "/tmp")
				if r := stage(2).run(b, fresh.base, script, m.url, "--update"); r.code != 0 {
					t.Fatalf("update: %s", r)
				}
				b.serves(recoveryTime, "7.0.1")
				b.MustExec("ss-setup", "verify")
				b.settled(recoveryTime)
				b.leftNothing()
			})
		}
	}
	t.Cleanup(func() {
		for _, asked := range m.asked() {
			if strings.Contains(asked, "/new/") && !strings.HasPrefix(asked, "http://") {
				t.Errorf("%s was not asked through the proxy", asked)
			}
		}
	})
}

// What is for another processor is downloaded and proved, and refused by the ss-setup in
// it. (The script itself looks at what uname says.)
func TestAPackageForAnotherProcessorIsRefusedByItsOwnSetup(t *testing.T) {
	b, m := oneLinerBox(t, "bookworm-shells")
	v := newVendor(t, m)
	dir := filepath.Join(t.TempDir(), "ss-server-7.0.0-linux-arm64")
	bin := fixtures.Programs(t, "7.0.0")
	v.release("bundle", "--version", "7.0.0", "--bin", bin, "--services", "../../../packaging/services", "--setup", filepath.Join(bin, "ss-setup"),
		"--os", "linux", "--arch", "arm64", "--level", "1", "--out", dir)
	v.publishBundle(dir)
	b.as("aarch64")
	before := b.look()
	for _, script := range oneLiners[2:] {
		r := ways[0].run(b, v.base, script, "", "")
		if r.code != 8 || !strings.Contains(r.stderr, "is for linux/arm64, this machine is linux/amd64") {
			t.Errorf("%s: %s", script, r)
		}
		b.same(before, script)
		b.leftNothing()
	}
}

func TestOneLinersRunUnderEveryShell(t *testing.T) {
	b, m := oneLinerBox(t, "bookworm-shells")
	m.publishProbe(t)
	for _, script := range oneLiners {
		b.as(processor(script))
		b.fetched(m, script)
		for _, shell := range shells {
			for how, line := range map[string]string{
				"as a file":       "sudo %s /root/setup.sh --trace 'two words' --exit 11",
				"piped into sudo": "cat /root/setup.sh | sudo %s -s -- --trace 'two words' --exit 11",
			} {
				env := []string{"A=1"}
				if strings.HasPrefix(shell, "busybox") {
					// sudo would give back the PATH with all of Debian's programs.
					line = strings.ReplaceAll(line, "sudo %s", "PATH=/busybox %s")
				}
				line = fmt.Sprintf(line, strings.Replace(shell, "busybox", "/bin/busybox", 1))
				if strings.HasPrefix(shell, "busybox") && strings.HasSuffix(script, "c.sh") {
					line = strings.Replace(line, "PATH=/busybox", "PATH=/busybox:/usr/bin", 1) // busybox has no curl
				}
				r := b.sh(line, env...)
				report := b.report()
				if r.code != 11 {
					t.Errorf("%s, %s, %s: want exit 11, got %s", script, shell, how, r)
				}
				if got := said(report, "options"); got != "install --trace two words --exit 11" {
					t.Errorf("%s, %s, %s: options %q", script, shell, how, got)
				}
				if got := said(report, "files"); got != "manifest.json payload.tar.zst ss-setup" {
					t.Errorf("%s, %s, %s: files %q", script, shell, how, got)
				}
				if got := said(report, "folder"); !strings.HasSuffix(got, " 700 root") {
					t.Errorf("%s, %s, %s: folder %q is not private", script, shell, how, got)
				}
				if got := said(report, "umask"); !strings.HasSuffix(got, "077") {
					t.Errorf("%s, %s, %s: umask %s", script, shell, how, got)
				}
			}
		}
	}
	b.leftNothing()
}

func TestACutScriptRunsNothing(t *testing.T) {
	b, m := oneLinerBox(t, "bookworm-shells")
	m.publishProbe(t)
	random := rand.New(rand.NewPCG(7, 512))
	for _, script := range cutScripts {
		text, err := os.ReadFile(filepath.Join(m.files, script))
		if err != nil {
			t.Fatal(err)
		}
		b.as(processor(script))
		for _, shell := range shells {
			cuts := t.TempDir()
			cut := func(n int) {
				if err := os.WriteFile(filepath.Join(cuts, fmt.Sprint(n)), text[:n], 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if shell == "dash" {
				for n := 512; n < len(text); n += 512 {
					cut(n)
				}
			} else {
				for range 20 {
					cut(1 + random.IntN(len(text)-2))
				}
			}
			for n := len(text) - 16; n < len(text)-1; n++ { // the last line
				cut(n)
			}
			b.MustExec("rm", "-rf", "/cuts")
			b.Copy(cuts, "/cuts")
			before := b.look()
			ran := b.MustExec("sh", "-c", "for cut in /cuts/*; do "+
				shell+" $cut >/dev/null 2>&1 </dev/null && echo $cut; "+
				shell+" -s -- --exit 11 <$cut >/dev/null 2>&1 && echo piped $cut; done; true")
			for line := range strings.Lines(ran) {
				// A cut within the first line leaves a comment, which is a program that does nothing.
				if n := 0; wholeLine(line, &n) && n > len("#!/bin/sh\n") {
					t.Errorf("%s cut at %d ends well under %s", script, n, shell)
				}
			}
			if asked := m.asked(); len(asked) > 0 {
				t.Fatalf("%s, cut, under %s: asked for %q", script, shell, asked)
			}
			if report := b.report(); report != "" {
				t.Fatalf("%s, cut, under %s: ran ss-setup: %s", script, shell, report)
			}
			b.same(before, script+" cut under "+shell)
			b.leftNothing()
		}
	}
}

// wholeLine reads the number at the end of a path.
func wholeLine(line string, n *int) bool {
	_, err := fmt.Sscan(line[strings.LastIndex(line, "/")+1:], n)
	return err == nil
}

func TestOneLinersEndWithTheCodeThatFits(t *testing.T) {
	b, m := oneLinerBox(t, "bookworm-shells")
	m.publishProbe(t)
	// The real one is a Perl program with these options.
	if err := b.WriteFile("/usr/local/bin/shasum", []byte("#!/bin/sh\n[ \"$*\" = '-a 256' ] && exec /usr/bin/sha256sum\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	x64c, x64w, armc, armw := oneLiners[0], oneLiners[1], oneLiners[2], oneLiners[3]
	// A system that has only the named programs, besides those that each script needs.
	only := func(programs string) string {
		return "rm -rf /few; mkdir /few; for p in sh uname id mktemp rm chmod df sed wc sleep cat readlink stat mv " + programs +
			"; do ln -s $(command -v $p) /few/$p; done; PATH=/few sh /root/setup.sh"
	}
	for _, c := range []struct {
		what, script, processor, line string
		code                          int
		says                          []string
	}{
		{"no root, as a file", x64c, "x86_64", "su admin -c 'cat /tmp/setup.sh >~/my.sh; sh ~/my.sh --plan'", 5, []string{"sudo sh /home/admin/my.sh --plan"}},
		{"no root, piped", x64w, "x86_64", "su admin -c 'sh -s -- --plan' </tmp/setup.sh", 5, []string{"wget -qO- " + m.url + "/" + x64w + " | sudo sh -s -- --plan"}},
		{"x64 on ARM64", x64c, "aarch64", "sh /root/setup.sh", 8, []string{armc}},
		{"ARM64 on x64", armw, "x86_64", "sh /root/setup.sh", 8, []string{x64w}},
		{"ARM on armv7", armc, "armv7l", "sh /root/setup.sh", 8, []string{"armv7l", "aarch64"}},
		{"ARM with wget on armv7", armw, "armv7l", "sh /root/setup.sh", 8, []string{"armv7l", "aarch64"}},
		{"32-bit userland on ARM64", armc, "armv8l", "sh /root/setup.sh", 8, []string{"armv8l"}},
		{"x64 on i686", x64w, "i686", "sh /root/setup.sh", 8, []string{"i686"}},
		{"x64 on riscv64", x64c, "riscv64", "sh /root/setup.sh", 8, []string{"riscv64"}},
		{"no curl", x64c, "x86_64", only("tar gzip sha256sum wget"), 7, []string{"curl is missing", x64w}},
		{"no wget", x64w, "x86_64", only("tar gzip sha256sum curl"), 7, []string{"wget is missing", x64c}},
		{"no tar", x64c, "x86_64", only("gzip sha256sum curl"), 7, []string{"tar is missing"}},
		{"no SHA-256", x64c, "x86_64", only("tar gzip curl"), 7, []string{"SHA-256", "openssl"}},
		{"a SHA-256 that does not work", x64c, "x86_64", only("tar gzip curl") + " --x; ln -s /bin/true /few/sha256sum; PATH=/few sh /root/setup.sh", 7, []string{"SHA-256"}},
		{"SHA-256 by openssl", x64c, "x86_64", only("tar gzip curl openssl") + " --exit 12", 12, nil},
		{"SHA-256 by shasum", x64w, "x86_64", only("tar gzip wget shasum") + " --exit 12", 12, nil},
		{"SHA-256 by busybox", x64w, "x86_64", only("tar gzip wget busybox") + " --exit 12", 12, nil},
		{"killed", x64c, "x86_64", "sh /root/setup.sh --die", 137, nil},
		{"killed under ksh", x64c, "x86_64", "ksh93 /root/setup.sh --die", 137, nil},
		{"killed under yash", x64c, "x86_64", "yash /root/setup.sh --die", 137, nil},
		{"nothing to read from", x64c, "x86_64", "sh /root/setup.sh --exit 3 <&-", 3, nil},
	} {
		t.Run(c.what, func(t *testing.T) {
			b.as(c.processor)
			b.fetched(m, c.script)
			b.MustExec("install", "-m", "644", "/root/setup.sh", "/tmp/setup.sh")
			before := b.look()
			r := b.sh(c.line)
			if r.code != c.code {
				t.Errorf("want exit %d, got %s", c.code, r)
			}
			for _, want := range c.says {
				if !strings.Contains(r.stderr, want) {
					t.Errorf("does not say %q: %s", want, r)
				}
			}
			ran := b.report() != ""
			if must := len(c.says) == 0; ran != must {
				t.Errorf("ss-setup ran: %v, want %v", ran, must)
			}
			b.same(before, c.what)
			b.leftNothing()
		})
	}
}

func TestAOneLinerFindsAFolderThatProgramsRunFrom(t *testing.T) {
	b, m := oneLinerBox(t, "bookworm-shells")
	m.publishProbe(t)
	b.as("x86_64")
	b.fetched(m, oneLiners[0])
	run := func(want string, env ...string) {
		t.Helper()
		r := b.sh("umask 077; env -u HOME dash /root/setup.sh --exit 0", env...)
		if got := said(b.report(), "folder"); r.code != 0 || !strings.HasPrefix(got, want+"/ss-setup.") {
			t.Errorf("with %q ran in %s, want %s: %s", env, got, want, r)
		}
		b.leftNothing()
	}
	run("/tmp")
	run("/home", "TMPDIR=/home")
	run("/tmp", "TMPDIR=/nowhere")
	run("/tmp", "TMPDIR=-p")
	b.MustExec("mount", "-t", "tmpfs", "-o", "noexec", "tmpfs", "/tmp")
	run("/var/tmp")
	run("/home", "TMPDIR=/home")
	b.MustExec("mount", "-t", "tmpfs", "-o", "size=1M", "tmpfs", "/var/tmp")
	run("/run")
	b.MustExec("mount", "-o", "remount,noexec", "/run")
	b.MustExec("mount", "-t", "tmpfs", "-o", "noexec", "tmpfs", "/opt")
	run("/root")
	b.MustExec("mount", "--bind", "/root", "/root")
	b.MustExec("mount", "-o", "remount,bind,noexec", "/root")
	r := b.sh("dash /root/setup.sh")
	if r.code != 7 || !strings.Contains(r.stderr, "TMPDIR=") {
		t.Errorf("without any place: %s", r)
	}
	if asked := m.asked(); len(asked) != 8 {
		t.Errorf("downloads: %q", asked)
	}
}

func TestADownloadIsResumedVerifiedAndTriedOnEveryMirror(t *testing.T) {
	t.Parallel() // it mostly waits
	b, m := oneLinerBox(t, "bookworm-shells")
	b.as("x86_64")
	const dead = "http://10.77.0.254:9" // refuses connections
	const archive = "ss-server-7.0.0-linux-amd64.tar.gz"
	for _, script := range oneLiners[:2] {
		for _, shell := range []string{"dash", "busybox sh"} {
			if shell == "busybox sh" && strings.HasSuffix(script, "c.sh") {
				continue
			}
			for _, c := range []struct {
				what  string
				bases []string
				does  wrong
				code  int
				says  []string
				asks  string // of the last request; "": any
			}{
				{"a cut connection", nil, wrong{cutAfter: 60_000}, 0, nil, "/" + archive + " from "},
				{"a cut connection and no ranges", nil, wrong{cutAfter: 60_000, noRange: true}, 7, []string{"cannot download", m.url + "/" + archive}, ""},
				{"no ranges", nil, wrong{noRange: true}, 0, nil, "/" + archive},
				{"a mirror", []string{dead, m.url}, wrong{}, 0, nil, "/" + archive},
				{"a folder that is not there", []string{m.url + "/nowhere", m.url}, wrong{}, 0, nil, ""},
				{"damage", nil, wrong{damage: true}, 9, []string{"damaged", m.url + "/" + archive, "nothing of it was run"}, ""},
				{"damage after a dead mirror", []string{dead, m.url}, wrong{damage: true}, 9, []string{"damaged"}, ""},
				{"endless data", nil, wrong{endless: true}, 9, []string{"damaged"}, ""},
				{"no network", []string{dead, dead + "/b"}, wrong{}, 7, []string{dead + "/" + archive, dead + "/b/" + archive, "proxy: none", "tar -xzf " + archive + " && sudo ./" + strings.TrimSuffix(archive, ".tar.gz") + "/ss-setup install"}, ""},
			} {
				t.Run(script+", "+shell+", "+c.what, func(t *testing.T) {
					m.does(c.does)
					m.publishProbe(t, c.bases...)
					b.fetched(m, script)
					m.asked()
					line := shell + " /root/setup.sh --exit 0"
					if shell == "busybox sh" {
						line = "PATH=/busybox /bin/" + line
					}
					r := b.sh(line)
					if r.code != c.code {
						t.Errorf("want exit %d, got %s", c.code, r)
					}
					for _, want := range c.says {
						if !strings.Contains(r.stderr, want) {
							t.Errorf("does not say %q: %s", want, r)
						}
					}
					if ran := b.report() != ""; ran != (c.code == 0) {
						t.Errorf("ss-setup ran: %v", ran)
					}
					asked := m.asked()
					if c.asks != "" && (len(asked) == 0 || !strings.HasPrefix(asked[len(asked)-1], c.asks)) {
						t.Errorf("asked for %q, want %q at last", asked, c.asks)
					}
					b.leftNothing()
				})
			}
		}
	}
}

func TestAOneLinerUsesTheProxyOfTheEnvironment(t *testing.T) {
	b, m := oneLinerBox(t, "bookworm-shells")
	b.as("x86_64")
	m.publishProbe(t, "http://downloads.test/ss") // a name that only the proxy knows
	want := []string{"http://downloads.test/ss/ss-server-7.0.0-linux-amd64.tar.gz"}
	for _, script := range oneLiners[:2] {
		b.fetched(m, script)
		for _, line := range []string{
			"http_proxy=%s sh /root/setup.sh --exit 0",
			"HTTP_PROXY=%s sh /root/setup.sh --exit 0",
			"sudo http_proxy=%s sh /root/setup.sh --exit 0",
			"export http_proxy=%s; sudo --preserve-env=http_proxy sh -s -- --exit 0 </root/setup.sh",
			"http_proxy=%s PATH=/busybox:$PATH /bin/busybox sh /root/setup.sh --exit 0",
		} {
			r := b.sh(fmt.Sprintf(line, m.url))
			report := b.report()
			if r.code != 0 || said(report, "proxy") != m.url {
				t.Errorf("%s: %s: %s %s", script, line, r, report)
			}
			if asked := m.asked(); !slices.Equal(asked, want) {
				t.Errorf("%s: %s: asked for %q, want %q", script, line, asked, want)
			}
		}
		r := b.sh("http_proxy=http://me:secret@10.77.0.254:9 sh /root/setup.sh")
		if r.code != 7 || !strings.Contains(r.stderr, "http://...@10.77.0.254:9") || strings.Contains(r.stderr, "secret") {
			t.Errorf("%s: a dead proxy: %s", script, r)
		}
	}
	b.leftNothing()
}

func TestAOneLinerTrustsOnlyKnownAuthoritiesThroughAProxy(t *testing.T) {
	b, m := oneLinerBox(t, "bookworm-shells")
	b.as("x86_64")
	m.publishProbe(t, "https://downloads.test/ss")
	for name, text := range map[string]string{"/etc/own/ca.pem": string(m.ca), "/etc/own/wgetrc": "ca_certificate = /etc/own/ca.pem\n"} {
		if err := b.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for script, own := range map[string]string{
		oneLiners[0]: "CURL_CA_BUNDLE=/etc/own/ca.pem",
		oneLiners[1]: "WGETRC=/etc/own/wgetrc",
	} {
		b.fetched(m, script)
		run := "HTTPS_PROXY=" + m.url + " sh /root/setup.sh --exit 0"
		if r := b.sh(run); r.code != 7 || b.report() != "" {
			t.Errorf("%s: a server that nobody vouches for: %s", script, r)
		}
		m.asked()
		if r := b.sh(own + " " + run); r.code != 0 || b.report() == "" {
			t.Errorf("%s: an authority of one's own: %s", script, r)
		}
		const archive = "/ss/ss-server-7.0.0-linux-amd64.tar.gz"
		want := []string{"CONNECT downloads.test:443", archive}
		if asked := m.asked(); !slices.Equal(asked, want) {
			t.Errorf("%s: asked for %q, want %q", script, asked, want)
		}
		// Sent from https to http, curl does not go. wget does, and the digest decides.
		m.does(wrong{redirect: "http://elsewhere.test"})
		code, goes := 7, false
		if strings.HasSuffix(script, "w.sh") {
			code, goes = 0, true
		}
		r := b.sh(own + " http_proxy=" + m.url + " " + run)
		asked := m.asked()
		if ran := b.report() != ""; r.code != code || ran != goes || slices.Contains(asked, "http://elsewhere.test"+archive) != goes {
			t.Errorf("%s, sent to http: asked for %q, %s", script, asked, r)
		}
		m.does(wrong{})
	}
	b.leftNothing()
}

func TestQuestionsOfAPipedOneLinerGoToTheTerminalOrToNobody(t *testing.T) {
	b, m := oneLinerBox(t, "bookworm-shells")
	b.as("x86_64")
	m.publishProbe(t)
	b.fetched(m, oneLiners[0])
	for _, shell := range shells {
		for _, c := range []struct{ line, input, answer string }{
			{"setsid " + shell + " -s -- --ask </root/setup.sh", "/dev/null", ""},
			{"echo yes | setsid " + shell + " /root/setup.sh --ask", "pipe:", "yes"},
			{"setsid " + shell + " /root/setup.sh --ask </dev/null", "/dev/null", ""},
			// script gives the command a terminal and types what it reads itself.
			{"(echo yes; sleep 1) | script -qec 'cat /root/setup.sh | " + shell + " -s -- --ask' /dev/null", "/dev/", "yes"},
			{"(echo yes; sleep 1) | script -qec '" + shell + " /root/setup.sh --ask' /dev/null", "/dev/", "yes"},
		} {
			r := b.sh(c.line)
			report := b.report()
			if r.code != 0 || !strings.HasPrefix(said(report, "input"), c.input) || said(report, "answer") != c.answer && c.answer != "" {
				t.Errorf("%s: want input %s, answer %q: %s\n%s", c.line, c.input, c.answer, r, report)
			}
			if c.answer != "" && c.input == "/dev/" && said(report, "input") == "/dev/null" {
				t.Errorf("%s: nobody was asked: %s", c.line, report)
			}
		}
	}
	b.leftNothing()
}

func TestASignalEndsSetupInOrderAndTheFolderGoes(t *testing.T) {
	b, m := oneLinerBox(t, "bookworm-shells")
	b.as("x86_64")
	m.publishProbe(t)
	for _, script := range oneLiners[:2] {
		b.fetched(m, script)
		for _, shell := range shells {
			for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP} {
				p := b.Spawn(append(strings.Fields(shell), "/root/setup.sh", "--wait")...)
				b.eventually(shell+" runs ss-setup", func() bool {
					_, _, code := b.Exec(context.Background(), "test", "-e", "/root/report")
					return code == 0
				})
				if err := p.Signal(sig); err != nil {
					t.Fatal(err)
				}
				select {
				case <-p.Done():
				case <-time.After(time.Minute):
					t.Fatalf("%s, %s: still running a minute after %s:\n%s%s", script, shell, sig, b.MustExec("ps", "-eo", "pid,ppid,stat,wchan:20,args"), b.report())
				}
				_, stderr, code := p.Wait()
				report := b.report()
				if code != 4 || !strings.Contains(report, "stopped") {
					t.Errorf("%s, %s, %s: exit %d, want ss-setup's 4: %s %s", script, shell, sig, code, report, stderr)
				}
				b.leftNothing()
			}
		}
	}
}

func TestCtrlCDuringTheDownloadLeavesNothing(t *testing.T) {
	b, m := oneLinerBox(t, "bookworm-shells")
	b.as("x86_64")
	m.publishProbe(t)
	m.does(wrong{silent: true})
	for _, script := range oneLiners[:2] {
		b.fetched(m, script)
		for _, shell := range shells {
			m.asked()
			// The terminal sends ^C to all of its programs. (script reads it as a byte.)
			p := b.Spawn("sh", "-c", `(while ! [ -e /root/go ]; do sleep 0.05; done; printf '\003'; sleep 0.5) | script -qec '`+shell+` /root/setup.sh' /dev/null`)
			b.eventually("the download began", func() bool { return len(m.asked()) > 0 })
			b.MustExec("touch", "/root/go")
			stdout, _, code := p.Wait()
			b.MustExec("rm", "/root/go")
			if code != 4 && code != 130 {
				t.Errorf("%s, %s: exit %d: %s", script, shell, code, stdout)
			}
			b.leftNothing()
		}
	}
}

func TestCtrlCInAPipedOneLinerPutsEverythingBack(t *testing.T) {
	b, m := oneLinerBox(t, "bookworm-shells")
	b.as("x86_64")
	m.publishFixture(t, "7.0.0")
	for _, shell := range []string{"dash", "yash"} {
		b.fetched(m, oneLiners[0])
		clean := b.look()
		p := b.Spawn("sh", "-c", `(while ! [ -e /var/lib/ss-setup/txn ]; do sleep 0.01; done; printf '\003'; sleep 3) | script -qec 'trap : INT; cat /root/setup.sh | `+shell+`' /dev/null`)
		stdout, _, code := p.Wait()
		if code != 4 || !strings.Contains(stdout, "put back") {
			t.Errorf("%s: exit %d, want ss-setup's 4: %s", shell, code, stdout)
		}
		b.settled(recoveryTime)
		b.same(clean, "^C in "+shell)
		b.leftNothing()
	}
}

// eventually waits until something is so.
func (b *box) eventually(what string, so func() bool) {
	b.t.Helper()
	for end := time.Now().Add(time.Minute); !so(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			b.t.Fatalf("waited a minute until %s", what)
		}
	}
}
