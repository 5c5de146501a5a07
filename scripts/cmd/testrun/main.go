// Command testrun runs "go test -json" once for every list of arguments it is given,
// lists being separated by a lone "--", and ends with one line that sums them up:
//
//	1234 passed, 0 failed, 2 skipped
//
// A test with subtests is not counted, its subtests are; a test that ran in several
// lists counts once. Skipped tests are named with their reason, so that a run that
// skipped what matters cannot look like one that passed. Of tests that pass, only
// lines with "counter:" are shown, and the time of those that take long, and of each list.
package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"
)

func main() {
	os.Exit(run(lists(os.Args[1:]), os.Stdout, goTest))
}

// lists splits the arguments at each "--".
func lists(args []string) [][]string {
	var all [][]string
	for len(args) > 0 {
		i := slices.Index(args, "--")
		if i < 0 {
			return append(all, args)
		}
		if i > 0 {
			all = append(all, args[:i])
		}
		args = args[i+1:]
	}
	return all
}

// run returns 0 when at least one test passed and nothing failed.
func run(all [][]string, out io.Writer, start func(args []string, out io.Writer) (io.Reader, func() error, error)) int {
	t := newTally(out)
	for _, args := range all {
		began := time.Now()
		events, wait, err := start(args, out)
		if err != nil {
			t.broken(fmt.Sprintf("go test %v: %v", args, err))
			continue
		}
		failedBefore := t.failed()
		t.read(events)
		if err := wait(); err != nil && t.failed() == failedBefore {
			t.broken(fmt.Sprintf("go test %v: %v", args, err))
		}
		fmt.Fprintf(out, "go test %s: %s\n", strings.Join(args, " "), time.Since(began).Round(time.Second))
	}
	return t.summary()
}

// goTest starts go test and returns its events and a function that waits for its end.
func goTest(args []string, out io.Writer) (io.Reader, func() error, error) {
	cmd := exec.Command("go", append([]string{"test", "-json"}, args...)...)
	cmd.Stderr = out
	events, err := cmd.StdoutPipe()
	if err != nil {
		return nil, nil, err
	}
	return events, cmd.Wait, cmd.Start()
}
