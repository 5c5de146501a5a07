package engine_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"ss-setup/runtime/engine"
	"ss-setup/runtime/model"
	"ss-setup/runtime/seal"
	"ss-setup/runtime/vfs/keyring"
)

// victimEnv names the folders of a writer that is to be killed; the test's own program
// is the writer then.
const victimEnv = "SS_ENGINE_VICTIM"

func TestMain(m *testing.M) {
	if dirs := os.Getenv(victimEnv); dirs != "" {
		fmt.Fprintln(os.Stderr, victim(strings.Split(dirs, "\n")))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// keptUsers is how many users the writer leaves: number n deletes number n - keptUsers.
const keptUsers = 40

// victim writes until it is killed, and tells the number of each write that was kept. It
// goes on where the one before was killed.
func victim(dirs []string) error {
	st, err := schema().Open(dirs[0])
	if err != nil {
		return err
	}
	ring, err := keyring.Open(dirs[1])
	if err != nil {
		return err
	}
	e, err := engine.Open(engine.Options{Store: st, Sealer: seal.New(ring), Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	n := 0
	if err := e.Read(func(r *engine.Reader) error {
		for u, err := range engine.Users.All(r) {
			if err != nil {
				return err
			}
			n = max(n, numberOf(u.Name))
		}
		return nil
	}); err != nil {
		return err
	}
	for n++; ; n++ {
		if _, err := e.Write(context.Background(), "victim", func(tx *engine.Tx) error { return step(tx, n) }); err != nil {
			return err
		}
		fmt.Println(n)
	}
}

// step is write number n: it makes a user, changes the one before and deletes an old one.
func step(tx *engine.Tx, n int) error {
	u := user(victimName(n))
	u.Home.VFS = "Files"
	u.TOTP.Secret.Clear = "JBSWY3DPEHPK3PXPJBSWY3DP"
	// Records of different lengths keep the database moving pages about.
	u.Description = strings.Repeat("x", n*37%3000)
	if err := tx.Create(u); err != nil {
		return err
	}
	if before, err := engine.Users.Get(tx.Reader, "main", victimName(n-1)); err == nil {
		before.Email = "changed@example.com"
		if err := tx.Update(before); err != nil {
			return err
		}
	}
	err := tx.Delete(model.UserKey("main", victimName(n-keptUsers)), 0)
	if errors.As(err, new(*engine.NotFoundError)) {
		return nil
	}
	return err
}

func victimName(n int) string { return fmt.Sprintf("Victim-%08d", n) }

func numberOf(name string) (n int) {
	_, err := fmt.Sscanf(name, "Victim-%d", &n)
	if err != nil {
		return 0
	}
	return n
}

// TestAKillDuringWritesLosesNothingThatWasKept kills a writer at any moment and looks
// what is there: everything that was told, all of the write after it or nothing.
func TestAKillDuringWritesLosesNothingThatWasKept(t *testing.T) {
	w := newWorld(t)
	w.write(t, create(site("main"), vfs("Files")))
	last := 0
	for range kills {
		w.close(t)
		told := killed(t, w)
		if faults, err := schema().Check(w.dir); err != nil || len(faults) > 0 {
			t.Fatalf("after write %d: %v, %q", told, err, faults)
		}
		w.open(t)
		w.sound(t)
		last = lookAt(t, w, max(told, last))
	}
	t.Logf("%d kills in %d writes", kills, last)
}

// killed runs a writer for a moment, kills it, and is the last write that it told.
func killed(t *testing.T, w *world) (told int) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), victimEnv+"="+w.dir+"\n"+w.ring)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	if lines.Scan() {
		time.AfterFunc(time.Duration(rand.IntN(80_000))*time.Microsecond, func() { _ = cmd.Process.Kill() })
	}
	for ok := true; ok; ok = lines.Scan() {
		if _, err := fmt.Sscan(lines.Text(), &told); err != nil {
			t.Errorf("the writer says %q", lines.Text())
		}
	}
	if err := cmd.Wait(); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Fatalf("the writer ended by itself: %v", err)
	}
	return told
}

// lookAt checks that the users are those after write told or the one after it.
func lookAt(t *testing.T, w *world, told int) (last int) {
	t.Helper()
	var users []int
	w.read(t, func(r *engine.Reader) error {
		for u, err := range engine.Users.All(r) {
			if err != nil {
				return err
			}
			n := numberOf(u.Name)
			users = append(users, n)
			if secret, err := w.Reveal(u.Key(), "totp.secret", u.TOTP.Secret); err != nil || secret != "JBSWY3DPEHPK3PXPJBSWY3DP" {
				t.Errorf("user %d: %q, %v", n, secret, err)
			}
		}
		return nil
	})
	last = slices.Max(append(users, 0))
	if last != told && last != told+1 {
		t.Fatalf("write %d was told, the store has %d", told, last)
	}
	for i, n := range users {
		if n != last-len(users)+1+i {
			t.Fatalf("the users are %v", users)
		}
	}
	if want := min(last, keptUsers); len(users) != want {
		t.Fatalf("%d users after write %d, want %d", len(users), last, want)
	}
	return last
}

// TestASnapshotDuringWritesIsOneMoment: what is copied while others write passes the
// whole check.
func TestASnapshotDuringWritesIsOneMoment(t *testing.T) {
	w := newWorld(t)
	w.write(t, create(site("main"), vfs("Files")))
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for n := 1; ; n++ {
			select {
			case <-stop:
				return
			default:
				w.write(t, func(tx *engine.Tx) error { return step(tx, n) })
			}
		}
	}()
	for range 5 {
		var copied strings.Builder
		err := w.store.View(func(tx *bbolt.Tx) error {
			if _, err := tx.WriteTo(&copied); err != nil {
				return err
			}
			_, err := engine.Verify(tx)
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
	close(stop)
	<-done
}
