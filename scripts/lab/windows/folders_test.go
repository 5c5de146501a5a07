//go:build linux && lab

package windows

import (
	"strings"
	"testing"
)

// The keys in which Windows keeps where programs and their data lie.
const (
	programsKey = `HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion`
	profilesKey = `HKLM\SOFTWARE\Microsoft\Windows NT\CurrentVersion\ProfileList`
)

// Windows tells no folder with more than the 260 letters that a path had once. That of
// programs leaves room for services to be started from it, that of data leaves none.
func TestDeepFoldersWithSpacesAndOtherAlphabetsAreNoTrouble(t *testing.T) {
	b := boot(t, "7.0.0", "7.0.1")
	programs := `Tést Ordner\Программы – 程序`
	data := `Tést Ordner` + strings.Repeat(`\`+strings.Repeat("größer ", 8)+"x", 4)
	b.relocate(programs, data)
	packages := `Пакет für 7 – ` + strings.TrimSpace(strings.Repeat("long ", 30))
	b.MustExec("sh", "-c", `mkdir -p "$1" && cp -r /bundles/. "$1"`, "sh", drive+"/"+packages)
	setup := func(release string) string { return `C:\` + packages + `\` + release + `\ss-setup.exe` }

	b.want(done, setup("7.0.0"), "install")
	b.serves("7.0.0")
	if running := b.MustExec("pgrep", "-af", "ss-server.exe.* run --service"); !strings.Contains(running, `C:\`+programs+`\SS Server\releases\7.0.0-`) {
		t.Errorf("the server runs as %s", running)
	}
	deepest := longest(b.MustExec("find", drive+"/"+slashes(data), "-type", "f"))
	if n := len([]rune(deepest)) - len(drive); n < 280 {
		t.Errorf("the longest path has %d letters: %s", n, deepest)
	}
	b.want(done, setup("7.0.1"), "install", "--update")
	b.serves("7.0.1")
	own := `C:\` + programs + `\SS Server\ss-setup.exe`
	b.want(done, own, "rollback", "--yes")
	b.serves("7.0.0")
	if out, errs, code := b.run(nil, own, "verify"); code != 0 {
		t.Errorf("verify: %d\n%s%s", code, out, errs)
	}
	b.want(done, own, "uninstall")
	b.want(done, setup("7.0.0"), "uninstall", "--purge", "--purge-files", "--yes")
	if left := b.MustExec("find", drive+"/Tést Ordner", "-name", "SS Server*"); left != "" {
		t.Errorf("something is left:\n%s", left)
	}
	b.nothingLeft()
}

// relocate has Windows keep programs and data elsewhere on drive C:.
func (b *box) relocate(programs, data string) {
	b.t.Helper()
	b.MustExec("mkdir", "-p", drive+"/"+slashes(programs), drive+"/"+slashes(data))
	for _, v := range [][3]string{{programsKey, "ProgramFilesDir", programs}, {profilesKey, "ProgramData", data}} {
		if out, errs, code := b.run(nil, "reg", "add", v[0], "/v", v[1], "/d", `C:\`+v[2], "/f"); code != 0 {
			b.t.Fatalf("reg add: %d %s%s", code, out, errs)
		}
	}
	b.restart()
}

func slashes(path string) string { return strings.ReplaceAll(path, `\`, "/") }

func longest(lines string) (found string) {
	for line := range strings.Lines(lines) {
		if len(line) > len(found) {
			found = strings.TrimSpace(line)
		}
	}
	return found
}
