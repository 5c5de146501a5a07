// Package sftpd serves the SFTP of one virtual site: it listens on the site's bindings,
// speaks SSH through golang.org/x/crypto/ssh, asks [Accounts] who may log in and how,
// and hands each session its files by package sftp3.
//
// What it promises:
//
//   - Every way in ends in one question, [Accounts.Open]: may this account log in now?
//   - Nothing runs for a client but SFTP: no shell, no commands, no forwarding.
//   - Algorithms are those of the site's lists and nothing that a library thinks fit.
//     Whoever needs a weak one is named, whether it is allowed or not: [Site.Needs].
//   - A stop lets running transfers end, for a while, and goes on taking log-ins
//     meanwhile: [Site.Stop].
//   - A panic ends the connection in which it happened, and no other.
//
// The parts: site.go listens and stops, connection.go leads one client through its
// life, login.go through its log-in, conn.go moves its bytes, algorithms.go knows the
// lists, session.go what is told of sessions.
package sftpd
