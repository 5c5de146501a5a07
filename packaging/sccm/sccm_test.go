// Package sccm holds the kit for Configuration Manager: documents and a script, no
// code. Its test holds the script to what it must be.
package sccm

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

func TestTheDetectionScriptReadsThe64BitRegistry(t *testing.T) {
	content, err := os.ReadFile("detect.ps1")
	if err != nil {
		t.Fatal(err)
	}
	text := string(content)
	for _, want := range []string{
		"[Microsoft.Win32.RegistryView]::Registry64", `'SOFTWARE\Microsoft\Windows\CurrentVersion\Uninstall\SS Server'`,
		"DisplayVersion", "$Minimum = [version]'", "exit 0",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("it has no %s", want)
		}
	}
	// What only one view shows, what prints by accident, and what a profile defines.
	for _, wrong := range []string{"HKLM:", "Get-ItemProperty", "Write-Host", "WOW6432Node", "$env:USERPROFILE", "$HOME", "exit 1"} {
		if strings.Contains(text, wrong) {
			t.Errorf("it has %s", wrong)
		}
	}
	if regexp.MustCompile(`[^\x00-\x7f]`).Match(content) {
		t.Error("Windows PowerShell 5.1 reads a file without a mark as ANSI: letters beyond ASCII break it")
	}
	for open, shut := range map[string]string{"{": "}", "(": ")", "[": "]"} {
		if strings.Count(text, open) != strings.Count(text, shut) {
			t.Errorf("%s and %s do not match", open, shut)
		}
	}
}
