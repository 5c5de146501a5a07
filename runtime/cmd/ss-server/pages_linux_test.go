package main

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"ss-setup/runtime/auth"
	"ss-setup/runtime/engine"
	"ss-setup/runtime/model"
	"ss-setup/runtime/sites"
)

// visitor is a browser at a running server.
type visitor struct {
	t      *testing.T
	at     string
	client *http.Client
	path   string
	page   string
}

func (n *installed) visitor(t *testing.T) *visitor {
	jar, err := cookiejar.New(nil)
	check(t, err)
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	return &visitor{t: t, at: "https://" + n.web, client: &http.Client{Jar: jar, Transport: transport, Timeout: 30 * time.Second}}
}

func (v *visitor) do(method, path, media string, body io.Reader) error {
	v.t.Helper()
	r, err := http.NewRequest(method, v.at+path, body)
	check(v.t, err)
	r.Header.Set("Content-Type", media)
	resp, err := v.client.Do(r)
	if err != nil {
		return err
	}
	text, err := io.ReadAll(resp.Body)
	v.page, v.path = string(text), resp.Request.URL.Path
	return errors.Join(err, resp.Body.Close())
}

func (v *visitor) get(path string) {
	v.t.Helper()
	check(v.t, v.do(http.MethodGet, path, "", nil))
}

func (v *visitor) post(path string, form url.Values) {
	v.t.Helper()
	if found := regexp.MustCompile(`name="csrf" value="([^"]+)"`).FindStringSubmatch(v.page); found != nil {
		form.Set("csrf", found[1])
	}
	check(v.t, v.do(http.MethodPost, path, "application/x-www-form-urlencoded", strings.NewReader(form.Encode())))
}

func (v *visitor) signIn() {
	v.t.Helper()
	v.get("/login")
	v.post("/login", url.Values{"name": {"sa"}, "password": {nodePassword}})
	v.says("Overview")
}

func (v *visitor) says(texts ...string) {
	v.t.Helper()
	for _, text := range texts {
		if !strings.Contains(v.page, text) {
			v.t.Fatalf("%s does not say %q: %s", v.path, text, v.page)
		}
	}
}

func (v *visitor) upload(path string) {
	v.t.Helper()
	v.get("/restore")
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	check(v.t, form.WriteField("csrf", regexp.MustCompile(`name="csrf" value="([^"]+)"`).FindStringSubmatch(v.page)[1]))
	part, err := form.CreateFormFile("file", filepath.Base(path))
	check(v.t, err)
	content, err := os.ReadFile(path)
	check(v.t, err)
	_, err = part.Write(content)
	check(v.t, errors.Join(err, form.Close()))
	check(v.t, v.do(http.MethodPost, "/restore", form.FormDataContentType(), &body))
	v.looked()
}

// looked waits until the file was looked at, or a backup is made: a passphrase takes its time.
func (v *visitor) looked() {
	v.t.Helper()
	page := v.path
	for deadline := time.Now().Add(time.Minute); strings.Contains(v.page, "data-working>"); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			v.t.Fatal(v.page)
		}
		v.get(page)
	}
}

// inForce waits until the server that starts anew tells the end.
func (v *visitor) inForce(page string) {
	v.t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) {
		if err := v.do(http.MethodGet, page, "", nil); err == nil && strings.Contains(v.page, `name="password"`) {
			v.signIn()
		} else if err == nil && strings.Contains(v.page, "In force") {
			return
		}
		if time.Now().After(deadline) {
			v.t.Fatal(v.page)
		}
	}
}

// addSuperAdmin makes sa, who can sign in to the pages.
func (n *installed) addSuperAdmin(t *testing.T) {
	t.Helper()
	h, err := auth.NewHasher(auth.DefaultParams)
	check(t, err)
	hash, err := h.Hash(t.Context(), []byte(nodePassword))
	check(t, err)
	n.write(t, func(_ *sites.Manager, e *engine.Engine) {
		_, err := e.Write(t.Context(), "system", func(tx *engine.Tx) error {
			return tx.Create(&model.SuperAdmin{Head: model.Head{Name: "sa"}, Contact: model.Contact{Email: "sa@example.com", Password: model.Password{Hash: hash}}})
		})
		check(t, err)
	})
}

func TestAnOldBackupIsImportedAndABackupRestoredByThePages(t *testing.T) {
	n := newInstalled(t)
	n.addSuperAdmin(t)
	n.run(t)
	v := n.visitor(t)
	v.signIn()

	v.get("/backup")
	v.post("/backup", url.Values{"passphrase.clear": {nodePassword}, "again.clear": {nodePassword}})
	v.looked()
	v.says("Ready to download", "Encrypted")
	v.get(regexp.MustCompile(`href="(/backup/[A-Z2-7]+)"`).FindStringSubmatch(v.page)[1])
	own := filepath.Join(t.TempDir(), "own.zip.age")
	check(t, os.WriteFile(own, []byte(v.page), 0o600))

	v.upload(oldBackup(t, `[{"id":"anna","home":{"vfsId":"V1"}},{"id":"cloudy","home":{"vfsId":"V2"}}]`))
	v.says("Nothing was changed yet", "6.2.60", "Lost or not as before", "cloudy")
	page := v.path
	seen := func() []string {
		return regexp.MustCompile(`name="seen" value="([^"]*)"`).FindStringSubmatch(v.page)[1:]
	}
	v.post(page+"/import", url.Values{"replace": {"true"}, "seen": seen()})
	v.says("Tick this if what is lost may be lost")
	v.post(page+"/import", url.Values{"replace": {"true"}, "seen": seen(), "accept": {"true"}})
	v.inForce(page)
	v.says("kept as", "report.html")
	v.get("/sites/default/users")
	v.says("anna")

	v.upload(own)
	v.says("The backup is encrypted")
	page = v.path
	v.post(page+"/look", url.Values{"passphrase.clear": {"not the right words"}})
	v.looked()
	v.says("another passphrase")
	v.post(page+"/look", url.Values{"passphrase.clear": {nodePassword}})
	v.looked()
	v.says("romantic-lovelace", "Put it in force")
	v.post(page+"/import", url.Values{"replace": {"true"}, "seen": seen()})
	v.inForce(page)
	v.get("/sites/main/users")
	v.says("kim")
	n.end(t, syscall.SIGTERM)
	for _, pattern := range []string{"upload-*.part", "restore-*.part", "backup-*.part"} {
		if left, _ := filepath.Glob(n.path("var/3/" + pattern)); len(left) > 0 {
			t.Error("left behind:", left)
		}
	}
	log, err := os.ReadFile(n.path("log/audit/audit.jsonl"))
	check(t, err)
	for _, event := range []string{"backup.restoring", "backup.restore"} {
		if got := strings.Count(string(log), `"event":"`+event+`","outcome":"done","by":"superadmin/sa","from":"127.0.0.1"`); got != 2 {
			t.Errorf("the audit log tells of %d times %s:\n%s", got, event, log)
		}
	}
}
