package report

import (
	"bufio"
	_ "embed"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"strings"
	"text/tabwriter"
)

// document is the report in JSON; docs/formats.md describes it.
type document struct {
	Format int     `json:"format"`
	Source Source  `json:"source"`
	DryRun bool    `json:"dry_run"`
	Counts []Count `json:"counts"`
	Lines  []Line  `json:"lines"`
	// Losses is the LossDigest.
	Losses string `json:"losses_sha256"`
	// More is how many lines had no place.
	More    int     `json:"more,omitempty"`
	Fields  []Field `json:"fields"`
	Reviews []Point `json:"review"`
}

// formatVersion is that of the JSON form.
const formatVersion = 1

// MarshalJSON is the report for programs.
func (r *Report) MarshalJSON() ([]byte, error) {
	d := document{formatVersion, r.Source, r.DryRun, r.Counts(), r.Lines, r.LossDigest(), r.more, r.Fields(), r.Review()}
	if d.Lines == nil {
		d.Lines = []Line{}
	}
	return json.Marshal(d)
}

// Point is something to look at after the import.
type Point struct {
	Text  string   `json:"text"`
	Names []string `json:"names,omitempty"`
}

// Review is the list that every report ends with.
func (r *Report) Review() []Point {
	find := func(text string, fits func(Line) bool) (p Point) {
		p.Text = text
		seen := map[string]bool{}
		for _, l := range r.Lines {
			if name := label(l); fits(l) && !seen[name] {
				seen[name] = true
				p.Names = append(p.Names, name)
			}
		}
		return p
	}
	rule := func(rule Rule, outcomes ...Outcome) func(Line) bool {
		return func(l Line) bool { return l.Rule == rule && (len(outcomes) == 0 || contains(outcomes, l.Outcome)) }
	}
	all := []Point{
		find("Tell the users of these sites the new fingerprints of the host keys.", rule(HostKeys, Dropped, Made)),
		find("Set these passwords again.", rule(Passwords, Action)),
		find("These passwords are kept in the old way until their users log in; set those again that fail or are never used.", rule(Passwords, Warning)),
		find("Set these authenticator apps up again.", rule(SecondFactor)),
		find("Put these LDAP profiles right and enable them.", func(l Line) bool {
			return l.Rule == LDAPSettings && l.Kind == LDAP && contains([]Outcome{Disabled, Action, Made}, l.Outcome)
		}),
		find("Make these encrypted VFSs and their users anew; their lines tell how to get the files.", rule(EncryptedVFS, Dropped)),
		find("Weak settings in force: look whether somebody still needs them.", func(l Line) bool { return l.Rule == Algorithms && l.Outcome == Warning }),
		find("Look at everything that is disabled.", func(l Line) bool { return l.Outcome == Disabled && l.Rule != LDAPSettings }),
	}
	var out []Point
	for _, p := range all {
		if len(p.Names) > 0 {
			out = append(out, p)
		}
	}
	if c := r.counts[Site]; c != nil && c.Imported > 0 {
		out = append(out, Point{Text: "Log in to every site once, as a user and as its Admin, and compare its settings with the old ones."})
	}
	return out
}

func contains(list []Outcome, o Outcome) bool {
	for _, x := range list {
		if x == o {
			return true
		}
	}
	return false
}

// label names the object of a line.
func label(l Line) string {
	switch {
	case l.Name == "" && l.Site == "":
		return string(l.Kind)
	case l.Name == "":
		return fmt.Sprintf("%s %s", l.Kind, l.Site)
	case l.Site == "":
		return fmt.Sprintf("%s %s", l.Kind, l.Name)
	}
	return fmt.Sprintf("%s %s of site %s", l.Kind, l.Name, l.Site)
}

// title is the first line of a report.
func (r *Report) title() string {
	if r.DryRun {
		return "What an import would do"
	}
	return "What was imported"
}

// Summary is the report in one sentence.
func (r *Report) Summary() string {
	var in, imported, dropped, disabled int
	for _, c := range r.Counts() {
		in, imported, dropped, disabled = in+c.In, imported+c.Imported, dropped+c.Dropped, disabled+c.Disabled
	}
	text := fmt.Sprintf("%d objects: %d imported, %d of them disabled; %d dropped", in, imported, disabled, dropped)
	if r.more > 0 {
		text += fmt.Sprintf("; %d more lines have no room here", r.more)
	}
	return text
}

