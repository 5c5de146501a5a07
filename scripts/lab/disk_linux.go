package lab

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Disk is one of a machine's disks.
type Disk string

// The disks of a machine. System holds everything unless there is Opt, which is
// mounted on /opt.
const (
	System Disk = "disk"
	Opt    Disk = "opt"
)

func (d Disk) file() string { return string(d) + ".img" }

// Order is the order in which disks lose their power.
type Order []Disk

// The orders of a machine with two disks.
var (
	SystemFirst = Order{System, Opt}
	OptFirst    = Order{Opt, System}
)

func (m *Machine) disks() []Disk {
	if m.spec.OptDisk {
		return []Disk{System, Opt}
	}
	return []Disk{System}
}

func (m *Machine) image(d Disk) string { return filepath.Join(m.dir, d.file()) }

// mountPoint is where the host reaches a running machine's disk: it is mounted only
// in the machine's own mount namespace.
func (m *Machine) mountPoint(d Disk) string {
	return fmt.Sprintf("/proc/%d/root%s", m.supervisor(), filepath.Join(m.dir, string(d)))
}

// makeDisk makes a sparse image whose whole size can be used.
func makeDisk(file, fs, size string) error {
	mkfs, ok := map[string][]string{
		"ext4": {"mkfs.ext4", "-q", "-F", "-m", "0", "-J", "size=4", "-E", "lazy_itable_init=1,lazy_journal_init=1,nodiscard"},
		"xfs":  {"mkfs.xfs", "-q", "-f", "-K"},
	}[fs]
	if !ok {
		// btrfs has no FS_IOC_SHUTDOWN (seen on Linux 6.18: ENOTTY), so no power cut.
		return fmt.Errorf("file system %q: a machine's disks are ext4 or xfs", fs)
	}
	if fs == "xfs" {
		if err := installPackages("mkfs.xfs:xfsprogs"); err != nil {
			return err
		}
	}
	bytes, err := parseSize(size)
	if err != nil {
		return err
	}
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	if err := errors.Join(f.Truncate(bytes), f.Close()); err != nil {
		return err
	}
	if out, err := exec.Command(mkfs[0], append(mkfs[1:], file)...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w: %s", mkfs[0], file, err, out)
	}
	return nil
}

func parseSize(size string) (int64, error) {
	var n int64
	var unit string
	if _, err := fmt.Sscanf(size, "%d%s", &n, &unit); err != nil || n <= 0 {
		return 0, fmt.Errorf("disk size %q: write it as 512M or 1G", size)
	}
	shift, ok := map[string]int{"K": 10, "M": 20, "G": 30}[unit]
	if !ok {
		return 0, fmt.Errorf("disk size %q: write it as 512M or 1G", size)
	}
	return n << shift, nil
}

func mountDisk(dev *os.File, fs, target string) error {
	if err := os.MkdirAll(target, 0o755); err != nil {
		return err
	}
	data := ""
	if fs == "xfs" {
		data = "nouuid" // copies of one image have one UUID
	}
	if err := unix.Mount(dev.Name(), target, fs, 0, data); err != nil {
		return fmt.Errorf("mount %s on %s: %w", dev.Name(), target, err)
	}
	return nil
}

// attachImage gives an image a loop device that frees itself when nobody has it open
// or mounted any more.
func attachImage(image string) (*os.File, error) {
	img, err := os.OpenFile(image, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer img.Close()
	dev, err := attachLoop(img)
	if err != nil {
		return nil, fmt.Errorf("loop device for %s: %w", image, err)
	}
	return dev, nil
}

func attachLoop(img *os.File) (*os.File, error) {
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer control.Close()
	for {
		n, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
		if err != nil {
			return nil, err
		}
		path := fmt.Sprintf("/dev/loop%d", n)
		// Without udev nobody makes the node of a device beyond the first eight.
		if err := unix.Mknod(path, unix.S_IFBLK|0o660, int(unix.Mkdev(7, uint32(n)))); err != nil && err != unix.EEXIST {
			return nil, err
		}
		dev, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			return nil, err
		}
		config := unix.LoopConfig{Fd: uint32(img.Fd()), Info: unix.LoopInfo64{Flags: unix.LO_FLAGS_AUTOCLEAR}}
		err = unix.IoctlLoopConfigure(int(dev.Fd()), &config)
		if err == nil {
			return dev, nil
		}
		dev.Close()
		if err != unix.EBUSY { // another machine was faster: ask for the next one
			return nil, err
		}
	}
}

