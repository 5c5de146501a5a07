package config

import (
	"os"
	"path/filepath"

	"ss-setup/runtime/service"
)

// Where the two files lie unless a flag says otherwise.
var (
	ServerPath   = filepath.Join(os.Getenv("ProgramData"), "SS Server", "config", "server.toml")
	LicensedPath = filepath.Join(os.Getenv("ProgramData"), "SS Server", "config", "licensed.toml")
)

func restart(name string) string { return service.RestartCommand(service.Windows, name) }
