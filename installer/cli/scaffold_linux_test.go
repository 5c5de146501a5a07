package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ss-setup/installer/machine"
)

// fakeManager keeps files as the manager of an image does, and a guard in mind.
type fakeManager struct {
	machine.Services
	guard []string
	ended int
}

func (m *fakeManager) Detach(_ context.Context, _ string, argv, _ []string) error {
	m.guard = argv
	return nil
}

func (m *fakeManager) EndDetached(context.Context, string) error {
	m.guard = nil
	m.ended++
	return nil
}

// bench is a machine with a scaffold whose calls may be cut.
type bench struct {
	*scaffold
	manager *fakeManager
	root    string
	// cut is the number of the changing call from which on nothing happens any
	// more, as after the death of the process; 0 for never.
	cut, calls int
}

var errCut = errors.New("the process is dead")

// newBench makes a machine with these folders; systemd runs it unless they are
// those of another manager.
func newBench(t *testing.T, folders ...string) *bench {
	t.Helper()
	b := &bench{manager: &fakeManager{}, root: t.TempDir()}
	// The programs of systemd and OpenRC may well be folders here.
	for _, dir := range append([]string{"usr/lib/systemd/systemd", "sbin/openrc-run"}, folders...) {
		if err := os.MkdirAll(filepath.Join(b.root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	program := filepath.Join(t.TempDir(), "ss-setup")
	if err := os.WriteFile(program, []byte("the program"), 0o755); err != nil {
		t.Fatal(err)
	}
	files := &machine.FS{Root: b.root, Before: func(machine.Op, string) error {
		b.calls++
		if b.cut > 0 && b.calls >= b.cut {
			return errCut
		}
		return nil
	}}
	var err error
	if b.manager.Services, err = machine.NewServices(files); err != nil {
		t.Fatal(err)
	}
	b.scaffold = &scaffold{fs: files, services: b.manager, program: program, id: "0123456789abcdef"}
	return b
}

// raise arms and takes away again, as far as the cut lets it.
func (b *bench) raise() error {
	prepared, err := b.Prepare(context.Background())
	if err != nil {
		return err
	}
	if err := b.Arm(context.Background(), prepared); err != nil {
		return err
	}
	return b.Disarm(context.Background(), prepared)
}

// sweep is what the next run does that finds no journal.
func (b *bench) sweep() error {
	b.cut = 0
	prepared, err := b.Prepare(context.Background())
	if err != nil {
		return err
	}
	return b.Disarm(context.Background(), prepared)
}

// tree is everything on the machine, one path a line.
func tree(t *testing.T, root string) string {
	t.Helper()
	var lines []string
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		lines = append(lines, fmt.Sprintf("%s %s", strings.TrimPrefix(path, root), d.Type()))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(lines, "\n")
}

// grounds are machines on which a scaffold may have to stand.
var grounds = map[string][]string{
	"no folder for programs":            {"etc/systemd/system"},
	"a plain system":                    {"opt", "etc/systemd/system"},
	"an empty folder of somebody":       {"opt/ss-server", "etc/systemd/system"},
	"an installed release":              {"opt/ss-server/releases/7.0.0-01234567", "etc/systemd/system/multi-user.target.wants"},
	"a folder of the product, emptied":  {"opt/ss-server/generations", "etc/systemd/system"},
	"services that are enabled already": {"opt", "etc/systemd/system/multi-user.target.wants"},
	"OpenRC":                            {"opt", "etc/init.d", "etc/runlevels/default"},
	"OpenRC, an installed release":      {"opt/ss-server/releases/7.0.0-01234567", "etc/init.d", "etc/runlevels/default"},
	"System V":                          {"opt", "etc/inittab", "etc/init.d", "etc/rc2.d", "etc/rc3.d", "sbin/init"},
	"System V, an installed release":    {"opt/ss-server/releases/7.0.0-01234567", "etc/inittab", "etc/init.d", "etc/rc2.d", "sbin/init"},
}

func TestScaffoldLeavesTheMachineAsItWas(t *testing.T) {
	for name, folders := range grounds {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, folders...)
			before := tree(t, b.root)
			if err := b.raise(); err != nil {
				t.Fatal(err)
			}
			if after := tree(t, b.root); after != before {
				t.Errorf("left:\n%s\nbefore:\n%s", after, before)
			}
			if b.manager.guard != nil {
				t.Error("the guard is left")
			}
		})
	}
}

