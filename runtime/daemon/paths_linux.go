package daemon

import (
	"path"
	"strconv"
)

// Where ss-setup puts things unless a flag says otherwise. Service definitions rely on
// these and name no paths of their own.
const (
	DefaultHome    = "/opt/ss-server/current"
	DefaultControl = "/run/ss-server/control.sock"
)

// UpdatesFile is where ss-setup keeps what its last check for updates found.
const UpdatesFile = "/var/lib/ss-setup/updates.json"

// DefaultState is a daemon's folder outside the generations.
func DefaultState(program string) string { return "/var/lib/" + program }

// KeyRing is the folder of the keys of a server whose state is in that folder.
func KeyRing(state string) string { return path.Join(state, "keyring") }

// Snapshots is the folder of the copies of the store of a server whose state is in that
// folder.
func Snapshots(state string) string { return path.Join(state, "snapshots") }

// GenerationHome is the folder of a generation.
func GenerationHome(n int) string { return path.Join("/opt/ss-server/generations", strconv.Itoa(n)) }

// DefaultLogs is where the server keeps its own logs, such as the audit log.
const DefaultLogs = "/var/log/ss-server"

// DefaultFiles is where what users store has its place, a folder for each site.
const DefaultFiles = "/srv/ss-server"
