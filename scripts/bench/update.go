//go:build linux

package main

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"ss-setup/scripts/lab"
	"ss-setup/scripts/lab/fixtures"
)

const (
	oldVersion, newVersion = "7.0.0", "7.0.1"
	// storeBytes is what the store holds when it is updated.
	storeBytes = 200 << 20
	// fixtureLevel is the level of zstd at which fixtures are packed.
	fixtureLevel = "1"
)

// updateRows compares how long an update leaves users without service. Both sides
// start from a machine with the old version and a full store, made once.
func updateRows(b *bench) []row {
	share := map[string]string{}
	for _, v := range []string{oldVersion, newVersion} {
		share[fixtures.Bundle(b, v)] = bundleInside + "/" + v
		share[filepath.Dir(buildDeb(b, fixtures.Bundle(b, v), fixtureLevel))] = debInside + "/" + v
	}
	setup := func(version string, args ...string) []string {
		return append([]string{bundleInside + "/" + version + "/ss-setup", "install", "-S", "--output", "json"}, args...)
	}
	dpkg := func(version string) []string {
		return []string{"dpkg", "-i", debInside + "/" + version + "/ss-server_" + version + ".deb"}
	}
	from := map[bool]string{
		true:  savedWithStore(b, share, setup(oldVersion)),
		false: savedWithStore(b, share, dpkg(oldVersion)),
	}
	profile := newProfile(b)
	ours := func(t *bench, i int) time.Duration {
		took, events := t.update(from[true], share, setup(newVersion, "--update"))
		profile.add(i, events)
		return took
	}
	peers := func(t *bench, _ int) time.Duration {
		took, _ := t.update(from[false], share, dpkg(newVersion))
		return took
	}
	o, p := b.interleave(b.runs, ours, peers)
	profile.tell("update", 12)
	seconds := newRow("downtime_seconds", median(o).Seconds(), "s", atMost(1), len(o), "first refusal to first answer with open:true").against(median(p))
	return []row{
		ratioRow("downtime_vs_dpkg", o, p, atMost(0.5), "peer: dpkg -i of the next version; prerm stops, dpkg replaces, postinst copies the store (cp -a), migrates it, starts"),
		seconds,
	}
}

// savedWithStore is a machine, off, with the old version and a full store.
func savedWithStore(b *bench, share map[string]string, install []string) string {
	dir := filepath.Join(b.tempDir(), "saved")
	b.turn(func(t *bench) {
		m := t.boot(lab.Options{Share: share})
		m.MustExec(install...)
		untilServed(t, m, oldVersion, 30*time.Second)
		m.MustExec("systemctl", "stop", "ss-server")
		m.MustExec("runuser", "-u", "ss-server", "--", "/opt/ss-server/current/release/bin/ss-server", "note",
			"--data", "/opt/ss-server/current/data", "add", "bench", fmt.Sprint(storeBytes))
		m.MustExec("systemctl", "start", "ss-server")
		untilServed(t, m, oldVersion, 30*time.Second)
		m.Stop()
		m.Save(dir)
	})
	return dir
}

// update runs a command in a copy of a saved machine and returns how long users had
// no service.
func (b *bench) update(from string, share map[string]string, command []string) (time.Duration, string) {
	m := b.boot(lab.Options{From: from, Share: share})
	for dir := range share {
		b.warm(dir)
	}
	untilServed(b, m, oldVersion, 30*time.Second)
	w := watch(m)
	time.Sleep(20 * watchPace)
	stdout, stderr, code := m.Exec(context.Background(), command...)
	time.Sleep(20 * watchPace)
	seen := w.stop()
	if code != 0 {
		b.Fatalf("%v: exit %d\n%s%s", command, code, stdout, stderr)
	}
	took, err := downtime(seen, newVersion)
	b.must(err)
	if took == 0 {
		b.Fatalf("%v: the outside client noticed nothing: it is no measure", command)
	}
	return took, stdout
}
