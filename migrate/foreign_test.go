package migrate_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"

	"ss-setup/migrate"
	"ss-setup/migrate/archive"
	"ss-setup/migrate/importer"
	"ss-setup/migrate/report"
	"ss-setup/runtime/auth"
	"ss-setup/runtime/engine"
	"ss-setup/runtime/hostkey"
	"ss-setup/runtime/model"
	"ss-setup/runtime/seal"
	"ss-setup/runtime/sftpd"
	"ss-setup/runtime/sites"
	"ss-setup/runtime/vfs/keyring"
)

// known is the password of the users in the samples of other servers.
const known = "geheim"

// withPassword are the users of a sample who log in with it afterwards.
var withPassword = map[string]string{
	"sftpgo-everything": "anna bela cora dora emil fritz hans jan", "sftpgo-dump": "anna",
	"openssh-everything": "anna cora emil gerd hans", "filezilla-0.9": "anna bela", "filezilla-1": "anna bela cora",
	"proftpd-users": "anna bela emil", "vsftpd-users": "anna bela dora",
}

// TestUsersOfOtherServersLogInAsBefore imports each sample into a store, and checks there
// the password that its users had.
func TestUsersOfOtherServersLogInAsBefore(t *testing.T) {
	hasher, err := auth.NewHasher(auth.Params{Memory: 64, Time: 1, Threads: 1})
	must(t, err)
	for sample, names := range withPassword {
		t.Run(sample, func(t *testing.T) {
			m := newMachine(t)
			m.setUp(t)
			m.imports(t, folder(t, filepath.Join("testdata", "import", sample, "backup")).zip(t))
			m.in(t, func(e *engine.Engine) {
				for name := range strings.FieldsSeq(names) {
					var u *model.User
					must(t, e.Read(func(r *engine.Reader) (err error) {
						u, err = engine.Users.Get(r, "default", name)
						return err
					}))
					if old, err := hasher.Check(context.Background(), u.Password.Hash, []byte(known)); err != nil {
						t.Errorf("%s: %v (old %v)", name, err, old)
					}
					if _, err := hasher.Check(context.Background(), u.Password.Hash, []byte(known+"x")); !errors.Is(err, auth.ErrWrong) {
						t.Errorf("%s with a wrong password: %v", name, err)
					}
				}
			})
		})
	}
}

