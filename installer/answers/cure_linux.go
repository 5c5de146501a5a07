package answers

import "fmt"

// clearPassword says why a password in clear text is not taken, and what to do.
func clearPassword(file string) string {
	return fmt.Sprintf("a password in clear text is taken only from a file that is root's alone; "+
		"write its hash, or run: chown root %[1]s; chmod 600 %[1]s", file)
}
