package migrate_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"

	"ss-setup/runtime/engine"
	"ss-setup/runtime/model"
)

// served is a sample of another server whose users log in over SFTP after its import. Of
// the sample only what a test cannot have is changed: its folders, addresses and ports, a
// key of which nobody has the private half, and what disables its user.
type served struct {
	sample string
	// changes are pairs of what is in the sample and what comes in its place: ROOT is a
	// folder of the test, PORT a free port, KEY a public key.
	changes []string
	// homes are the folders of the users who log in.
	homes map[string]string
	// key: they log in with it, too.
	key bool
}

var servedSamples = []served{
	{
		sample: "sftpgo-dump", changes: []string{"/data/anna", "ROOT/anna"}, homes: map[string]string{"anna": "anna"},
	},
	{
		sample: "sftpgo-everything", key: true, homes: map[string]string{"anna": "data/anna"}, changes: []string{
			"/srv/sftpgo/", "ROOT/", "/srv/shared", "ROOT/shared", `"/a/*"`, `"/a"`, `"192.0.2.0/24"`, `"127.0.0.0/8"`, "1798761600000", "4102444800000",
			"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFrCMbdAnUXVvbYSR/JJ/Kg+40FQx7DsllsxI8PoP5dq", "KEY", "2022", "PORT",
		},
	},
	{
		sample: "filezilla-1", homes: map[string]string{"anna": "ftp/anna", "bela": "ftp/bela"},
		changes: []string{"/srv/", "ROOT/", "192.0.2.1 192.0.2.10-192.0.2.12", "127.0.0.1"},
	},
	{
		sample: "filezilla-0.9", homes: map[string]string{"anna": "ftp/anna"},
		changes: []string{`D:\ftp\`, "ROOT/ftp/", `D:\shared`, "ROOT/shared", "192.0.2.0/24", "127.0.0.0/8"},
	},
}

func TestUsersOfOtherServersLogInOverSFTPAndFindTheirFiles(t *testing.T) {
	for _, c := range servedSamples {
		t.Run(c.sample, func(t *testing.T) {
			root, addr, signer := t.TempDir(), freePort(t), newSigner(t)
			key := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(signer.PublicKey())))
			put := strings.NewReplacer("ROOT", root, "PORT", fmt.Sprint(addr.Port), "KEY", key)
			sample := folder(t, filepath.Join("testdata", "import", c.sample, "backup"))
			for name, text := range sample {
				for i := 0; i < len(c.changes); i += 2 {
					text = strings.ReplaceAll(text, c.changes[i], put.Replace(c.changes[i+1]))
				}
				sample[name] = text
			}
			for user, home := range c.homes {
				dir := filepath.Join(root, home)
				must(t, os.MkdirAll(dir, 0o755))
				must(t, os.WriteFile(filepath.Join(dir, "hello.txt"), []byte("hello, "+user), 0o600))
			}
			for _, dir := range []string{"shared", "pub", "team"} {
				must(t, os.MkdirAll(filepath.Join(root, dir), 0o755))
			}
			m := newMachine(t)
			m.listensAt(t, addr)
			m.imports(t, sample.zip(t))
			defer m.serves(t)()
			for user := range c.homes {
				if _, err := dial(addr.String(), user, ssh.Password("wrong")); err == nil {
					t.Errorf("%s logs in with a wrong password", user)
				}
				methods := []ssh.AuthMethod{ssh.Password(known)}
				if c.key {
					methods = append(methods, ssh.PublicKeys(signer))
				}
				for _, method := range methods {
					if text, err := fetch(addr.String(), user, method); err != nil || text != "hello, "+user {
						t.Errorf("%s reads %q, %v", user, text, err)
					}
				}
			}
		})
	}
}

func freePort(t *testing.T) *net.TCPAddr {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	must(t, l.Close())
	return l.Addr().(*net.TCPAddr)
}

// listensAt has the machine serve SFTP at an address before the import: what a source
// without one is served at.
func (m *machine) listensAt(t *testing.T, addr *net.TCPAddr) {
	t.Helper()
	m.setUp(t)
	m.in(t, func(e *engine.Engine) {
		_, err := e.Write(context.Background(), "test", func(tx *engine.Tx) error {
			return tx.Put(&model.Binding{Head: model.Head{Name: "sftp"}, Site: "main", Node: "mine", Port: addr.Port})
		})
		must(t, err)
	})
}

// fetch is the file of a user.
func fetch(addr, user string, method ssh.AuthMethod) (text string, err error) {
	conn, err := dial(addr, user, method)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	client, err := sftp.NewClient(conn)
	if err != nil {
		return "", err
	}
	defer client.Close()
	f, err := client.Open("/hello.txt")
	if err != nil {
		return "", err
	}
	defer f.Close()
	content, err := io.ReadAll(f)
	return string(content), err
}
