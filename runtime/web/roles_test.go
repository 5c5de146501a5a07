package web

import (
	"html"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"ss-setup/runtime/model"
	"ss-setup/runtime/sftpd"
)

var anyLink = regexp.MustCompile(`<a [^>]*href="(/[^"]*)"`)

// walk follows all links from the overview on.
func (b *browser) walk(see func(path string)) {
	b.w.t.Helper()
	seen, left := map[string]bool{"/": true}, []string{"/"}
	for len(left) > 0 {
		path := left[0]
		left = left[1:]
		b.get(path)
		see(path)
		for _, found := range anyLink.FindAllStringSubmatch(b.page, -1) {
			to, _, _ := strings.Cut(html.UnescapeString(found[1]), "#")
			if !seen[to] && !strings.HasPrefix(to, "/api/") { // another package answers there
				seen[to] = true
				left = append(left, to)
			}
		}
	}
	if len(seen) < 10 {
		b.w.t.Errorf("only %d pages were found", len(seen))
	}
}

func TestNoLinkLeadsAnybodyToWhereHeMayNotGo(t *testing.T) {
	w := furnished(t)
	w.api.Events = told{}
	w.sites.sessions["main"] = []sftpd.Session{{ID: 1, Site: "main", User: "anna"}}
	for _, name := range []string{"sa", "otto", "vera"} {
		b := w.as(name)
		b.walk(func(path string) {
			if b.status != http.StatusOK {
				t.Errorf("%s at %s: status %d: %s", name, path, b.status, b.words())
			}
			if told := w.audit.of("api.forbidden"); len(told) > 0 {
				t.Fatalf("%s at %s: the audit log says that he was refused: %s", name, path, told[0].Message)
			}
		})
	}
}

func TestTheOverviewOfWhoMayNotSeeSitesCountsWhatHeMaySee(t *testing.T) {
	w := furnished(t)
	w.sites.sessions["main"] = []sftpd.Session{{ID: 1, Site: "main", User: "anna"}, {ID: 2, Site: "main", User: "anna"}}
	w.sites.sessions["other"] = []sftpd.Session{{ID: 3, Site: "other", User: "hidden-bert"}}
	tiles := func(name, path string) string {
		b := w.as(name).get(path).says(http.StatusOK, "Overview").keepsQuiet("There is no site yet")
		var out []string
		for _, found := range regexp.MustCompile(`tile-label">([^<]*)</span><span class="tile-value">(?:<span[^>]*></span>)?([^<]*)<`).FindAllStringSubmatch(b.page, -1) {
			out = append(out, found[1]+": "+found[2])
		}
		slices.Sort(out)
		return strings.Join(out, ", ")
	}
	for name, want := range map[string]string{
		"otto": "Sessions now: 2, Users: 1", "vera": "Sessions now: 2, Sites running: 1 of 1, Users: 1",
		"sa": "Banned addresses: 0, Sessions now: 3, Sites running: 1 of 2, Users: 2",
	} {
		for _, path := range []string{"/", "/?q=nothing&after=" + url.QueryEscape("zzz")} {
			if got := tiles(name, path); got != want {
				t.Errorf("%s at %s: %s, want %s", name, path, got, want)
			}
		}
	}
	w.write(&model.Admin{Head: model.Head{Name: "nowhere"}, Contact: model.Contact{Password: passwordOf(t, w)}, Rights: model.FullRights()})
	w.as("nowhere").get("/users").says(http.StatusOK, "Your account has no site")
}
