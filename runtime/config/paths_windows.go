package config

import (
	"os"
	"path/filepath"

	"golang.org/x/sys/windows"

	"ss-setup/runtime/service"
)

// StateFolder holds all that is not a program. Windows is asked where it is: the
// environment may be empty, or a user's.
var StateFolder = filepath.Join(programData(), "SS Server")

// Where the two files lie unless a flag says otherwise.
var (
	ServerPath   = filepath.Join(StateFolder, "config", "server.toml")
	LicensedPath = filepath.Join(StateFolder, "config", "licensed.toml")
)

func programData() string {
	if dir, err := windows.KnownFolderPath(windows.FOLDERID_ProgramData, windows.KF_FLAG_DEFAULT); err == nil && filepath.IsAbs(dir) {
		return dir
	}
	return os.Getenv("ProgramData")
}

func restart(name string) string { return service.RestartCommand(service.Windows, name) }
