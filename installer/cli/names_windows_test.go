package cli

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"ss-setup/installer/preflight"
)

func TestWordsAreQuotedForBothShellsOfWindows(t *testing.T) {
	for word, want := range map[string]string{
		`C:\package`: `C:\package`, `C:\my package`: `"C:\my package"`, `C:\my package\`: `"C:\my package\\"`, "": `""`,
		"a,b": `"a,b"`, `CORP\sftp$`: `CORP\sftp$`, `C:\Tést`: `"C:\Tést"`, "a;b": `"a;b"`, "x&y": `"x&y"`, "--web-port": "--web-port",
	} {
		if got := shellWord(word); got != want {
			t.Errorf("%s: %s, want %s", word, got, want)
		}
	}
	for path, want := range map[string]string{
		`C:\Program Files\SS Server\ss-setup.exe`: `C:\"Program Files"\"SS Server"\ss-setup.exe`, `ss-setup`: `ss-setup`,
		`\\server\my share\ss-setup.exe`: `\\server\"my share"\ss-setup.exe`, `.\ss-setup.exe`: `.\ss-setup.exe`,
	} {
		if got := shellProgram(path); got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
}

// cmd takes a path with quotes inside, and finds the program.
func TestAProgramInAFolderWithSpacesIsCalledInCmdOfWindows(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "Tést Ordner", "more space")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(dir, "say.cmd")
	if err := os.WriteFile(program, []byte("@echo said %1\r\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("cmd")
	cmd.SysProcAttr = &syscall.SysProcAttr{CmdLine: "cmd /c " + shellProgram(program) + " it"}
	if out, err := cmd.CombinedOutput(); err != nil || strings.TrimSpace(string(out)) != "said it" {
		t.Errorf("%s: %v\n%s", shellProgram(program), err, out)
	}
}

// In PowerShell sc is Set-Content, and the older one does not know && between commands.
func TestCommandsForServicesOfWindowsWorkInBothShells(t *testing.T) {
	for _, command := range []string{
		preflight.Unmask("windows", "ss-server"), both(preflight.Unmask("windows", "ss-server"), "powershell -Command Start-Service ss-server"),
	} {
		if strings.HasPrefix(command, "sc ") || strings.Contains(command, "&&") || !strings.HasPrefix(command, "powershell -Command Set-Service ss-server -StartupType Automatic") {
			t.Error(command)
		}
	}
}
