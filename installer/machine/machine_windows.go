package machine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/windows"
)

// Runner runs one command of the system and returns what it printed, both
// streams together. The context bounds it in time.
type Runner func(ctx context.Context, argv ...string) (string, error)

func runCommand(ctx context.Context, argv ...string) (string, error) {
	// Programs of the system by their full path: never one that lies in some folder of PATH.
	program := SystemProgram(argv[0])
	out, err := exec.CommandContext(ctx, program, argv[1:]...).CombinedOutput()
	if err != nil {
		return string(out), fmt.Errorf("run %s: %w: %s", strings.Join(argv, " "), err, strings.TrimSpace(string(out)))
	}
	return string(out), nil
}

// SystemProgram is the path of a program that comes with Windows, named without .exe.
func SystemProgram(name string) string { return filepath.Join(SystemDir, "System32", name+".exe") }

// RestoreContext has nothing to do: there is no SELinux.
func RestoreContext(context.Context, Runner, ...string) error { return nil }

// Privileged tells whether this process may change the machine: its token must have
// Administrators in force, which SYSTEM's has and which UAC holds back from a terminal
// that was not opened with Run as administrator, and the service manager must agree.
func Privileged() bool { return privileged(administrates, mayMakeServices) }

func privileged(asked ...func() bool) bool {
	return !slices.ContainsFunc(asked, func(yes func() bool) bool { return !yes() })
}

// administrates asks for the token's group. Whether the token is elevated says less:
// it is not where UAC is off, and for the built-in Administrator.
func administrates() bool {
	administrators, err := windows.CreateWellKnownSid(windows.WinBuiltinAdministratorsSid)
	if err != nil {
		return false
	}
	member, err := windows.Token(0).IsMember(administrators)
	return err == nil && member
}

func mayMakeServices() bool {
	manager, err := windows.OpenSCManager(nil, nil, windows.SC_MANAGER_CREATE_SERVICE)
	if err != nil {
		return false
	}
	_ = windows.CloseServiceHandle(manager)
	return true
}

// OnlyPrivileged tells an open file that nobody but SYSTEM and Administrators can read
// or write. That the account which runs this is one of them does not make its own files
// so: programs without its rights read those as well.
func OnlyPrivileged(f *os.File) bool {
	d, err := windows.GetSecurityInfo(windows.Handle(f.Fd()), windows.SE_FILE_OBJECT, windows.OWNER_SECURITY_INFORMATION|windows.DACL_SECURITY_INFORMATION)
	return err == nil && onlyPrivileged(d)
}

func onlyPrivileged(d *windows.SECURITY_DESCRIPTOR) bool {
	owner, _, err := d.Owner()
	if err != nil || owner == nil || !almighty(owner.String()) {
		return false
	}
	grants, err := grantsOf(d)
	return err == nil && !slices.ContainsFunc(grants, func(g Grant) bool { return !almighty(g.Who) })
}

// almighty tells who may do everything on every machine, and the rights of an owner
// that is such.
func almighty(sid string) bool {
	return sid == systemSID || sid == administratorsSID || sid == ownerRightsSID
}

// PrivilegedUser is who may change the machine.
const PrivilegedUser = "an Administrator"

// oldestBuild is that of Windows Server 2016.
const oldestBuild = 14393

// supported tells whether this Windows is recent enough.
func supported() error {
	v := windows.RtlGetVersion()
	if v.MajorVersion < 10 || v.BuildNumber < oldestBuild {
		return fmt.Errorf("this is Windows %d.%d, build %d: %w; Windows Server 2016 or newer is needed", v.MajorVersion, v.MinorVersion, v.BuildNumber, errors.ErrUnsupported)
	}
	return nil
}

func ownProgram(exe string) bool {
	prefix := ReleasesDir + `\`
	return len(exe) > len(prefix) && strings.EqualFold(exe[:len(prefix)], prefix)
}

// existing is path or the first folder above it that is there.
func existing(f *FS, path string) string {
	for {
		parent := filepath.Dir(path)
		if info, err := os.Stat(f.Real(path)); err == nil && info.IsDir() || parent == path {
			return path
		}
		path = parent
	}
}

// SpaceAt measures the disk where path is or would be made.
func SpaceAt(f *FS, path string) (Space, error) {
	s := Space{Dir: existing(f, path), Inodes: 1 << 62}
	name, err := windows.UTF16PtrFromString(longPath(f.Real(s.Dir)))
	if err != nil {
		return s, err
	}
	// What a caller may use and what is free at all differ by a quota.
	if err := windows.GetDiskFreeSpaceEx(name, &s.Available, &s.Total, &s.Root); err != nil {
		return s, fmt.Errorf("measure the disk of %s: %w", s.Dir, err)
	}
	v, err := volumeOf(f.Real(s.Dir))
	s.Dev = uint64(v.serial)
	return s, err
}

type volume struct {
	root, kind string
	serial     uint32
	flags      uint32
}

func volumeOf(path string) (volume, error) {
	var v volume
	name, err := windows.UTF16PtrFromString(longPath(path))
	if err != nil {
		return v, err
	}
	root := make([]uint16, windows.MAX_LONG_PATH)
	if err := windows.GetVolumePathName(name, &root[0], uint32(len(root))); err != nil {
		return v, fmt.Errorf("find the volume of %s: %w", path, err)
	}
	v.root = windows.UTF16ToString(root)
	kind := make([]uint16, windows.MAX_PATH+1)
	if err := windows.GetVolumeInformation(&root[0], nil, 0, &v.serial, nil, &v.flags, &kind[0], uint32(len(kind))); err != nil {
		return v, fmt.Errorf("ask volume %s what it is: %w", v.root, err)
	}
	v.kind = windows.UTF16ToString(kind)
	return v, nil
}

// DiskFull tells whether a disk, or somebody's share of it, has no room for more.
func DiskFull(err error) bool {
	return errors.Is(err, windows.ERROR_DISK_FULL) || errors.Is(err, windows.ERROR_HANDLE_DISK_FULL) || errors.Is(err, windows.ERROR_DISK_QUOTA_EXCEEDED)
}

// FilesystemAt tells what the volume is on which path is or would be made.
func FilesystemAt(f *FS, path string) (Filesystem, error) {
	found := Filesystem{Dir: existing(f, path)}
	v, err := volumeOf(f.Real(found.Dir))
	if err != nil {
		return found, err
	}
	const readOnlyVolume = 0x00080000 // FILE_READ_ONLY_VOLUME
	found.Type, found.MountPoint, found.Dev = v.kind, v.root, uint64(v.serial)
	found.ReadOnly = v.flags&readOnlyVolume != 0
	kind := windows.GetDriveType(windows.StringToUTF16Ptr(v.root))
	found.Network = kind == windows.DRIVE_REMOTE
	found.Memory = kind == windows.DRIVE_RAMDISK
	return found, nil
}
