package plan

import (
	"fmt"

	"golang.org/x/mod/semver"

	"ss-setup/installer/bundle"
	"ss-setup/installer/machine"
)

// down is a service that starts at boot and does not run; empty when all run.
func (s *Situation) down() string {
	for _, name := range []string{machine.ServerService, machine.LicensedService} {
		if state := s.Services[name]; state.Enabled && !state.Active && !state.Masked {
			return name
		}
	}
	return ""
}

// decide looks what is there and what was asked for.
func decide(s *Situation, b *bundle.Bundle, o Options) (string, error) {
	version := b.Manifest.Version
	switch {
	case !s.Installed() && o.Update:
		return "", fmt.Errorf("%w, so there is nothing to update; run: ss-setup install", ErrNothingInstalled)
	case !s.Installed() && o.Repair:
		return "", fmt.Errorf("%w, so there is nothing to repair; run: ss-setup install", ErrNothingInstalled)
	case !s.Installed() && s.OldUnknown != nil:
		return "", fmt.Errorf("look for older versions: %w", s.OldUnknown)
	case o.Force:
		if !s.Installed() && s.dataFrom() == 0 {
			return ActionFresh, nil
		}
		return ActionForce, nil
	}
	if !s.Installed() {
		if action, err := checkOld(s, o); err != nil || action != "" {
			return action, err
		}
	}
	switch {
	case o.Import != "" && !s.Installed() && s.dataFrom() != 0:
		return "", s.importIsTooLate()
	case !s.Installed() && s.dataFrom() != 0:
		return ActionAdopt, nil
	case !s.Installed():
		return ActionFresh, nil
	case o.Repair && s.Digest == "" && s.sameRelease(b):
		return ActionRepair, nil // neither receipt nor manifest is left to compare
	case o.Repair && b.Digest != s.Digest:
		return "", s.otherBundle(b)
	case o.Repair:
		return ActionRepair, nil
	}
	switch c := compareVersions(version, s.Version); {
	case c < 0 && o.ManagedBy != "":
		return ActionSame, nil // what a package asks for is there, and more
	case c < 0:
		return "", fmt.Errorf("%w: %s is here, the bundle is %s; to go back to the generation before run: ss-setup rollback", ErrNewerInstalled, s.Version, version)
	case c > 0:
		return ActionUpdate, nil
	case b.Digest != s.Digest:
		return ActionRebuild, nil
	}
	return ActionSame, nil
}

// otherBundle refuses a repair with the bundle of another release. Going to that
// release is advised only where an update would.
func (s *Situation) otherBundle(b *bundle.Bundle) error {
	goTo := "; to go to the bundle's release run: ss-setup install --update"
	if semver.Compare("v"+b.Manifest.Version, "v"+s.Version) < 0 {
		goTo = ""
	}
	return fmt.Errorf("%w: release %s is installed and this bundle is %s; to repair what is installed run: %s install --repair%s",
		ErrUsage, s.Release, b.Release(), s.setupPath(), goTo)
}

// sameRelease compares by the name of the release, which has a part of the digest.
func (s *Situation) sameRelease(b *bundle.Bundle) bool {
	return repairSuffix.ReplaceAllString(s.Release, "") == b.Release()
}

func compareVersions(a, b string) int { return semver.Compare("v"+a, "v"+b) }

func newer(a, b string) bool { return compareVersions(a, b) > 0 }

// importIsTooLate refuses to replace data that were kept by the way.
func (s *Situation) importIsTooLate() error {
	return fmt.Errorf("%w: the data of generation %d are here and would be taken over; to import and set them aside run: ss-setup install -F --import FILE", ErrUsage, s.dataFrom())
}
