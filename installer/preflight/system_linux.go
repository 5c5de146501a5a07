package preflight

import (
	"os"
	"regexp"
)

// accountName is what useradd takes for one.
var accountName = regexp.MustCompile(`^[A-Za-z_][\w.-]{0,30}\$?$`)

// guarded are none: only root makes anything where our folders are.
var guarded []string

// euid is who runs this program.
func euid() int { return os.Geteuid() }

// Unmask is the command by which an administrator lets a service start again.
func Unmask(manager, service string) string {
	if manager == "systemd" {
		return "systemctl unmask " + service
	}
	return "chmod 755 /etc/init.d/" + service
}
