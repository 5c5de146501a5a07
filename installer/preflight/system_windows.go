package preflight

import (
	"regexp"

	"ss-setup/installer/machine"
)

// accountName is DOMAIN\NAME or NAME, with the $ of an account without a password.
var accountName = regexp.MustCompile(`^(?:[\w .-]+\\)?[\w .-]+\$?$`)

// guarded are our folders below ProgramData, where every user may make some, that this
// program or SYSTEM makes. What users store may lie elsewhere.
var guarded = []string{
	machine.StateDir, machine.SetupDir, machine.TxnDir, machine.ReceiptsDir, machine.OriginalsDir, machine.DownloadDir,
	machine.GenerationsDir, machine.ServerStateDir, machine.LicensedStateDir, machine.LedgerDir, machine.KeyringDir,
	machine.SnapshotsDir, machine.ConfigDir, machine.ServerLogDir, machine.SetupLogDir,
}

// euid is 0 for who may change the machine, as root's number is elsewhere.
func euid() int {
	if machine.Privileged() {
		return 0
	}
	return 1
}

// Unmask is the command by which an administrator lets a service start again, in cmd
// and in PowerShell, where sc is another command.
func Unmask(_, service string) string {
	return "powershell -Command Set-Service " + service + " -StartupType Automatic"
}
