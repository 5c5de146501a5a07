package sites_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"

	"ss-setup/runtime/auth"
	"ss-setup/runtime/engine"
	"ss-setup/runtime/model"
	"ss-setup/runtime/protector"
	"ss-setup/runtime/sftpd"
	"ss-setup/runtime/sftpd/sftpdtest"
	"ss-setup/runtime/sites"
)

func TestAUserOfTheModelStoresFilesAndFindsThemAfterARestart(t *testing.T) {
	w := newWorld(t)
	put(t, w.sftp(t, nil), "/f", "content")
	if got, err := os.ReadFile(filepath.Join(w.dir, "files", "users", "kim", "f")); err != nil || string(got) != "content" {
		t.Errorf("%q, %v", got, err)
	}
	w.close(t)
	w.open(t)
	if got := get(t, w.sftp(t, nil), "/f"); got != "content" {
		t.Errorf("after a restart: %q", got)
	}
	eventually(t, "the log-in is noted", func() bool {
		var did engine.Activity
		must(t, w.engine.Read(func(r *engine.Reader) (err error) {
			did, err = r.Activity(model.UserKey("main", "kim"))
			return err
		}))
		return did.LastFrom == "127.0.0.1" && !did.LastLogin.IsZero()
	})
}

func TestWhatIsTakenFromAUserEndsHisSessions(t *testing.T) {
	key, other := sftpdtest.NewKey(t), sftpdtest.NewKey(t)
	publicKey := func(k ssh.Signer) model.PublicKey {
		return model.PublicKey{Key: string(ssh.MarshalAuthorizedKey(k.PublicKey()))}
	}
	byKey := func(c *ssh.ClientConfig) { c.Auth = []ssh.AuthMethod{ssh.PublicKeys(key)} }
	for name, tt := range map[string]struct {
		login func(*ssh.ClientConfig)
		take  func(t *testing.T, w *world)
		ends  string
	}{
		"the account":  {nil, func(t *testing.T, w *world) { w.change(t, func(u *model.User) { u.Disabled = true }) }, "disabled"},
		"the user":     {nil, func(t *testing.T, w *world) { w.delete(t, model.UserKey("main", "kim")) }, "no such user"},
		"the key":      {byKey, func(t *testing.T, w *world) { w.change(t, func(u *model.User) { u.Keys = u.Keys[1:] }) }, "key was removed"},
		"another key":  {byKey, func(t *testing.T, w *world) { w.change(t, func(u *model.User) { u.Keys = u.Keys[:1] }) }, ""},
		"the password": {nil, func(t *testing.T, w *world) { w.change(t, func(u *model.User) { u.Password.Changed = time.Now() }) }, "password was changed"},
		"the password of whoever came by key": {byKey, func(t *testing.T, w *world) {
			w.change(t, func(u *model.User) { u.Password.Changed = time.Now() })
		}, ""},
		"a right": {nil, func(t *testing.T, w *world) {
			w.change(t, func(u *model.User) { u.Home.Permissions = model.Permissions{model.PermList} })
		}, "rights or folders"},
		"a right below": {nil, func(t *testing.T, w *world) {
			w.change(t, func(u *model.User) {
				u.Overrides = []model.PathPermissions{{Path: "/x", Permissions: model.Permissions{model.PermList}}}
			})
		}, "rights or folders"},
		"the group": {nil, func(t *testing.T, w *world) {
			g := group()
			g.Disabled = true
			w.write(t, g)
		}, "disabled"},
		"the folder of the group": {nil, func(t *testing.T, w *world) { w.write(t, group()) }, "rights or folders"},
		"times":                   {nil, func(t *testing.T, w *world) { w.change(t, func(u *model.User) { u.DisableFrom = time.Now() }) }, "no longer be used"},
		"the address": {nil, func(t *testing.T, w *world) {
			w.change(t, func(u *model.User) { u.AllowFrom = []string{"192.0.2.0/24"} })
		}, "from this address"},
		"the VFS's place": {nil, func(t *testing.T, w *world) {
			v := vfs("main", "files", filepath.Join(w.dir, "elsewhere"))
			must(t, w.MakeVFS(v))
			w.write(t, v)
		}, "rights or folders"},
		"the address for everybody": {nil, func(t *testing.T, w *world) {
			w.write(t, &model.Entry{List: model.ListBlock, Network: "127.0.0.0/8", Reason: model.ReasonManual})
		}, "kept out"},
		"a place on the allow list": {nil, func(t *testing.T, w *world) {
			w.write(t, &model.Entry{Site: "main", List: model.ListAllow, Network: "192.0.2.1", Reason: model.ReasonManual})
		}, "kept out"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			g := group()
			g.Folders = []model.VirtualFolder{{Mount: "/team", Folder: model.Folder{VFS: "files", Path: "/team", Permissions: model.UsualPermissions()}}}
			w.write(t, g)
			w.change(t, func(u *model.User) {
				u.Groups = []string{"staff"}
				u.Keys = []model.PublicKey{publicKey(key), publicKey(other)}
			})
			c := w.sftp(t, tt.login)
			put(t, c, "/team/f", "x")
			tt.take(t, w)
			if alive(c) != (tt.ends == "") {
				t.Errorf("alive: %v", alive(c))
			}
			if tt.ends != "" {
				eventually(t, "the reason is told", func() bool { return strings.Contains(w.reason(), tt.ends) })
			}
		})
	}
}

