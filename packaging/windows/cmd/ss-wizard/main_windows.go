// Command ss-wizard stands between the windows of the wizard and ss-setup: it runs
// ss-setup, shows what that tells of a run in the wizard's progress page, and writes how
// it ended where the wizard reads it.
//
//	ss-wizard [--answer FILE] [--text FILE] [--bar WINDOW] [--step WINDOW] [--cancel FILE] PROGRAM VERB...
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"syscall"
	"time"

	"ss-setup/packaging/windows/guide"
)

// exitUsage is ERROR_INVALID_COMMAND_LINE, which ss-setup ends with as well, and
// exitFailed ERROR_INSTALL_FAILURE.
const (
	exitUsage  = 1639
	exitFailed = 1603
)

// run is one call of ss-setup.
type run struct {
	answer, text string
	cancel       string // a file; once it is there the run is to end
	screen       *screen
	program      string
	args         []string
}

func main() {
	r := run{screen: &screen{out: os.Stdout}}
	flag.StringVar(&r.answer, "answer", "", "`FILE` for what the wizard asks for by name")
	flag.StringVar(&r.text, "text", "", "`FILE` for what a person is told")
	flag.StringVar(&r.cancel, "cancel", "", "end the run once `FILE` is there")
	flag.Func("bar", "`WINDOW` that shows how far the run is", window(&r.screen.bar))
	flag.Func("step", "`WINDOW` that shows what is being done", window(&r.screen.step))
	flag.Parse()
	if flag.NArg() < 2 {
		flag.Usage()
		os.Exit(exitUsage)
	}
	r.program, r.args = flag.Arg(0), flag.Args()[1:]
	code, err := r.do(context.Background())
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(code)
}

// do runs ss-setup and returns the code to exit with.
func (r *run) do(ctx context.Context) (int, error) {
	end := r.follow(ctx)
	action := end.Proposed()
	if action == guide.Refused && r.open(ctx) {
		action = guide.Interrupted
	}
	err := errors.Join(
		write(r.answer, func(w io.Writer) error { return guide.WriteAnswer(w, end.Answer(action)) }),
		write(r.text, func(w io.Writer) error { return guide.WriteText(w, end.Text()) }),
	)
	if err != nil && end.ExitCode == 0 {
		return exitFailed, err
	}
	return end.ExitCode, err
}

// follow runs ss-setup to its end and shows what it tells.
func (r *run) follow(ctx context.Context) *guide.Ending {
	cmd := exec.CommandContext(ctx, r.program, slices.Concat(r.args, []string{"--output", "json"})...)
	cmd.SysProcAttr = &syscall.SysProcAttr{HideWindow: true}
	asks, inErr := cmd.StdinPipe()
	out, outErr := cmd.StdoutPipe()
	err := errors.Join(inErr, outErr)
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return guide.Unsaid(exitFailed, fmt.Errorf("start ss-setup: %w", err))
	}
	ended := make(chan struct{})
	go r.watch(asks, ended)
	end, err := guide.Follow(out, r.screen)
	waited := cmd.Wait()
	close(ended)
	switch code := cmd.ProcessState.ExitCode(); {
	case err != nil && code == 0:
		return guide.Unsaid(exitFailed, err)
	case err != nil:
		return guide.Unsaid(code, err)
	case waited != nil && code != end.ExitCode:
		r.screen.Detail(fmt.Sprintf("ss-setup says %d and ended with %d", end.ExitCode, code))
	}
	return end
}

// cancelPause is how often the file is looked for that asks for the end of a run.
const cancelPause = 200 * time.Millisecond

// watch asks ss-setup to end when the user wants that; it puts everything back then.
func (r *run) watch(asks io.Writer, ended <-chan struct{}) {
	if r.cancel == "" {
		return
	}
	for {
		select {
		case <-ended:
			return
		case <-time.After(cancelPause):
		}
		if _, err := os.Stat(r.cancel); err != nil {
			continue
		}
		if _, err := io.WriteString(asks, "cancel\n"); err != nil {
			r.screen.Detail(fmt.Sprintf("ss-setup cannot be asked to end: %v", err))
		}
		return
	}
}

// open tells whether an earlier run is still open, which only this very machine's
// next run or a recovery can end.
func (r *run) open(ctx context.Context) bool {
	cmd := exec.CommandContext(ctx, r.program, "status", "--json")
	cmd.SysProcAttr = &syscall.SysProcAttr{HideWindow: true}
	out, err := cmd.Output()
	if _, ended := errors.AsType[*exec.ExitError](err); err != nil && !ended {
		return false
	}
	var status struct {
		Interrupted *struct {
			Abandoned bool `json:"abandoned"`
		} `json:"interrupted"`
		Running string `json:"running"`
	}
	if json.Unmarshal(out, &status) != nil || status.Interrupted == nil {
		return false
	}
	return status.Running == "" && !status.Interrupted.Abandoned
}

// write makes a file, if one is asked for.
func write(name string, fill func(io.Writer) error) error {
	if name == "" {
		return nil
	}
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	return errors.Join(fill(f), f.Close())
}
