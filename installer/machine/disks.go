package machine

// Space is how full a file system is, in bytes.
type Space struct {
	// Available is what an ordinary account may still write, such as that of a
	// service; Root is what root may, which is more where blocks are reserved.
	Available, Root, Total uint64
	// Inodes is how many more files there may be; where a file system has no
	// such limit, very many.
	Inodes uint64
	// Dev tells one file system from another.
	Dev uint64
	// Dir is the existing folder that was asked.
	Dir string
}

// Filesystem is what a path lies on.
type Filesystem struct {
	// Type is its name as in /proc/filesystems: ext4, nfs, fuse.sshfs.
	Type string
	// Network, FUSE and Memory are the kinds on which what was synced need not
	// be there any more after a power cut.
	Network, FUSE, Memory bool
	ReadOnly, NoExec      bool
	MountPoint            string
	// Dev tells one file system from another.
	Dev uint64
	// Dir is the existing folder that was asked.
	Dir string
}

// Sound tells whether a store and a journal may lie there.
func (f Filesystem) Sound() bool { return !f.Network && !f.FUSE && !f.Memory }
