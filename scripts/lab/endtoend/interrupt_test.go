//go:build linux && lab

package endtoend

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"ss-setup/scripts/lab"
	"ss-setup/scripts/lab/snapshot"
)

// verb is a run that a test interrupts.
type verb struct {
	name string
	// release whose ss-setup runs, and its words.
	release string
	args    []string
	// to is the version that serves afterwards.
	to string
}

var (
	update   = verb{"update", "7.0.1", updateArgs(), "7.0.1"}
	repair   = verb{"repair", "7.0.0", []string{"install", "--repair", "-S", "--health-timeout", healthTimeout.String()}, "7.0.0"}
	rollback = verb{"rollback", "7.0.1", []string{"rollback", "-S", "--yes", "--health-timeout", healthTimeout.String()}, "7.0.0"}
)

// points tells how many crash points a run of the verb has on this machine, and
// from which one on a guard stands by, by running it whole.
func (b *box) points(v verb) (total, guarded int) {
	b.t.Helper()
	b.MustExec("rm", "-f", "/root/points.log") // it would be appended to
	p := b.SpawnCommand(lab.Command{
		Args: append([]string{program(v.release)}, v.args...),
		Env:  []string{"SS_SETUP_FAULT_LOG=/root/points.log"},
	})
	if stdout, stderr, code := p.Wait(); code != 0 {
		b.t.Fatalf("%s: exit %d\n%s%s", v.name, code, stdout, stderr)
	}
	log, err := b.ReadFile("/root/points.log")
	if err != nil {
		b.t.Fatal(err)
	}
	for line := range strings.Lines(string(log)) {
		if !strings.HasPrefix(line, "point ") {
			continue
		}
		total++
		if strings.Contains(line, "armed") {
			guarded = total
		}
	}
	return total, guarded
}

// killed runs a verb that kills itself at a point.
func (b *box) killed(v verb, point int) (code int) {
	b.t.Helper()
	p := b.SpawnCommand(lab.Command{
		Args: append([]string{program(v.release)}, v.args...),
		Env:  []string{fmt.Sprintf("SS_SETUP_FAULT=kill:point:%d", point)},
	})
	_, _, code = p.Wait()
	return code
}

// TestKilledWithoutARebootServesAgainByItself kills runs at crash points of the
// plan. Nobody reboots and nobody runs anything: the guard must see to it.
func TestKilledWithoutARebootServesAgainByItself(t *testing.T) {
	for root, share := range killShare {
		t.Run(root, func(t *testing.T) {
			t.Parallel()
			probe := from(t, lab.Options{Root: root}, "7.0.0", "7.0.1")
			total, guarded := probe.points(update)
			probe.Remove()
			b := from(t, lab.Options{Root: root}, "7.0.0", "7.0.1")
			cases, slowest := 0, time.Duration(0)
			for point := 1; point <= total; point += share {
				before := b.look()
				if code := b.killed(update, point); code == 0 {
					t.Fatalf("point %d of %d never came", point, total)
				}
				start := time.Now()
				served := b.serves(recoveryTime, "7.0.0", "7.0.1")
				slowest = max(slowest, time.Since(start))
				if point < guarded {
					// Nothing had been done yet; the next command tidies up.
					b.must("7.0.1", "recover")
				}
				b.settled(recoveryTime)
				cases++
				if served == "7.0.0" {
					b.same(before, fmt.Sprintf("update killed at point %d", point))
					continue
				}
				b.must("7.0.1", "verify")
				if notes := b.notes(b.current()); !strings.Contains(notes, "first") {
					t.Errorf("killed at point %d: the note is lost: %s", point, notes)
				}
				// Went forward: a new machine for the next point.
				b.Remove()
				b = from(t, lab.Options{Root: root}, "7.0.0", "7.0.1")
			}
			count(t, "killed without a reboot", cases)
			t.Logf("%d kills, at most %s until a generation served", cases, slowest.Round(10*time.Millisecond))
		})
	}
}

func (b *box) current() int {
	b.t.Helper()
	var n int
	if _, err := fmt.Sscanf(b.MustExec("readlink", "/opt/ss-server/current"), "generations/%d", &n); err != nil {
		b.t.Fatal(err)
	}
	return n
}