func group() *model.Group {
	g := &model.Group{Site: "main"}
	g.Name = "staff"
	return g
}

func TestWhatIsGivenIsSeenInSessionsThatRun(t *testing.T) {
	w := newWorld(t)
	w.change(t, func(u *model.User) { u.Home.Permissions = model.Permissions{model.PermList, model.PermUpload} })
	c := w.sftp(t, nil)
	upload, err := c.Create("/long")
	must(t, err)
	if _, err := c.Stat("/team"); err == nil {
		t.Fatal("it is there already")
	}
	w.change(t, func(u *model.User) {
		u.Home.Permissions = model.UsualPermissions()
		u.Folders = []model.VirtualFolder{{Mount: "/team", Folder: model.Folder{VFS: "files", Path: "/team", Permissions: model.UsualPermissions()}}}
	})
	put(t, c, "/team/f", "for all")
	if got := get(t, c, "/team/f"); got != "for all" {
		t.Errorf("%q", got)
	}
	must(t, c.Mkdir("/dir"))
	_, err = upload.Write([]byte("goes on"))
	must(t, errors.Join(err, upload.Close()))
}

func TestASiteThatIsAddedServesAndOneThatIsRemovedIsGone(t *testing.T) {
	w := newWorld(t)
	other := freePort(t)
	w.write(t, site("other"), hostKey(t, "other", "one"), binding("other", "sftp", other))
	addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(other))
	if banner(t, addr) != "SSH-2.0-SSServer" {
		t.Error("the new site does not answer")
	}
	c := w.sftp(t, nil)
	w.delete(t, binding("other", "sftp", other).Key(), hostKey(t, "other", "one").Key(), model.SiteKey("other"))
	eventually(t, "it is gone", func() bool {
		l, err := net.Listen("tcp", addr)
		if err == nil {
			_ = l.Close()
		}
		return err == nil
	})
	if !alive(c) || len(w.Status()) != 1 {
		t.Errorf("the other site: alive %v, %+v", alive(c), w.Status())
	}
}

// banner is the first line that a server sends; empty if none answers.
func banner(t *testing.T, addr string) string {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return ""
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	line, _ := bufio.NewReader(c).ReadString('\n')
	return strings.TrimSpace(line)
}

