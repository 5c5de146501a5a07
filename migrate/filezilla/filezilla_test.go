package filezilla

import (
	"bytes"
	"context"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"ss-setup/migrate/archive"
	"ss-setup/migrate/importer"
	"ss-setup/migrate/report"
	"ss-setup/runtime/model"
)

// TestAUserComesOnlyFromWhereHisGroupMayToo: both lists must let him in.
func TestAUserComesOnlyFromWhereHisGroupMayToo(t *testing.T) {
	const text = `<filezilla xmlns="https://filezilla-project.org">
		<group name="office"><disallowed_ips>0.0.0.0/0 ::/0</disallowed_ips><allowed_ips>192.0.2.0/24</allowed_ips></group>
		<group name="field"><disallowed_ips>192.0.2.7</disallowed_ips></group>
		<user name="anna" enabled="true"><group>office</group><group>field</group><disallowed_ips>192.0.2.8/29</disallowed_ips></user>
		<user name="bela" enabled="true"><group>field</group></user>
	</filezilla>`
	file, err := archive.Read(bytes.NewReader([]byte(text)), int64(len(text)), "users.xml")
	if err != nil {
		t.Fatal(err)
	}
	s, err := Open(context.Background(), file)
	if err != nil {
		t.Fatal(err)
	}
	users := taken{}
	if err := s.Import(context.Background(), importer.Options{NewNode: "here"}, users, report.New(s.About())); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		user, from string
		in         bool
	}{
		{"anna", "192.0.2.1", true},
		{"anna", "192.0.2.7", false},
		{"anna", "192.0.2.9", false},
		{"anna", "198.51.100.1", false},
		{"anna", "2001:db8::1", false},
		{"bela", "192.0.2.7", false},
		{"bela", "198.51.100.1", true},
		{"bela", "2001:db8::1", true},
	} {
		if in := model.Within(netip.MustParseAddr(c.from), users[c.user].AllowFrom); in != c.in {
			t.Errorf("%s from %s: %v, by %v", c.user, c.from, in, users[c.user].AllowFrom)
		}
	}
}

// taken are users by name.
type taken map[string]*model.User

// Take implements importer.Taker.
func (x taken) Take(o model.Object) error {
	if u, ok := o.(*model.User); ok {
		x[u.Name] = model.Clone(u)
	}
	return importer.Discard{}.Take(o)
}

// FuzzImport: whatever the file says, reading it ends without a crash, and the report's
// numbers add up.
func FuzzImport(f *testing.F) {
	seeds, err := filepath.Glob(filepath.Join("..", "testdata", "import", "filezilla*", "backup", "*.xml"))
	if err != nil || len(seeds) == 0 {
		f.Fatal("there are no seeds", err)
	}
	for _, path := range seeds {
		text, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		file, err := archive.Read(bytes.NewReader(text), int64(len(text)), "x")
		if err != nil {
			return
		}
		s, err := Open(context.Background(), file)
		if err != nil {
			return
		}
		r := report.New(s.About())
		o := importer.Options{NewNode: "here", Now: func() time.Time { return time.Unix(1_800_000_000, 0) }}
		if err := s.Import(context.Background(), o, importer.Discard{}, r); err == nil && r.Balanced() != nil {
			t.Error(r.Balanced())
		}
	})
}