func (s Source) text() string {
	version := s.Version
	if version == "" {
		version = "of an unknown version"
	}
	return strings.TrimSpace(s.Product + " " + version)
}

// WriteText is the report for a terminal.
func (r *Report) WriteText(w io.Writer) error {
	out := bufio.NewWriter(w)
	fmt.Fprintf(out, "%s: %s\n", r.title(), r.Source.text())
	if r.Source.File != "" {
		fmt.Fprintf(out, "from %s\n", r.Source.File)
	}
	fmt.Fprintf(out, "%s\n\n", r.Summary())
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(t, "KIND\tIN\tIMPORTED\tDROPPED\tDISABLED\tCHANGED\tKEPT\tNEW\t\n")
	for _, c := range r.Counts() {
		fmt.Fprintf(t, "%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t\n", c.Kind, c.In, c.Imported, c.Dropped, c.Disabled, c.Changed, c.Kept, c.Made)
	}
	_ = t.Flush() // to a buffer; its own Flush tells
	for _, s := range r.sections() {
		fmt.Fprintf(out, "\n%s\n  %s\n", s.Rule.Title(), s.Rule.About())
		for _, l := range s.Lines {
			fmt.Fprintf(out, "  - %s: %s", l.Outcome, sentence(l))
			if l.Cure != "" {
				fmt.Fprintf(out, "; %s", l.Cure)
			}
			fmt.Fprintln(out)
		}
	}
	r.writeFields(out)
	if points := r.Review(); len(points) > 0 {
		fmt.Fprintln(out, "\nTo review")
		for _, p := range points {
			fmt.Fprintf(out, "  [ ] %s\n", p.Text)
			for _, name := range p.Names {
				fmt.Fprintf(out, "      %s\n", name)
			}
		}
	}
	return out.Flush()
}

func sentence(l Line) string {
	if l.Kind == "" {
		return l.What
	}
	return label(l) + ": " + l.What
}

func (r *Report) writeFields(out io.Writer) {
	fields := r.Fields()
	if len(fields) == 0 {
		return
	}
	fmt.Fprintln(out, "\nFields without a place here")
	for _, f := range fields {
		why := f.Why
		if f.Unknown {
			why = "not known"
		}
		fmt.Fprintf(out, "  %s (%d): %s\n", f.Path, f.Count, why)
	}
}

//go:embed page.html.tmpl
var pageText string

var page = template.Must(template.New("report").Funcs(template.FuncMap{
	"sentence": sentence, "class": func(o Outcome) string { return strings.ReplaceAll(string(o), " ", "-") },
}).Parse(pageText))

// WriteHTML is the report as one page without anything from elsewhere.
func (r *Report) WriteHTML(w io.Writer) error {
	out := bufio.NewWriter(w)
	if err := page.Execute(out, r.view(0)); err != nil {
		return fmt.Errorf("write the report as a page: %w", err)
	}
	return out.Flush()
}

// WriteContent is the part of the page below its head, without any style, for a page that
// has its own: the table, and of each list the first lines, at most most of them.
func (r *Report) WriteContent(w io.Writer, most int) error {
	if err := page.ExecuteTemplate(w, "content", r.view(most)); err != nil {
		return fmt.Errorf("write the report into a page: %w", err)
	}
	return nil
}

// shownSection is a section of which some lines are shown, shownPoint a point with some of
// its names.
type (
	shownSection struct {
		section
		Total, More int
	}
	shownPoint struct {
		Point
		Total, More int
	}
)

// view is what the page shows: of each list the first most, or all for 0.
func (r *Report) view(most int) map[string]any {
	var sections []shownSection
	for _, s := range r.sections() {
		shown := shownSection{section: s, Total: len(s.Lines)}
		shown.Lines, shown.More = first(s.Lines, most)
		sections = append(sections, shown)
	}
	var points []shownPoint
	for _, p := range r.Review() {
		shown := shownPoint{Point: p, Total: len(p.Names)}
		shown.Names, shown.More = first(p.Names, most)
		points = append(points, shown)
	}
	return map[string]any{
		"Title": r.title(), "Source": r.Source, "From": r.Source.text(), "Summary": r.Summary(),
		"Counts": r.Counts(), "Sections": sections, "Fields": r.Fields(), "Review": points,
	}
}

// first are the first most of a list, and how many are left; 0 are all.
func first[T any](list []T, most int) (shown []T, more int) {
	if most == 0 || len(list) <= most {
		return list, 0
	}
	return list[:most], len(list) - most
}
