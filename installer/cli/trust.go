package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"ss-setup/installer/bundle"
	"ss-setup/installer/bundle/trust"
	"ss-setup/installer/machine"
)

// embedded is the root of trust of this program; tests have one of their own.
var embedded = trust.Embedded

// openTrusted opens the package in a folder if its own metadata and what this
// machine has seen vouch for it, and tells the channel that it was released in.
func (s *session) openTrusted(ctx context.Context, dir string) (b *bundle.Bundle, channel string, err error) {
	anchor, err := embedded()
	if err != nil {
		return nil, "", err
	}
	if _, err := os.Lstat(filepath.Join(dir, bundle.ManifestName)); errors.Is(err, fs.ErrNotExist) {
		b, err = bundle.Open(dir) // which says what is missing
		return b, "", err
	}
	trusted, err := trust.Open(ctx, trust.Dir(filepath.Join(dir, trust.MetadataDir)), trust.Options{
		Anchor: anchor, Seen: s.seen(), Now: time.Now(), Offline: true,
	})
	if err != nil {
		return nil, "", fmt.Errorf("cannot trust the package in %s: %w", dir, err)
	}
	if b, err = bundle.OpenTrusted(dir, trusted); err != nil {
		return nil, "", err
	}
	if b.Evidence, err = trusted.Seen().Marshal(); err != nil {
		return nil, "", err
	}
	s.noteAnchor(anchor)
	if len(trusted.Stale) > 0 {
		s.trustNotes = append(s.trustNotes, fmt.Sprintf(
			"the signatures of the package are past their date: %s; a newer release may be out, look for it where this one came from",
			strings.Join(trusted.Stale, ", "),
		))
	}
	r, err := trusted.Release(b.Raw)
	return b, r.Channel, err
}

// noteAnchor notes a root that is nobody's but a developer's.
func (s *session) noteAnchor(a trust.Anchor) {
	s.log.Info("trust", "anchor", a.Name(), "development", a.Development())
	if note := developmentWarning(a); a.Development() && !slices.Contains(s.trustNotes, note) {
		s.trustNotes = append(s.trustNotes, note)
	}
}

func developmentWarning(a trust.Anchor) string {
	return fmt.Sprintf("this is a development build: it trusts whoever has the development keys (%s), not a vendor; never use it for real data", a.Name())
}

// tellTrust warns of what was noted while a package was looked at.
func (s *session) tellTrust() {
	for _, note := range s.trustNotes {
		s.warn(note)
	}
	s.trustNotes = nil
}

// seen are the newest metadata that this machine knows of. Damaged ones are worth as
// much as none.
func (s *session) seen() *trust.Seen {
	content, err := s.m.FS.ReadFile(machine.TrustFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var seen *trust.Seen
	if err == nil {
		seen, err = trust.ParseSeen(content)
	}
	if err != nil {
		s.warn(fmt.Sprintf("cannot read %s, so an old release that is offered anew may go unnoticed: %v", machine.TrustFile, err))
		return nil
	}
	return seen
}

// keptEvidence is why an installed release was trusted; nil when it does not say.
func (s *session) keptEvidence(release string) ([]byte, error) {
	content, err := s.m.FS.ReadFile(filepath.Join(machine.Release(release), bundle.EvidenceName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return content, err
}
