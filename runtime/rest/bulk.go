package rest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"ss-setup/runtime/auth"
	"ss-setup/runtime/engine"
	"ss-setup/runtime/model"
)

// UsersChange is what is done to many users at once. Fields that are not set leave what is
// there.
type UsersChange struct {
	Disabled *bool
	// Reason is why they are disabled, for people.
	Reason string
	// Group takes the place of all groups that they are in.
	Group string
	// MustChange lets those who have a password in only to choose another.
	MustChange bool
	Delete     bool
}

// ChangeUsers does the same to users of a site, to all of them or to none, and tells how many
// it changed. Who is not there any more, has no password to change or is as he should be already
// is left out.
func (v *Visitor) ChangeUsers(ctx context.Context, site string, names []string, change UsersChange) (n int, err error) {
	return perform(v.api, v.caller, "change-users", false, func() (int, error) {
		if !v.caller.mayEdit(model.Key{Kind: model.KindUser, Site: site}) {
			return 0, notAllowed(v.caller, "change", model.KindUser, site)
		}
		n := 0
		_, err := v.api.Engine.Write(ctx, v.caller.name(), func(tx *engine.Tx) error {
			n = 0
			for _, name := range names {
				changed, err := change.do(tx, model.UserKey(site, name))
				if gone := (*engine.NotFoundError)(nil); errors.As(err, &gone) && gone.Key.Kind == model.KindUser {
					continue
				}
				if err != nil {
					return err
				}
				if changed {
					n++
				}
			}
			return nil
		})
		return n, err
	})
}

func (u UsersChange) do(tx *engine.Tx, key model.Key) (changed bool, err error) {
	if u.Delete {
		return true, tx.Delete(key, 0)
	}
	o, err := tx.Get(key)
	if err != nil {
		return false, err
	}
	user := o.(*model.User)
	was := model.Clone(user)
	if u.Disabled != nil {
		user.Disabled, user.Reason = *u.Disabled, u.Reason
	}
	if u.Group != "" {
		user.Groups = []string{u.Group}
	}
	if u.MustChange && user.Password.Hash != "" {
		user.Password.MustChange = true
	}
	if reflect.DeepEqual(user, was) {
		return false, nil
	}
	return true, tx.Update(user)
}

// UserErrors are what is wrong with users that were to be made, by their place in the list.
type UserErrors map[int][]model.FieldError

// CheckUsers tells what CreateUsers would refuse, and makes none.
func (v *Visitor) CheckUsers(site string, forms []any) (UserErrors, error) {
	return perform(v.api, v.caller, "create-users", false, func() (UserErrors, error) {
		_, wrong, err := v.api.newUsers(v.caller, site, forms)
		return wrong, err
	})
}

// CreateUsers makes users of their JSON form, all of them or none. It takes its time, as
// passwords become hashes: ready is told how many users are prepared, one call at a time.
func (v *Visitor) CreateUsers(ctx context.Context, site string, forms []any, ready func(n int)) (UserErrors, error) {
	return perform(v.api, v.caller, "create-users", false, func() (UserErrors, error) {
		writes, wrong, err := v.api.newUsers(v.caller, site, forms)
		if err != nil || len(wrong) > 0 {
			return wrong, err
		}
		if wrong, err = prepareAll(ctx, writes, ready); err != nil || len(wrong) > 0 {
			return wrong, err
		}
		_, err = v.api.Engine.Write(ctx, v.caller.name(), func(tx *engine.Tx) error {
			for _, w := range writes {
				if err := tx.Create(w.new); err != nil {
					return err
				}
			}
			return nil
		})
		return nil, err
	})
}

// busyPause is how long an import steps back when log-ins have filled the places at the
// passwords.
const busyPause = 100 * time.Millisecond

// prepareAll prepares writes, as many at once as there are processors. What is wrong with one
// is told with its place.
func prepareAll(ctx context.Context, writes []*write, ready func(n int)) (UserErrors, error) {
	var (
		mu      sync.Mutex
		workers sync.WaitGroup
		next    atomic.Int64
		done    int
		failed  error
		wrong   = UserErrors{}
	)
	one := func(n int) {
		err := prepareIn(ctx, writes[n])
		mu.Lock()
		defer mu.Unlock()
		var p *Problem
		switch {
		case err == nil:
			done++
			ready(done)
		case errors.As(err, &p) && len(p.Errors) > 0:
			wrong[n] = p.Errors
		case failed == nil:
			failed = err
		}
	}
	stopped := func() bool {
		mu.Lock()
		defer mu.Unlock()
		return failed != nil
	}
	for range min(runtime.GOMAXPROCS(0), len(writes)) {
		workers.Go(func() {
			for n := int(next.Add(1)) - 1; n < len(writes) && !stopped(); n = int(next.Add(1)) - 1 {
				one(n)
			}
		})
	}
	workers.Wait()
	return wrong, failed
}

func prepareIn(ctx context.Context, w *write) error {
	w.ctx = ctx
	for {
		err := w.prepare()
		if !errors.Is(err, auth.ErrBusy) || ctx.Err() != nil {
			return err
		}
		select {
		case <-ctx.Done():
		case <-time.After(busyPause):
		}
	}
}

// newUsers reads users that are to be made, and tells what is wrong with each.
func (a *API) newUsers(c *caller, site string, forms []any) (writes []*write, wrong UserErrors, err error) {
	if !c.mayEdit(model.Key{Kind: model.KindUser, Site: site}) {
		return nil, nil, notAllowed(c, "make", model.KindUser, site)
	}
	if err := a.siteThere(site); err != nil {
		return nil, nil, err
	}
	wrong = UserErrors{}
	first := map[model.Key]int{}
	for n, form := range forms {
		w, err := a.newUser(c, site, form)
		if err == nil {
			err = w.nothingToChange()
		}
		if err == nil {
			err = w.valid()
		}
		if err == nil {
			err = w.checkPasswords()
		}
		if err != nil {
			var p *Problem
			if !errors.As(problemOf(c, err, a.Log), &p) || len(p.Errors) == 0 {
				return nil, nil, err
			}
			wrong[n] = p.Errors
			continue
		}
		w.new.Normalize()
		key := w.new.Key()
		if before, ok := first[key]; ok {
			wrong[n] = append(wrong[n], model.FieldError{Field: "name", Problem: fmt.Sprintf("it is in the file before, as user %d", before+1), Cure: "take one away"})
		}
		first[key] = n
		writes = append(writes, w)
	}
	return writes, wrong, a.Engine.Read(func(r *engine.Reader) error {
		for _, w := range writes {
			wrong.meet(r, first[w.new.Key()], w.new)
		}
		return nil
	})
}

func (a *API) newUser(c *caller, site string, form any) (*write, error) {
	raw, err := json.Marshal(form)
	if err != nil {
		return nil, err
	}
	o, err := a.decodeObject(model.KindUser, raw)
	if err != nil {
		return nil, err
	}
	*o.Header() = model.Head{Name: o.Header().Name}
	setSite(o, site)
	return &write{api: a, ctx: context.Background(), caller: c, new: o}, nil
}

// meet compares a new user with what is there.
func (e UserErrors) meet(r *engine.Reader, n int, o model.Object) {
	add := func(field, problem, cure string) {
		e[n] = append(e[n], model.FieldError{Field: field, Problem: problem, Cure: cure})
	}
	if r.Has(o.Key()) {
		add("name", "there is a user of this name", "choose another name, or take the line away")
	}
	for _, ref := range o.References() {
		if !r.Has(ref.To) {
			add(ref.Field, "there is no "+model.Describe(ref.To), "make it first, or choose another")
		}
	}
}