func TestABindingWhosePortIsTakenIsNamedAndServesWhenItIsFree(t *testing.T) {
	w := newWorld(t)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	port := taken.Addr().(*net.TCPAddr).Port
	w.write(t, binding("main", "second", port))
	status := w.Status()[0]
	if b := status.Bindings[0]; b.Name != "second" || b.Listening || !strings.Contains(b.Problem, "in use") {
		t.Errorf("%+v", status)
	}
	if !alive(w.sftp(t, nil)) {
		t.Error("the binding beside it does not serve")
	}
	must(t, taken.Close())
	eventually(t, "it serves", func() bool { return banner(t, taken.Addr().String()) == "SSH-2.0-SSServer" })
	eventually(t, "its trouble is over", func() bool { b := w.Status()[0].Bindings[0]; return b.Listening && b.Problem == "" })
}

func TestABindingMovesAndItsSessionsStay(t *testing.T) {
	w := newWorld(t)
	c := w.sftp(t, nil)
	old := w.addr()
	w.port = freePort(t)
	w.write(t, binding("main", "sftp", w.port))
	if !alive(c) || !alive(w.sftp(t, nil)) || banner(t, old) != "" {
		t.Errorf("old session %v, old address %q", alive(c), banner(t, old))
	}
	disabled := binding("main", "sftp", w.port)
	disabled.Disabled = true
	w.write(t, disabled)
	if banner(t, w.addr()) != "" {
		t.Error("a disabled binding serves")
	}
}

func TestABindingTellsWhereItsListsRefuseThisMachineItself(t *testing.T) {
	w := newWorld(t)
	everywhere := binding("main", "everywhere", freePort(t))
	everywhere.Address = ""
	w.write(t, everywhere)
	told := func(want string) {
		t.Helper()
		var got []string
		for _, b := range w.Status()[0].Bindings {
			got = append(got, b.Name+" "+strings.Join(b.RefusedFrom, " "))
		}
		if is := strings.Join(got, ", "); is != want {
			t.Errorf("got %q, want %q", is, want)
		}
	}
	told("everywhere , sftp ")
	allowed := &model.Entry{Site: "main", List: model.ListAllow, Network: "10.0.0.0/8", Reason: model.ReasonManual}
	w.write(t, allowed)
	told("everywhere 127.0.0.1 ::1, sftp 127.0.0.1")
	if banner(t, w.addr()) != "" {
		t.Error("it is not refused")
	}
	w.write(t, &model.Entry{Site: "main", List: model.ListAllow, Network: "127.0.0.0/8", Reason: model.ReasonManual})
	told("everywhere ::1, sftp ")
	w.delete(t, allowed.Key(), model.EntryKey("main", model.ListAllow, "127.0.0.0/8"))
	told("everywhere , sftp ")
}

func TestAChangedSiteHoldsForWhoComesNext(t *testing.T) {
	w := newWorld(t)
	c := w.sftp(t, nil)
	s := site("main")
	s.SSH.SoftwareID, s.Limits.PerUser = "Custom", 1
	s.SSH.KeyExchanges = []string{"curve25519-sha256"}
	key := hostKey(t, "main", "one")
	w.write(t, s, key)
	if got := banner(t, w.addr()); got != "SSH-2.0-Custom" {
		t.Errorf("%q", got)
	}
	var seen string
	second, err := w.dial(t, func(c *ssh.ClientConfig) {
		c.HostKeyCallback = func(_ string, _ net.Addr, k ssh.PublicKey) error {
			seen = strings.TrimSpace(string(ssh.MarshalAuthorizedKey(k)))
			return nil
		}
	})
	if err == nil {
		if _, err = sftp.NewClient(second); err == nil {
			t.Error("a second session of the user is served")
		}
	}
	if seen != key.Public || !alive(c) {
		t.Errorf("it shows %s, not %s; alive %v", seen, key.Public, alive(c))
	}
}

