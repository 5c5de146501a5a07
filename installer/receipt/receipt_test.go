package receipt

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func golden(tb testing.TB, name string) []byte {
	tb.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		tb.Fatal(err)
	}
	return raw
}

// Everything that was ever released stays in testdata and goes through here.
func TestEveryReleasedReceiptParsesForEver(t *testing.T) {
	names, err := filepath.Glob(filepath.Join("testdata", "receipt-*.json"))
	if err != nil || len(names) == 0 {
		t.Fatalf("%d receipts, error %v", len(names), err)
	}
	for _, name := range names {
		if _, err := Parse(golden(t, filepath.Base(name))); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestParseReadsEveryField(t *testing.T) {
	r, err := Parse(golden(t, "receipt-1.json"))
	if err != nil {
		t.Fatal(err)
	}
	if r.Generation != 3 || r.Previous != 2 || r.Version != "7.0.1" || r.Release != "7.0.1-0a1b2c3d" ||
		!strings.HasPrefix(r.ManifestDigest, "0a1b2c3d") || r.Verb != "update" || !r.Offline {
		t.Errorf("head is %+v", r)
	}
	if want := time.Date(2026, 11, 21, 21, 37, 5, 0, time.UTC); !r.Created.Equal(want) {
		t.Errorf("created is %v", r.Created)
	}
	if !bytes.Contains(r.Options, []byte("2222")) || !bytes.Contains(r.Plan, []byte("switch_generation")) {
		t.Error("options or plan are lost")
	}
	config, program, link, dir := r.Files[0], r.Files[1], r.Files[2], r.Files[3]
	if !config.Config || config.Type != File || config.SHA256 != "" {
		t.Errorf("configuration is %+v", config)
	}
	if program.Perm() != 0o755 || program.Size != 11423906 || program.SHA256 == "" || program.Owner != "root" {
		t.Errorf("program is %+v", program)
	}
	if link.Type != Link || link.Target == "" {
		t.Errorf("link is %+v", link)
	}
	if dir.Type != Dir || dir.Group != "ss-server" || dir.Mode != Mode(0o700) {
		t.Errorf("folder is %+v", dir)
	}
	if len(r.Services) != 2 || r.Services[1] != (Service{Name: "ss-server", User: "ss-server"}) || !r.Services[0].Enabled {
		t.Errorf("services are %+v", r.Services)
	}
	if !slices.Equal(r.Accounts, []string{"ss-licensed", "ss-server"}) || len(r.Originals) != 1 {
		t.Errorf("accounts are %v, originals %v", r.Accounts, r.Originals)
	}
}

func TestMarshalWritesTheSameBytesForTheSameReceipt(t *testing.T) {
	raw := golden(t, "receipt-1.json")
	r, err := Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	slices.Reverse(r.Files)
	slices.Reverse(r.Services)
	slices.Reverse(r.Accounts)
	r.Schema = 0
	r.Created = r.Created.Add(time.Millisecond).In(time.FixedZone("", 3600))
	first := r.Files[0].Path
	got, err := r.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, raw) {
		t.Errorf("written again it is\n%s", got)
	}
	if r.Files[0].Path != first {
		t.Error("Marshal sorted the caller's own list")
	}
}

func TestMarshalRefusesWhatParseWouldRefuse(t *testing.T) {
	r, err := Parse(golden(t, "receipt-1.json"))
	if err != nil {
		t.Fatal(err)
	}
	r.Files[0].Path = "etc/passwd"
	if _, err := r.Marshal(); !errors.Is(err, ErrInvalid) {
		t.Fatalf("error is %v, want ErrInvalid", err)
	}
	s := NewState()
	s.KeptData = 1
	if _, err := s.Marshal(); !errors.Is(err, ErrInvalid) {
		t.Fatalf("error is %v, want ErrInvalid", err)
	}
}

func TestMarshalOfAnEmptyListIsNoNull(t *testing.T) {
	r := Receipt{Generation: 1, Version: "7.0.0", Release: "7.0.0-0a1b2c3d", ManifestDigest: strings.Repeat("0", 64)}
	raw, err := r.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(raw, []byte("null")) {
		t.Errorf("receipt is\n%s", raw)
	}
}

func TestParseIgnoresUnknownFieldsOfItsSchema(t *testing.T) {
	raw := bytes.Replace(golden(t, "receipt-1.json"), []byte(`"verb"`), []byte(`"mood": {"of": ["day"]}, "verb"`), 1)
	if _, err := Parse(raw); err != nil {
		t.Error(err)
	}
	raw = bytes.Replace(golden(t, "state-1.json"), []byte(`"installed"`), []byte(`"mood": 3, "installed"`), 1)
	if _, err := ParseState(raw); err != nil {
		t.Error(err)
	}
}

func TestParseRefusesANewerSchema(t *testing.T) {
	newer := []byte(`{"schema": 2, "generation": "three"}`)
	_, receiptErr := Parse(newer)
	_, stateErr := ParseState(newer)
	for _, err := range []error{receiptErr, stateErr} {
		if !errors.Is(err, ErrNewer) || errors.Is(err, ErrInvalid) {
			t.Fatalf("error is %v, want ErrNewer alone", err)
		}
		if !strings.Contains(err.Error(), "made by a newer ss-setup") {
			t.Errorf("error is %q", err)
		}
	}
}

func TestParseRefusesWhatIsNoReceipt(t *testing.T) {
	for _, c := range []struct{ name, old, new, reason string }{
		{"no schema", `"schema": 1,`, ``, "schema is 0"},
		{"generation 0", `"generation": 3`, `"generation": 0`, "generation is 0"},
		{"a generation that follows itself", `"previous": 2`, `"previous": 3`, "the generation before 3 is 3"},
		{"no version", `"7.0.1",`, `"",`, "no version"},
		{"a release that climbs", `"release": "7.0.1-0a1b2c3d"`, `"release": ".."`, "no name of a folder"},
		{"a release that is a path", `"release": "7.0.1-0a1b2c3d"`, `"release": "a/b"`, "no name of a folder"},
		{"a short digest", `44"`, `"`, "manifest_digest"},
		{"a time that is none", `"2026-11-21T21:37:05Z"`, `"yesterday"`, "not valid"},
		{"a relative path", `"/var/lib/ss-server/3"`, `"var"`, "not an absolute path"},
		{"a climbing path", `"/var/lib/ss-server/3"`, `"/var/lib/ss-server/../../.."`, "not an absolute path"},
		{"a climbing Windows path", `"/var/lib/ss-server/3"`, `"C:\\x\\..\\y"`, "not an absolute path"},
		{"a path twice", `"/usr/bin/ss-server"`, `"/etc/ss-server/server.toml"`, "there twice"},
		{"an unknown type", `"link"`, `"socket"`, `type "socket"`},
		{"a link to nowhere", `"/opt/ss-server/current/release/bin/ss-server"`, `""`, "without a target"},
		{"a program without a digest", strings.Repeat("5", 64), ``, "sha256"},
		{"a set-uid mode", `"0755"`, `"4755"`, "mode"},
		{"a negative size", `"size": 11423906`, `"size": -1`, "size is -1"},
		{"an original saved anywhere", `"/var/lib/ss-setup/originals/usr-bin-lmu"`, `"lmu"`, "not absolute paths"},
	} {
		t.Run("refuses "+c.name, func(t *testing.T) {
			raw := string(golden(t, "receipt-1.json"))
			changed := strings.Replace(raw, c.old, c.new, 1)
			if changed == raw {
				t.Fatalf("%q is not in the golden receipt", c.old)
			}
			_, err := Parse([]byte(changed))
			if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), c.reason) {
				t.Fatalf("error is %v, want ErrInvalid with %q", err, c.reason)
			}
		})
	}
}

