package machine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// Find looks for unit files, and for instances of templates that are enabled.
func (s systemdFiles) Find(_ context.Context, prefix string) ([]string, error) {
	names, err := namesIn(s.fs, unitPath, prefix, ".service")
	if err != nil {
		return nil, err
	}
	scripts, err := namesIn(s.fs, []string{initDir}, prefix, "") // systemd makes units of them
	if err != nil {
		return nil, err
	}
	names = append(names, scripts...)
	instances, err := s.wants(func(name string) bool {
		return strings.HasPrefix(name, prefix) && strings.Contains(name, "@") && strings.HasSuffix(name, ".service")
	})
	for _, l := range instances {
		names = append(names, strings.TrimSuffix(path.Base(l.Path), ".service"))
	}
	slices.Sort(names)
	return slices.Compact(names), err
}

// Find adds the units that run without being enabled: workers that others have started.
func (s *systemd) Find(ctx context.Context, prefix string) ([]string, error) {
	names, err := s.systemdFiles.Find(ctx, prefix)
	if err != nil {
		return nil, err
	}
	out, err := within(ctx, s.run, askBound, "systemctl", "list-units", "--plain", "--no-legend", "--type=service", prefix+"*")
	if err != nil {
		return nil, fmt.Errorf("ask systemd for services %s*: %w", prefix, err)
	}
	names = append(names, listedUnits(out, prefix)...)
	slices.Sort(names)
	return slices.Compact(names), nil
}

// listedUnits are the services that systemctl list-units names, one a line; one that failed
// may have a mark before it.
func listedUnits(out, prefix string) []string {
	var names []string
	for line := range strings.Lines(out) {
		for _, word := range strings.Fields(line) {
			if name, ok := strings.CutSuffix(word, ".service"); ok && strings.HasPrefix(name, prefix) {
				names = append(names, name)
				break
			}
		}
	}
	return names
}

func isWants(dir string) bool {
	return strings.HasSuffix(dir, ".wants") || strings.HasSuffix(dir, ".requires") || strings.HasSuffix(dir, ".upholds")
}

// Find looks for scripts.
func (s sysvFiles) Find(_ context.Context, prefix string) ([]string, error) {
	return namesIn(s.fs, []string{initDir}, prefix, "")
}

// Find looks for scripts.
func (o openrcFiles) Find(_ context.Context, prefix string) ([]string, error) {
	return namesIn(o.fs, []string{initDir}, prefix, "")
}

// namesIn are the files in dirs that begin with prefix, without their suffix. A template
// is no service by itself, its instances have names of their own.
func namesIn(f *FS, dirs []string, prefix, suffix string) ([]string, error) {
	var found []string
	for _, dir := range dirs {
		entries, err := f.ReadDir(dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("look for services %s*: %w", prefix, err)
		}
		for _, e := range entries {
			name, ok := strings.CutSuffix(e.Name(), suffix)
			if ok && !e.IsDir() && strings.HasPrefix(name, prefix) && !strings.HasSuffix(name, "@") {
				found = append(found, name)
			}
		}
	}
	slices.Sort(found)
	return slices.Compact(found), nil
}

// StartLinks are those that systemctl enable makes, until the next boot or for good, or
// that a package brings, in whatever target; and of a script, those of its runlevels.
func (s systemdFiles) StartLinks(service string) ([]Link, error) {
	links, err := s.wants(func(name string) bool { return name == unitName(service) })
	if err != nil || s.hasUnit(service) {
		return links, err
	}
	scripts, err := sysvFiles(s).StartLinks(service)
	return append(links, scripts...), err
}

// wants are the links of some units in the folders of what wants them.
func (s systemdFiles) wants(isLink func(name string) bool) ([]Link, error) {
	var found []Link
	for _, dir := range unitPath {
		if info, err := s.fs.Lstat(path.Dir(path.Dir(dir))); err == nil && info.Mode()&fs.ModeSymlink != 0 {
			continue // /lib is /usr/lib, which was there already
		}
		links, err := linksIn(s.fs, dir, isWants, isLink)
		if err != nil {
			return nil, err
		}
		found = append(found, links...)
	}
	return found, nil
}

