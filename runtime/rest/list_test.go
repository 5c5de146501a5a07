package rest

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"ss-setup/runtime/engine"
	"ss-setup/runtime/model"
)

// crowded is a world with users u000 to u249 in site main, of whom every tenth is in a
// group.
func crowded(t testing.TB) *world {
	w := furnished(t)
	w.write(&model.Group{Head: model.Head{Name: "Staff"}, Site: "main"})
	for i := range 250 {
		u := &model.User{Head: model.Head{Name: fmt.Sprintf("u%03d", i)}, Site: "main", Email: fmt.Sprintf("mail%d@example.com", i%7)}
		if i%10 == 0 {
			u.Groups = []string{"Staff"}
		}
		w.write(u)
	}
	return w
}

// pages gives the names of all pages of a list.
func (c *client) pages(path string) (names []string) {
	after := ""
	for {
		var page Page[model.Head]
		c.get(path + after).must(http.StatusOK).into(&page)
		for _, o := range page.Items {
			names = append(names, o.Name)
		}
		if !page.More {
			return names
		}
		after = "&after=" + page.Next
	}
}

func TestListsAreSearchedSortedAndPaged(t *testing.T) {
	w := crowded(t)
	c := w.super()
	var all []string
	for i := range 250 {
		all = append(all, fmt.Sprintf("u%03d", i))
	}
	if got := c.pages("/sites/main/users?prefix=u&limit=37"); !slices.Equal(got, all) {
		t.Errorf("by name: %v", got)
	}
	if got := c.pages("/sites/main/users?prefix=u&limit=37&sort=created"); !slices.Equal(got, all) {
		t.Errorf("by creation: %v", got)
	}
	slices.Reverse(all)
	for _, order := range []string{"-name", "-created", "-modified"} {
		if got := c.pages("/sites/main/users?prefix=u&limit=37&sort=" + order); !slices.Equal(got, all) {
			t.Errorf("%s: %v", order, got)
		}
	}
	if got := c.pages("/sites/main/users?q=MAIL3@&limit=10"); len(got) != 36 || got[0] != "u003" || got[1] != "u010" {
		t.Errorf("found %v", got)
	}
	if got := c.pages("/sites/main/users?refersTo=group/main/staff&limit=10"); len(got) != 25 || got[1] != "u010" {
		t.Errorf("found %v", got)
	}
	var page Page[model.Head]
	c.get("/sites/main/users?q=mail3@&limit=10&total=true").into(&page)
	if page.Total == nil || *page.Total != 36 || len(page.Items) != 10 || page.Seq == 0 {
		t.Errorf("the page is %+v", page)
	}
	c.ifMatch("*").patch("/sites/main/users/u100", map[string]any{"description": "new"}).must(200)
	if got := c.get("/sites/main/users?sort=-modified&limit=1").names(); !slices.Equal(got, []string{"u100"}) {
		t.Errorf("the last one changed is %v", got)
	}
}

