package main

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"os"
	"regexp"
	"strings"
	"testing"

	"ss-setup/runtime/engine"
	"ss-setup/runtime/model"
)

func TestWhatWasChangedSinceAnOlderGenerationIsToldInALineAnObject(t *testing.T) {
	older, newer := t.TempDir(), t.TempDir()
	if _, err := schema().Migrate(older, true, func(int64, int64, string) {}); err != nil {
		t.Fatal(err)
	}
	if err := copyFile(schema().Path(older), schema().Path(newer)); err != nil {
		t.Fatal(err)
	}
	st, err := schema().Open(newer)
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	e, _, err := openObjects(st, t.TempDir(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	_, err = e.Write(context.Background(), "superadmin/sa", func(tx *engine.Tx) error {
		if err := tx.Create(&model.Site{Head: model.Head{Name: "main"}}); err != nil {
			return err
		}
		return tx.Create(&model.Group{Head: model.Head{Name: "Staff"}, Site: "main"})
	})
	if err != nil {
		t.Fatal(err)
	}

	said := func(asJSON bool) string {
		var lines, text bytes.Buffer
		if err := writeChanges(&lines, older, st); err != nil {
			t.Fatal(err)
		}
		if err := printChanges(&text, &lines, asJSON); err != nil {
			t.Fatal(err)
		}
		return text.String()
	}
	want := regexp.MustCompile(`^site "main" was created by superadmin/sa on \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC\ngroup "staff" of site main was created by superadmin/sa on .* UTC\n$`)
	if got := said(false); !want.MatchString(got) {
		t.Errorf("says %s", got)
	}
	if got := said(true); strings.Count(got, "\n") != 2 || !strings.HasPrefix(got, `{"key":"site/main","object":"site \"main\"","op":"create","by":"superadmin/sa","at":"`) {
		t.Errorf("says %s", got)
	}

	if err := os.WriteFile(schema().Path(older), []byte("This was a store once."), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := writeChanges(io.Discard, older, st); err == nil || !strings.Contains(err.Error(), "older generation's store") {
		t.Errorf("of a damaged one: %v", err)
	}
}

func TestAChangeIsASentence(t *testing.T) {
	u := engine.Undone{Object: `user "anna" of site main`, Op: engine.OpUpdate, Fields: []model.Difference{
		{Field: "description", After: `"` + strings.Repeat("x", 60) + `"`}, {Field: "disabled", After: "true"}, {Field: "email", Before: `"a@example.com"`},
	}}
	want := `user "anna" of site main was changed: description "` + strings.Repeat("x", 39) + `…, disabled true, no email`
	if got := sentence(u); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	for range 5 {
		u.Fields = append(u.Fields, u.Fields[1])
	}
	if got := sentence(u); !strings.HasSuffix(got, ", and 2 more") {
		t.Errorf("says %s", got)
	}
}
