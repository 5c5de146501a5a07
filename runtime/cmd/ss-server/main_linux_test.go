package main

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pkg/sftp"
	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/crypto/ssh"

	"ss-setup/runtime/verbs"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		name: func() { os.Exit(verbs.Main(app(), os.Args)) },
	})
}

// TestScripts runs the command line as admins and ss-setup do.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		Setup:               setUp,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"get":      get,
			"api":      api,
			"settoken": setToken,
			"exitcode": exitCode,
			"term":     sendSignal(syscall.SIGTERM),
			"hup":      sendSignal(syscall.SIGHUP),
			"login":    logIn,
		},
		// The control socket lets only root in; other users test that it refuses them.
		Condition: func(cond string) (bool, error) {
			if cond != "root" {
				return false, fmt.Errorf("unknown condition %q", cond)
			}
			return os.Geteuid() == 0, nil
		},
	})
}

// setUp lays out generation 3 as ss-setup does, with a free port in server.toml.
func setUp(env *testscript.Env) error {
	for _, dir := range []string{"generations/3", "var/3", "var/snapshots", "run", "log"} {
		if err := os.MkdirAll(filepath.Join(env.WorkDir, dir), 0o700); err != nil {
			return err
		}
	}
	for link, target := range map[string]string{
		"generations/3/data": filepath.Join(env.WorkDir, "var/3"),
		"current":            "generations/3",
	} {
		if err := os.Symlink(target, filepath.Join(env.WorkDir, link)); err != nil {
			return err
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	env.Setenv("ADDR", l.Addr().String())
	sftp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	_, port, _ := net.SplitHostPort(sftp.Addr().String())
	env.Setenv("SFTP_PORT", port)
	if err := sftp.Close(); err != nil {
		return err
	}
	config := fmt.Sprintf("[web]\nlisten = %q\n", l.Addr())
	return errors.Join(l.Close(), os.WriteFile(filepath.Join(env.WorkDir, "server.toml"), []byte(config), 0o644))
}

// setToken keeps the token that the last command told as JSON for api.
func setToken(ts *testscript.TestScript, _ bool, _ []string) {
	var made struct{ Secret string }
	ts.Check(json.Unmarshal([]byte(ts.ReadFile("stdout")), &made))
	ts.Setenv("TOKEN", made.Secret)
}

// api asks the REST interface once and puts status and body on stdout.
func api(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 || len(args) > 3 {
		ts.Fatalf("usage: api METHOD PATH [BODY]")
	}
	body := strings.Join(args[2:], "")
	r, err := http.NewRequest(args[0], "https://"+ts.Getenv("ADDR")+args[1], strings.NewReader(body))
	ts.Check(err)
	r.Header.Set("Authorization", "Bearer "+ts.Getenv("TOKEN"))
	r.Header.Set("Content-Type", "application/json")
	client := &http.Client{
		Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true},
	}
	got, err := client.Do(r)
	ts.Check(err)
	defer got.Body.Close()
	text, err := io.ReadAll(got.Body)
	ts.Check(err)
	fmt.Fprintf(ts.Stdout(), "%d\n%s", got.StatusCode, text)
}

// get waits until the server answers at a path and puts status and body on stdout.
func get(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: get PATH")
	}
	client := insecure()
	url := "https://" + ts.Getenv("ADDR") + args[0]
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		resp, err := client.Get(url)
		if err != nil {
			if time.Now().After(deadline) {
				ts.Fatalf("%v", err)
			}
			continue
		}
		var body bytes.Buffer
		_, err = body.ReadFrom(resp.Body)
		ts.Check(err)
		resp.Body.Close()
		fmt.Fprintf(ts.Stdout(), "%s\n%s", resp.Status, body.String())
		return
	}
}

// exitCode runs a command that must end with exactly the given code.
func exitCode(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exitcode CODE COMMAND...")
	}
	err := ts.Exec(args[1], args[2:]...)
	code := 0
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		code = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if fmt.Sprint(code) != args[0] {
		ts.Fatalf("exit code %d, want %s", code, args[0])
	}
}

// sendSignal signals what runs in the background as service managers do.
func sendSignal(signal syscall.Signal) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, _ bool, _ []string) {
		for _, c := range ts.BackgroundCmds() {
			ts.Check(c.Process.Signal(signal))
		}
	}
}

// insecure is a client that takes any certificate and follows no redirect.
func insecure() *http.Client {
	return &http.Client{
		Transport:     &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// logIn logs a user in by SFTP and puts the names in his home on stdout: login PORT USER
// PASSWORD. It waits until the site listens.
func logIn(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: login PORT USER PASSWORD")
	}
	config := &ssh.ClientConfig{User: args[1], Auth: []ssh.AuthMethod{ssh.Password(args[2])}, HostKeyCallback: func(_ string, _ net.Addr, key ssh.PublicKey) error {
		fmt.Fprintln(ts.Stdout(), key.Type(), ssh.FingerprintSHA256(key))
		return nil
	}}
	var conn *ssh.Client
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		var err error
		if conn, err = ssh.Dial("tcp", net.JoinHostPort("127.0.0.1", args[0]), config); err == nil {
			break
		}
		if !errors.Is(err, syscall.ECONNREFUSED) || time.Now().After(deadline) {
			ts.Fatalf("%v", err)
		}
	}
	defer conn.Close()
	client, err := sftp.NewClient(conn)
	ts.Check(err)
	defer client.Close()
	f, err := client.Create("/hello")
	ts.Check(err)
	ts.Check(f.Close())
	infos, err := client.ReadDir("/")
	ts.Check(err)
	for _, info := range infos {
		fmt.Fprintln(ts.Stdout(), info.Name())
	}
}
