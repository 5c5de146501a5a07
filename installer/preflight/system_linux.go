package preflight

import "os"

// euid is who runs this program.
func euid() int { return os.Geteuid() }

func unmask(manager, service string) string {
	if manager == "systemd" {
		return "systemctl unmask " + service
	}
	return "chmod 755 /etc/init.d/" + service
}
