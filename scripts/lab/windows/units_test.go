//go:build linux && lab

package windows

import (
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"testing"
)

// units are the tests that ask Windows itself, by package. Those of other packages than
// the thin layer are named after Windows; of the server they are those of names, folders
// and what clients do to them, which run on Linux as well.
var units = map[string]string{
	"installer/machine": ".", "installer/cli": "(On|Of)Windows$", "installer/plan": "OnWindows$",
	"runtime/vfs": ".", "runtime/vfs/disk": ".", "runtime/vfs/volume": ".", "runtime/sftpd/sftp3": "(Home|Name|Machine|Obeyed|OpenFile|Ended|Truncates|It|Ls|User|Nothing|Unchanged|Session)$",
}

func TestTheTestsOfWhatAsksWindowsPassThere(t *testing.T) {
	b := boot(t)
	programs := t.TempDir() + "/"
	build := []string{"test", "-c", "-o", programs}
	for folder := range units {
		build = append(build, "ss-setup/"+folder)
	}
	buildForWindows(t, build...)
	for folder, pattern := range units {
		t.Run(folder, func(t *testing.T) {
			b.Copy(programs+path.Base(folder)+".test.exe", drive+"/unit.test.exe")
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