func TestEveryAlgorithmThatASiteCanListIsServed(t *testing.T) {
	possible := sftpd.Possible()
	for _, l := range []struct{ listed, served any }{
		{model.KeyExchanges, possible.KeyExchanges},
		{model.Ciphers, possible.Ciphers},
		{model.MACs, possible.MACs},
		{model.Signatures, possible.UserKeys},
	} {
		for _, a := range l.listed.([]model.Algorithm) {
			if !slices.Contains(l.served.([]string), a.Name) {
				t.Errorf("%s can be listed and not be had", a.Name)
			}
		}
	}
}

func TestASiteWithoutAHostKeyIsNamedAndServesWhenItHasOne(t *testing.T) {
	w := newWorld(t)
	port := freePort(t)
	w.write(t, site("bare"), binding("bare", "sftp", port))
	if s := w.Status()[0]; s.Site != "bare" || s.Running || !strings.Contains(s.Problem, "no host key") {
		t.Errorf("%+v", s)
	}
	w.write(t, hostKey(t, "bare", "one"))
	if s := w.Status()[0]; !s.Running || s.Problem != "" || !s.Bindings[0].Listening {
		t.Errorf("%+v", s)
	}
}

func TestAPasswordThatMustBeChangedIsChangedAtTheLogIn(t *testing.T) {
	w := newWorld(t)
	w.change(t, func(u *model.User) { u.Password.MustChange = true })
	if _, err := w.dial(t, nil); err == nil {
		t.Fatal("let in without a new password")
	}
	fresh, tries := "another long password", 0
	change := func(c *ssh.ClientConfig) {
		c.Auth = []ssh.AuthMethod{ssh.Password(password), ssh.KeyboardInteractive(func(_, _ string, questions []string, _ []bool) ([]string, error) {
			if len(questions) == 0 {
				return nil, nil
			}
			tries++
			if tries == 1 {
				return []string{"short", "short"}, nil
			}
			return []string{fresh, fresh}, nil
		})}
	}
	if !alive(w.sftp(t, change)) || tries != 2 {
		t.Errorf("%d tries", tries)
	}
	if u := w.user(t); u.Password.MustChange || u.By != "user/kim" {
		t.Errorf("%+v by %s", u.Password, u.By)
	}
	if _, err := w.dial(t, func(c *ssh.ClientConfig) { c.Auth = []ssh.AuthMethod{ssh.Password(fresh)} }); err != nil {
		t.Error(err)
	}
}

func TestWhoHasAnAppIsAskedForItsCodeInEveryWayAndACodeWorksOnce(t *testing.T) {
	w := newWorld(t)
	key := sftpdtest.NewKey(t)
	secret := auth.NewSecret()
	w.change(t, func(u *model.User) {
		u.TOTP.Secret = model.Secret{Clear: secret}
		u.Keys = []model.PublicKey{{Key: string(ssh.MarshalAuthorizedKey(key.PublicKey()))}}
	})
	if _, err := w.dial(t, nil); err == nil {
		t.Error("in by password alone")
	}
	if _, err := w.dial(t, func(c *ssh.ClientConfig) { c.Auth = []ssh.AuthMethod{ssh.PublicKeys(key)} }); err == nil {
		t.Error("in by key alone")
	}
	code := codeNow(t, secret)
	with := func(c *ssh.ClientConfig) {
		c.Auth = []ssh.AuthMethod{ssh.PublicKeys(key), ssh.KeyboardInteractive(func(_, _ string, questions []string, _ []bool) ([]string, error) {
			return []string{code}[:len(questions)], nil
		})}
	}
	if _, err := w.dial(t, with); err != nil {
		t.Error(err)
	}
	if _, err := w.dial(t, with); err == nil {
		t.Error("the code worked twice")
	}
}

// codeNow finds the code of the moment as an app would: there is one that fits.
func codeNow(t *testing.T, secret string) string {
	t.Helper()
	for n := range 1_000_000 {
		code := fmt.Sprintf("%06d", n)
		if _, err := auth.CheckCode(secret, code, time.Now(), 0); err == nil {
			return code
		}
	}
	t.Fatal("no code fits")
	return ""
}

