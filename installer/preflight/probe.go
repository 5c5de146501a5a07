package preflight

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"ss-setup/installer/machine"
)

// Probe is how the checks see the machine.
type Probe interface {
	// EUID is who runs this program.
	EUID() int
	// Platform is the machine's GOOS and GOARCH.
	Platform() (os, arch string)
	// InitSystem names the service manager; an error when there is none that works.
	InitSystem() (string, error)
	// LockHolder tells who holds the lock of the runs.
	LockHolder() (pid int, held bool, err error)
	// Lstat tells about a path, and where it leads if it is a link.
	Lstat(path string) (info fs.FileInfo, target string, err error)
	// Planted says why a folder cannot be trusted; empty when it can, or is not there.
	Planted(path string) (why string, err error)
	Space(path string) (machine.Space, error)
	Filesystem(path string) (machine.Filesystem, error)
	// TryWriting creates, syncs, renames and removes a file where path is or
	// would be made; dir is where that was.
	TryWriting(path string) (dir string, err error)
	Listeners() ([]machine.Listener, error)
	Service(ctx context.Context, name string) (machine.ServiceState, error)
	// Account tells the number of an account; fs.ErrNotExist when there is none.
	Account(name string) (uid int, err error)
	Now() time.Time
}

// NewProbe looks at the machine itself, or at the image below f's root. services
// is its service manager; nil looks for it.
func NewProbe(f *machine.FS, services machine.Services) Probe {
	return &probe{fs: f, services: services}
}

type probe struct {
	fs       *machine.FS
	services machine.Services
}

func (p *probe) EUID() int { return euid() }

func (p *probe) Platform() (goos, goarch string) { return runtime.GOOS, runtime.GOARCH }

func (p *probe) InitSystem() (string, error) {
	if p.services == nil {
		services, err := machine.NewServices(p.fs)
		if err != nil {
			return "", err
		}
		p.services = services
	}
	return p.services.Name(), nil
}

func (p *probe) LockHolder() (pid int, held bool, err error) {
	return machine.LockHolder(p.fs, machine.LockFile)
}

func (p *probe) Lstat(path string) (fs.FileInfo, string, error) {
	info, err := p.fs.Lstat(path)
	if err != nil || info.Mode()&fs.ModeSymlink == 0 {
		return info, "", err
	}
	target, err := p.fs.Readlink(path)
	return info, target, err
}

func (p *probe) Planted(path string) (string, error) { return machine.Planted(p.fs, path) }

func (p *probe) Space(path string) (machine.Space, error) { return machine.SpaceAt(p.fs, path) }

func (p *probe) Filesystem(path string) (machine.Filesystem, error) {
	return machine.FilesystemAt(p.fs, path)
}

func (p *probe) Listeners() ([]machine.Listener, error) { return machine.Listeners() }

func (p *probe) Service(ctx context.Context, name string) (machine.ServiceState, error) {
	if _, err := p.InitSystem(); err != nil {
		return machine.ServiceState{}, err
	}
	return p.services.State(ctx, name)
}

func (p *probe) Account(name string) (uid int, err error) {
	uid, _, err = machine.NewAccounts(p.fs).Lookup(name)
	return uid, err
}

func (p *probe) Now() time.Time { return time.Now() }

// TryWriting has nothing synced as long as the file has a name, so that a power
// cut does not leave it.
func (p *probe) TryWriting(path string) (dir string, err error) {
	dir = p.nearest(path)
	from := filepath.Join(dir, fmt.Sprintf(".ss-setup-try-%d", os.Getpid()))
	to := from + ".renamed"
	attr := machine.Attr{Mode: 0o600, UID: os.Geteuid(), GID: os.Getegid()}
	err = p.fs.WriteNew(from, []byte("a try of ss-setup, to be removed\n"), attr)
	if err == nil {
		err = p.fs.Rename(from, to)
	}
	err = errors.Join(err, p.fs.Remove(from), p.fs.Remove(to))
	return dir, errors.Join(err, p.fs.SyncDir(dir))
}

// nearest is path or the first folder above it that is there.
func (p *probe) nearest(path string) string {
	for {
		info, err := os.Stat(p.fs.Real(path))
		parent := filepath.Dir(path)
		if err == nil && info.IsDir() || parent == path {
			return path
		}
		path = parent
	}
}
