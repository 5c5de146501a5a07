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
	build := exec.Command("go", "test", "-c", "-o", program, "ss-setup/installer/machine")
	build.Env = append(os.Environ(), "GOOS=windows", "GOARCH=amd64", "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	b.Copy(program, drive+"/machine.test.exe")
	if out, errs, code := b.run(nil, `C:\machine.test.exe`, "-test.v"); code != 0 {
		t.Errorf("exit %d\n%s%s", code, out, errs)
	}
}
