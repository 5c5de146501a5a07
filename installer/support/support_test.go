package support

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// planted are texts with secrets; each has sesame in it.
var planted = []string{
	"password = \"sesame open\"",
	"admin_password: sesame open the door",
	"PASSWORD=sesame rest",
	`{"user":"sa","password":"ses\"ame sesame","port":6443}`,
	`{"content":"[db]\nsecret = \"sesame\"\nport = 1"}`,
	`level=INFO msg="login" api_key=sesame user=x`,
	"Authorization: Bearer sesamesesame",
	`GET / "Authorization" "Basic c2VzYW1lsesame"`,
	"https://user:sesame@example.com/x",
	"postgres://sesame:sesame@db/x",
	"http://proxy:a@sesame@proxy.example:3128",
	"http://proxy:it's,sesame@proxy.example:3128",
	"https://sesame-token@git.example/x",
	"Cookie: session=sesame; other=sesame",
	"passphrase: 'sesame open'",
	"SetupCode=sesame",
	"token: $argon2id$v=19$m=65536,t=3,p=4$sesame$sesame",
	"sa:$2b$12$sesamesesamesesame:1000",
	"root:$6$salt$sesame:19000",
	"eyJhbGciOi.eyJzdWIiOsesame.sesame",
	"-----BEGIN OPENSSH PRIVATE KEY-----\nsesame\nsesame\n-----END OPENSSH PRIVATE KEY-----",
	"-----BEGIN PRIVATE KEY-----\nsesame\ncut off sesame",
	`{"pem":"-----BEGIN EC PRIVATE KEY-----\nsesame\n-----END EC PRIVATE KEY-----\n"}`,
	"a known one: 0123456789sesame",
}

func TestPlantedSecretsAreTakenOut(t *testing.T) {
	r := NewRedactor([]byte("0123456789sesame\n"), []byte(""), []byte("short"))
	for _, text := range planted {
		got := string(r.Redact([]byte("before\n" + text + "\nafter\n")))
		if strings.Contains(got, "sesame") || !strings.HasPrefix(got, "before\n") {
			t.Errorf("%q is written as %q", text, got)
		}
	}
	for _, text := range []string{"New code: MZGN-SYC8 (5 minutes)", "code S7AB-CDEF-GHIJ-KLMN-OPQR-STUV entered", "lmu -install s7ab-CDEF-ghij-klmn-opqr-stuv"} {
		got := string(r.Redact([]byte(text)))
		if !strings.Contains(got, gone) || strings.Contains(got, "MZGN") || strings.Contains(got, "CDEF") {
			t.Errorf("%q is written as %q", text, got)
		}
	}
}

// Of a file that is too long only the end is kept, which may begin within a key.
func TestTheEndOfAPrivateKeyIsTakenOutToo(t *testing.T) {
	key := "-----BEGIN PRIVATE KEY-----\n" + strings.Repeat("sesame+sesame/sesame\n", 3) + "-----END PRIVATE KEY-----\n"
	rest := strings.Repeat("x", MaxSource-len(key)+40) + "\n"
	got := string(NewRedactor().Redact(Tail([]byte(key + rest))))
	if strings.Contains(got, "sesame") || !strings.HasSuffix(got, "xx\n") {
		t.Errorf("it begins with %.100q and ends with %q", got, got[len(got)-10:])
	}
}

func TestWhatHelpsIsLeftIn(t *testing.T) {
	r := NewRedactor()
	for _, text := range []string{
		"[ 1/43] take number 1\n", "level=INFO msg=end outcome=committed error=<nil>\n",
		"\"sha256\": \"" + strings.Repeat("0f", 32) + "\"\n", "listen = \":6443\"\n", "2026-11-21T23:22:20Z short text\n",
		"https://127.0.0.1:6443/init/setup\n", "release 7.0.0-41610cde\n", "the passwords of 3 users are weak\n",
		`{"step":"make_probe_key","path":"/var/lib/ss-server/probe.key"}` + "\n",
	} {
		if got := string(r.Redact([]byte(text))); got != text {
			t.Errorf("%q is written as %q", text, got)
		}
	}
}

