package migrate_test

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"strings"
	"testing"

	"ss-setup/migrate"
	"ss-setup/migrate/archive"
	"ss-setup/migrate/importer"
	"ss-setup/migrate/report"
	"ss-setup/runtime/backup"
)

// entry is a file of an archive that no program would make.
type entry struct {
	name    string
	content string
	change  func(*zip.FileHeader)
}

func hostileZip(t testing.TB, entries ...entry) []byte {
	t.Helper()
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	for _, e := range entries {
		h := &zip.FileHeader{Name: e.name, Method: zip.Store}
		h.CRC32 = crc32.ChecksumIEEE([]byte(e.content))
		h.CompressedSize64, h.UncompressedSize64 = uint64(len(e.content)), uint64(len(e.content))
		if e.change != nil {
			e.change(h)
		}
		w, err := z.CreateRaw(h)
		must(t, err)
		_, err = io.WriteString(w, e.content)
		must(t, err)
	}
	must(t, z.Close())
	return out.Bytes()
}

// bomb is a zip whose one file is n zeros in a list.
func bomb(t testing.TB, n int) []byte {
	t.Helper()
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	w, err := z.Create("sites/default/users.json")
	must(t, err)
	zeros := bytes.Repeat([]byte(" "), 1<<20)
	for range n >> 20 {
		_, err := w.Write(zeros)
		must(t, err)
	}
	must(t, z.Close())
	return out.Bytes()
}

const (
	someUsers = `[{"id":"anna","home":{"vfsId":"V1"}}]`
	someSite  = `[{"id":"default"}]`
)

