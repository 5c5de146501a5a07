package engine_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"ss-setup/runtime/engine"
	"ss-setup/runtime/model"
	"ss-setup/runtime/store"
)

func TestAnObjectIsFoundByItsNameHoweverItIsWritten(t *testing.T) {
	w := furnished(t)
	w.reopen(t)
	for _, name := range []string{"Anna", "anna", "ANNA", "ａnna"} {
		if u := w.user(t, name); u.Name != "Anna" || u.Rev == 0 || u.By != "superadmin/sa" || u.Created.IsZero() {
			t.Errorf("%s is %+v", name, u.Head)
		}
	}
	err := w.refused(t, create(user("ANNA")))
	var exists *engine.ExistsError
	if !errors.As(err, &exists) || err.Error() != `user "anna" of site main exists already; choose another name` {
		t.Errorf("got %v", err)
	}
	w.sound(t)
}

func TestWhoWasSlowerLearnsWhatDiffers(t *testing.T) {
	w := furnished(t)
	mine, theirs := w.user(t, "anna"), w.user(t, "anna")
	theirs.Email = "new@example.com"
	w.write(t, func(tx *engine.Tx) error { return tx.Update(theirs) })
	mine.Description = "mine"
	err := w.refused(t, func(tx *engine.Tx) error { return tx.Update(mine) })
	var c *engine.ConflictError
	if !errors.As(err, &c) || c.Rev != theirs.Rev || c.By != "superadmin/sa" {
		t.Fatalf("got %v", err)
	}
	want := []model.Difference{
		{Field: "description", After: `"mine"`},
		{Field: "email", Before: `"new@example.com"`, After: `"anna@example.com"`},
	}
	if !slices.Equal(c.Differences, want) {
		t.Errorf("differences %v", c.Differences)
	}
	if text, _ := json.Marshal(c); !strings.Contains(string(text), `"object":"user/main/anna","rev":`) {
		t.Errorf("for programs: %s", text)
	}
	if err := w.refused(t, func(tx *engine.Tx) error { return tx.Delete(mine.Key(), mine.Rev) }); !errors.As(err, &c) {
		t.Errorf("delete: %v", err)
	}
	if got := w.user(t, "anna"); got.Email != "new@example.com" || got.Description != "" {
		t.Errorf("kept %+v", got)
	}
}

func TestAnUpdateThatChangesNothingIsNone(t *testing.T) {
	w := furnished(t)
	before := w.Seq()
	u := w.user(t, "anna")
	rev := u.Rev
	if seq := w.write(t, func(tx *engine.Tx) error { return tx.Update(u) }); seq != before || u.Rev != rev || w.Seq() != before {
		t.Errorf("number %d after %d, revision %d", seq, before, u.Rev)
	}
}

func TestWhatAnObjectRefersToMustBeThere(t *testing.T) {
	w := furnished(t)
	u := user("otto")
	u.Home.VFS, u.Groups = "Nowhere", []string{"Staff", "nobody"}
	err := w.refused(t, create(u))
	var invalid *model.InvalidError
	if !errors.As(err, &invalid) || len(invalid.Errors) != 2 || invalid.Errors[0].Field != "groups[1]" || invalid.Errors[1].Field != "home.vfs" {
		t.Fatalf("got %v", err)
	}
	if want := `there is no VFS "nowhere" of site main`; invalid.Errors[1].Problem != want || invalid.Errors[1].Cure == "" {
		t.Errorf("got %+v", invalid.Errors[1])
	}
	// In one transaction the order does not matter.
	w.write(t, create(u, vfs("Nowhere"), group("nobody")))
	w.sound(t)
}

