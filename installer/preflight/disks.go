package preflight

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"ss-setup/installer/machine"
)

// reserve is what is asked for above the sum of the demands: file systems need
// some for themselves, and the machine goes on writing while we do.
const reserve = 1.1

// small is for what has no size of its own: the journal, receipts, an empty store.
const small = 16 << 20

// Release is the room for a release: its files, the payload beside them, and the
// copies of ss-setup.
func Release(unpacked, payload, setup int64) []Demand {
	return []Demand{
		{Path: machine.ReleasesDir, Bytes: unpacked + payload, What: "the release"},
		{Path: machine.EngineDir, Bytes: setup, What: "a copy of ss-setup"},
		{Path: machine.BinDir, Bytes: setup, What: "ss-setup"},
	}
}

// Stores is the room for two more copies of each store, one for the next
// generation and one for what a migration writes, and for ss-setup's own state.
func Stores(server, licensed int64) []Demand {
	return []Demand{
		{Path: machine.ServerStateDir, Bytes: 2*server + small, What: "two copies of the store"},
		{Path: machine.LicensedStateDir, Bytes: 2*licensed + small, What: "two copies of the license store"},
		{Path: machine.SetupDir, Bytes: small, What: "the journal"},
	}
}

// Help is the room that every run needs, one that only removes as well: a copy of
// ss-setup to recover with, and the journal.
func Help(setup int64) []Demand {
	const journal = 4 << 20
	return []Demand{
		{Path: machine.EngineDir, Bytes: setup, What: "a copy of ss-setup to recover with"},
		{Path: machine.SetupDir, Bytes: journal, What: "the journal"},
	}
}

// disk is one file system and what is wanted of it.
type disk struct {
	space   machine.Space
	bytes   float64
	demands []string
	paths   []string
}

// checkSpace adds up what goes to the same file system: /opt and /var may be two
// disks, or one. What counts is the room that a service's account has, which is
// less than root's.
func checkSpace(p Probe, in Input) []Check {
	var disks []*disk
	var checks []Check
	for _, d := range in.Demands {
		space, err := p.Space(d.Path)
		if err != nil {
			checks = append(checks, unknown(DiskSpace, err))
			continue
		}
		i := slices.IndexFunc(disks, func(other *disk) bool { return other.space.Dev == space.Dev })
		if i < 0 {
			i = len(disks)
			disks = append(disks, &disk{space: space})
		}
		disks[i].bytes += float64(d.Bytes) * reserve
		disks[i].demands = append(disks[i].demands, fmt.Sprintf("%s for %s in %s", size(float64(d.Bytes)), d.What, d.Path))
		disks[i].paths = append(disks[i].paths, d.Path)
	}
	for _, d := range disks {
		checks = append(checks, d.check())
	}
	return checks
}

// files is how many more files a run makes at most, generously.
const files = 1000

func (d *disk) check() Check {
	free := float64(d.space.Available)
	switch {
	case free < d.bytes:
		return Check{
			Name: DiskSpace, Status: Fail,
			Message: fmt.Sprintf("the disk of %s has %s free and %s are needed (%s, and 10 %% more)",
				d.space.Dir, size(free), size(d.bytes), strings.Join(d.demands, ", ")),
			Cure: fmt.Sprintf(say.room, size(d.bytes-free), d.space.Dir),
		}
	case d.space.Inodes < files:
		return Check{
			Name: DiskSpace, Status: Fail,
			Message: fmt.Sprintf("the disk of %s has room for %d more files and %d are needed", d.space.Dir, d.space.Inodes, files),
			Cure:    fmt.Sprintf(say.inodes, d.space.Dir),
		}
	}
	return ok(DiskSpace, fmt.Sprintf("the disk of %s has %s free, %s are needed", d.space.Dir, size(free), size(d.bytes)))
}

// size is a number of bytes for people.
func size(bytes float64) string {
	const unit = 1024
	names := []string{"B", "KiB", "MiB", "GiB", "TiB"}
	i := 0
	for bytes >= unit && i < len(names)-1 {
		bytes /= unit
		i++
	}
	if i == 0 || bytes >= 100 {
		return fmt.Sprintf("%.0f %s", bytes, names[i])
	}
	return fmt.Sprintf("%.1f %s", bytes, names[i])
}

func checkFileSystems(p Probe) []Check {
	checks := make([]Check, 0, len(safeFolders))
	for _, folder := range safeFolders {
		found, err := p.Filesystem(folder)
		if err != nil {
			checks = append(checks, unknown(FileSystems, err))
			continue
		}
		checks = append(checks, checkFileSystem(folder, found))
	}
	return checks
}

func checkFileSystem(folder string, found machine.Filesystem) Check {
	fault, cure := "", fmt.Sprintf(say.localDisk, folder)
	switch {
	case found.Network:
		fault = "a network file system, which may go away and does not keep what was synced in order"
	case found.FUSE:
		fault = "a FUSE file system, which ends with its program"
	case found.Memory:
		fault = "memory, which is empty after a restart"
	case found.ReadOnly:
		fault, cure = "read-only", fmt.Sprintf(say.remountWritable, found.MountPoint)
	case found.NoExec && folder == machine.ProgramDir:
		fault, cure = "mounted noexec, so no program there could be run", "mount -o remount,exec "+found.MountPoint+", and change /etc/fstab"
	default:
		return ok(FileSystems, fmt.Sprintf("%s is on %s", folder, found.Type))
	}
	return Check{
		Name: FileSystems, Status: Fail,
		Message: fmt.Sprintf("%s would be on %s (%s): that is %s", folder, found.MountPoint, found.Type, fault), Cure: cure,
	}
}

func checkWriting(p Probe) []Check {
	var checks []Check
	var tried []string
	for _, folder := range safeFolders {
		dir, err := p.TryWriting(folder)
		switch {
		case err != nil:
			checks = append(checks, Check{
				Name: Writing, Status: Fail,
				Message: fmt.Sprintf("a file cannot be made, synced, renamed and removed in %s: %s", dir, err),
				Cure:    fmt.Sprintf(say.diskErrors, dir),
			})
		case !slices.Contains(tried, dir):
			checks = append(checks, ok(Writing, "files can be made, synced, renamed and removed in "+dir))
		}
		tried = append(tried, dir)
	}
	return checks
}

// checkLinks refuses links in place of our folders: who made such a link decides
// where root writes, and what is removed through it at a purge. A folder on
// another disk is mounted, not linked. What users store may lie behind a link.
func checkLinks(p Probe) []Check {
	var checks []Check
	for _, folder := range allFolders {
		info, target, err := p.Lstat(folder)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			checks = append(checks, unknown(Links, err))
		case target != "" && folder == machine.FilesDir:
			checks = append(checks, Check{
				Name: Links, Status: Warn, Message: fmt.Sprintf("%s is a link to %s; what users store will lie there", folder, target),
				Cure: fmt.Sprintf(say.removeLink, folder),
			})
		case target != "":
			checks = append(checks, Check{
				Name: Links, Status: Fail, Message: fmt.Sprintf("%s is a link to %s; %s would write wherever that leads", folder, target, say.rootWrites),
				Cure: fmt.Sprintf(say.otherDisk, folder, target),
			})
		case !info.IsDir():
			checks = append(checks, Check{
				Name: Links, Status: Fail, Message: folder + " is there and is no folder",
				Cure: fmt.Sprintf(say.moveAway, folder),
			})
		}
	}
	if len(checks) == 0 {
		checks = append(checks, ok(Links, "no link stands in the place of a folder"))
	}
	return checks
}