// TestABadFileIsToldExactly: what it is, and nothing of it is taken.
func TestABadFileIsToldExactly(t *testing.T) {
	good := files{"vsites.json": someSite, "sites/default/users.json": someUsers}.pack(t)
	deep := strings.Repeat(`[`, 100) + strings.Repeat(`]`, 100)
	cases := map[string]struct {
		content []byte
		is      error
		says    string
	}{
		"an empty file":                   {nil, archive.ErrDamaged, "it is empty"},
		"zeros":                           {make([]byte, 4096), archive.ErrDamaged, "zeros only"},
		"a text":                          {[]byte("Dear Sir or Madam"), archive.ErrNotBackup, "neither a zip archive nor JSON"},
		"a 7-Zip archive":                 {[]byte("7z\xbc\xaf\x27\x1cxxxx"), archive.ErrNotBackup, "7-Zip"},
		"a gzip file":                     {[]byte("\x1f\x8b\x08xxxx"), archive.ErrNotBackup, "gzip"},
		"a database":                      {[]byte("SQLite format 3\x00xxx"), archive.ErrNotBackup, "make a backup in the user interface"},
		"a program":                       {[]byte("MZ\x90"), archive.ErrNotBackup, "a program"},
		"an encrypted backup of v7":       {[]byte("age-encryption.org/v1\n-> scrypt"), archive.ErrOwn, "ss-server restore"},
		"a zip that is cut":               {good[:len(good)-30], archive.ErrDamaged, "copy or download it again"},
		"an empty zip":                    {hostileZip(t), archive.ErrNotBackup, "no file in it"},
		"a zip of something else":         {files{"photo.jpg": "x"}.pack(t), archive.ErrNotBackup, "nothing in it belongs to version 4, 5 or 6"},
		"a backup of v3":                  {files{"version.json": `{"version":"3.2.1"}`, "users.json": someUsers}.pack(t), archive.ErrTooOld, "cannot be exported"},
		"a backup of v1":                  {files{"version.json": `{"version":"1.0"}`}.pack(t), archive.ErrTooOld, "set this server up anew"},
		"a backup of v8":                  {files{"version.json": `{"version":"8.0.1"}`, "vsites.json": someSite}.pack(t), archive.ErrTooNew, "install that version"},
		"part of a backup of v7":          {files{"version.json": `{"version":"7.1.3"}`}.pack(t), archive.ErrOwn, "no whole one"},
		"a backup of v7 without its seal": {files{"backup.json": `{}`, "manifest.json": `{}`}.pack(t), archive.ErrOwn, "ss-server restore"},
		"a climbing name":                 {hostileZip(t, entry{name: "sites/../../etc/passwd.json", content: someUsers}), archive.ErrHostile, "leads out of the archive"},
		"a climbing name of Windows":      {hostileZip(t, entry{name: `sites\..\..\users.json`, content: someUsers}), archive.ErrHostile, "leads out of the archive"},
		"an absolute name":                {hostileZip(t, entry{name: "/etc/users.json", content: someUsers}), archive.ErrHostile, "names a place on a disk"},
		"a name with a drive":             {hostileZip(t, entry{name: `C:\users.json`, content: someUsers}), archive.ErrHostile, "names a place on a disk"},
		"a name with a line feed":         {hostileZip(t, entry{name: "users\n.json", content: someUsers}), archive.ErrHostile, "an entry is named"},
		"a name that is no text":          {hostileZip(t, entry{name: "us\xff\xfeers.json", content: someUsers}), archive.ErrHostile, "not text in UTF-8"},
		"a double entry":                  {hostileZip(t, entry{name: "vsites.json", content: someSite}, entry{name: "VSITES.JSON", content: `[]`}), archive.ErrHostile, "is there twice"},
		"a link":                          {hostileZip(t, entry{name: "users.json", content: "/etc/shadow", change: func(h *zip.FileHeader) { h.SetMode(os.ModeSymlink | 0o777) }}), archive.ErrHostile, "not a plain file"},
		"an encrypted entry":              {hostileZip(t, entry{name: "users.json", content: someUsers, change: func(h *zip.FileHeader) { h.Flags |= 1 }}), archive.ErrEncrypted, "needs a password"},
		"a foreign method":                {hostileZip(t, entry{name: "users.json", content: someUsers, change: func(h *zip.FileHeader) { h.Method = 14 }}), archive.ErrNotBackup, "packed by method 14"},
		"a size that is a lie":            {hostileZip(t, entry{name: "users.json", content: someUsers, change: func(h *zip.FileHeader) { h.UncompressedSize64 = 1 << 40 }}), archive.ErrHostile, ""},
		"entries larger than the file":    {hostileZip(t, entry{name: "vsites.json", content: someSite, change: func(h *zip.FileHeader) { h.CompressedSize64, h.UncompressedSize64 = 1<<20, 1<<20 }}), archive.ErrHostile, "larger than the file itself"},
		"a bomb":                          {bomb(t, 64<<20), archive.ErrHostile, "unfolds from"},
		"a wrong sum":                     {hostileZip(t, entry{name: "vsites.json", content: someSite, change: func(h *zip.FileHeader) { h.CRC32++ }}), archive.ErrDamaged, "copy or download it again"},
		"JSON that is cut":                {files{"vsites.json": `[{"id":"def`}.pack(t), archive.ErrDamaged, "ends too early"},
		"JSON in UTF-16":                  {files{"vsites.json": "\xff\xfe[\x00]\x00"}.pack(t), archive.ErrDamaged, "save it as UTF-8"},
		"JSON in Latin-1":                 {files{"vsites.json": "[{\"id\":\"m\xfcller\"}]"}.pack(t), archive.ErrDamaged, "not text in UTF-8"},
		"a field that is there twice":     {files{"vsites.json": `[{"id":"a","id":"b"}]`}.pack(t), archive.ErrDamaged, "twice"},
		"JSON of many levels":             {files{"vsites.json": `[{"id":"a","x":` + deep + `}]`}.pack(t), archive.ErrDamaged, "levels"},
		"a document without an end":       {files{"vsites.json": `[{"id":"` + strings.Repeat("x y", 2<<20) + `"}]`}.pack(t), archive.ErrDamaged, "more than 4194304 bytes"},
		"two lists in one":                {files{"vsites.json": `[{"id":"a"}}]`}.pack(t), archive.ErrDamaged, "byte"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			k := &keeper{}
			err := tryImport(write(t, "backup.zip", c.content), k)
			if !errors.Is(err, c.is) || !strings.Contains(fmt.Sprint(err), c.says) {
				t.Errorf("got %v, not %v ... %s", err, c.is, c.says)
			}
		})
	}
}

func tryImport(path string, to importer.Taker) error {
	s, err := migrate.Open(context.Background(), path)
	if err != nil {
		return err
	}
	defer s.Close()
	return s.Import(context.Background(), importer.Options{NewNode: "here"}, to, report.New(s.About()))
}

