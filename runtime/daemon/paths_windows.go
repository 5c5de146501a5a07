package daemon

import (
	"os"
	"path/filepath"
	"strconv"
)

// DefaultHome is where ss-setup names the generation in force unless a flag says
// otherwise.
var DefaultHome = filepath.Join(stateFolder(), "current")

func stateFolder() string { return filepath.Join(os.Getenv("ProgramData"), "SS Server") }

// GenerationHome is the folder of a generation.
func GenerationHome(n int) string {
	return filepath.Join(stateFolder(), "generations", strconv.Itoa(n))
}

// DefaultControl is the name of the pipe that Administrators reach the server by.
const DefaultControl = `\\.\pipe\ss-server-control`

// DefaultState is a daemon's folder outside the generations.
func DefaultState(program string) string {
	folder := map[string]string{"ss-server": "data", "ss-licensed": "licensed"}[program]
	return filepath.Join(stateFolder(), folder)
}

// DefaultLogs is where the server keeps its own logs, such as the audit log.
var DefaultLogs = filepath.Join(stateFolder(), "log")
