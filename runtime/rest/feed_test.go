package rest

import (
	"bufio"
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"ss-setup/runtime/model"
	"ss-setup/runtime/sftpd"
)

func TestWhoWasAwayAsksWhatChangedSince(t *testing.T) {
	w := furnished(t)
	c := w.super()
	since := w.engine.Seq()
	c.post("/sites/main/users", map[string]any{"name": "x"}).must(201)
	c.ifMatch("*").patch("/sites/main/users/x", map[string]any{"description": "y"}).must(200)
	c.ifMatch("*").delete("/sites/main/users/anna").must(204)
	c.post("/sites/other/groups", map[string]any{"name": "g"}).must(201)
	told := func(c *client, query string) (keys []string, next Changes) {
		c.get("/changes?" + query).must(200).into(&next)
		for _, change := range next.Items {
			keys = append(keys, change.Op+" "+change.Object.String())
		}
		return keys, next
	}
	all := []string{"create user/main/x", "delete user/main/anna", "create group/other/g"}
	all[0] = "update user/main/x"
	at := "since=" + etagNumber(since)
	if got, next := told(c, at); !slices.Equal(got, all) || next.Seq != w.engine.Seq() || next.More {
		t.Errorf("told %v, up to %d", got, next.Seq)
	}
	if got, next := told(c, at+"&limit=2"); !slices.Equal(got, all[:2]) || !next.More {
		t.Errorf("told %v %+v", got, next)
	} else if got, _ = told(c, "since="+etagNumber(next.Seq)); !slices.Equal(got, all[2:]) {
		t.Errorf("and then %v", got)
	}
	if got, next := told(w.admin("a", nil, nil), at); !slices.Equal(got, all[:2]) || next.Seq != w.engine.Seq() {
		t.Errorf("an Admin is told %v", got)
	}
	if got, _ := told(c, "since="+etagNumber(w.engine.Seq())); len(got) > 0 {
		t.Errorf("news: %v", got)
	}
}

func etagNumber(n uint64) string { return strings.Trim(etag(n), `"`) }

// listener hears a stream.
type listener struct {
	lines  chan string
	cancel func()
}

// hear opens a stream and waits until it is there.
func hear(t *testing.T, server *httptest.Server, c *client, query string) *listener {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL+Prefix+"/changes/stream"+query, nil)
	if err != nil {
		t.Fatal(err)
	}
	from := c.request(http.MethodGet, "/changes/stream", nil)
	r.Header = from.Header
	got, err := server.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	if got.StatusCode != http.StatusOK || got.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatal(got.Status, got.Header)
	}
	l := &listener{lines: make(chan string, 100), cancel: cancel}
	go func() {
		defer close(l.lines)
		defer got.Body.Close()
		for s := bufio.NewScanner(got.Body); s.Scan(); {
			l.lines <- s.Text()
		}
	}()
	t.Cleanup(cancel)
	l.expect(t, ": here")
	return l
}

// expect waits for a line that begins so.
func (l *listener) expect(t *testing.T, begin string) string {
	t.Helper()
	for timeout := time.After(20 * time.Second); ; {
		select {
		case line, ok := <-l.lines:
			if !ok {
				t.Fatalf("the stream ended before %q", begin)
			}
			if strings.HasPrefix(line, begin) {
				return line
			}
			if strings.HasPrefix(line, "data:") {
				t.Fatalf("told %q, want %q", line, begin)
			}
		case <-timeout:
			t.Fatalf("nothing was told of %q", begin)
		}
	}
}

// ends waits for the end.
func (l *listener) ends(t *testing.T) {
	t.Helper()
	for timeout := time.After(20 * time.Second); ; {
		select {
		case _, ok := <-l.lines:
			if !ok {
				return
			}
		case <-timeout:
			t.Fatal("the stream goes on")
		}
	}
}

func TestChangesAreToldAsTheyHappen(t *testing.T) {
	w := furnished(t)
	server := httptest.NewServer(w.api)
	defer server.Close()
	defer w.api.EndStreams()
	super, admin := w.super(), w.admin("live", []model.Kind{model.KindUser}, nil)
	all, some := hear(t, server, super, ""), hear(t, server, admin, "")
	super.post("/sites/other/users", map[string]any{"name": "elsewhere"}).must(201)
	super.post("/sites/main/users", map[string]any{"name": "here"}).must(201)
	id := all.expect(t, "id: ")
	all.expect(t, "event: change")
	all.expect(t, `data: {"seq":`)
	if line := some.expect(t, "data: "); !strings.Contains(line, "user/main/here") {
		t.Errorf("the Admin is told %s", line)
	}
	// Who connects again goes on where he was.
	again := hear(t, server, super.with("Last-Event-ID", strings.TrimPrefix(id, "id: ")), "")
	if line := again.expect(t, "data: "); !strings.Contains(line, "user/main/here") {
		t.Errorf("then %s", line)
	}
	// It ends with the right to it.
	super.ifMatch("*").delete("/tokens/live").must(204)
	some.ends(t)
	w.api.EndStreams()
	all.ends(t)
}

func TestAStreamEndsWithItsSession(t *testing.T) {
	w := furnished(t)
	server := httptest.NewServer(w.api)
	defer server.Close()
	defer w.api.EndStreams()
	s := w.login("otto", goodPassword)
	l := hear(t, server, s, "")
	w.super().ifMatch("*").patch("/admins/otto", map[string]any{"disabled": true}).must(200)
	l.ends(t)
}

