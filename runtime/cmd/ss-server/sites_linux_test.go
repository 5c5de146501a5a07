package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"

	"ss-setup/runtime/auth"
	"ss-setup/runtime/daemon"
	"ss-setup/runtime/engine"
	"ss-setup/runtime/hostkey"
	"ss-setup/runtime/model"
	"ss-setup/runtime/sites"
)

// installed is an installed server whose store is filled before it starts.
type installed struct {
	dir  string
	web  string
	sftp string
	key  ssh.PublicKey
	log  *bytes.Buffer
	cmd  *exec.Cmd
}

const nodePassword = "correct horse battery"

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func newInstalled(t *testing.T) *installed {
	t.Helper()
	n := &installed{dir: t.TempDir(), web: freeAddress(t), sftp: freeAddress(t)}
	for _, dir := range []string{"etc", "generations/3", "var/3", "var/snapshots", "log", "run"} {
		check(t, os.MkdirAll(n.path(dir), 0o700))
	}
	check(t, os.Symlink(n.path("var/3"), n.path("generations/3/data")))
	check(t, os.Symlink("generations/3", n.path("current")))
	check(t, os.WriteFile(n.path("generations/3/open"), nil, 0o600))
	check(t, os.WriteFile(n.path("etc/server.toml"), fmt.Appendf(nil, "[web]\nlisten = %q\n", n.web), 0o600))
	check(t, os.WriteFile(n.path("var/probe.key"), []byte(strings.Repeat("ab", 32)), 0o600))
	_, err := schema().Migrate(n.path("var/3"), true, func(int64, int64, string) {})
	check(t, err)
	n.fill(t)
	return n
}

func (n *installed) path(name string) string { return filepath.Join(n.dir, name) }

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	defer l.Close()
	return l.Addr().String()
}

// fill makes the site main with the user kim.
func (n *installed) fill(t *testing.T) {
	t.Helper()
	_, port, err := net.SplitHostPort(n.sftp)
	check(t, err)
	number, err := strconv.Atoi(port)
	check(t, err)
	key, err := hostkey.Generate("ssh-ed25519")
	check(t, err)
	n.key, _, _, _, err = ssh.ParseAuthorizedKey([]byte(key.Line()))
	check(t, err)
	pem, err := key.PEM()
	check(t, err)
	h, err := auth.NewHasher(auth.DefaultParams)
	check(t, err)
	hash, err := h.Hash(t.Context(), []byte(nodePassword))
	check(t, err)
	files := &model.VFS{Head: model.Head{Name: "files"}, Site: "main", Type: model.VFSDisk, Root: n.path("files")}
	n.write(t, func(m *sites.Manager, e *engine.Engine) {
		check(t, m.MakeVFS(files))
		_, err := e.Write(t.Context(), "superadmin/sa", func(tx *engine.Tx) error {
			for _, o := range []model.Object{
				&model.Node{Head: model.Head{Name: "romantic-lovelace"}}, &model.Site{Head: model.Head{Name: "main"}},
				&model.HostKey{Head: model.Head{Name: "ed25519"}, Site: "main", Public: key.Line(), Private: model.Secret{Clear: pem}},
				&model.Binding{Head: model.Head{Name: "sftp"}, Site: "main", Node: "romantic-lovelace", Address: "127.0.0.1", Port: number},
				files,
				&model.User{
					Head: model.Head{Name: "kim"}, Site: "main", Password: model.Password{Hash: hash},
					Profile: model.Profile{Home: model.Folder{VFS: "files", Path: "/{user}", Permissions: model.UsualPermissions()}},
				},
			} {
				if err := tx.Create(o); err != nil {
					return err
				}
			}
			return nil
		})
		check(t, err)
	})
}

// write works on the store while no server does.
func (n *installed) write(t *testing.T, fn func(*sites.Manager, *engine.Engine)) {
	t.Helper()
	st, err := schema().Open(n.path("var/3"))
	check(t, err)
	e, ring, err := openObjects(st, n.path("var"), slog.New(slog.DiscardHandler))
	check(t, err)
	m, err := sites.Start(sites.Options{Engine: e, Ring: ring, Node: "nowhere", Log: slog.New(slog.DiscardHandler)})
	check(t, err)
	fn(m, e)
	check(t, errors.Join(m.Close(), e.Close(), st.Close()))
}

