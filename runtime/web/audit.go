package web

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"

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
	Rows    []eventRow
	Text    string
	Outcome string
	Next    string
}

// audit is the log of what was done, the newest first.
func (p *Pages) audit(v *visit) error {
	query := v.r.URL.Query()
	q := &rest.AuditQuery{Text: cut(query.Get("q"), 200), By: cut(query.Get("by"), 700), Site: cut(query.Get("site"), 63), Limit: pageSize}
	switch out := query.Get("outcome"); out {
	case audit.Done, audit.Refused, audit.Failed:
		q.Outcome = out
	}
	q.Before, _ = strconv.ParseUint(query.Get("before"), 10, 64)
	page, err := v.who.Audit(v.r.Context(), q)
	if err != nil {
		return err
	}
	data := auditData{Text: q.Text, Outcome: q.Outcome}
	for _, e := range page.Items {
		data.Rows = append(data.Rows, rowOf(e))
	}
	if page.More {
		query.Set("before", strconv.FormatUint(page.Next, 10))
		data.Next = "/audit?" + url.Values(query).Encode()
	}
	return v.show(http.StatusOK, "audit", view{Title: "Audit log", Lead: "Who did what, when and from where; the newest first.", Data: data})
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