func TestScaffoldThatWasCutAnywhereIsSweptAway(t *testing.T) {
	for name, folders := range grounds {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			whole := newBench(t, folders...)
			if err := whole.raise(); err != nil {
				t.Fatal(err)
			}
			for cut := 1; cut <= whole.calls; cut++ {
				b := newBench(t, folders...)
				before := tree(t, b.root)
				b.cut = cut
				if err := b.raise(); !errors.Is(err, errCut) {
					t.Fatalf("cut at call %d: %v", cut, err)
				}
				if err := b.sweep(); err != nil {
					t.Fatalf("cut at call %d: sweep: %v", cut, err)
				}
				if after := tree(t, b.root); after != before {
					t.Errorf("cut at call %d left:\n%s\nbefore:\n%s", cut, after, before)
				}
			}
		})
	}
}

// TestABootAfterACutAnywhereLeavesTheMachineAsItWas runs what the boot job has
// the shell do when the program is not there.
func TestABootAfterACutAnywhereLeavesTheMachineAsItWas(t *testing.T) {
	for name, folders := range grounds {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			whole := newBench(t, folders...)
			if err := whole.raise(); err != nil {
				t.Fatal(err)
			}
			notEnabled := 0
			for cut := 1; cut <= whole.calls; cut++ {
				b := newBench(t, folders...)
				before := tree(t, b.root)
				b.cut = cut
				if err := b.raise(); !errors.Is(err, errCut) {
					t.Fatalf("cut at call %d: %v", cut, err)
				}
				if b.onlyJobFile(before, tree(t, b.root)) {
					// One instant while it is made and one while it is removed.
					notEnabled++
					if err := b.sweep(); err != nil {
						t.Fatalf("cut at call %d: sweep: %v", cut, err)
					}
				}
				b.boot(t)
				if after := tree(t, b.root); after != before {
					t.Errorf("cut at call %d left:\n%s\nbefore:\n%s", cut, after, before)
				}
			}
			if notEnabled > 4 {
				t.Errorf("at %d cuts of %d nothing runs the boot job", notEnabled, whole.calls)
			}
		})
	}
}

// onlyJobFile tells a machine that differs by nothing but the boot job's file, and
// an empty folder for its links.
func (b *bench) onlyJobFile(before, after string) bool {
	for line := range strings.SplitSeq(after, "\n") {
		path, _, _ := strings.Cut(line, " ")
		if !strings.Contains(before, line) && path != b.bootJobPath() && !strings.HasSuffix(path, ".wants") {
			return false
		}
	}
	return after != before
}

// boot runs the boot job, if it is enabled, as its manager would.
func (b *bench) boot(t *testing.T) {
	t.Helper()
	b.cut = 0
	content, err := b.fs.ReadFile(b.bootJobPath())
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	if b.fs.Exists(enginePath(b.id)) {
		// It would run the program, which finds no journal.
		if err := b.sweep(); err != nil {
			t.Fatal(err)
		}
		return
	}
	script := shellPart(b.manager.Name(), string(content))
	cmd := exec.Command("/bin/sh", "-s", "start")
	cmd.Stdin = strings.NewReader("sync() { :; }\n" + strings.ReplaceAll(script, "'/", "'"+b.root+"/"))
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Fatalf("the boot job: %v, %s\n%s", err, out, script)
	}
}

