package web

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"ss-setup/runtime/model"
)

func lineOf(t *testing.T, public any) string {
	t.Helper()
	key, err := ssh.NewPublicKey(public)
	check(t, err)
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key)))
}

func TestKeysOfAUserAreShownWithTypeSizeFingerprintAndVerdict(t *testing.T) {
	w := furnished(t)
	public, _, err := ed25519.GenerateKey(rand.Reader)
	check(t, err)
	sound := lineOf(t, public)
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	check(t, err)
	u := w.user("anna")
	u.Keys = []model.PublicKey{{Name: hostile, Key: sound}, {Name: "old", Key: lineOf(t, &small.PublicKey)}}
	w.write(u)
	b := w.as("sa").get("/sites/main/users/anna").says(http.StatusOK, "ssh-ed25519", "Sound", "1024 bits", "Weak", w.user("anna").Keys[0].Fingerprint, hostile)
	if strings.Contains(b.page, "<img") {
		t.Error("the name of a key is more than text")
	}
	u = w.user("anna")
	u.Keys[0].Expires = start
	w.write(u)
	b.get("/sites/main/users/anna").says(http.StatusOK, "Expired").keepsQuiet("Sound")
}

func TestTheHostKeysOfASiteAreShownWithTheirVerdict(t *testing.T) {
	w := furnished(t)
	b := w.as("sa").get("/sites/main/new/hostkeys").send(url.Values{"name": {"spare"}}).says(http.StatusOK, "Made.")
	b.get("/sites/main").says(http.StatusOK, "ssh-ed25519", "Sound")
	b.get("/sites/main/hostkeys/spare").send(url.Values{"disabled": {"on"}})
	b.get("/sites/main").says(http.StatusOK, "Disabled").keepsQuiet("Sound")
}

func TestWhatAUserMayWhereIsShownAndAPathCanBeTried(t *testing.T) {
	w := furnished(t)
	w.write(
		&model.VFS{Head: model.Head{Name: "more"}, Site: "main", Root: "/srv/ss-server/main/more"},
		&model.Group{Head: model.Head{Name: "staff"}, Site: "main", Profile: model.Profile{Folders: []model.VirtualFolder{
			{Mount: "/in", Hidden: true, Folder: model.Folder{VFS: "more", Path: "/inbox/" + model.UserMark, Permissions: model.Permissions{model.PermList, model.PermUpload, model.PermLink}}},
		}}},
	)
	u := w.user("anna")
	u.Groups, u.Overrides = []string{"staff"}, []model.PathPermissions{{Path: "/in/done", Permissions: model.Permissions{model.PermList}}}
	w.write(u)
	b := w.as("vera").get("/sites/main/users/anna").says(http.StatusOK, "What the user may where", "more:/inbox/anna, hidden", "/in/done", "not in this storage", "Overwrite files")
	for path, texts := range map[string][]string{
		"/x/y.txt":      {"storage files", "/x/y.txt", "Download"},
		"/in/a.txt":     {"storage more", "/inbox/anna/a.txt", "seen below", "List folders, Upload", "Make symbolic links"},
		"/in/done/a":    {"/inbox/anna/done/a", "/in/done", "May not"},
		"/in/a\x00":     {`id="path-wrong"`, "write it as the user sees it"},
		"/<img src=x>/": {"storage files"},
	} {
		b.get("/sites/main/users/anna?path="+url.QueryEscape(path)).says(http.StatusOK, texts...)
		if strings.Contains(b.page, "<img") {
			t.Errorf("%s is more than text", path)
		}
	}
	w.as("sa").get("/sites/other/users/hidden-bert?path=/x").says(http.StatusOK).keepsQuiet("What the user may where")
	w.as("otto").get("/sites/other/users/hidden-bert?path=/x").says(http.StatusForbidden)
}

func TestAKeyIsGivenAnEndAndKeepsItUntilItIsTakenAway(t *testing.T) {
	w := furnished(t)
	public, _, err := ed25519.GenerateKey(rand.Reader)
	check(t, err)
	line := lineOf(t, public)
	b := w.as("sa").get("/sites/main/users/anna").send(url.Values{"keys": {`expiry-time="202712311800Z" ` + line + " anna@laptop"}}).says(http.StatusOK, "Saved")
	want := time.Date(2027, 12, 31, 18, 0, 0, 0, time.UTC)
	if k := w.user("anna").Keys[0]; !k.Expires.Equal(want) || k.Name != "anna@laptop" {
		t.Errorf("%+v", k)
	}
	b.says(http.StatusOK, `expiry-time="20271231180000Z" ssh-ed25519`).send(url.Values{"description": {"x"}}).says(http.StatusOK, "Saved")
	if !w.user("anna").Keys[0].Expires.Equal(want) {
		t.Error("it was lost with another change")
	}
	b.send(url.Values{"keys": {`expiry-time="20279999" ` + line}}).says(http.StatusUnprocessableEntity, "It is not a public key")
	b.send(url.Values{"keys": {line}}).says(http.StatusOK, "Saved")
	if !w.user("anna").Keys[0].Expires.IsZero() {
		t.Error("it stays")
	}
}
