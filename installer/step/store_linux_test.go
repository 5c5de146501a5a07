package step

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"ss-setup/installer/machine"
)

func equaliseNow(t *testing.T, k *kit) {
	t.Helper()
	must(t, equalise(t.Context(), k.Machine, "/from", "/to", true))
}

func writesTo(k *kit, path string) int {
	n := 0
	for _, op := range k.ops {
		if op == "write "+path {
			n++
		}
	}
	return n
}

func TestOnlyBlocksThatDifferAreCopied(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	content := blocksOf(5)
	k.file("/from/store.db", string(content))
	equaliseNow(t, k)
	for name, c := range map[string]struct {
		change func([]byte) []byte
		writes int
	}{
		"nothing":       {func(b []byte) []byte { return b }, 0},
		"one byte":      {func(b []byte) []byte { b[2*blockSize+7]++; return b }, 1},
		"two blocks":    {func(b []byte) []byte { b[0]++; b[len(b)-1]++; return b }, 2},
		"it grew":       {func(b []byte) []byte { return append(b, 1, 2, 3) }, 1},
		"it shrank":     {func(b []byte) []byte { return b[:3*blockSize] }, 1}, // the cut itself
		"it is empty":   {func([]byte) []byte { return nil }, 1},
		"it grew a lot": {func(b []byte) []byte { return append(b, b...) }, 5},
	} {
		k.file("/from/store.db", string(content))
		equaliseNow(t, k)
		want := c.change(slices.Clone(content))
		k.file("/from/store.db", string(want))
		k.ops = nil
		equaliseNow(t, k)
		if got := []byte(k.text("/to/store.db")); !bytes.Equal(got, want) {
			t.Errorf("%s: the copy differs", name)
		}
		if got := writesTo(k, "/to/store.db"); got != c.writes {
			t.Errorf("%s: %d writes, want %d", name, got, c.writes)
		}
		if synced := slices.Contains(k.ops, "sync /to/store.db"); synced != (c.writes > 0) {
			t.Errorf("%s: synced %v", name, synced)
		}
	}
}

func TestTheCopyHasNothingElseThanTheStore(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	k.fileMode("/from/store.db", "store", 0o640)
	k.fileMode("/from/tls/key.pem", "key", 0o400)
	k.dir("/from/tls", 0o700)
	k.dir("/from/empty", 0o711)
	k.link("/from/link", "store.db")
	k.link("/from/was-file", "tls")
	k.file("/from/was-folder", "file")
	k.dir("/from/was-link", 0o755)

	k.file("/to/gone/deep/file", "x")
	k.link("/to/gone-link", "/etc")
	k.file("/to/was-file", "x")
	k.file("/to/was-folder/x", "x")
	k.link("/to/was-link", "/etc")
	k.link("/to/link", "elsewhere")
	k.fileMode("/to/store.db", "stale, and longer", 0o777)
	equaliseNow(t, k)

	tree := func(root string) string {
		var out []string
		for _, line := range strings.Split(k.snapshot(), "\n") {
			if rest, ok := strings.CutPrefix(line, root); ok {
				out = append(out, rest)
			}
		}
		return strings.Join(out, "\n")
	}
	if diff := differ(tree("/from"), tree("/to")); diff != "" {
		t.Error(diff)
	}
}

func TestAFileThatTheServiceRemovesWhileItIsCopiedIsNoError(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	k.file("/from/store.db", "kept")
	name := filepath.Join(k.FS.Root, "from", "temporary")
	stop := make(chan struct{})
	var service sync.WaitGroup
	service.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				_ = os.WriteFile(name, nil, 0o600)
				_ = os.Remove(name)
			}
		}
	})
	defer service.Wait()
	defer close(stop)
	for range 300 {
		equaliseNow(t, k)
	}
}

func TestTheCopyKeepsOwners(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	k.file("/from/store.db", "store")
	if err := os.Chown(k.FS.Real("/from/store.db"), 4711, 4712); err != nil {
		t.Skipf("%s was left out: only real root gives files away: %v", t.Name(), err)
	}
	must(t, os.Chown(k.FS.Real("/from"), 4711, 4712))
	equaliseNow(t, k)
	for _, path := range []string{"/to", "/to/store.db"} {
		info, err := k.FS.Lstat(path)
		must(t, err)
		if uid, gid := machine.Owner(info); uid != 4711 || gid != 4712 {
			t.Errorf("%s is of %d:%d", path, uid, gid)
		}
	}
}

func TestWhatIsNoFileIsNotCopied(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	k.file("/from/store.db", "store")
	must(t, syscall.Mkfifo(k.FS.Real("/from/pipe"), 0o600))
	equaliseNow(t, k)
	if k.FS.Exists("/to/pipe") {
		t.Error("a pipe was copied")
	}
}

