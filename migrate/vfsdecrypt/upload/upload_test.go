package upload

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"ss-setup/migrate/vfsdecrypt"
	"ss-setup/runtime/sftpd"
	"ss-setup/runtime/sftpd/sftpdtest"
)

const (
	password   = "a long password"
	passphrase = "of the old VFS"
)

// site is an SFTP server of ours with a user who has an encrypted VFS.
type site struct {
	address Address
	key     ssh.Signer
	tree    *sftpdtest.Tree
	user    ssh.Signer
}

func serve(t testing.TB, more ...ssh.Signer) *site {
	t.Helper()
	tree, err := sftpdtest.NewTree(t.TempDir(), true)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tree.Close() })
	s := &site{key: sftpdtest.NewKey(t), tree: tree, user: sftpdtest.NewKey(t)}
	accounts := sftpdtest.NewAccounts(map[string]*sftpdtest.User{"kim": {Password: password, Keys: []ssh.PublicKey{s.user.PublicKey()}, FS: tree}})
	_, at := sftpdtest.Start(t, sftpd.Config{HostKeys: append([]ssh.Signer{s.key}, more...)}, sftpd.Parts{Accounts: accounts})
	s.address, err = ParseAddress("sftp://kim@" + at + "/")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *site) options() Options {
	return Options{
		Address: s.address, Trust: Trust{Fingerprint: ssh.FingerprintSHA256(s.key.PublicKey())}, Auth: Password(password),
		Sleep: func(context.Context, time.Duration) {},
	}
}

// contents are the files of the user by name, with their times.
func (s *site) contents(t testing.TB) map[string]string {
	t.Helper()
	server, err := Connect(t.Context(), s.options())
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	out := map[string]string{}
	for w := server.sftp.Walk("/"); w.Step(); {
		if w.Err() != nil {
			t.Fatal(w.Err())
		}
		if w.Stat().IsDir() {
			continue
		}
		f, err := server.sftp.Open(w.Path())
		if err != nil {
			t.Fatal(err)
		}
		var content bytes.Buffer
		if _, err := f.WriteTo(&content); err != nil {
			t.Fatal(err)
		}
		f.Close()
		out[strings.TrimPrefix(w.Path(), "/")] = fmt.Sprintf("%d %x", w.Stat().ModTime().Unix(), content.Bytes())
	}
	return out
}

// oldVFS makes one whose files are in the clear in want. Its profile is OpenSSL's stream of
// CTR, which goes both ways: what decrypts also encrypts.
func oldVFS(t testing.TB) (dir string, keys *vfsdecrypt.Keys, want map[string]string) {
	t.Helper()
	profile, err := vfsdecrypt.ParseProfile("aes-256-ctr kdf=sha256")
	if err != nil {
		t.Fatal(err)
	}
	if keys, err = vfsdecrypt.NewKeys(profile, passphrase); err != nil {
		t.Fatal(err)
	}
	dir = t.TempDir()
	want = map[string]string{}
	at := time.Date(2015, 6, 7, 8, 9, 10, 0, time.UTC)
	for name, content := range map[string][]byte{
		"a.txt": []byte("some text\n"), "empty": nil, "in/b.csv": bytes.Repeat([]byte("1;2;3\n"), 1000),
		"in/deep/large.txt": bytes.Repeat([]byte("a long line of a large file\n"), 100_000),
	} {
		encrypted, err := keys.Open(bytes.NewReader(content), int64(len(content)))
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		if _, err := encrypted.WriteTo(&out); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, out.Bytes(), 0o644), os.Chtimes(path, at, at)); err != nil {
			t.Fatal(err)
		}
		want[name] = fmt.Sprintf("%d %x", at.Unix(), content)
	}
	return dir, keys, want
}

type heard map[string]vfsdecrypt.Outcome

func (h heard) Begin(vfsdecrypt.Total)                        {}
func (h heard) Done(o vfsdecrypt.Outcome, _ vfsdecrypt.Total) { h[o.Path] = o }
func (h heard) Moved(int64)                                   {}

