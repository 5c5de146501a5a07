package step

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"log/slog"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"ss-setup/installer/bundle"
	"ss-setup/installer/machine"
	"ss-setup/packaging/release"
	"ss-setup/runtime/backup"
)

// The releases and generations of the machine under test: generation 1 of
// oldRelease is in force, generation 2 is being made.
const (
	oldRelease = "7.0.0-aaaaaaaa"
	newRelease = "7.0.1-bbbbbbbb"
)

// longAgo is the time of every file that stands on the machine before a test.
var longAgo = time.Date(2021, 3, 4, 5, 6, 7, 891011, time.UTC)

var errCut = errors.New("the process is dead")

// kit is a machine below a root, with everything else faked.
type kit struct {
	*Machine
	t        testing.TB
	services *fakeServices
	firewall *fakeFirewall
	warnings []string
	// cut is the number of the changing call from which on nothing happens any
	// more, as after the death of the process; 0 for never.
	cut, calls int
	// ops are the changing calls that happened.
	ops []string
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// release makes a release folder of one program, with its manifest.
func (k *kit) release(id, program string) {
	k.t.Helper()
	k.file(machine.Release(id)+"/bin/ss-server", program)
	k.file(machine.Release(id)+"/"+bundle.PayloadName, "")
	blob := `{"name":"payload.tar.zst","size":1,"sha256":"` + digest(nil) + `"}`
	k.file(machine.Release(id)+"/"+bundle.ManifestName, fmt.Sprintf(
		`{"schema":1,"product":"ss-server","version":"7.0.0","os":"linux","arch":"amd64","files":[{"path":"bin/ss-server","size":%d,"mode":"0755","sha256":"%s"}],"payload":%s,"setup":%s}`,
		len(program), digest([]byte(program)), blob, strings.Replace(blob, `"name":"payload.tar.zst",`, "", 1)))
}

// newKit makes a machine on which generation 1 serves.
func newKit(t testing.TB) *kit {
	t.Helper()
	k := bareKit(t)
	k.release(oldRelease, "old program")
	k.dir(machine.ProgramDir+"/releases", 0o755)
	k.link(machine.Generation(1)+"/release", "../../releases/"+oldRelease)
	k.link(machine.Generation(1)+"/data", machine.ServerData(1))
	k.link(machine.Generation(1)+"/licensed", machine.LicensedData(1))
	k.file(machine.Generation(1)+"/open", "")
	k.link(machine.Current, "generations/1")
	k.file(machine.ServerData(1)+"/store.db", "the old store")
	k.file(machine.ServerData(1)+"/tls/cert.pem", "certificate")
	k.file(machine.LicensedData(1)+"/license.db", "the old licenses")
	k.dir(machine.ReceiptsDir, 0o700)
	k.dir(machine.OriginalsDir, 0o700)
	k.file(machine.StateFile, `{"schema":1,"next_generation":2,"installed":true,"generations":{},"failed_releases":[]}`)
	k.services.active = map[string]bool{machine.ServerService: true, machine.LicensedService: true}
	return k
}

// bareKit makes a machine on which nothing was ever installed. ss-setup's own
// folder is there: the journal lies in it.
func bareKit(t testing.TB) *kit {
	t.Helper()
	if test, ok := t.(*testing.T); ok {
		needsRoot(test)
	}
	k := &kit{t: t, services: &fakeServices{active: map[string]bool{}}, firewall: &fakeFirewall{}}
	f := &machine.FS{Root: t.TempDir()}
	f.Before = func(op machine.Op, path string) error {
		k.calls++
		if k.cut > 0 && k.calls >= k.cut {
			return errCut
		}
		k.ops = append(k.ops, fmt.Sprintf("%s %s", op, path))
		return nil
	}
	k.services.fs = f
	k.Machine = &Machine{
		FS: f, Services: k.services, Accounts: &fakeAccounts{f}, Programs: &fakePrograms{fs: f}, Firewall: k.firewall,
		Prober: &fakeProber{fs: f, services: k.services}, PreDir: machine.TxnDir + "/pre", HealthTimeout: 50 * time.Millisecond,
		Now:  func() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC) },
		Rand: zeros{}, Warn: func(s string) { k.warnings = append(k.warnings, s) }, Log: slog.New(slog.DiscardHandler),
	}
	t.Cleanup(k.releaseStores)
	for _, dir := range []string{"/etc/systemd/system", "/usr/bin", "/opt", "/srv", "/var/lib", machine.TxnDir} {
		k.dir(dir, 0o755)
	}
	k.file("/etc/passwd", "root:x:0:0::/root:/bin/sh\nss-server:x:0:0::/:\nss-licensed:x:0:0::/:\n")
	return k
}

