package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/semver"

	"ss-setup/installer/bundle/trust"
	"ss-setup/installer/machine"
	"ss-setup/installer/plan"
)

// updatesSchema is the version of updates.json.
const updatesSchema = 1

// Update is what a check for updates found: what check-update --json prints, and what
// status tells afterwards without asking anybody.
type Update struct {
	Schema  int       `json:"schema"`
	Checked time.Time `json:"checked"`
	Channel string    `json:"channel"`
	// Available: it is newer than what is installed.
	Available bool      `json:"available"`
	Version   string    `json:"version"`
	Release   string    `json:"release"`
	Released  time.Time `json:"released"`
	Notes     string    `json:"notes,omitempty"`
	// Bytes is the size of a full download.
	Bytes int64  `json:"bytes"`
	From  string `json:"from"`
	// Withdrawn is the installed release, when the vendor has taken it off the list.
	Withdrawn string `json:"withdrawn,omitempty"`

	digest string
}

// checkUpdate is the verb check-update.
func (s *session) checkUpdate(ctx context.Context) (Exit, error) {
	if len(s.addresses()) == 0 {
		return Done, usagef(s.names.command("check-update", "--from", "ADDRESS"), "no repository is named, and this %s was built for none", program)
	}
	c, err := s.connect()
	if err != nil {
		return Done, err
	}
	sit, err := s.look(ctx)
	if err != nil {
		return Done, err
	}
	trusted, err := s.newest(ctx, c)
	if err != nil {
		return Done, err
	}
	gone := withdrawn(trusted, sit)
	r, err := trusted.Find(trust.Want{OS: runtime.GOOS, Arch: runtime.GOARCH, Channel: s.channel})
	if err != nil && gone != "" {
		err = fmt.Errorf("%w; the installed release %s was withdrawn", err, gone)
	}
	if err != nil {
		return Done, err
	}
	u := s.updateOf(r)
	u.Withdrawn = gone
	u.judge(sit)
	if err := s.saveUpdate(u); err != nil {
		return Done, err
	}
	s.tellTrust()
	if s.jsonAnswer {
		return Done, writeJSON(s.streams.Out, u)
	}
	printUpdate(s.streams.Out, u, sit, s.names)
	return Done, nil
}

func (s *session) updateOf(r trust.Release) *Update {
	from := s.addresses()[0]
	if u, err := url.Parse(from); err == nil {
		u.User, u.RawQuery, u.Fragment = nil, "", "" // no password is written down
		from = u.String()
	}
	return &Update{
		Schema: updatesSchema, Checked: time.Now().UTC().Truncate(time.Second), Channel: s.channel,
		Version: r.Version, Release: r.Version + "-" + r.Digest[:8], Released: r.Released, Notes: r.Notes,
		Bytes: r.Manifest.Size + r.Payload.Size + r.Setup.Size, From: from, digest: r.Digest,
	}
}

// installedRelease names what is installed as an Update names a release; empty when
// that is not known.
func installedRelease(sit *plan.Situation) string {
	if !sit.Installed() || len(sit.Digest) < 8 {
		return ""
	}
	return sit.Version + "-" + sit.Digest[:8]
}

// withdrawn is the installed release if the signed list does not have it any more: one
// is taken off it only by being withdrawn. Else it is empty.
func withdrawn(t *trust.Trusted, sit *plan.Situation) string {
	name := installedRelease(sit)
	if name == "" || slices.ContainsFunc(t.Releases, func(r trust.Release) bool { return r.Digest == sit.Digest }) {
		return ""
	}
	return name
}

// judge tells whether the release is newer than what is installed now.
func (u *Update) judge(sit *plan.Situation) {
	u.Available = false
	if u.Withdrawn != installedRelease(sit) {
		u.Withdrawn = ""
	}
	if !sit.Installed() {
		return
	}
	switch c := semver.Compare("v"+u.Version, "v"+sit.Version); {
	case c > 0:
		u.Available = true
	case c == 0:
		u.Available = sit.Digest != "" && !strings.HasSuffix(u.Release, "-"+sit.Digest[:8])
	}
}

