package setup

import (
	"crypto/rand"
	"errors"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"
	"golang.org/x/crypto/ssh"

	"ss-setup/runtime/auth"
	"ss-setup/runtime/engine"
	"ss-setup/runtime/hostkey"
	"ss-setup/runtime/model"
	"ss-setup/runtime/seal"
	"ss-setup/runtime/setup/answers"
	"ss-setup/runtime/store"
	"ss-setup/runtime/vfs/keyring"
	"ss-setup/runtime/vfs/volume"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// stateName is the server's own folder, beside that of the files.
const stateName = "state"

// newNode is a node that was just installed, with its codes and its folder for files.
func newNode(t *testing.T) (f First, codes *Codes, files string) {
	t.Helper()
	dir := t.TempDir()
	state := filepath.Join(dir, stateName)
	must(t, os.MkdirAll(state, 0o700))
	schema := store.Schema{Product: "test", File: "test.db", Migrations: []store.Migration{{
		Name: "first", Apply: func(tx *bbolt.Tx, _ store.Progress) error {
			_, err := tx.CreateBucket([]byte(Bucket))
			return errors.Join(err, engine.Prepare(tx))
		},
	}}}
	_, err := schema.Migrate(state, true, func(int64, int64, string) {})
	must(t, err)
	st, err := schema.Open(state)
	must(t, err)
	ring, err := keyring.Open(filepath.Join(state, "keyring"))
	must(t, err)
	e, err := engine.Open(engine.Options{Store: st, Sealer: seal.New(ring), Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	must(t, err)
	t.Cleanup(func() { must(t, errors.Join(e.Close(), st.Close())) })
	config := func(v *model.VFS) volume.Config {
		return volume.Config{Kind: volume.Kind(v.Type), Dir: v.Root, Apart: []string{state}, Ring: ring}
	}
	makeVFS := func(v *model.VFS) (err error) {
		v.KeyID, err = volume.Create(config(v))
		return err
	}
	unmakeVFS := func(v *model.VFS) error { return volume.Unmake(config(v)) }
	return First{Engine: e, MakeVFS: makeVFS, UnmakeVFS: unmakeVFS, Random: rand.Reader, Now: time.Now}, New(st, rand.Reader, time.Now), filepath.Join(dir, "files")
}

// freePort is one that nobody has at the moment.
func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func answersFor(t *testing.T, files string) *answers.Answers {
	t.Helper()
	return &answers.Answers{
		RecoveryEmail: "sa@example.com", SFTPPort: freePort(t),
		SuperAdmin: &answers.SuperAdmin{Password: "correct horse"},
		FirstSite: &answers.Site{
			Address: "127.0.0.1", Folder: files,
			User: &answers.User{Name: "anna", Password: "battery staple"},
		},
	}
}

// everything is all objects of a node.
func everything(t *testing.T, f First) (out []model.Object) {
	t.Helper()
	must(t, f.Engine.Read(func(r *engine.Reader) error {
		for _, kind := range model.Kinds() {
			for o, err := range r.All(kind) {
				if err != nil {
					return err
				}
				out = append(out, o)
			}
		}
		return nil
	}))
	return out
}

func TestASetUpMakesNodeSuperAdminAndAFirstSiteWithAUser(t *testing.T) {
	f, codes, files := newNode(t)
	a := answersFor(t, files)
	code := newCodeOf(t, codes)
	session, err := codes.Redeem(code.Code, desk)
	must(t, err)
	m, err := f.Do(t.Context(), a)
	must(t, err)
	if m.SuperAdmin != "sa" || m.Site != "main" || m.User != "anna" || m.Port != a.SFTPPort || m.OtherPort || m.Folder != files || !strings.Contains(m.Node, "-") || len(m.HostKeys) != 2 {
		t.Errorf("%+v", m)
	}
	h, err := auth.NewHasher(auth.DefaultParams)
	must(t, err)
	var kinds []model.Kind
	for _, o := range everything(t, f) {
		kinds = append(kinds, o.Key().Kind)
		switch o := o.(type) {
		case *model.SuperAdmin:
			if _, err := h.Check(t.Context(), o.Password.Hash, []byte("correct horse")); err != nil || o.Email != "sa@example.com" {
				t.Errorf("the SuperAdmin: %v", err)
			}
		case *model.User:
			if _, err := h.Check(t.Context(), o.Password.Hash, []byte("battery staple")); err != nil || o.Home.At(o.Name) != "/anna" {
				t.Errorf("the user: %v, %+v", err, o.Home)
			}
		case *model.Binding:
			if o.Node != m.Node || o.Port != m.Port || o.Address != "127.0.0.1" {
				t.Errorf("%+v", o)
			}
		case *model.HostKey:
			text, err := f.Engine.Reveal(o.Key(), "private", o.Private)
			must(t, err)
			key, err := hostkey.Parse([]byte(text), "")
			must(t, err)
			if signer, err := key.Signer(); err != nil || ssh.FingerprintSHA256(signer.PublicKey()) != o.Fingerprint || !slices.Contains(m.HostKeys, Fingerprint{o.Algorithm, o.Fingerprint}) {
				t.Errorf("the host key %s: %v", o.Name, err)
			}
		}
	}
	want := []model.Kind{model.KindNode, model.KindSuperAdmin, model.KindSite, model.KindHostKey, model.KindHostKey, model.KindBinding, model.KindVFS, model.KindUser}
	if !slices.Equal(kinds, want) {
		t.Errorf("made %q", kinds)
	}
	if info, err := os.Stat(files); err != nil || !info.IsDir() {
		t.Errorf("the folder: %v", err)
	}
	// The door of the first run is closed.
	if _, ok := codes.Session(session.Token); ok {
		t.Error("the session of the setup code goes on")
	}
	if _, err := codes.Make(); !errors.Is(err, ErrDone) {
		t.Errorf("another code: %v", err)
	}
	if _, err := f.Do(t.Context(), answersFor(t, files)); !errors.Is(err, ErrDone) || !strings.Contains(err.Error(), "its SuperAdmin is sa") {
		t.Errorf("set up twice: %v", err)
	}
	if again := everything(t, f); len(again) != len(want) {
		t.Errorf("the second set-up left %d objects", len(again))
	}
}

func TestACodeThatWasMadeBeforeTheSetUpOpensNothingAfterIt(t *testing.T) {
	f, codes, files := newNode(t)
	code := newCodeOf(t, codes)
	_, err := f.Do(t.Context(), answersFor(t, files))
	must(t, err)
	if _, err := codes.Redeem(code.Code, desk); !errors.Is(err, ErrInvalid) {
		t.Errorf("%v", err)
	}
}

func TestAnEncryptedFirstSiteHasItsKeyInTheRing(t *testing.T) {
	f, _, files := newNode(t)
	a := answersFor(t, files)
	a.FirstSite.Encrypted = true
	_, err := f.Do(t.Context(), a)
	must(t, err)
	for _, o := range everything(t, f) {
		if v, ok := o.(*model.VFS); ok {
			if _, err := os.Stat(filepath.Join(filepath.Dir(files), stateName, "keyring", "vfs-"+v.KeyID+".key")); err != nil || v.Type != model.VFSEncrypted {
				t.Errorf("%+v: %v", v, err)
			}
		}
	}
}

// TestASetUpThatFailsMakesNothing: neither objects nor a folder.
func TestASetUpThatFailsMakesNothing(t *testing.T) {
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer busy.Close()
	for name, c := range map[string]struct {
		spoil func(a *answers.Answers)
		want  string
	}{
		"a port that is taken":          {func(a *answers.Answers) { a.SFTPPort = busy.Addr().(*net.TCPAddr).Port }, "sftp_port: the server cannot listen there"},
		"an address of another machine": {func(a *answers.Answers) { a.FirstSite.Address = "192.0.2.1" }, "first_site.address: the server cannot listen there"},
		"a folder of the server's": {func(a *answers.Answers) {
			a.FirstSite.Folder = filepath.Join(filepath.Dir(a.FirstSite.Folder), stateName, "x")
		}, "first_site.folder: "},
		"a file for a folder": {func(a *answers.Answers) {
			a.FirstSite.Folder = filepath.Join(filepath.Dir(a.FirstSite.Folder), stateName, "test.db")
		}, "first_site.folder: "},
		"a bad password": {func(a *answers.Answers) { a.SuperAdmin.Password = "short" }, "superadmin.password: it must have 10 characters"},
		"no SuperAdmin":  {func(a *answers.Answers) { a.SuperAdmin = nil }, "superadmin: it is missing"},
		"an encrypted folder with files": {func(a *answers.Answers) {
			a.FirstSite.Encrypted = true
			must(t, errors.Join(os.MkdirAll(a.FirstSite.Folder, 0o700), os.WriteFile(filepath.Join(a.FirstSite.Folder, "file"), nil, 0o600)))
		}, "first_site.folder: folder cannot hold a VFS: "},
	} {
		t.Run(name, func(t *testing.T) {
			f, codes, files := newNode(t)
			a := answersFor(t, files)
			c.spoil(a)
			_, before := os.Stat(files)
			if _, err := f.Do(t.Context(), a); !errors.Is(err, answers.ErrInvalid) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %s", err, c.want)
			}
			if left := everything(t, f); len(left) > 0 {
				t.Errorf("%d objects were made", len(left))
			}
			if _, err := os.Stat(files); errors.Is(before, fs.ErrNotExist) && !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("the folder: %v", err)
			}
			if _, err := codes.Make(); err != nil {
				t.Errorf("the first-run page is closed: %v", err)
			}
		})
	}
}

func TestASetUpThatFailsLeavesNoKey(t *testing.T) {
	f, _, files := newNode(t)
	a := answersFor(t, files)
	a.FirstSite.Encrypted = true
	makeVFS := f.MakeVFS
	f.MakeVFS = func(v *model.VFS) error {
		err := makeVFS(v)
		v.KeyID = "No key has this name" // so that the objects are refused
		return err
	}
	if _, err := f.Do(t.Context(), a); err == nil {
		t.Fatal("set up")
	}
	if _, err := os.Stat(files); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the folder: %v", err)
	}
	keys, err := keyring.Files(filepath.Join(filepath.Dir(files), stateName, "keyring"))
	must(t, err)
	if len(keys) != 1 {
		t.Errorf("the ring has %d keys", len(keys))
	}
}

