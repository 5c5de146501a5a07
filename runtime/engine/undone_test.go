package engine_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"go.etcd.io/bbolt"

	"ss-setup/runtime/engine"
	"ss-setup/runtime/model"
	"ss-setup/runtime/store"
)

// earlier is a copy of the world's store as it is now.
func (w *world) earlier(t testing.TB) *store.Store {
	t.Helper()
	dir := t.TempDir()
	if err := w.store.View(func(tx *bbolt.Tx) error { return tx.CopyFile(schema().Path(dir), 0o600) }); err != nil {
		t.Fatal(err)
	}
	st, err := schema().OpenReadOnly(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	return st
}

func (w *world) update(t testing.TB, name string, change func(*model.User)) {
	t.Helper()
	u := w.user(t, name)
	change(u)
	w.write(t, func(tx *engine.Tx) error { return tx.Update(u) })
}

func compared(t testing.TB, older engine.Store, w *world) (lines []string) {
	t.Helper()
	err := engine.CompareStores(older, w.store, func(u engine.Undone) error {
		line := string(u.Op) + " " + u.Object
		for _, f := range u.Fields {
			line += fmt.Sprintf(", %s %s -> %s", f.Field, f.Before, f.After)
		}
		if u.At.IsZero() != (u.By == "") {
			t.Errorf("%s: by %q at %s", line, u.By, u.At)
		}
		lines = append(lines, line)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return lines
}

func TestWhatAReturnToAnOlderStoreUndoesIsTold(t *testing.T) {
	w := furnished(t)
	w.write(t, create(user("Otto"), user("Olga")))
	older := w.earlier(t)
	if got := compared(t, older, w); len(got) != 0 {
		t.Errorf("of nothing: %q", got)
	}

	w.update(t, "anna", func(u *model.User) { u.Disabled = true })
	w.update(t, "otto", func(u *model.User) { u.Password.Hash = "$argon2id$v=19$m=19456,t=2,p=1$AAAA$BBBB" })
	w.write(t, func(tx *engine.Tx) error { return tx.Delete(model.UserKey("main", "olga"), w.user(t, "olga").Rev) })
	w.write(t, create(user("Li")))
	w.write(t, create(user("Ewa")))
	w.write(t, func(tx *engine.Tx) error { return tx.Delete(model.UserKey("main", "ewa"), w.user(t, "ewa").Rev) })
	want := []string{
		`update user "anna" of site main, disabled  -> true`,
		`update user "otto" of site main, password.hash  -> "(not shown)"`,
		`delete user "olga" of site main`,
		`create user "li" of site main`,
	}
	got := compared(t, older, w)
	for i := range got {
		if strings.HasPrefix(got[i], `update user "otto"`) { // a password has a time, too
			got[i], _, _ = strings.Cut(got[i], ", password.changed")
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}

	w.update(t, "anna", func(u *model.User) { u.Disabled = false })
	if got := compared(t, older, w); slices.ContainsFunc(got, func(l string) bool { return strings.Contains(l, "anna") }) {
		t.Errorf("what is again as it was is told: %q", got)
	}
}

func TestWhatTheLogHasForgottenIsFoundByLookingAtEveryObject(t *testing.T) {
	w := furnished(t)
	w.write(t, create(user("Otto"), user("Olga")))
	older := w.earlier(t)
	w.update(t, "anna", func(u *model.User) { u.Disabled = true })
	w.write(t, func(tx *engine.Tx) error { return tx.Delete(model.UserKey("main", "olga"), w.user(t, "olga").Rev) })
	w.write(t, create(user("Li")))
	want := compared(t, older, w)

	err := w.store.Update(func(tx *bbolt.Tx) error { return engine.ForgetChanges(tx) })
	if err != nil {
		t.Fatal(err)
	}
	got := compared(t, older, w)
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	stop := errors.New("enough")
	if err := engine.CompareStores(older, w.store, func(engine.Undone) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("who stops it gets %v", err)
	}
}
