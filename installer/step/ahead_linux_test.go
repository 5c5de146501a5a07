package step

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"ss-setup/installer/machine"
)

// hookedPrograms calls run in place of a program.
type hookedPrograms struct {
	run  func(dir string) error
	dirs []string
}

func (p *hookedPrograms) Run(_ context.Context, c Command) error {
	dir := c.Args[slices.Index(c.Args, "--data")+1]
	p.dirs = append(p.dirs, filepath.Base(dir))
	return p.run(dir)
}

// markSchema is a migration: it adds to the store what stood in it.
func markSchema(dir string) error {
	content, err := os.ReadFile(filepath.Join(dir, "store.db"))
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "schema"), append([]byte("migrated: "), content...), 0o600)
}

func serving(k *kit, run func(dir string) error) (steps []Step, programs *hookedPrograms) {
	programs = &hookedPrograms{run: run}
	k.Programs = programs
	return []Step{&CopyStore{server(1, 2)}, &MigrateAhead{Store: server(1, 2), Release: newRelease}}, programs
}

func stopped() []Step {
	return []Step{
		&HoldStore{Store: server(1, 2)}, &EqualiseStore{server(1, 2)},
		&MigrateStore{Store: server(1, 2), Release: newRelease},
	}
}

func (k *kit) doAll(steps []Step) {
	k.t.Helper()
	for _, s := range steps {
		must(k.t, k.do(s))
	}
}

// wantMigrated holds the new store to the live one as it is now.
func (k *kit) wantMigrated(what string) {
	k.t.Helper()
	live, err := k.FS.ReadFile(machine.ServerData(1) + "/store.db")
	must(k.t, err)
	if got := k.text(machine.ServerData(2) + "/store.db"); got != string(live) {
		k.t.Errorf("%s: the new store has %.20q, the old one %.20q", what, got, live)
	}
	if got := k.text(machine.ServerData(2) + "/schema"); got != "migrated: "+string(live) {
		k.t.Errorf("%s: what was migrated is %.30q", what, got)
	}
	for _, suffix := range []string{".part", ".ahead"} {
		if k.FS.Exists(machine.ServerData(2) + suffix) {
			k.t.Errorf("%s: a copy is left: %s", what, suffix)
		}
	}
}

func TestAStoreThatDidNotChangeIsMigratedBeforeTheStop(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	before, programs := serving(k, markSchema)
	k.doAll(before)
	k.doAll(stopped())
	k.wantMigrated("nothing changed")
	if want := []string{"2.ahead"}; !slices.Equal(programs.dirs, want) {
		t.Errorf("migrated %v, want %v", programs.dirs, want)
	}
	for _, path := range []string{"/store.db", "/tls/cert.pem"} {
		if info, err := k.FS.Lstat(machine.ServerData(2) + path); err != nil || info.Mode().Perm() != 0o644 {
			t.Errorf("%s: %v, %v", path, info, err)
		}
	}
}

func TestAStoreThatChangedSinceIsMigratedAsItIsAfterTheStop(t *testing.T) {
	t.Parallel()
	db := machine.ServerData(1) + "/store.db"
	for name, change := range map[string]func(k *kit){
		// fileMode sets the time back, so that neither it nor the size tells.
		"one byte":                 func(k *kit) { k.file(db, "the old stare") },
		"one byte of another file": func(k *kit) { k.file(machine.ServerData(1)+"/tls/cert.pem", "certificatE") },
		"it grew":                  func(k *kit) { k.file(db, "the old store, longer") },
		"it shrank":                func(k *kit) { k.file(db, "the") },
		"it was emptied":           func(k *kit) { k.file(db, "") },
		"a file came":              func(k *kit) { k.file(machine.ServerData(1)+"/new", "") },
		"a folder came":            func(k *kit) { k.dir(machine.ServerData(1)+"/new", 0o700) },
		"a link came":              func(k *kit) { k.link(machine.ServerData(1)+"/new", "store.db") },
		"a file went":              func(k *kit) { must(k.t, os.Remove(k.FS.Real(machine.ServerData(1)+"/tls/cert.pem"))) },
		"a file became a folder": func(k *kit) {
			must(k.t, os.Remove(k.FS.Real(machine.ServerData(1)+"/tls/cert.pem")))
			k.dir(machine.ServerData(1)+"/tls/cert.pem", 0o700)
		},
		"a mode":                    func(k *kit) { k.fileMode(db, "the old store", 0o600) },
		"the mode of a folder":      func(k *kit) { k.dir(machine.ServerData(1)+"/tls", 0o711) },
		"a time":                    func(k *kit) { must(k.t, os.Chtimes(k.FS.Real(db), time.Now(), time.Now())) },
		"a byte in a block further": func(k *kit) { far(k, db, 'x') },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := newKit(t)
			if strings.Contains(name, "further") {
				far(k, db, 'y')
			}
			before, programs := serving(k, markSchema)
			k.doAll(before)
			change(k)
			k.doAll(stopped())
			k.wantMigrated(name)
			if want := []string{"2.ahead", "2.part"}; !slices.Equal(programs.dirs, want) {
				t.Errorf("migrated %v, want %v", programs.dirs, want)
			}
		})
	}
}

