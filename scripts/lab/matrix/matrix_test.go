//go:build linux && lab

package matrix

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

var only = flag.String("only", "", "run only this scenario")

// TestEveryPlanSurvivesEveryFault is the sweep; share_test.go says how much of it
// make test takes, and make soak.
func TestEveryPlanSurvivesEveryFault(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("TestEveryPlanSurvivesEveryFault needs root: it gives files to accounts")
	}
	s := newSweep(t)
	for _, sc := range s.kit.scenarios() {
		if *only != "" && sc.name != *only {
			continue
		}
		t.Run(sc.name, func(t *testing.T) { s.scenario(t, sc) })
	}
	s.report(t)
}

// sweep counts the cases of all scenarios.
type sweep struct {
	kit   *kit
	dir   string
	cases atomic.Int64
	lost  atomic.Int64
}

func newSweep(t *testing.T) *sweep {
	dir, err := os.MkdirTemp("/dev/shm", "matrix-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	k, err := newKit(filepath.Join(dir, "kit"), filepath.Join("..", "..", "..", "packaging", "services"))
	if err != nil {
		t.Fatal(err)
	}
	return &sweep{kit: k, dir: dir}
}

// trial is a scenario with its two right ends.
type trial struct {
	scenario
	base                    string
	before, after           tree
	beforeState, afterState string
	points, calls           int
}

func (s *sweep) scenario(t *testing.T, sc scenario) {
	tr := s.measure(t, sc)
	var specs []string
	first := len(sc.name)
	for i := 1 + first%sc.share(); i <= tr.points; i += sc.share() {
		specs = append(specs, fmt.Sprintf("kill:point:%d", i))
	}
	errnos := []string{"ENOSPC", "EIO", "EACCES", "EROFS"}
	for i := 1 + first%callShare; i <= tr.calls; i += callShare {
		specs = append(specs, fmt.Sprintf("kill:call:%d", i))
		for e, errno := range errnos {
			if !everyErrno && (i/callShare)%len(errnos) != e {
				continue
			}
			specs = append(specs, fmt.Sprintf("fail:call:%d:%s", i, errno), fmt.Sprintf("failall:call:%d:%s", i, errno))
		}
	}
	s.each(t, specs, func(w string, spec string) { s.one(t, tr, w, spec) })
	s.wayBack(t, tr)
	t.Logf("%s: %d points, %d changing calls, %d cases so far", sc.name, tr.points, tr.calls, s.cases.Load())
}

// share says which crash points are taken: every how-manieth.
func (s scenario) share() int {
	if s.imports {
		return importShare
	}
	return pointShare
}

// each spreads cases over the processors.
func (s *sweep) each(t *testing.T, specs []string, do func(work, spec string)) {
	jobs := make(chan string)
	var wg sync.WaitGroup
	for range runtime.NumCPU() + 1 {
		wg.Go(func() {
			for spec := range jobs {
				work, err := os.MkdirTemp(s.dir, "case-")
				if err != nil {
					t.Error(err)
					continue
				}
				do(work, spec)
				_ = os.RemoveAll(work)
			}
		})
	}
	for _, spec := range specs {
		jobs <- spec
	}
	close(jobs)
	wg.Wait()
}

// measure prepares a scenario's machine, runs it undisturbed and counts.
func (s *sweep) measure(t *testing.T, sc scenario) trial {
	t.Helper()
	name := strings.ReplaceAll(sc.name, " ", "-")
	tr := trial{scenario: sc, base: filepath.Join(s.dir, "base-"+name)}
	must(t, newImage(tr.base))
	if sc.old {
		must(t, addOld(tr.base))
	}
	for _, argv := range sc.prepare {
		wantExit(t, tr.base, argv, fault{}, 0)
	}
	for path, content := range sc.files {
		full := filepath.Join(tr.base, path)
		_ = os.Remove(full)
		must(t, os.WriteFile(full, []byte(content), 0o644))
	}
	var err error
	tr.before, tr.beforeState, err = s.look(tr.base)
	must(t, err)

	done := filepath.Join(s.dir, "done-"+name)
	must(t, copyTree(tr.base, done))
	log := filepath.Join(s.dir, "log-"+name)
	wantExit(t, done, sc.run, fault{log: log}, 0)
	tr.after, tr.afterState, err = s.look(done)
	must(t, err)
	tr.points, tr.calls = count(t, log)
	if tr.points == 0 || tr.calls == 0 {
		t.Fatalf("%s: the run has no crash points: is ss-setup built with the tag faults?", sc.name)
	}
	return tr
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantExit(t *testing.T, root string, argv []string, f fault, code int) {
	t.Helper()
	o, err := process(root, argv, f)
	if err != nil || o.code != code {
		t.Fatalf("%v: exit %d, %v\n%s", argv, o.code, err, o.output)
	}
}

// count reads how many points and calls a run came by.
func count(t *testing.T, log string) (points, calls int) {
	t.Helper()
	content, err := os.ReadFile(log)
	must(t, err)
	for line := range strings.Lines(string(content)) {
		switch {
		case strings.HasPrefix(line, "point "):
			points++
		case strings.HasPrefix(line, "call "):
			calls++
		}
	}
	return points, calls
}

// look takes the comparable state of a machine: files, and recorded services.
func (s *sweep) look(root string) (tree, string, error) {
	t, err := readTree(root)
	if err != nil {
		return nil, "", err
	}
	services, err := os.ReadFile(filepath.Join(root, "run", "recorded-services.json"))
	if err != nil && !os.IsNotExist(err) {
		return nil, "", err
	}
	return t, serving(services), nil
}

// serving tells which services run, and from what.
func serving(recorded []byte) string {
	var v struct {
		Running map[string]struct{ Generation, Release string } `json:"running"`
	}
	if err := json.Unmarshal(recorded, &v); err != nil || len(v.Running) == 0 {
		return "none"
	}
	return fmt.Sprint(v.Running)
}

// one is a case: a process that suffers, a process that recovers, a comparison.
func (s *sweep) one(t *testing.T, tr trial, work, spec string) {
	if root, first, ok := tr.attempt(t, work, spec); ok {
		s.recoverAndCompare(t, tr, root, spec, first)
	}
}

// attempt runs the scenario on a copy of its machine, with a fault.
func (tr trial) attempt(t *testing.T, work, spec string) (root string, first outcome, ok bool) {
	root = filepath.Join(work, "root")
	err := copyTree(tr.base, root)
	if err == nil {
		first, err = process(root, tr.run, fault{spec: spec})
	}
	if err != nil {
		t.Error(err)
	}
	return root, first, err == nil
}

func (s *sweep) recoverAndCompare(t *testing.T, tr trial, root, what string, first outcome) {
	second, err := process(root, []string{tr.run[0], "recover"}, fault{})
	if err != nil {
		t.Error(err)
		return
	}
	s.cases.Add(1)
	if problem := s.judge(tr, root, first); problem != "" || second.code != 0 {
		s.lost.Add(1)
		t.Errorf("%s, %s: %s\nfirst: exit %d\n%s\nrecover: exit %d\n%s", tr.name, what, problem, first.code, tail(first.output), second.code, tail(second.output))
	}
}

// judge says what is wrong with the machine, and with what its exit code said.
func (s *sweep) judge(tr trial, root string, first outcome) string {
	got, state, err := s.look(root)
	if err != nil {
		return err.Error()
	}
	asBefore, asAfter := diff(tr.before, got, true), diff(tr.after, got, false)
	isBefore := len(asBefore) == 0 && state == tr.beforeState
	isAfter := len(asAfter) == 0 && state == tr.afterState
	switch {
	case !isBefore && !isAfter:
		closer := asBefore
		if len(asAfter) < len(asBefore) {
			closer = asAfter
		}
		return fmt.Sprintf("neither before nor after (services %q; before %q, after %q)\n%s", state, tr.beforeState, tr.afterState, strings.Join(closer[:min(len(closer), 12)], "\n"))
	case first.code == 0 && !isAfter:
		return "it said that it was done, and it was not"
	case (first.code == 1 || first.code == 7) && !isBefore:
		return "it said that everything was put back, and it was not"
	}
	return ""
}

func tail(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return strings.Join(lines[max(0, len(lines)-12):], "\n")
}

// wayBack cuts the rollback of a run that fails late, and the recovery of a run
// that was cut late, at each of their points.
func (s *sweep) wayBack(t *testing.T, tr trial) {
	late := tr.calls * 3 / 4
	var specs []string
	for i := 1; i <= tr.points*2; i += tr.share() * 3 {
		specs = append(specs, fmt.Sprintf("fail:call:%d:EIO,kill:point:%d", late, tr.points/2+i))
	}
	s.each(t, specs, func(work, spec string) {
		root, first, ok := tr.attempt(t, work, spec)
		if !ok || !first.killed {
			return // the point lies beyond the end of this run
		}
		s.recoverAndCompare(t, tr, root, spec, first)
	})
	for _, cut := range []int{tr.points / 3, tr.points / 2, tr.points * 3 / 4, tr.points - 3} {
		s.recoveryCut(t, tr, cut)
	}
}

// recoveryCut cuts a run at one point and its recovery at each of its own.
func (s *sweep) recoveryCut(t *testing.T, tr trial, cut int) {
	probe := filepath.Join(s.dir, "probe")
	_ = os.RemoveAll(probe)
	must(t, copyTree(tr.base, probe))
	spec := fmt.Sprintf("kill:point:%d", cut)
	if _, err := process(probe, tr.run, fault{spec: spec}); err != nil {
		t.Fatal(err)
	}
	log := filepath.Join(s.dir, "probe-log")
	_ = os.Remove(log)
	if _, err := process(probe, []string{tr.run[0], "recover"}, fault{log: log}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(log); err != nil {
		return
	}
	points, calls := count(t, log)
	var specs []string
	for i := 1 + cut%tr.share(); i <= points; i += tr.share() * 4 {
		specs = append(specs, fmt.Sprintf("kill:point:%d", i))
	}
	for i := 1 + cut%callShare; i <= calls; i += callShare * 2 {
		specs = append(specs, fmt.Sprintf("kill:call:%d", i))
	}
	s.each(t, specs, func(work, again string) {
		root, first, ok := tr.attempt(t, work, spec)
		if !ok {
			return
		}
		if _, err := process(root, []string{tr.run[0], "recover"}, fault{spec: again}); err != nil {
			t.Error(err)
			return
		}
		s.recoverAndCompare(t, tr, root, spec+", recovery "+again, first)
	})
}

func (s *sweep) report(t *testing.T) {
	t.Logf("counter: crash points below a root: %d cases, %d lost", s.cases.Load(), s.lost.Load())
	fmt.Printf("crash points below a root: %d cases, %d lost\n", s.cases.Load(), s.lost.Load())
}
