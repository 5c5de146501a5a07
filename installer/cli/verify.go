package cli

import (
	"context"
	"fmt"
	"io"
	"strings"

	"ss-setup/installer/plan"
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
}

// verify is the verb verify.
func (s *session) verify(ctx context.Context) (Exit, error) {
	sit, err := s.look(ctx)
	if err != nil {
		return Done, err
	}
	found, err := plan.Verify(ctx, s.m, sit)
	if err != nil {
		return Done, err
	}
	v := Verified{
		Schema: verifySchema, OK: len(found) == 0, Version: sit.Version, Release: sit.Release, Generation: sit.Current,
		Interrupted: sit.Interrupted != nil, Deviations: found,
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

func printVerified(w io.Writer, v Verified) {
	if v.Interrupted {
		fmt.Fprintln(w, "A run is open or was interrupted, so differences may be its own; to finish it, run: ss-setup recover")
	}
	for _, d := range v.Deviations {
		fmt.Fprintf(w, "%s: %s%s\n", d.Path, d.Kind, expectedFound(d))
	}
	if v.OK {
		fmt.Fprintf(w, "SS Server %s is as it was installed.\n", v.Version)
		return
	}
	fmt.Fprintf(w, "%d differences from what was installed; to put them right, run: ss-setup install --repair\n", len(v.Deviations))
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