func TestBeforeTheGenerationIsOpenClientsSeeTheServerAndWait(t *testing.T) {
	w := newWorld(t)
	w.closed.Store(true)
	before := w.engine.Seq()
	for range 30 { // probes are no offence
		if banner(t, w.addr()) == "" {
			t.Fatal("no banner")
		}
	}
	in := make(chan error, 1)
	go func() {
		_, err := w.dial(t, nil)
		in <- err
	}()
	select {
	case err := <-in:
		t.Fatalf("somebody was answered before: %v", err)
	case <-time.After(300 * time.Millisecond):
	}
	if w.engine.Seq() != before {
		t.Error("something was written")
	}
	w.closed.Store(false)
	if err := <-in; err != nil {
		t.Errorf("after it opened: %v", err)
	}
}

func TestWhoGuessesIsBannedInTheModelAndAnAdministratorLetsHimOff(t *testing.T) {
	w := newWorld(t)
	s := site("main")
	s.Protector = model.Protector{Level: model.LevelNormal, Threshold: 3}
	w.write(t, s)
	wrong := func(c *ssh.ClientConfig) { c.Auth = []ssh.AuthMethod{ssh.Password("wrong")} }
	for range 3 {
		_, _ = w.dial(t, wrong)
	}
	key := model.EntryKey("main", model.ListBlock, "127.0.0.1")
	var e *model.Entry
	must(t, w.engine.Read(func(r *engine.Reader) error {
		o, err := r.Get(key)
		if err == nil {
			e = o.(*model.Entry)
		}
		return err
	}))
	if e.Reason != model.ReasonAuth || e.Expires.IsZero() || e.By != "protector" {
		t.Errorf("%+v", e)
	}
	if _, err := w.dial(t, nil); err == nil {
		t.Error("let in during the ban")
	}
	w.close(t)
	w.open(t)
	if _, err := w.dial(t, nil); err == nil {
		t.Error("let in after a restart during the ban")
	}
	w.delete(t, key)
	if _, err := w.dial(t, nil); err != nil {
		t.Errorf("let off: %v", err)
	}
	s.Protector.Level = model.LevelOff
	w.write(t, s)
	for range 6 {
		_, _ = w.dial(t, wrong)
	}
	if _, err := w.dial(t, nil); err != nil {
		t.Errorf("switched off: %v", err)
	}
}

func TestWhoGuessesAtTheWebInterfaceIsBannedFromEverything(t *testing.T) {
	w := newWorld(t)
	settings := &model.Settings{Protector: model.Protector{Threshold: 3}}
	w.write(t, settings)
	guess := func(addr netip.Addr) {
		for range 3 {
			w.Web().Offend(addr, protector.BadLogin)
		}
	}
	stranger, watcher := netip.MustParseAddr("203.0.113.9"), netip.MustParseAddr("203.0.113.10")
	w.write(t, &model.Entry{List: model.ListSafe, Network: watcher.String()})
	guess(stranger)
	guess(watcher)
	if w.Web().Admit(stranger) == nil || w.Web().Admit(watcher) != nil {
		t.Error("the stranger is let in, or the safe address is not")
	}
	key := model.EntryKey("", model.ListBlock, stranger.String())
	must(t, w.engine.Read(func(r *engine.Reader) error {
		o, err := r.Get(key)
		if err == nil && (o.(*model.Entry).Reason != model.ReasonAuth || o.Header().By != "protector") {
			t.Errorf("%+v", o)
		}
		return err
	}))
	w.close(t)
	w.open(t)
	if w.Web().Admit(stranger) == nil {
		t.Error("let in after a restart during the ban")
	}
	w.delete(t, key)
	if err := w.Web().Admit(stranger); err != nil {
		t.Errorf("let off: %v", err)
	}
	// What a site bans is its own affair, and what the settings say holds at once.
	w.write(t, &model.Entry{Site: "main", List: model.ListBlock, Network: stranger.String()})
	settings.Protector.Level = model.LevelOff
	w.write(t, settings)
	guess(stranger)
	if err := w.Web().Admit(stranger); err != nil {
		t.Errorf("switched off: %v", err)
	}
}

