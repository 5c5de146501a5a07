package web

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"testing"

	"ss-setup/runtime/engine"
	"ss-setup/runtime/model"
)

// site and admin read an object.
func (w *world) site(name string) (s *model.Site) {
	w.t.Helper()
	check(w.t, w.engine.Read(func(r *engine.Reader) (err error) {
		s, err = engine.Sites.Get(r, "", name)
		return err
	}))
	return s
}

func (w *world) admin(name string) (a *model.Admin) {
	w.t.Helper()
	check(w.t, w.engine.Read(func(r *engine.Reader) (err error) {
		a, err = engine.Admins.Get(r, "", name)
		return err
	}))
	return a
}

func TestAListKeepsTheOrderOfItsPreferences(t *testing.T) {
	w := furnished(t)
	reversed := []string{model.Ciphers[1].Name, model.Ciphers[0].Name}
	w.write(&model.Site{Head: model.Head{Name: "third"}, SSH: model.SSH{Ciphers: reversed}})
	b := w.as("sa").get("/sites/third").send(url.Values{"title": {"x"}}).says(http.StatusOK, "Saved")
	if got := w.site("third").SSH.Ciphers; !slices.Equal(got, reversed) {
		t.Errorf("%v", got)
	}
	other := []string{reversed[1], reversed[0]}
	b.send(url.Values{"ssh.ciphers": {other[0] + "\r\n" + other[1]}}).says(http.StatusOK, "Saved")
	if got := w.site("third").SSH.Ciphers; !slices.Equal(got, other) {
		t.Errorf("%v", got)
	}
}

func TestWhatAFormHasNoBoxForStaysWhenSomethingElseChanges(t *testing.T) {
	w := furnished(t)
	var all []model.Object
	for i := range mostChoices {
		all = append(all, &model.Site{Head: model.Head{Name: fmt.Sprintf("a%03d", i)}})
	}
	w.write(all...)
	b := w.as("sa").get("/admins/otto").says(http.StatusOK, `value="main" checked`)
	b.send(url.Values{"email": {"otto@example.com"}}).says(http.StatusOK, "Saved")
	if got := w.admin("otto"); !slices.Equal(got.Sites, []string{"main"}) || got.Email != "otto@example.com" {
		t.Errorf("%+v", got)
	}
	// It can be taken away like the others.
	b.send(url.Values{"sites": {"a001"}}).says(http.StatusOK, "Saved")
	if got := w.admin("otto").Sites; !slices.Equal(got, []string{"a001"}) {
		t.Error(got)
	}
}

func TestRightsInAnotherOrderAreNoChangeAndNoConflict(t *testing.T) {
	w := furnished(t)
	vera := w.admin("vera")
	vera.Rights.View = []model.Kind{model.KindVFS, model.KindUser, model.KindSite}
	first := w.as("sa").get("/admins/vera")
	before := w.admin("vera").Rev
	first.send(nil).says(http.StatusOK, "Nothing was changed")
	if got := w.admin("vera").Rev; got != before {
		t.Errorf("revision %d after %d", got, before)
	}
	w.write(vera)
	first.get("/admins/vera").send(url.Values{"email": {"vera@example.com"}}).says(http.StatusOK, "Saved")
	if got := w.admin("vera").Rights.View; len(got) != 3 {
		t.Error(got)
	}
}
