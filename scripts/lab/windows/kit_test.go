//go:build linux && lab

package windows

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"ss-setup/scripts/lab"
	"ss-setup/scripts/lab/fixtures"
	"ss-setup/scripts/lab/snapshot"
)

// drive is where the machine keeps drive C:.
const drive = "/root/.wine/drive_c"

// installed is the ss-setup that an installation leaves.
const installed = `C:\Program Files\SS Server\ss-setup.exe`

// The exit codes of the design that are met here.
const (
	done             = 0
	doneRestart      = 3010
	putBack          = 1603
	leftChanged      = 1627
	wrongUsage       = 1639
	busy             = 1618
	badPackage       = 1620
	nothingInstalled = 1605
	newerInstalled   = 1638
	killed           = 137
)

// box is a machine with wine and the bundles of some releases.
type box struct {
	*lab.Machine
	t *testing.T
	// restarted: the machine was restarted since a run was killed.
	restarted bool
	// env is what programs are started with.
	env []string
}

// boot makes a machine. Tests with one run side by side: they wait more than they work.
func boot(t *testing.T, releases ...string) *box {
	t.Helper()
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skipf("%s boots a machine and needs root", t.Name())
	}
	share := map[string]string{}
	for _, r := range releases {
		share[fixtures.WindowsBundle(t, r)] = "/bundles/" + r
	}
	b := &box{Machine: lab.Boot(t, lab.Options{Root: "trixie-wine", Disk: "3G", Share: share}), t: t}
	b.startWine()
	return b
}

// startWine starts what stands for Windows. The server stays, or it would end after
// every command and start all services again at the next.
func (b *box) startWine() {
	b.t.Helper()
	b.MustExec(slices.Concat([]string{"env"}, b.env, []string{"sh", "-c", letters + "; wineserver -p </dev/null >/dev/null 2>&1; wine cmd /c ver"})...)
}

// letters has wine take all letters in names for what they are.
const letters = "export LC_ALL=C.UTF-8"

// restart ends everything and starts it again, as a restart of Windows does: wine
// writes its registry at an orderly end only, so nothing harder would prove anything.
func (b *box) restart() {
	b.t.Helper()
	b.MustExec("sh", "-c", "wineserver -k; wineserver -w")
	b.startWine()
}

