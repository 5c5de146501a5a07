package sftp3

import (
	"fmt"
	"io/fs"
	"strings"
	"time"

	"ss-setup/runtime/vfs"
)

// Which fields a set of attributes carries, as the protocol numbers them.
const (
	attrSize     = 1 << 0
	attrOwner    = 1 << 1
	attrMode     = 1 << 2
	attrTimes    = 1 << 3
	attrExtended = 1 << 31
)

// The file type in a mode of the protocol, which is that of POSIX.
const (
	modeRegular = 0o100000
	modeDir     = 0o040000
	modeSymlink = 0o120000
)

// readAttrs reads attributes; what f.err says counts for them too. Owner and group mean
// nothing here and are left out.
func readAttrs(f *fields) vfs.Change {
	var c vfs.Change
	flags := f.uint32()
	if flags&attrSize != 0 {
		size := int64(f.uint64())
		c.Size = &size
	}
	if flags&attrOwner != 0 {
		f.uint64() // user and group
	}
	if flags&attrMode != 0 {
		mode := fs.FileMode(f.uint32()) & fs.ModePerm
		c.Mode = &mode
	}
	if flags&attrTimes != 0 {
		atime, mtime := time.Unix(int64(f.uint32()), 0), time.Unix(int64(f.uint32()), 0)
		c.AccessTime, c.ModTime = &atime, &mtime
	}
	if flags&attrExtended != 0 {
		for n := f.uint32(); n > 0 && f.err == nil; n-- {
			f.bytes()
			f.bytes()
		}
	}
	return c
}

// empty tells that nothing shall change.
func empty(c vfs.Change) bool {
	return c.Size == nil && c.Mode == nil && c.AccessTime == nil && c.ModTime == nil
}

// checkSize refuses a size that no file has.
func checkSize(c vfs.Change) error {
	if c.Size != nil && *c.Size < 0 {
		return vfs.ErrTooLarge
	}
	return nil
}

// attrs appends what info says. Owner and group are numbers without meaning; clients
// expect them.
func (r *reply) attrs(info vfs.Info) {
	r.uint32(attrSize | attrOwner | attrMode | attrTimes)
	r.uint64(uint64(max(info.Size, 0)))
	r.uint64(0)
	r.uint32(wireMode(info.Mode))
	r.uint32(wireTime(info.AccessTime))
	r.uint32(wireTime(info.ModTime))
}

// wireTime clips a time to the 32 bits of the protocol.
func wireTime(t time.Time) uint32 {
	return uint32(min(max(t.Unix(), 0), 1<<32-1))
}

func wireMode(m fs.FileMode) uint32 {
	mode := uint32(m.Perm())
	switch {
	case m.IsDir():
		mode |= modeDir
	case m&fs.ModeSymlink != 0:
		mode |= modeSymlink
	default:
		mode |= modeRegular
	}
	return mode
}

// longName is a line as "ls -l" writes it: some clients know size and time from
// nothing else.
func longName(info vfs.Info, owner string, now time.Time) string {
	kind := "-"
	switch {
	case info.IsDir():
		kind = "d"
	case info.Mode&fs.ModeSymlink != 0:
		kind = "l"
	}
	when := info.ModTime.UTC()
	layout := "Jan _2 15:04"
	if age := now.Sub(when); age > 182*24*time.Hour || age < -24*time.Hour {
		layout = "Jan _2  2006"
	}
	return fmt.Sprintf("%s%s    1 %-8s %-8s %12d %s %s", kind, info.Mode.Perm().String()[1:],
		column(owner), column(owner), info.Size, when.Format(layout), info.Name)
}

// column is a name without blanks, which would shift those who count columns.
func column(name string) string {
	if name = strings.Join(strings.Fields(name), "_"); name == "" {
		return "-"
	}
	return name
}
