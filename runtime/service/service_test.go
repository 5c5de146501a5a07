package service

import (
	"os"
	"path/filepath"
	"testing"
)

func TestEachManagerHasItsCommands(t *testing.T) {
	log := filepath.Join(t.TempDir(), "messages")
	if err := os.WriteFile(log, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for manager, want := range map[string]struct{ start, log string }{
		Systemd: {"systemctl start ss-server", "journalctl -u ss-server -n 30 --no-pager"},
		OpenRC:  {"rc-service ss-server start", "grep ss-server " + log + " | tail -n 30"},
		SysV:    {"service ss-server start", "grep ss-server " + log + " | tail -n 30"},
	} {
		if got := StartCommand(manager, "ss-server"); got != want.start {
			t.Errorf("%s: %s", manager, got)
		}
		if got := logCommand(manager, "ss-server", []string{log + ".missing", log}); got != want.log {
			t.Errorf("%s: %s", manager, got)
		}
	}
}

func TestAMachineWithoutASystemLogHasNoCommandToReadIt(t *testing.T) {
	if got := logCommand(SysV, "ss-server", []string{filepath.Join(t.TempDir(), "none")}); got != "" {
		t.Errorf("got %s", got)
	}
}

func TestACommandThatNeedsRootIsNamedAsTheUserTypesIt(t *testing.T) {
	for want, c := range map[string]struct{ root, sudo bool }{
		"lmu": {root: true, sudo: true}, "sudo lmu": {sudo: true}, "su -c 'lmu'": {},
	} {
		if got := asRoot("lmu", c.root, c.sudo); got != want {
			t.Errorf("%+v: %s", c, got)
		}
	}
}