// TestAFileThatNeverEndsCostsLittle: it is refused by its size, or where it stops to be
// JSON.
func TestAFileThatNeverEndsCostsLittle(t *testing.T) {
	path := write(t, "endless.json", []byte(`{"version":{"version":"6.2.60"},"vsites":[{"id":"default"}],"sites":{"default":{"users":[`))
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	must(t, err)
	// Beyond what is there the file is a hole, which reads as zeros.
	must(t, errors.Join(f.Truncate(5<<30), f.Close()))
	if err := tryImport(path, &keeper{}); !errors.Is(err, archive.ErrHostile) {
		t.Errorf("got %v", err)
	}
	must(t, os.Truncate(path, 256<<20))
	if err := tryImport(path, &keeper{}); !errors.Is(err, archive.ErrDamaged) {
		t.Errorf("got %v", err)
	}
}

// TestAnImportThatIsCancelledStops: it is asked between documents.
func TestAnImportThatIsCancelledStops(t *testing.T) {
	s, err := migrate.Open(context.Background(), files{"vsites.json": someSite, "sites/default/users.json": someUsers}.zip(t))
	must(t, err)
	defer s.Close()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := s.Import(ctx, importer.Options{NewNode: "x"}, &keeper{}, report.New(s.About())); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// TestABackupOfThisProductIsNotImported: it is restored.
func TestABackupOfThisProductIsNotImported(t *testing.T) {
	m := newMachine(t)
	path := write(t, "own.zip", m.backup(t))
	_, err := migrate.Open(context.Background(), path)
	if !errors.Is(err, archive.ErrOwn) {
		t.Errorf("got %v", err)
	}
	if _, err := backup.Open(bytes.NewReader(m.backup(t)), 0, backup.ReadOptions{}); err == nil {
		t.Error("half a backup was opened")
	}
}

// bson makes a document of texts, numbers, truths, lists and maps.
func bson(t testing.TB, doc map[string]any) []byte {
	t.Helper()
	var body []byte
	for name, value := range doc {
		put := func(kind byte, content []byte) {
			body = append(append(append(append(body, kind), name...), 0), content...)
		}
		switch value := value.(type) {
		case string:
			put(0x02, append(append(binary.LittleEndian.AppendUint32(nil, uint32(len(value)+1)), value...), 0))
		case bool:
			n := byte(0)
			if value {
				n = 1
			}
			put(0x08, []byte{n})
		case int:
			put(0x12, binary.LittleEndian.AppendUint64(nil, uint64(value)))
		case []byte:
			put(0x07, value)
		case map[string]any:
			put(0x03, bson(t, value))
		case []any:
			list := map[string]any{}
			for i, v := range value {
				list[fmt.Sprint(i)] = v
			}
			put(0x04, bson(t, list))
		default:
			t.Fatalf("%T", value)
		}
	}
	out := binary.LittleEndian.AppendUint32(nil, uint32(len(body)+5))
	return append(append(out, body...), 0)
}

// TestABackupOfMongodumpIsRead: databases are virtual servers, files collections.
func TestABackupOfMongodumpIsRead(t *testing.T) {
	user := map[string]any{
		"_id": []byte("0123456789ab"), "Username": "anna", "UserType": "SMS", "AccountStatus": "Enabled", "AllowSFTP": true,
		"PHType": "V4Plus", "Salt": "00FC6F12", "Password": strings.Repeat("ab", 64), "MaxConn": 3,
		"Home":    map[string]any{"VFSItemID": "V1", "MountPoint": "/", "Permissions": map[string]any{"canListDir": true, "canGetFile": true}},
		"PubKeys": []any{}, "AuthTypes": []any{"Password"}, "Surprise": "x",
	}
	vfs := map[string]any{"_id": "V1", "VFSName": "Files", "TargetType": "Disk", "Target": `C:\Files`, "HardQuota": 5}
	got := importPath(t, files{
		"dump/smserver-default/users.bson":          string(append(bson(t, user), bson(t, map[string]any{"Username": "otto", "UserType": "SMS"})...)),
		"dump/smserver-default/users.metadata.json": `{}`,
		"dump/smserver-default/vfs.bson":            string(bson(t, vfs)),
	}.zip(t), importer.Options{})
	if got.report.Source.Container != "v45-mongodump" {
		t.Errorf("read as %s", got.report.Source.Container)
	}
	u := got.user(t, "user/default/anna")
	if u.Home.VFS != "Files" || len(u.Home.Permissions) != 2 || u.MaxSessions != 3 || !u.Password.Legacy {
		t.Errorf("got %+v", u)
	}
	got.user(t, "user/default/otto")
	cut := files{"dump/d/users.bson": string(bson(t, user)[:40])}.zip(t)
	if err := tryImport(cut, &keeper{}); !errors.Is(err, archive.ErrDamaged) {
		t.Errorf("half a document: %v", err)
	}
}
