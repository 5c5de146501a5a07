package config

import (
	"os"
	"path/filepath"
)

// Where the two files lie unless a flag says otherwise.
var (
	ServerPath   = filepath.Join(os.Getenv("ProgramData"), "SS Server", "config", "server.toml")
	LicensedPath = filepath.Join(os.Getenv("ProgramData"), "SS Server", "config", "licensed.toml")
)

func restart(service string) string { return "net stop " + service + " & net start " + service }
