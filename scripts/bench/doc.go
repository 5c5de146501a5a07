//go:build linux

// Command bench measures the figures that the design promises, each against a peer
// that is measured in the same run, turn by turn: on a shared machine only what ran
// side by side can be compared. It prints a table and writes the rows as JSON.
//
//	go run ./scripts/bench -out dist/bench.json
//
// A figure that was missed is a row that says so, and exit code 0; only a
// measurement that could not be made ends with 1. Each kind of row has a file:
//
//	install.go   install_vs_dpkg
//	update.go    downtime_vs_dpkg, downtime_seconds
//	unpack.go    unpack_vs_tar
//	sftp.go      sftp_up_vs_openssh, sftp_down_vs_openssh, sftp_small_vs_openssh,
//	             evfs_write_vs_plain, evfs_read_vs_plain, sessions_1000_rss_mb,
//	             sessions_1000_after_rss_mb
//	decrypt.go   vfsdecrypt_vs_openssl, vfsdecrypt_scaling
//	crash.go     crash_points, crash_points_lost
//
// The peer of installing and updating is a Debian package that deb.go builds, with
// the scripts in deb/: the same programs and definitions, compressed as hard, from
// maintainer scripts that do the same work as briefly as such scripts can.
package main