func TestACopyCanBeStopped(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	k.file("/from/store.db", string(blocksOf(3)))
	stop := errors.New("stopped")
	ctx, cancel := context.WithCancelCause(t.Context())
	k.Progress = func(done, total int64) {
		if done > blockSize || total != 3*blockSize {
			t.Errorf("told %d of %d", done, total)
		}
		cancel(stop)
	}
	if err := equalise(ctx, k.Machine, "/from", "/to", true); !errors.Is(err, stop) {
		t.Error(err)
	}
}

func TestACopyThatWasCutAnywhereIsMadeEqualByTheNext(t *testing.T) {
	t.Parallel()
	for cut := 1; ; cut++ {
		k := newKit(t)
		k.file("/from/store.db", string(blocksOf(2)))
		k.file("/from/a/b", "x")
		k.file("/to/store.db", string(blocksOf(1)))
		k.file("/to/gone", "x")
		err := k.cutAt(cut, func() error { return equalise(t.Context(), k.Machine, "/from", "/to", true) })
		equaliseNow(t, k)
		if !bytes.Equal([]byte(k.text("/to/store.db")), blocksOf(2)) || k.FS.Exists("/to/gone") || k.text("/to/a/b") != "x" {
			t.Fatalf("cut at call %d: %s", cut, k.snapshot())
		}
		if err == nil {
			return
		}
	}
}

func TestAMigratedStoreIsSyncedBeforeItGetsItsName(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	withCopy(k)
	s := &MigrateStore{Store: server(1, 2), Release: newRelease}
	must(t, k.do(s))
	renamed := slices.Index(k.ops, "rename "+s.to())
	for _, op := range []string{"sync " + s.part() + "/store.db", "sync " + s.part() + "/schema", "syncdir " + s.part()} {
		if at := slices.Index(k.ops, op); at < 0 || at > renamed {
			t.Errorf("%q comes at %d, the rename at %d", op, at, renamed)
		}
	}
	if k.ops[len(k.ops)-1] != "syncdir "+filepath.Dir(s.to()) {
		t.Errorf("the last call is %q", k.ops[len(k.ops)-1])
	}
	run := k.Programs.(*fakePrograms).runs[0]
	if run.User != "ss-server" || run.Path != machine.Release(newRelease)+"/bin/ss-server" || slices.Contains(run.Args, "--create") {
		t.Errorf("ran %+v", run)
	}
}

// slowProber answers well for the first service, as late as it may.
type slowProber struct {
	*fakeProber
	until time.Time
}

func (p *slowProber) Probe(ctx context.Context, service string, n int) (Health, error) {
	if service == "ss-licensed" || time.Now().Before(p.until) {
		return Health{}, errors.New("no answer")
	}
	return p.fakeProber.Probe(ctx, service, n)
}

func TestAllServicesTogetherGetOneHealthTimeout(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	k.HealthTimeout = time.Second
	start := time.Now()
	k.Prober = &slowProber{k.Prober.(*fakeProber), start.Add(k.HealthTimeout * 4 / 5)}
	if err := k.do(&WaitHealth{Services: []string{"ss-server", "ss-licensed"}, Generation: 1}); err == nil {
		t.Error("a service that does not answer is taken for healthy")
	}
	if took := time.Since(start); took > k.HealthTimeout*8/5 {
		t.Errorf("it took %v", took)
	}
}

func TestAServiceThatNeverGetsHealthyEndsTheWait(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		generation int
		version    string
		want       string
	}{
		"another generation answers": {2, "7.0.1", "generation 1, not 2"},
		"another version answers":    {1, "7.0.2", "version 7.0.1, not 7.0.2"},
	} {
		k := newKit(t)
		k.Prober.(*fakeProber).version = "7.0.1"
		start := time.Now()
		err := k.do(&WaitHealth{Services: []string{"ss-server"}, Generation: c.generation, Version: c.version})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
		if took := time.Since(start); took > 40*k.HealthTimeout {
			t.Errorf("%s: took %v", name, took)
		}
	}
}

func TestAStoreThatVanishesWhileItIsCopiedIsAFailure(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	k.file(machine.ServerData(1)+"/store.db", "x")
	hook := k.FS.Before
	k.FS.Before = func(op machine.Op, path string) error {
		if op == machine.OpMkdir && strings.HasSuffix(path, ".part") {
			must(t, os.RemoveAll(k.FS.Real(machine.ServerData(1))))
		}
		return hook(op, path)
	}
	if err := k.do(&CopyStore{server(1, 2)}); err == nil {
		t.Error("the store is gone, and its copy counts as one")
	}
}
