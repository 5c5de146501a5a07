package web

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"ss-setup/runtime/audit"
	"ss-setup/runtime/engine"
	"ss-setup/runtime/model"
	"ss-setup/runtime/rest"
)

// eventRow is an event as a sentence.
type eventRow struct {
	audit.Event
	Text  string
	Href  string
	State string
	// Differences are what a change made of the object; secrets only say that they differ.
	Differences []model.Difference
	// To is where a file was renamed to, or what a link leads to.
	To string
}

type auditData struct {
	Rows []eventRow
	// The rest is what is asked for, as it was typed.
	Text, Outcome, By, Site, Area, Address, Object, Since, Until string
	// Areas are the sorts of events to choose from.
	Areas []option
	// Wrong is what of it cannot be read.
	Wrong map[string]string
	// Filtered tells that not everything is shown, More that one of the rarer filters is used.
	Filtered, More bool
	Next, Export   string
}

// auditAreas are the sorts of events.
var auditAreas = []option{
	{Value: "", Text: "All events"},
	{Value: "config.", Text: "Changes of the configuration"},
	{Value: "session.", Text: "Log-ins by SFTP"},
	{Value: "file.", Text: "Files"},
	{Value: "api.", Text: "Pages and REST"},
	{Value: "site.", Text: "Starts and stops"},
	{Value: "backup.", Text: "Backups and restores"},
}

// auditQuery is what the address asks of the log.
func auditQuery(query url.Values) (*rest.AuditQuery, *auditData) {
	data := &auditData{
		Text: cut(query.Get("q"), 200), By: cut(strings.TrimSpace(query.Get("by")), 700), Site: cut(strings.TrimSpace(query.Get("site")), 63),
		Address: cut(strings.TrimSpace(query.Get("address")), 60), Object: cut(query.Get("object"), 4096),
		Since: cut(query.Get("since"), 40), Until: cut(query.Get("until"), 40), Areas: auditAreas, Wrong: map[string]string{},
	}
	q := &rest.AuditQuery{Text: data.Text, By: data.By, Site: data.Site, Address: data.Address, Object: data.Object, Limit: pageSize}
	switch out := query.Get("outcome"); out {
	case audit.Done, audit.Refused, audit.Failed:
		q.Outcome, data.Outcome = out, out
	}
	for _, area := range auditAreas {
		if area.Value != "" && area.Value == query.Get("event") {
			q.Event, data.Area = []string{area.Value}, area.Value
		}
	}
	for name, at := range map[string]*time.Time{"since": &q.Since, "until": &q.Until} {
		text, wrong := readMoment(strings.TrimSpace(query.Get(name)))
		if wrong != "" {
			data.Wrong[name] = sentence(wrong)
		} else if text != nil {
			*at, _ = time.Parse(time.RFC3339, text.(string)) // readMoment wrote it
		}
	}
	q.Before, _ = strconv.ParseUint(query.Get("before"), 10, 64)
	data.More = data.By+data.Site+data.Address+data.Object+data.Since+data.Until != ""
	data.Filtered = data.More || data.Text+data.Outcome+data.Area != ""
	return q, data
}

// audit is the log of what was done, the newest first.
func (p *Pages) audit(v *visit) error {
	query := v.r.URL.Query()
	q, data := auditQuery(query)
	page := view{Title: "Audit log", Lead: "Who did what, when and from where; the newest first.", Data: data}
	if len(data.Wrong) > 0 {
		return v.show(http.StatusUnprocessableEntity, "audit", page)
	}
	found, err := v.who.Audit(v.r.Context(), q)
	if err != nil {
		return err
	}
	for _, e := range found.Items {
		data.Rows = append(data.Rows, rowOf(e))
	}
	query.Del("before")
	data.Export = "/audit.csv?" + query.Encode()
	if found.More {
		query.Set("before", strconv.FormatUint(found.Next, 10))
		data.Next = "/audit?" + query.Encode()
	}
	return v.show(http.StatusOK, "audit", page)
}

// mostExported bounds the file of the audit log: each thousand of it is searched for anew.
const mostExported = 20_000