func upload(t testing.TB, o Options, dir string, keys *vfsdecrypt.Keys) (heard, vfsdecrypt.Total, error) {
	t.Helper()
	server, err := Connect(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	h := heard{}
	job := vfsdecrypt.Job{Source: os.DirFS(dir), Target: server, Keys: keys, Jobs: 2, Reporter: h}
	total, err := job.Run(t.Context())
	return h, total, errors.Join(err, server.Close())
}

func TestAnOldVFSBecomesOneOfTheServer(t *testing.T) {
	s := serve(t)
	dir, keys, want := oldVFS(t)
	_, total, err := upload(t, s.options(), dir, keys)
	if err != nil || total.Of[vfsdecrypt.Decrypted] != 4 {
		t.Fatalf("%+v, %v", total, err)
	}
	if got := s.contents(t); !maps.Equal(got, want) {
		t.Errorf("got %v", slices.Sorted(maps.Keys(got)))
	}
	// Again: it is there.
	if _, total, err = upload(t, s.options(), dir, keys); err != nil || total.Of[vfsdecrypt.Present] != 4 {
		t.Errorf("%+v, %v", total, err)
	}
}

func TestAFileOfSomebodyElseIsNotTouched(t *testing.T) {
	s := serve(t)
	dir, keys, want := oldVFS(t)
	server, err := Connect(t.Context(), s.options())
	if err != nil {
		t.Fatal(err)
	}
	f, err := server.sftp.Create("/a.txt")
	if err == nil {
		_, err = f.Write([]byte("mine"))
	}
	if err = errors.Join(err, f.Close(), server.Close()); err != nil {
		t.Fatal(err)
	}
	h, total, err := upload(t, s.options(), dir, keys)
	if err != nil || total.Of[vfsdecrypt.Failed] != 1 || !errors.Is(h["a.txt"].Err, ErrOther) {
		t.Errorf("%+v, %v, %v", total, h["a.txt"].Err, err)
	}
	got := s.contents(t)
	if !strings.HasSuffix(got["a.txt"], fmt.Sprintf(" %x", "mine")) {
		t.Errorf("it is now %s", got["a.txt"])
	}
	delete(got, "a.txt")
	delete(want, "a.txt")
	if !maps.Equal(got, want) {
		t.Error("the others did not come")
	}
}

// TestTheOldEncryptedFilesAreNotTakenForTheNewOnes: the folder of the server may be a copy
// of the old VFS, with times.
func TestTheOldEncryptedFilesAreNotTakenForTheNewOnes(t *testing.T) {
	s := serve(t)
	dir, keys, _ := oldVFS(t)
	server, err := Connect(t.Context(), s.options())
	if err != nil {
		t.Fatal(err)
	}
	old, err := os.ReadFile(filepath.Join(dir, "a.txt"))
	if err != nil {
		t.Fatal(err)
	}
	lay(t, server, "/a.txt", old, time.Date(2015, 6, 7, 8, 9, 10, 0, time.UTC))
	if err := server.Close(); err != nil {
		t.Fatal(err)
	}
	h, total, err := upload(t, s.options(), dir, keys)
	if err != nil || total.Of[vfsdecrypt.Present] != 0 || h["a.txt"].Status != vfsdecrypt.Failed || !errors.Is(h["a.txt"].Err, ErrOther) {
		t.Errorf("%+v, %+v, %v", total, h["a.txt"], err)
	}
}

func lay(t *testing.T, server *Server, name string, content []byte, at time.Time) {
	t.Helper()
	f, err := server.sftp.Create(name)
	if err == nil {
		_, err = f.Write(content)
	}
	if err = errors.Join(err, f.Close(), server.sftp.Chtimes(name, at, at)); err != nil {
		t.Fatal(err)
	}
}

// TestAFileNamedLikeAPartStays: a user may have called one so.
func TestAFileNamedLikeAPartStays(t *testing.T) {
	s := serve(t)
	dir, keys, want := oldVFS(t)
	server, err := Connect(t.Context(), s.options())
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2020, 1, 2, 3, 4, 5, 0, time.UTC)
	lay(t, server, "/a.txt.ss-part", []byte("mine"), at)
	if err := server.Close(); err != nil {
		t.Fatal(err)
	}
	if _, total, err := upload(t, s.options(), dir, keys); err != nil || total.Wrong() > 0 {
		t.Fatalf("%+v, %v", total, err)
	}
	want["a.txt.ss-part"] = fmt.Sprintf("%d %x", at.Unix(), "mine")
	if got := s.contents(t); !maps.Equal(got, want) {
		t.Errorf("got %v", slices.Sorted(maps.Keys(got)))
	}
}

// TestAFileIsThereThoughTheAnswerWasLost: the server has renamed it, and the connection
// broke before it could say so.
func TestAFileIsThereThoughTheAnswerWasLost(t *testing.T) {
	s := serve(t)
	server, err := Connect(t.Context(), s.options())
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	at := time.Date(2020, 1, 2, 3, 4, 5, 0, time.UTC)
	lay(t, server, "/there", []byte("12345"), at)
	lay(t, server, "/.ss-part-left", []byte("123"), at)
	for name, c := range map[string]struct {
		sending
		done bool
	}{
		"renamed":      {sending{to: "/there", part: "/.ss-part-gone", bytes: 5, named: true}, true},
		"another file": {sending{to: "/there", part: "/.ss-part-gone", bytes: 6, named: true}, false},
		"not asked":    {sending{to: "/there", part: "/.ss-part-gone", bytes: 5}, false},
		"a part":       {sending{to: "/there", part: "/.ss-part-left", bytes: 3, named: true}, false},
	} {
		if done, err := c.settle(server.sftp); done != c.done || err != nil {
			t.Errorf("%s: %v, %v", name, done, err)
		}
	}
	if _, err := server.sftp.Lstat("/.ss-part-left"); !errors.Is(err, fs.ErrNotExist) {
		t.Error("what is left of a file stays:", err)
	}
}