// run starts the server as the service manager does, and waits for its answer.
func (n *installed) run(t *testing.T) {
	t.Helper()
	n.log = &bytes.Buffer{}
	n.cmd = exec.Command(name, "run", "--home", n.path("current"), "--config", n.path("etc/server.toml"), "--state", n.path("var"),
		"--logs", n.path("log"), "--control", n.path("run/c"))
	n.cmd.Stderr = n.log
	check(t, n.cmd.Start())
	t.Cleanup(func() { _ = n.cmd.Process.Kill() })
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if _, err := n.health(); err == nil {
			return
		} else if time.Now().After(deadline) {
			t.Fatalf("%v\n%s", err, n.log)
		}
	}
}

func (n *installed) health() (h daemon.Health, err error) {
	req, err := http.NewRequest(http.MethodGet, "https://"+n.web+"/healthz", nil)
	if err != nil {
		return h, err
	}
	req.Header.Set(daemon.ProbeHeader, strings.Repeat("ab", 32))
	resp, err := insecure().Do(req)
	if err != nil {
		return h, err
	}
	defer resp.Body.Close()
	return h, json.NewDecoder(resp.Body).Decode(&h)
}

// end signals the server and waits for its end.
func (n *installed) end(t *testing.T, signal syscall.Signal) {
	t.Helper()
	check(t, n.cmd.Process.Signal(signal))
	err := n.cmd.Wait()
	if signal == syscall.SIGTERM && err != nil {
		t.Errorf("%v\n%s", err, n.log)
	}
}

func (n *installed) login() (*sftp.Client, error) {
	c, err := ssh.Dial("tcp", n.sftp, &ssh.ClientConfig{
		User: "kim", Auth: []ssh.AuthMethod{ssh.Password(nodePassword)}, HostKeyCallback: ssh.FixedHostKey(n.key), Timeout: 20 * time.Second,
	})
	if err != nil {
		return nil, err
	}
	return sftp.NewClient(c)
}

