package sites

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.etcd.io/bbolt"

	"ss-setup/runtime/engine"
	"ss-setup/runtime/model"
	"ss-setup/runtime/seal"
	"ss-setup/runtime/sftpd"
	"ss-setup/runtime/store"
	"ss-setup/runtime/vfs"
	"ss-setup/runtime/vfs/quota"
	"ss-setup/runtime/vfs/volume"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

var quiet = slog.New(slog.DiscardHandler)

// unopened is a VFS whose disk does not answer: it is being opened.
func unopened(vs *volumes, root string) *opened {
	vs.mu.Lock()
	defer vs.mu.Unlock()
	return vs.addLocked(volumeConfig{root: root})
}

// TestASweepThatDoesNotEndHoldsNoOtherVFS: whoever changes one of the others is waited for.
func TestASweepThatDoesNotEndHoldsNoOtherVFS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		vs := newVolumes(quiet, time.Now)
		stuck := unopened(vs, "/k")
		var others []*opened
		for _, root := range []string{"/a", "/b", "/x", "/y", "/z"} {
			o := unopened(vs, root)
			o.err = errors.New("not looked at")
			close(o.ready)
			o.release()
			others = append(others, o)
		}
		ctx, cancel := context.WithCancel(t.Context())
		go vs.sweep(ctx, true)
		synctest.Wait()
		for _, o := range others {
			vs.leave(o.config.root)
			synctest.Wait()
			select {
			case <-o.gone:
			default:
				t.Errorf("%s is held", o.config.root)
			}
		}
		cancel()
		synctest.Wait()
		stuck.release()
		must(t, vs.close())
	})
}

// slowDisk keeps a count, when it is told to go on.
type slowDisk chan struct{}

func (slowDisk) Load() (quota.Use, bool, error) { return quota.Use{}, true, nil }

func (s slowDisk) Save(quota.Use, bool) error {
	<-s
	return nil
}

// TestAVFSIsClosedWithoutKeepingOthersWaiting: closing writes to its disk.
func TestAVFSIsClosedWithoutKeepingOthersWaiting(t *testing.T) {
	c := volume.Config{Kind: volume.Disk, Dir: filepath.Join(t.TempDir(), "files"), Log: quiet}
	_, err := volume.Create(c)
	must(t, err)
	v, err := volume.Open(c)
	must(t, err)
	synctest.Test(t, func(t *testing.T) {
		vs := newVolumes(quiet, time.Now)
		disk := make(slowDisk, 1)
		disk <- struct{}{}
		count, err := quota.Open(disk, quota.Limits{}, nil)
		must(t, err)
		must(t, count.Add(1, 1))
		o := unopened(vs, c.Dir)
		o.volume, o.counts[vfs.Root] = v, count
		close(o.ready)
		o.release()
		changed := make(chan struct{})
		go func() {
			vs.leave(c.Dir)
			vs.roots() // as whoever opens another
			close(changed)
		}()
		synctest.Wait()
		select {
		case <-changed:
		default:
			t.Error("all wait for the disk")
		}
		disk <- struct{}{}
		<-o.gone
		must(t, vs.close())
	})
}

// bare is the model of a node that serves nobody yet, made in a bubble.
func bare(t *testing.T, objects ...model.Object) (e *engine.Engine, end func() error) {
	t.Helper()
	dir := t.TempDir()
	s := store.Schema{Product: "ss-server", File: "store.db", Migrations: []store.Migration{{Name: "make room", Apply: func(tx *bbolt.Tx, _ store.Progress) error { return engine.Prepare(tx) }}}}
	_, err := s.Migrate(dir, true, func(int64, int64, string) {})
	must(t, err)
	st, err := s.Open(dir)
	must(t, err)
	e, err = engine.Open(engine.Options{Store: st, Sealer: seal.New(nil), Now: time.Now, Log: quiet})
	must(t, err)
	_, err = e.Write(t.Context(), "superadmin/sa", func(tx *engine.Tx) error {
		for _, o := range objects {
			if err := tx.Put(o); err != nil {
				return err
			}
		}
		return nil
	})
	must(t, err)
	return e, func() error { return errors.Join(e.Close(), st.Close()) }
}

// TestNothingWaitsForASweep: accounts have their times, and ports become free.
func TestNothingWaitsForASweep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		user := &model.User{Head: model.Head{Name: "kim"}, Site: "main"}
		e, end := bare(t, &model.Site{Head: model.Head{Name: "main"}}, user)
		m, err := Start(Options{Engine: e, Log: quiet})
		must(t, err)
		stuck := unopened(m.volumes, "/stuck")
		time.Sleep(sweepEvery + time.Second)
		m.activity.loggedIn(user.Key(), sftpd.Event{Time: time.Now()})
		time.Sleep(3 * retryEvery)
		var did engine.Activity
		must(t, e.Read(func(r *engine.Reader) (err error) {
			did, err = r.Activity(user.Key())
			return err
		}))
		if did.LastLogin.IsZero() {
			t.Error("a log-in is not kept")
		}
		stuck.err = errors.New("given up")
		close(stuck.ready)
		stuck.release()
		must(t, errors.Join(m.Close(), end()))
	})
}

// TestASiteThatCannotBeServedIsNotToldOfEverySecond: it is tried again every second.
func TestASiteThatCannotBeServedIsNotToldOfEverySecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		site := &model.Site{Head: model.Head{Name: "main"}} // without a host key
		e, end := bare(t, site, &model.LDAPProfile{
			Head: model.Head{Name: "ad"}, Site: "main", URLs: []string{"ldap://ldap.example.com"}, BaseDN: "dc=example,dc=com", Filter: "(uid={user})",
		})
		var log bytes.Buffer
		m, err := Start(Options{Engine: e, Log: slog.New(slog.NewTextHandler(&log, nil))})
		must(t, err)
		time.Sleep(time.Minute)
		must(t, errors.Join(m.Close(), end()))
		for _, said := range []string{"readable over the network", "cannot be served"} {
			if n := strings.Count(log.String(), said); n != 1 {
				t.Errorf("said %d times: %s", n, said)
			}
		}
	})
}

// TestAFolderWhoseDiskDoesNotAnswerKeepsNobodyWaitingForLong: a user has others, and a
// change of the configuration waits for the sessions that it gives a folder to.
func TestAFolderWhoseDiskDoesNotAnswerKeepsNobodyWaitingForLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, end := bare(t)
		m, err := Start(Options{Engine: e, Log: quiet})
		must(t, err)
		s := newSite(m, "main")
		stuck := unopened(m.volumes, "/stuck")
		mounted := make(chan []*mount, 1)
		places := []place{{volume: stuck.config}, {volume: stuck.config}}
		go func() { mounted <- s.mount(places, &model.User{Site: "main"}) }()
		select {
		case list := <-mounted:
			for _, got := range list {
				if got.problem == nil {
					t.Error("no problem is told")
				}
				got.close()
			}
		case <-time.After(time.Minute):
			t.Error("it waits for a minute")
		}
		stuck.err = errors.New("given up")
		close(stuck.ready)
		stuck.release()
		synctest.Wait()
		if stuck.users != 0 {
			t.Errorf("%d still have it", stuck.users)
		}
		must(t, errors.Join(m.Close(), end()))
	})
}
