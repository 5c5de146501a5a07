//go:build linux && lab

package endtoend

import (
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"ss-setup/installer/bundle/trust"
	"ss-setup/packaging/signing"
	"ss-setup/scripts/lab"
	"ss-setup/scripts/lab/fixtures"
)

// onlineBox is a machine with nothing but the ss-setup of a fixture, /root/ss-setup, on
// the network of mirrors.
func onlineBox(t *testing.T, fixture string) *box {
	t.Helper()
	b := boot(t, lab.Options{IP: address()})
	b.Copy(filepath.Join(fixtures.Bundle(t, fixture), "ss-setup"), "/root/ss-setup")
	return b
}

// wants runs a command line and wants its exit code, and that it says something.
func (b *box) wants(code int, line string, says ...string) result {
	b.t.Helper()
	r := b.sh(line)
	if r.code != code {
		b.t.Fatalf("%s: want exit %d, got %s", line, code, r)
	}
	for _, s := range says {
		if !strings.Contains(r.stdout+r.stderr, s) {
			b.t.Errorf("%s: does not say %q: %s", line, s, r)
		}
	}
	return r
}

const (
	wholePayload = ".payload.tar.zst"
	wholeSetup   = ".ss-setup"
	payloadPatch = ".payload.tar.zst.patch"
	setupPatch   = ".ss-setup.patch"
)

// of are the requests for files whose names end so.
func of(requests []request, suffix string) []request {
	return slices.DeleteFunc(slices.Clone(requests), func(r request) bool {
		path, _, _ := strings.Cut(r.what, " ")
		return !strings.HasSuffix(path, suffix)
	})
}

func TestAnInstallationFollowsTheRepositoryThatItWasBuiltFor(t *testing.T) {
	needsRoot(t)
	t.Parallel()
	m := newMirror(t)
	v := newVendor(t, m)
	b := onlineBox(t, "7.0.0-online")
	setup := "http_proxy=" + m.url + " ss-setup " // the name of the repository is known to the proxy alone
	first := v.publish("7.0.0-online")

	r := b.wants(0, "http_proxy="+m.url+" /root/ss-setup install", "/init/setup")
	if n := strings.Count(r.stderr, "development build"); n != 1 {
		t.Errorf("it says %d times that it is a development build: %s", n, r)
	}
	b.serves(recoveryTime, "7.0.0")
	b.MustExec("ss-setup", "verify")
	for _, asked := range m.asked() {
		if !strings.HasPrefix(asked, fixtures.Site+"/") {
			t.Errorf("asked for %s", asked)
		}
	}
	installed := b.look()
	b.wants(0, setup+"install", "is installed already")
	b.wants(0, setup+"install --version 7.0.0", "is installed already")
	b.same(installed, "the same version")
	if asked := m.log(); len(of(asked, wholePayload))+len(of(asked, wholeSetup)) > 0 {
		t.Errorf("the same version was downloaded: %v", asked)
	}

	v.publish("7.0.1", "--previous", string(first))
	v.publish("7.0.2", "--channel", "beta")
	b.wants(0, setup+"check-update --channel beta", "SS Server 7.0.2 of ")
	b.wants(0, "ss-setup status", "SS Server 7.0.2 is available", "--channel=beta")
	b.wants(0, setup+"check-update", "SS Server 7.0.1 of 2026-11-22 is available; 7.0.0 is installed", "A thing was mended.")
	b.wants(0, "ss-setup status", "SS Server 7.0.1 is available (found now); install it with: ss-setup install --update")
	b.wants(2, setup+"install --update --version 9.9.9", "there is no release 9.9.9", "7.0.1 (stable)", "7.0.2 (beta)")
	b.wants(2, setup+"install --update --channel nightly")

	// Some administrators let nothing be run from /var.
	b.MustExec("sh", "-c", "mount --bind /var /var && mount -o remount,bind,noexec /var")

	// The update comes as patches. Its ss-setup takes over as soon as it is there, and
	// goes on at the same place, whatever it was itself built for.
	m.log()
	b.wants(0, setup+"install --update --health-timeout "+healthTimeout.String(), "from 7.0.0 to 7.0.1")
	b.serves(recoveryTime, "7.0.1")
	b.settled(recoveryTime)
	b.MustExec("ss-setup", "verify")
	asked := m.log()
	if len(of(asked, wholePayload))+len(of(asked, wholeSetup)) > 0 {
		t.Errorf("more than patches was downloaded: %v", asked)
	}
	for suffix, agent := range map[string]string{"/timestamp.json": "ss-setup/7.0.0", setupPatch: "ss-setup/7.0.0", payloadPatch: "ss-setup/7.0.1"} {
		if got := of(asked, suffix); len(got) == 0 || got[0].agent != agent {
			t.Errorf("%s was asked for by %v, want %s", suffix, got, agent)
		}
	}

	b.MustExec("mount", "-o", "remount,bind,exec", "/var")

	// A patch that is broken on the server is passed over without a word.
	b.wants(0, "ss-setup rollback -S --yes --health-timeout "+healthTimeout.String())
	b.serves(recoveryTime, "7.0.0")
	m.does(wrong{of: payloadPatch, damage: true})
	m.log()
	r = b.wants(0, setup+"install --update --yes --from "+fixtures.Site+" --health-timeout "+healthTimeout.String(), "from 7.0.0 to 7.0.1")
	if strings.Contains(r.stdout+r.stderr, "patch") {
		t.Errorf("it speaks of the patch: %s", r)
	}
	if asked := m.log(); len(of(asked, payloadPatch)) != 1 || len(of(asked, wholePayload)) != 1 {
		t.Errorf("asked for %v, want the patch and the whole", asked)
	}
	b.serves(recoveryTime, "7.0.1")
	b.MustExec("ss-setup", "verify")
}