// saveUpdate keeps the answer for status and for the server's pages, on a machine that keeps
// anything. Nothing in it is secret.
func (s *session) saveUpdate(u *Update) error {
	if !s.m.FS.Exists(machine.StateFile) {
		return nil
	}
	text, err := json.MarshalIndent(u, "", "  ")
	if err != nil {
		return err
	}
	return s.m.FS.WriteFile(machine.UpdatesFile, append(text, '\n'), machine.Attr{Mode: 0o644})
}

// lastUpdate is what the last check found, held against what is installed now; nil
// when there was none, or it cannot be read.
func (s *session) lastUpdate(sit *plan.Situation) *Update {
	text, err := s.m.FS.ReadFile(machine.UpdatesFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var u Update
	if err == nil {
		err = json.Unmarshal(text, &u)
	}
	if err != nil || u.Schema != updatesSchema || !semver.IsValid("v"+u.Version) {
		s.warn(fmt.Sprintf("cannot read %s: run %s check-update again", machine.UpdatesFile, program))
		return nil
	}
	u.judge(sit)
	return &u
}

func printUpdate(w io.Writer, u *Update, sit *plan.Situation, n names) {
	switch {
	case !sit.Installed():
		fmt.Fprintf(w, "SS Server is not installed. The newest release in channel %s is %s of %s.\n", u.Channel, u.Version, u.Released.Local().Format(time.DateOnly))
		return
	case u.Withdrawn != "" && !u.Available:
		fmt.Fprintln(w, n.text(withdrawnText(u, sit)))
		return
	case !u.Available:
		fmt.Fprintf(w, "SS Server %s is the newest release in channel %s.\n", sit.Version, u.Channel)
		return
	}
	if u.Withdrawn != "" {
		fmt.Fprintf(w, "The installed release %s was withdrawn by its vendor; replace it.\n", u.Withdrawn)
	}
	fmt.Fprintf(w, "SS Server %s of %s is available; %s is installed.\n", u.Version, u.Released.Local().Format(time.DateOnly), sit.Version)
	if u.Notes != "" {
		fmt.Fprintf(w, "\n%s\n\n", strings.TrimSpace(u.Notes))
	}
	fmt.Fprintf(w, "Install it with: %s\n", n.text(u.command()))
}

// command is what installs the update.
func (u *Update) command() string {
	words := program + " install --update --from " + shellWord(u.From)
	if u.Channel != trust.Stable {
		words += " --channel=" + u.Channel
	}
	return words
}

// withdrawnText says what to do where nothing newer takes the place of a release that
// was withdrawn.
func withdrawnText(u *Update, sit *plan.Situation) string {
	text := fmt.Sprintf("The installed release %s was withdrawn by its vendor; the newest that is left in channel %s is %s.\n", u.Withdrawn, u.Channel, u.Version)
	if slices.ContainsFunc(sit.Generations, func(g plan.GenerationInfo) bool { return !g.Current && !g.DataOnly }) {
		return text + "Go back to the generation before with: " + program + " rollback"
	}
	return text + "There is no generation to go back to: wait for a newer release, ask for it with check-update, or talk to the vendor."
}

func printLastUpdate(w io.Writer, u *Update, sit *plan.Situation, now time.Time) {
	if u == nil || !u.Available && u.Withdrawn == "" {
		return
	}
	if !u.Available {
		fmt.Fprintln(w, withdrawnText(u, sit))
		return
	}
	if u.Withdrawn != "" {
		fmt.Fprintf(w, "The installed release %s was withdrawn by its vendor; replace it.\n", u.Withdrawn)
	}
	found := age(u.Checked, now)
	if found != "now" {
		found += " ago"
	}
	fmt.Fprintf(w, "SS Server %s is available (found %s); install it with: %s\n", u.Version, found, u.command())
}