// count adds to the counters that the soak and the bench quote.
func count(t *testing.T, what string, n int) {
	t.Helper()
	t.Logf("counter: %s: %d cases, 0 lost", what, n)
	path := os.Getenv("SS_CASES")
	if path == "" {
		return
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	fmt.Fprintf(f, "%s\t%d\n", what, n)
}

// site is a kind of machine that loses its power.
type site struct {
	name string
	o    lab.Options
}

var sites = []site{
	{"systemd", lab.Options{Root: "bookworm"}},
	{"systemd, opt on a second disk", lab.Options{Root: "bookworm", OptDisk: "320M"}},
	{"sysv, opt on a second disk", lab.Options{Root: "bookworm-sysv", OptDisk: "320M"}},
	{"openrc", lab.Options{Root: "bookworm-openrc"}},
	{"systemd on xfs, opt on a second disk", lab.Options{Root: "bookworm", FS: "xfs", Disk: "512M", OptDisk: "320M"}},
}

// TestAPowerCutLeavesTheOldOrTheNewGeneration cuts the power of machines in the
// middle of runs, at points of the plan and at random times, their disks some
// milliseconds apart in both orders. After the boot, before anybody logs in, the
// old or the new generation serves.
func TestAPowerCutLeavesTheOldOrTheNewGeneration(t *testing.T) {
	rng := rand.New(rand.NewPCG(20261121, 1))
	cuts, done := 0, atomic.Int64{}
	for i, s := range sites {
		for _, v := range []verb{update, rollback, repair} {
			for range powerCuts(s, v) {
				cuts++
				order, gap := lab.SystemFirst, time.Duration(rng.IntN(5))*time.Millisecond
				if rng.IntN(2) == 0 {
					order = lab.OptFirst
				}
				seed := rng.Uint64()
				t.Run(fmt.Sprintf("%s/%s/%d", s.name, v.name, cuts), func(t *testing.T) {
					t.Parallel()
					cutPower(t, s, v, order, gap, rand.New(rand.NewPCG(seed, uint64(i))))
					done.Add(1)
				})
			}
		}
	}
	t.Cleanup(func() {
		if !t.Failed() {
			count(t, "power cuts of update, rollback and repair", int(done.Load()))
		}
	})
}

func cutPower(t *testing.T, s site, v verb, order lab.Order, gap time.Duration, rng *rand.Rand) {
	b := from(t, s.o, "7.0.0", "7.0.1")
	was := "7.0.0"
	if v.name == "rollback" {
		b.must("7.0.1", updateArgs()...)
		was = "7.0.1"
	}
	b.Sync()
	before := b.look()
	args := append([]string{program(v.release)}, v.args...)
	var how string
	if rng.IntN(2) == 0 {
		point := 1 + rng.IntN(95)
		how = fmt.Sprintf("at point %d", point)
		b.killed(v, point)
	} else {
		after := time.Duration(rng.IntN(1500)) * time.Millisecond
		how = fmt.Sprintf("after %s", after)
		b.Spawn(args...)
		time.Sleep(after)
	}
	b.Kill9(order, gap)
	b.Start()
	served := b.serves(recoveryTime+10*time.Second, was, v.to)
	b.settled(recoveryTime)
	now := b.serves(recoveryTime, was, v.to)
	t.Logf("%s cut %s (%v, %s): %s served after the boot, then %s", v.name, how, order, gap, served, now)
	if d := snapshot.Diff(before, b.look()); len(d) > 0 {
		// Not as before: then whole as after.
		b.must(v.release, "verify")
		if v.name != "repair" && now != v.to {
			t.Errorf("%s serves, but the machine is not as before:\n%s", now, strings.Join(d[:min(len(d), 20)], "\n"))
		}
	}
	if notes := b.notes(b.current()); !strings.Contains(notes, "first") {
		t.Errorf("the note is lost: %s", notes)
	}
}

// TestAPowerCutLeavesAnInstallOrUninstallWholeOrUndone cuts runs that have
// nothing to serve before or after.
func TestAPowerCutLeavesAnInstallOrUninstallWholeOrUndone(t *testing.T) {
	rng := rand.New(rand.NewPCG(20261121, 2))
	cuts, done := 0, atomic.Int64{}
	for i, s := range sites {
		for _, name := range []string{"install", "uninstall"} {
			for range wholeCuts(s, name) {
				cuts++
				order := lab.SystemFirst
				if rng.IntN(2) == 0 {
					order = lab.OptFirst
				}
				seed := rng.Uint64()
				t.Run(fmt.Sprintf("%s/%s/%d", s.name, name, cuts), func(t *testing.T) {
					t.Parallel()
					cutWhole(t, s, name, order, rand.New(rand.NewPCG(seed, uint64(i))))
					done.Add(1)
				})
			}
		}
	}
	t.Cleanup(func() {
		if !t.Failed() {
			count(t, "power cuts of install and uninstall", int(done.Load()))
		}
	})
}

func cutWhole(t *testing.T, s site, name string, order lab.Order, rng *rand.Rand) {
	clean := boot(t, s.o, "7.0.0")
	empty := clean.look()
	b := clean
	args := []string{"install", "-S", "--health-timeout", healthTimeout.String()}
	if name == "uninstall" {
		clean.Remove()
		b = from(t, s.o, "7.0.0")
		args = []string{"uninstall", "-S", "--purge", "--purge-files", "--yes"}
	}
	b.Sync()
	before := b.look()
	b.killed(verb{name, "7.0.0", args, ""}, 1+rng.IntN(90))
	b.Kill9(order, time.Duration(rng.IntN(5))*time.Millisecond)
	b.Start()
	b.settled(recoveryTime + 10*time.Second)
	_, _, code := b.Exec(context.Background(), "test", "-e", "/opt/ss-server/current")
	switch {
	case code == 0:
		b.serves(recoveryTime, "7.0.0")
		b.must("7.0.0", "verify")
	case name == "install":
		b.same(before, "an install that was undone")
	default:
		b.same(empty, "an uninstall that was finished")
	}
}

// TestAPowerCutWhileTheHelpIsPutInPlaceLeavesNothing cuts installs before anything
// is journalled: at each changing call up to the start of the guard, first with all
// that was written on the disk, then with only what was synced.
func TestAPowerCutWhileTheHelpIsPutInPlaceLeavesNothing(t *testing.T) {
	for _, s := range sites {
		if helpCuts(s) == 0 {
			continue
		}
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			probe := boot(t, s.o, "7.0.0")
			calls := probe.callsOfHelp()
			probe.Remove()
			b := boot(t, s.o, "7.0.0")
			b.Sync()
			before := b.look()
			cases := 0
			for n := 1; n <= len(calls); n += helpCuts(s) {
				for _, synced := range []bool{true, false} {
					// After the job's file and before its link nothing would run it; a
					// power cut cannot well fall there, since nothing is synced between.
					if op := strings.Fields(calls[n-1])[2]; synced && (op == "symlink" || op == "mkdir") {
						continue
					}
					b.killedBy(fmt.Sprintf("kill:call:%d", n))
					if synced {
						b.Sync()
					}
					b.Kill9(lab.SystemFirst, 0)
					b.Start()
					b.settled(recoveryTime)
					b.same(before, fmt.Sprintf("an install cut before %q", calls[n-1]))
					cases++
				}
			}
			count(t, "power cuts while the help was put in place", cases)
		})
	}
}

