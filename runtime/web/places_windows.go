package web

import (
	"path/filepath"

	"ss-setup/runtime/config"
)

// How commands are run that only Administrators may run.
const (
	rootPrefix = ""
	rootHint   = "Run commands in a terminal that was opened as an administrator."
)

// setupLogs is where ss-setup keeps its logs.
var setupLogs = filepath.Join(config.StateFolder, "log", "setup")
