// Package auth knows who somebody is: passwords and their hashes, one-time codes,
// directories (LDAP), the rules for passwords, and the one place where it is decided
// whether an account may log in now.
//
// What it promises:
//
//   - A name that does not exist costs as much time as one that does.
//   - Hashes carry their parameters. One that is weaker than today's is made anew at
//     the next log-in that succeeds, as are those of other schemes that came in by an
//     import.
//   - Hashing is bounded: however many log in at once, memory and processors are not
//     exhausted; who would wait too long is told to come again.
//   - A one-time code works once.
//   - No error names a password, a code or a secret.
//
// gate.go puts it together; hash.go, code.go, policy.go and directory.go are its parts.
package auth
