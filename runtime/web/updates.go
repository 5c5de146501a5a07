package web

import (
	"net/http"
	"time"
)

// Update is a release that could be installed.
type Update struct {
	Version string
	// Released and Checked are when it came out and when ss-setup heard of it; zero if nobody
	// knows.
	Released, Checked time.Time
	// Notes are what is new in it, as text.
	Notes string
}

// CertificateState is how the certificate that the pages are served with does.
type CertificateState struct {
	Fingerprint string
	Ends        time.Time
	// SelfSigned tells that this machine made it, and nobody else vouches for it.
	SelfSigned bool
	// Authority tells that one is asked for it by ACME: the failures since the last success,
	// the newest of them, and when it is asked next.
	Authority bool
	Failures  int
	Problem   string
	Next      time.Time
}

// update is the release that could be installed, nil if none is known.
func (p *Pages) update() *Update {
	if facts := p.known(); facts != nil {
		return facts.Update
	}
	return nil
}

// updates is the page of the notes of a release.
func (p *Pages) updates(v *visit) error {
	if err := v.who.NeedsSuper("updates", "update the server"); err != nil {
		return err
	}
	u := p.update()
	page := view{Title: "Updates", Data: u, Lead: "This is version " + p.Version + ". ss-setup looks for a newer one; the server itself asks nobody."}
	return v.show(http.StatusOK, "updates", page)
}