// TestAUserOfOpenSSHLogsInOverSFTPWithPasswordAndKey starts the sites that an import of a
// machine with OpenSSH leaves.
func TestAUserOfOpenSSHLogsInOverSFTPWithPasswordAndKey(t *testing.T) {
	root := t.TempDir()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	addr := l.Addr().(*net.TCPAddr)
	must(t, l.Close())
	good, narrow, open := newSigner(t), newSigner(t), newSigner(t)
	line := func(s ssh.Signer) string { return string(ssh.MarshalAuthorizedKey(s.PublicKey())) }
	homes := filepath.Join(root, "srv")
	for name, text := range map[string]string{
		"etc/ssh/sshd_config":             fmt.Sprintf("Port %d\nListenAddress 127.0.0.1\nMatch Group sftp\nForceCommand internal-sftp -P remove\nChrootDirectory %s/%%u\n", addr.Port, filepath.ToSlash(homes)),
		"etc/passwd":                      "anna:x:1001:900:Anna:/home/anna:/usr/sbin/nologin\n",
		"etc/group":                       "sftp:x:900:\n",
		"etc/shadow":                      "anna:$6$saltsalt$sfZR6YSW/Dp0uCiyF9fDipa6ORr5LVLOwXNgtzRlXXhkC7xA3w4zy97VIC3vL14AUXGJp3yBjZVztkdiBzJnX1:20000:0:99999:7:::\n",
		"home/anna/.ssh/authorized_keys":  "no-pty " + line(good) + `command="/bin/date" ` + line(narrow),
		"home/anna/.ssh/authorized_keys2": line(open),
		"srv/anna/hello.txt":              "hello",
	} {
		path := filepath.Join(root, filepath.FromSlash(name))
		must(t, os.MkdirAll(filepath.Dir(path), 0o755))
		must(t, os.WriteFile(path, []byte(text), 0o600))
	}
	must(t, os.Chmod(filepath.Join(root, "home", "anna", ".ssh", "authorized_keys2"), 0o666))
	m := newMachine(t)
	m.imports(t, root)
	defer m.serves(t)()
	for name, c := range map[string]struct {
		method ssh.AuthMethod
		in     bool
	}{
		"password":                       {ssh.Password(known), true},
		"wrong password":                 {ssh.Password("wrong"), false},
		"key":                            {ssh.PublicKeys(good), true},
		"narrow key":                     {ssh.PublicKeys(narrow), false},
		"a key that anybody could write": {ssh.PublicKeys(open), false},
	} {
		conn, err := dial(addr.String(), "anna", c.method)
		if (err == nil) != c.in {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil {
			continue
		}
		client, err := sftp.NewClient(conn)
		must(t, err)
		info, err := client.Stat("/hello.txt")
		if err != nil || info.Size() != 5 {
			t.Errorf("%s: its file is not there: %v", name, err)
		}
		if err := client.Remove("/hello.txt"); err == nil {
			t.Errorf("%s: it removed what internal-sftp -P remove kept", name)
		}
		must(t, errors.Join(client.Close(), conn.Close()))
	}
}

// serves starts the sites of the machine.
func (m *machine) serves(t *testing.T) (stop func()) {
	t.Helper()
	st, err := m.Schema.Open(m.Data)
	must(t, err)
	ring, err := keyring.Open(m.KeyRing())
	must(t, err)
	e, err := engine.Open(engine.Options{Store: st, Sealer: seal.New(ring), Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	must(t, err)
	manager, err := sites.Start(sites.Options{Engine: e, Ring: ring, Open: func() bool { return true }, Log: slog.New(slog.DiscardHandler), Events: func(sftpd.Event) {}})
	must(t, err)
	return func() { must(t, errors.Join(manager.Close(), e.Close(), st.Close())) }
}

func newSigner(t *testing.T) ssh.Signer {
	t.Helper()
	k, err := hostkey.Generate(ssh.KeyAlgoED25519)
	must(t, err)
	s, err := k.Signer()
	must(t, err)
	return s
}

// dial waits for the site to listen.
func dial(addr, user string, method ssh.AuthMethod) (conn *ssh.Client, err error) {
	config := &ssh.ClientConfig{User: user, Auth: []ssh.AuthMethod{method}, HostKeyCallback: ssh.InsecureIgnoreHostKey(), Timeout: 20 * time.Second}
	for range 100 {
		conn, err = ssh.Dial("tcp", addr, config)
		if refused := (*net.OpError)(nil); !errors.As(err, &refused) {
			return conn, err
		}
		time.Sleep(100 * time.Millisecond)
	}
	return nil, err
}

// TestAFolderIsImportedAsItsArchiveIs: a folder gives what a zip of it gives.
func TestAFolderIsImportedAsItsArchiveIs(t *testing.T) {
	samples, err := filepath.Glob(filepath.Join("testdata", "import", "*", "backup"))
	must(t, err)
	for _, dir := range samples {
		if strings.Contains(dir, "v5-everything") {
			continue // needs passwords
		}
		zipped := importPath(t, folder(t, dir).zip(t), importer.Options{})
		plain := importPath(t, dir, importer.Options{})
		name := func(text string) string { return strings.ReplaceAll(text, "from backup.zip", "from backup") }
		if got, want := plain.text(t), name(zipped.text(t)); got != want {
			t.Errorf("%s:\n%s\nwant\n%s", dir, got, want)
		}
	}
}

// TestASingleFileIsRecognisedByItsContent whatever it is called.
func TestASingleFileIsRecognisedByItsContent(t *testing.T) {
	for path, product := range map[string]string{
		"sftpgo-everything/backup/dump.json": "SFTPGo", "filezilla-0.9/backup/FileZilla Server.xml": "FileZilla Server", "filezilla-1/backup/users.xml": "FileZilla Server",
		"proftpd-users/backup/ftpd.passwd": "ProFTPD", "vsftpd-users/backup/ftpd.passwd": "vsftpd", "openssh-everything/backup/etc/ssh/sshd_config": "OpenSSH",
		"v6-tree/backup/export.json": "Syncplify Server!",
	} {
		text, err := os.ReadFile(filepath.Join("testdata", "import", filepath.FromSlash(path)))
		must(t, err)
		s, err := migrate.Open(context.Background(), write(t, "something", text))
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		if s.About().Product != product {
			t.Errorf("%s is taken for one of %s", path, s.About().Product)
		}
		must(t, s.Close())
	}
}

// TestOneProductAloneIsAskedWhenItIsNamed.
func TestOneProductAloneIsAskedWhenItIsNamed(t *testing.T) {
	dump := filepath.Join("testdata", "import", "sftpgo-dump", "backup", "users.json")
	if _, err := migrate.OpenFrom(context.Background(), dump, "v6"); !errors.Is(err, archive.ErrNotBackup) {
		t.Error("a dump is taken for a backup of version 6:", err)
	}
	if _, err := migrate.OpenFrom(context.Background(), dump, "nonsense"); err == nil || !strings.Contains(err.Error(), "sftpgo, filezilla") {
		t.Error("what can be named is not told:", err)
	}
	logins := write(t, "logins.txt", []byte("anna\ngeheim\nbela\n geheim\n"))
	if _, err := migrate.Open(context.Background(), logins); !errors.Is(err, archive.ErrNotBackup) {
		t.Error("any text is taken for log-ins:", err)
	}
	s, err := migrate.OpenFrom(context.Background(), logins, "vsftpd-logins")
	must(t, err)
	must(t, s.Close())
}

// TestTheServersOwnFoldersAreServedToNobody, however a file of another server names them.
func TestTheServersOwnFoldersAreServedToNobody(t *testing.T) {
	const hash = "$6$saltsalt$sfZR6YSW/Dp0uCiyF9fDipa6ORr5LVLOwXNgtzRlXXhkC7xA3w4zy97VIC3vL14AUXGJp3yBjZVztkdiBzJnX1"
	var text strings.Builder
	for name, home := range map[string]string{"anna": "/var/anna", "eve": "/var/lib/ss-server/keyring", "mallory": "/var", "trudy": "/"} {
		fmt.Fprintf(&text, "%s:%s:2001:2001::%s:\n", name, hash, home)
	}
	own := func(root string) error {
		if root == "/" || root == "/var" || strings.HasPrefix(root+"/", "/var/lib/") {
			return errors.New("it is the server's own")
		}
		return nil
	}
	got := importPath(t, write(t, "ftpd.passwd", []byte(text.String())), importer.Options{Own: own})
	if u := got.user(t, "user/default/anna"); u.Disabled || u.Home.VFS != "anna" {
		t.Errorf("anna: %+v", u)
	}
	for _, name := range []string{"eve", "mallory", "trudy"} {
		if u := got.user(t, "user/default/"+name); !u.Disabled || u.Home.VFS != "" {
			t.Errorf("%s: %+v", name, u)
		}
	}
	for _, o := range got.objects {
		if v, ok := o.(*model.VFS); ok && v.Root != "/var/anna" {
			t.Errorf("there is a VFS of %s", v.Root)
		}
	}
}

// TestLinksAndPipesInAFolderAreNotFollowed out of it.
func TestLinksAndPipesInAFolderAreNotFollowed(t *testing.T) {
	dir := t.TempDir()
	secret := write(t, "secret.json", []byte(`{"users":[{"username":"eve","status":1}],"version":17}`))
	must(t, os.WriteFile(filepath.Join(dir, "dump.json"), []byte(`{"users":[],"version":17}`), 0o600))
	if err := os.Symlink(secret, filepath.Join(dir, "a.json")); err != nil {
		t.Skip("no links here:", err)
	}
	s, err := migrate.Open(context.Background(), dir)
	must(t, err)
	defer s.Close()
	var k keeper
	r := report.New(s.About())
	must(t, s.Import(context.Background(), importer.Options{NewNode: "here"}, &k, r))
	for _, o := range k.objects {
		if o.Key().Kind == model.KindUser {
			t.Error("a link was followed:", o.Key())
		}
	}
}

// TestAFolderThatAnImportMakesAVFSOfIsAskedForAccess: the homes lie there, and nobody would
// reach them.
func TestAFolderThatAnImportMakesAVFSOfIsAskedForAccess(t *testing.T) {
	closed := func(dir string) (why, cure string) { return "nobody may use " + dir, "open " + dir }
	for _, sample := range []string{"sftpgo-everything", "openssh-everything"} {
		m := newMachine(t)
		m.setUp(t)
		r := m.importsWith(t, folder(t, filepath.Join("testdata", "import", sample, "backup")).zip(t), importer.Options{Access: closed})
		made, lost := map[string]bool{}, map[string]bool{}
		for _, l := range r.Lines {
			if l.Kind == report.VFS && l.Outcome == report.Made {
				made[l.Name] = true
			}
		}
		for _, l := range r.Losses() {
			if l.Kind == report.VFS && strings.HasPrefix(l.What, "nobody may use ") {
				lost[l.Name] = true
			}
		}
		if len(made) == 0 {
			t.Errorf("%s: no VFS was made", sample)
		}
		for name := range made {
			if !lost[name] {
				t.Errorf("%s: nobody is told that the VFS %s cannot be used", sample, name)
			}
		}
	}
}
