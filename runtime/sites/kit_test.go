package sites_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pkg/sftp"
	"go.etcd.io/bbolt"
	"golang.org/x/crypto/ssh"

	"ss-setup/runtime/auth"
	"ss-setup/runtime/engine"
	"ss-setup/runtime/hostkey"
	"ss-setup/runtime/model"
	"ss-setup/runtime/seal"
	"ss-setup/runtime/sftpd"
	"ss-setup/runtime/sites"
	"ss-setup/runtime/store"
	"ss-setup/runtime/vfs/keyring"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

const password = "correct horse battery"

// world is a node with the site main, its VFS files, and the user kim, whose password is
// password and whose home is her folder in it.
type world struct {
	*sites.Manager
	engine *engine.Engine
	store  *store.Store
	ring   *keyring.Ring
	dir    string
	port   int
	closed atomic.Bool // the generation

	mu     sync.Mutex
	events []sftpd.Event
}

func schema() store.Schema {
	return store.Schema{
		Product: "ss-server", File: "store.db", LockWait: 5 * time.Second,
		Migrations: []store.Migration{{Name: "make room", Apply: func(tx *bbolt.Tx, _ store.Progress) error { return engine.Prepare(tx) }}},
	}
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{dir: t.TempDir(), port: freePort(t)}
	_, err := schema().Migrate(w.dir, true, func(int64, int64, string) {})
	must(t, err)
	w.ring, err = keyring.Open(filepath.Join(w.dir, "keyring"))
	must(t, err)
	w.open(t)
	w.write(t, node(), site("main"), hostKey(t, "main", "one"), binding("main", "sftp", w.port))
	files := vfs("main", "files", filepath.Join(w.dir, "files"))
	must(t, w.MakeVFS(files))
	w.write(t, files, kim())
	t.Cleanup(func() { w.close(t) })
	return w
}

// open starts what a process of the server starts.
func (w *world) open(t *testing.T) {
	t.Helper()
	var err error
	w.store, err = schema().Open(w.dir)
	must(t, err)
	w.engine, err = engine.Open(engine.Options{Store: w.store, Sealer: seal.New(w.ring), Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	must(t, err)
	w.Manager, err = sites.Start(sites.Options{
		Engine: w.engine, Ring: w.ring, Open: func() bool { return !w.closed.Load() }, Log: slog.New(slog.DiscardHandler),
		Apart: []string{filepath.Join(w.dir, "keyring")},
		Events: func(e sftpd.Event) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.events = append(w.events, e)
		},
	})
	must(t, err)
}

func (w *world) close(t *testing.T) {
	t.Helper()
	must(t, errors.Join(w.Manager.Close(), w.engine.Close(), w.store.Close()))
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func (w *world) addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(w.port)) }

// write makes or replaces objects.
func (w *world) write(t *testing.T, objects ...model.Object) {
	t.Helper()
	_, err := w.engine.Write(t.Context(), "superadmin/sa", func(tx *engine.Tx) error {
		for _, o := range objects {
			if err := tx.Put(o); err != nil {
				return err
			}
		}
		return nil
	})
	must(t, err)
}

func (w *world) delete(t *testing.T, keys ...model.Key) {
	t.Helper()
	_, err := w.engine.Write(t.Context(), "superadmin/sa", func(tx *engine.Tx) error {
		for _, k := range keys {
			if err := tx.Delete(k, 0); err != nil {
				return err
			}
		}
		return nil
	})
	must(t, err)
}

// change changes the user kim.
func (w *world) change(t *testing.T, fn func(*model.User)) {
	t.Helper()
	w.changeUser(t, "kim", fn)
}

func (w *world) changeUser(t *testing.T, name string, fn func(*model.User)) {
	t.Helper()
	u := w.userOf(t, name)
	fn(u)
	w.write(t, u)
}

func (w *world) user(t *testing.T) *model.User {
	t.Helper()
	return w.userOf(t, "kim")
}

func (w *world) userOf(t *testing.T, name string) (u *model.User) {
	t.Helper()
	must(t, w.engine.Read(func(r *engine.Reader) (err error) {
		u, err = engine.Users.Get(r, "main", name)
		return err
	}))
	return u
}

func node() *model.Node {
	n := &model.Node{}
	n.Name = "romantic-lovelace"
	return n
}

func site(name string) *model.Site {
	s := &model.Site{}
	s.Name = name
	return s
}

func binding(site, name string, port int) *model.Binding {
	b := &model.Binding{Site: site, Node: "romantic-lovelace", Address: "127.0.0.1", Port: port}
	b.Name = name
	return b
}

func hostKey(t *testing.T, site, name string) *model.HostKey {
	t.Helper()
	key, err := hostkey.Generate("ssh-ed25519")
	must(t, err)
	pem, err := key.PEM()
	must(t, err)
	k := &model.HostKey{Site: site, Public: key.Line(), Private: model.Secret{Clear: pem}}
	k.Name = name
	return k
}

func vfs(site, name, root string) *model.VFS {
	v := &model.VFS{Site: site, Type: model.VFSDisk, Root: root}
	v.Name = name
	return v
}

var hash = sync.OnceValue(func() string {
	h, err := auth.NewHasher(auth.DefaultParams)
	if err != nil {
		panic(err)
	}
	text, err := h.Hash(context.Background(), []byte(password))
	if err != nil {
		panic(err)
	}
	return text
})

func kim() *model.User {
	u := &model.User{Site: "main", Password: model.Password{Hash: hash(), Changed: time.Unix(1000, 0).UTC()}}
	u.Name = "kim"
	u.Home = model.Folder{VFS: "files", Path: "/users/{user}", Permissions: model.UsualPermissions()}
	return u
}

// dial logs kim in by her password.
func (w *world) dial(t *testing.T, change func(*ssh.ClientConfig)) (*ssh.Client, error) {
	t.Helper()
	c := &ssh.ClientConfig{
		User: "kim", Auth: []ssh.AuthMethod{ssh.Password(password)},
		HostKeyCallback: ssh.InsecureIgnoreHostKey(), Timeout: 20 * time.Second,
	}
	if change != nil {
		change(c)
	}
	client, err := ssh.Dial("tcp", w.addr(), c)
	if err == nil {
		t.Cleanup(func() { _ = client.Close() })
	}
	return client, err
}

func (w *world) sftp(t *testing.T, change func(*ssh.ClientConfig)) *sftp.Client {
	t.Helper()
	client, err := w.dial(t, change)
	must(t, err)
	c, err := sftp.NewClient(client)
	must(t, err)
	return c
}

func put(t *testing.T, c *sftp.Client, name, content string) {
	t.Helper()
	must(t, tryPut(c, name, content))
}

func tryPut(c *sftp.Client, name, content string) error {
	f, err := c.Create(name)
	if err != nil {
		return err
	}
	_, err = f.Write([]byte(content))
	return errors.Join(err, f.Close())
}

func get(t *testing.T, c *sftp.Client, name string) string {
	t.Helper()
	f, err := c.Open(name)
	must(t, err)
	defer f.Close()
	var b []byte
	buf := make([]byte, 4096)
	for {
		n, err := f.Read(buf)
		b = append(b, buf[:n]...)
		if err != nil {
			return string(b)
		}
	}
}

// alive tells whether a session goes on.
func alive(c *sftp.Client) bool {
	_, err := c.Getwd()
	return err == nil
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !is(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("never: " + what)
		}
	}
}

// reason is why the last session ended.
func (w *world) reason() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := len(w.events) - 1; i >= 0; i-- {
		if w.events[i].Kind == sftpd.LoggedOut {
			return w.events[i].Reason
		}
	}
	return ""
}
