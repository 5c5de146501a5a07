// Package lab gives tests real Linux machines: systemd-nspawn on disk images of
// their own, so that power cuts, full disks and dead disks are real. A machine boots
// in about a second and needs root and Debian; packages and root file systems that
// are missing are installed and built on first use.
//
//	m := lab.Boot(t, lab.Options{Root: "bookworm"})
//	m.Copy("dist/bundle", "/root/bundle")
//	m.MustExec("/root/bundle/ss-setup", "install")
//	m.Kill9(lab.OptFirst, 3*time.Millisecond) // power cut
//	m.Start()                                 // and on again
//
// What it promises: after Kill9 exactly what was synced is there, nothing of a
// machine outlives its test, and the host's files, mounts, routes and processes are
// left alone. What it must not know: the product under test.
//
// Programs of another architecture run in an Emulated root file system, which is not
// booted.
//
// # How a machine is made
//
// A sparse image on a loop device holds the upper half of an overlay; the lower half
// is a shared, read-only root that mkroot.sh built. The image outlives a power cut.
// Every machine has a mount namespace of its own, because nspawn keeps all mounts it
// inherits: with the disks mounted on the host, a second machine would hold the dead
// file system of the first. It has a cgroup of its own, because in a shared one equal
// unit names meet. Its network namespace outlives a restart.
//
// State lies in $LAB (default /var/tmp/lab): root-*/ the roots, cache/ Debian packages;
// and, one folder a machine, in $LAB_MACHINES (default /dev/shm/lab-machines where there
// is room, else $LAB/machines). Machines whose test process died are removed by the next
// one that boots something.
package lab
