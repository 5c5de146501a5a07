package cli

import (
	"regexp"
	"strings"
)

// plainWord needs no quotes in cmd nor in PowerShell.
var plainWord = regexp.MustCompile(`^[\w+=:,./\\-]+$`)

// shellWord is a word as a person types it.
func shellWord(word string) string {
	if plainWord.MatchString(word) {
		return word
	}
	return `"` + strings.ReplaceAll(word, `"`, `\"`) + `"`
}

// asRoot is a command as a user types it who may not yet do everything.
func asRoot(command string) string {
	return "in a terminal that was opened with Run as administrator, run: " + command
}