func (k *kit) dir(path string, mode fs.FileMode) {
	k.t.Helper()
	must(k.t, os.MkdirAll(k.FS.Real(path), 0o755))
	must(k.t, os.Chmod(k.FS.Real(path), mode))
}

func (k *kit) file(path, text string) {
	k.t.Helper()
	k.fileMode(path, text, 0o644)
}

func (k *kit) fileMode(path, text string, mode fs.FileMode) {
	k.t.Helper()
	k.dir(filepath.Dir(path), 0o755)
	must(k.t, os.WriteFile(k.FS.Real(path), []byte(text), 0o600))
	must(k.t, os.Chmod(k.FS.Real(path), mode))
	must(k.t, os.Chtimes(k.FS.Real(path), longAgo, longAgo))
}

func (k *kit) link(path, target string) {
	k.t.Helper()
	k.dir(filepath.Dir(path), 0o755)
	must(k.t, os.Symlink(target, k.FS.Real(path)))
}

// text is what stands in a file; a missing one has no text.
func (k *kit) text(path string) string {
	content, err := k.FS.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		k.t.Helper()
		k.t.Fatal(err)
	}
	return string(content)
}

// prepare prepares a step and returns its undo as the journal gives it back.
func (k *kit) prepare(s Step) json.RawMessage {
	k.t.Helper()
	undo, err := s.Prepare(k.t.Context(), k.Machine)
	must(k.t, err)
	encoded, err := json.Marshal(undo)
	must(k.t, err)
	return encoded
}

// cutAt runs something of which the n-th changing call and all after it fail;
// then a new process has the machine.
func (k *kit) cutAt(n int, run func() error) error {
	k.cut, k.calls = n, 0
	err := run()
	k.cut = 0
	if n > 0 {
		k.releaseStores()
	}
	return err
}

func (k *kit) do(s Step) error { return s.Do(k.t.Context(), k.Machine) }

func (k *kit) undo(s Step, undo json.RawMessage) error {
	return s.Undo(k.t.Context(), k.Machine, undo)
}

func (k *kit) warned(part string) bool {
	return slices.ContainsFunc(k.warnings, func(w string) bool { return strings.Contains(w, part) })
}

// snapshot tells everything about the machine that must come back, one thing a
// line: content, mode and owner of everything, the time of files, services, ports.
func (k *kit) snapshot() string {
	k.t.Helper()
	var out strings.Builder
	root := k.FS.Root
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := "/" + strings.TrimPrefix(strings.TrimPrefix(path, root), "/")
		if name == machine.TxnDir {
			return filepath.SkipDir
		}
		line, err := describe(path, d)
		fmt.Fprintf(&out, "%s %s\n", name, line)
		return err
	})
	must(k.t, err)
	fmt.Fprintln(&out, "running:", k.services.running())
	fmt.Fprintln(&out, "open:", k.firewall.open)
	fmt.Fprintln(&out, "held:", len(k.locks))
	return out.String()
}

func describe(path string, d fs.DirEntry) (string, error) {
	info, err := d.Info()
	if err != nil {
		return "", err
	}
	uid, gid := machine.Owner(info)
	switch {
	case info.Mode()&fs.ModeSymlink != 0:
		target, err := os.Readlink(path)
		return "-> " + target, err
	case info.IsDir():
		return fmt.Sprintf("%v %d:%d", info.Mode(), uid, gid), nil
	}
	content, err := os.ReadFile(path)
	when := "old"
	if !info.ModTime().Equal(longAgo) {
		when = "new"
	}
	return fmt.Sprintf("%v %d:%d %s %.12x %.40q", info.Mode(), uid, gid, when, sha256.Sum256(content), content), err
}

// differ reports the lines in which two snapshots differ.
func differ(want, got string) string {
	if want == got {
		return ""
	}
	wants, gots := strings.Split(want, "\n"), strings.Split(got, "\n")
	var out []string
	for _, l := range wants {
		if !slices.Contains(gots, l) {
			out = append(out, "- "+l)
		}
	}
	for _, l := range gots {
		if !slices.Contains(wants, l) {
			out = append(out, "+ "+l)
		}
	}
	return strings.Join(out, "\n")
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// fakeServices are services that run or do not.
type fakeServices struct {
	machine.Services
	mu      sync.Mutex
	active  map[string]bool
	reloads int
	// starters start services without a link.
	starters map[string][]string
	// broken do not start, failed are between two tries to.
	broken, failed map[string]bool
	fs             *machine.FS
}

// Starters are those that a test has made.
func (s *fakeServices) Starters(_ context.Context, name string, _ bool) ([]string, error) {
	return s.starters[name], nil
}

// StartLinks are those in the folders of units that are there.
func (s *fakeServices) StartLinks(name string) ([]machine.Link, error) {
	found, err := filepath.Glob(s.fs.Real("/etc/systemd/system/*.wants/" + name + ".service"))
	var links []machine.Link
	for _, path := range found {
		target, err := os.Readlink(path)
		if err != nil {
			return nil, err
		}
		links = append(links, machine.Link{Path: strings.TrimPrefix(path, s.fs.Root), Target: target})
	}
	return links, err
}

func (s *fakeServices) Start(_ context.Context, name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken[name] {
		return fmt.Errorf("%s does not start", name)
	}
	s.active[name] = true
	return nil
}

func (s *fakeServices) Stop(_ context.Context, name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.active, name)
	return nil
}