// exportAudit sends what the page of the log would show as a table of CSV.
func (p *Pages) exportAudit(v *visit) error {
	q, data := auditQuery(v.r.URL.Query())
	for name := range data.Wrong {
		return &rest.Problem{Title: "Not valid", Status: http.StatusUnprocessableEntity, Detail: name + ": " + data.Wrong[name]}
	}
	q.Limit = 1000
	found, err := v.who.Audit(v.r.Context(), q)
	if err != nil {
		return err
	}
	t := v.table("audit", "number", "time", "event", "outcome", "by", "from", "session", "site", "object", "message", "data")
	for n := 0; ; {
		for _, e := range found.Items {
			if !t.row(strconv.FormatUint(e.Seq, 10), iso(e.Time), e.Event, e.Outcome, e.By, e.From, e.Session, e.Site, e.Object, e.Message, string(e.Data)) {
				return nil
			}
		}
		if n += len(found.Items); !found.More || n >= mostExported {
			break
		}
		q.Before = found.Next
		if found, err = v.who.Audit(v.r.Context(), q); err != nil {
			t.cut(err)
		}
	}
	t.end()
	return nil
}

// eventWords say what was done; a test holds that no event of the server is missing.
var eventWords = map[string]string{
	"config.change": "changed", "audit.gap": "lost events of this log",
	"session.login": "logged in by SFTP", "session.logout": "logged out of SFTP", "session.kick": "ended sessions",
	"api.login": "signed in to the pages", "api.logout": "signed out of the pages", "api.password": "changed the own password",
	"api.proof": "could not show who it is", "api.forbidden": "asked for what is not allowed", "api.token": "sent a token that is not valid",
	"site.start": "started a site", "site.stop": "stopped a site", "site.drain": "drained a site",
	"node.setup": "set the node up", "setup.code": "typed a wrong setup code",
	"backup.create": "made a backup", "backup.snapshot": "made a snapshot",
	"backup.restoring": "began to put a backup in force", "backup.restore": "put a backup in force",
	"file.upload": "uploaded", "file.download": "downloaded", "file.update": "read and changed", "file.open": "opened",
	"file.read": "read", "file.write": "wrote", "file.remove": "deleted", "file.rename": "renamed", "file.posix-rename": "renamed", "file.copy-data": "copied into",
	"file.mkdir": "made the folder", "file.rmdir": "deleted the folder", "file.opendir": "listed", "file.readdir": "listed",
	"file.stat": "looked at", "file.lstat": "looked at", "file.fstat": "looked at", "file.statvfs": "asked for the room at",
	"file.setstat": "set times or modes of", "file.lsetstat": "set times or modes of", "file.fsetstat": "set times or modes of",
	"file.symlink": "made the link", "file.hardlink": "linked", "file.readlink": "read the link", "file.fsync": "flushed", "file.check-file": "asked for the checksum of",
}

var operationWords = map[engine.Op]string{engine.OpCreate: "made", engine.OpUpdate: "changed", engine.OpDelete: "deleted"}

// mostDifferences bounds what is told of one change.
const mostDifferences = 12

func rowOf(e audit.Event) eventRow {
	row := eventRow{Event: e, Text: eventWords[e.Event], State: map[string]string{audit.Done: "good", audit.Refused: "warn", audit.Failed: "bad"}[e.Outcome]}
	if row.Text == "" {
		row.Text = e.Event
	}
	var data struct {
		Operation   engine.Op          `json:"operation"`
		Differences []model.Difference `json:"differences"`
		To          string             `json:"to"`
	}
	if len(e.Data) > 0 && json.Unmarshal(e.Data, &data) == nil {
		row.Differences, row.To = data.Differences[:min(len(data.Differences), mostDifferences)], data.To
		if word, ok := operationWords[data.Operation]; ok && e.Event == "config.change" {
			row.Text = word
		}
	}
	if key, err := model.ParseKey(e.Object); err == nil && e.Object != "" {
		row.Object, row.Href = model.Describe(key), pageOf(key)
		if row.Href == "/" {
			row.Href = ""
		}
	}
	return row
}
