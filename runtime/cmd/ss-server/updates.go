package main

import (
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	"golang.org/x/mod/semver"

	"ss-setup/runtime/version"
	"ss-setup/runtime/web"
)

// maxUpdates bounds the file in which ss-setup keeps what its last check for updates found.
const maxUpdates = 256 << 10

// maxNotes is how much of the notes of a release a page shows, in bytes.
const maxNotes = 16 << 10

// update is what the last check for updates found that is newer than this release; nil if
// that is nothing. The server itself asks nobody.
func (s *server) update() *web.Update {
	f, err := os.Open(s.at.updates)
	if err != nil {
		// Nobody has checked, or the file is of an ss-setup that kept it for root.
		if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrPermission) {
			s.log.Warn("what the check for updates found cannot be read", "error", err)
		}
		return nil
	}
	defer f.Close() // it was only read
	text, err := io.ReadAll(io.LimitReader(f, maxUpdates))
	if err != nil {
		return nil
	}
	return newerThan(version.Version, text)
}

// newerThan reads updates.json; nil if it cannot be, or tells of nothing newer.
func newerThan(running string, text []byte) *web.Update {
	var found struct {
		Schema   int       `json:"schema"`
		Version  string    `json:"version"`
		Released time.Time `json:"released"`
		Checked  time.Time `json:"checked"`
		Notes    string    `json:"notes"`
	}
	if json.Unmarshal(text, &found) != nil || found.Schema != 1 || !semver.IsValid("v"+found.Version) || len(found.Version) > 64 ||
		semver.Compare("v"+found.Version, "v"+running) <= 0 {
		return nil
	}
	notes := found.Notes
	if len(notes) > maxNotes {
		notes = strings.ToValidUTF8(notes[:maxNotes], "") + " …"
	}
	return &web.Update{Version: found.Version, Released: found.Released, Checked: found.Checked, Notes: notes}
}

// certificateState tells how the certificate of the pages does.
func (s *server) certificateState() (c web.CertificateState) {
	o := s.ops
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.keeper == nil {
		return c
	}
	pair := o.keeper.Pair()
	c.Fingerprint, c.Ends, c.SelfSigned = pair.Fingerprint, pair.NotAfter, o.keeper.SelfSigned()
	if o.issuer != nil {
		state := o.issuer.Status()
		c.Authority, c.Failures, c.Problem, c.Next = true, state.Failures, state.LastError, state.Next
	}
	return c
}
