package cli

import "ss-setup/installer/machine"

// distribution adds which Linux it is; /etc has a link to that file.
func (c *collection) distribution() { c.file("system/os-release", "/usr/lib/os-release") }

// running adds what only a running machine tells.
func (c *collection) running() {
	c.ownVersions(machine.Current + "/release")
	for name, path := range map[string]string{
		"mounts": "/proc/self/mounts", "memory": "/proc/meminfo", "load": "/proc/loadavg", "uptime": "/proc/uptime", "kernel": "/proc/version",
	} {
		c.file("system/"+name, path)
	}
	c.command("system/disks", "df", "-h", machine.ProgramDir, machine.ServerStateDir, "/var/log")
	c.command("system/inodes", "df", "-i", machine.ProgramDir, machine.ServerStateDir, "/var/log")
	c.command("system/listeners", "ss", "-Hltnp")
	c.command("system/packages-dpkg", "dpkg-query", "-W", "-f", "${Package} ${Version} ${Status}\n", "ss-server")
	c.command("system/packages-rpm", "rpm", "-q", "ss-server")
	for _, service := range []string{machine.ServerService, machine.LicensedService} {
		c.command("services/"+service+".status.txt", "systemctl", "--no-pager", "--full", "status", service)
		c.command("services/"+service+".unit.txt", "systemctl", "--no-pager", "cat", service)
		c.command("services/"+service+".journal.txt", "journalctl", "--no-pager", "-o", "short-iso", "-n", "5000", "-u", service)
	}
}
