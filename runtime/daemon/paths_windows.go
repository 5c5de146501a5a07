package daemon

import (
	"os"
	"path/filepath"
)

// Where ss-setup puts things unless a flag says otherwise.
var DefaultHome = filepath.Join(os.Getenv("ProgramFiles"), "SS Server", "current")

// DefaultControl is the name of the pipe that Administrators reach the server by.
const DefaultControl = `\\.\pipe\ss-server-control`

// DefaultState is a daemon's folder outside the generations.
func DefaultState(program string) string {
	folder := map[string]string{"ss-server": "data", "ss-licensed": "licensed"}[program]
	return filepath.Join(os.Getenv("ProgramData"), "SS Server", folder)
}
