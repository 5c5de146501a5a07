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

	digest string
}

// checkUpdate is the verb check-update.
func (s *session) checkUpdate(ctx context.Context) (Exit, error) {
	if len(s.addresses()) == 0 {
		return Done, usagef(program+" check-update --from https://…", "no repository is named, and this %s was built for none", program)
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
	r, err := trusted.Find(trust.Want{OS: runtime.GOOS, Arch: runtime.GOARCH, Channel: s.channel})
	if err != nil {
		return Done, err
	}
	u := s.updateOf(r)
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

// judge tells whether the release is newer than what is installed now.
func (u *Update) judge(sit *plan.Situation) {
	u.Available = false
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

// saveUpdate keeps the answer for status, on a machine that keeps anything.
func (s *session) saveUpdate(u *Update) error {
	if !s.m.FS.Exists(machine.StateFile) {
		return nil
	}
	text, err := json.MarshalIndent(u, "", "  ")
	if err != nil {
		return err
	}
	return s.m.FS.WriteFile(machine.UpdatesFile, append(text, '\n'), machine.Attr{Mode: 0o600})
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
	case !u.Available:
		fmt.Fprintf(w, "SS Server %s is the newest release in channel %s.\n", sit.Version, u.Channel)
		return
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

func printLastUpdate(w io.Writer, u *Update, now time.Time) {
	if u == nil || !u.Available {
		return
	}
	found := age(u.Checked, now)
	if found != "now" {
		found += " ago"
	}
	fmt.Fprintf(w, "SS Server %s is available (found %s); install it with: %s\n", u.Version, found, u.command())
}