func TestWhatOthersReferToStays(t *testing.T) {
	w := furnished(t)
	files := model.VFSKey("main", "files")
	err := w.refused(t, func(tx *engine.Tx) error { return tx.Delete(files, 0) })
	var used *engine.ReferencedError
	if !errors.As(err, &used) || used.Count != 1 || used.First[0] != model.UserKey("main", "anna") {
		t.Fatalf("got %v", err)
	}
	if err := w.refused(t, func(tx *engine.Tx) error { return tx.Delete(model.SiteKey("main"), 0) }); !errors.As(err, &used) || used.Count != 3 {
		t.Errorf("the site: %v", err)
	}
	// A reference made in the same transaction holds as well.
	otto := user("otto")
	otto.Home.VFS = "files"
	err = w.refused(t, func(tx *engine.Tx) error {
		return errors.Join(tx.Create(otto), tx.Delete(model.UserKey("main", "anna"), 0), tx.Delete(files, 0))
	})
	if !errors.As(err, new(*model.InvalidError)) {
		t.Errorf("got %v", err)
	}
	w.reopen(t)
	if err := w.refused(t, func(tx *engine.Tx) error { return tx.Delete(files, 0) }); !errors.As(err, &used) {
		t.Errorf("after a restart: %v", err)
	}
	w.write(t, func(tx *engine.Tx) error {
		return errors.Join(tx.Delete(files, 0), tx.Delete(model.UserKey("main", "anna"), 0))
	})
	w.sound(t)
}

func TestTwoBindingsCannotHaveOnePlace(t *testing.T) {
	w := furnished(t)
	place := func(site, name, address string) *model.Binding {
		return &model.Binding{Head: model.Head{Name: name}, Site: site, Node: "one", Address: address, Port: 22}
	}
	w.write(t, create(&model.Node{Head: model.Head{Name: "one"}}, site("other"), place("main", "sftp", "192.0.2.1"), place("other", "sftp", "192.0.2.2")))
	err := w.refused(t, create(place("other", "all", "")))
	var invalid *model.InvalidError
	if !errors.As(err, &invalid) || invalid.Key.ID != "all" || invalid.Errors[0].Field != "port" {
		t.Errorf("got %v", err)
	}
	off := place("other", "all", "")
	off.Disabled = true
	w.write(t, create(off))
	off.Disabled = false
	if err := w.refused(t, func(tx *engine.Tx) error { return tx.Update(off) }); !errors.As(err, &invalid) {
		t.Errorf("switched on: %v", err)
	}
}

func TestTheLastSuperAdminStays(t *testing.T) {
	w := newWorld(t)
	sa, other := superAdmin("sa"), superAdmin("other")
	w.write(t, create(sa, other))
	w.write(t, func(tx *engine.Tx) error { return tx.Delete(other.Key(), 0) })
	sa.Disabled = true
	for name, fn := range map[string]func(*engine.Tx) error{
		"disabled": func(tx *engine.Tx) error { return tx.Update(sa) },
		"deleted":  func(tx *engine.Tx) error { return tx.Delete(sa.Key(), 0) },
	} {
		if err := w.refused(t, fn); !errors.As(err, new(*model.InvalidError)) {
			t.Errorf("%s: %v", name, err)
		}
	}
	third := superAdmin("third")
	third.Password.Hash = "$argon2id$any"
	w.write(t, func(tx *engine.Tx) error { return errors.Join(tx.Delete(sa.Key(), 0), tx.Create(third)) })
	// One who cannot log in rules nothing.
	powerless := superAdmin("powerless")
	w.write(t, create(powerless))
	for field, spoil := range map[string]func(*model.SuperAdmin){
		"password":    func(s *model.SuperAdmin) { s.Password = model.Password{} },
		"disableFrom": func(s *model.SuperAdmin) { s.DisableFrom = time.Unix(1, 0) },
		"disabled":    func(s *model.SuperAdmin) { s.Disabled = true },
	} {
		spoiled := model.Clone(third)
		spoil(spoiled)
		var wrong *model.InvalidError
		if err := w.refused(t, func(tx *engine.Tx) error { return tx.Update(spoiled) }); !errors.As(err, &wrong) || wrong.Errors[0].Field != field {
			t.Errorf("%s: %v", field, err)
		}
	}
}