// TestABanOfTheWebInterfaceHoldsForSites: it stands in the list of the server.
func TestABanOfTheWebInterfaceHoldsForSites(t *testing.T) {
	w := newWorld(t)
	entry := &model.Entry{List: model.ListBlock, Network: "127.0.0.1", Reason: model.ReasonAuth, Expires: time.Now().Add(time.Hour).UTC()}
	w.write(t, entry)
	if _, err := w.dial(t, nil); err == nil {
		t.Error("let in during the ban")
	}
	w.delete(t, entry.Key())
	if _, err := w.dial(t, nil); err != nil {
		t.Errorf("let off: %v", err)
	}
}

func TestTheMachineItselfIsNotLockedOutOfTheWebInterface(t *testing.T) {
	w := newWorld(t)
	self, other := netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("203.0.113.9")
	for range 2 * protector.Defaults().Threshold {
		w.Web().Offend(self, protector.BadLogin)
	}
	w.write(t, &model.Entry{List: model.ListAllow, Network: "198.51.100.0/24"})
	if w.Web().Admit(self) != nil || w.Web().Admit(other) == nil {
		t.Error("the allow list keeps the machine itself out, or nobody")
	}
	w.write(t, &model.Entry{List: model.ListBlock, Network: "127.0.0.0/8"})
	if w.Web().Admit(self) == nil {
		t.Error("an administrator's word does not hold for it")
	}
}

func TestAQuotaHoldsForTheHomeAndIsKeptOverARestart(t *testing.T) {
	w := newWorld(t)
	w.change(t, func(u *model.User) { u.Quota = model.Quota{Soft: 1000, Hard: 2000} })
	c := w.sftp(t, nil)
	put(t, c, "/a", strings.Repeat("x", 1500))
	if err := tryPut(c, "/b", "x"); err == nil {
		t.Error("an upload began beyond the soft quota")
	}
	w.close(t)
	w.open(t)
	c = w.sftp(t, nil)
	if err := tryPut(c, "/b", "x"); err == nil {
		t.Error("after a restart an upload began beyond the soft quota")
	}
	space, err := c.StatVFS("/")
	must(t, err)
	if total := space.Blocks * space.Frsize; total != 2000 && total > 4096 {
		t.Errorf("room of %d bytes", total)
	}
	must(t, c.Remove("/a"))
	if err := tryPut(c, "/big", strings.Repeat("x", 2500)); err == nil {
		t.Error("beyond the hard quota")
	}
}

// TestAQuotaThatComesBackCountsWhatWasStoredMeanwhile: also what somebody stored who has
// none, or another, for the same folder.
func TestAQuotaThatComesBackCountsWhatWasStoredMeanwhile(t *testing.T) {
	w := newWorld(t)
	for i, q := range []model.Quota{{Hard: 2000}, {Hard: 5000}, {}, {Hard: 2000}} {
		w.change(t, func(u *model.User) { u.Quota = q })
		c := w.sftp(t, nil)
		err := tryPut(c, fmt.Sprintf("/%d", i), strings.Repeat("x", 600))
		if full := i == 3; (err != nil) != full {
			t.Errorf("upload %d: %v", i+1, err)
		}
		must(t, c.Close())
	}
}

