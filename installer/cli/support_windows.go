package cli

import "ss-setup/installer/machine"

// running adds what only a running machine tells.
func (c *collection) running() {
	c.ownVersions()
	for _, service := range []string{machine.ServerService, machine.LicensedService} {
		c.command("services/"+service+".status.txt", "sc.exe", "queryex", service)
		c.command("services/"+service+".definition.txt", "sc.exe", "qc", service)
	}
}