func (s *fakeServices) State(_ context.Context, name string) (machine.ServiceState, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return machine.ServiceState{Installed: true, Active: s.active[name], Failed: s.failed[name]}, nil
}

func (s *fakeServices) Reload(context.Context) error {
	s.reloads++
	return nil
}

func (s *fakeServices) running() []string { return slices.Sorted(maps.Keys(s.active)) }

// fakeAccounts keeps names in passwd; every account has the numbers of this
// process.
type fakeAccounts struct{ fs *machine.FS }

func (a *fakeAccounts) lines() []string {
	content, _ := a.fs.ReadFile("/etc/passwd")
	return strings.SplitAfter(string(content), "\n")
}

func (a *fakeAccounts) has(name string) bool {
	return slices.ContainsFunc(a.lines(), func(l string) bool { return strings.HasPrefix(l, name+":") })
}

func (a *fakeAccounts) Lookup(name string) (uid, gid int, err error) {
	if !a.has(name) {
		return 0, 0, fmt.Errorf("account %s: %w", name, fs.ErrNotExist)
	}
	return os.Getuid(), os.Getgid(), nil
}

func (a *fakeAccounts) LookupID(uid, gid int) (user, group string) {
	return fmt.Sprint(uid), fmt.Sprint(gid)
}

func (a *fakeAccounts) Create(_ context.Context, name, home string) (bool, error) {
	if a.has(name) {
		return false, nil
	}
	return true, a.write(append(a.lines(), name+":x:0:0::"+home+":\n"))
}

func (a *fakeAccounts) HasGroup(string) (bool, error) { return false, nil }

func (a *fakeAccounts) Remove(_ context.Context, name string, _ bool) error {
	if !a.has(name) {
		return nil
	}
	return a.write(slices.DeleteFunc(a.lines(), func(l string) bool { return strings.HasPrefix(l, name+":") }))
}

func (a *fakeAccounts) write(lines []string) error {
	return a.fs.WriteFile("/etc/passwd", []byte(strings.Join(lines, "")), machine.Attr{Mode: 0o644})
}

// fakePrograms stands for the programs of a release: what migrate does to a store.
type fakePrograms struct {
	err  error
	runs []Command
	// says is what a program prints, makes the file that snapshot leaves in fs.
	says  string
	makes string
	fs    *machine.FS
}

func (p *fakePrograms) Run(_ context.Context, c Command) error {
	p.runs = append(p.runs, c)
	if c.Line != nil && p.says != "" {
		c.Line([]byte(p.says))
	}
	if (c.Args[0] == "snapshot" || c.Args[0] == "import") && p.makes != "" {
		return os.WriteFile(p.fs.Real(p.makes), []byte("a snapshot"), 0o600)
	}
	if p.err == nil && c.Args[0] == "backup" {
		return emptyBackup(c.Args[1])
	}
	if p.err != nil || c.Args[0] != "migrate" {
		return p.err
	}
	dir := c.Args[slices.Index(c.Args, "--data")+1]
	return os.WriteFile(filepath.Join(dir, "schema"), []byte("new"), 0o600)
}

// emptyBackup writes what a server without objects backs up.
func emptyBackup(file string) error {
	return backup.WriteFile(file, func(w io.Writer) error {
		_, err := backup.Write(context.Background(), w, backup.Header{Version: "7.0.0", Schema: 1, Node: "files-1"}, noObjects{}, backup.WriteOptions{})
		return err
	})
}

// noObjects is a backup.Source.
type noObjects struct{}

func (noObjects) Objects(context.Context) iter.Seq2[backup.Object, error] {
	return func(func(backup.Object, error) bool) {}
}

func (noObjects) Files(context.Context) iter.Seq2[backup.File, error] {
	return func(func(backup.File, error) bool) {}
}

