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
func (s systemdFiles) Find(prefix string) ([]string, error) {
	names, err := namesIn(s.fs, unitPath, prefix, ".service")
	if err != nil {
		return nil, err
	}
	instances, err := linksIn(s.fs, unitDir, isWants, func(name string) bool {
		return strings.HasPrefix(name, prefix) && strings.Contains(name, "@") && strings.HasSuffix(name, ".service")
	})
	for _, l := range instances {
		names = append(names, strings.TrimSuffix(path.Base(l.Path), ".service"))
	}
	slices.Sort(names)
	return slices.Compact(names), err
}

// Find adds the units that run without being enabled: workers that others have started.
func (s *systemd) Find(prefix string) ([]string, error) {
	names, err := s.systemdFiles.Find(prefix)
	if err != nil {
		return nil, err
	}
	out, err := within(context.Background(), s.run, askBound, "systemctl", "list-units", "--plain", "--no-legend", "--type=service", prefix+"*")
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
	return strings.HasSuffix(dir, ".wants") || strings.HasSuffix(dir, ".requires")
}

// Find looks for scripts.
func (s sysvFiles) Find(prefix string) ([]string, error) {
	return namesIn(s.fs, []string{initDir}, prefix, "")
}

// Find looks for scripts.
func (o openrcFiles) Find(prefix string) ([]string, error) {
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

// StartLinks are those that systemctl enable makes, in whatever target.
func (s systemdFiles) StartLinks(service string) ([]Link, error) {
	return linksIn(s.fs, unitDir, isWants, func(name string) bool { return name == unitName(service) })
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
