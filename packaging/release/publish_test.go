package release

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var when = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

const changelog = `# Changelog

## [Unreleased]

- Nothing to see.

## [7.0.1] - 2026-12-01

### Fixed

- A thing <with> "signs" & more.

## [7.0.0] - 2026-11-21

- The first.
`

func TestArchivesOfTheSameFilesAreTheSameBytes(t *testing.T) {
	var first [2][]byte
	for try := range 2 {
		dir := filepath.Join(t.TempDir(), "ss-server-7.0.0-linux-amd64")
		for name, mode := range map[string]os.FileMode{"ss-setup": 0o700, "manifest.json": 0o600, "metadata/1.root.json": 0o666, "payload.tar.zst": 0o640} {
			name = filepath.Join(dir, name)
			if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(name, []byte(filepath.Base(name)), mode>>(3*try)|0o400); err != nil {
				t.Fatal(err)
			}
		}
		for i, suffix := range []string{".tar.gz", ".zip"} {
			out := dir + suffix
			if err := Archive(dir, out, when); err != nil {
				t.Fatal(err)
			}
			text := read(t, out)
			if try == 0 {
				first[i] = text
			} else if !bytes.Equal(first[i], text) {
				t.Errorf("%s differs", suffix)
			}
		}
	}
	z, err := gzip.NewReader(bytes.NewReader(first[0]))
	if err != nil {
		t.Fatal(err)
	}
	names := ""
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.Uid != 0 || h.Gid != 0 || h.Uname != "" || h.Gname != "" || !h.ModTime.Equal(when) {
			t.Errorf("%+v", h)
		}
		names += fmt.Sprintf("%s %04o\n", strings.TrimPrefix(h.Name, "ss-server-7.0.0-linux-amd64/"), h.Mode)
	}
	if want := "manifest.json 0644\nmetadata/1.root.json 0644\npayload.tar.zst 0644\nss-setup 0755\n"; names != want {
		t.Errorf("it holds\n%s", names)
	}
	zr, err := zip.NewReader(bytes.NewReader(first[1]), int64(len(first[1])))
	if err != nil || len(zr.File) != 4 {
		t.Errorf("zip: %v", err)
	}
}

// What a build left that was cut is not shipped: ss-setup would refuse the archive.
func TestAFolderWithAStrangerIsNotPacked(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "ss-server-7.0.0-linux-amd64")
	for _, name := range []string{"manifest.json", ".payload.tar.zst.123"} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := Archive(dir, dir+".tar.gz", when); err == nil || !strings.Contains(err.Error(), ".payload.tar.zst.123") {
		t.Errorf("error is %v", err)
	}
}

func TestTheChangelogIsReadAndFed(t *testing.T) {
	entries, err := ParseChangelog(changelog)
	if err != nil || len(entries) != 2 || entries[0].Version != "7.0.1" || !strings.HasPrefix(entries[0].Notes, "### Fixed") || entries[1].Notes != "- The first." {
		t.Fatalf("%+v, %v", entries, err)
	}
	var out bytes.Buffer
	if err := (Feed{Title: "SS Server", BaseURL: "https://releases.example/ss/", Entries: entries}).Write(&out); err != nil {
		t.Fatal(err)
	}
	var feed atomFeed
	if err := xml.Unmarshal(out.Bytes(), &feed); err != nil {
		t.Fatal(err)
	}
	if feed.ID != "https://releases.example/ss/releases.atom" || feed.Updated != "2026-12-01T00:00:00Z" || feed.Entries[0].Content.Text != entries[0].Notes {
		t.Errorf("%+v", feed)
	}
	if _, err := ParseChangelog("# Changelog\n"); err == nil {
		t.Error("an empty changelog is taken for one")
	}
	own, err := os.ReadFile("../../CHANGELOG.md")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ParseChangelog(string(own)); err != nil {
		t.Errorf("our own: %v", err)
	}
}

func FuzzParseChangelog(f *testing.F) {
	f.Add(changelog)
	f.Add("## [7.0.0] - 2026-13-41\n")
	f.Fuzz(func(t *testing.T, text string) {
		entries, err := ParseChangelog(text)
		if err == nil && len(entries) == 0 {
			t.Error("neither entries nor an error")
		}
	})
}

