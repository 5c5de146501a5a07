package rest

import (
	"net/http"
	"testing"
	"time"

	"ss-setup/runtime/model"
	"ss-setup/runtime/protector"
)

// guarded is a furnished world behind a Protector that bans at the third offence.
func guarded(t *testing.T) (*world, *protector.Protector) {
	t.Helper()
	w := furnished(t)
	set := protector.Defaults()
	set.Threshold = 3
	p, err := protector.New(protector.Options{Settings: set, Now: w.now})
	if err != nil {
		t.Fatal(err)
	}
	w.api.Protector = p
	return w, p
}

func (w *world) at(from string) *client { return &client{w: w, from: from} }

func TestWhoGuessesPasswordsOrTokensIsBanned(t *testing.T) {
	w, _ := guarded(t)
	super := w.super()
	super.from = "203.0.113.1"
	for what, guess := range map[string]func(c *client) *reply{
		"203.0.113.7": func(c *client) *reply { return c.post("/login", map[string]any{"name": "sa", "password": "wrong"}) },
		"203.0.113.8": func(c *client) *reply { c.token = "ss_nobody_x"; return c.get("/me") },
	} {
		c := w.at(what)
		for range 3 {
			guess(c).problem(unauthenticated)
		}
		guess(c).problem(forbidden)
		mine := *super
		mine.from = what
		mine.get("/me").problem(forbidden)
	}
	super.get("/me").must(http.StatusOK)
	w.pass(protector.Defaults().Ban + time.Minute)
	c := w.at("203.0.113.7")
	c.post("/login", map[string]any{"name": "sa", "password": goodPassword}).must(http.StatusOK)
}

func TestASafeAddressIsRefusedAndNeverBanned(t *testing.T) {
	w, p := guarded(t)
	prefix, err := protector.ParsePrefix("203.0.113.0/24")
	if err != nil {
		t.Fatal(err)
	}
	p.Hold(protector.Entry{List: protector.Safe, Prefix: prefix})
	c := w.at("203.0.113.7")
	for range 6 {
		c.post("/login", map[string]any{"name": "sa", "password": "wrong"}).problem(unauthenticated)
	}
	c.post("/login", map[string]any{"name": "sa", "password": goodPassword}).must(http.StatusOK)
}

func TestNobodyLocksHimselfOut(t *testing.T) {
	w := furnished(t)
	c := w.super()
	c.from = "203.0.113.7"
	entry := func(list model.List, network string) *reply {
		return c.post("/entries", map[string]any{"list": list, "network": network})
	}
	entry(model.ListBlock, "203.0.113.0/24").field("network")
	entry(model.ListBlock, "198.51.100.0/24").must(http.StatusCreated)
	entry(model.ListAllow, "198.51.100.0/24").field("network")
	entry(model.ListAllow, "203.0.113.7").must(http.StatusCreated)
	entry(model.ListAllow, "198.51.100.0/24").must(http.StatusCreated)
	// In a site it is no matter of this interface.
	c.post("/sites/main/entries", map[string]any{"list": model.ListBlock, "network": "203.0.113.7"}).must(http.StatusCreated)
}
