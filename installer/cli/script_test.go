package cli

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"ss-setup/installer/bundle/trust"
	"ss-setup/installer/txn"
)

func TestMain(m *testing.M) {
	// The program under test trusts the keys that the test has made.
	if file := os.Getenv(rootVariable); file != "" {
		embedded = func() (trust.Anchor, error) {
			raw, err := os.ReadFile(file)
			if err != nil {
				return trust.Anchor{}, err
			}
			return trust.NewAnchor(raw)
		}
	}
	testscript.Main(m, map[string]func(){
		"ss-setup": func() { os.Exit(Main(os.Args[1:], OSStreams())) },
	})
}

func TestScripts(t *testing.T) {
	keys, others := newVault(t, false), newVault(t, true)
	older, newer := makeBundle(t, keys, "7.0.0", self(t), 0), makeBundle(t, keys, "7.0.1", self(t), 0)
	broken := makeBundle(t, keys, "7.0.3", self(t), 1)
	stranger := makeBundle(t, others, "7.0.4", self(t), 0)
	// A package whose ss-setup is another program than the one that is run.
	other := filepath.Join(t.TempDir(), "ss-setup")
	if err := os.WriteFile(other, []byte("#!/bin/sh\necho the other: \"$@\"\necho run from \"$0\"\nexit 42\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	foreign := makeBundle(t, keys, "7.0.2", other, 0)
	site, strangersSite := serve(t, keys, older, newer), serve(t, others, stranger)
	for _, version := range []string{"7.0.1", "7.0.2", "7.0.3"} {
		if err := keys.Withdraw(version); err != nil {
			t.Fatal(err)
		}
	}
	withdrawing := serve(t, keys, older)
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			env.Setenv("OLDER", older)
			env.Setenv("NEWER", newer)
			env.Setenv("FOREIGN", foreign)
			env.Setenv("BROKEN", broken)
			env.Setenv("STRANGER", stranger)
			env.Setenv("SITE", site)
			env.Setenv("WITHDRAWING_SITE", withdrawing)
			env.Setenv("STRANGERS_SITE", strangersSite)
			env.Setenv("TMPDIR", env.WorkDir)
			env.Setenv("STRANGERS_ROOT", others.RootFile())
			env.Setenv(rootVariable, keys.RootFile())
			return nil
		},
		Condition: func(cond string) (bool, error) {
			return cond == "root" && os.Geteuid() == 0, nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"image":  image,
			"exits":  exitsWith,
			"hold":   hold,
			"glob":   glob,
			"schema": checkSchema(t),
			"samehash": func(ts *testscript.TestScript, _ bool, args []string) {
				if a, b := planHash.FindString(ts.ReadFile(args[0])), planHash.FindString(ts.ReadFile(args[1])); a != b || a == "" {
					ts.Fatalf("the plans have the hashes %s and %s", a, b)
				}
			},
			"golden": func(ts *testscript.TestScript, _ bool, args []string) {
				compareGolden(t, "testdata/golden/"+args[1], steady(ts.ReadFile(args[0])))
			},
		},
	})
}

// planHash is the hash of a plan in an event.
var planHash = regexp.MustCompile(`"hash":"[0-9a-f]{64}"`)

// rootVariable names the root that the program under test trusts.
const rootVariable = "TEST_TRUST_ROOT"

// image makes the tree of a machine: image DIR.
func image(ts *testscript.TestScript, _ bool, args []string) {
	root := ts.MkAbs(args[0])
	for _, dir := range []string{"etc/systemd/system", "usr/bin", "usr/lib/systemd", "var/lib", "var/log", "opt", "srv", "run", "sbin"} {
		ts.Check(os.MkdirAll(filepath.Join(root, dir), 0o755))
	}
	for name, text := range imageFiles {
		ts.Check(os.WriteFile(filepath.Join(root, name), []byte(text), 0o644))
	}
	ts.Check(os.Symlink("/usr/lib/systemd/systemd", filepath.Join(root, "sbin/init")))
}

// exitsWith runs ss-setup and checks the number that it exits with: exits 2 install foo.
func exitsWith(ts *testscript.TestScript, _ bool, args []string) {
	err := ts.Exec("ss-setup", args[1:]...)
	code := "0"
	if failed, ok := err.(*exec.ExitError); ok {
		code = strings.TrimPrefix(failed.String(), "exit status ")
	}
	if code != args[0] {
		ts.Fatalf("exit %s, want %s", code, args[0])
	}
}

// glob tells whether something has such a name: glob PATTERN.
func glob(ts *testscript.TestScript, not bool, args []string) {
	found, err := filepath.Glob(ts.MkAbs(args[0]))
	ts.Check(err)
	if (len(found) == 0) != not {
		ts.Fatalf("%s: %q", args[0], found)
	}
}

// hold keeps a lock to the end of the script, as another run would: hold FILE.
func hold(ts *testscript.TestScript, _ bool, args []string) {
	lock, err := txn.TryLock(ts.MkAbs(args[0]), 0)
	ts.Check(err)
	ts.Defer(func() { _ = lock.Release() })
}

// checkSchema holds a file to a schema in docs: each line for events, else the
// whole: schema events FILE.
func checkSchema(t *testing.T) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, _ bool, args []string) {
		text := ts.ReadFile(args[1])
		texts := []string{text}
		if args[0] == "events" {
			texts = strings.Split(strings.TrimSpace(text), "\n")
		}
		if err := validateAll(schemaOf(t, args[0]), texts); err != nil {
			ts.Fatalf("%v", err)
		}
	}
}
