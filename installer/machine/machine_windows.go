package machine

import "context"

// The host firewalls that are known on other systems.
const (
	UFW       = "ufw"
	Firewalld = "firewalld"
	NFTables  = "nftables"
)

func ownProgram(string) bool { return false }

// Listeners cannot tell who listens here yet.
func Listeners() ([]Listener, error) { return nil, unsupported("list listening ports") }

// SpaceAt cannot measure disks here yet.
func SpaceAt(_ *FS, path string) (Space, error) {
	return Space{}, unsupported("measure the disk of " + path)
}

// FilesystemAt does not know file systems here yet.
func FilesystemAt(_ *FS, path string) (Filesystem, error) {
	return Filesystem{}, unsupported("find the file system of " + path)
}

// LockHolder does not know locks here yet.
func LockHolder(_ *FS, path string) (pid int, held bool, err error) {
	return 0, false, unsupported("look at the lock " + path)
}

// Firewall is the host's own firewall.
type Firewall struct{ Kind string }

// FindFirewall finds none here yet.
func FindFirewall(context.Context, *FS) (*Firewall, error) {
	return nil, unsupported("look for a firewall")
}

// OpenCommands knows no commands.
func (*Firewall) OpenCommands([]int) []string { return nil }

// Lasts tells whether what Open does survives a restart.
func (*Firewall) Lasts() bool { return false }

// Opened cannot tell.
func (*Firewall) Opened(context.Context, []int) ([]int, error) {
	return nil, unsupported("ask the firewall")
}

// Open opens nothing.
func (*Firewall) Open(context.Context, []int) error { return unsupported("open ports") }

// Close closes nothing.
func (*Firewall) Close(context.Context, []int) error { return unsupported("close ports") }
