package verbs

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/urfave/cli/v2"

	"ss-setup/runtime/store"
)

func TestExitCodesAreTheContractBetweenReleases(t *testing.T) {
	for want, err := range map[int]error{
		0:  nil,
		1:  errors.New("anything"),
		2:  ErrUsage,
		20: store.ErrNoStore,
		21: store.ErrNewerSchema,
		22: store.ErrOlderSchema,
		23: store.ErrCorrupt,
		24: store.ErrInconsistent,
	} {
		if err != nil {
			err = Logged(fmt.Errorf("around: %w", err))
		}
		if got := ExitCode(err); got != want {
			t.Errorf("%v: code %d, want %d", err, got, want)
		}
	}
}

func TestMainTellsAnErrorOnce(t *testing.T) {
	broken := errors.New("the disk is on fire")
	for name, tt := range map[string]struct {
		err  error
		want string
	}{
		"an error":                     {broken, "prog: the disk is on fire\n"},
		"an error that the log has":    {Logged(broken), ""},
		"no error":                     {Logged(nil), ""},
		"an error of the command line": {fmt.Errorf("%w: no", ErrUsage), "prog: wrong usage: no\n"},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			app := &cli.App{Name: "prog", ErrWriter: &out, Commands: []*cli.Command{{
				Name: "do", Action: func(*cli.Context) error { return tt.err },
			}}}
			if code := Main(app, []string{"prog", "do"}); code != ExitCode(tt.err) || out.String() != tt.want {
				t.Errorf("code %d, said %q", code, out.String())
			}
		})
	}
}

func TestArgumentsAreExactlyThoseOfTheUsage(t *testing.T) {
	var got []string
	app := func() *cli.App {
		return &cli.App{Name: "prog", Commands: []*cli.Command{{
			Name: "note", Subcommands: []*cli.Command{{
				Name: "add", ArgsUsage: "KEY SIZE", Action: func(c *cli.Context) error {
					got = c.Args().Slice()
					return nil
				},
			}},
		}}}
	}
	for args, want := range map[string]string{
		"note":             "prog: wrong usage: a verb is missing; prog note --help lists them\n",
		"note add k":       "prog: wrong usage: prog note add needs KEY SIZE\n",
		"note add k 1 x":   "prog: wrong usage: \"x\" is not a verb or flag; prog note add --help lists what there is\n",
		"note dance":       "prog: wrong usage: \"dance\" is not a verb or flag; prog note --help lists what there is\n",
		"note add --x k 1": "prog: wrong usage: flag provided but not defined: -x; prog note add --help lists what there is\n",
	} {
		a, out := app(), bytes.Buffer{}
		a.ErrWriter = &out
		if code := Main(a, strings.Fields("prog "+args)); code != ExitUsage || out.String() != want {
			t.Errorf("%s: code %d, said %q, want %q", args, code, out.String(), want)
		}
	}
	if code := Main(app(), strings.Fields("prog note add k 1")); code != 0 || strings.Join(got, " ") != "k 1" {
		t.Errorf("code %d, arguments %q", code, got)
	}
}

func TestProgressIsThinnedOutAndEndsComplete(t *testing.T) {
	now := time.Unix(0, 0)
	clock := func() time.Time { return now }
	run := func(asJSON bool) []string {
		var out bytes.Buffer
		report, flush := reporter(&out, asJSON, clock)
		report(0, 0, "checking")
		for i := range int64(1000) {
			now = now.Add(time.Millisecond)
			report(i+1, 1000, "rewriting")
		}
		flush()
		return strings.Split(strings.TrimSpace(out.String()), "\n")
	}
	t.Run("for programs", func(t *testing.T) {
		lines := run(true)
		if len(lines) < 5 || len(lines) > 15 {
			t.Errorf("%d lines for a second", len(lines))
		}
		if last := lines[len(lines)-1]; last != `{"done":1000,"total":1000,"message":"rewriting"}` {
			t.Errorf("the last line is %s", last)
		}
	})
	t.Run("for people", func(t *testing.T) {
		if got := strings.Join(run(false), "|"); got != "checking|rewriting" {
			t.Errorf("got %s", got)
		}
	})
}

func TestFlagsMayStandBehindArguments(t *testing.T) {
	flags := []cli.Flag{&cli.StringFlag{Name: "key", Aliases: []string{"k"}}, &cli.BoolFlag{Name: "json"}, &cli.IntFlag{Name: "n"}}
	commands := []*cli.Command{
		{Name: "do", Flags: flags},
		{Name: "deep", Subcommands: []*cli.Command{{Name: "do", Flags: flags}}},
	}
	for in, want := range map[string]string{
		"p":                         "p",
		"p do":                      "p do",
		"p do FILE --json":          "p do --json FILE",
		"p do FILE --key V --json":  "p do --key V --json FILE",
		"p do FILE -k V -n 3 OTHER": "p do -k V -n 3 FILE OTHER",
		"p do FILE --key=V OTHER":   "p do --key=V FILE OTHER",
		"p do - --json":             "p do --json -",
		"p do FILE --unknown":       "p do --unknown FILE",
		"p do FILE -- --json":       "p do -- FILE --json",
		"p do FILE --key":           "p do --key FILE",
		"p deep do FILE --json":     "p deep do --json FILE",
		"p other FILE --json":       "p other FILE --json",
	} {
		if got := strings.Join(flagsFirst(commands, strings.Fields(in)), " "); got != want {
			t.Errorf("%s becomes %s, want %s", in, got, want)
		}
	}
}