// far makes a store of three blocks with a byte in the last.
func far(k *kit, path string, last byte) {
	k.file(path, string(append(bytes.Repeat([]byte{'a'}, 3*blockSize-1), last)))
}

func TestAWriteWhileTheCopyIsMigratedIsInTheNewStore(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	before, _ := serving(k, func(dir string) error {
		if strings.HasSuffix(dir, ".ahead") {
			k.file(machine.ServerData(1)+"/store.db", "written meanwhile")
		}
		return markSchema(dir)
	})
	k.doAll(before)
	k.doAll(stopped())
	k.wantMigrated("a write")
}

func TestAnEqualiseThatWasCutNeverLeavesWhatWasMigratedFromAnOlderCopy(t *testing.T) {
	t.Parallel()
	for cut := 1; ; cut++ {
		k := newKit(t)
		before, _ := serving(k, markSchema)
		k.doAll(before)
		k.file(machine.ServerData(1)+"/store.db", "changed")
		k.file(machine.ServerData(1)+"/new", "changed")
		steps := stopped()
		err := k.cutAt(cut, func() error { return k.do(steps[1]) })
		k.doAll(steps)
		k.wantMigrated(fmt.Sprint("cut at ", cut))
		if err == nil {
			return
		}
	}
}

func TestAStoreThatIsWrittenToAllTheTimeIsMigratedAfterTheStop(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	before, programs := serving(k, markSchema)
	must(t, k.do(before[0]))
	// Each time the copy is made equal, the store has changed again.
	n := 0
	hook := k.FS.Before
	k.FS.Before = func(op machine.Op, path string) error {
		if op == machine.OpWrite && strings.Contains(path, ".part/store.db") {
			n++
			k.file(machine.ServerData(1)+"/store.db", fmt.Sprint("the store, ", n))
		}
		return hook(op, path)
	}
	k.file(machine.ServerData(1)+"/store.db", "the store, 0")
	must(t, k.do(before[1]))
	k.FS.Before = hook
	k.doAll(stopped())
	k.wantMigrated("writes")
	if want := []string{"2.part"}; !slices.Equal(programs.dirs, want) || n < settleTries {
		t.Errorf("migrated %v, want %v; %d writes", programs.dirs, want, n)
	}
}

func TestAMigrationAheadThatFailsIsNoVerdict(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	before, programs := serving(k, func(dir string) error {
		if strings.HasSuffix(dir, ".ahead") {
			return errors.New("exit status 1")
		}
		return markSchema(dir)
	})
	k.doAll(before)
	if k.FS.Exists(machine.ServerData(2) + ".ahead") {
		t.Error("what failed is left")
	}
	k.doAll(stopped())
	k.wantMigrated("a failure")
	if len(programs.dirs) != 2 {
		t.Errorf("migrated %v", programs.dirs)
	}
}

func TestAFullDiskOnlyKeepsTheMigrationFromBeingAhead(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	before, programs := serving(k, markSchema)
	must(t, k.do(before[0]))
	hook := k.FS.Before
	k.FS.Before = func(op machine.Op, path string) error {
		if op == machine.OpWrite && strings.Contains(path, ".ahead/") {
			return syscall.ENOSPC
		}
		return hook(op, path)
	}
	must(t, k.do(before[1]))
	k.doAll(stopped())
	k.wantMigrated("a full disk")
	if want := []string{"2.part"}; !slices.Equal(programs.dirs, want) {
		t.Errorf("migrated %v, want %v", programs.dirs, want)
	}
}

func TestACancelledMigrationAheadEndsTheRun(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("interrupted")
	before, _ := serving(k, func(string) error { cancel(stop); return errors.New("killed") })
	must(t, k.do(before[0]))
	if err := before[1].Do(ctx, k.Machine); !errors.Is(err, stop) {
		t.Error(err)
	}
}

