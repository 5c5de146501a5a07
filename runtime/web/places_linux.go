package web

// How commands are run that only root may run, and where ss-setup keeps its logs.
const (
	rootPrefix = "sudo "
	rootHint   = ""
	setupLogs  = "/var/log/ss-setup"
)