func (n *installed) mustLogIn(t *testing.T) *sftp.Client {
	t.Helper()
	c, err := n.login()
	if err != nil {
		t.Fatalf("%v\n%s", err, n.log)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func upload(c *sftp.Client, name, content string) error {
	f, err := c.Create(name)
	if err != nil {
		return err
	}
	_, err = f.Write([]byte(content))
	return errors.Join(err, f.Close())
}

func TestTheServerServesItsSitesAndFindsEverythingAfterAKillAndARestart(t *testing.T) {
	n := newInstalled(t)
	n.run(t)
	check(t, upload(n.mustLogIn(t), "/f", "content"))
	h, err := n.health()
	check(t, err)
	if len(h.Bindings) != 1 || !h.Bindings[0].Listening || h.Bindings[0].Address != n.sftp {
		t.Errorf("%+v", h)
	}
	for name, mode := range map[string]os.FileMode{"var/keyring": 0o700, "var/keyring/master-0001.key": 0o600, "var/3/listening.json": 0o600} {
		if info, err := os.Stat(n.path(name)); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
	for _, signal := range []syscall.Signal{syscall.SIGKILL, syscall.SIGTERM} {
		n.end(t, signal)
		n.run(t)
		c := n.mustLogIn(t)
		if info, err := c.Stat("/f"); err != nil || info.Size() != 7 {
			t.Errorf("after %s: %v, %v", signal, info, err)
		}
	}
	n.end(t, syscall.SIGTERM)
	written, err := os.ReadFile(n.path("var/3/listening.json"))
	if err != nil || !strings.Contains(string(written), `"name":"sftp","address":"`+n.sftp+`","listening":true`) {
		t.Errorf("%s, %v", written, err)
	}
	n.write(t, func(_ *sites.Manager, e *engine.Engine) {
		check(t, e.Read(func(r *engine.Reader) error {
			did, err := r.Activity(model.UserKey("main", "kim"))
			if did.LastFrom != "127.0.0.1" {
				t.Errorf("the last log-in: %+v", did)
			}
			return err
		}))
	})
	log, err := os.ReadFile(n.path("log/audit/audit.jsonl"))
	check(t, err)
	for _, want := range []string{`"event":"session.login","outcome":"done","by":"user/kim","from":"127.0.0.1"`, `"event":"file.upload"`, `"object":"/f"`} {
		if !strings.Contains(string(log), want) {
			t.Errorf("the audit log has no %s:\n%s", want, log)
		}
	}
}

// TestASiteThatRefusesThisMachineSaysSoToWhoLooksWhetherItServes: an update gets no greeting
// there, and does not fail for that.
func TestASiteThatRefusesThisMachineSaysSoToWhoLooksWhetherItServes(t *testing.T) {
	n := newInstalled(t)
	n.write(t, func(_ *sites.Manager, e *engine.Engine) {
		_, err := e.Write(t.Context(), "superadmin/sa", func(tx *engine.Tx) error {
			return tx.Create(&model.Entry{Site: "main", List: model.ListAllow, Network: "10.0.0.0/8", Reason: model.ReasonManual})
		})
		check(t, err)
	})
	n.run(t)
	h, err := n.health()
	if err != nil || len(h.Bindings) != 1 || !h.Bindings[0].Listening || strings.Join(h.Bindings[0].RefusedFrom, " ") != "127.0.0.1" {
		t.Errorf("%+v, %v", h, err)
	}
	if _, err := n.login(); err == nil {
		t.Error("the allow list does not hold")
	}
	n.end(t, syscall.SIGTERM)
	written, err := os.ReadFile(n.path("var/3/listening.json"))
	if err != nil || !strings.Contains(string(written), `"refused_from":["127.0.0.1"]`) {
		t.Errorf("%s, %v", written, err)
	}
}

func TestAPortThatIsTakenIsNamedAndTheServerServesTheRest(t *testing.T) {
	n := newInstalled(t)
	taken, err := net.Listen("tcp", n.sftp)
	check(t, err)
	n.run(t)
	h, err := n.health()
	check(t, err)
	if !h.Ready || len(h.Bindings) != 1 || h.Bindings[0].Listening || !strings.Contains(h.Bindings[0].Problem, "in use") {
		t.Errorf("%+v", h)
	}
	check(t, taken.Close())
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		c, err := n.login()
		if err == nil {
			_ = c.Close()
			break
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
	n.end(t, syscall.SIGTERM)
}

func TestAStopLetsAnUploadEndAndTakesLogInsMeanwhile(t *testing.T) {
	n := newInstalled(t)
	n.run(t)
	f, err := n.mustLogIn(t).Create("/long")
	check(t, err)
	_, err = f.Write([]byte("begin "))
	check(t, err)
	ended := make(chan struct{})
	check(t, n.cmd.Process.Signal(syscall.SIGTERM))
	go func() {
		_ = n.cmd.Wait()
		close(ended)
	}()
	time.Sleep(300 * time.Millisecond)
	other, err := n.login()
	if err != nil {
		t.Fatalf("no log-in while transfers end: %v", err)
	}
	_ = other.Close()
	if _, err := n.health(); err != nil {
		t.Errorf("no health while transfers end: %v", err)
	}
	_, err = f.Write([]byte("and end"))
	check(t, errors.Join(err, f.Close()))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	select {
	case <-ended:
	case <-ctx.Done():
		t.Fatal("it does not end")
	}
	if got, err := os.ReadFile(n.path("files/kim/long")); string(got) != "begin and end" {
		t.Errorf("%q, %v", got, err)
	}
}

// ask sends a request to the REST interface and wants it to go well.
func (n *installed) ask(t *testing.T, token, method, path string, body any) {
	t.Helper()
	text, err := json.Marshal(body)
	check(t, err)
	req, err := http.NewRequest(method, "https://"+n.web+"/api/v1"+path, bytes.NewReader(text))
	check(t, err)
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("If-Match", "*")
	req.Header.Set("Content-Type", "application/json")
	if method == http.MethodPatch {
		req.Header.Set("Content-Type", "application/merge-patch+json")
	}
	resp, err := insecure().Do(req)
	check(t, err)
	defer resp.Body.Close()
	var answer bytes.Buffer
	_, _ = answer.ReadFrom(resp.Body)
	if resp.StatusCode >= 300 {
		t.Fatalf("%s %s: %s %s", method, path, resp.Status, &answer)
	}
}

func TestWhatIsChangedByRESTHoldsForSessionsThatRunAndSitesThatAreAddedServe(t *testing.T) {
	n := newInstalled(t)
	out, err := exec.Command(name, "token", "add", "lab", "--super", "--json", "--home", n.path("current"), "--state", n.path("var"), "--control", n.path("run/c")).Output()
	check(t, err)
	var made struct {
		Secret string `json:"secret"`
	}
	check(t, json.Unmarshal(out, &made))
	n.run(t)
	c := n.mustLogIn(t)
	n.ask(t, made.Secret, http.MethodPatch, "/sites/main/users/kim", map[string]any{"disabled": true})
	if _, err := c.Getwd(); err == nil {
		t.Error("a disabled user goes on")
	}
	if _, err := n.login(); err == nil {
		t.Error("a disabled user is let in")
	}
	n.ask(t, made.Secret, http.MethodPatch, "/sites/main/users/kim", map[string]any{"disabled": false})
	check(t, upload(n.mustLogIn(t), "/f", "x"))

	address := freeAddress(t)
	_, port, err := net.SplitHostPort(address)
	check(t, err)
	number, err := strconv.Atoi(port)
	check(t, err)
	n.ask(t, made.Secret, http.MethodPost, "/sites", map[string]any{"name": "second"})
	n.ask(t, made.Secret, http.MethodPost, "/sites/second/bindings", map[string]any{"name": "sftp", "node": "romantic-lovelace", "address": "127.0.0.1", "port": number})
	n.ask(t, made.Secret, http.MethodPost, "/sites/second/vfs", map[string]any{"name": "vault", "type": "encrypted", "root": n.path("vault")})
	n.ask(t, made.Secret, http.MethodPost, "/sites/second/users", map[string]any{
		"name": "kim", "password": map[string]any{"clear": nodePassword}, "home": map[string]any{"vfs": "vault", "permissions": []string{"list", "upload"}},
	})
	client, err := ssh.Dial("tcp", address, &ssh.ClientConfig{
		User: "kim", Auth: []ssh.AuthMethod{ssh.Password(nodePassword)}, HostKeyCallback: ssh.InsecureIgnoreHostKey(), Timeout: 20 * time.Second,
	})
	if err != nil {
		t.Fatalf("the new site: %v\n%s", err, n.log)
	}
	defer client.Close()
	files, err := sftp.NewClient(client)
	check(t, err)
	check(t, upload(files, "/f", "in plain"))
	if raw, err := os.ReadFile(n.path("vault/f")); err != nil || strings.Contains(string(raw), "in plain") {
		t.Errorf("%q, %v", raw, err)
	}
	n.end(t, syscall.SIGTERM)
}

func TestTheListsOfTheServerHoldForTheWebInterface(t *testing.T) {
	n := newInstalled(t)
	n.write(t, func(_ *sites.Manager, e *engine.Engine) {
		_, err := e.Write(t.Context(), "superadmin/sa", func(tx *engine.Tx) error {
			return tx.Create(&model.Entry{List: model.ListBlock, Network: "127.0.0.2"})
		})
		check(t, err)
	})
	n.run(t)
	for from, want := range map[string]int{"127.0.0.1": http.StatusUnauthorized, "127.0.0.2": http.StatusForbidden} {
		client := insecure()
		client.Transport.(*http.Transport).DialContext = (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}).DialContext
		resp, err := client.Get("https://" + n.web + "/api/v1/me")
		check(t, err)
		if resp.Body.Close(); resp.StatusCode != want {
			t.Errorf("from %s: %s", from, resp.Status)
		}
	}
	n.end(t, syscall.SIGTERM)
}

func TestStatusListsTheSitesOfARunningAndOfAStoppedServer(t *testing.T) {
	n := newInstalled(t)
	status := func(args ...string) string {
		t.Helper()
		args = append([]string{"status", "--home", n.path("current"), "--state", n.path("var"), "--control", n.path("run/c")}, args...)
		out, err := exec.Command(name, args...).CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return string(out)
	}
	is := func(text string, want ...string) {
		t.Helper()
		for _, w := range want {
			if !strings.Contains(text, w) {
				t.Errorf("%q is not told:\n%s", w, text)
			}
		}
	}
	is(status(), "The server is not running.\n", "main  stopped  0         sftp     "+n.sftp+"  does not listen\n")
	n.run(t)
	n.mustLogIn(t)
	is(status(), "main  running  1         sftp     "+n.sftp+"  listens\n")
	var answer serverStatus
	check(t, json.Unmarshal([]byte(status("--json")), &answer))
	if !answer.Running || len(answer.Sites) != 1 || !answer.Sites[0].Bindings[0].Listening {
		t.Errorf("%+v", answer)
	}
	n.end(t, syscall.SIGTERM)
}