func TestAnEncryptedVFSKeepsItsKeyInTheRingAndNamesWhatItCannotOpen(t *testing.T) {
	w := newWorld(t)
	v := vfs("main", "vault", filepath.Join(w.dir, "vault"))
	v.Type, v.Passphrase = model.VFSEncrypted, model.Secret{Clear: "open sesame, please"}
	must(t, w.MakeVFS(v))
	if v.KeyID == "" {
		t.Fatal("no key is named")
	}
	w.write(t, v)
	w.change(t, func(u *model.User) { u.Home.VFS = "vault" })
	put(t, w.sftp(t, nil), "/secret", "in plain")
	raw, err := os.ReadFile(filepath.Join(w.dir, "vault", "users", "kim", "secret"))
	if err != nil || strings.Contains(string(raw), "in plain") {
		t.Errorf("on disk: %q, %v", raw, err)
	}
	w.close(t)
	w.open(t)
	if got := get(t, w.sftp(t, nil), "/secret"); got != "in plain" {
		t.Errorf("%q", got)
	}
	w.close(t)
	must(t, os.Rename(filepath.Join(w.dir, "vault"), filepath.Join(w.dir, "gone")))
	w.open(t)
	c := w.sftp(t, nil)
	if _, err := c.ReadDir("/"); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a VFS that is gone: %v", err)
	}
	must(t, os.Rename(filepath.Join(w.dir, "gone"), filepath.Join(w.dir, "vault")))
	if got := get(t, w.sftp(t, nil), "/secret"); got != "in plain" {
		t.Errorf("when it is back: %q", got)
	}
}

func TestASiteIsStoppedAndStartedByHand(t *testing.T) {
	w := newWorld(t)
	c := w.sftp(t, nil)
	now, cancel := context.WithCancel(t.Context())
	cancel()
	must(t, w.StopSite(now, "main"))
	if alive(c) || banner(t, w.addr()) != "" || w.Status()[0].Running {
		t.Errorf("it goes on: %+v", w.Status())
	}
	w.change(t, func(u *model.User) { u.Email = "kim@example.com" })
	w.write(t, binding("main", "sftp", w.port))
	if banner(t, w.addr()) != "" {
		t.Error("a change started it")
	}
	must(t, w.StartSite("main"))
	if !alive(w.sftp(t, nil)) {
		t.Error("it does not serve")
	}
	if err := w.StartSite("other"); !errors.Is(err, sites.ErrNoSite) {
		t.Errorf("%v", err)
	}
	s := site("main")
	s.Manual = true
	w.write(t, s)
	w.close(t)
	w.open(t)
	if banner(t, w.addr()) != "" {
		t.Error("a site to be started by hand has started")
	}
}

func TestSessionsAreListedAndKicked(t *testing.T) {
	w := newWorld(t)
	c := w.sftp(t, nil)
	list := w.Sessions("")
	if len(list) != 1 || list[0].User != "kim" || list[0].Site != "main" {
		t.Fatalf("%+v", list)
	}
	n, err := w.Kick("main", "a word with the boss", func(s sftpd.Session) bool { return s.ID == list[0].ID })
	if n != 1 || err != nil || alive(c) {
		t.Errorf("%d kicked, %v", n, err)
	}
}

func TestALoadBalancerTellsWhoseConnectionItIsAndMust(t *testing.T) {
	w := newWorld(t)
	b := binding("main", "balanced", freePort(t))
	b.ProxyFrom = []string{"127.0.0.1"}
	w.write(t, b)
	w.port = b.Port
	w.change(t, func(u *model.User) { u.AllowFrom = []string{"192.0.2.7"} })
	dial := func(header string) error {
		raw, err := net.Dial("tcp", w.addr())
		must(t, err)
		defer raw.Close()
		_, err = raw.Write([]byte(header))
		must(t, err)
		c, _, _, err := ssh.NewClientConn(raw, w.addr(), &ssh.ClientConfig{
			User: "kim", Auth: []ssh.AuthMethod{ssh.Password(password)}, HostKeyCallback: ssh.InsecureIgnoreHostKey(),
		})
		if err == nil {
			_ = c.Close()
		}
		return err
	}
	must(t, dial("PROXY TCP4 192.0.2.7 192.0.2.1 40000 22\r\n"))
	if dial("PROXY TCP4 192.0.2.8 192.0.2.1 40000 22\r\n") == nil {
		t.Error("the client's address does not count")
	}
	if dial("") == nil {
		t.Error("a balancer that says nothing is served")
	}
}

