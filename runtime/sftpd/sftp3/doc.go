// Package sftp3 speaks version 3 of the SFTP protocol, the server's side, over any
// stream. It turns requests into calls on a [vfs.FS] and knows neither SSH nor users.
//
// What it promises:
//
//   - Requests are served one after the other, and a request is not read before the
//     answer to the last one was taken: a client that asks for a whole file at once is
//     slowed down by its own connection and fills no queue here.
//   - A session that waits for its client holds no buffer.
//   - A packet that cannot be read ends the session after a status that says so; it
//     changes nothing. Only the bytes of a WRITE go to the file while they arrive.
//   - Operations on a handle act on the open file, whatever its name has become since.
//   - What the FS answers reaches the client as a status and a text without any path of
//     this machine; the whole error goes to [Options.Observe].
//
// Extensions: limits, posix-rename, statvfs, fstatvfs, fsync, lsetstat, expand-path and
// users-groups-by-id of openssh.com, home-directory, copy-data, and check-file by name
// and by handle.
package sftp3