func TestATransactionThatFailsChangesNothing(t *testing.T) {
	w := furnished(t)
	before := w.Seq()
	errMine := errors.New("mine")
	if err := w.refused(t, func(tx *engine.Tx) error { return errors.Join(tx.Create(user("otto")), errMine) }); !errors.Is(err, errMine) {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	_, err := w.Write(ctx, "x", func(tx *engine.Tx) error { cancel(); return tx.Create(user("otto")) })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	func() {
		defer func() { _ = recover() }()
		_, _ = w.Write(context.Background(), "x", func(tx *engine.Tx) error { _ = tx.Create(user("otto")); panic("fault") })
	}()
	if ids, _ := w.ids(t, engine.Query{Kind: model.KindUser, Site: "main"}); !slices.Equal(ids, []string{"anna"}) || w.Seq() != before {
		t.Errorf("users %v, number %d after %d", ids, w.Seq(), before)
	}
	w.write(t, create(user("otto")))
	w.sound(t)
}

func TestASecretLiesInTheStoreOnlySealed(t *testing.T) {
	w := furnished(t)
	const secret = "JBSWY3DPEHPK3PXPJBSWY3DP"
	u := w.user(t, "anna")
	u.TOTP.Secret.Clear = secret
	u.Password.Hash = "$argon2id$x"
	w.write(t, func(tx *engine.Tx) error { return tx.Update(u) })
	u = w.user(t, "anna")
	if u.TOTP.Secret.Clear != "" || u.TOTP.Secret.Sealed == "" {
		t.Fatalf("kept as %#v", u.TOTP.Secret)
	}
	if got, err := w.Reveal(u.Key(), "totp.secret", u.TOTP.Secret); err != nil || got != secret {
		t.Errorf("%q, %v", got, err)
	}
	// A form shows an object without its secrets and hands it back.
	model.Redact(u)
	u.Description = "changed in a form"
	w.write(t, func(tx *engine.Tx) error { return tx.Update(u) })
	u = w.user(t, "anna")
	if got, err := w.Reveal(u.Key(), "totp.secret", u.TOTP.Secret); err != nil || got != secret || u.Password.Hash != "$argon2id$x" || u.Password.Set {
		t.Errorf("after the form: %q, %v, %#v", got, err, u.Password.Hash)
	}
	// Nobody gets at a secret by moving it to an object of his own.
	thief := user("thief")
	thief.TOTP.Secret.Sealed = u.TOTP.Secret.Sealed
	if err := w.refused(t, create(thief)); !errors.As(err, new(*model.InvalidError)) {
		t.Errorf("moved: %v", err)
	}
	// In its place it may come back, as from a backup.
	again := model.Clone(u)
	w.write(t, func(tx *engine.Tx) error { return tx.Delete(u.Key(), 0) })
	w.write(t, func(tx *engine.Tx) error { return tx.Put(again) })
	u = w.user(t, "anna")
	u.TOTP.Secret = model.Secret{}
	w.write(t, func(tx *engine.Tx) error { return tx.Update(u) })
	if u = w.user(t, "anna"); u.TOTP.On() {
		t.Error("a secret that was taken away is there")
	}
	w.sound(t)
}

func TestListenersHearOfEveryCommitInOrder(t *testing.T) {
	w := furnished(t)
	var mu sync.Mutex
	var heard []uint64
	var last engine.Change
	stop := w.Listen(func(_ context.Context, changes []engine.Change) {
		mu.Lock()
		defer mu.Unlock()
		for _, c := range changes {
			heard = append(heard, c.Seq)
		}
		last = changes[len(changes)-1]
	})
	var others sync.WaitGroup
	for i := range 8 {
		others.Go(func() {
			for j := range 5 {
				if _, err := w.Write(context.Background(), "admin/ada", create(user(fmt.Sprintf("u%d-%d", i, j)), group(fmt.Sprintf("g%d-%d", i, j)))); err != nil {
					t.Error(err)
				}
			}
		})
	}
	others.Wait()
	u := w.user(t, "anna")
	u.Disabled = true
	w.write(t, func(tx *engine.Tx) error { return tx.Update(u) })
	if !slices.IsSorted(heard) || len(heard) != 81 {
		t.Errorf("%d changes, in order: %v", len(heard), slices.IsSorted(heard))
	}
	if last.Op != engine.OpUpdate || last.Old.(*model.User).Disabled || !last.New.(*model.User).Disabled || last.By != "superadmin/sa" {
		t.Errorf("the last is %+v", last)
	}
	stop()
	w.write(t, func(tx *engine.Tx) error { return tx.Delete(u.Key(), u.Rev) })
	if len(heard) != 81 {
		t.Error("heard after the end")
	}
}

func TestAListenerMayWriteAndMayFail(t *testing.T) {
	w := furnished(t)
	w.Listen(func(context.Context, []engine.Change) { panic("fault") })
	wrote := make(chan error, 1)
	w.Listen(func(ctx context.Context, changes []engine.Change) {
		if changes[0].By == "listener" {
			return
		}
		_, err := w.Write(ctx, "listener", create(user("otto")))
		wrote <- err
	})
	w.write(t, create(group("more")))
	if err := <-wrote; err != nil {
		t.Error(err)
	}
	w.user(t, "otto")
}

func TestWhoWasAwayLearnsWhatChanged(t *testing.T) {
	w := furnished(t)
	since := w.Seq()
	u := w.user(t, "anna")
	for i := range 3 {
		u.Description = fmt.Sprint(i)
		w.write(t, func(tx *engine.Tx) error { return tx.Update(u) })
	}
	w.write(t, create(user("otto")))
	w.write(t, func(tx *engine.Tx) error { return tx.Delete(model.UserKey("main", "otto"), 0) })
	w.reopen(t)
	var got []string
	w.read(t, func(r *engine.Reader) error {
		for c, err := range r.Changes(since) {
			if err != nil {
				return err
			}
			got = append(got, fmt.Sprintf("%d %s %s %s", c.Seq-since, c.Op, c.Key, c.By))
		}
		return nil
	})
	if want := []string{"3 update user/main/anna superadmin/sa", "5 delete user/main/otto superadmin/sa"}; !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
	w.sound(t)
}

func TestASnapshotShowsOneMoment(t *testing.T) {
	w := furnished(t)
	w.read(t, func(r *engine.Reader) error {
		done := make(chan struct{})
		go func() {
			defer close(done)
			w.write(t, create(user("otto")))
		}()
		<-done
		if r.Has(model.UserKey("main", "otto")) || r.Count(model.KindUser, "main") != 1 {
			t.Error("a later write shows")
		}
		if page := r.Find(engine.Query{Kind: model.KindUser, Site: "main"}); len(page.Keys) != 1 {
			t.Errorf("the index shows %v", page.Keys)
		}
		return nil
	})
	w.user(t, "otto")
}

func TestSearchesFindPartsOfNamesAddressesAndDescriptions(t *testing.T) {
	w := furnished(t)
	w.write(t, func(tx *engine.Tx) error {
		for i := range 2000 {
			if err := tx.Create(sample(i)); err != nil {
				return err
			}
		}
		return nil
	})
	w.write(t, create(site("other")))
	users := engine.Query{Kind: model.KindUser, Site: "main", Limit: 3000}
	for name, c := range map[string]struct {
		set  func(*engine.Query)
		want int
	}{
		"all":                    {func(*engine.Query) {}, 2001},
		"a part of a name":       {func(q *engine.Query) { q.Text = "ÜRGEN" }, 200},
		"decomposed":             {func(q *engine.Query) { q.Text = "ju\u0308rgen" }, 200},
		"an address":             {func(q *engine.Query) { q.Text = "anna@EXAMPLE.com" }, 1},
		"a description":          {func(q *engine.Query) { q.Text = "department 39, " }, 50},
		"nothing":                {func(q *engine.Query) { q.Text = "zzz" }, 0},
		"nothing across fields":  {func(q *engine.Query) { q.Text = "anna\x1fanna" }, 0},
		"how a name begins":      {func(q *engine.Query) { q.Prefix = "Otto.M" }, 18},
		"begins and has":         {func(q *engine.Query) { q.Prefix, q.Text = "otto.", "department 1," }, 50},
		"the users of a VFS":     {func(q *engine.Query) { q.RefersTo = model.VFSKey("main", "files") }, 2001},
		"the members of a group": {func(q *engine.Query) { q.RefersTo = model.GroupKey("main", "staff") }, 2000},
		"members of no group":    {func(q *engine.Query) { q.RefersTo = model.GroupKey("main", "none") }, 0},
		"users of another site":  {func(q *engine.Query) { q.Site = "other" }, 0},
		"groups":                 {func(q *engine.Query) { q.Kind = model.KindGroup }, 1},
	} {
		t.Run(name, func(t *testing.T) {
			q := users
			c.set(&q)
			ids, page := w.ids(t, q)
			if len(ids) != c.want || page.More || !slices.IsSorted(ids) {
				t.Errorf("%d found, want %d; more: %v", len(ids), c.want, page.More)
			}
			q.Total, q.Limit = true, 7
			if _, page = w.ids(t, q); page.Total != c.want || page.More != (c.want > 7) {
				t.Errorf("total %d, want %d", page.Total, c.want)
			}
		})
	}
}

func TestPagesJoinToTheWholeList(t *testing.T) {
	w := furnished(t)
	w.write(t, func(tx *engine.Tx) error {
		for i := range 1500 {
			if err := tx.Create(sample(i)); err != nil {
				return err
			}
		}
		return nil
	})
	for _, c := range []engine.Query{
		{},
		{Text: "an"},
		{Total: true},
		{Prefix: "a"},
		{Descending: true},
		{Text: "an", Descending: true},
		{Total: true, Descending: true},
		{Prefix: "a", Descending: true},
	} {
		q := c
		q.Kind, q.Site, q.Limit = model.KindUser, "main", 5000
		whole, all := w.ids(t, q)
		if c.Descending {
			q.Descending = false
			upwards, _ := w.ids(t, q)
			if slices.Reverse(upwards); !slices.Equal(whole, upwards) {
				t.Errorf("%+v is not the other order turned around", c)
			}
		}
		q.Descending, q.Limit = c.Descending, 37
		var joined []string
		for {
			ids, page := w.ids(t, q)
			joined = append(joined, ids...)
			if page.Total != all.Total {
				t.Errorf("%+v: a total of %d, and of %d at once", c, page.Total, all.Total)
			}
			if !page.More {
				break
			}
			q.After = ids[len(ids)-1]
		}
		if !slices.Equal(whole, joined) || len(whole) == 0 {
			t.Errorf("%+v: %d in pages, %d at once", c, len(joined), len(whole))
		}
	}
}

func TestAnIndexThatDoesNotFitIsMadeAnew(t *testing.T) {
	for name, harm := range map[string]func(tx *bbolt.Tx) error{
		"an entry is missing": func(tx *bbolt.Tx) error {
			return tx.Bucket([]byte("index")).Bucket([]byte("user")).Delete([]byte("main\x00anna"))
		},
		"it is of another version": func(tx *bbolt.Tx) error {
			return tx.Bucket([]byte("engine")).Put([]byte("index"), make([]byte, 8))
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := furnished(t)
			if err := w.store.Update(harm); err != nil {
				t.Fatal(err)
			}
			w.reopen(t)
			if ids, _ := w.ids(t, engine.Query{Kind: model.KindUser, Site: "main", Text: "anna"}); len(ids) != 1 {
				t.Errorf("found %v", ids)
			}
			w.sound(t)
		})
	}
}