func TestAVFSIsMadeWhereTheServersOwnFoldersAreNot(t *testing.T) {
	w := newWorld(t)
	if err := w.MakeVFS(vfs("main", "bad", filepath.Join(w.dir, "keyring", "x"))); err == nil {
		t.Error("a VFS was made in the key ring")
	}
}

// TestAVFSInTheFolderOfAnotherIsNotLedOutOfItByALink: users of the outer one may have put
// the link there.
func TestAVFSInTheFolderOfAnotherIsNotLedOutOfItByALink(t *testing.T) {
	w := newWorld(t)
	inner := filepath.Join(w.dir, "files", "inner")
	v := vfs("main", "inner", inner)
	must(t, w.MakeVFS(v))
	w.write(t, v)
	w.change(t, func(u *model.User) { u.Home.VFS, u.Home.Path = "inner", "/" })
	put(t, w.sftp(t, nil), "/f", "mine")
	secret := filepath.Join(w.dir, "secret")
	must(t, errors.Join(os.Mkdir(secret, 0o755), os.Rename(inner, inner+"2"), os.Symlink("../secret", inner)))
	v.InPlace = true // it is opened anew
	w.write(t, v)
	c := w.sftp(t, nil)
	if err := tryPut(c, "/f", "elsewhere"); err == nil {
		t.Error("written through the link")
	}
	if left, err := os.ReadDir(secret); err != nil || len(left) > 0 {
		t.Errorf("there: %v, %v", left, err)
	}
	if err := w.MakeVFS(vfs("main", "again", filepath.Join(inner, "deeper"))); err == nil {
		t.Error("a VFS was made through the link")
	}
}

// TestABanOfASiteDoesNotEndABlockOfAllSites: it is over first.
func TestABanOfASiteDoesNotEndABlockOfAllSites(t *testing.T) {
	w := newWorld(t)
	ban := &model.Entry{Site: "main", List: model.ListBlock, Network: "127.0.0.1", Reason: model.ReasonAuth, Offences: 1, Expires: time.Now().Add(time.Second).UTC()}
	w.write(t, ban, &model.Entry{List: model.ListBlock, Network: "127.0.0.1", Reason: model.ReasonManual})
	for _, when := range []string{"when the ban is over", "after a restart"} {
		time.Sleep(time.Until(ban.Expires))
		if _, err := w.dial(t, nil); err == nil {
			t.Errorf("let in %s", when)
		}
		w.close(t)
		w.open(t)
	}
	w.delete(t, model.EntryKey("", model.ListBlock, "127.0.0.1"))
	if _, err := w.dial(t, nil); err != nil {
		t.Errorf("let off: %v", err)
	}
}

// TestAVFSOfWhichNothingChangesForFilesStaysAsItIs: its sessions go on, and others come.
func TestAVFSOfWhichNothingChangesForFilesStaysAsItIs(t *testing.T) {
	w := newWorld(t)
	c := w.sftp(t, nil)
	put(t, c, "/f", "before")
	v := vfs("main", "files", filepath.Join(w.dir, "files"))
	for _, change := range []func(){
		func() { v.Description = "for all" },
		func() { v.Quota.Hard = 1 << 20 },
		func() { v.Quota.Soft = 1 << 19 },
	} {
		change()
		w.write(t, v)
		put(t, c, "/f", "in the session that ran")
		if got := get(t, w.sftp(t, nil), "/f"); got != "in the session that ran" {
			t.Errorf("%q", got)
		}
	}
	w.write(t, site("other"), vfs("other", "same", v.Root))
	w.delete(t, model.VFSKey("other", "same"))
	put(t, w.sftp(t, nil), "/f", "when another of the same folder is gone")
}
