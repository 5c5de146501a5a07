package node_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"ss-setup/runtime/backup"
)

// victimEnv has what a restore that is to be killed works on: the machine's folder, the
// backup, and the words at which it kills itself. The test's own program is the victim.
const victimEnv = "SS_RESTORE_VICTIM"

func TestMain(m *testing.M) {
	if args := os.Getenv(victimEnv); args != "" {
		if err := victim(strings.Split(args, "\n")); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if args := os.Getenv(peakEnv); args != "" {
		if err := measured(strings.Split(args, "\n")); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func victim(args []string) error {
	root, file, last := args[0], args[1], args[2]
	tell := func(what string) {
		fmt.Println(what)
		if what == last {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		}
	}
	p := placeIn(root, 1)
	a, closer, err := backup.OpenFile(file, backup.ReadOptions{Schema: p.Schema.Version()})
	if err != nil {
		return err
	}
	defer closer.Close()
	b, err := p.Build(context.Background(), a, tell)
	if err != nil {
		return err
	}
	tell("built")
	if err := b.AddKeys(); err != nil {
		return err
	}
	tell("keys added")
	if _, err := p.Replace(b.Name, tell); err != nil {
		return err
	}
	tell("replaced")
	return b.Discard()
}

// restoreIn runs a restore in a process of its own; it kills itself at a word, or is
// killed after some time.
func restoreIn(t *testing.T, m *machine, file, last string, after time.Duration) (out string, killed bool) {
	t.Helper()
	ctx := t.Context()
	if after > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, after)
		defer cancel()
	}
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), victimEnv+"="+strings.Join([]string{m.State, file, last}, "\n"))
	var text bytes.Buffer
	cmd.Stdout, cmd.Stderr = &text, &text
	err := cmd.Run()
	killed = err != nil && strings.Contains(err.Error(), "killed")
	if err != nil && !killed {
		t.Fatalf("the restore: %v\n%s", err, text.String())
	}
	return text.String(), killed
}

// TestAKillDuringARestoreLeavesTheOldStoreOrTheNew kills a restore at every stage, and at
// any moment; what is left is one of the two, whole, and can be restored again.
func TestAKillDuringARestoreLeavesTheOldStoreOrTheNew(t *testing.T) {
	other := newMachine(t, 1)
	other.furnish(t, "stern-hopper", 5000)
	ofOther := other.content(t)
	file := filepath.Join(t.TempDir(), "backup.zip")
	must(t, os.WriteFile(file, other.backup(t, backup.WriteOptions{}), 0o600))

	m := newMachine(t, 1)
	m.furnish(t, "romantic-lovelace", 10)
	own := m.content(t)
	ownBackup := m.backup(t, backup.WriteOptions{})
	began := time.Now()
	out, _ := restoreIn(t, m, file, "", 0)
	took := time.Since(began)
	stages := strings.Split(strings.TrimSpace(out), "\n")
	if len(stages) < 8 {
		t.Fatalf("a restore has the stages %q", stages)
	}
	again := func(what string, wantNew *bool) {
		t.Helper()
		if faults, err := m.Schema.Check(m.Data); err != nil || len(faults) > 0 {
			t.Fatalf("%s: %v, %q", what, err, faults)
		}
		got := m.content(t)
		isNew := slices.Equal(got, ofOther)
		if !isNew && !slices.Equal(got, own) || wantNew != nil && *wantNew != isNew {
			t.Errorf("%s: neither the old nor the new store, or not the one it should be (new: %v)", what, isNew)
		}
		// The folder of the one that was killed is old by now.
		m.Now = func() time.Time { return time.Now().Add(time.Hour) }
		if _, err := m.restore(t, ownBackup, backup.ReadOptions{}); err != nil {
			t.Fatalf("%s: again: %v", what, err)
		}
		m.Now = time.Now
		if got := m.content(t); !slices.Equal(got, own) {
			t.Errorf("%s: what was restored then is not what was there", what)
		}
		m.alone(t)
	}
	replaced := true
	again("undisturbed", &replaced)
	for _, stage := range stages {
		if _, killed := restoreIn(t, m, file, stage, 0); !killed {
			t.Fatalf("it was not killed at %q", stage)
		}
		replaced := stage == "replaced"
		again(stage, &replaced)
	}
	for i := range randomKills {
		after := took * time.Duration(i+1) / (randomKills + 1)
		restoreIn(t, m, file, "", max(after, time.Millisecond))
		again(fmt.Sprint("killed after ", after), nil)
	}
}