func TestVerifyTellsDamageFromWhatCanBeMadeAnew(t *testing.T) {
	objects := func(tx *bbolt.Tx) *bbolt.Bucket { return tx.Bucket([]byte("objects")).Bucket([]byte("user")) }
	row := []byte("main\x00anna")
	for name, c := range map[string]struct {
		harm func(tx *bbolt.Tx) error
		want error
	}{
		"a bit tipped over": {func(tx *bbolt.Tx) error {
			v := slices.Clone(objects(tx).Get(row))
			v[len(v)/2] ^= 4
			return objects(tx).Put(row, v)
		}, store.ErrCorrupt},
		"a record cut off": {func(tx *bbolt.Tx) error { return objects(tx).Put(row, []byte{1}) }, store.ErrCorrupt},
		"a record moved": {func(tx *bbolt.Tx) error {
			return objects(tx).Put([]byte("main\x00otto"), slices.Clone(objects(tx).Get(row)))
		}, store.ErrCorrupt},
		"an object lost": {func(tx *bbolt.Tx) error { return objects(tx).Delete(row) }, store.ErrCorrupt},
		"a change lost": {func(tx *bbolt.Tx) error {
			k, _ := tx.Bucket([]byte("changes")).Cursor().Last()
			return tx.Bucket([]byte("changes")).Delete(k)
		}, store.ErrCorrupt},
		"a bucket lost": {func(tx *bbolt.Tx) error { return tx.DeleteBucket([]byte("changes")) }, store.ErrCorrupt},
		"the index changed": {func(tx *bbolt.Tx) error {
			return tx.Bucket([]byte("index")).Bucket([]byte("user")).Put(row, []byte("xxxx"))
		}, store.ErrInconsistent},
		"a count wrong": {func(tx *bbolt.Tx) error {
			return tx.Bucket([]byte("engine")).Put([]byte("count/user"), make([]byte, 8))
		}, store.ErrInconsistent},
	} {
		t.Run(name, func(t *testing.T) {
			w := furnished(t)
			if err := w.store.Update(c.harm); err != nil {
				t.Fatal(err)
			}
			err := w.store.View(func(tx *bbolt.Tx) error {
				_, err := engine.Verify(tx)
				return err
			})
			if !errors.Is(err, c.want) {
				t.Fatalf("got %v, want %v", err, c.want)
			}
			if c.want == store.ErrInconsistent {
				if err := w.store.Update(engine.Rebuild); err != nil {
					t.Fatal(err)
				}
				w.sound(t)
			}
		})
	}
}