func TestWhatTheOldServicePutIntoTheCopyIsNotGivenToIt(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	foreign := machine.ServerData(2) + ".ahead/tls/foreign"
	before, programs := serving(k, func(dir string) error {
		if strings.HasSuffix(dir, ".ahead") {
			k.file(foreign, "of somebody else")
			if err := os.Chown(k.FS.Real(foreign), 4711, 4711); err != nil {
				t.Skipf("%s was left out: only real root gives files away: %v", t.Name(), err)
			}
		}
		return markSchema(dir)
	})
	k.doAll(before)
	k.doAll(stopped())
	k.wantMigrated("a foreign file")
	if len(programs.dirs) != 2 || k.FS.Exists(machine.ServerData(2)+"/tls/foreign") {
		t.Errorf("it was taken over: %v", programs.dirs)
	}
}

// A real database and a writer that never rests until the stop: whatever it was
// told is stored must be in the new store, migrated.
func TestNothingThatAWriterStoredBeforeTheStopIsLost(t *testing.T) {
	t.Parallel()
	for _, pause := range []time.Duration{0, 2 * time.Millisecond, 10 * time.Millisecond, time.Hour} {
		t.Run(pause.String(), func(t *testing.T) {
			t.Parallel()
			k := newKit(t)
			live := k.FS.Real(machine.ServerData(1) + "/store.db")
			must(t, os.Remove(live))
			w := startWriter(t, live, pause)
			before, programs := serving(k, func(dir string) error {
				time.Sleep(30 * time.Millisecond) // a migration takes its time
				return markRecords(dir)
			})
			k.doAll(before)
			stored := w.stop()
			k.doAll(stopped())
			got := records(t, k.FS.Real(machine.ServerData(2)+"/store.db"))
			if len(got) != stored {
				t.Errorf("%d of %d records are in the new store", len(got), stored)
			}
			for i, value := range got {
				if value != fmt.Sprintf("new %06d", i) {
					t.Fatalf("record %d is %q", i, value)
				}
			}
			if pause == time.Hour && !slices.Equal(programs.dirs, []string{"2.ahead"}) {
				t.Errorf("nobody wrote, and %v were migrated", programs.dirs)
			}
			t.Logf("pause %s: %d records, migrated %v", pause, stored, programs.dirs)
		})
	}
}

type writer struct {
	db   *bbolt.DB
	end  chan struct{}
	done sync.WaitGroup
	n    int
}

var recordsBucket = []byte("records")

func startWriter(t *testing.T, path string, pause time.Duration) *writer {
	t.Helper()
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{NoSync: true})
	must(t, err)
	w := &writer{db: db, end: make(chan struct{})}
	for range 50 {
		must(t, w.put())
	}
	w.done.Go(func() {
		for {
			select {
			case <-w.end:
				return
			case <-time.After(pause):
				if err := w.put(); err != nil {
					t.Error(err)
				}
			}
		}
	})
	return w
}

func (w *writer) put() error {
	err := w.db.Update(func(tx *bbolt.Tx) error {
		b, err := tx.CreateBucketIfNotExists(recordsBucket)
		if err != nil {
			return err
		}
		return b.Put(fmt.Appendf(nil, "%06d", w.n), fmt.Appendf(nil, "%06d", w.n))
	})
	if err == nil {
		w.n++
	}
	return err
}

// stop ends the writer as a service ends and tells how much it has stored.
func (w *writer) stop() int {
	close(w.end)
	w.done.Wait()
	_ = w.db.Close()
	return w.n
}

// markRecords is a migration of a real database.
func markRecords(dir string) error {
	db, err := bbolt.Open(filepath.Join(dir, "store.db"), 0o600, &bbolt.Options{Timeout: time.Second})
	if err != nil {
		return err
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		for problem := range tx.Check() {
			return problem
		}
		b := tx.Bucket(recordsBucket)
		for i := range b.Stats().KeyN {
			key := fmt.Appendf(nil, "%06d", i)
			if err := b.Put(key, append([]byte("new "), b.Get(key)...)); err != nil {
				return err
			}
		}
		return nil
	})
	return errors.Join(err, db.Close())
}

func records(t *testing.T, path string) []string {
	t.Helper()
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true, Timeout: time.Second})
	must(t, err)
	defer db.Close()
	var out []string
	must(t, db.View(func(tx *bbolt.Tx) error {
		return tx.Bucket(recordsBucket).ForEach(func(_, v []byte) error {
			out = append(out, string(v))
			return nil
		})
	}))
	return out
}
