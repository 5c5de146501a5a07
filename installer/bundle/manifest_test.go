package bundle

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func golden(tb testing.TB) []byte {
	tb.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", "manifest-1.json"))
	if err != nil {
		tb.Fatal(err)
	}
	return raw
}

func TestParseReadsTheReleasedForm(t *testing.T) {
	raw := golden(t)
	m, err := Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := m.Release(Digest(raw)), "7.0.0-rc.1+b5-"+Digest(raw)[:8]; got != want {
		t.Errorf("release is %q, want %q", got, want)
	}
	if got := m.UnpackedSize(); got != 41+7 {
		t.Errorf("unpacked size is %d", got)
	}
	if got := m.Files[0].Perm(); got != 0o755 {
		t.Errorf("mode is %v", got)
	}
	again, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(append(again, '\n'), raw) {
		t.Errorf("written again it is\n%s", again)
	}
}

func TestParseRefusesWhatIsNoManifest(t *testing.T) {
	for _, c := range []struct{ name, old, new, reason string }{
		{"an unknown field", `"schema": 1,`, `"schema": 1, "colour": 3,`, `unknown field "colour"`},
		{"an unknown field of a file", `"size": 41,`, `"size": 41, "owner": "root",`, `unknown field "files.owner"`},
		{"an unknown field of the payload", `"name": "payload.tar.zst",`, `"name": "payload.tar.zst", "url": "",`, `unknown field "payload.url"`},
		{"a field in other case", `"product"`, `"Product"`, `unknown field "Product"`},
		{"a field twice", `"os": "linux",`, `"os": "linux", "os": "windows",`, `field "os" is there twice`},
		{"an object for a value", `"linux"`, `{"a": 1}`, "an object where a plain value belongs"},
		{"a list for a value", `"linux"`, `["linux"]`, "cannot read"},
		{"deep lists", `"linux"`, strings.Repeat("[", 9) + strings.Repeat("]", 9), "nested too deep"},
		{"a value for a list", `"files": [`, `"files": 3, "files": [`, `field "files" is there twice`},
		{"text after the end", "\n}\n", "\n} {}", "cannot read"},
		{"schema 0", `"schema": 1`, `"schema": 0`, "schema is 0"},
		{"another product", `"ss-server",`, `"other",`, `product is "other"`},
		{"a version with a v", `"7.0.0-rc.1+b5"`, `"v7.0.0"`, "not a semantic version"},
		{"a version of two numbers", `"7.0.0-rc.1+b5"`, `"7.0"`, "not a semantic version"},
		{"a version that is a path", `"7.0.0-rc.1+b5"`, `"../7.0.0"`, "not a semantic version"},
		{"a huge version", `"7.0.0-rc.1+b5"`, `"7.0.0-` + strings.Repeat("a", 80) + `"`, "not a semantic version"},
		{"no operating system", `"linux"`, `""`, "not the name of an operating system"},
		{"a path for an architecture", `"amd64"`, `"../amd64"`, "not the name of an architecture"},
		{"another payload", `"payload.tar.zst"`, `"../payload.tar.zst"`, "payload is named"},
		{"another setup", `"setup": {`, `"setup": {"name": "/bin/sh",`, "setup is named"},
		{"an empty payload", `"size": 1234`, `"size": 0`, "payload: size 0"},
		{"a short digest", `33"`, `"`, "not 64 lower-case hexadecimal"},
		{"a digest in capitals", `33"`, `3A"`, "not 64 lower-case hexadecimal"},
		{"a negative size", `"size": 41`, `"size": -1`, "size -1"},
		{"a broken size", `"size": 41`, `"size": 4.5`, "cannot read"},
		{"a huge file", `"size": 41`, `"size": 99999999999`, "size 99999999999"},
		{"a size beyond numbers", `"size": 41`, `"size": 99999999999999999999`, "cannot read"},
		{"a mode in decimal", `"0755"`, `"493"`, `mode "493"`},
		{"a mode as a number", `"0755"`, `755`, "cannot read"},
		{"a set-uid mode", `"0755"`, `"4755"`, `mode "4755"`},
		{"a mode that lets all write", `"0755"`, `"0777"`, "lets others than the owner write"},
		{"an absolute path", `"bin/ss-server"`, `"/bin/ss-server"`, "absolute"},
		{"a climbing path", `"bin/ss-server"`, `"bin/../../x"`, "climbs"},
		{"a climbing Windows path", `"bin/ss-server"`, `"bin\\..\\x"`, "has characters"},
		{"a drive", `"bin/ss-server"`, `"c:/x"`, "has characters"},
		{"an empty path", `"bin/ss-server"`, `""`, "shortest form"},
		{"a double slash", `"bin/ss-server"`, `"bin//x"`, "shortest form"},
		{"a dot", `"bin/ss-server"`, `"./x"`, "shortest form"},
		{"a folder for a file", `"bin/ss-server"`, `"bin/"`, "shortest form"},
		{"a dot at the end", `"bin/ss-server"`, `"bin/x."`, "ends in a dot"},
		{"a device of Windows", `"bin/ss-server"`, `"bin/NUL.txt"`, "device on Windows"},
		{"a control character", `"bin/ss-server"`, `"bin/\u0000x"`, "has characters"},
		{"a long path", `"bin/ss-server"`, `"` + strings.Repeat("a/", 200) + `b"`, "more than 255"},
		{"a path twice", `"services/a"`, `"bin/ss-server"`, "the same file"},
		{"a path twice in other case", `"services/a"`, `"BIN/SS-Server"`, "the same file"},
		{"a file in a file", `"services/a"`, `"bin/ss-server/x"`, "which is a file"},
		{"the manifest itself as a file", `"services/a"`, `"manifest.json"`, "belongs to the installer"},
	} {
		t.Run("refuses "+c.name, func(t *testing.T) {
			raw := string(golden(t))
			changed := strings.Replace(raw, c.old, c.new, 1)
			if changed == raw {
				t.Fatalf("%q is not in the golden manifest", c.old)
			}
			_, err := Parse([]byte(changed))
			if !errors.Is(err, ErrDamaged) {
				t.Fatalf("error is %v, want ErrDamaged", err)
			}
			if !strings.Contains(err.Error(), c.reason) {
				t.Errorf("error is %q, want %q in it", err, c.reason)
			}
		})
	}
}