func (s systemdFiles) hasUnit(service string) bool {
	return slices.ContainsFunc(unitPath, func(dir string) bool { return s.fs.Exists(path.Join(dir, unitName(service))) })
}

// Starters are known to a systemd that runs.
func (systemdFiles) Starters(context.Context, string, bool) ([]string, error) { return nil, nil }

// Starters are none: links are all there is.
func (sysvFiles) Starters(context.Context, string, bool) ([]string, error) { return nil, nil }

// Starters are none: a service that another needs is started with that alone.
func (openrcFiles) Starters(context.Context, string, bool) ([]string, error) { return nil, nil }

// Starters asks systemd, which reads its units again when it still knows of links that are
// gone.
func (s *systemd) Starters(ctx context.Context, service string, unlinked bool) ([]string, error) {
	found, err := s.starters(ctx, service)
	if err != nil || len(found) == 0 || !unlinked {
		return found, err
	}
	if _, err := within(ctx, s.run, reloadBound, "systemctl", "daemon-reload"); err != nil {
		return nil, fmt.Errorf("reload the definitions of systemd: %w", err)
	}
	return s.starters(ctx, service)
}

// starters are those units that systemd knows to want the service, and that are in force.
func (s *systemd) starters(ctx context.Context, service string) ([]string, error) {
	out, err := within(ctx, s.run, askBound, "systemctl", "show", "--property=WantedBy,RequiredBy,UpheldBy,BoundBy,TriggeredBy", unitName(service))
	if err != nil {
		return nil, fmt.Errorf("ask systemd what starts %s: %w", service, err)
	}
	var found []string
	for _, unit := range listedStarters(out) {
		out, err := within(ctx, s.run, askBound, "systemctl", "show", "--property=ActiveState,UnitFileState", unit)
		if err != nil {
			return nil, fmt.Errorf("ask systemd about %s: %w", unit, err)
		}
		if inForce(out) {
			found = append(found, unit)
		}
	}
	return found, nil
}

// listedStarters are the units in systemctl's properties, each once.
func listedStarters(out string) []string {
	var units []string
	for line := range strings.Lines(out) {
		_, names, _ := strings.Cut(line, "=")
		units = append(units, strings.Fields(names)...)
	}
	slices.Sort(units)
	return slices.Compact(units)
}

// inForce tells whether a unit runs, waits, or will after the next boot.
func inForce(properties string) bool {
	for line := range strings.Lines(properties) {
		switch strings.TrimRight(line, "\r\n") {
		case "ActiveState=active", "ActiveState=activating", "ActiveState=reloading", "UnitFileState=enabled", "UnitFileState=enabled-runtime":
			return true
		}
	}
	return false
}

// StartLinks are those of the runlevels in which the service starts.
func (s sysvFiles) StartLinks(service string) ([]Link, error) {
	return linksIn(s.fs, "/etc", func(dir string) bool {
		return len(dir) == len("rc2.d") && strings.HasPrefix(dir, "rc") && strings.HasSuffix(dir, ".d") && strings.ContainsAny(dir[2:3], "2345")
	}, func(name string) bool { return isStartLink(name, service) })
}

// StartLinks are those that rc-update makes, in whatever runlevel.
func (o openrcFiles) StartLinks(service string) ([]Link, error) {
	return linksIn(o.fs, runlevelsDir, func(string) bool { return true }, func(name string) bool { return name == service })
}

// linksIn are the links of some names in some of the folders of dir.
func linksIn(f *FS, dir string, isFolder, isLink func(name string) bool) ([]Link, error) {
	folders, err := f.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("look for what starts services: %w", err)
	}
	var found []Link
	for _, folder := range folders {
		if !folder.IsDir() || !isFolder(folder.Name()) {
			continue
		}
		entries, err := f.ReadDir(path.Join(dir, folder.Name()))
		if err != nil {
			return nil, fmt.Errorf("look for what starts services: %w", err)
		}
		for _, e := range entries {
			if !isLink(e.Name()) || e.Type()&fs.ModeSymlink == 0 {
				continue
			}
			link := Link{Path: path.Join(dir, folder.Name(), e.Name())}
			if link.Target, err = f.Readlink(link.Path); err != nil {
				return nil, fmt.Errorf("read what starts a service: %w", err)
			}
			found = append(found, link)
		}
	}
	return found, nil
}
