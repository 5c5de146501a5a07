package cli

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"ss-setup/installer/plan"
	"ss-setup/installer/txn"
)

// verifySchema is the version of what verify --json prints.
const verifySchema = 1

// Verified is what verify --json prints: docs/verify.schema.json.
type Verified struct {
	Schema     int    `json:"schema"`
	OK         bool   `json:"ok"`
	Version    string `json:"version"`
	Release    string `json:"release"`
	Generation int    `json:"generation"`
	// Interrupted: a run is open, so differences may be its own.
	Interrupted bool             `json:"interrupted,omitempty"`
	Deviations  []plan.Deviation `json:"deviations"`
	// Stopped are services that start at boot and do not run now: somebody stopped
	// them, so this is no deviation.
	Stopped []string `json:"stopped"`

	// open is the run that is open, running the process that carries it out.
	open    *txn.Status
	running string
	// down has the commands for the services that do not run.
	down []DownService
}

// verify is the verb verify.
func (s *session) verify(ctx context.Context) (Exit, error) {
	sit, err := s.look(ctx)
	if err != nil {
		return Done, err
	}
	if sit.Installed() && sit.Receipt == nil && sit.Interrupted != nil {
		return Done, s.noReceiptYet(sit)
	}
	found, err := plan.Verify(ctx, s.m, sit)
	if err != nil {
		return Done, err
	}
	v := Verified{
		Schema: verifySchema, OK: len(found) == 0, Version: sit.Version, Release: sit.Release, Generation: sit.Current,
		Interrupted: sit.Interrupted != nil, Deviations: found, Stopped: []string{},
		open: sit.Interrupted, running: s.holder(),
	}
	st := statusOf(sit)
	st.Running = v.running
	v.down = s.down(st, sit.Missing)
	for _, d := range v.down {
		if d.State == "stopped" && sit.Services[d.Service].Enabled {
			v.Stopped = append(v.Stopped, d.Service)
		}
	}
	exit := Done
	if !v.OK {
		exit = CheckFailed
	}
	if s.jsonAnswer {
		return exit, writeJSON(s.streams.Out, v)
	}
	var text strings.Builder
	printVerified(&text, v)
	_, err = io.WriteString(s.streams.Out, s.names.text(text.String()))
	return exit, err
}

// noReceiptYet says why there is no receipt while a run is open: it comes last.
func (s *session) noReceiptYet(sit *plan.Situation) *Failure {
	var text strings.Builder
	printOpen(&text, s.holder(), sit.Interrupted)
	why, _ := strings.CutSuffix(strings.TrimSpace(text.String()), ".")
	return &Failure{
		Exit: CheckFailed,
		Err:  fmt.Errorf("generation %d has no receipt yet to compare with: %s", sit.Current, s.names.text(strings.ToLower(why[:1])+why[1:])),
	}
}

func printVerified(w io.Writer, v Verified) {
	printOpen(w, v.running, v.open)
	if v.Interrupted || v.running != "" {
		fmt.Fprintln(w, "Differences may be its own.")
	}
	for _, d := range v.Deviations {
		fmt.Fprintf(w, "%s: %s%s\n", d.Path, d.Kind, expectedFound(d))
	}
	for _, name := range v.Stopped {
		fmt.Fprintf(w, "%s does not run: it was stopped. To start it, run: %s\n", name, v.startCommand(name))
	}
	if v.OK {
		fmt.Fprintf(w, "SS Server %s is as it was installed.\n", v.Version)
		return
	}
	files := 0
	for _, d := range v.Deviations {
		if d.Kind != plan.KindRunning {
			files++
		}
	}
	printDown(w, slices.DeleteFunc(slices.Clone(v.down), func(d DownService) bool { return d.State != "failed" }))
	if files == 0 {
		fmt.Fprintf(w, "The files of SS Server %s are as they were installed.\n", v.Version)
		return
	}
	fmt.Fprintf(w, "%s from what was installed; to put %s right, run: ss-setup install --repair\n",
		counted(files, "difference"), pronoun(files))
}

func (v Verified) startCommand(name string) string {
	for _, d := range v.down {
		if d.Service == name {
			return d.Start
		}
	}
	return ""
}

// counted is a number of things: "1 difference", "2 differences".
func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func pronoun(n int) string {
	if n == 1 {
		return "it"
	}
	return "them"
}

func expectedFound(d plan.Deviation) string {
	switch {
	case d.Expected == "" && d.Found == "":
		return ""
	case d.Found == "":
		return ": expected " + d.Expected
	}
	return fmt.Sprintf(": expected %s, found %s", dash(d.Expected), d.Found)
}
