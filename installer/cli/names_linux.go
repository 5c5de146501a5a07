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

// shellProgram is the path of a program as the first word of a command.
func shellProgram(path string) string { return shellWord(path) }

// both are two commands of which the second is run when the first went well.
func both(first, second string) string { return first + " && " + second }

// asRoot is a command as a user types it who is not root.
func asRoot(command string) string {
	if _, err := exec.LookPath("sudo"); err != nil {
		return "run as root: " + command
	}
	return "run: sudo " + command
}

// backupPlaces are where administrators of this system put backups.
func backupPlaces() []string { return []string{"/var/backups", "/srv/backup"} }
