//go:build linux && lab

package windows

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// The tests of the thin layer that asks Windows itself run nowhere else.
func TestTheTestsOfWhatAsksWindowsPassThere(t *testing.T) {
	b := boot(t)
	program := filepath.Join(t.TempDir(), "machine.test.exe")
	buildForWindows(t, "test", "-c", "-o", program, "ss-setup/installer/machine")
	b.Copy(program, drive+"/machine.test.exe")
	if out, errs, code := b.run(nil, `C:\machine.test.exe`, "-test.v"); code != 0 {
		t.Errorf("exit %d\n%s%s", code, out, errs)
	}
}

// buildForWindows runs a command of go that makes a Windows program.
func buildForWindows(t *testing.T, args ...string) {
	t.Helper()
	build := exec.Command("go", args...)
	build.Env = append(os.Environ(), "GOOS=windows", "GOARCH=amd64", "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go %v: %v\n%s", args, err, out)
	}
}