// fakeProber answers for every service that runs, as the generation in force.
type fakeProber struct {
	fs       *machine.FS
	services *fakeServices
	version  string
	// bindings are what the server tells, silent those that do not greet.
	bindings []Binding
	silent   string
	// others listen besides the old service. left: it leaves a process behind; webDown: its
	// web interface does not answer.
	others        []machine.Listener
	left, webDown bool
}

func (p *fakeProber) Greets(_ context.Context, address string) error {
	if address == p.silent || address == oldWeb || address == oldTransfer {
		return errors.New("nothing was said")
	}
	return nil
}

func (p *fakeProber) AnswersOld(_ context.Context, address string) error {
	if address != oldWeb || p.webDown || !p.services.active["ss6-web"] {
		return errors.New("no answer")
	}
	return nil
}

func (p *fakeProber) Probe(ctx context.Context, service string, _ int) (Health, error) {
	if state, _ := p.services.State(ctx, service); !state.Active {
		return Health{}, fmt.Errorf("%s does not answer", service)
	}
	n, err := CurrentGeneration(p.fs)
	return Health{Version: p.version, Generation: n, Ready: true, Bindings: p.bindings}, err
}

// Listeners are those of the old service, while it runs or leaves something behind, and
// others that run all the time.
func (p *fakeProber) Listeners() ([]machine.Listener, error) {
	found := slices.Clone(p.others)
	if p.services.active["ss6-web"] || p.left {
		for _, addr := range []string{"[::]:4711", "0.0.0.0:2222", "0.0.0.0:64012"} {
			found = append(found, machine.Listener{Addr: netip.MustParseAddrPort(addr), PID: 99, Process: "ss6-web", Program: oldPlace + "/bin/ss6-web"})
		}
	}
	return found, nil
}

// Where an old product lies, and where ss6-web is reached: its web interface, its users,
// and the data of a transfer.
const (
	oldPlace    = "/opt/Syncplify/ServerV6"
	oldWeb      = "127.0.0.1:4711"
	oldUsers    = "127.0.0.1:2222"
	oldTransfer = "127.0.0.1:64012"
)

// oldProduct is the one of ss6-web.
var oldProduct = OldProduct{Services: []string{"ss6-web", "ss6-idle"}, Where: oldPlace}

func (p *fakeProber) PortsFree(ctx context.Context, service string) error {
	if state, _ := p.services.State(ctx, service); state.Active {
		return fmt.Errorf("%s still listens", service)
	}
	return nil
}

type fakeFirewall struct{ open []int }

func (f *fakeFirewall) Opened(_ context.Context, ports []int) ([]int, error) {
	return slices.DeleteFunc(slices.Clone(ports), func(p int) bool { return !slices.Contains(f.open, p) }), nil
}

func (f *fakeFirewall) Open(_ context.Context, ports []int) error {
	f.open = slices.Compact(slices.Sorted(slices.Values(append(slices.Clone(f.open), ports...))))
	return nil
}

func (f *fakeFirewall) Close(_ context.Context, ports []int) error {
	f.open = slices.DeleteFunc(f.open, func(p int) bool { return slices.Contains(ports, p) })
	return nil
}

// bundleDir is removed when all tests have ended.
var bundleDir string

// smallBundle is one package for all tests: opened anew by each.
var smallBundle = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "step-bundle")
	if err != nil {
		return "", err
	}
	bundleDir = dir
	write := func(name string) {
		path := filepath.Join(dir, name)
		err = errors.Join(err, os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(name), 0o755))
	}
	for _, name := range release.Programs {
		write("bin/" + name)
	}
	for _, kind := range []string{"systemd/%s.service", "sysv/%s", "openrc/%s"} {
		write("services/" + fmt.Sprintf(kind, "ss-server"))
		write("services/" + fmt.Sprintf(kind, "ss-licensed"))
	}
	write("ss-setup")
	if err != nil {
		return "", err
	}
	out := filepath.Join(dir, "bundle")
	_, err = release.Bundle(release.Options{
		Version: "7.0.1", Bin: filepath.Join(dir, "bin"), Services: filepath.Join(dir, "services"),
		Setup: filepath.Join(dir, "ss-setup"), Out: out, OS: runtime.GOOS, Arch: runtime.GOARCH, Level: 1,
	})
	return out, err
})

func openBundle(t testing.TB) *bundle.Bundle {
	t.Helper()
	dir, err := smallBundle()
	must(t, err)
	b, err := bundle.Open(dir)
	must(t, err)
	return b
}

// blocksOf makes content of n blocks that all differ.
func blocksOf(n int) []byte {
	var out []byte
	for i := range n {
		out = append(out, bytes.Repeat([]byte{byte(i + 1)}, blockSize)...)
	}
	return out
}
