package rest

import (
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ss-setup/runtime/audit"
	"ss-setup/runtime/model"
)

// recorded is a furnished world whose audit log has these events, numbered from 1.
func recorded(t *testing.T, events ...audit.Event) *world {
	t.Helper()
	w := furnished(t)
	log := audit.Open(filepath.Join(t.TempDir(), "audit"), audit.DefaultLimits(), w.now, slog.New(slog.DiscardHandler))
	for i, e := range events {
		e.Time = start.Add(time.Duration(i) * time.Hour)
		log.Append(e)
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	w.api.Events = log
	return w
}

// seen are the numbers of the events in a page.
func (r *reply) seen() string {
	r.t.Helper()
	var page AuditPage
	r.must(http.StatusOK).into(&page)
	var out []string
	for _, e := range page.Items {
		out = append(out, fmt.Sprint(e.Seq))
	}
	if page.More {
		out = append(out, fmt.Sprint("then ", page.Next))
	}
	return strings.Join(out, " ")
}

var happened = []audit.Event{
	{Event: "session.login", By: "user/anna", Site: "main", From: "192.0.2.1", Outcome: audit.Done},
	{Event: "session.login", By: "user/bert", Site: "other", From: "192.0.2.2", Outcome: audit.Refused},
	{Event: "config.change", By: "admin/otto", Site: "main", Object: "user/main/anna", Outcome: audit.Done},
	{Event: "config.change", By: "superadmin/sa", Object: "superadmin/sa", Outcome: audit.Done},
	{Event: "file.upload", By: "user/anna", Site: "main", Object: "/Secret plan.txt", Outcome: audit.Done},
	{Event: "config.change", By: "superadmin/sa", Object: "site/main", Outcome: audit.Done},
	{Event: "api.login", By: "superadmin/sa", From: "192.0.2.9", Outcome: audit.Refused},
	{Event: "site.stop", By: "superadmin/sa", Site: "main", Object: "site/main", Outcome: audit.Done},
	{Event: "config.change", By: "superadmin/sa", Site: "main", Object: "vfs/main/files", Outcome: audit.Done},
}

func TestTheAuditLogIsReadInPagesAndSearched(t *testing.T) {
	w := recorded(t, happened...)
	super := w.super()
	for query, want := range map[string]string{
		"":                                  "9 8 7 6 5 4 3 2 1",
		"limit=4":                           "9 8 7 6 then 6",
		"limit=4&before=6":                  "5 4 3 2 then 2",
		"limit=4&before=2":                  "1",
		"event=session.login":               "2 1",
		"event=session.,file.":              "5 2 1",
		"by=user/anna":                      "5 1",
		"address=192.0.2.2":                 "2",
		"site=main":                         "9 8 5 3 1",
		"object=user/main/anna":             "3",
		"outcome=refused":                   "7 2",
		"q=secret%20PLAN":                   "5",
		"since=2026-11-22T10:00:00Z":        "9 8 7 6 5 4 3",
		"until=2026-11-22T10:00:00%2B01:00": "1",
		"by=user/nobody":                    "",
	} {
		if got := super.get("/audit?" + query).seen(); got != want {
			t.Errorf("%s: %q, want %q", query, got, want)
		}
	}
	super.get("/audit?limit=0").problem(invalid)
	super.get("/audit?since=yesterday").problem(invalid)
	w.api.Events = nil
	super.get("/audit").problem(unavailable)
}

func TestTheAuditLogShowsEverybodyWhatHeMaySee(t *testing.T) {
	w := recorded(t, happened...)
	kinds := func(list ...model.Kind) []model.Kind { return list }
	for _, c := range []struct {
		name         string
		view         []model.Kind
		want, inSite string
	}{
		{"all", nil, "9 5 3 1", "9 5 3 1"},
		{"users", kinds(model.KindUser), "5 3 1", "5 3 1"},
		{"storage", kinds(model.KindVFS), "9", "9"},
		{"site", kinds(model.KindSite), "8 6", "8"},
		{"tokens", kinds(model.KindToken), "", ""},
	} {
		admin := w.admin(c.name, c.view, nil)
		for query, want := range map[string]string{"": c.want, "?site=main": c.inSite} {
			if got := admin.get("/audit" + query).seen(); got != want {
				t.Errorf("%s%s: %q, want %q", c.name, query, got, want)
			}
		}
		admin.get("/audit?site=other").problem(forbidden)
	}
	w.tokenFor(&model.Token{Head: model.Head{Name: "nothing"}, Sites: []string{"main"}}).get("/audit").problem(forbidden)
	w.tokenFor(&model.Token{Head: model.Head{Name: "nowhere"}, Rights: model.FullRights()}).get("/audit").problem(forbidden)
	w.nobody().get("/audit").problem(unauthenticated)
}
