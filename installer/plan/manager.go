package plan

import (
	"fmt"
	"strings"

	"ss-setup/installer/bundle"
)

// The package managers whose packages run ss-setup.
const (
	ManagerDPKG = "dpkg"
	ManagerRPM  = "rpm"
)

// managedBy is the package manager that the receipt in force names.
func (s *Situation) managedBy() string {
	if s.Receipt == nil {
		return ""
	}
	return s.Receipt.ManagedBy
}

// managedBy stays with a package once it has one: who updates past it does not
// take the package away.
func (i *install) managedBy() string {
	if i.o.ManagedBy != "" {
		return i.o.ManagedBy
	}
	return i.s.managedBy()
}

// checkManager keeps a person from changing the release under a package manager,
// which would go on telling the version it knows.
func (s *Situation) checkManager(action string, b *bundle.Bundle, o Options) error {
	manager := s.managedBy()
	if manager == "" || o.ManagedBy != "" || o.Yes {
		return nil
	}
	switch action {
	case ActionUpdate, ActionRebuild, ActionForce:
		return fmt.Errorf("%w: SS Server was installed by %s, which would not know of another release; update the package: %s; or, to update without it, add --yes",
			ErrUsage, manager, packageCommand(manager, b.Manifest))
	}
	return nil
}

// packageCommand updates the package: from a repository, or from its file.
func packageCommand(manager string, m bundle.Manifest) string {
	version := strings.Replace(m.Version, "-", "~", 1) // how packages spell a beta
	if manager == ManagerRPM {
		return fmt.Sprintf("dnf upgrade ss-server, or rpm -U ss-server-%s-1.%s.rpm", version, rpmArch(m.Arch))
	}
	return fmt.Sprintf("apt-get install --only-upgrade ss-server, or dpkg -i ss-server_%s_%s.deb", version, m.Arch)
}

func rpmArch(arch string) string {
	switch arch {
	case "amd64":
		return "x86_64"
	case "arm64":
		return "aarch64"
	}
	return arch
}
