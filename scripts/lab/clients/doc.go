// Package clients drives the SFTP server with the programs that people use: OpenSSH's
// sftp, lftp, curl, rclone, sshfs and paramiko, each from Debian's package, against a
// server in the test's own process on a loopback port.
//
// What each client does in its own way is listed at its test: those are the ways in
// which servers fail. The quick tests that need no program are in runtime/sftpd.
package clients
