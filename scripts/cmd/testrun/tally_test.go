package main

import (
	"bytes"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
)

// stream stands for go test: it says the given lines and ends with err.
func stream(lines []string, err error) func([]string, io.Writer) (io.Reader, func() error, error) {
	return func([]string, io.Writer) (io.Reader, func() error, error) {
		return strings.NewReader(strings.Join(lines, "\n") + "\n"), func() error { return err }, nil
	}
}

func TestSummaryCountsWhatRan(t *testing.T) {
	failure := errors.New("exit status 1")
	for name, c := range map[string]struct {
		lines []string
		err   error
		last  string
		says  string
		code  int
	}{
		"subtests instead of their parent": {
			lines: []string{
				`{"Action":"run","Package":"p","Test":"TestA"}`,
				`{"Action":"run","Package":"p","Test":"TestA/one"}`,
				`{"Action":"run","Package":"p","Test":"TestA/two"}`,
				`{"Action":"pass","Package":"p","Test":"TestA/one"}`,
				`{"Action":"pass","Package":"p","Test":"TestA/two"}`,
				`{"Action":"pass","Package":"p","Test":"TestA"}`,
				`{"Action":"pass","Package":"p"}`,
			},
			last: "2 passed, 0 failed, 0 skipped",
		},
		"a skipped test by name and reason": {
			lines: []string{
				`{"Action":"run","Package":"p","Test":"TestA"}`,
				`{"Action":"pass","Package":"p","Test":"TestA"}`,
				`{"Action":"run","Package":"p","Test":"TestB"}`,
				`{"Action":"output","Package":"p","Test":"TestB","Output":"=== RUN   TestB\n"}`,
				`{"Action":"output","Package":"p","Test":"TestB","Output":"    b_test.go:9: needs root\n"}`,
				`{"Action":"skip","Package":"p","Test":"TestB"}`,
				`{"Action":"pass","Package":"p"}`,
			},
			last: "1 passed, 0 failed, 1 skipped",
			says: "SKIP p TestB: b_test.go:9: needs root",
		},
		"a failed subtest once": {
			lines: []string{
				`{"Action":"run","Package":"p","Test":"TestA"}`,
				`{"Action":"run","Package":"p","Test":"TestA/one"}`,
				`{"Action":"output","Package":"p","Test":"TestA/one","Output":"    a_test.go:3: wrong\n"}`,
				`{"Action":"fail","Package":"p","Test":"TestA/one"}`,
				`{"Action":"fail","Package":"p","Test":"TestA"}`,
				`{"Action":"fail","Package":"p"}`,
			},
			err:  failure,
			last: "0 passed, 1 failed, 0 skipped",
			says: "a_test.go:3: wrong",
			code: 1,
		},
		"a parent that failed by itself": {
			lines: []string{
				`{"Action":"run","Package":"p","Test":"TestA"}`,
				`{"Action":"run","Package":"p","Test":"TestA/one"}`,
				`{"Action":"pass","Package":"p","Test":"TestA/one"}`,
				`{"Action":"fail","Package":"p","Test":"TestA"}`,
				`{"Action":"fail","Package":"p"}`,
			},
			err:  failure,
			last: "1 passed, 1 failed, 0 skipped",
			code: 1,
		},
		"a package whose time is up with the tests that came to no end": {
			lines: []string{
				`{"Action":"run","Package":"p","Test":"TestA"}`,
				`{"Action":"output","Package":"p","Test":"TestA","Output":"panic: test timed out after 20m0s\n"}`,
				`{"Action":"output","Package":"p","Output":"FAIL p 1200.016s\n"}`,
				`{"Action":"fail","Package":"p"}`,
			},
			err:  failure,
			last: "0 passed, 1 failed, 0 skipped",
			says: "TestA came to no end:\npanic: test timed out after 20m0s",
			code: 1,
		},
		"how long a test took that took long": {
			lines: []string{
				`{"Action":"run","Package":"p","Test":"TestA"}`,
				`{"Action":"pass","Package":"p","Test":"TestA","Elapsed":12.34}`,
				`{"Action":"pass","Package":"p"}`,
			},
			last: "1 passed, 0 failed, 0 skipped",
			says: "TestA (12.3 s)",
		},
		"a package that panics": {
			lines: []string{
				`{"Action":"run","Package":"p","Test":"TestA"}`,
				`{"Action":"output","Package":"p","Output":"panic: out of tea\n"}`,
				`{"Action":"fail","Package":"p"}`,
			},
			err:  failure,
			last: "0 passed, 1 failed, 0 skipped",
			says: "out of tea",
			code: 1,
		},
		"a package that does not build": {
			lines: []string{
				`{"ImportPath":"p","Action":"build-output","Output":"p.go:1: no\n"}`,
				`{"ImportPath":"p","Action":"build-fail"}`,
				`{"Action":"fail","Package":"p","FailedBuild":"p"}`,
			},
			err:  failure,
			last: "0 passed, 1 failed, 0 skipped",
			says: "p.go:1: no",
			code: 1,
		},
		"a go test that does not start": {
			lines: []string{`flag provided but not defined`},
			err:   failure,
			last:  "0 passed, 1 failed, 0 skipped",
			says:  "flag provided but not defined",
			code:  1,
		},
		"nothing at all as a failure": {
			last: "0 passed, 0 failed, 0 skipped",
			code: 1,
		},
		"the counters of a passing test": {
			lines: []string{
				`{"Action":"run","Package":"p","Test":"TestA"}`,
				`{"Action":"output","Package":"p","Test":"TestA","Output":"    a_test.go:7: counter: 612 crash points\n"}`,
				`{"Action":"output","Package":"p","Test":"TestA","Output":"    a_test.go:8: chatter\n"}`,
				`{"Action":"pass","Package":"p","Test":"TestA"}`,
			},
			last: "1 passed, 0 failed, 0 skipped",
			says: "counter: 612 crash points\ngo test ./...: 0s\n1 passed",
		},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			code := run([][]string{{"./..."}}, &out, stream(c.lines, c.err))
			text := strings.TrimSpace(out.String())
			if last := text[strings.LastIndex(text, "\n")+1:]; last != c.last {
				t.Errorf("ends with %q, want %q", last, c.last)
			}
			if !strings.Contains(text, c.says) {
				t.Errorf("says\n%s\nwithout %q", text, c.says)
			}
			if code != c.code {
				t.Errorf("exit code %d, want %d", code, c.code)
			}
		})
	}
}