func TestAnAnnouncementNeverTellsItsToken(t *testing.T) {
	entries, err := ParseChangelog(changelog)
	if err != nil {
		t.Fatal(err)
	}
	var got, path, bearer string
	answer := http.StatusOK
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body)
		got, path, bearer = string(text), r.URL.Path, r.Header.Get("Authorization")
		w.WriteHeader(answer)
		fmt.Fprintf(w, "you sent %s %s", path, bearer)
	}))
	defer s.Close()
	a := Announcement{URL: s.URL + "/bot{token}/send", Token: "12:se/cret", Entry: entries[0]}
	if err := a.Send(t.Context(), s.Client()); err != nil {
		t.Fatal(err)
	}
	var body struct{ Text string }
	if err := json.Unmarshal([]byte(got), &body); err != nil || !strings.Contains(body.Text, `A thing <with> "signs" & more.`) {
		t.Errorf("posted %s: %v", got, err)
	}
	if path != "/bot12:se/cret/send" || bearer != "" {
		t.Errorf("path %s, bearer %s", path, bearer)
	}
	a.URL = s.URL + "/hook"
	if err := a.Send(t.Context(), s.Client()); err != nil || bearer != "Bearer 12:se/cret" {
		t.Errorf("bearer %s, %v", bearer, err)
	}
	answer = http.StatusForbidden
	for _, url := range []string{s.URL + "/hook", s.URL + "/bot{token}", "http://127.0.0.1:1/{token}", "http://releases.example/{token}"} {
		a.URL = url
		err := a.Send(t.Context(), s.Client())
		if err == nil || strings.Contains(err.Error(), "se/cret") || strings.Contains(err.Error(), "se%2Fcret") {
			t.Errorf("%s: error is %v", url, err)
		}
	}
	a.URL = "http://127.releases.example/{token}" // a name, and nobody knows whose
	if err := a.Send(t.Context(), s.Client()); err == nil || !strings.Contains(err.Error(), "is not https") {
		t.Errorf("error is %v", err)
	}
	elsewhere := 0
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere++ }))
	defer other.Close()
	leads := httptest.NewServer(http.RedirectHandler(other.URL, http.StatusTemporaryRedirect))
	defer leads.Close()
	a.URL = leads.URL + "/bot{token}"
	if err := a.Send(t.Context(), s.Client()); err == nil || elsewhere > 0 {
		t.Errorf("it followed a redirect %d times: %v", elsewhere, err)
	}
	a.URL, a.Body = s.URL, `{"text": "{{.Notes}}"}`
	if err := a.Send(t.Context(), s.Client()); err == nil || !strings.Contains(err.Error(), "no JSON") {
		t.Errorf("error is %v", err)
	}
}

func TestTheSBOMNamesEveryModuleAndIsAlwaysTheSame(t *testing.T) {
	program := filepath.Join(t.TempDir(), "ss-release")
	if out, err := exec.Command("go", "build", "-o", program, "../cmd/ss-release").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	var a, b bytes.Buffer
	for _, w := range []io.Writer{&a, &b} {
		if err := SBOM(w, "7.0.0", when, []string{program}); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(a.Bytes(), b.Bytes()) {
		t.Error("it differs")
	}
	for _, want := range []string{`"bomFormat": "CycloneDX"`, "pkg:golang/github.com/klauspost/compress@", "pkg:golang/stdlib@", "2026-11-21T12:00:00Z"} {
		if !strings.Contains(a.String(), want) {
			t.Errorf("%s is not in it", want)
		}
	}
}

func TestWindowsProgramsAreSignedAndVerified(t *testing.T) {
	if _, err := exec.LookPath("osslsigncode"); err != nil {
		t.Skip(ErrNoSigner)
	}
	dir := t.TempDir()
	source := filepath.Join(dir, "main.go")
	if err := os.WriteFile(source, []byte("package main\nfunc main() {}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(dir, "program.exe")
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", program, source)
	build.Env = append(os.Environ(), "GOOS=windows", "GOARCH=amd64", "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	cert, key, err := DevelopmentCertificate(dir, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	a := Authenticode{Cert: cert, Key: key}
	if err := a.Verify(t.Context(), program); err == nil {
		t.Error("an unsigned program is taken for signed")
	}
	if err := a.Sign(t.Context(), program); err != nil {
		t.Fatal(err)
	}
	text := read(t, program)
	text[len(text)/3] ^= 1
	if err := os.WriteFile(program, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := a.Verify(t.Context(), program); err == nil {
		t.Error("a changed program is taken for signed")
	}
}

func TestSumsAreWhatSha256sumReadsAndListNoStranger(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"b.zip", "a.tar.gz", "of-another-release.zip"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := Sums(dir, "SHA256SUMS", []string{"b.zip", "a.tar.gz", "b.zip"}); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sha256sum", "--check", "--strict", "SHA256SUMS")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil || string(out) != "a.tar.gz: OK\nb.zip: OK\n" {
		t.Errorf("%v: %s", err, out)
	}
}

func TestOneEntryIsTakenOutOfAFeed(t *testing.T) {
	day := time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)
	written := func(versions ...string) string {
		f := Feed{Title: "SS Server", BaseURL: "https://releases.test"}
		for _, v := range versions {
			f.Entries = append(f.Entries, Entry{Version: v, Date: day, Notes: "- <entry>\n</entry>\n of " + v})
		}
		var out bytes.Buffer
		if err := f.Write(&out); err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	whole := written("7.1.0", "7.0.1", "7.0.10")
	got, found := WithoutEntry([]byte(whole), "7.0.1")
	if want := written("7.1.0", "7.0.10"); !found || string(got) != want {
		t.Errorf("found %v, got %s, want %s", found, got, want)
	}
	if got, found := WithoutEntry([]byte(whole), "0.1"); found || string(got) != whole {
		t.Errorf("a version that is not listed: %v %s", found, got)
	}
}

func FuzzWithoutEntry(f *testing.F) {
	f.Add([]byte("<feed>\n  <entry>\n<id>x/releases/7.0.0</id></entry>\n</feed>\n"), "7.0.0")
	f.Add([]byte("  <entry>\n"), "")
	f.Fuzz(func(t *testing.T, feed []byte, version string) {
		if got, found := WithoutEntry(feed, version); !found && !bytes.HasPrefix(got, feed) {
			t.Errorf("a feed without %q has become %q", version, got)
		}
	})
}