// disksFree tells whether no loop device holds an image of this machine any more.
func (m *Machine) disksFree() bool {
	files, err := filepath.Glob("/sys/block/loop*/loop/backing_file")
	if err != nil {
		panic(err) // the pattern is ours
	}
	for _, f := range files {
		if image, err := os.ReadFile(f); err == nil && strings.HasPrefix(string(image), m.dir+"/") {
			return false
		}
	}
	return true
}

// FS_IOC_SHUTDOWN of ext4, which is XFS_IOC_GOINGDOWN of xfs, and the flag of both
// for "do not even write the log": what is in memory never reaches the image, and
// the next mount replays the journal as after a real power cut.
const (
	shutdownRequest = 0x8004587d
	shutdownNoFlush = 2
)

func (m *Machine) cutPower(order Order, gap time.Duration) error {
	if !m.spec.OptDisk {
		order = Order{System}
	}
	// Opened before the first cut, so that nothing but the gap lies between the cuts.
	var open []*os.File
	for _, d := range order {
		f, err := os.Open(m.mountPoint(d))
		if err != nil {
			return err
		}
		defer f.Close()
		open = append(open, f)
	}
	for i, f := range open {
		if i > 0 {
			time.Sleep(gap)
		}
		if err := unix.IoctlSetPointerInt(int(f.Fd()), shutdownRequest, shutdownNoFlush); err != nil {
			return fmt.Errorf("shut down %s: %w", order[i], err)
		}
	}
	return nil
}

// EIO makes a disk fail: writes, creates and starting programs from it end with EIO,
// what is cached can still be read. It ends with Kill9 or Stop, and Start.
func (m *Machine) EIO(d Disk) {
	m.t.Helper()
	m.needLeader()
	if err := m.cutPower(Order{d}, 0); err != nil {
		m.t.Fatalf("lab: dead disk of %s: %v", m.Name, err)
	}
}

const fillFile = ".lab-fill"

// Fill leaves free bytes on a disk, so that the next write beyond them gets ENOSPC.
func (m *Machine) Fill(d Disk, free int64) {
	m.t.Helper()
	m.needLeader()
	if err := fill(m.mountPoint(d), free); err != nil {
		m.t.Fatalf("lab: fill %s of %s: %v", d, m.Name, err)
	}
}

// Unfill ends Fill.
func (m *Machine) Unfill(d Disk) {
	m.t.Helper()
	m.needLeader()
	if err := os.Remove(filepath.Join(m.mountPoint(d), fillFile)); err != nil {
		m.t.Fatalf("lab: unfill %s of %s: %v", d, m.Name, err)
	}
}

// Free tells how many bytes of a disk are free.
func (m *Machine) Free(d Disk) int64 {
	m.t.Helper()
	m.needLeader()
	n, err := freeBytes(m.mountPoint(d))
	if err != nil {
		m.t.Fatalf("lab: free space of %s: %v", m.Name, err)
	}
	return n
}

func fill(dir string, keep int64) error {
	f, err := os.OpenFile(filepath.Join(dir, fillFile), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	offset := info.Size()
	free, err := freeBytes(dir)
	if err != nil {
		return err
	}
	// A file system needs blocks for its own lists too: halve what does not fit.
	for chunk := free - keep; chunk >= 4096; {
		switch err := unix.Fallocate(int(f.Fd()), 0, offset, chunk); err {
		case nil:
			offset += chunk
			if free, err = freeBytes(dir); err != nil {
				return err
			}
			chunk = min(chunk, free-keep)
		case unix.ENOSPC:
			chunk /= 2
		case unix.EINTR:
		default:
			return err
		}
	}
	return nil
}

func freeBytes(dir string) (int64, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, err
	}
	return int64(s.Bavail) * s.Bsize, nil
}

// copySparse copies an image and its holes: as a clone where the host's file system
// can, else the parts with data.
func copySparse(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	defer out.Close()
	if unix.IoctlFileClone(int(out.Fd()), int(in.Fd())) == nil {
		return nil
	}
	info, err := in.Stat()
	if err != nil {
		return err
	}
	if err := out.Truncate(info.Size()); err != nil {
		return err
	}
	for offset := int64(0); ; {
		start, err := in.Seek(offset, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			return nil // nothing but a hole until the end
		}
		if err != nil {
			return err
		}
		if offset, err = in.Seek(start, unix.SEEK_HOLE); err != nil {
			return err
		}
		if _, err := out.Seek(start, io.SeekStart); err != nil {
			return err
		}
		if _, err := in.Seek(start, io.SeekStart); err != nil {
			return err
		}
		// os.File.ReadFrom leaves the copying to the kernel.
		if _, err := io.CopyN(out, in, offset-start); err != nil {
			return err
		}
	}
}