func TestTestOfTwoListsCountsOnceWithItsBestRun(t *testing.T) {
	runs := [][]string{
		{
			`{"Action":"run","Package":"p","Test":"TestA"}`, `{"Action":"skip","Package":"p","Test":"TestA"}`,
			`{"Action":"run","Package":"p","Test":"TestB"}`, `{"Action":"pass","Package":"p","Test":"TestB"}`,
		},
		{
			`{"Action":"run","Package":"p","Test":"TestA"}`, `{"Action":"pass","Package":"p","Test":"TestA"}`,
			`{"Action":"run","Package":"p","Test":"TestB"}`, `{"Action":"skip","Package":"p","Test":"TestB"}`,
		},
	}
	var out bytes.Buffer
	i := 0
	run([][]string{{"a"}, {"b"}}, &out, func(args []string, w io.Writer) (io.Reader, func() error, error) {
		i++
		return stream(runs[i-1], nil)(args, w)
	})
	if want := "2 passed, 0 failed, 0 skipped\n"; !strings.HasSuffix(out.String(), want) {
		t.Errorf("said %q, want %q at its end", out.String(), want)
	}
}

func TestArgumentsAreSplitAtDoubleDashes(t *testing.T) {
	got := lists([]string{"--", "./...", "--", "-tags", "lab", "./scripts/..."})
	want := [][]string{{"./..."}, {"-tags", "lab", "./scripts/..."}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
