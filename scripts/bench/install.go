//go:build linux

package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"time"

	"ss-setup/installer/bundle"
	"ss-setup/scripts/lab"
)

// bundleLevel is the level of zstd at which make build packs the bundle.
const bundleLevel = "3"

// Where a machine sees the bundles and packages of the host.
const (
	bundleInside = "/bundle"
	debInside    = "/deb"
)

// installRows compares a first installation with dpkg's of the same, each in a new
// machine, from the start of the command until it has ended and users are served.
func installRows(b *bench) []row {
	deb := buildDeb(b, b.bundle, bundleLevel)
	version := versionOf(b, b.bundle)
	dir, err := filepath.Abs(b.bundle)
	b.must(err)
	profile := newProfile(b)
	ours := func(t *bench, i int) time.Duration {
		m := t.boot(lab.Options{Share: map[string]string{dir: bundleInside}})
		t.warm(dir)
		took, events := t.command(m, version, bundleInside+"/ss-setup", "install", "-S", "--output", "json")
		profile.add(i, events)
		return took
	}
	peers := func(t *bench, _ int) time.Duration {
		m := t.boot(lab.Options{Share: map[string]string{filepath.Dir(deb): debInside}})
		t.warm(filepath.Dir(deb))
		took, _ := t.command(m, version, "dpkg", "-i", filepath.Join(debInside, filepath.Base(deb)))
		return took
	}
	o, p := b.interleave(b.runs, ours, peers)
	profile.tell("install", 8)
	return []row{ratioRow("install_vs_dpkg", o, p, atMost(1), "peer: dpkg -i of the same files with useradd, migrate --create, systemctl enable and start, wait for /healthz; from start to end of the command, /healthz open")}
}

// command runs a program in a machine and returns how long it took until it had
// ended and the version served users, and what it printed.
func (b *bench) command(m *lab.Machine, version string, args ...string) (time.Duration, string) {
	w := watch(m)
	start := time.Now()
	stdout, stderr, code := m.Exec(context.Background(), args...)
	end := time.Now()
	if code != 0 {
		w.stop()
		b.Fatalf("%v: exit %d\n%s%s", args, code, stdout, stderr)
	}
	time.Sleep(2 * watchPace) // an attempt under way may end
	served, err := firstServed(w.stop(), version)
	b.must(err)
	if served.After(end) {
		end = served
	}
	return end.Sub(start), stdout
}

func versionOf(b *bench, dir string) string {
	text, err := os.ReadFile(filepath.Join(dir, bundle.ManifestName))
	b.must(err)
	var m struct {
		Version string `json:"version"`
	}
	b.must(json.Unmarshal(text, &m))
	return m.Version
}