// TestASetUpThatFailsLeavesAnEncryptedVFSThatWasThere: the node was set up anew over the
// files of before, whose key the ring still has.
func TestASetUpThatFailsLeavesAnEncryptedVFSThatWasThere(t *testing.T) {
	f, _, files := newNode(t)
	a := answersFor(t, files)
	a.FirstSite.Encrypted = true
	must(t, f.MakeVFS(&model.VFS{Root: files, Type: model.VFSEncrypted}))
	upload := filepath.Join(files, ".ss-server", "uploads", "1")
	must(t, errors.Join(os.MkdirAll(filepath.Dir(upload), 0o700), os.WriteFile(upload, []byte("half a file"), 0o600)))
	makeVFS := f.MakeVFS
	f.MakeVFS = func(v *model.VFS) error {
		err := makeVFS(v)
		v.KeyID = "No key has this name" // so that the objects are refused
		return err
	}
	if _, err := f.Do(t.Context(), a); err == nil {
		t.Fatal("set up")
	}
	for _, name := range []string{upload, filepath.Join(files, ".ss-server", "key")} {
		if _, err := os.Stat(name); err != nil {
			t.Error(err)
		}
	}
}

func TestASetUpThatComesSecondLeavesTheKeyOfTheFirst(t *testing.T) {
	f, _, files := newNode(t)
	first, second := answersFor(t, files), answersFor(t, files)
	first.FirstSite.Encrypted, second.FirstSite.Encrypted = true, true
	slower := f
	slower.MakeVFS = func(v *model.VFS) error {
		if _, err := f.Do(t.Context(), first); err != nil {
			t.Error(err)
		}
		return f.MakeVFS(v)
	}
	if _, err := slower.Do(t.Context(), second); !errors.Is(err, ErrDone) {
		t.Errorf("%v", err)
	}
	if _, err := os.Stat(filepath.Join(files, ".ss-server", "key")); err != nil {
		t.Error(err)
	}
}

// TestTheUsualPortIsLeftToTheProgramThatHasIt: it is the machine's own SSH server.
func TestTheUsualPortIsLeftToTheProgramThatHasIt(t *testing.T) {
	if l, err := net.Listen("tcp", "127.0.0.1:22"); err == nil {
		defer l.Close()
	}
	f, _, files := newNode(t)
	a := answersFor(t, files)
	a.SFTPPort = 0
	if err := free(t.Context(), "127.0.0.1", answers.OtherPort); err != nil {
		t.Skipf("the other port is taken as well: %v", err)
	}
	m, err := f.Do(t.Context(), a)
	if err != nil || m.Port != answers.OtherPort || !m.OtherPort {
		t.Errorf("%+v, %v", m, err)
	}
}
