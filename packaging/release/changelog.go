package release

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"
)

// Entry is what the changelog says of one version.
type Entry struct {
	Version string
	Date    time.Time
	// Notes are the lines below the heading, as they are written.
	Notes string
}

var entryHeading = regexp.MustCompile(`^## \[([0-9][^\]]*)\] - (\d{4}-\d{2}-\d{2})\s*$`)

// ParseChangelog reads a changelog in the form of Keep a Changelog, newest entry
// first. Whatever stands below another heading of the second level belongs to no
// version.
func ParseChangelog(text string) ([]Entry, error) {
	var all []Entry
	var notes *strings.Builder
	end := func() {
		if notes != nil {
			all[len(all)-1].Notes = strings.TrimSpace(notes.String())
			notes = nil
		}
	}
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\r\n")
		if !strings.HasPrefix(line, "## ") {
			if notes != nil {
				fmt.Fprintln(notes, line)
			}
			continue
		}
		end()
		parts := entryHeading.FindStringSubmatch(line)
		if parts == nil {
			continue
		}
		date, err := time.Parse(time.DateOnly, parts[2])
		if err != nil {
			return nil, fmt.Errorf("changelog: %q has no date: %w", line, err)
		}
		all = append(all, Entry{Version: parts[1], Date: date})
		notes = &strings.Builder{}
	}
	end()
	if len(all) == 0 {
		return nil, errors.New("changelog: there is no entry like ## [7.0.0] - 2026-01-31")
	}
	return all, nil
}

// EntryOf finds the entry of a version.
func EntryOf(all []Entry, version string) (Entry, error) {
	for _, e := range all {
		if e.Version == version {
			return e, nil
		}
	}
	return Entry{}, fmt.Errorf("changelog: there is no entry for %s", version)
}
