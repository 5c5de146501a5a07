//go:build linux && lab

package windows

import (
	"context"
	"fmt"
	"strings"
	"testing"
)

// A run is killed at points spread over all that it has, and the machine is wanted to be
// as before or as after: by itself, after a restart or by a second process. These two
// tests are of one kind; there are two so that they run at once.

func TestEveryKilledUpdateAndRollbackIsFinishedOrUndone(t *testing.T) {
	b := boot(t, "7.0.0", "7.0.1")
	c := &crashes{box: b}
	b.want(done, setupOf("7.0.0"), "install")
	c.sweep("update", func() { c.at("7.0.0") }, []string{"7.0.0", "7.0.1"}, setupOf("7.0.1"), "install", "--update", "--yes")
	c.sweep("rollback", func() { c.at("7.0.1") }, []string{"7.0.0", "7.0.1"}, setupOf("7.0.1"), "rollback", "--yes")
	t.Logf("%d crash points", c.points)
}

func TestEveryKilledRepairInstallAndPurgeIsFinishedOrUndone(t *testing.T) {
	b := boot(t, "7.0.0", "7.0.1")
	c := &crashes{box: b}
	b.want(done, setupOf("7.0.0"), "install")
	c.sweep("repair", func() { c.at("7.0.0") }, []string{"7.0.0"}, setupOf("7.0.0"), "install", "--repair")
	c.sweep("install", func() { c.at("") }, []string{"7.0.0", ""}, setupOf("7.0.0"), "install")
	c.sweep("purge", func() { c.at("7.0.0") }, []string{"7.0.0", ""}, setupOf("7.0.0"), "uninstall", "--purge", "--purge-files", "--yes")
	t.Logf("%d crash points", c.points)
}

// crashes counts them.
type crashes struct {
	*box
	points int
}

// at makes the machine one with that version, whatever it is.
func (c *crashes) at(version string) {
	c.t.Helper()
	now := c.version()
	switch {
	case now == version:
	case version == "":
		c.want(done, setupOf("7.0.0"), "uninstall", "--purge", "--purge-files", "--yes")
	case now == "7.0.1":
		c.want(done, setupOf("7.0.1"), "rollback", "--yes")
	default:
		c.want(done, setupOf(version), "install", "--yes")
	}
}

// version is what is installed; empty for nothing.
func (c *crashes) version() string {
	c.t.Helper()
	out, _, _ := c.run(nil, setupOf("7.0.0"), "status")
	_, rest, found := strings.Cut(out, "SS Server 7")
	if !found {
		return ""
	}
	version, _, _ := strings.Cut("7"+rest, ",")
	return version
}

// sweep measures a run and then kills it at a share of its points.
func (c *crashes) sweep(name string, prepare func(), allowed []string, program string, args ...string) {
	prepare()
	log := `C:\points.log`
	c.MustExec("rm", "-f", drive+"/points.log")
	if r := c.setupWith([]string{"SS_SETUP_FAULT_LOG=" + log}, program, args...); r.code != done {
		c.t.Fatalf("%s: %s\n%s", name, r, c.logs())
	}
	points := strings.Count(c.MustExec("cat", drive+"/points.log"), "point ")
	if points == 0 {
		c.t.Fatalf("%s has no crash points: is ss-setup built with the tag faults?", name)
	}
	for i := range pointsPerRun {
		at := 1 + (2*i+1)*points/(2*pointsPerRun)
		c.t.Run(fmt.Sprintf("%s killed at %d of %d", name, at, points), func(t *testing.T) {
			outer := c.box.t
			c.box.t = t
			defer func() { c.box.t = outer }()
			prepare()
			c.kill(at, i, allowed, program, args...)
		})
	}
}

// kill kills the run at one point and looks what becomes of the machine.
func (c *crashes) kill(at, turn int, allowed []string, program string, args ...string) {
	c.t.Helper()
	r := c.setupWith([]string{fmt.Sprintf("SS_SETUP_FAULT=kill:point:%d", at)}, program, args...)
	if r.code != killed {
		c.t.Fatalf("it was not killed: %s", r)
	}
	c.points++
	c.restarted = turn%3 == 1
	switch turn % 3 {
	case 0: // by the service that waits for it
	case 1: // by the same service, after a restart of the machine
		c.restart()
	case 2: // by a second process, whether the service was faster or not
		if out, errs, code := c.run(nil, setupOf("7.0.1"), "recover", "--output", "plain"); code != 0 {
			c.t.Errorf("recover: %d %s%s", code, out, errs)
		}
	}
	c.settled()
	found := c.version()
	for _, version := range allowed {
		if found == version {
			c.sound(found)
			return
		}
	}
	c.t.Fatalf("%q is installed, which is none of %q\n%s", found, allowed, c.logs())
}

// sound wants what is installed to serve and to be whole, or nothing to be there.
func (c *crashes) sound(version string) {
	c.t.Helper()
	if version != "" {
		c.serves(version)
		c.verified()
		return
	}
	// The log of a first install that was put back stays.
	left, _, _ := c.Exec(context.Background(), "find", drive+"/Program Files/SS Server", drive+"/ProgramData/SS Server",
		"-not", "-path", "*/log*", "-not", "-path", "*/ProgramData/SS Server")
	if left != "" || c.registered(servicesKey+"ss-server") || c.registered(productKey) {
		c.t.Errorf("something is left:\n%s", left)
	}
}