func TestParseNamesTheCureForANewerSchema(t *testing.T) {
	_, err := Parse([]byte(`{"schema": 2, "blocks": {"a": [1]}}`))
	if !errors.Is(err, ErrNewer) || errors.Is(err, ErrDamaged) {
		t.Fatalf("error is %v, want ErrNewer alone", err)
	}
	if !strings.Contains(err.Error(), "run the ss-setup that came with the package") {
		t.Errorf("error %q names no cure", err)
	}
}

func TestParseRefusesTooMuch(t *testing.T) {
	var m Manifest
	if err := json.Unmarshal(golden(t), &m); err != nil {
		t.Fatal(err)
	}
	many := m
	many.Files = make([]File, MaxFiles+1)
	huge := m
	huge.Files = nil
	for _, name := range []string{"a", "b", "c"} {
		f := m.Files[0]
		f.Path, f.Size = name, MaxFileSize
		huge.Files = append(huge.Files, f)
	}
	none := m
	none.Files = nil
	for name, c := range map[string]Manifest{"files": many, "bytes together": huge, "nothing": none} {
		raw, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Parse(raw); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: error is %v, want ErrDamaged", name, err)
		}
	}
	if _, err := Parse(bytes.Repeat([]byte(" "), MaxManifestSize+1)); !errors.Is(err, ErrDamaged) {
		t.Errorf("size: error is %v, want ErrDamaged", err)
	}
}

func TestParseRefusesAManifestCutAnywhere(t *testing.T) {
	raw := bytes.TrimSpace(golden(t))
	for cut := range raw {
		if _, err := Parse(raw[:cut]); !errors.Is(err, ErrDamaged) {
			t.Fatalf("cut at %d: error is %v, want ErrDamaged", cut, err)
		}
	}
}
