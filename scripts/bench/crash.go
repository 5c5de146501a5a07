//go:build linux

package main

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
)

// crashRows run the fault sweep and count its cases, with those of earlier tests if
// a file of their output was given.
func crashRows(b *bench) []row {
	cmd := exec.Command("go", "test", "-tags", "lab", "-count=1", "-timeout", "60m", "-v", "-run", "TestEveryPlanSurvivesEveryFault", "./scripts/lab/matrix")
	out, err := cmd.CombinedOutput()
	t := countCases(string(out))
	if t.cases == 0 {
		// Cases that were lost fail the test, too, and are a figure; no cases are none.
		b.Fatalf("the fault sweep counted nothing: %w\n%s", err, lastLines(string(out)))
	}
	note := fmt.Sprintf("the fault sweep: %d cases", t.cases)
	if b.cases != "" {
		text, err := os.ReadFile(b.cases)
		b.must(err)
		earlier := countCases(string(text))
		t.cases, t.lost = t.cases+earlier.cases, t.lost+earlier.lost
		note += fmt.Sprintf(", %s: %d", b.cases, earlier.cases)
	}
	return []row{
		newRow("crash_points", float64(t.cases), "cases", atLeast(600), 1, note),
		newRow("crash_points_lost", float64(t.lost), "cases", atMost(0), 1, "cases after which the machine was neither as before nor as after"),
	}
}

type tally struct{ cases, lost int }

// counter is the line by which tests with generated cases tell how many. The sweep
// also prints its own without the mark; that is the same line again.
var counter = regexp.MustCompile(`counter: [^\n]*?: (\d+) cases, (\d+) lost`)

func countCases(output string) tally {
	var t tally
	for _, m := range counter.FindAllStringSubmatch(output, -1) {
		cases, _ := strconv.Atoi(m[1]) // digits by the expression
		lost, _ := strconv.Atoi(m[2])
		t.cases += cases
		t.lost += lost
	}
	return t
}

func lastLines(s string) string { return s[max(0, len(s)-2000):] }
