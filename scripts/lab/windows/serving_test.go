//go:build linux && lab

package windows

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"testing"

	"github.com/pkg/sftp"

	"ss-setup/scripts/lab"
)

const (
	sitePort     = "2022"
	userPassword = "Correct-horse-battery-9"
)

// do asks the REST interface and wants a yes.
func (b *box) do(r *lab.REST, path, body string) {
	b.t.Helper()
	status, answer, err := r.Send(b.t.Context(), "POST", path, body)
	if err != nil || status >= 300 {
		b.t.Fatalf("POST %s: %d, %v: %s\n%s", path, status, err, answer, b.logs())
	}
}

// login is a session of a user.
func (b *box) login(user string) *sftp.Client {
	b.t.Helper()
	c, err := lab.SFTP(b.t.Context(), b.Dial, "127.0.0.1:"+sitePort, user, userPassword)
	if err != nil {
		b.t.Fatalf("%v\n%s", err, b.logs())
	}
	b.t.Cleanup(func() { _ = c.Close() })
	return c
}

func upload(c *sftp.Client, name, text string) error {
	f, err := c.Create(name)
	if err != nil {
		return err
	}
	_, err = f.Write([]byte(text))
	return errors.Join(err, f.Close())
}

func download(c *sftp.Client, name string) (string, error) {
	f, err := c.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	text, err := io.ReadAll(f)
	return string(text), err
}

func TestUsersAreServedAndPathTricksLeadNowhere(t *testing.T) {
	b := boot(t, "7.0.0")
	b.want(done, setupOf("7.0.0"), "install")
	b.serves("7.0.0")
	server := strings.TrimSpace(b.MustExec("sh", "-c", "cd '"+drive+"' && ls -d Program*Files/SS*Server/releases/*/bin/ss-server.exe"))
	out, errs, code := b.run(nil, `C:\`+strings.ReplaceAll(server, "/", `\`), "token", "add", "lab", "--super")
	token, _, _ := strings.Cut(strings.ReplaceAll(out, "\r", ""), "\n")
	if code != 0 || token == "" {
		t.Fatalf("no token: %d %s%s\n%s", code, out, errs, b.logs())
	}
	r := lab.NewREST(b.Dial, token)
	defer r.Close()
	b.do(r, "/nodes", `{"name":"one"}`)
	b.do(r, "/sites", `{"name":"main"}`)
	b.do(r, "/sites/main/bindings", fmt.Sprintf(`{"name":"sftp","node":"one","port":%s}`, sitePort))
	b.MustExec("sh", "-c", "echo secret >"+drive+"/outside.txt")
	for user, kind := range map[string]string{"kim": "disk", "eve": "encrypted"} {
		b.do(r, "/sites/main/vfs", fmt.Sprintf(`{"name":"of-%s","type":%q,"root":"C:\\Files\\%s"}`, user, kind, user))
		b.do(r, "/sites/main/users", fmt.Sprintf(
			`{"name":%q,"password":{"clear":%q},"home":{"vfs":"of-%s","path":"/","permissions":["list","download","upload","overwrite","rename","mkdir","delete"]}}`, user, userPassword, user))
	}
	for _, user := range []string{"kim", "eve"} {
		t.Run(user, func(t *testing.T) { b.usesWindows(t, user) })
	}
	if text := b.MustExec("cat", drive+"/outside.txt"); text != "secret\n" {
		t.Errorf("a file outside was changed to %q", text)
	}
	b.restart()
	b.serves("7.0.0")
	for _, user := range []string{"kim", "eve"} {
		if text, err := download(b.login(user), "/folder/Ünïcode name.txt"); text != "content" || err != nil {
			t.Errorf("after a restart %s reads %q, %v", user, text, err)
		}
	}
}

// usesWindows does what users do, and what only an attacker does.
func (b *box) usesWindows(t *testing.T, user string) {
	c := b.login(user)
	if err := errors.Join(c.Mkdir("/folder"), upload(c, "/folder/a.txt", "content"), c.PosixRename("/folder/a.txt", "/folder/Ünïcode name.txt")); err != nil {
		t.Fatalf("%v\n%s", err, b.logs())
	}
	if text, err := download(c, "/folder/Ünïcode name.txt"); text != "content" || err != nil {
		t.Errorf("reads %q, %v", text, err)
	}
	if err := upload(c, "/folder/ünïcode NAME.txt", "content"); err != nil {
		t.Errorf("the same file in another case: %v", err)
	}
	if infos, err := c.ReadDir("/folder"); err != nil || len(infos) != 1 {
		t.Errorf("the folder has %d files: %v", len(infos), err)
	}
	for _, name := range []string{
		`/CON`, `/nul.txt`, `/folder/COM1`, `/LPT9 .txt`, `/folder/a:stream`, `/folder::$DATA`, `/trailing.`, `/trailing `,
		`/a\..\..\outside.txt`, `\\localhost\C$\outside.txt`, `/C:/outside.txt`, `C:\outside.txt`, `/?`, `/*`, "/a\x01b", "/a\x00b", `/` + strings.Repeat("x", 300),
	} {
		if err := upload(c, name, "trick"); err == nil {
			t.Errorf("%q was taken", name)
		}
		if text, err := download(c, name); err == nil {
			t.Errorf("%q is read: %q", name, text)
		}
	}
	for _, name := range []string{"/../outside.txt", "/folder/../../outside.txt", "../../outside.txt"} {
		// These are names in the root of the user.
		if text, err := download(c, name); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%q is read: %q, %v", name, text, err)
		}
	}
	if _, err := lab.SFTP(context.Background(), b.Dial, "127.0.0.1:"+sitePort, user, "wrong"); err == nil {
		t.Error("a wrong password is taken")
	}
}
