//go:build linux && lab

package endtoend

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"ss-setup/scripts/lab"
	"ss-setup/scripts/lab/fixtures"
)

// services are the services of a release, the one that the other asks first.
var services = []string{"ss-licensed", "ss-server"}

// definitions are the installed definitions of the services, by path.
type definitions map[string]string

// TestEveryFixtureReleaseStartsUnderItsNeighboursServiceDefinition starts each
// healthy release under the definitions of the one before it and of the one after
// it: an update that is cut leaves any mixture of the two.
func TestEveryFixtureReleaseStartsUnderItsNeighboursServiceDefinition(t *testing.T) {
	for _, root := range definitionShare {
		t.Run(root, func(t *testing.T) {
			t.Parallel()
			releases := fixtures.Healthy()
			b := from(t, lab.Options{Root: root}, releases[0], releases...)
			before, differ := b.definitions(), 0
			for i, release := range releases[1:] {
				neighbour := releases[i]
				b.must(release, "install", "-S", "--health-timeout", healthTimeout.String())
				after := b.definitions()
				if after.text() != before.text() {
					differ++
				}
				b.startsUnder(release, before, "of "+neighbour)
				b.put(after)

				b.must(release, "rollback", "-S", "--yes", "--health-timeout", healthTimeout.String())
				b.startsUnder(neighbour, after, "of "+release)
				b.put(before)

				b.must(release, "install", "-S", "--health-timeout", healthTimeout.String())
				before = after
			}
			if differ == 0 {
				t.Error("all fixtures have the same definitions: nothing was tried")
			}
			b.must(releases[len(releases)-1], "verify")
		})
	}
}

// definitions reads the definitions that are installed.
func (b *box) definitions() definitions {
	b.t.Helper()
	found := definitions{}
	for _, name := range services {
		for _, path := range []string{"/etc/systemd/system/" + name + ".service", "/etc/init.d/" + name} {
			if text, err := b.ReadFile(path); err == nil {
				found[path] = string(text)
			}
		}
	}
	if len(found) != len(services) {
		b.t.Fatalf("%d definitions are installed", len(found))
	}
	return found
}

// text is all of them in one.
func (d definitions) text() string {
	var all []string
	for path, text := range d {
		all = append(all, path+"\n"+text)
	}
	slices.Sort(all)
	return strings.Join(all, "\n")
}

// put installs definitions as an update does.
func (b *box) put(d definitions) {
	b.t.Helper()
	for path, text := range d {
		mode := b.MustExec("stat", "-c", "%a", path)
		if err := b.WriteFile(path, []byte(text), 0o644); err != nil {
			b.t.Fatal(err)
		}
		b.MustExec("chmod", strings.TrimSpace(mode), path)
	}
	b.MustExec("sh", "-c", "if [ -d /run/systemd/system ]; then systemctl daemon-reload; fi")
}

// startsUnder wants the programs of a fixture to start and answer under definitions.
func (b *box) startsUnder(release string, d definitions, whose string) {
	b.t.Helper()
	for _, name := range slices.Backward(services) {
		b.service("stop", name)
	}
	b.put(d)
	for _, name := range services {
		b.service("start", name)
	}
	version, _, _ := strings.Cut(release, "-")
	b.serves(recoveryTime, version)
	if got := b.licensed(recoveryTime); got != version {
		b.t.Errorf("%s under the definitions %s: the license daemon answers as %q", release, whose, got)
	}
}

// licensed waits until the license daemon answers, and tells its version.
func (b *box) licensed(within time.Duration) string {
	b.t.Helper()
	var said string
	for end := time.Now().Add(within); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		stdout, stderr, code := b.Exec(b.t.Context(), "lmu", "--json")
		if said = stdout + stderr; code != 0 {
			continue
		}
		var status struct {
			Version string `json:"version"`
		}
		if err := json.Unmarshal([]byte(stdout), &status); err != nil {
			b.t.Fatalf("lmu says %s: %v", stdout, err)
		}
		return status.Version
	}
	b.t.Fatalf("the license daemon does not answer within %s: %s", within, said)
	return ""
}