func TestAPasswordIsNoAnswerToAQuestionForACode(t *testing.T) {
	ask := Password("secret")[1].(ssh.KeyboardInteractiveChallenge)
	for question, ok := range map[string]bool{"Password: ": true, "Passwort:": true, "Verification code: ": false, "One-time password (OTP): ": false, "Enter PASSCODE": false} {
		answers, err := ask("", "", []string{question}, []bool{false})
		if (err == nil) != ok || ok && answers[0] != "secret" {
			t.Errorf("%q: %v, %v", question, answers, err)
		}
	}
	if _, err := ask("", "", []string{"Password: "}, []bool{true}); err == nil {
		t.Error("a password is shown")
	}
}

// TestALostConnectionIsMadeAgain in the middle of a file, several times.
func TestALostConnectionIsMadeAgain(t *testing.T) {
	s := serve(t)
	dir, keys, want := oldVFS(t)
	o := s.options()
	var dials atomic.Int64
	o.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, address)
		if n := dials.Add(1); n <= 3 {
			return &breaking{Conn: conn, after: n * 100_000}, err
		}
		return conn, err
	}
	_, total, err := upload(t, o, dir, keys)
	if err != nil || total.Of[vfsdecrypt.Decrypted]+total.Of[vfsdecrypt.Present] != 4 || dials.Load() < 4 {
		t.Fatalf("%+v after %d connections, %v", total, dials.Load(), err)
	}
	if got := s.contents(t); !maps.Equal(got, want) {
		t.Errorf("got %v", slices.Sorted(maps.Keys(got)))
	}
}

// breaking is a connection that breaks after so many bytes.
type breaking struct {
	net.Conn
	sent, after int64
}

func (d *breaking) Write(p []byte) (int, error) {
	if atomic.AddInt64(&d.sent, int64(len(p))) > d.after {
		d.Close()
	}
	return d.Conn.Write(p)
}

func TestAServerThatIsGoneEndsTheRun(t *testing.T) {
	s := serve(t)
	dir, keys, _ := oldVFS(t)
	o := s.options()
	var dials atomic.Int64
	o.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		if dials.Add(1) > 1 {
			return nil, errors.New("nobody there")
		}
		conn, err := new(net.Dialer).DialContext(ctx, network, address)
		return &breaking{Conn: conn, after: 100_000}, err
	}
	_, total, err := upload(t, o, dir, keys)
	if err == nil || !strings.Contains(err.Error(), "nobody there") || total.Of[vfsdecrypt.Failed] > 0 {
		t.Errorf("%+v, %v", total, err)
	}
}

// TestNoServerIsTrustedThatIsNotKnown, however it comes.
func TestNoServerIsTrustedThatIsNotKnown(t *testing.T) {
	s := serve(t)
	line := func(key ssh.PublicKey) string {
		file := filepath.Join(t.TempDir(), "known_hosts")
		text := knownhosts.Line([]string{s.address.HostPort()}, key) + "\n"
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	other := sftpdtest.NewKey(t).PublicKey()
	for name, c := range map[string]struct {
		trust Trust
		ok    bool
	}{
		"nothing":                {Trust{}, false},
		"a file that is missing": {Trust{KnownHosts: []string{"/nowhere"}}, false},
		"another fingerprint":    {Trust{Fingerprint: ssh.FingerprintSHA256(other)}, false},
		"another key in a file":  {Trust{KnownHosts: []string{line(other)}}, false},
		"an empty file":          {Trust{KnownHosts: []string{os.DevNull}}, false},
		"its fingerprint":        {Trust{Fingerprint: ssh.FingerprintSHA256(s.key.PublicKey())}, true},
		"its key in a file":      {Trust{KnownHosts: []string{"/nowhere", line(s.key.PublicKey())}}, true},
	} {
		t.Run(name, func(t *testing.T) {
			o := s.options()
			o.Trust = c.trust
			server, err := Connect(t.Context(), o)
			if c.ok {
				if err != nil {
					t.Fatal(err)
				}
				_ = server.Close()
				return
			}
			if !errors.Is(err, ErrHostKey) || !strings.Contains(err.Error(), ssh.FingerprintSHA256(s.key.PublicKey())) {
				t.Errorf("got %v", err)
			}
		})
	}
	o := s.options()
	o.Trust.Fingerprint = "b6:91"
	if _, err := Connect(t.Context(), o); err == nil || errors.Is(err, ErrHostKey) {
		t.Errorf("an MD5: %v", err)
	}
}

// TestTheFingerprintMayBeOfAnyOfTheServersHostKeys: a site has several, and its
// administrator tells one of them.
func TestTheFingerprintMayBeOfAnyOfTheServersHostKeys(t *testing.T) {
	keys := []ssh.Signer{ecdsaKey(t, elliptic.P256()), ecdsaKey(t, elliptic.P521()), rsaKey(t)}
	s := serve(t, keys...)
	for _, key := range append(keys, s.key) {
		o := s.options()
		o.Trust.Fingerprint = ssh.FingerprintSHA256(key.PublicKey())
		server, err := Connect(t.Context(), o)
		if err != nil {
			t.Errorf("%s: %v", key.PublicKey().Type(), err)
			continue
		}
		var dials int
		server.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			dials++
			return new(net.Dialer).DialContext(ctx, network, address)
		}
		if err := server.Close(); err != nil {
			t.Error(err)
		}
		if _, err := server.client(t.Context()); err != nil || dials != 1 {
			t.Errorf("%s: made again by %d connections, %v", key.PublicKey().Type(), dials, err)
		}
		_ = server.Close()
	}
}