// setupOf is the ss-setup of a release's bundle.
func setupOf(release string) string { return `Z:\bundles\` + release + `\ss-setup.exe` }

// result is how a run of ss-setup ended.
type result struct {
	// code is what it says in its result, and process what the process ended with:
	// all that a Unix system shows of it is the lowest byte.
	code, process int
	output        string
	Message       string `json:"message"`
	ExitCode      int    `json:"exit_code"`
}

func (r result) String() string { return fmt.Sprintf("exit %d (%d)\n%s", r.code, r.process, r.output) }

// run runs a Windows program.
func (b *box) run(env []string, program string, args ...string) (stdout, stderr string, code int) {
	b.t.Helper()
	return b.Exec(context.Background(), slices.Concat([]string{"env"}, b.env, env, []string{"wine", program}, args)...)
}

// setup runs a verb that changes the machine, without questions.
func (b *box) setup(program string, args ...string) result {
	b.t.Helper()
	return b.setupWith(nil, program, args...)
}

func (b *box) setupWith(env []string, program string, args ...string) result {
	b.t.Helper()
	stdout, stderr, code := b.run(env, program, append(args, "--output", "json", "--health-timeout", healthTimeout.String())...)
	r := result{process: code, output: stdout + stderr}
	if code == killed {
		r.code = killed
		return r
	}
	lines := bytes.Split(bytes.TrimSpace([]byte(stdout)), []byte("\n"))
	if err := json.Unmarshal(lines[len(lines)-1], &r); err != nil {
		b.t.Fatalf("%s %v: its last line is no result: %v\n%s", program, args, err, r)
	}
	if r.code = r.ExitCode; r.code&0xff != r.process {
		b.t.Fatalf("%s %v: it says %d and the process ended with %d", program, args, r.code, r.process)
	}
	return r
}

// healthTimeout is what a new release gets; the lab is sometimes slow.
const healthTimeout = 15 * time.Second

// want runs ss-setup and wants it to end with a code.
func (b *box) want(code int, program string, args ...string) result {
	b.t.Helper()
	r := b.setup(program, args...)
	if r.code != code {
		b.t.Fatalf("%s %s: want exit %d, got %s\n%s", program, strings.Join(args, " "), code, r, b.logs())
	}
	return r
}

// logs are those of ss-setup and of the services.
func (b *box) logs() string {
	out, _, _ := b.Exec(context.Background(), "sh", "-c",
		`cd '`+drive+`/ProgramData/SS Server/log' 2>/dev/null && for f in $(ls -t setup/*.log | head -3) *.log; do echo "== $f"; tail -n 40 "$f"; done`)
	return out
}

// health asks the server once.
func (b *box) health() (lab.Health, error) { return lab.AskHealth(b.Dial, 5*time.Second) }

// recoveryTime is how long a machine may be without service after a kill.
const recoveryTime = 45 * time.Second

// serves waits until one of the versions serves users, and tells which.
func (b *box) serves(versions ...string) string {
	b.t.Helper()
	var last any
	for end := time.Now().Add(recoveryTime); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		h, err := b.health()
		if last = h; err != nil {
			last = err
			continue
		}
		if h.Ready && h.Open && slices.Contains(versions, h.Version) {
			return h.Version
		}
	}
	b.t.Fatalf("none of %v serves: %v\n%s", versions, last, b.logs())
	return ""
}

// exists tells whether something lies at a path below drive C:.
func (b *box) exists(path string) bool {
	_, _, code := b.Exec(context.Background(), "test", "-e", filepath.Join(drive, path))
	return code == 0
}

// registered tells whether a registry key is there.
func (b *box) registered(key string) bool {
	b.t.Helper()
	_, _, code := b.run(nil, "reg", "query", key)
	return code == 0
}

const (
	servicesKey = `HKLM\SYSTEM\CurrentControlSet\Services\`
	guardKey    = servicesKey + "ss-setup-guard"
	productKey  = `HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\Uninstall\SS Server`
)

// value reads a registry value.
func (b *box) value(key, name string) string {
	b.t.Helper()
	out, _, _ := b.run(nil, "reg", "query", key, "/v", name)
	for line := range strings.Lines(out) {
		fields := strings.SplitN(strings.TrimSpace(line), "    ", 3)
		if len(fields) == 3 && strings.EqualFold(fields[0], name) {
			return fields[2]
		}
	}
	return ""
}

// settled waits until no transaction is open and no help for one is left.
func (b *box) settled() {
	b.t.Helper()
	for end := time.Now().Add(recoveryTime); ; time.Sleep(100 * time.Millisecond) {
		journal, engine, guard := b.exists("ProgramData/SS Server/setup/txn"), b.exists("Program Files/SS Server/engine"), b.registered(guardKey)
		switch {
		case !journal && !engine && !guard:
			return
		case time.Now().Before(end):
		case !journal && !engine && b.restarted:
			// Cut by a restart between its mark and its end. Windows keeps the mark and
			// removes such an entry at its boot; wine keeps it in memory alone.
			b.t.Log("wine has forgotten that the guard's entry was to go")
			b.run(nil, "sc", "delete", "ss-setup-guard")
			return
		default:
			b.t.Fatalf("a transaction is still open: journal %v, engine %v, guard %v\n%s", journal, engine, guard, b.logs())
		}
	}
}

// look takes the comparable state of what ss-setup may touch. Times are left out: Windows
// keeps them less exactly, and who opens a store changes its.
func (b *box) look() *snapshot.Snapshot {
	b.t.Helper()
	var s *snapshot.Snapshot
	err := b.Inside(func() (err error) {
		s, err = snapshot.Take(drive, snapshot.Options{
			Roots: []string{"/Program Files", "/ProgramData"}, NoTimes: true,
			Ignore: []string{"/ProgramData/SS Server/log", "/ProgramData/SS Server/setup/state.json"},
		})
		return err
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return s
}

// settings are the values in the registry that an installation consists of.
func (b *box) settings() string {
	b.t.Helper()
	return strings.Join([]string{
		b.value(servicesKey+"ss-server", "ImagePath"), b.value(servicesKey+"ss-licensed", "ImagePath"),
		b.value(servicesKey+"ss-server", "ObjectName"), b.value(servicesKey+"ss-server", "Start"),
		b.value(productKey, "DisplayVersion"),
		b.value(`HKLM\SYSTEM\CurrentControlSet\Control\Session Manager\Environment`, "Path"),
	}, "\n")
}

// state is what tells one machine from another.
type state struct {
	files    *snapshot.Snapshot
	settings string
}

func (b *box) state() state {
	b.t.Helper()
	return state{b.look(), b.settings()}
}

// differs says how two states differ; empty when they do not.
func differs(before, after state) string {
	d := snapshot.Diff(before.files, after.files)
	if before.settings != after.settings {
		d = append(d, "registry:\n"+before.settings+"\nbecame\n"+after.settings)
	}
	return strings.Join(d[:min(len(d), 20)], "\n")
}

// service controls a service as an administrator does.
func (b *box) service(verb, name string) {
	b.t.Helper()
	if out, errs, code := b.run(nil, "net", verb, name); code != 0 {
		b.t.Fatalf("net %s %s: %d %s%s", verb, name, code, out, errs)
	}
}

// release is the folder of the release that the server runs from, as wine sees it.
func (b *box) program(name string) string {
	b.t.Helper()
	image := b.value(servicesKey+"ss-server", "ImagePath")
	path, _, ok := strings.Cut(strings.TrimPrefix(image, `"`), `"`)
	if !ok {
		b.t.Fatalf("the image path %s is not quoted", image)
	}
	return strings.TrimSuffix(path, "ss-server.exe") + name + ".exe"
}