func TestAListTooLongToSortSaysSo(t *testing.T) {
	w := furnished(t)
	_, err := w.engine.Write(t.Context(), "system", func(tx *engine.Tx) error {
		for i := range maxSorted + 1 {
			if err := tx.Put(&model.Group{Head: model.Head{Name: fmt.Sprintf("g%05d", i)}, Site: "main"}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	c := w.super()
	if e := c.get("/sites/main/groups?sort=modified").field("sort"); !strings.Contains(e.Cure, "narrow") {
		t.Errorf("%+v", e)
	}
	c.get("/sites/main/groups?sort=modified&prefix=g0000").must(200)
}

func TestAnAdminsListOfSitesShowsHisOwn(t *testing.T) {
	w := furnished(t)
	for i := range 30 {
		w.write(siteOf(fmt.Sprintf("site%02d", i)))
	}
	c := w.tokenFor(&model.Token{
		Head: model.Head{Name: "few"}, Sites: []string{"site03", "site07", "site20"}, Rights: model.Rights{View: []model.Kind{model.KindSite}},
	})
	for _, order := range []string{"name", "created"} {
		if got := c.pages("/sites?limit=2&sort=" + order); !slices.Equal(got, []string{"site03", "site07", "site20"}) {
			t.Errorf("%s: %v", order, got)
		}
	}
	if got := c.pages("/sites?limit=2&sort=-name"); !slices.Equal(got, []string{"site20", "site07", "site03"}) {
		t.Errorf("%v", got)
	}
	var page Page[model.Head]
	if c.get("/sites?total=true&limit=1").into(&page); *page.Total != 3 {
		t.Errorf("a total of %d", *page.Total)
	}
	c.get("/sites/site03").must(200)
	c.get("/sites/main").problem(forbidden)
	c.get("/sites/none").problem(forbidden)
	c.ifMatch("*").patch("/sites/site03", map[string]any{"title": "x"}).problem(forbidden)
	w.admin("without", []model.Kind{model.KindUser}, nil).get("/sites").problem(forbidden)
	keeper := w.admin("keeper", nil, []model.Kind{model.KindSite})
	keeper.ifMatch("*").patch("/sites/main", map[string]any{"title": "x"}).must(200)
	keeper.ifMatch("*").delete("/sites/main").problem(forbidden)
	keeper.post("/sites", map[string]any{"name": "main2"}).problem(forbidden)
	keeper.post("/sites/main/start", nil).problem(forbidden)
}

// BenchmarkHundredThousandUsers measures requests to a big site, from the request to the
// last byte of the answer, without the network.
func BenchmarkHundredThousandUsers(b *testing.B) {
	w := furnished(b)
	const many = 100_000
	for i := 0; i < many; i += 5000 {
		_, err := w.engine.Write(b.Context(), "system", func(tx *engine.Tx) error {
			for j := i; j < i+5000; j++ {
				u := &model.User{
					Head: model.Head{Name: fmt.Sprintf("user%06d", j)}, Site: "main", Email: fmt.Sprintf("user.%d@example.com", j),
					Description: fmt.Sprintf("Department %d, building %d", j%40, j%9), Groups: nil,
					Password: model.Password{Hash: fmt.Sprintf("$argon2id$v=19$m=19456,t=2,p=1$%022d$%043d", j, j*7), Changed: start},
				}
				u.Home = model.Folder{VFS: "files", Path: "/home/{user}", Permissions: model.UsualPermissions()}
				u.AllowFrom = []string{"192.0.2.0/24", "2001:db8::/32"}
				if err := tx.Put(u); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	c := w.super()
	for name, path := range map[string]func(i int) string{
		"page":            func(i int) string { return fmt.Sprintf("/sites/main/users?after=user%06d", i*31%many) },
		"page-backward":   func(i int) string { return fmt.Sprintf("/sites/main/users?sort=-name&after=user%06d", i*31%many) },
		"search":          func(i int) string { return fmt.Sprintf("/sites/main/users?q=%d&limit=50", i*7919%many) },
		"search-counted":  func(i int) string { return fmt.Sprintf("/sites/main/users?q=%d&limit=50&total=true", i*7919%many) },
		"search-nothing":  func(i int) string { return fmt.Sprintf("/sites/main/users?q=zz%d", i) },
		"one":             func(i int) string { return fmt.Sprintf("/sites/main/users/user%06d", i*31%many) },
		"changes-of-late": func(int) string { return fmt.Sprintf("/changes?since=%d", w.engine.Seq()-50) },
	} {
		b.Run(name, func(b *testing.B) {
			var all []time.Duration
			for b.Loop() {
				r := c.request(http.MethodGet, path(len(all)), nil)
				r.RemoteAddr = fmt.Sprintf("192.0.%d.%d:1", len(all)/250%250, len(all)%250)
				w.pass(time.Second)
				recorder := newRecorder()
				began := time.Now()
				w.api.ServeHTTP(recorder, r)
				all = append(all, time.Since(began))
				if recorder.status != http.StatusOK {
					b.Fatal(recorder.status)
				}
			}
			slices.Sort(all)
			b.ReportMetric(float64(all[len(all)/2].Microseconds())/1000, "ms-p50")
			b.ReportMetric(float64(all[len(all)*99/100].Microseconds())/1000, "ms-p99")
		})
	}
}

// recorder throws answers away.
type recorder struct {
	header http.Header
	status int
	bytes  int
}

func newRecorder() *recorder { return &recorder{header: http.Header{}, status: http.StatusOK} }

func (r *recorder) Header() http.Header         { return r.header }
func (r *recorder) WriteHeader(status int)      { r.status = status }
func (r *recorder) Write(p []byte) (int, error) { r.bytes += len(p); return len(p), nil }
