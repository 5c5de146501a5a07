package machine

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// existing is the nearest folder above path, or path itself, that is there, with
// all links followed.
func existing(f *FS, path string) (string, error) {
	for {
		real, err := filepath.EvalSymlinks(f.Real(path))
		if err == nil {
			return real, nil
		}
		if !errors.Is(err, fs.ErrNotExist) || path == "/" || path == "." {
			return "", err
		}
		path = filepath.Dir(path)
	}
}

// DiskFull tells whether a disk, or somebody's share of it, has no room for more.
func DiskFull(err error) bool { return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) }

// SpaceAt tells how much room there is where path is or would be made.
func SpaceAt(f *FS, path string) (Space, error) {
	dir, err := existing(f, path)
	if err != nil {
		return Space{}, fmt.Errorf("measure the disk of %s: %w", path, err)
	}
	var fsStat unix.Statfs_t
	if err := unix.Statfs(dir, &fsStat); err != nil {
		return Space{}, fmt.Errorf("measure the disk of %s: %w", dir, err)
	}
	info, err := os.Stat(dir)
	if err != nil {
		return Space{}, fmt.Errorf("measure the disk of %s: %w", dir, err)
	}
	unit := uint64(fsStat.Frsize)
	if unit == 0 {
		unit = uint64(fsStat.Bsize)
	}
	s := Space{
		Available: fsStat.Bavail * unit, Root: fsStat.Bfree * unit, Total: fsStat.Blocks * unit,
		Inodes: fsStat.Ffree, Dev: device(info), Dir: dir,
	}
	if fsStat.Files == 0 {
		s.Inodes = 1 << 62 // btrfs and others make inodes as they need them
	}
	return s, nil
}

// FilesystemAt tells what path lies on, or would lie on when made.
func FilesystemAt(f *FS, path string) (Filesystem, error) {
	dir, err := existing(f, path)
	if err != nil {
		return Filesystem{}, fmt.Errorf("find the file system of %s: %w", path, err)
	}
	mounts, err := os.Open(procDir + "/self/mountinfo")
	if err != nil {
		return Filesystem{}, fmt.Errorf("find the file system of %s: %w", path, err)
	}
	defer mounts.Close()
	mount, err := findMount(mounts, dir, mountID(dir))
	if err != nil {
		return Filesystem{}, fmt.Errorf("find the file system of %s: %w", dir, err)
	}
	info, err := os.Stat(dir)
	if err != nil {
		return Filesystem{}, fmt.Errorf("find the file system of %s: %w", dir, err)
	}
	found := Filesystem{
		Type: mount.kind, MountPoint: mount.point, Dev: device(info), Dir: dir,
		ReadOnly: mount.has("ro"), NoExec: mount.has("noexec"),
		FUSE:    mount.kind == "fuse" || mount.kind == "fuseblk" || mount.kind == "virtiofs" || strings.HasPrefix(mount.kind, "fuse."),
		Network: networkTypes[mount.kind], Memory: memoryTypes[mount.kind],
	}
	return found, nil
}

var (
	networkTypes = map[string]bool{
		"nfs": true, "nfs4": true, "cifs": true, "smb3": true, "smbfs": true, "9p": true, "afs": true, "ceph": true,
		"coda": true, "ncpfs": true, "lustre": true, "beegfs": true, "gpfs": true, "orangefs": true, "pvfs2": true,
	}
	memoryTypes = map[string]bool{"tmpfs": true, "ramfs": true, "devtmpfs": true, "hugetlbfs": true}
)

// mountID asks the kernel which mount a path is on; 0 before Linux 5.8.
func mountID(path string) uint64 {
	var stat unix.Statx_t
	err := unix.Statx(unix.AT_FDCWD, path, unix.AT_NO_AUTOMOUNT, unix.STATX_MNT_ID, &stat)
	if err != nil || stat.Mask&unix.STATX_MNT_ID == 0 {
		return 0
	}
	return stat.Mnt_id
}

// mountEntry is one line of mountinfo.
type mountEntry struct {
	id      uint64
	point   string
	kind    string
	options []string // of the mount and of the file system
}

func (m mountEntry) has(option string) bool {
	for _, o := range m.options {
		if o == option {
			return true
		}
	}
	return false
}

// findMount finds the mount with the number id or, where that is 0, the last one
// with the longest mount point above path.
func findMount(mountinfo io.Reader, path string, id uint64) (mountEntry, error) {
	var best mountEntry
	lines := bufio.NewScanner(mountinfo)
	lines.Buffer(nil, 1<<20) // overlays of many layers have long lines
	for lines.Scan() {
		m, err := parseMount(lines.Text())
		if err != nil {
			return mountEntry{}, err
		}
		if id != 0 && m.id == id {
			return m, nil
		}
		if above(m.point, path) && len(m.point) >= len(best.point) {
			best = m
		}
	}
	if err := lines.Err(); err != nil {
		return mountEntry{}, err
	}
	if best.point == "" {
		return mountEntry{}, errors.New("no mount in /proc/self/mountinfo holds it")
	}
	return best, nil
}

func above(dir, path string) bool {
	return dir == "/" || path == dir || strings.HasPrefix(path, dir+"/")
}

// parseMount reads one line of proc(5)'s mountinfo: number, parent, device, root,
// mount point, options, any number of tags, a hyphen, type, source, options.
func parseMount(line string) (mountEntry, error) {
	mount, rest, ok := strings.Cut(line, " - ")
	left, right := strings.Fields(mount), strings.Fields(rest)
	if !ok || len(left) < 6 || len(right) < 2 {
		return mountEntry{}, fmt.Errorf("the line %.80q of mountinfo is too short", line)
	}
	id, err := strconv.ParseUint(left[0], 10, 64)
	if err != nil {
		return mountEntry{}, fmt.Errorf("the line %.80q of mountinfo has no number: %w", line, err)
	}
	m := mountEntry{id: id, point: unescapeMount(left[4]), kind: right[0], options: strings.Split(left[5], ",")}
	if len(right) > 2 {
		m.options = append(m.options, strings.Split(right[2], ",")...)
	}
	return m, nil
}

// unescapeMount undoes the kernel's octal escapes for space, tab, newline and
// backslash.
func unescapeMount(text string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(text)
}
