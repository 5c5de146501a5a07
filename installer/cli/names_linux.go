package cli

import (
	"os/exec"
	"regexp"
	"strings"
)

// plainWord needs no quotes in a shell.
var plainWord = regexp.MustCompile(`^[\w@%+=:,./-]+$`)

// shellWord is a word as a person types it in a shell.
func shellWord(word string) string {
	if plainWord.MatchString(word) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// asRoot is a command as a user types it who is not root.
func asRoot(command string) string {
	if _, err := exec.LookPath("sudo"); err != nil {
		return "run as root: " + command
	}
	return "run: sudo " + command
}