// shellPart is what the manager gives to a shell.
func shellPart(manager, definition string) string {
	switch manager {
	case "openrc":
		return definition + "\nstart\n"
	case "systemd":
		_, rest, _ := strings.Cut(definition, `ExecStart=/bin/sh -c "`)
		script, _, _ := strings.Cut(rest, "\"\n")
		return strings.NewReplacer(`\\`, `\`, `\"`, `"`, "%%", "%", "$$", "$").Replace(script)
	}
	return definition
}

func TestABootWithATransactionOpenLeavesTheHelp(t *testing.T) {
	for name, folders := range grounds {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, folders...)
			armed(t, b)
			// The disk of the program is not mounted, that of the journal is.
			if err := os.MkdirAll(filepath.Join(b.root, machine.TxnDir), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := b.fs.Rename("/opt", "/mounted-later"); err != nil {
				t.Fatal(err)
			}
			before := tree(t, b.root)
			b.boot(t)
			if after := tree(t, b.root); after != before {
				t.Errorf("the boot made of it:\n%s", after)
			}
		})
	}
}

func TestHalfACopyIsNotTheProgram(t *testing.T) {
	b := newBench(t, "opt", "etc/systemd/system")
	b.fs.Before = func(op machine.Op, path string) error {
		if op == machine.OpSync && strings.HasPrefix(path, machine.EngineDir) {
			return errCut
		}
		return nil
	}
	prepared, err := b.Prepare(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Arm(t.Context(), prepared); !errors.Is(err, errCut) {
		t.Fatal(err)
	}
	if b.fs.Exists(enginePath(b.id)) {
		t.Error("what is not synced has the program's name")
	}
}

// armed prepares the help and puts it in place.
func armed(t *testing.T, b *bench) json.RawMessage {
	t.Helper()
	prepared, err := b.Prepare(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Arm(t.Context(), prepared); err != nil {
		t.Fatal(err)
	}
	return prepared
}

func TestArmedScaffoldHasProgramGuardAndBootJob(t *testing.T) {
	b := newBench(t, "opt", "etc/systemd/system")
	armed(t, b)
	engine := "/opt/ss-server/engine/0123456789abcdef/ss-setup"
	info, err := b.fs.Lstat(engine)
	if err != nil || info.Mode() != 0o755 {
		t.Errorf("the copy: %v, %v", info, err)
	}
	if want := []string{engine, "recover", "--guard"}; !slices.Equal(b.manager.guard, want) {
		t.Errorf("the guard runs %q", b.manager.guard)
	}
	job, err := b.fs.ReadFile("/etc/systemd/system/ss-setup-recover.service")
	if err != nil || !strings.Contains(string(job), "exec '"+engine+"' 'recover' '--boot'") {
		t.Errorf("the boot job is %q, %v", job, err)
	}
	if !b.fs.Exists("/etc/systemd/system/multi-user.target.wants/ss-setup-recover.service") {
		t.Error("the boot job is not enabled")
	}
}

func TestUninstallLeavesNoEmptyProgramFolder(t *testing.T) {
	b := newBench(t, "opt/ss-server/releases", "etc/systemd/system")
	prepared := armed(t, b)
	if err := os.RemoveAll(filepath.Join(b.root, "opt/ss-server/releases")); err != nil {
		t.Fatal(err)
	}
	if err := b.Disarm(t.Context(), prepared); err != nil {
		t.Fatal(err)
	}
	if b.fs.Exists("/opt/ss-server") {
		t.Error("/opt/ss-server is left")
	}
}

func TestUninstallLeavesTheProgramFolderThatWasThereBefore(t *testing.T) {
	b := newBench(t, "opt/ss-server/releases", "etc/systemd/system", machine.SetupDir)
	state := `{"schema":1,"next_generation":2,"foreign_folders":[{"path":"/opt/ss-server","mode":493,"uid":0,"gid":0}]}`
	if err := os.WriteFile(filepath.Join(b.root, machine.StateFile), []byte(state), 0o600); err != nil {
		t.Fatal(err)
	}
	prepared, err := b.Prepare(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(b.Arm(t.Context(), prepared), os.Remove(filepath.Join(b.root, "opt/ss-server/releases")), b.Disarm(t.Context(), prepared)); err != nil {
		t.Fatal(err)
	}
	if !b.fs.Exists("/opt/ss-server") {
		t.Error("/opt/ss-server is gone")
	}
}

func TestSweepingWhereNothingIsAsksNobody(t *testing.T) {
	b := newBench(t, "opt", "etc/systemd/system")
	if err := b.sweep(); err != nil {
		t.Fatal(err)
	}
	if b.calls != 0 || b.manager.ended != 0 {
		t.Errorf("%d changes, %d questions to the service manager", b.calls, b.manager.ended)
	}
}

func TestRecoveryByAnotherProgramFindsTheCopyItNeeds(t *testing.T) {
	b := newBench(t, "opt", "etc/systemd/system")
	prepared, err := b.Prepare(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	// A run that --norollback left was disarmed; another ss-setup takes it up.
	b.id = "fedcba9876543210"
	if err := b.Arm(t.Context(), prepared); err != nil {
		t.Fatal(err)
	}
	if !b.fs.Exists(b.manager.guard[0]) {
		t.Errorf("there is no %s", b.manager.guard[0])
	}
	if err := b.Disarm(t.Context(), prepared); err != nil {
		t.Fatal(err)
	}
}
