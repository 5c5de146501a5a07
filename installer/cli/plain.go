package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// plainLines prints a line for every step: for pipes, logs and slow terminals.
type plainLines struct{ out, err io.Writer }

func (p *plainLines) show(e Event) {
	switch e.Event {
	case eventStart:
		fmt.Fprintf(p.out, "[%2d/%d] %s\n", e.Index, e.Total, e.Message)
	case eventUndone:
		printUndone(p.out, e)
	default:
		showText(p.out, p.err, e)
	}
}

func printUndone(w io.Writer, e Event) {
	if e.Error != "" {
		fmt.Fprintf(w, "could not put back: %s: %s\n", e.Message, e.Error)
		return
	}
	fmt.Fprintf(w, "put back: %s\n", e.Message)
}

// quietLines prints what is wrong and nothing else.
type quietLines struct{ err io.Writer }

func (q *quietLines) show(e Event) {
	if e.Level != levelInfo {
		showText(q.err, q.err, e)
	}
}

// showText prints the events that look the same on a terminal and in a pipe.
func showText(out, errs io.Writer, e Event) {
	switch e.Event {
	case eventPlan:
		printPlan(out, e)
	case eventWarning:
		if e.Level == levelInfo {
			fmt.Fprintln(out, sentence(e.Message))
			return
		}
		fmt.Fprintf(errs, "%s: warning: %s\n", program, e.Message)
	case eventResult:
		if e.Level == levelInfo {
			printResult(out, e)
			return
		}
		printFailure(errs, e)
	}
}

func printFailure(w io.Writer, e Event) {
	fmt.Fprintf(w, "%s: %s\n", program, e.Message)
	for _, left := range e.Left {
		fmt.Fprintf(w, "  - %s\n", left)
	}
	for line := range strings.Lines(e.Cure) {
		fmt.Fprintf(w, "  %s\n", strings.TrimRight(line, "\n"))
	}
	if e.Log != "" {
		fmt.Fprintf(w, "  log: %s\n", e.Log)
	}
}

// printPlan shows the whole plan when it was asked for, and one sentence before a run.
func printPlan(w io.Writer, e Event) {
	fmt.Fprintln(w, sentence(e.Message))
	for _, note := range e.Notes {
		fmt.Fprintln(w, sentence(note))
	}
	if !e.Whole {
		return
	}
	var p struct {
		Steps []struct {
			Text string `json:"text"`
		} `json:"steps"`
		Commit int `json:"commit"`
	}
	if err := json.Unmarshal(e.Plan, &p); err != nil {
		return
	}
	fmt.Fprintln(w)
	for i, s := range p.Steps {
		fmt.Fprintf(w, "%3d. %s\n", i+1, s.Text)
		if i == p.Commit && i+1 < len(p.Steps) {
			fmt.Fprintln(w, "     --- up to here everything can be put back ---")
		}
	}
	for _, q := range e.Questions {
		fmt.Fprintf(w, "\nIt will ask: %s\n", q)
	}
	fmt.Fprintf(w, "\nHash of this plan: %s\n", e.Hash)
}

// printResult is the final screen.
func printResult(w io.Writer, e Event) {
	r := e.Result
	fmt.Fprintf(w, "\n%s%s\n", sentence(e.Message), took(r))
	rows := finalRows(r)
	if len(rows) == 0 {
		return
	}
	fmt.Fprintln(w)
	table := tabwriter.NewWriter(w, 0, 8, 3, ' ', 0)
	for _, row := range rows {
		fmt.Fprintf(table, "  %s\t%s\n", row[0], row[1])
	}
	_ = table.Flush()
}

func took(r *Result) string {
	if r.Seconds == 0 {
		return ""
	}
	text := fmt.Sprintf(" It took %.1f s", r.Seconds)
	if r.Downtime != nil {
		text += fmt.Sprintf("; users were without the service for %.2f s", *r.Downtime)
	}
	return text + "."
}

func finalRows(r *Result) [][2]string {
	var rows [][2]string
	add := func(name string, values ...string) {
		for i, v := range values {
			if i > 0 {
				name = ""
			}
			rows = append(rows, [2]string{name, v})
		}
	}
	if r.Fresh {
		add("Set it up at", r.URLs...)
	} else {
		add("Web UI", r.URLs...)
	}
	if r.Fingerprint != "" {
		add("Certificate", "SHA-256 "+r.Fingerprint)
	}
	if r.SetupCode != "" {
		add("Setup code", fmt.Sprintf("%s   (valid for 5 minutes, until %s)", r.SetupCode, r.CodeExpires.Local().Format("15:04:05 MST")))
	}
	switch {
	case r.NewCode == "":
	case r.Fresh:
		add("New setup code", r.NewCode)
	default:
		add("If it is not set up yet", r.NewCode)
	}
	add("Set up", r.SetUp.lines()...)
	if r.LicenseServer != "" {
		add("License server", r.LicenseServer+"   "+r.LicenseState)
	}
	if r.Firewall != "" {
		add(fmt.Sprintf("Open in %s", r.Firewall), r.OpenWith...)
	}
	if r.GoBack != "" {
		add("To go back", r.GoBack)
	}
	add("Kept", r.Kept...)
	if r.Cure != "" {
		add("Next", strings.Split(r.Cure, "\n")...)
	}
	if r.Log != "" {
		add("Log", r.Log)
	}
	return rows
}

// lines are what the first set-up has made, for people.
func (f *setUpFields) lines() []string {
	if f == nil || f.Already {
		return nil
	}
	lines := []string{fmt.Sprintf("node %s, SuperAdmin %s", f.Node, f.SuperAdmin)}
	if f.Site == "" {
		return lines
	}
	lines = append(lines, fmt.Sprintf("site %s, SFTP on port %d, files in %s", f.Site, f.Port, f.Folder))
	if f.User != "" {
		lines = append(lines, fmt.Sprintf("log in with: sftp -P %d %s@HOST", f.Port, f.User))
	}
	for _, k := range f.HostKeys {
		lines = append(lines, fmt.Sprintf("host key %s %s", k.Algorithm, k.SHA256))
	}
	return lines
}