func TestAWrongFingerprintIsToldWithAllKeysOfTheServer(t *testing.T) {
	more := ecdsaKey(t, elliptic.P256())
	s := serve(t, more)
	o := s.options()
	o.Trust.Fingerprint = ssh.FingerprintSHA256(sftpdtest.NewKey(t).PublicKey())
	_, err := Connect(t.Context(), o)
	if !errors.Is(err, ErrHostKey) {
		t.Fatal(err)
	}
	for _, want := range []string{ssh.FingerprintSHA256(s.key.PublicKey()), ssh.FingerprintSHA256(more.PublicKey()), o.Trust.Fingerprint} {
		if strings.Count(err.Error(), want) != 1 {
			t.Errorf("%s is not told once: %v", want, err)
		}
	}
	if strings.Contains(err.Error(), "closed network connection") || strings.Contains(err.Error(), "\n") {
		t.Errorf("it has noise: %v", err)
	}
}

func ecdsaKey(t *testing.T, curve elliptic.Curve) ssh.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return signer(t, key)
}

func rsaKey(t *testing.T) ssh.Signer {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return signer(t, key)
}

func signer(t *testing.T, key crypto.Signer) ssh.Signer {
	t.Helper()
	s, err := ssh.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestAUserLogsInByKey(t *testing.T) {
	s := serve(t)
	o := s.options()
	o.Auth = []ssh.AuthMethod{ssh.PublicKeys(s.user)}
	server, err := Connect(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	_ = server.Close()
	o.Auth = Password("wrong")
	if _, err := Connect(t.Context(), o); err == nil {
		t.Error("a wrong password passed")
	}
	o = s.options()
	o.Address.Path = "/not/there"
	if _, err := Connect(t.Context(), o); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "/not/there") {
		t.Errorf("a folder that is not there: %v", err)
	}
	if _, err := KeyFile(filepath.Join(t.TempDir(), "none"), ""); err == nil {
		t.Error("a key that is not there is read")
	}
}

func TestAddresses(t *testing.T) {
	for text, want := range map[string]string{
		"sftp://kim@host":                "sftp://kim@host:22/",
		"sftp://kim@host:2222/a/../b c/": "sftp://kim@host:2222/b%20c",
		"sftp://k%40x@[::1]:22/":         "sftp://k%40x@[::1]:22/",
	} {
		if a, err := ParseAddress(text); err != nil || a.String() != want {
			t.Errorf("%s became %s, %v", text, a, err)
		}
	}
	for _, text := range []string{"", "host", "ssh://kim@host/", "sftp://host/", "sftp://kim@/x", "sftp://kim:secret@host/", "sftp://kim@host:0/", "sftp://kim@host:99999/", "sftp://kim@host/?x", "sftp://kim@host:x/", "://"} {
		if a, err := ParseAddress(text); !errors.Is(err, ErrAddress) || strings.Contains(fmt.Sprint(err), "secret") {
			t.Errorf("%s became %s, %v", text, a, err)
		}
	}
}

func FuzzParseAddress(f *testing.F) {
	f.Add("sftp://kim@host:2222/a/b")
	f.Add("sftp://k%40x@[fe80::1%25eth0]/")
	f.Fuzz(func(t *testing.T, text string) {
		a, err := ParseAddress(text)
		if err != nil {
			if !errors.Is(err, ErrAddress) {
				t.Error(err)
			}
			return
		}
		if again, err := ParseAddress(a.String()); err != nil || again != a {
			t.Errorf("%+v, then %+v: %v", a, again, err)
		}
	})
}
