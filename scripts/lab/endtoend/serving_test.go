//go:build linux && lab

package endtoend

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"time"

	"ss-setup/scripts/lab"
)

// api is the REST interface of a machine's server, as root uses it.
type api struct {
	b     *box
	token string
}

func (b *box) api() *api {
	b.t.Helper()
	out := b.MustExec("/opt/ss-server/current/release/bin/ss-server", "token", "add", "lab", "--super")
	token, _, _ := strings.Cut(out, "\n")
	return &api{b, token}
}

func (a *api) do(method, path, body string) string {
	a.b.t.Helper()
	r := lab.NewREST(a.b.Dial, a.token)
	defer r.Close()
	status, answer, err := r.Send(a.b.t.Context(), method, path, body)
	if err != nil || status >= 300 {
		a.b.t.Fatalf("%s %s: %d, %v: %s", method, path, status, err, answer)
	}
	return answer
}

const (
	sitePort     = "2022"
	userPassword = "Correct-horse-battery-9"
)

// furnish makes a site with a plain VFS and the user kim.
func (a *api) furnish() {
	a.b.t.Helper()
	a.b.MustExec("install", "-d", "-o", "ss-server", "-g", "ss-server", "-m", "700", "/srv/files", "/srv/vault")
	a.do("POST", "/nodes", `{"name":"one"}`)
	a.do("POST", "/sites", `{"name":"main"}`)
	a.do("POST", "/sites/main/bindings", fmt.Sprintf(`{"name":"sftp","node":"one","port":%s}`, sitePort))
	a.do("POST", "/sites/main/vfs", `{"name":"files","type":"disk","root":"/srv/files"}`)
	a.user("kim", "files")
}

// vault adds an encrypted VFS and the user eve.
func (a *api) vault() {
	a.b.t.Helper()
	a.do("POST", "/sites/main/vfs", `{"name":"vault","type":"encrypted","root":"/srv/vault"}`)
	a.user("eve", "vault")
}

func (a *api) user(name, vfs string) {
	a.b.t.Helper()
	a.do("POST", "/sites/main/users", fmt.Sprintf(
		`{"name":%q,"password":{"clear":%q},"home":{"vfs":%q,"path":"/","permissions":["list","download","upload"]}}`, name, userPassword, vfs))
}

func (b *box) uploads(user, name, text string) {
	b.t.Helper()
	b.MustExec("sh", "-c", fmt.Sprintf("printf %%s '%s' | curl -sSk -u %s:%s -T - sftp://127.0.0.1:%s/%s", text, user, userPassword, sitePort, name))
}

// download is what a user downloads; the code is curl's.
func (b *box) download(user, name string) (text string, code int) {
	b.t.Helper()
	text, _, code = b.Exec(context.Background(), "curl", "-sSk", "-m", "10", "-u", user+":"+userPassword, "sftp://127.0.0.1:"+sitePort+"/"+name)
	return text, code
}

func (b *box) downloads(user, name, want string) {
	b.t.Helper()
	if text, code := b.download(user, name); text != want || code != 0 {
		b.t.Errorf("%s downloads %q (%d), want %q", user, text, code, want)
	}
}

const loginDenied = 67 // of curl

