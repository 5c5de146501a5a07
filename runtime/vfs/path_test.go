package vfs_test

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"ss-setup/runtime/vfs"
)

func TestANameBecomesOneCanonicalPath(t *testing.T) {
	for raw, want := range map[string]string{
		"": "/", ".": "/", "/": "/", "//": "/", "/.": "/", "..": "/", "/../..": "/",
		"a": "/a", "/a/": "/a", "a//b": "/a/b", "/a/./b": "/a/b", "/a/../b": "/b", "a/b/..": "/a",
		"/a/..": "/", "...": "/...", "/ä/日本": "/ä/日本", "a\nb": "/a\nb",
	} {
		p, err := vfs.Parse(raw, vfs.Rules{})
		if err != nil || p.String() != want {
			t.Errorf("Parse(%q) = %q, %v; want %q", raw, p, err, want)
		}
	}
}

func TestTricksWithNamesAreRefusedEverywhere(t *testing.T) {
	for _, raw := range []string{
		"../etc/passwd", "/../../etc/passwd", "a/../../b", "a\x00b", "/a/b\x00/../c",
		strings.Repeat("n", vfs.MaxName+1), strings.Repeat("a/", vfs.MaxPath),
		".ss-server", "/.ss-server/key", "a/.SS-Server/x", ".ss-upload-1", "x/.SS-UPLOAD-1", ".ſs-ſerver",
	} {
		for _, r := range []vfs.Rules{{}, {Windows: true}} {
			if p, err := vfs.Parse(raw, r); !errors.Is(err, vfs.ErrBadPath) {
				t.Errorf("Parse(%.40q, %+v) = %q, %v; want it refused", raw, r, p, err)
			}
		}
	}
}

func TestTricksOfWindowsAreRefusedThere(t *testing.T) {
	for _, raw := range []string{
		`C:\Windows`, "C:", "c:/x", `\\server\share`, `\\?\C:\x`, `a\..\..\b`, `..\x`, "file.txt:stream", "f::$DATA",
		"CON", "con.txt", "NUL", "nul .txt", "aux", "PRN.a.b", "COM1", "com¹", "LPT³.txt", "CONIN$", "lpt0",
		"a.", "a ", "a. .", "a/b./c", "x*", "what?", `say"`, "<", ">", "|", "tab\t", "del\x7f", "bad\xff",
		"PROGRA~1", "secre~12.txt", "SS-SER~1",
	} {
		if p, err := vfs.Parse(raw, vfs.Rules{Windows: true}); !errors.Is(err, vfs.ErrBadPath) {
			t.Errorf("Parse(%q) = %q, %v; want it refused", raw, p, err)
		}
	}
	for _, raw := range []string{"console", "com", "com10", "nullable.txt", "a.b.c", ".profile", "~", "a~b", "draft~1 of mine", "ﬀ", "x~1.backup"} {
		if _, err := vfs.Parse(raw, vfs.Rules{Windows: true}); err != nil {
			t.Errorf("Parse(%q): %v; want it taken", raw, err)
		}
	}
}

func TestPathsAreComparedByWholeComponents(t *testing.T) {
	path := func(s string) vfs.Path {
		p, err := vfs.Parse(s, vfs.Rules{})
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	for _, c := range []struct {
		path, dir, rest string
		in              bool
	}{
		{"/a/b", "/a", "/b", true},
		{"/a", "/a", "/", true},
		{"/a", "/", "/a", true},
		{"/", "/", "/", true},
		{"/ab", "/a", "", false},
		{"/", "/a", "", false},
		{"/A/b", "/a", "", false},
	} {
		rest, in := path(c.path).In(path(c.dir))
		if in != c.in || in && rest.String() != c.rest {
			t.Errorf("%s in %s: %v, %s", c.path, c.dir, in, rest)
		}
	}
	if path("/Straße/ſK").Fold() != path("/STRAßE/sk").Fold() {
		t.Error("a file system that folds case may take these for one")
	}
	if p := path("/b").Under(path("/m")); p.String() != "/m/b" {
		t.Errorf("under a mount: %s", p)
	}
	if p := path("/a/b"); p.Parent().String() != "/a" || p.Base() != "b" || p.Local() != "a/b" || vfs.Root.Local() != "." {
		t.Error("parts of a path are wrong")
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"", "/", "..", "a/../..", "C:\\x", "con", "a\x00", "\xff", ".ss-server", "a/b/c", "PROGRA~1", "x ", "é/É"} {
		f.Add(s, true)
		f.Add(s, false)
	}
	f.Fuzz(func(t *testing.T, raw string, windows bool) {
		r := vfs.Rules{Windows: windows}
		p, err := vfs.Parse(raw, r)
		if err != nil {
			if !errors.Is(err, vfs.ErrBadPath) {
				t.Fatalf("an error of another kind: %v", err)
			}
			return
		}
		if again, err := vfs.Parse(p.String(), r); err != nil || again != p {
			t.Fatalf("%q is not canonical: %q, %v", p, again, err)
		}
		for _, name := range p.Components() {
			if name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/\x00") || vfs.IsReserved(name) {
				t.Fatalf("%q let %q through", raw, name)
			}
			if windows && (strings.ContainsAny(name, `\:`) || !utf8.ValidString(name)) {
				t.Fatalf("%q let %q through on Windows", raw, name)
			}
		}
		if f := p.Fold(); f.Fold() != f {
			t.Fatalf("folding %q twice gives something else", p)
		}
	})
}
