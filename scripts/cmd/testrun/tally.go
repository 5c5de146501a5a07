package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// event is one line of go test -json; see go doc test2json.
type event struct {
	Action     string
	Package    string
	ImportPath string // of build-output and build-fail
	Test       string
	Output     string
	Elapsed    float64
}

// test names one test or subtest; an empty name is the package itself.
type test struct{ pkg, name string }

func (t test) String() string {
	if t.name == "" {
		return t.pkg
	}
	return t.pkg + " " + t.name
}

func byName(a, b test) int { return strings.Compare(a.String(), b.String()) }

// long is from how many seconds on the time of a test that passes is told.
const long = 10

// tally collects the results of all runs.
type tally struct {
	out     io.Writer
	result  map[test]string // pass, fail or skip
	reason  map[test]string // why it was skipped
	parents map[test]bool   // tests that have subtests
	output  map[test][]string
}

func newTally(out io.Writer) *tally {
	return &tally{
		out:     out,
		result:  map[test]string{},
		reason:  map[test]string{},
		parents: map[test]bool{},
		output:  map[test][]string{},
	}
}

func (t *tally) read(events io.Reader) {
	lines := bufio.NewReader(events)
	for {
		line, err := lines.ReadString('\n')
		if line != "" {
			t.line(line)
		}
		if err != nil {
			return
		}
	}
}

func (t *tally) line(line string) {
	var e event
	if json.Unmarshal([]byte(line), &e) != nil {
		fmt.Fprint(t.out, line) // go test says some things, such as wrong flags, in plain text
		return
	}
	id := test{e.Package, e.Test}
	switch e.Action {
	case "run":
		t.output[id] = nil
		for name := e.Test; ; {
			i := strings.LastIndex(name, "/")
			if i < 0 {
				break
			}
			name = name[:i]
			t.parents[test{e.Package, name}] = true
		}
	case "output":
		t.output[id] = append(t.output[id], e.Output)
		if _, counter, ok := strings.Cut(e.Output, "counter:"); ok && e.Test != "" {
			fmt.Fprintf(t.out, "counter: %s\n", strings.TrimSpace(counter))
		}
	case "build-output":
		fmt.Fprint(t.out, e.Output)
	case "build-fail":
		t.result[test{pkg: e.ImportPath}] = "fail"
	case "pass", "fail", "skip":
		t.finish(id, e)
	}
}

// finish notes a result and shows what a person wants to see of it.
func (t *tally) finish(id test, e event) {
	output := t.output[id]
	delete(t.output, id)
	if id.name == "" {
		t.finishPackage(id, e, output)
		return
	}
	switch {
	case e.Action == "fail":
		fmt.Fprintf(t.out, "FAIL %s (%.2f s)\n%s", id, e.Elapsed, strings.Join(output, ""))
	case e.Action == "skip" && t.result[id] == "":
		t.reason[id] = skipReason(output)
	case e.Action == "pass" && e.Elapsed >= long && !strings.Contains(id.name, "/"):
		fmt.Fprintf(t.out, "     %s (%.1f s)\n", id.name, e.Elapsed)
	}
	if t.result[id] != "fail" && (e.Action != "skip" || t.result[id] == "") {
		t.result[id] = e.Action
	}
}

func (t *tally) finishPackage(id test, e event, output []string) {
	switch e.Action {
	case "pass":
		fmt.Fprintf(t.out, "ok   %s (%.1f s)\n", id, e.Elapsed)
	case "fail":
		fmt.Fprintf(t.out, "FAIL %s (%.1f s)\n", id, e.Elapsed)
		// A package can fail without a failing test: a panic, a time-out, its TestMain.
		if !t.anyFailedIn(id.pkg) {
			fmt.Fprint(t.out, strings.Join(output, ""))
			t.unfinished(id.pkg)
			t.result[id] = "fail"
		}
	}
}

// unfinished shows what was said by tests of a package that came to no end.
func (t *tally) unfinished(pkg string) {
	for _, id := range slices.SortedFunc(maps.Keys(t.output), byName) {
		if id.pkg == pkg && id.name != "" {
			fmt.Fprintf(t.out, "%s came to no end:\n%s", id.name, strings.Join(t.output[id], ""))
		}
	}
}

func (t *tally) anyFailedIn(pkg string) bool {
	for id, result := range t.result {
		if result == "fail" && id.pkg == pkg {
			return true
		}
	}
	return false
}

// skipReason finds the text of t.Skip among the lines around it.
func skipReason(output []string) string {
	for _, line := range output {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "=== ") || strings.HasPrefix(line, "--- ") {
			continue
		}
		return line
	}
	return "no reason given"
}

// broken counts a run that ended badly without naming a test.
func (t *tally) broken(what string) {
	fmt.Fprintln(t.out, "FAIL", what)
	t.result[test{pkg: what}] = "fail"
}

func (t *tally) failed() int { return len(t.named("fail")) }

// named lists the tests that count and have this result.
func (t *tally) named(result string) []test {
	var all []test
	for id, r := range t.result {
		if r == result && (!t.parents[id] || result == "fail" && !t.childFailed(id)) {
			all = append(all, id)
		}
	}
	slices.SortFunc(all, byName)
	return all
}

func (t *tally) childFailed(parent test) bool {
	for id := range maps.Keys(t.result) {
		if t.result[id] == "fail" && id.pkg == parent.pkg && strings.HasPrefix(id.name, parent.name+"/") {
			return true
		}
	}
	return false
}

// summary prints the end of the run and returns its exit code.
func (t *tally) summary() int {
	passed, failed, skipped := t.named("pass"), t.named("fail"), t.named("skip")
	for _, id := range skipped {
		fmt.Fprintf(t.out, "SKIP %s: %s\n", id, t.reason[id])
	}
	for _, id := range failed {
		fmt.Fprintf(t.out, "FAIL %s\n", id)
	}
	fmt.Fprintf(t.out, "%d passed, %d failed, %d skipped\n", len(passed), len(failed), len(skipped))
	if len(failed) > 0 || len(passed) == 0 {
		return 1
	}
	return 0
}