// contents reads an archive.
func contents(t *testing.T, r io.Reader) map[string]string {
	t.Helper()
	zip, err := gzip.NewReader(r)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for files := tar.NewReader(zip); ; {
		h, err := files.Next()
		if err == io.EOF {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(files)
		if err != nil {
			t.Fatal(err)
		}
		out[h.Name] = string(text)
	}
}

func text(s string, err error) func(context.Context) ([]byte, error) {
	return func(context.Context) ([]byte, error) { return []byte(s), err }
}

func TestABrokenSourceLeavesTheOthers(t *testing.T) {
	var out bytes.Buffer
	sum, err := Write(t.Context(), &out, "top", NewRedactor(), []Source{
		{"good", text("a", nil)},
		{"partly", text("b", errors.New("password=sesame is wrong"))},
		{"bad", func(context.Context) ([]byte, error) { panic("oh") }},
		Optional(File("none", filepath.Join(t.TempDir(), "none"))),
		Optional(Command("no-program", "no-such-program-here")),
		File("device", os.DevNull),
		Command("fails", "sh", "-c", "echo out; echo err >&2; exit 3"),
		{"last", text("z", nil)},
	}, time.Unix(1, 0))
	if err != nil {
		t.Fatal(err)
	}
	got := contents(t, &out)
	for name, want := range map[string]string{"top/good": "a", "top/partly": "b", "top/last": "z", "top/fails": "out\nerr\n"} {
		if got[name] != want {
			t.Errorf("%s is %q, want %q", name, got[name], want)
		}
	}
	errs := got["top/errors.txt"]
	if len(sum.Errors) != 3 || strings.Contains(errs, "sesame") || !strings.Contains(errs, "bad: failed: oh") || !strings.Contains(errs, "device: ") {
		t.Errorf("%d errors: %s", len(sum.Errors), errs)
	}
	if sum.Files != len(got) {
		t.Errorf("%d files are told, %d are there", sum.Files, len(got))
	}
}

func TestNoLinkIsFollowed(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "shadow"), []byte("sesame"), 0o600); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "log")
	if err := os.Symlink("shadow", link); err != nil {
		t.Fatal(err)
	}
	if text, err := File("log", link).Read(t.Context()); err == nil || len(text) > 0 {
		t.Errorf("read %q through a link", text)
	}
}

func TestAnArchiveIsBounded(t *testing.T) {
	file := filepath.Join(t.TempDir(), "log")
	line := strings.Repeat("x", 99) + "\n"
	if err := os.WriteFile(file, []byte("first\n"+strings.Repeat(line, 3*MaxSource/100)+"last\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	sources := []Source{File("log", file), Command("command", "cat", file)}
	for range MaxTotal/MaxSource + 2 {
		sources = append(sources, Source{"more", text(strings.Repeat(line, MaxSource/100), nil)})
	}
	var out bytes.Buffer
	sum, err := Write(t.Context(), &out, "t", NewRedactor(), sources, time.Unix(1, 0))
	if err != nil {
		t.Fatal(err)
	}
	total := 0
	for name, text := range contents(t, &out) {
		total += len(text)
		if name == "t/log" || name == "t/command" {
			if !strings.HasPrefix(text, cut) || !strings.HasSuffix(text, "\nlast\n") || len(text) > MaxSource+len(cut) {
				t.Errorf("%s: %d bytes, from %q", name, len(text), text[:40])
			}
		}
	}
	if total > MaxTotal+MaxSource || len(sum.Errors) == 0 || !strings.Contains(sum.Errors[0], "large enough") {
		t.Errorf("%d bytes, errors %q", total, sum.Errors)
	}
}

func FuzzRedact(f *testing.F) {
	for _, text := range planted {
		f.Add([]byte(text))
	}
	r := NewRedactor([]byte("known-secret"))
	f.Fuzz(func(t *testing.T, text []byte) {
		got := r.Redact(append(text, "\npassword=\"sesame-1\"\npassword: sesame-2\nknown-secret\n"...))
		if bytes.Contains(got, []byte("known-secret")) {
			t.Errorf("%q is written as %q", text, got)
		}
	})
}
