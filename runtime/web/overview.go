package web

import (
	"math"
	"net/http"
	"time"

	"ss-setup/runtime/model"
	"ss-setup/runtime/rest"
)

// tile is a number that leads to its list.
type tile struct {
	Label, Value, Href, Sub string
	State                   string
}

type overviewData struct {
	Tiles    []tile
	Warnings []warning
	Sites    []siteRow
	// SeesSites tells that the sites may be seen, MoreSites that there are others than these.
	SeesSites, MoreSites bool

	Plots []*plot
	Bans  []cell
	Facts *Facts
	// MayMake tells that a first site could be made here.
	MayMake bool
}

// warning is something that should be looked at, with where.
type warning struct{ Text, Href, Do string }

// plotSpan is how far the overview looks back.
const plotSpan = 6 * time.Hour

// overview is the page that everybody begins with.
func (p *Pages) overview(v *visit) error {
	data := overviewData{MayMake: v.who.Super(), SeesSites: v.who.MayList(model.KindSite, "")}
	if err := v.runs(&data); err != nil {
		return err
	}
	if err := v.bans(&data); err != nil {
		return err
	}
	if v.who.Super() {
		v.facts(&data)
		if p.History != nil {
			data.Plots = p.plots()
		}
	}
	return v.show(http.StatusOK, "overview", view{Title: "Overview", Data: data})
}

// runs tells what runs now, as far as the visitor may see it: sites, or only their users.
func (v *visit) runs(data *overviewData) error {
	sessions := 0
	if data.SeesSites {
		rows, found, err := v.siteList("", "")
		if err != nil {
			return err
		}
		data.Sites, data.MoreSites = rows, found.More
		if sessions, err = v.siteTile(data, *found.Total); err != nil {
			return err
		}
	}
	if !v.mayAnywhere(model.KindUser) {
		return nil
	}
	names, err := v.siteNames(math.MaxInt)
	if err != nil {
		return err
	}
	users := 0
	for _, name := range names {
		n, err := v.countUsers(name)
		if err != nil {
			return err
		}
		users += n
		if !data.SeesSites {
			running, err := v.who.Sessions(name)
			if err != nil {
				return err
			}
			sessions += len(running)
		}
	}
	data.Tiles = append(data.Tiles,
		tile{Label: "Sessions now", Value: count(sessions), Href: "/sessions"},
		tile{Label: "Users", Value: count(users), Href: "/users"})
	return nil
}

// siteTile is how many of all sites run; it counts their sessions.
func (v *visit) siteTile(data *overviewData, all int) (sessions int, err error) {
	states, err := v.who.States()
	if err != nil || all == 0 {
		return 0, err
	}
	running := 0
	for _, s := range states {
		sessions += s.Sessions
		cell := stateCell(s)
		if cell.State == "good" || cell.Text == "Partly" {
			running++
		}
		if cell.State == "bad" || cell.State == "warn" {
			data.Warnings = append(data.Warnings, warning{"Site " + s.Site + ": " + orText(cell.Sub, cell.Text), sitePath(s.Site), "Look at the site"})
		}
	}
	t := tile{Label: "Sites running", Value: count(running) + " of " + count(all), Href: "/sites", State: "good"}
	if running < all {
		t.State = "warn"
	}
	data.Tiles = append(data.Tiles, t)
	return sessions, nil
}

func orText(text, other string) string {
	if text == "" {
		return other
	}
	return text
}

// bans are the newest ones.
func (v *visit) bans(data *overviewData) error {
	if !v.who.MayList(model.KindEntry, "") {
		return nil
	}
	found, err := v.who.List(model.KindEntry, "", &rest.ListQuery{Text: "", Prefix: "block:", Limit: 5, Total: true})
	if err != nil {
		return err
	}
	for _, o := range found.Items {
		e := o.(*model.Entry)
		until := "for ever"
		if !e.Expires.IsZero() {
			until = "until " + moment(e.Expires)
		}
		data.Bans = append(data.Bans, cell{Text: e.Network, Mono: true, Sub: string(e.Reason) + ", " + until, Href: entriesResource().of(e.Key())})
	}
	if found.Total != nil {
		data.Tiles = append(data.Tiles, tile{Label: "Banned addresses", Value: count(*found.Total), Href: "/entries"})
	}
	return nil
}

