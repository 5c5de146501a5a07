package web

import (
	"ss-setup/runtime/config"
	"ss-setup/runtime/daemon"
)

// places are where things are on this machine, and how its commands are run: pages name
// what is there, on each system.
type places struct {
	Config, Licensed, Files, Logs, SetupLogs string
	// Hint says how commands are run, where that does not stand in them.
	Hint string
}

func here() places {
	return places{config.ServerPath, config.LicensedPath, daemon.DefaultFiles, daemon.DefaultLogs, setupLogs, rootHint}
}

// root is a command for root, as it is typed.
func root(command string) string { return rootPrefix + command }