func TestParseTakesPathsOfWindows(t *testing.T) {
	raw := strings.Replace(string(golden(t, "receipt-1.json")), `"/var/lib/ss-server/3"`, `"C:\\ProgramData\\SS Server\\data\\3"`, 1)
	if _, err := Parse([]byte(raw)); err != nil {
		t.Error(err)
	}
}

func TestParseRefusesAFileCutAnywhere(t *testing.T) {
	receiptRaw, stateRaw := bytes.TrimSpace(golden(t, "receipt-1.json")), bytes.TrimSpace(golden(t, "state-1.json"))
	for cut := range receiptRaw {
		if _, err := Parse(receiptRaw[:cut]); !errors.Is(err, ErrInvalid) {
			t.Fatalf("receipt cut at %d: error is %v, want ErrInvalid", cut, err)
		}
	}
	for cut := range stateRaw {
		if _, err := ParseState(stateRaw[:cut]); !errors.Is(err, ErrInvalid) {
			t.Fatalf("state cut at %d: error is %v, want ErrInvalid", cut, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(golden(f, "receipt-1.json"))
	f.Add([]byte(`{"schema": 2}`))
	f.Add([]byte(`{"schema": 1, "files": [{"path": "/../x", "type": "dir"}]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		r, err := Parse(raw)
		if err != nil {
			if !errors.Is(err, ErrInvalid) && !errors.Is(err, ErrNewer) {
				t.Fatalf("untyped error %v", err)
			}
			return
		}
		for _, e := range r.Files {
			if slices.Contains(strings.FieldsFunc(e.Path, func(c rune) bool { return c == '/' || c == '\\' }), "..") {
				t.Fatalf("accepted %q", e.Path)
			}
		}
		once, err := r.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		again, err := Parse(once)
		if err != nil {
			t.Fatalf("written again it is refused: %v", err)
		}
		if twice, err := again.Marshal(); err != nil || !bytes.Equal(once, twice) {
			t.Fatalf("not stable, error %v:\n%s\n%s", err, once, twice)
		}
		if !json.Valid(once) {
			t.Fatal("not JSON")
		}
	})
}
