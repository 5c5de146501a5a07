package main

import (
	"strings"
	"testing"
)

func TestOnlyANewerReleaseIsToldOf(t *testing.T) {
	const found = `{"schema":1,"version":"7.1.0","released":"2026-11-20T00:00:00Z","checked":"2026-11-22T00:00:00Z","notes":"what is new"}`
	if u := newerThan("7.0.9", []byte(found)); u == nil || u.Version != "7.1.0" || u.Notes != "what is new" || u.Released.Day() != 20 {
		t.Errorf("%+v", u)
	}
	for running, text := range map[string]string{"7.1.0": found, "8.0.0": found, "7.0.0": "{", "7.0.1": `{"schema":2,"version":"7.1.0"}`, "7.0.2": `{"schema":1,"version":"<b>"}`} {
		if u := newerThan(running, []byte(text)); u != nil {
			t.Errorf("%s is told of %+v", running, u)
		}
	}
	if u := newerThan("7.0.0", []byte(`{"schema":1,"version":"7.1.0","notes":"`+strings.Repeat("ä", maxNotes)+`"}`)); u == nil || len(u.Notes) > maxNotes+8 {
		t.Error("the notes have no bound")
	}
}

func FuzzNewerThan(f *testing.F) {
	f.Add([]byte(`{"schema":1,"version":"7.1.0","notes":"x"}`))
	f.Add([]byte(`{"schema":1,"version":"7"}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		if u := newerThan("7.0.0", text); u != nil && (u.Version == "" || strings.ContainsAny(u.Version, "<>\" ")) {
			t.Errorf("%+v", u)
		}
	})
}
