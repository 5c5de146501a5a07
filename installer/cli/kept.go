package cli

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

	"ss-setup/installer/machine"
	"ss-setup/installer/plan"
	"ss-setup/installer/step"
)

// keptPlaces are the folders where files lie that a run kept beside its own.
func (s *session) keptPlaces() []string {
	places := []string{machine.BinDir, machine.LocalBinDir, machine.FallbackBinDir, machine.ConfigDir}
	for _, name := range []string{machine.ServerService, machine.LicensedService} {
		places = append(places, filepath.Dir(s.m.Services.Definition(name).Path))
	}
	slices.Sort(places)
	return slices.Compact(places)
}

// isKept tells a copy that a run kept of somebody's edit of one of our files:
// ss-server.service.ss-old, lmu.ss-save.1.
func isKept(name string) bool {
	for _, suffix := range []string{step.EditedSuffix, step.SaveSuffix} {
		at := strings.Index(name, suffix)
		if at <= 0 || strings.Trim(name[at+len(suffix):], ".0123456789") != "" {
			continue
		}
		ours := strings.TrimSuffix(name[:at], ".service")
		if slices.Contains([]string{program, "lmu", machine.ServerService, machine.LicensedService}, ours) || strings.HasSuffix(ours, ".toml") {
			return true
		}
	}
	return false
}

// keptCopies lists what runs kept of edited files.
func (s *session) keptCopies() []string {
	var found []string
	for _, dir := range s.keptPlaces() {
		entries, err := s.m.FS.ReadDir(dir)
		if err != nil {
			continue // not there: nothing is kept in it
		}
		for _, e := range entries {
			if isKept(e.Name()) {
				found = append(found, filepath.Join(dir, e.Name()))
			}
		}
	}
	return found
}

// tellKept names what an uninstall left, and the command that removes what users
// stored when that was not asked for.
func (s *session) tellKept(end *ending, action string) {
	if action != plan.ActionUninstall && action != plan.ActionPurge {
		return
	}
	end.Kept = s.keptCopies()
	if action != plan.ActionPurge {
		return
	}
	stored := false
	for _, dir := range []string{machine.FilesDir, machine.KeyringDir} {
		// An empty one is a folder that was there before, or a mount point.
		if entries, err := s.m.FS.ReadDir(dir); err == nil && len(entries) > 0 {
			end.Kept, stored = append(end.Kept, dir), true
		}
	}
	if stored && !s.options.PurgeFiles {
		end.Cure = "to delete what users stored too, run: " + s.purgeFiles()
	}
}

// purgeFiles is the command that is left to purge with: the installed ss-setup has
// gone with the rest.
func (s *session) purgeFiles() string {
	if link, err := os.Readlink(selfPath); err == nil && strings.HasSuffix(link, " (deleted)") {
		return "./" + program + " uninstall --purge --purge-files in the folder of the package"
	}
	n := s.names
	n.installed = func() string { return "" }
	return n.command("uninstall", "--purge", "--purge-files")
}