func TestAnInterruptedDownloadIsTakenUpAndProved(t *testing.T) {
	needsRoot(t)
	t.Parallel()
	m := newMirror(t)
	v := newVendor(t, m)
	b := onlineBox(t, "7.0.0")
	clean := b.look()

	// No network, and no repository.
	const dead = "http://10.77.0.254:9/ss" // refuses connections
	b.wants(7, "/root/ss-setup install --from "+dead+" --mirror http://nowhere.test/ss",
		dead+" (without a proxy)", "http://nowhere.test/ss (without a proxy)", "nothing was changed", "ss-setup install --from DIR")
	b.wants(7, "/root/ss-setup install --from "+v.base+" --proxy http://10.77.0.254:9", "through the proxy http://10.77.0.254:9")
	b.wants(7, "/root/ss-setup install --from "+v.base+"/nowhere", "there is no repository of releases", "404")
	b.same(clean, "without a network")

	// The server cuts every connection after half of the payload.
	v.publish("7.0.0")
	half := v.size("7.0.0", wholePayload)/2 + 1
	m.does(wrong{of: wholePayload, cutAfter: half})
	m.log()
	b.wants(0, "/root/ss-setup install --from "+dead+" --mirror "+v.base, "/init/setup")
	b.serves(recoveryTime, "7.0.0")
	b.MustExec("ss-setup", "verify")
	wantRanges(t, m.log(), 0, half)

	// Killed twice on the way, with damage to what has come.
	m.does(wrong{})
	v.publish("7.0.1")
	size := v.size("7.0.1", wholePayload)
	line := "ss-setup install --update --from " + v.base + " --health-timeout " + healthTimeout.String()
	killAt := func(came, holdAfter int64) {
		t.Helper()
		m.does(wrong{of: wholePayload, holdAfter: holdAfter})
		p := b.Spawn("sh", "-c", "exec "+line)
		const part = "/var/lib/ss-setup/download/*/payload.tar.zst.part"
		b.eventually("the download stands still", func() bool {
			out, _, _ := b.Exec(t.Context(), "sh", "-c", "stat -c %s "+part)
			return strings.TrimSpace(out) == fmt.Sprint(came)
		})
		if err := p.Signal(syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		p.Wait()
		b.serves(recoveryTime, "7.0.0")
		b.MustExec("ss-setup", "verify")
	}
	b.MustExec("sh", "-c", "mkdir -p /var/lib/ss-setup/download && mount -t tmpfs -o size=1M tmpfs /var/lib/ss-setup/download")
	b.wants(7, line, "no space left", "nothing was changed", "make room on the disk of /var/lib/ss-setup/download")
	b.MustExec("umount", "/var/lib/ss-setup/download")
	third := size / 3
	killAt(third, third)
	wantRanges(t, m.log(), 0)
	killAt(2*third, third)
	wantRanges(t, m.log(), third)
	b.MustExec("sh", "-c", "printf damage | dd of=$(echo /var/lib/ss-setup/download/*/payload.tar.zst.part) bs=1 seek=1000 conv=notrunc 2>/dev/null")
	m.does(wrong{})
	b.wants(0, line, "from 7.0.0 to 7.0.1")
	wantRanges(t, m.log(), 2*third, 0)
	b.serves(recoveryTime, "7.0.1")
	b.settled(recoveryTime)
	b.MustExec("ss-setup", "verify")
	if left, _, _ := b.Exec(t.Context(), "ls", "/var/lib/ss-setup/download"); left != "" {
		t.Errorf("of the download is left: %s", left)
	}
}

// wantRanges wants the payload to have been asked for from these bytes on.
func wantRanges(t *testing.T, requests []request, from ...int64) {
	t.Helper()
	var got []int64
	for _, r := range of(requests, wholePayload) {
		var n int64
		if _, after, resumed := strings.Cut(r.what, " from "); resumed {
			if _, err := fmt.Sscan(after, &n); err != nil {
				t.Fatal(err)
			}
		}
		got = append(got, n)
	}
	if !slices.Equal(got, from) {
		t.Errorf("the payload was asked for from %v, want %v", got, from)
	}
}

// attack is what somebody who has the server, or the way to it, may try. check is what
// must stop it.
type attack struct {
	name  string
	check trust.Check
	try   func(v *vendor)
}

var attacks = []attack{
	{"rollback", trust.Rollback, func(v *vendor) { v.put(v.before, "metadata") }},
	{"freeze", trust.Freeze, func(v *vendor) {
		s := v.second()
		s.Now = func() time.Time { return time.Now().Add(-60 * 24 * time.Hour) }
		v.must(s.Refresh())
		v.serve(s)
	}},
	{"mix-and-match", trust.MixAndMatch, func(v *vendor) {
		known := v.newest("targets.json")
		s := v.second()
		v.must(s.Promote("7.0.1", trust.Beta))
		v.serve(s)
		v.must(os.WriteFile(v.newestFile("targets.json"), known, 0o644))
	}},
	{"wrong signer", trust.WrongSigner, func(v *vendor) {
		stranger := signing.Open(v.t.TempDir())
		v.must(stranger.Init(rand.Reader, true))
		for range 30 {
			v.must(stranger.Refresh()) // newer than anything
		}
		v.serve(stranger)
	}},
	{"expired root", trust.ExpiredRoot, func(v *vendor) {
		s := v.second()
		s.Now = func() time.Time { return time.Now().Add(-4 * 365 * 24 * time.Hour) }
		v.must(s.RenewRoot())
		s.Now = time.Now
		v.must(s.Refresh())
		v.serve(s)
	}},
	{"truncated metadata", trust.Truncated, func(v *vendor) {
		v.must(os.Truncate(filepath.Join(v.folder, "metadata", "timestamp.json"), 100))
	}},
	{"endless metadata", trust.Oversized, func(v *vendor) { v.m.does(wrong{of: "/timestamp.json", endless: true}) }},
	{"truncated payload", trust.Truncated, func(v *vendor) { v.must(os.Truncate(v.target("7.0.1", wholePayload), 10_000)) }},
	{"endless payload", trust.Oversized, func(v *vendor) { v.m.does(wrong{of: wholePayload, endless: true}) }},
	{"oversized payload", trust.Oversized, func(v *vendor) {
		file := v.target("7.0.1", wholePayload)
		v.must(os.Truncate(file, v.size("7.0.1", wholePayload)+1))
	}},
	{"swapped payload", trust.Swapped, func(v *vendor) { v.m.does(wrong{of: wholePayload, damage: true}) }},
	{"swapped ss-setup", trust.Swapped, func(v *vendor) {
		script := "#!/bin/sh\ntouch /root/executed\nexit 0\n#"
		script += strings.Repeat("#", int(v.size("7.0.1", wholeSetup))-len(script))
		v.must(os.WriteFile(v.target("7.0.1", wholeSetup), []byte(script), 0o644))
	}},
}

func TestEveryAttackOnARepositoryIsRefusedAndChangesNothing(t *testing.T) {
	needsRoot(t)
	t.Parallel()
	m, slow := newMirror(t), newMirror(t)
	v := newVendor(t, m)
	b := onlineBox(t, "7.0.0")
	v.publish("7.0.0")
	b.wants(0, "/root/ss-setup install --from "+v.base, "/init/setup")
	v.save()
	v.publish("7.0.1")
	b.wants(0, "ss-setup check-update --from "+v.base, "7.0.1")

	// A byte now and then, while all the others have their turn.
	slow.files = m.files
	slow.does(wrong{of: "/timestamp.json", drip: true})
	began := time.Now()
	dripping := b.Spawn("ss-setup", "check-update", "--from", slow.url)

	before := b.look()
	refused := func(name, line string, code int, says ...string) {
		t.Helper()
		r := b.sh(line)
		if r.code != code {
			t.Errorf("%s: want exit %d, got %s", name, code, r)
		}
		for _, s := range says {
			if !strings.Contains(r.stderr, s) {
				t.Errorf("%s: does not say %q: %s", name, s, r)
			}
		}
		if _, _, code := b.Exec(t.Context(), "test", "-e", "/root/executed"); code == 0 {
			t.Errorf("%s: something unverified was run", name)
		}
		b.MustExec("rm", "-rf", "/var/lib/ss-setup/download") // what could be taken up
		b.same(before, name)
		b.serves(recoveryTime, "7.0.0")
	}
	for _, a := range attacks {
		a.try(v)
		refused(a.name, "ss-setup install --update --from "+v.base, 9, "not trusted ("+string(a.check)+")")
		m.does(wrong{})
		v.upload()
	}

	_, stderr, code := dripping.Wait()
	if took := time.Since(began); code != 7 || !strings.Contains(stderr, "too slowly") || took > 3*time.Minute {
		t.Errorf("a server that sends a byte now and then: exit %d after %s: %s", code, took, stderr)
	}
	// Where one mirror attacks, the next one serves.
	slow.does(wrong{of: wholePayload, damage: true})
	b.wants(0, "ss-setup install --update --from "+slow.url+" --mirror "+v.base+" --health-timeout "+healthTimeout.String(), "from 7.0.0 to 7.0.1")
	b.serves(recoveryTime, "7.0.1")
	b.MustExec("ss-setup", "verify")
}

// save keeps the metadata that are served now in before.
func (v *vendor) save() {
	v.t.Helper()
	v.before = v.t.TempDir()
	v.must(os.CopyFS(v.before, os.DirFS(filepath.Join(v.folder, "metadata"))))
}

// second is a vault with the same keys.
func (v *vendor) second() *signing.Vault {
	v.t.Helper()
	s := signing.Open(v.t.TempDir())
	v.must(os.CopyFS(s.Dir, os.DirFS(v.vault.Dir)))
	keys, err := filepath.Glob(filepath.Join(s.Dir, "keys", "*"))
	v.must(err)
	for _, key := range keys {
		v.must(os.Chmod(key, 0o600))
	}
	return s
}

// serve puts the metadata of a vault on the mirror.
func (v *vendor) serve(s *signing.Vault) {
	v.t.Helper()
	v.must(s.CopyMetadata(filepath.Join(v.folder, "metadata")))
}

// newestFile is the metadata file of a role with the highest number on the mirror.
func (v *vendor) newestFile(role string) string {
	v.t.Helper()
	newest, number := "", -1
	files, err := filepath.Glob(filepath.Join(v.folder, "metadata", "*."+role))
	v.must(err)
	for _, file := range files {
		var n int
		if _, err := fmt.Sscanf(filepath.Base(file), "%d.", &n); err == nil && n > number {
			newest, number = file, n
		}
	}
	return newest
}

func (v *vendor) newest(role string) []byte {
	v.t.Helper()
	text, err := os.ReadFile(v.newestFile(role))
	v.must(err)
	return text
}

// target is the file of a version on the mirror whose name ends so.
func (v *vendor) target(version, suffix string) string {
	v.t.Helper()
	files, err := filepath.Glob(filepath.Join(v.folder, "targets", version, "*", "*", "*"+suffix))
	v.must(err)
	if len(files) != 1 {
		v.t.Fatalf("%d files of %s end with %s", len(files), version, suffix)
	}
	return files[0]
}

// size of such a file, in bytes.
func (v *vendor) size(version, suffix string) int64 {
	v.t.Helper()
	info, err := os.Stat(v.target(version, suffix))
	v.must(err)
	return info.Size()
}