func (b *box) killedBy(fault string) {
	b.t.Helper()
	p := b.SpawnCommand(lab.Command{
		Args: []string{program("7.0.0"), "install", "-S", "--health-timeout", healthTimeout.String()},
		Env:  []string{"SS_SETUP_FAULT=" + fault},
	})
	if stdout, stderr, code := p.Wait(); code != -1 && code != 137 {
		b.t.Fatalf("%s: exit %d\n%s%s", fault, code, stdout, stderr)
	}
}

// callsOfHelp lists the changing calls of an install until its help is in place.
func (b *box) callsOfHelp() []string {
	b.t.Helper()
	p := b.SpawnCommand(lab.Command{
		Args: []string{program("7.0.0"), "install", "-S", "--health-timeout", healthTimeout.String()},
		Env:  []string{"SS_SETUP_FAULT_LOG=/root/calls.log"},
	})
	if stdout, stderr, code := p.Wait(); code != 0 {
		b.t.Fatalf("install: exit %d\n%s%s", code, stdout, stderr)
	}
	log, err := b.ReadFile("/root/calls.log")
	if err != nil {
		b.t.Fatal(err)
	}
	calls, _, found := strings.Cut(string(log), "point 1 ")
	if !found {
		b.t.Fatalf("no point in the log:\n%s", log)
	}
	return strings.Split(strings.TrimSpace(calls), "\n")
}
