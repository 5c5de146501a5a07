package rest

import (
	"context"
	"errors"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"time"

	"ss-setup/runtime/audit"
	"ss-setup/runtime/model"
)

// AuditQuery says what is wanted of the audit log.
type AuditQuery struct {
	Site    string    `query:"site" maxLength:"63" doc:"Only what happened in this site."`
	Event   []string  `query:"event" maxItems:"20" doc:"Only events of these names, or that begin so where one ends with a dot: session.login, file."`
	By      string    `query:"by" maxLength:"700" doc:"Only what this one did: user/anna, admin/otto, token/robot, system."`
	Address string    `query:"address" maxLength:"60" doc:"Only what came from this address."`
	Object  string    `query:"object" maxLength:"4096" doc:"Only what was done to this object, as KIND/SITE/ID, or to the file of this path."`
	Outcome string    `query:"outcome" enum:"done,refused,failed" doc:"Only what ended so."`
	Text    string    `query:"q" maxLength:"200" doc:"Only events with this text anywhere in them, whatever the case."`
	Since   time.Time `query:"since" doc:"Nothing before this time."`
	Until   time.Time `query:"until" doc:"Nothing at this time or after it."`
	Before  uint64    `query:"before" doc:"The next of the page before."`
	Limit   int       `query:"limit" minimum:"1" maximum:"1000" default:"100" doc:"How many at most."`
}

// AuditPage is a part of the audit log, the newest event first.
type AuditPage struct {
	Items []audit.Event `json:"items" nullable:"false"`
	More  bool          `json:"more"`
	Next  uint64        `json:"next,omitempty" doc:"What to send as before for the next page."`
}

// AuditOut is AuditPage as an answer.
type AuditOut struct{ Body *AuditPage }

// auditTime is how long a search may take.
const auditTime = 20 * time.Second

func (a *API) registerAudit() {
	operate(a, operation{
		method: http.MethodGet, path: "/audit", id: "read-audit-log", tag: "audit", summary: "Read the audit log, the newest event first",
		help: "SuperAdmins read all of it. Others read what happened in their sites: changes of objects that they may see, " +
			"log-ins and files where they may see users, starts and stops where they may see the site.",
		out: reflect.TypeFor[AuditPage](),
	}, a.readAudit)
}

func (a *API) readAudit(ctx context.Context, c *caller, in *AuditQuery) (*AuditOut, error) {
	if !c.super && (len(c.sites) == 0 || len(c.rights.View)+len(c.rights.Edit) == 0 || in.Site != "" && !slices.Contains(c.sites, in.Site)) {
		return nil, problem(forbidden, "%s may not read the audit log there; a SuperAdmin can give the right", c.name())
	}
	if a.Events == nil {
		return nil, problem(unavailable, "there is no audit log to read")
	}
	ctx, cancel := context.WithTimeout(ctx, auditTime)
	defer cancel()
	select {
	case a.reading <- struct{}{}:
		defer func() { <-a.reading }()
	case <-ctx.Done():
		return nil, later(unavailable, time.Second, "others are reading the audit log; repeat the request")
	}
	events, err := a.Events.Newest(ctx, audit.Filter{
		Site: in.Site, Events: in.Event, By: in.By, Address: in.Address, Object: in.Object, Out: in.Outcome, Text: in.Text,
		From: in.Since, Until: in.Until, Before: in.Before, Limit: in.Limit + 1, Want: c.mayRead,
	})
	if errors.Is(err, context.DeadlineExceeded) {
		return nil, later(unavailable, time.Second, "the search took more than %s; narrow it, by since and until above all", auditTime)
	}
	if err != nil {
		return nil, err
	}
	page := &AuditPage{Items: events[:min(len(events), in.Limit)], More: len(events) > in.Limit}
	if page.Items == nil {
		page.Items = []audit.Event{}
	}
	if page.More {
		page.Next = page.Items[in.Limit-1].Seq
	}
	return &AuditOut{Body: page}, nil
}

// mayRead tells whether an event may be seen. What is told of no site is a SuperAdmin's.
func (c *caller) mayRead(e *audit.Event) bool {
	if c.super {
		return true
	}
	switch area, _, _ := strings.Cut(e.Event, "."); area {
	case "config":
		key, err := model.ParseKey(e.Object)
		return err == nil && c.mayView(key)
	case "session", "file":
		return c.mayView(model.Key{Kind: model.KindUser, Site: e.Site})
	case "site":
		return c.mayView(model.SiteKey(e.Site))
	}
	return false
}
