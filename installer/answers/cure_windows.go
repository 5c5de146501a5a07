package answers

import "fmt"

// clearPassword says why a password in clear text is not taken, and what to do. Who has
// changed the list has not changed the owner, who could change it back.
func clearPassword(file string) string {
	return fmt.Sprintf("a password in clear text is taken only from a file that belongs to SYSTEM or Administrators and that nobody else can read; "+
		`write its hash, or run: icacls "%[1]s" /setowner *S-1-5-32-544, and then: icacls "%[1]s" /inheritance:r /grant:r *S-1-5-18:F *S-1-5-32-544:F`, file)
}
