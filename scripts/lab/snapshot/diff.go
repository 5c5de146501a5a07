//go:build linux

package snapshot

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Diff tells in words what differs between a, before, and b, after: one line for each
// entry, files first, sorted; none when the two are equal. New entries begin with +,
// lost ones with -, changed ones with ~:
//
//	~ /etc/hosts: mode 0644 -> 0600
//	+ /opt/ss-server/current: link root:root -> generations/1
//	+ account passwd ss-server: x:999:999::/nonexistent:/usr/sbin/nologin
func Diff(a, b *Snapshot) []string {
	var lines []string
	for _, name := range union(a.Files, b.Files) {
		old, had := a.Files[name]
		now, has := b.Files[name]
		switch {
		case !had:
			lines = append(lines, fmt.Sprintf("+ %s: %s", name, now))
		case !has:
			lines = append(lines, fmt.Sprintf("- %s: %s", name, old))
		default:
			if change := old.changes(now); change != "" {
				lines = append(lines, fmt.Sprintf("~ %s: %s", name, change))
			}
		}
	}
	lines = append(lines, diffText("account", a.Accounts, b.Accounts)...)
	return append(lines, diffText("service", a.Services, b.Services)...)
}

func diffText(what string, a, b map[string]string) []string {
	var lines []string
	for _, name := range union(a, b) {
		old, had := a[name]
		now, has := b[name]
		switch {
		case !had:
			lines = append(lines, fmt.Sprintf("+ %s %s: %s", what, name, now))
		case !has:
			lines = append(lines, fmt.Sprintf("- %s %s: %s", what, name, old))
		case old != now:
			lines = append(lines, fmt.Sprintf("~ %s %s: %s -> %s", what, name, old, now))
		}
	}
	return lines
}

// union is the sorted names of both.
func union[V any](a, b map[string]V) []string {
	names := slices.Collect(maps.Keys(a))
	for name := range b {
		if _, ok := a[name]; !ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// String describes an entry in one line.
func (f File) String() string {
	text := fmt.Sprintf("%s %s:%s", f.Type, f.Owner, f.Group)
	if f.Mode != "" {
		text += " " + f.Mode
	}
	if f.Type == "file" {
		text += fmt.Sprintf(", %d bytes, content %s", f.Size, short(f.SHA256))
	}
	if f.Target != "" {
		text += " -> " + f.Target
	}
	return text
}

// changes lists what differs, empty when nothing does.
func (f File) changes(g File) string {
	var all []string
	note := func(what, old, now string) {
		if old != now {
			all = append(all, fmt.Sprintf("%s %s -> %s", what, old, now))
		}
	}
	note("type", f.Type, g.Type)
	note("mode", f.Mode, g.Mode)
	note("owner", f.Owner, g.Owner)
	note("group", f.Group, g.Group)
	if f.Type != g.Type {
		return strings.Join(all, ", ") // the rest cannot be compared
	}
	note("size", fmt.Sprint(f.Size), fmt.Sprint(g.Size))
	note("content", short(f.SHA256), short(g.SHA256))
	note("target", f.Target, g.Target)
	if !f.ModTime.Equal(g.ModTime) {
		note("time", f.ModTime.UTC().Format(time.RFC3339Nano), g.ModTime.UTC().Format(time.RFC3339Nano))
	}
	return strings.Join(all, ", ")
}

// short is enough of a digest to tell two apart.
func short(digest string) string { return digest[:min(8, len(digest))] }
