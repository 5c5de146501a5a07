//go:build lab

package machine

import (
	"errors"
	"os"
	"path"
	"testing"

	"golang.org/x/sys/unix"
)

const bootJobName = "ss-setup-recover"

// The boot job's program is a copy that can go.
const bootProgram = "/opt/ss-server/engine/it's 100% $HOME/ss-setup"

func leaveBootJob(t *testing.T, _ string) {
	f := &FS{}
	s, err := NewServices(f)
	check(t, err)
	b := bench{f, s}
	// A service beside it shows that the job does not hold up the boot.
	_, err = NewAccounts(f).Create(t.Context(), ServerService, "/var/lib/ss-server")
	check(t, err)
	program, err := os.ReadFile(insideProgram)
	check(t, err)
	check(t, mkdirs(f, bootProgram))
	check(t, f.WriteFile(bootProgram, program, Attr{Mode: 0o755}))
	check(t, f.Remove(b.s.Definition(LicensedService).Path))
	d := b.s.BootJob(BootJob{Name: bootJobName, Argv: []string{bootProgram, "supervised", bootStarts, "stays"}})
	b.write(t, d, d.Content)
	check(t, f.SyncTree("/etc"))
}

func findBootJob(t *testing.T, _ string) {
	f := &FS{}
	s, err := NewServices(f)
	check(t, err)
	soon(t, "the boot job runs", func() bool { return len(startsIn(bootStarts)) == 1 })
	soon(t, "the service runs", func() bool {
		state, err := s.State(t.Context(), ServerService)
		return err == nil && state.Active
	})
	p, err := findProcess(startsIn(bootStarts)[0])
	check(t, err)
	if s.Name() == "systemd" {
		out, err := runCommand(t.Context(), "systemd-analyze", "verify", s.BootJob(BootJob{Name: bootJobName, Argv: []string{bootProgram}}).Path)
		t.Log(out, err)
	}
	check(t, p.signal(unix.SIGKILL))
	soon(t, "it is started again after a signal", func() bool { return len(startsIn(bootStarts)) == 2 })
	check(t, s.EndDetached(t.Context(), bootJobName))
	if p, err := findProcess(startsIn(bootStarts)[1]); err == nil && p.alive() {
		t.Error("it runs after its end")
	}
	check(t, f.Remove(bootProgram))
	check(t, f.SyncDir(path.Dir(bootProgram)))
}

func findNoBootJob(t *testing.T, _ string) {
	s, err := NewServices(&FS{})
	check(t, err)
	d := s.BootJob(BootJob{Name: bootJobName, Argv: []string{bootProgram}})
	soon(t, "the job has removed itself", func() bool {
		_, err := os.Lstat(d.Path)
		return errors.Is(err, os.ErrNotExist)
	})
	for _, link := range d.Enable {
		if _, err := os.Lstat(link.Path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("left is %s, %v", link.Path, err)
		}
	}
	if n := len(startsIn(bootStarts)); n != 2 {
		t.Errorf("without its program it was started: %d", n)
	}
}