func TestWhatUsersHaveSurvivesAnUpdateARollbackAndAnUpdate(t *testing.T) {
	b := from(t, lab.Options{}, "7.0.0", "7.0.1")
	b.serves(recoveryTime, "7.0.0")
	a := b.api()
	a.furnish()
	b.uploads("kim", "plain.txt", "plain")
	b.downloads("kim", "plain.txt", "plain")
	// Users of the web see another certificate than the one that ss-setup knows.
	a.do("POST", "/certificates", `{"name":"web","type":"self-signed","domains":["files.example.com"]}`)
	a.do("PATCH", "/settings", `{"web":{"certificate":"web"}}`)
	b.MustExec("sh", "-c", "curl -svk https://127.0.0.1:6443/healthz 2>&1 | grep -q 'CN *= *files.example.com'")
	// A site that lets nobody of this machine in can be updated and gone back from.
	a.do("POST", "/sites", `{"name":"fenced"}`)
	a.do("POST", "/sites/fenced/bindings", `{"name":"sftp","node":"one","port":2023}`)
	a.do("POST", "/sites/fenced/entries", `{"list":"allow","network":"10.0.0.0/8"}`)

	b.must("7.0.1", updateArgs()...)
	b.serves(recoveryTime, "7.0.1")
	b.downloads("kim", "plain.txt", "plain")
	a.vault()
	b.uploads("eve", "sealed.txt", "words nobody sees")
	b.downloads("eve", "sealed.txt", "words nobody sees")
	if out := b.MustExec("sh", "-c", "grep -rl 'words nobody' /srv/vault || true"); out != "" {
		t.Errorf("in plain on the disk: %s", out)
	}
	a.do("PATCH", "/sites/main/users/kim", `{"disabled":true}`)
	if _, code := b.download("kim", "plain.txt"); code != loginDenied {
		t.Errorf("a disabled user gets %d, want %d", code, loginDenied)
	}

	// What the rollback undoes is told first, and kept.
	undoes := []string{`user "kim" of site main was changed by `, "disabled true", `user "eve" of site main was created`, `VFS "vault" of site main was created`}
	r := b.must("7.0.1", "rollback", "--yes", "--health-timeout", healthTimeout.String())
	kept := b.MustExec("cat", "/opt/ss-server/generations/2/undone.txt")
	for _, want := range undoes {
		if !strings.Contains(r.stdout+r.stderr, want) || !strings.Contains(kept, want) {
			t.Errorf("no %q in %s\nnor in what is kept: %s", want, r, kept)
		}
	}
	b.serves(recoveryTime, "7.0.0")
	b.downloads("kim", "plain.txt", "plain")
	if _, code := b.download("eve", "sealed.txt"); code != loginDenied {
		t.Errorf("a user of the newer generation gets %d, want %d", code, loginDenied)
	}

	// The key ring never goes back: the VFS is taken over where it is.
	b.must("7.0.1", append(updateArgs(), "--yes")...)
	b.serves(recoveryTime, "7.0.1")
	a.vault()
	b.downloads("eve", "sealed.txt", "words nobody sees")
	b.downloads("kim", "plain.txt", "plain")
	b.settled(recoveryTime)
	b.must("7.0.1", "verify")
}

// TestAPowerCutLosesNoAcknowledgedChange makes users one after another while the power
// goes. After each boot those are there that the server had said yes to, and at most the
// one that it had not answered for.
func TestAPowerCutLosesNoAcknowledgedChange(t *testing.T) {
	b := from(t, lab.Options{}, "7.0.0")
	b.serves(recoveryTime, "7.0.0")
	a := b.api()
	a.furnish()
	rng := rand.New(rand.NewPCG(20261122, 1))
	known := map[string]bool{"kim": true}
	for cut := range objectCuts {
		w := a.writer(cut)
		time.Sleep(time.Duration(50+rng.IntN(600)) * time.Millisecond)
		b.Kill9(lab.SystemFirst, 0)
		acknowledged, open := w.end()
		b.Start()
		b.serves(recoveryTime, "7.0.0")
		there := a.users()
		for _, name := range acknowledged {
			known[name] = true
		}
		for name := range known {
			if !there[name] {
				t.Errorf("cut %d: %s is lost", cut, name)
			}
		}
		for name := range there {
			if !known[name] && name != open {
				t.Errorf("cut %d: nobody made %s", cut, name)
			}
			known[name] = true
		}
		t.Logf("cut %d: %d users acknowledged", cut, len(acknowledged))
	}
	b.service("stop", "ss-server")
	b.MustExec("/opt/ss-server/current/release/bin/ss-server", "check", "--data", "/opt/ss-server/current/data")
	if !t.Failed() {
		count(t, "power cuts while users are made", objectCuts)
	}
}

// writer makes users until the machine is gone.
type writer struct {
	acknowledged []string
	open         string // the last one, if it was not answered for
	done         chan struct{}
}

func (a *api) writer(run int) *writer {
	w := &writer{done: make(chan struct{})}
	r := lab.NewREST(a.b.Dial, a.token)
	go func() {
		defer close(w.done)
		defer r.Close()
		for i := 0; ; i++ {
			w.open = fmt.Sprintf("user-%d-%d", run, i)
			ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
			status, _, err := r.Send(ctx, http.MethodPost, "/sites/main/users", fmt.Sprintf(`{"name":%q}`, w.open))
			cancel()
			switch {
			case err != nil:
				return
			case status == http.StatusCreated:
				w.acknowledged, w.open = append(w.acknowledged, w.open), ""
			case status == http.StatusTooManyRequests:
				time.Sleep(100 * time.Millisecond)
			default:
				return
			}
		}
	}()
	return w
}

func (w *writer) end() (acknowledged []string, open string) {
	<-w.done
	return w.acknowledged, w.open
}

// users are the names of all users of the site.
func (a *api) users() map[string]bool {
	a.b.t.Helper()
	names, after := map[string]bool{}, ""
	for {
		var page struct {
			Items []struct{ Name string }
			More  bool
			Next  string
		}
		if err := json.Unmarshal([]byte(a.do("GET", "/sites/main/users?limit=1000&after="+after, "")), &page); err != nil {
			a.b.t.Fatal(err)
		}
		for _, u := range page.Items {
			names[u.Name] = true
		}
		if after = page.Next; !page.More {
			return names
		}
	}
}
