package guide

import (
	"fmt"
	"io"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// Names of what became of a run that are none of ss-setup's own actions.
const (
	// Same: this very release is installed.
	Same = "same"
	// Refused: ss-setup will not do it, and says why.
	Refused = "refused"
	// Interrupted: an earlier run is still open.
	Interrupted = "interrupted"
)

// Unsaid is the ending of a run that did not tell how it ended.
func Unsaid(exitCode int, err error) *Ending {
	return &Ending{
		ExitCode: exitCode, Outcome: "refused", Message: fmt.Sprintf("%v (exit code %d)", err, exitCode),
		Cure: "run this setup again: what was begun is then finished or undone",
	}
}

// Proposed is what the wizard offers after ss-setup was asked for its plan.
func (e *Ending) Proposed() string {
	switch {
	case e.ExitCode != 0:
		return Refused
	case e.Outcome == "nothing":
		return Same
	}
	return e.Action
}

// shortLimit is the longest value that a variable of NSIS takes, with room to spare.
const shortLimit = 900

// Answer lists what the wizard asks for by name. Values are one line each; a new line is
// written as \n.
func (e *Ending) Answer(action string) [][2]string {
	url := ""
	if len(e.URLs) > 0 {
		url = e.URLs[0]
	}
	expires := ""
	if e.CodeExpires != nil {
		expires = e.CodeExpires.Local().Format("15:04")
	}
	return [][2]string{
		{"exit", fmt.Sprint(e.ExitCode)},
		{"action", action},
		{"outcome", e.Outcome},
		{"message", sentence(named(e.Message))},
		{"cure", cures(e.Cure)},
		{"version", e.Version},
		{"previous", e.Previous},
		{"questions", strings.Join(e.Questions, "\n")},
		{"url", url},
		{"code", e.SetupCode},
		{"expires", expires},
		{"license_server", e.LicenseServer},
		{"license_state", e.LicenseState},
		{"log", e.Log},
	}
}

// fields are what the pages call what ss-setup calls by its flags.
var fields = strings.NewReplacer(
	"--license-server", "License server", "--web-port", "port of the web interface", "--license-port", "port of the license daemon",
)

// named is a message about something that was typed, as the pages name it.
func named(message string) string { return fields.Replace(message) }

// WriteAnswer writes an answer as Windows reads an .ini file with any letters in it.
func WriteAnswer(w io.Writer, answer [][2]string) error {
	var text strings.Builder
	text.WriteString("[answer]\r\n")
	for _, pair := range answer {
		fmt.Fprintf(&text, "%s=%s\r\n", pair[0], short(pair[1]))
	}
	return WriteText(w, text.String())
}

// short is a value in one line that fits a variable of NSIS.
func short(value string) string {
	value = strings.TrimSpace(strings.ReplaceAll(value, "\r", ""))
	value = strings.Map(func(r rune) rune {
		if r != '\n' && unicode.IsControl(r) {
			return ' '
		}
		return r
	}, value)
	value = strings.ReplaceAll(value, "\n", `\n`)
	for units, i := 0, 0; i < len(value); {
		r, size := utf8.DecodeRuneInString(value[i:])
		if units += max(1, utf16.RuneLen(r)); units > shortLimit {
			return value[:i] + "…"
		}
		i += size
	}
	return value
}

// WriteText writes a text in UTF-16, as NSIS reads it. Lines end as on Windows.
func WriteText(w io.Writer, text string) error {
	text = strings.ReplaceAll(strings.ReplaceAll(text, "\r", ""), "\n", "\r\n")
	raw := []byte{0xff, 0xfe}
	for _, unit := range utf16.Encode([]rune(text)) {
		raw = append(raw, byte(unit), byte(unit>>8))
	}
	_, err := w.Write(raw)
	return err
}

// Text is all that a person is told of an ending, with lines between what belongs
// together.
func (e *Ending) Text() string {
	var parts []string
	add := func(lines ...string) { parts = append(parts, strings.Join(lines, "\n")) }
	add(sentence(e.Message) + e.times())
	if e.Cure != "" {
		add("What to do:", cures(e.Cure))
	}
	if len(e.Left) > 0 {
		add(append([]string{"What could not be put back:"}, e.Left...)...)
	}
	if e.Action != "uninstall" && e.Action != "purge" { // whose notes say what to do instead
		for _, note := range e.Notes {
			add(sentence(note))
		}
	}
	e.addresses(add)
	for _, warning := range e.Warnings {
		add("Warning: " + sentence(warning))
	}
	if len(e.Kept) > 0 {
		add(append([]string{"Kept:"}, e.Kept...)...)
	}
	if e.GoBack != "" {
		add("To go back to the version before: " + e.GoBack)
	}
	if e.Log != "" {
		add("Log: " + e.Log)
	}
	return strings.Join(parts, "\n\n") + "\n"
}

// times is how long it took, and how long users waited.
func (e *Ending) times() string {
	text := ""
	if e.Outcome == "committed" && e.Seconds > 0 {
		text = fmt.Sprintf(" It took %.1f s.", e.Seconds)
	}
	if e.Outcome == "committed" && e.Downtime != nil {
		text += fmt.Sprintf(" Users were without the service for %.2f s.", *e.Downtime)
	}
	return text
}

// addresses adds how the server is reached from elsewhere, and proven.
func (e *Ending) addresses(add func(...string)) {
	if len(e.URLs) > 1 {
		add(append([]string{"From other machines:"}, e.URLs[1:]...)...)
	}
	if len(e.OpenWith) > 0 {
		add(append([]string{fmt.Sprintf("The firewall (%s) keeps other machines out; to let them in, run in PowerShell:", e.Firewall)}, e.OpenWith...)...)
	}
	if e.NewCode != "" && e.SetupCode != "" {
		add("New setup code: " + e.NewCode)
	}
	if e.Fingerprint != "" {
		add("SHA-256 of the certificate:", e.Fingerprint)
	}
	switch {
	case e.LicenseServer == "":
	case e.LicenseState == "inaccessible":
		add(fmt.Sprintf("The license server %s is inaccessible until it answers; lmu shows when it does.", e.LicenseServer))
	default:
		add(fmt.Sprintf("The license server %s is %s.", e.LicenseServer, e.LicenseState))
	}
}

// beforeCommand is what a command follows.
var beforeCommand = regexp.MustCompile(`(?i)\b(run|with|then): \S`)

// sentence begins with a capital letter and ends with a full stop, but for what ends
// with a command.
func sentence(text string) string {
	if text == "" {
		return ""
	}
	text = capital(text)
	if strings.ContainsAny(text[len(text)-1:], ".?!:") || beforeCommand.MatchString(text) {
		return text
	}
	return text + "."
}

// cures are the lines of a cure, one sentence each.
func cures(cure string) string {
	if cure == "" {
		return ""
	}
	lines := strings.Split(cure, "\n")
	for i := range lines {
		lines[i] = sentence(lines[i])
	}
	return strings.Join(lines, "\n")
}

// capital begins with a capital letter.
func capital(text string) string {
	first, size := utf8.DecodeRuneInString(text)
	if size == 0 || first == utf8.RuneError {
		return text
	}
	return string(unicode.ToUpper(first)) + text[size:]
}
