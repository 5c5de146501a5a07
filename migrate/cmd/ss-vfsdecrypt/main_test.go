package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/crypto/ssh"

	"ss-setup/migrate/vfsdecrypt"
	"ss-setup/runtime/sftpd"
	"ss-setup/runtime/sftpd/sftpdtest"
	"ss-setup/runtime/verbs"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		program: func() { os.Exit(verbs.Main(app(), os.Args)) },
	})
}

// TestScripts runs the command line as administrators do, with files made by openssl and
// an SFTP server of ours: user kim, password "a long password", an encrypted VFS.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			for _, dir := range []string{"old/in", "vfs"} {
				if err := os.MkdirAll(filepath.Join(env.WorkDir, dir), 0o755); err != nil {
					return err
				}
			}
			tree, err := sftpdtest.NewTree(filepath.Join(env.WorkDir, "vfs"), true)
			if err != nil {
				return err
			}
			env.Defer(func() { _ = tree.Close() })
			key := sftpdtest.NewKey(t)
			_, at := sftpdtest.Start(t, sftpd.Config{HostKeys: []ssh.Signer{key}}, sftpd.Parts{
				Accounts: sftpdtest.NewAccounts(map[string]*sftpdtest.User{"kim": {Password: "a long password", FS: tree}}),
			})
			env.Setenv("SERVER", at)
			env.Setenv("HOSTKEY", ssh.FingerprintSHA256(key.PublicKey()))
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"exitcode": exitCode},
	})
}

// exitCode runs a program that must end with a code: exitcode 2 ss-vfsdecrypt …
func exitCode(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	if err != nil {
		var code int
		if _, scan := fmt.Sscanf(err.Error(), "exit status %d", &code); scan != nil {
			ts.Fatalf("%v", err)
		}
		got = code
	}
	if got != want {
		ts.Fatalf("it ends with %d, want %d", got, want)
	}
}

func TestABarStaysOnItsLineAndSaysHowItWent(t *testing.T) {
	var out lineCounter
	p, err := vfsdecrypt.ParseProfile("aes-256-ecb kdf=md5")
	if err != nil {
		t.Fatal(err)
	}
	b := &bar{people: people{w: &out, profile: p}}
	b.Begin(vfsdecrypt.Total{Files: 3, Bytes: 3000})
	for i := range int64(3) {
		b.Moved(1000 * (i + 1))
		b.Done(vfsdecrypt.Outcome{Status: vfsdecrypt.Decrypted}, vfsdecrypt.Total{})
	}
	b.end(vfsdecrypt.Total{Files: 3, Of: map[vfsdecrypt.Status]int64{vfsdecrypt.Decrypted: 3}}, time.Second, nil)
	if out != 2 {
		t.Errorf("%d lines, and there should be the first and the last", out)
	}
}

// lineCounter counts what ends a line.
type lineCounter int

func (l *lineCounter) Write(p []byte) (int, error) {
	for _, b := range p {
		if b == '\n' {
			*l++
		}
	}
	return len(p), nil
}
