package daemon

import (
	"path/filepath"
	"strconv"

	"ss-setup/runtime/config"
)

// DefaultHome is where ss-setup names the generation in force unless a flag says
// otherwise.
var DefaultHome = filepath.Join(config.StateFolder, "current")

// GenerationHome is the folder of a generation.
func GenerationHome(n int) string {
	return filepath.Join(config.StateFolder, "generations", strconv.Itoa(n))
}

// DefaultControl is the name of the pipe that Administrators reach the server by.
const DefaultControl = `\\.\pipe\ss-server-control`

// UpdatesFile is where ss-setup keeps what its last check for updates found.
var UpdatesFile = filepath.Join(config.StateFolder, "setup", "updates.json")

// DefaultState is a daemon's folder outside the generations.
func DefaultState(program string) string {
	folder := map[string]string{"ss-server": "data", "ss-licensed": "licensed"}[program]
	return filepath.Join(config.StateFolder, folder)
}

// KeyRing is the folder of the keys of a server whose state is in that folder: beside it.
func KeyRing(state string) string { return filepath.Join(filepath.Dir(state), "keyring") }

// Snapshots is the folder of the copies of the store of a server whose state is in that
// folder: beside it.
func Snapshots(state string) string { return filepath.Join(filepath.Dir(state), "snapshots") }

// DefaultLogs is where the server keeps its own logs, such as the audit log.
var DefaultLogs = filepath.Join(config.StateFolder, "log")

// DefaultFiles is where what users store has its place, a folder for each site.
var DefaultFiles = filepath.Join(config.StateFolder, "vfs")