// soon is when the end of a certificate is told, staleBackup when a backup counts as old, and
// staleSnapshot when a snapshot does: one is made each day.
const (
	soon          = 30 * 24 * time.Hour
	staleBackup   = 30 * 24 * time.Hour
	staleSnapshot = 48 * time.Hour
)

// foldersTold is how many folders that cannot be opened the overview names.
const foldersTold = 5

func (v *visit) facts(data *overviewData) {
	facts := v.known()
	if facts == nil {
		return
	}
	data.Facts = facts
	now := v.Now()
	if !facts.CertificateEnds.IsZero() && facts.CertificateEnds.Sub(now) < soon {
		data.Warnings = append(data.Warnings, warning{"The certificate of these pages ends on " + moment(facts.CertificateEnds) + ".", "/certificates", "Look at the certificates"})
	}
	v.endingCertificates(data)
	for _, f := range facts.Folders[:min(len(facts.Folders), foldersTold)] {
		data.Warnings = append(data.Warnings, warning{sentence("storage " + f.VFS.ID + " of the site " + f.VFS.Site + ": " + f.Problem), vfsResource().of(f.VFS), "Look at it"})
	}
	if more := len(facts.Folders) - foldersTold; more > 0 {
		data.Warnings = append(data.Warnings, warning{"The folders of " + count(more) + " more cannot be opened.", "/sites", "Look at the storage of each site"})
	}
	last := facts.Snapshot
	if last.IsZero() {
		last = facts.Started // the first is on its way
	}
	if now.Sub(last) > staleSnapshot {
		data.Warnings = append(data.Warnings, warning{"There is no fresh copy of the configuration on this machine.", "/backup", "Make a snapshot"})
	}
	if v.Backups == nil {
		return
	}
	switch {
	case facts.Backup.IsZero():
		data.Warnings = append(data.Warnings, warning{"No backup was made yet. The snapshots on this machine are lost with it.", "/backup", "Make a backup"})
	case now.Sub(facts.Backup) > staleBackup:
		data.Warnings = append(data.Warnings, warning{"The last backup was made " + span(now.Sub(facts.Backup)) + " ago.", "/backup", "Make a backup"})
	}
}

// endingCertificates warns of those of the whole server that end soon; the one in use is
// told of by itself.
func (v *visit) endingCertificates(data *overviewData) {
	found, err := v.who.List(model.KindCertificate, "", &rest.ListQuery{Limit: pageSize})
	if err != nil {
		v.Log.Warn("the overview tells of no certificates", "error", err)
		return
	}
	for _, o := range found.Items {
		c := o.(*model.Certificate)
		if !c.NotAfter.IsZero() && c.NotAfter.Sub(v.Now()) < soon && !c.NotAfter.Equal(data.Facts.CertificateEnds) {
			data.Warnings = append(data.Warnings, warning{"The certificate " + c.Name + " ends on " + moment(c.NotAfter) + ".", certificatesResource().of(c.Key()), "Look at it"})
		}
	}
}

// plots are sessions and throughput of the last hours.
func (p *Pages) plots() []*plot {
	samples, now := p.History.Last(plotSpan), p.Now()
	return []*plot{
		plotOf("Throughput", samples, now, plotSpan, rate, roundUpBytes,
			series{"Up", "up", func(s Sample) float64 { return s.Up }},
			series{"Down", "down", func(s Sample) float64 { return s.Down }}),
		plotOf("Sessions", samples, now, plotSpan, func(n float64) string { return count(int(n)) }, roundUp,
			series{"Sessions", "sessions", func(s Sample) float64 { return float64(s.Sessions) }}),
	}
}