func TestActivityIsNoChange(t *testing.T) {
	w := furnished(t)
	key, before := model.UserKey("main", "anna"), w.Seq()
	err := w.NoteActivity(map[model.Key]func(*engine.Activity){
		key:                             func(a *engine.Activity) { a.LastLogin, a.Failures = start, 3 },
		model.UserKey("main", "nobody"): func(*engine.Activity) { t.Error("activity of nobody") },
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		n    int64
		want bool
	}{{5, true}, {5, false}, {4, false}, {6, true}} {
		if taken, err := w.TakeStep(key, step.n); err != nil || taken != step.want {
			t.Errorf("step %d: %v, %v", step.n, taken, err)
		}
	}
	w.reopen(t)
	w.read(t, func(r *engine.Reader) error {
		a, err := r.Activity(key)
		if !a.LastLogin.Equal(start) || a.Failures != 3 || a.Step != 6 {
			t.Errorf("got %+v", a)
		}
		return err
	})
	if w.Seq() != before {
		t.Error("activity was numbered")
	}
	w.write(t, func(tx *engine.Tx) error { return tx.Delete(key, 0) })
	w.write(t, create(user("anna")))
	w.read(t, func(r *engine.Reader) error {
		a, err := r.Activity(key)
		if a != (engine.Activity{}) {
			t.Errorf("a new account has the activity of the old: %+v", a)
		}
		return err
	})
	w.sound(t)
}

func TestWritingEndsWithTheEngine(t *testing.T) {
	w := furnished(t)
	if err := w.Engine.Close(); err != nil {
		t.Fatal(err)
	}
	w.refused(t, create(user("otto")))
	w.open2(t)
}

// open2 makes the world closable again.
func (w *world) open2(t testing.TB) {
	t.Helper()
	if err := w.store.Close(); err != nil {
		t.Fatal(err)
	}
	w.open(t)
}

func TestObjectsOfAllSitesStreamInOrder(t *testing.T) {
	w := furnished(t)
	other := user("aaa")
	other.Site = "other"
	w.write(t, create(site("other"), other, user("zoe")))
	w.read(t, func(r *engine.Reader) error {
		var all, one []string
		for u, err := range engine.Users.All(r) {
			if err != nil {
				return err
			}
			all = append(all, u.Key().String())
		}
		for u, err := range engine.Users.InSite(r, "main") {
			if err != nil {
				return err
			}
			one = append(one, u.Key().ID)
		}
		if !slices.Equal(all, []string{"user/main/anna", "user/main/zoe", "user/other/aaa"}) || !slices.Equal(one, []string{"anna", "zoe"}) {
			t.Errorf("got %v and %v", all, one)
		}
		s, err := engine.CurrentSettings(r)
		if s == nil || s.Name != model.SettingsName {
			t.Errorf("settings %+v", s)
		}
		_, missing := engine.Users.Get(r, "main", "none")
		if !errors.As(missing, new(*engine.NotFoundError)) {
			t.Errorf("got %v", missing)
		}
		return err
	})
}

func TestTimesComeBackAsTheyWere(t *testing.T) {
	w := furnished(t)
	u := w.user(t, "anna")
	u.DisableFrom = time.Date(2030, 1, 2, 3, 4, 5, 6_000_000, time.UTC)
	w.write(t, func(tx *engine.Tx) error { return tx.Update(u) })
	if got := w.user(t, "anna"); !got.DisableFrom.Equal(u.DisableFrom) || !got.Modified.Equal(u.Modified) {
		t.Errorf("got %v", got.DisableFrom)
	}
}

// TestAStoreCanGoOnWithTheNumbersOfAnother: whoever knows the changes of a store that a
// backup took the place of must not take the new store's for their continuation.
func TestAStoreCanGoOnWithTheNumbersOfAnother(t *testing.T) {
	w := newWorld(t)
	begin := func() error {
		return w.store.Update(func(tx *bbolt.Tx) error { return engine.BeginAfter(tx, 1000) })
	}
	if err := begin(); err != nil {
		t.Fatal(err)
	}
	w.reopen(t)
	w.write(t, func(tx *engine.Tx) error { return tx.Create(site("main")) })
	w.read(t, func(r *engine.Reader) error {
		for _, err := range r.Changes(1000) {
			if !errors.Is(err, engine.ErrTooOld) {
				t.Errorf("since 1000: %v", err)
			}
		}
		n := 0
		for c, err := range r.Changes(1001) {
			if n++; err != nil || c.Seq != 1002 {
				t.Errorf("since 1001: %+v, %v", c, err)
			}
		}
		if n != 1 {
			t.Errorf("%d changes since 1001", n)
		}
		return nil
	})
	if err := begin(); err == nil {
		t.Error("numbers were given twice")
	}
	w.close(t)
	if faults, err := schema().Check(w.dir); err != nil || len(faults) > 0 {
		t.Errorf("%q, %v", faults, err)
	}
	w.open(t)
}

func TestARestoredObjectKeepsWhoChangedItAndWhen(t *testing.T) {
	w := newWorld(t)
	s := site("main")
	s.Created, s.Modified, s.By, s.Rev = start.AddDate(-1, 0, 0), start.AddDate(0, -1, 0), "superadmin/ada", 77
	w.write(t, func(tx *engine.Tx) error { return tx.Restore(s) })
	w.read(t, func(r *engine.Reader) error {
		got, err := engine.Sites.Get(r, "", "main")
		if err != nil {
			return err
		}
		if got.By != "superadmin/ada" || !got.Modified.Equal(start.AddDate(0, -1, 0)) || !got.Created.Equal(start.AddDate(-1, 0, 0)) || got.Rev != 1 {
			t.Errorf("%+v", got.Head)
		}
		return nil
	})
	if _, err := w.Write(t.Context(), "x", func(tx *engine.Tx) error { return tx.Restore(s) }); !errors.As(err, new(*engine.ExistsError)) {
		t.Errorf("restored twice: %v", err)
	}
}
