// Package upload sends decrypted files to an SFTP server, where an encrypted VFS of
// version 7 encrypts them again: what they say touches no disk in between.
//
// The server proves itself by its host key, which must be known beforehand; nobody is asked
// whether to trust one. A file is sent under another name and renamed when it is whole,
// with the time of its source, by which a later run knows that it is done. Lost connections
// are made again.
package upload
