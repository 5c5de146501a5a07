//go:build linux && lab

package windows

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// units are the tests that ask Windows itself, by package, and run nowhere else. Those
// of other packages than the thin layer are named after Windows.
var units = map[string]string{
	"installer/machine": ".", "installer/cli": "(On|Of)Windows$", "installer/plan": "OnWindows$",
}

func TestTheTestsOfWhatAsksWindowsPassThere(t *testing.T) {
	b := boot(t)
	for folder, pattern := range units {
		t.Run(folder, func(t *testing.T) {
			program := filepath.Join(t.TempDir(), "unit.test.exe")
			buildForWindows(t, "test", "-c", "-o", program, "ss-setup/"+folder)
			b.Copy(program, drive+"/unit.test.exe")
			out, errs, code := b.run(nil, `C:\unit.test.exe`, "-test.v", "-test.run", pattern)
			if code != 0 || !strings.Contains(out, "--- PASS") {
				t.Errorf("exit %d\n%s%s", code, out, errs)
			}
		})
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

// helper builds one of the small programs in testdata and puts it onto drive C:.
func (b *box) helper(name string) string {
	b.t.Helper()
	program := filepath.Join(b.t.TempDir(), name+".exe")
	buildForWindows(b.t, "build", "-o", program, filepath.Join("testdata", name, "main.go"))
	b.Copy(program, drive+"/"+name+".exe")
	return `C:\` + name + ".exe"
}