func TestStreamsAreBounded(t *testing.T) {
	w := furnished(t)
	server := httptest.NewServer(w.api)
	defer server.Close()
	defer w.api.EndStreams()
	c := w.super()
	var last *listener
	for range ownStreams {
		last = hear(t, server, c, "")
	}
	c.get("/changes/stream").problem(tooMany)
	last.cancel()
	last.ends(t)
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		w.api.streams.mu.Lock()
		open := w.api.streams.all
		w.api.streams.mu.Unlock()
		if open < ownStreams {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("a stream that its client left is still counted")
		}
	}
	hear(t, server, c, "")
}

func TestSitesAreStartedStoppedAndDrained(t *testing.T) {
	w := furnished(t)
	c := w.super()
	running := func(r *reply) bool {
		var s struct{ Running bool }
		r.must(200).into(&s)
		return s.Running
	}
	if !running(c.post("/sites/main/start", nil)) || !running(c.get("/sites/main/state")) || running(c.get("/sites/other/state")) {
		t.Error("it does not run")
	}
	if running(c.post("/sites/main/stop", nil)) {
		t.Error("it runs")
	}
	w.sites.fails = errDisk
	r := c.post("/sites/main/start", nil).must(200)
	if !strings.Contains(string(r.text), errDisk.Error()) {
		t.Errorf("told %s", r.text)
	}
	w.sites.fails = nil
	c.post("/sites/main/start", nil).must(200)
	w.sites.drains = make(chan struct{})
	if !running(c.post("/sites/main/drain", nil)) {
		t.Error("it stopped at once")
	}
	close(w.sites.drains)
	w.api.draining.Wait()
	if running(c.get("/sites/main/state")) {
		t.Error("it runs")
	}
	for _, verb := range []string{"start", "stop", "drain"} {
		c.post("/sites/none/"+verb, nil).problem(notFound)
		w.admin("admin-"+verb, nil, append(model.FullRights().Edit, model.KindSite)).post("/sites/main/"+verb, nil).problem(forbidden)
		if !w.audit.has("site."+verb, "done", "token/all") {
			t.Errorf("%s is not in the audit log", verb)
		}
	}
	w.api.Sites = nil
	c.post("/sites/main/start", nil).problem(unavailable)
}

var errDisk = context.DeadlineExceeded

func TestSessionsAreListedAndEnded(t *testing.T) {
	w := furnished(t)
	w.sites.sessions["main"] = []sftpd.Session{
		{ID: 1, User: "anna", Started: start, Active: start, Client: "<script>"}, {ID: 2, User: "bert"}, {ID: 3, User: "Anna"}, {ID: 4, User: "carl"},
	}
	c := w.admin("watch", nil, []model.Kind{model.KindUser})
	var list SessionList
	if c.get("/sites/main/sessions").must(200).into(&list); len(list.Items) != 4 || list.Items[0].User != "anna" {
		t.Errorf("listed %+v", list)
	}
	c.delete("/sites/main/sessions/2").must(200)
	c.delete("/sites/main/sessions/2").problem(notFound)
	var kicked Kicked
	if c.delete("/sites/main/sessions?user=ANNA").must(200).into(&kicked); kicked.Ended != 2 {
		t.Errorf("ended %d", kicked.Ended)
	}
	if !w.audit.has("session.kick", "done", "token/watch") {
		t.Error("it is not in the audit log")
	}
	viewer := w.admin("look", []model.Kind{model.KindUser}, []model.Kind{})
	viewer.get("/sites/main/sessions").must(200)
	viewer.delete("/sites/main/sessions").problem(forbidden)
	viewer.get("/sites/other/sessions").problem(forbidden)
	w.admin("groups", nil, []model.Kind{model.KindGroup}).get("/sites/main/sessions").problem(forbidden)
}

func TestWhetherAUserCanSignInIsToldWithTheReason(t *testing.T) {
	w := furnished(t)
	c := w.super()
	status := func() (s UserStatus) {
		c.get("/sites/main/users/anna/status").must(200).into(&s)
		return s
	}
	if s := status(); s.CanSignIn || !strings.Contains(s.Reason, "password nor key") {
		t.Errorf("%+v", s)
	}
	c.ifMatch("*").patch("/sites/main/users/anna", map[string]any{"password": map[string]any{"clear": goodPassword}}).must(200)
	if s := status(); !s.CanSignIn || s.Reason != "" || s.Effective.Home.VFS != "files" {
		t.Errorf("%+v", s)
	}
	c.ifMatch("*").patch("/sites/main/users/anna", map[string]any{"auth": []string{"password,totp", "publickey"}}).must(200)
	if s := status(); s.CanSignIn || !strings.Contains(s.Reason, "password,totp or publickey) can be passed with what the user has: a password") {
		t.Errorf("%+v", s)
	}
	c.ifMatch("*").patch("/sites/main/users/anna", map[string]any{"auth": nil}).must(200)
	c.ifMatch("*").patch("/sites/main", map[string]any{"ssh": map[string]any{"auth": []string{"publickey"}}}).must(200)
	if s := status(); s.CanSignIn {
		t.Errorf("the site's ways in: %+v", s)
	}
	c.ifMatch("*").patch("/sites/main", map[string]any{"ssh": nil}).must(200)
	c.post("/sites/main/groups", map[string]any{"name": "Closed", "disabled": true}).must(201)
	c.ifMatch("*").patch("/sites/main/users/anna", map[string]any{"groups": []string{"closed"}}).must(200)
	if s := status(); s.CanSignIn || !strings.Contains(s.Reason, "Closed") {
		t.Errorf("%+v", s)
	}
}
