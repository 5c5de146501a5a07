package cli

import (
	"regexp"
	"strings"
)

// plainWord needs no quotes in cmd nor in PowerShell. A comma does: PowerShell takes
// words with one for a list.
var plainWord = regexp.MustCompile(`^[\w+=:./\\-]+\$?$`)

// shellWord is a word as a person types it in cmd or in PowerShell. What ends with a
// backslash gets another one, or that would take away the quote's meaning.
func shellWord(word string) string {
	if plainWord.MatchString(word) {
		return word
	}
	end := len(strings.TrimRight(word, `\`))
	return `"` + strings.ReplaceAll(word[:end], `"`, `\"`) + strings.Repeat(word[end:], 2) + `"`
}

// shellProgram is the path of a program as the first word of a command. Quotes around
// all of it make a text of it in PowerShell, which is shown and not run; both shells
// take them inside.
func shellProgram(path string) string {
	parts := strings.Split(path, `\`)
	for i, part := range parts {
		if part != "" {
			parts[i] = shellWord(part)
		}
	}
	return strings.Join(parts, `\`)
}

// both are two commands of which the second is run when the first went well. No word
// for that is known to every version of both shells.
func both(first, second string) string { return first + ", and then: " + second }

// asRoot is a command as a user types it who may not yet do everything.
func asRoot(command string) string {
	return "in a terminal that was opened with Run as administrator, run: " + command
}

// backupPlaces are where administrators of this system put backups: no usual place.
func backupPlaces() []string { return nil }
