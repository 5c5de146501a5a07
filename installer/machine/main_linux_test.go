package machine

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The test binary is also the programs that tests need: a service's daemon, a
// supervisor and what that supervises.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "run":
			os.Exit(daemonMain())
		case SuperviseVerb:
			os.Exit(superviseMain(os.Args[2:]))
		case "supervised":
			os.Exit(supervisedMain(os.Args[2:]))
		case "inside":
			insideMachine(os.Args[2:])
		}
	}
	os.Exit(m.Run())
}

// insideMachine makes this the part of a test that runs in a machine of the lab.
var insideMachine = func([]string) {}

// stubbornFile makes the daemon deaf to SIGTERM while it exists.
const stubbornFile = "/run/stubborn"

// daemonMain is a service: it ends on SIGTERM, and says so.
func daemonMain() int {
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, unix.SIGTERM)
	if h, err := os.Open(stubbornFile); err == nil {
		defer h.Close() // tells that it is deaf by now
	}
	for range ended {
		if _, err := os.Stat(stubbornFile); err != nil {
			return 0
		}
	}
	return 1
}

// rootVariable hands a test's root to the supervisor.
const rootVariable = "MACHINE_TEST_ROOT"

// superviseMain is the hidden verb: NAME -- PROGRAM ARGUMENT...
func superviseMain(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGTERM)
	defer stop()
	f := &FS{Root: os.Getenv(rootVariable)}
	if err := Supervise(ctx, f, args[0], args[2:], os.Environ()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// supervisedMain is what is supervised: FILE MODE. It adds its process to FILE
// and then, the first time at least, dies of a signal, exits or stays.
func supervisedMain(args []string) int {
	h, err := os.OpenFile(args[0], os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	_, _ = fmt.Fprintln(h, os.Getpid())
	_ = h.Close()
	starts := len(startsIn(args[0]))
	switch {
	case args[1] == "dies-twice" && starts <= 2:
		_ = unix.Kill(os.Getpid(), unix.SIGKILL)
	case args[1] == "dies-twice", args[1] == "fails":
		return 3
	case args[1] == "stubborn":
		signal.Ignore(unix.SIGTERM)
	}
	time.Sleep(time.Minute)
	return 0
}

// startsIn lists the processes that a supervised program has been.
func startsIn(file string) []int {
	content, _ := os.ReadFile(file)
	var found []int
	for _, line := range strings.Fields(string(content)) {
		if pid, err := strconv.Atoi(line); err == nil {
			found = append(found, pid)
		}
	}
	return found
}

// image is a root with the given files; a name that ends in / is a folder, a
// content that begins with "-> " a link.
func image(t *testing.T, files map[string]string) *FS {
	t.Helper()
	f := &FS{Root: t.TempDir()}
	for name, content := range files {
		path := f.Real(name)
		dir := filepath.Dir(path)
		if strings.HasSuffix(name, "/") {
			dir = path
		}
		check(t, os.MkdirAll(dir, 0o755))
		if strings.HasSuffix(name, "/") {
			continue
		}
		if target, ok := strings.CutPrefix(content, "-> "); ok {
			check(t, os.Symlink(target, path))
			continue
		}
		check(t, os.WriteFile(path, []byte(content), 0o644))
	}
	return f
}

// content of a file below the root; "" when it is missing.
func content(f *FS, name string) string {
	text, _ := f.ReadFile(name)
	return string(text)
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// soon waits for something that another process does.
func soon(t *testing.T, what string, done func() bool) {
	t.Helper()
	if !waitUntil(t.Context(), 30*time.Second, done) {
		t.Fatalf("not in time: %s", what)
	}
}
